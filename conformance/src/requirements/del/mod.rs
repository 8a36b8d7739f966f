//! DEL: a container leaves a network, however little is left of it.

mod others;

use serde_json::Value;

use super::steps::{
    few_addresses, has_link, let_ipam_give, let_ipam_refuse, naming, returns_to, silent, state,
    unchanged, with_kit_ipam,
};
use crate::bench::{Bench, Call, Container};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.DEL.1",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL removes the interface from the container, and prints nothing",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Each,
        test: removes,
    },
    Requirement {
        id: "S2.DEL.2",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL takes everything back that ADD did, but for what containers share",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: takes_back,
    },
    Requirement {
        id: "S2.DEL.3",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL succeeds a second and a third time",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Each,
        test: again,
    },
    Requirement {
        id: "S2.DEL.4",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL of what was never added succeeds",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: never_added,
    },
    Requirement {
        id: "S2.DEL.5",
        source: "CNI 1.1.0, section 2, DEL: CNI_NETNS is optional",
        says: "DEL without CNI_NETNS, or with an empty one, succeeds",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: no_variable,
    },
    Requirement {
        id: "S2.DEL.6",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL succeeds if the container's namespace is gone, and nothing is left of it on the host",
        level: Level::Should,
        of: Of::All,
        versions: Versions::Newest,
        test: no_namespace,
    },
    Requirement {
        id: "S2.DEL.7",
        source: "CNI 0.4.0, DEL; CNI 1.1.0, section 2, DEL",
        says: "DEL without CNI_NETNS frees the address, and so does DEL with a path that is gone",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: frees_address,
    },
    Requirement {
        id: "S2.DEL.8",
        source: "CNI 0.4.0, DEL: `prevResult` may be missing",
        says: "DEL does the same with `prevResult` and without",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: with_and_without_result,
    },
    Requirement {
        id: "S2.DEL.9",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL succeeds if somebody has deleted the interface in the container",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: interface_gone,
    },
    Requirement {
        id: "S2.DEL.10",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL succeeds if all links of the host are gone: bridge, parent, the host's ends",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: host_links_gone,
    },
    Requirement {
        id: "S2.DEL.11",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL removes one attachment only; other containers keep theirs, whatever the order",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: others::others_stay,
    },
    Requirement {
        id: "S2.DEL.12",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL of one of a container's two interfaces leaves the other as it is",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: others::one_of_two,
    },
    Requirement {
        id: "S2.DEL.13",
        source: "CNI 1.1.0, section 2, DEL",
        says: "DEL of an interface name that was never added leaves the container's attachment as it is",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: others::other_interface,
    },
    Requirement {
        id: "S2.DEL.14",
        source: "CNI 1.1.0, section 3, lifecycle: delete follows even if add fails",
        says: "DEL after an ADD that failed succeeds, and nothing is left",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: after_failed_add,
    },
    Requirement {
        id: "S2.DEL.15",
        source: "CNI 1.1.0, section 3, lifecycle; process ids are used again",
        says: "DEL with the host's own namespace in CNI_NETNS leaves the host as it is",
        level: Level::Expected,
        of: Of::Interfaces,
        versions: Versions::Newest,
        test: own_namespace,
    },
];

fn removes(bench: &Bench) -> Verdict {
    let (container, result) = bench.added("a")?;
    silent(&bench.call(&container).with(|cni| cni.prev(&result)).del())?;
    let seen = container.pod.sh("ip -br link");
    ensure(!has_link(&container.pod, "eth0"), "ADD, DEL", "no eth0 in the container", seen)
}

fn takes_back(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let container = bench.container("a");
    // `lo` may stay up.
    container.pod.sh("ip link set lo up");
    let before = state(bench);
    let result = bench.call(&container).add().succeeds()?;
    bench.call(&container).with(|cni| cni.prev(&result)).del().succeeds()?;
    unchanged(bench, &before, "ADD and DEL of a container beside another")
}

fn again(bench: &Bench) -> Verdict {
    let (container, result) = bench.added("a")?;
    let call = bench.call(&container).with(|cni| cni.prev(&result));
    for time in ["once", "a second time", "a third time"] {
        naming(time, silent(&call.del()))?;
    }
    let bare = bench.call(&container);
    naming("once more, without prevResult", silent(&bare.del()))
}

fn never_added(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    naming("on a fresh host", silent(&bench.call(&container).del()))?;
    bench.added("b")?;
    let before = state(bench);
    naming("beside another container", silent(&bench.call(&container).del()))?;
    unchanged(bench, &before, "DEL of what was never added")
}

/// Calls without the container's namespace.
fn without_namespace<'a>(call: &Call<'a>) -> [(&'static str, Call<'a>); 2] {
    [
        ("without CNI_NETNS", call.clone().with(|cni| cni.unset("CNI_NETNS"))),
        ("CNI_NETNS empty", call.clone().with(|cni| cni.env("CNI_NETNS", ""))),
    ]
}

fn no_variable(bench: &Bench) -> Verdict {
    for name in ["a", "b"] {
        let (container, result) = bench.added(name)?;
        let call = bench.call(&container).with(|cni| cni.prev(&result));
        for (input, call) in without_namespace(&call) {
            naming(input, silent(&call.del()))?;
        }
        let bare = bench.call(&container);
        for (input, call) in without_namespace(&bare) {
            naming(input, silent(&call.del()))?;
        }
    }
    Ok(())
}

fn no_namespace(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let before = state(bench);
    for with_result in [true, false] {
        let (container, result) = bench.added("a")?;
        let call = bench.call(&container);
        bench.kill(&container);
        let call = if with_result { call.with(|cni| cni.prev(&result)) } else { call };
        naming("the path in CNI_NETNS is gone", silent(&call.del()))?;
        if bench.profile.kind != crate::profile::Kind::Ipam {
            returns_to(bench, &before, "ADD, the namespace deleted, DEL")?;
        }
    }
    Ok(())
}

fn frees_address(bench: &Bench) -> Verdict {
    let ipam = few_addresses(bench, 1)?;
    let call =
        |container: &Container| bench.call(container).with(|cni| cni.key("ipam", ipam.clone()));
    let [a, b, c] = ["a", "b", "c"].map(|name| bench.container(name));
    let first = call(&a);
    first.add().succeeds()?;
    bench.kill(&a);
    naming("the path in CNI_NETNS is gone", first.del().succeeds())?;
    let second = call(&b);
    naming("the only address was freed by DEL with a path that is gone", second.add().succeeds())?;
    bench.kill(&b);
    second.with(|cni| cni.unset("CNI_NETNS")).del().succeeds()?;
    let third = call(&c).add().succeeds();
    naming("the only address was freed by DEL without CNI_NETNS", third.map(drop))
}

fn with_and_without_result(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let container = bench.container("a");
    container.pod.sh("ip link set lo up");
    let before = state(bench);
    let call = bench.call(&container);
    let result = call.add().succeeds()?;
    call.clone().with(|cni| cni.prev(&result)).del().succeeds()?;
    unchanged(bench, &before, "ADD, DEL with prevResult")?;
    call.add().succeeds()?;
    call.del().succeeds()?;
    unchanged(bench, &before, "ADD, DEL without prevResult")
}

fn interface_gone(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let container = bench.container("a");
    container.pod.sh("ip link set lo up");
    let before = state(bench);
    let result = bench.call(&container).add().succeeds()?;
    container.pod.sh("ip link del eth0");
    let call = bench.call(&container).with(|cni| cni.prev(&result));
    naming("eth0 was deleted by hand", silent(&call.del()))?;
    unchanged(bench, &before, "ADD, `ip link del eth0` in the container, DEL")
}

fn host_links_gone(bench: &Bench) -> Verdict {
    let (container, result) = bench.added("a")?;
    let shown: Value = serde_json::from_str(&bench.host.sh("ip -j link")).unwrap_or_default();
    for link in shown.as_array().into_iter().flatten() {
        let name = link.get("ifname").and_then(Value::as_str).unwrap_or_default();
        if name != "lo" {
            bench.host.try_run(&["ip", "link", "del", "dev", name]);
        }
    }
    let call = bench.call(&container).with(|cni| cni.prev(&result));
    naming("every link of the host but lo was deleted", silent(&call.del()))?;
    naming("the same without prevResult", silent(&bench.call(&container).del()))
}

fn after_failed_add(bench: &Bench) -> Verdict {
    with_kit_ipam(bench, &bench.container("b")).add().succeeds()?;
    let container = bench.container("a");
    let before = state(bench);
    let call = with_kit_ipam(bench, &container);
    let_ipam_refuse(bench, "ADD", 111);
    call.add().fails()?;
    naming("after the address management plugin refused ADD", silent(&call.del()))?;
    unchanged(bench, &before, "ADD that the address management plugin refuses, DEL")?;
    let routes = serde_json::json!([{ "dst": "203.0.113.0/24", "gw": "192.0.2.77" }]);
    let_ipam_give(bench, &["10.1.2.99/24"], routes);
    call.add();
    naming("after ADD with a route that the kernel refuses", silent(&call.del()))?;
    container.pod.sh("ip link set lo down");
    unchanged(bench, &before, "ADD with a route that the kernel refuses, DEL")
}

fn own_namespace(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    bench.host.sh("ip link add eth0 type veth peer name eth0-peer; ip addr add 198.51.100.1/24 dev eth0; ip link set eth0 up");
    let before = state(bench);
    bench.call(&container).with(|cni| cni.netns(&bench.host)).del();
    unchanged(bench, &before, "DEL with CNI_NETNS the host's own namespace, which has an eth0")
}
