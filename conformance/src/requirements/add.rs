//! ADD: a container is attached to a network.

use serde_json::json;

use super::steps::{
    attached, has_link, ipam_calls, make_ipam_fail, make_ipam_return, makes_interface,
    reset_ipam_answer, same, state, state_of, succeeds_or_fails_properly, unchanged, with_input,
    with_kit_ipam,
};
use crate::fixture::{Fixture, addresses};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.ADD.1",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 2, ADD; section 5, Success",
        statement: "ADD must print a result in the version of the configuration",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Each,
        test: a_result,
    },
    Requirement {
        id: "S2.ADD.2",
        source: "CNI 1.1.0, section 2, ADD",
        statement: "ADD must create the interface in the container with the name in CNI_IFNAME, \
            and set it up",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Each,
        test: the_interface,
    },
    Requirement {
        id: "S2.ADD.3",
        source: "CNI 1.1.0, section 2, ADD",
        statement: "ADD should be able to attach a container to a network twice, with two interface \
            names",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: two_interfaces,
    },
    Requirement {
        id: "S2.ADD.4",
        source: "CNI 1.1.0, section 2, ADD",
        statement: "ADD must fail if the interface already exists, and leave the interface and \
            everything else unchanged",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: interface_exists,
    },
    Requirement {
        id: "S2.ADD.5",
        source: "CNI 1.1.0, section 2, ADD",
        statement: "A second ADD of an attachment must not damage it, and DEL must still remove it",
        level: Level::Expected,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: added_twice,
    },
    Requirement {
        id: "S2.ADD.6",
        source: "CNI 1.1.0, section 2, ADD",
        statement: "ADD must leave other containers, and other interfaces of this container, \
            unchanged",
        level: Level::Expected,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: others_stay,
    },
    Requirement {
        id: "S2.ADD.7",
        source: "CNI 1.1.0, section 3, adding an attachment",
        statement: "ADD must leave nothing behind if the kernel refuses what it makes",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: kernel_refuses,
    },
    Requirement {
        id: "S2.ADD.8",
        source: "CNI 1.1.0, section 4",
        statement: "An ADD that fails after it allocated addresses must release them",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: addresses_go_back,
    },
    Requirement {
        id: "S2.ADD.9",
        source: "CNI 1.1.0, section 3, lifecycle",
        statement: "ADD must succeed after a failed ADD once the cause of the failure is gone",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: again_after_failure,
    },
    Requirement {
        id: "S2.ADD.10",
        source: "CNI 1.1.0, section 3, lifecycle",
        statement: "ADD must be able to add the same attachment again after DEL",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: again_after_del,
    },
];

fn a_result(fixture: &Fixture) -> TestResult {
    let (_, result) = fixture.added("a")?;
    let expected = format!("a result of version {}", fixture.version());
    ensure(
        result.get("cniVersion").is_some_and(|version| version == fixture.version()),
        "ADD",
        expected,
        &result,
    )
}

fn the_interface(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = fixture.call(&container).with(|cni| cni.ifname("net7"));
    makes_interface(&call.attach()?)?;
    let shown = container.pod.try_run(&["ip", "-br", "link", "show", "net7"]);
    let seen = container.pod.sh("ip -br link");
    let is_up =
        shown.status.success() && shown.stdout.contains(",UP") || shown.stdout.contains("<UP");
    ensure(is_up, "ADD with CNI_IFNAME=net7", "a link net7 in the container that is up", seen)
}

fn two_interfaces(fixture: &Fixture) -> TestResult {
    fixture.has_second_interface()?;
    let (container, _) = fixture.added("a")?;
    let first = state_of(&container.pod);
    let second = fixture.call(&container).with(|cni| cni.ifname("net1"));
    with_input("a second interface, net1", second.attach())?;
    let seen = container.pod.sh("ip -br link");
    let both = ["eth0", "net1"].iter().all(|name| has_link(&container.pod, name));
    ensure(both, "ADD of net1 beside eth0", "both links in the container", seen)?;
    second.del().succeeds()?;
    same(&first, &state_of(&container.pod), "ADD and DEL of net1 beside eth0")
}

fn interface_exists(fixture: &Fixture) -> TestResult {
    attached(fixture, "b")?;
    let container = fixture.container("a");
    container.pod.sh("ip link add eth0 type veth peer name peer0
        ip addr add 198.51.100.1/24 dev eth0; ip link set peer0 up; ip link set eth0 up");
    let before = state(fixture);
    let outcome = fixture.call(&container).add();
    with_input("eth0 already exists", outcome.fails())?;
    unchanged(fixture, &before, "ADD of an eth0 that is there already")?;
    container.pod.sh("ip link del eth0");
    with_input("eth0 is gone again", fixture.call(&container).attach()).map(drop)
}

fn added_twice(fixture: &Fixture) -> TestResult {
    let (a, result) = attached(fixture, "a")?;
    let before = state_of(&a.pod);
    succeeds_or_fails_properly(&fixture.call(&a).add())?;
    same(&before, &state_of(&a.pod), "a second ADD of the same attachment")?;
    let (_, other) = fixture.added("b")?;
    let (first, second) = (addresses(&result), addresses(&other));
    let done = "ADD of a, ADD of a again, ADD of b";
    let seen = format!("a: {first:?}, b: {second:?}");
    ensure(!first.iter().any(|ip| second.contains(ip)), done, "other addresses for b", seen)?;
    fixture.call(&a).with(|cni| cni.prev(&result)).del().succeeds()?;
    let seen = a.pod.sh("ip -br link");
    ensure(!has_link(&a.pod, "eth0"), "ADD twice, then DEL", "no eth0 in the container", seen)
}

fn others_stay(fixture: &Fixture) -> TestResult {
    let (b, _) = attached(fixture, "b")?;
    let a = fixture.container("a");
    a.pod.sh("ip link set lo up; ip link add own0 type veth peer name own1
        ip addr add 198.51.100.1/24 dev own0; ip link set own1 up; ip link set own0 up");
    let own = || {
        let all = state_of(&a.pod);
        all.lines().filter(|line| line.contains("own0")).collect::<Vec<_>>().join("\n")
    };
    let (other, before) = (state_of(&b.pod), own());
    fixture.call(&a).attach()?;
    same(&other, &state_of(&b.pod), "ADD of a, seen from b")?;
    same(&before, &own(), "ADD of eth0, seen from own0 in the same container")
}

/// A container that is already attached, so that shared objects exist.
fn neighbour(fixture: &Fixture) -> TestResult {
    with_kit_ipam(fixture, &fixture.container("b")).attach().map(drop)
}

/// Answers of the IPAM plugin that the kernel refuses.
fn impossible(fixture: &Fixture, number: usize) -> &'static str {
    match number {
        0 => {
            let routes = json!([{ "dst": "203.0.113.0/24", "gw": "192.0.2.77" }]);
            make_ipam_return(fixture, &["10.1.2.99/24"], routes);
            "a route over a gateway that cannot be reached"
        }
        _ => {
            make_ipam_return(fixture, &["127.0.0.0/0"], json!([]));
            "an invalid address"
        }
    }
}

fn kernel_refuses(fixture: &Fixture) -> TestResult {
    neighbour(fixture)?;
    let container = fixture.container("a");
    let before = state(fixture);
    for number in 0..2 {
        let why = impossible(fixture, number);
        let call = with_kit_ipam(fixture, &container);
        let outcome = call.add();
        // The plugin may succeed in another way.
        match outcome.status.success() {
            true => drop(call.del().succeeds()?),
            false => {
                with_input(why, outcome.fails())?;
                unchanged(fixture, &before, format!("ADD that fails: {why}"))?;
            }
        }
    }
    Ok(())
}

fn addresses_go_back(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let why = impossible(fixture, 0);
    let outcome = with_kit_ipam(fixture, &container).add();
    if outcome.status.success() {
        return Ok(());
    }
    with_input(why, outcome.fails())?;
    let asked = ipam_calls("DEL", &container) > 0;
    let done = format!("ADD that fails: {why}");
    ensure(asked, done, "DEL of the IPAM plugin", "it was not called")
}

fn again_after_failure(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = with_kit_ipam(fixture, &container);
    for number in 0..2 {
        let why = impossible(fixture, number);
        call.add();
        reset_ipam_answer("ADD");
        with_input(format!("after {why}"), call.attach())?;
        call.del().succeeds()?;
    }
    make_ipam_fail(fixture, "ADD", 111);
    call.add();
    reset_ipam_answer("ADD");
    with_input("after the IPAM plugin failed", call.attach()).map(drop)
}

fn again_after_del(fixture: &Fixture) -> TestResult {
    let (container, result) = fixture.added("a")?;
    fixture.call(&container).with(|cni| cni.prev(&result)).del().succeeds()?;
    // The runtime calls DEL of the whole chain, so the interface of a chained plugin is a new one.
    let container = fixture.reconnected(container);
    with_input("after DEL", fixture.call(&container).attach()).map(drop)
}
