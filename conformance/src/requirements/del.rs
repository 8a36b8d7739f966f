//! DEL: a container is detached from a network, even if little of its attachment is left.

mod others;

use serde_json::Value;

use super::results::WITH_INTERFACES;
use super::steps::{
    attached, few_addresses, has_link, make_ipam_fail, make_ipam_return, returns_to, state,
    succeeds_without_output, unchanged, with_input, with_kit_ipam,
};
use crate::fixture::{Call, Container, Fixture};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.DEL.1",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL should remove the interface from the container and print nothing",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Each,
        test: removes,
    },
    Requirement {
        id: "S2.DEL.2",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL should remove everything that ADD made, except what containers share",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: takes_back,
    },
    Requirement {
        id: "S2.DEL.3",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL must succeed a second and a third time",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.0.0"),
        test: again,
    },
    Requirement {
        id: "S2.DEL.4",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL of an attachment that was never added must succeed",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: never_added,
    },
    Requirement {
        id: "S2.DEL.5",
        source: "CNI 1.1.0, section 2, DEL: CNI_NETNS is optional",
        statement: "DEL must succeed if CNI_NETNS is missing or empty",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: no_variable,
    },
    Requirement {
        id: "S2.DEL.6",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL should succeed if the container's namespace no longer exists, and leave \
            nothing on the host",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: no_namespace,
    },
    Requirement {
        id: "S2.DEL.7",
        source: "CNI 0.4.0, DEL; CNI 1.1.0, section 2, DEL",
        statement: "DEL should release the address if CNI_NETNS is missing, or names a path that \
            no longer exists",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::NewestFrom("0.4.0"),
        test: frees_address,
    },
    Requirement {
        id: "S2.DEL.8",
        source: "CNI 0.4.0, DEL: `prevResult` may be missing",
        statement: "DEL should have the same effect with and without `prevResult`",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: with_and_without_result,
    },
    Requirement {
        id: "S2.DEL.9",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL must succeed if another program deleted the interface in the container",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("1.0.0"),
        test: interface_gone,
    },
    Requirement {
        id: "S2.DEL.10",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL should succeed if all links of the host are gone: the bridge, the parent, \
            the host ends of veth pairs",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: host_links_gone,
    },
    Requirement {
        id: "S2.DEL.11",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL must remove only its own attachment, whatever the order of the calls",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: others::others_stay,
    },
    Requirement {
        id: "S2.DEL.12",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL of one of a container's two interfaces should leave the other interface \
            unchanged",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: others::one_of_two,
    },
    Requirement {
        id: "S2.DEL.13",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "DEL of an interface name that was never added must leave the container's \
            attachment unchanged",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: others::other_interface,
    },
    Requirement {
        id: "S2.DEL.14",
        source: "CNI 1.1.0, section 3, lifecycle: delete follows even if add fails",
        statement: "DEL after a failed ADD should succeed and leave nothing behind",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: after_failed_add,
    },
    Requirement {
        id: "S2.DEL.15",
        source: "CNI 1.1.0, section 3, lifecycle; process ids are used again",
        statement: "DEL with the host's own namespace in CNI_NETNS must leave the host unchanged",
        level: Level::Expected,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: own_namespace,
    },
    Requirement {
        id: "S2.DEL.16",
        source: "CNI 1.1.0, section 2, DEL: CNI_NETNS is optional",
        statement: "DEL without CNI_NETNS, or after the namespace is gone, must leave the host's \
            interface of the same name unchanged",
        level: Level::Must,
        applies_to: WITH_INTERFACES,
        versions: Versions::NewestFrom("0.4.0"),
        test: others::on_the_host,
    },
];

fn removes(fixture: &Fixture) -> TestResult {
    let (container, result) = attached(fixture, "a")?;
    succeeds_without_output(&fixture.call(&container).with(|cni| cni.prev(&result)).del())?;
    let seen = container.pod.sh("ip -br link");
    ensure(!has_link(&container.pod, "eth0"), "ADD, DEL", "no eth0 in the container", seen)
}

fn takes_back(fixture: &Fixture) -> TestResult {
    attached(fixture, "b")?;
    let container = fixture.container("a");
    // `lo` may stay up.
    container.pod.sh("ip link set lo up");
    let before = state(fixture);
    let result = fixture.call(&container).attach()?;
    fixture.call(&container).with(|cni| cni.prev(&result)).del().succeeds()?;
    unchanged(fixture, &before, "ADD and DEL of a container beside another")
}

fn again(fixture: &Fixture) -> TestResult {
    let (container, result) = fixture.added("a")?;
    let call = fixture.call(&container).with(|cni| cni.prev(&result));
    for time in ["once", "a second time", "a third time"] {
        with_input(time, succeeds_without_output(&call.del()))?;
    }
    let bare = fixture.call(&container);
    with_input("once more, without prevResult", succeeds_without_output(&bare.del()))
}

fn never_added(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    with_input("on a fresh host", succeeds_without_output(&fixture.call(&container).del()))?;
    fixture.added("b")?;
    let before = state(fixture);
    with_input(
        "beside another container",
        succeeds_without_output(&fixture.call(&container).del()),
    )?;
    unchanged(fixture, &before, "DEL of an attachment that was never added")
}

/// Calls without the container's namespace.
fn without_namespace<'a>(call: &Call<'a>) -> [(&'static str, Call<'a>); 2] {
    [
        ("without CNI_NETNS", call.clone().with(|cni| cni.unset("CNI_NETNS"))),
        ("CNI_NETNS empty", call.clone().with(|cni| cni.env("CNI_NETNS", ""))),
    ]
}

fn no_variable(fixture: &Fixture) -> TestResult {
    for name in ["a", "b"] {
        let (container, result) = fixture.added(name)?;
        let call = fixture.call(&container).with(|cni| cni.prev(&result));
        for (input, call) in without_namespace(&call) {
            with_input(input, succeeds_without_output(&call.del()))?;
        }
        let bare = fixture.call(&container);
        for (input, call) in without_namespace(&bare) {
            with_input(input, succeeds_without_output(&call.del()))?;
        }
    }
    Ok(())
}

fn no_namespace(fixture: &Fixture) -> TestResult {
    fixture.added("b")?;
    let before = state(fixture);
    for with_result in [true, false] {
        let (container, result) = fixture.added("a")?;
        let call = fixture.call(&container);
        fixture.delete_namespace(&container);
        let call = if with_result { call.with(|cni| cni.prev(&result)) } else { call };
        with_input("the path in CNI_NETNS is gone", succeeds_without_output(&call.del()))?;
        if fixture.profile.kind != crate::profile::Kind::Ipam {
            returns_to(fixture, &before, "ADD, the namespace deleted, DEL")?;
        }
    }
    Ok(())
}

fn frees_address(fixture: &Fixture) -> TestResult {
    let ipam = few_addresses(fixture, 1)?;
    let call =
        |container: &Container| fixture.call(container).with(|cni| cni.key("ipam", ipam.clone()));
    // The failed ADD gets a container of its own, because it may leave something.
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| fixture.container(name));
    let first = call(&a);
    first.attach()?;
    with_input("the only address is allocated", call(&d).add().fails())?;
    fixture.delete_namespace(&a);
    with_input("the path in CNI_NETNS is gone", first.del().succeeds())?;
    let second = call(&b);
    with_input("DEL with a path that no longer exists released the only address", second.attach())?;
    fixture.delete_namespace(&b);
    second.with(|cni| cni.unset("CNI_NETNS")).del().succeeds()?;
    let third = call(&c).attach();
    with_input("DEL without CNI_NETNS released the only address", third.map(drop))
}

fn with_and_without_result(fixture: &Fixture) -> TestResult {
    attached(fixture, "b")?;
    let container = fixture.container("a");
    container.pod.sh("ip link set lo up");
    let before = state(fixture);
    let call = fixture.call(&container);
    let result = call.attach()?;
    call.clone().with(|cni| cni.prev(&result)).del().succeeds()?;
    unchanged(fixture, &before, "ADD, DEL with prevResult")?;
    call.attach()?;
    call.del().succeeds()?;
    unchanged(fixture, &before, "ADD, DEL without prevResult")
}

fn interface_gone(fixture: &Fixture) -> TestResult {
    attached(fixture, "b")?;
    let container = fixture.container("a");
    container.pod.sh("ip link set lo up");
    let before = state(fixture);
    let result = fixture.call(&container).attach()?;
    container.pod.sh("ip link del eth0");
    let call = fixture.call(&container).with(|cni| cni.prev(&result));
    with_input("the test deleted eth0", succeeds_without_output(&call.del()))?;
    unchanged(fixture, &before, "ADD, `ip link del eth0` in the container, DEL")
}

fn host_links_gone(fixture: &Fixture) -> TestResult {
    let (container, result) = attached(fixture, "a")?;
    let shown: Value = serde_json::from_str(&fixture.host.sh("ip -j link")).unwrap_or_default();
    for link in shown.as_array().into_iter().flatten() {
        let name = link.get("ifname").and_then(Value::as_str).unwrap_or_default();
        if name != "lo" {
            fixture.host.try_run(&["ip", "link", "del", "dev", name]);
        }
    }
    let call = fixture.call(&container).with(|cni| cni.prev(&result));
    with_input("every link of the host but lo was deleted", succeeds_without_output(&call.del()))?;
    with_input(
        "the same without prevResult",
        succeeds_without_output(&fixture.call(&container).del()),
    )
}

fn after_failed_add(fixture: &Fixture) -> TestResult {
    with_kit_ipam(fixture, &fixture.container("b")).attach()?;
    let container = fixture.container("a");
    let before = state(fixture);
    let call = with_kit_ipam(fixture, &container);
    make_ipam_fail(fixture, "ADD", 111);
    call.add().fails()?;
    with_input("after ADD of the IPAM plugin failed", succeeds_without_output(&call.del()))?;
    unchanged(fixture, &before, "ADD that the IPAM plugin refuses, DEL")?;
    let routes = serde_json::json!([{ "dst": "203.0.113.0/24", "gw": "192.0.2.77" }]);
    make_ipam_return(fixture, &["10.1.2.99/24"], routes);
    call.add();
    with_input(
        "after ADD with a route that the kernel refuses",
        succeeds_without_output(&call.del()),
    )?;
    container.pod.sh("ip link set lo down");
    unchanged(fixture, &before, "ADD with a route that the kernel refuses, DEL")
}

fn own_namespace(fixture: &Fixture) -> TestResult {
    fixture.added("b")?;
    let container = fixture.container("a");
    fixture.host.sh("ip link add eth0 type veth peer name eth0-peer; ip addr add 198.51.100.1/24 \
        dev eth0; ip link set eth0 up");
    let before = state(fixture);
    fixture.call(&container).with(|cni| cni.netns(&fixture.host)).del();
    unchanged(fixture, &before, "DEL with CNI_NETNS the host's own namespace, which has an eth0")
}
