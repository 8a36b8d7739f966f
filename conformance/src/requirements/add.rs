//! ADD: a container joins a network.

use serde_json::json;

use super::steps::{
    has_link, ipam_calls, let_ipam_be, let_ipam_give, let_ipam_refuse, naming, orderly, same,
    state, state_of, unchanged, with_kit_ipam,
};
use crate::bench::{Bench, addresses};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.ADD.1",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 2, ADD; section 5, Success",
        says: "ADD prints a result, in the version of the configuration",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Each,
        test: a_result,
    },
    Requirement {
        id: "S2.ADD.2",
        source: "CNI 1.1.0, section 2, ADD",
        says: "ADD makes the interface in the container, under the name of CNI_IFNAME, and it is up",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Each,
        test: the_interface,
    },
    Requirement {
        id: "S2.ADD.3",
        source: "CNI 1.1.0, section 2, ADD",
        says: "A container can be added to a network twice, under two interface names",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: two_interfaces,
    },
    Requirement {
        id: "S2.ADD.4",
        source: "CNI 1.1.0, section 2, ADD",
        says: "ADD of an interface that is there already fails, and leaves it and all else as it was",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: interface_exists,
    },
    Requirement {
        id: "S2.ADD.5",
        source: "CNI 1.1.0, section 2, ADD",
        says: "A second ADD of an attachment does not damage the first one, and DEL still removes it",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: added_twice,
    },
    Requirement {
        id: "S2.ADD.6",
        source: "CNI 1.1.0, section 2, ADD",
        says: "ADD leaves all other containers, and other interfaces of this one, as they are",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: others_stay,
    },
    Requirement {
        id: "S2.ADD.7",
        source: "CNI 1.1.0, section 3, adding an attachment",
        says: "If what ADD makes does not work out in the kernel, nothing is left of it",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: kernel_refuses,
    },
    Requirement {
        id: "S2.ADD.8",
        source: "CNI 1.1.0, section 4",
        says: "An ADD that fails after it got addresses gives them back",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: addresses_go_back,
    },
    Requirement {
        id: "S2.ADD.9",
        source: "CNI 1.1.0, section 3, lifecycle",
        says: "After an ADD that failed, the same ADD works once the cause is gone",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: again_after_failure,
    },
    Requirement {
        id: "S2.ADD.10",
        source: "CNI 1.1.0, section 3, lifecycle",
        says: "After DEL the same attachment can be added again",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: again_after_del,
    },
];

fn a_result(bench: &Bench) -> Verdict {
    let (_, result) = bench.added("a")?;
    let expected = format!("a result of version {}", bench.version());
    ensure(
        result.get("cniVersion").is_some_and(|version| version == bench.version()),
        "ADD",
        expected,
        &result,
    )
}

fn the_interface(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    bench.call(&container).with(|cni| cni.ifname("net7")).add().succeeds()?;
    let shown = container.pod.try_run(&["ip", "-br", "link", "show", "net7"]);
    let seen = container.pod.sh("ip -br link");
    let is_up =
        shown.status.success() && shown.stdout.contains(",UP") || shown.stdout.contains("<UP");
    ensure(is_up, "ADD with CNI_IFNAME=net7", "a link net7 in the container that is up", seen)
}

fn two_interfaces(bench: &Bench) -> Verdict {
    let (container, _) = bench.added("a")?;
    let first = state_of(&container.pod);
    let second = bench.call(&container).with(|cni| cni.ifname("net1"));
    naming("a second interface, net1", second.add().succeeds())?;
    let seen = container.pod.sh("ip -br link");
    let both = ["eth0", "net1"].iter().all(|name| has_link(&container.pod, name));
    ensure(both, "ADD of net1 beside eth0", "both links in the container", seen)?;
    second.del().succeeds()?;
    same(&first, &state_of(&container.pod), "ADD and DEL of net1 beside eth0")
}

fn interface_exists(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let container = bench.container("a");
    container.pod.sh("ip link add eth0 type veth peer name peer0
        ip addr add 198.51.100.1/24 dev eth0; ip link set peer0 up; ip link set eth0 up");
    let before = state(bench);
    let outcome = bench.call(&container).add();
    naming("eth0 is there already", outcome.fails())?;
    unchanged(bench, &before, "ADD of an eth0 that is there already")?;
    container.pod.sh("ip link del eth0");
    naming("eth0 is gone again", bench.call(&container).add().succeeds()).map(drop)
}

fn added_twice(bench: &Bench) -> Verdict {
    let (a, result) = bench.added("a")?;
    let before = state_of(&a.pod);
    orderly(&bench.call(&a).add())?;
    same(&before, &state_of(&a.pod), "a second ADD of the same attachment")?;
    let (_, other) = bench.added("b")?;
    let (first, second) = (addresses(&result), addresses(&other));
    let done = "ADD of a, ADD of a again, ADD of b";
    let seen = format!("a: {first:?}, b: {second:?}");
    ensure(!first.iter().any(|ip| second.contains(ip)), done, "other addresses for b", seen)?;
    bench.call(&a).with(|cni| cni.prev(&result)).del().succeeds()?;
    let seen = a.pod.sh("ip -br link");
    ensure(!has_link(&a.pod, "eth0"), "ADD twice, then DEL", "no eth0 in the container", seen)
}

fn others_stay(bench: &Bench) -> Verdict {
    let (b, _) = bench.added("b")?;
    let a = bench.container("a");
    a.pod.sh("ip link set lo up; ip link add own0 type veth peer name own1
        ip addr add 198.51.100.1/24 dev own0; ip link set own1 up; ip link set own0 up");
    let own = || {
        let all = state_of(&a.pod);
        all.lines().filter(|line| line.contains("own0")).collect::<Vec<_>>().join("\n")
    };
    let (other, before) = (state_of(&b.pod), own());
    bench.call(&a).add().succeeds()?;
    same(&other, &state_of(&b.pod), "ADD of a, seen from b")?;
    same(&before, &own(), "ADD of eth0, seen from own0 in the same container")
}

/// A container that is attached already, so that what containers share is there.
fn neighbour(bench: &Bench) -> Verdict {
    with_kit_ipam(bench, &bench.container("b")).add().succeeds().map(drop)
}

/// Answers of the address management plugin that the kernel refuses.
fn impossible(bench: &Bench, number: usize) -> &'static str {
    match number {
        0 => {
            let routes = json!([{ "dst": "203.0.113.0/24", "gw": "192.0.2.77" }]);
            let_ipam_give(bench, &["10.1.2.99/24"], routes);
            "a route over a gateway that cannot be reached"
        }
        _ => {
            let_ipam_give(bench, &["127.0.0.0/0"], json!([]));
            "an address that is none"
        }
    }
}

fn kernel_refuses(bench: &Bench) -> Verdict {
    neighbour(bench)?;
    let container = bench.container("a");
    let before = state(bench);
    for number in 0..2 {
        let why = impossible(bench, number);
        let call = with_kit_ipam(bench, &container);
        let outcome = call.add();
        // A plugin may find a way.
        match outcome.status.success() {
            true => drop(call.del().succeeds()?),
            false => {
                naming(why, outcome.fails())?;
                unchanged(bench, &before, format!("ADD that fails: {why}"))?;
            }
        }
    }
    Ok(())
}

fn addresses_go_back(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let why = impossible(bench, 0);
    let outcome = with_kit_ipam(bench, &container).add();
    if outcome.status.success() {
        return Ok(());
    }
    naming(why, outcome.fails())?;
    let asked = ipam_calls("DEL", &container) > 0;
    let done = format!("ADD that fails: {why}");
    ensure(asked, done, "DEL of the address management plugin", "it was not called")
}

fn again_after_failure(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let call = with_kit_ipam(bench, &container);
    for number in 0..2 {
        let why = impossible(bench, number);
        call.add();
        let_ipam_be("ADD");
        naming(format!("after {why}"), call.add().succeeds())?;
        call.del().succeeds()?;
    }
    let_ipam_refuse(bench, "ADD", 111);
    call.add();
    let_ipam_be("ADD");
    naming("after the address management plugin refused", call.add().succeeds()).map(drop)
}

fn again_after_del(bench: &Bench) -> Verdict {
    let (container, result) = bench.added("a")?;
    let call = bench.call(&container);
    call.clone().with(|cni| cni.prev(&result)).del().succeeds()?;
    naming("after DEL", call.add().succeeds()).map(drop)
}
