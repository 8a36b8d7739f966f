//! GC: it removes what belongs to no valid attachment.

mod stale;

use serde_json::{Value, json};

use super::results::WITH_INTERFACES;
use super::steps::{
    delegates, few_addresses, make_ipam_fail, makes_interface, reset_ipam_answer, returns_to,
    state, succeeds_without_output, unchanged, with_input, with_kit_ipam,
};
use crate::fixture::{Call, Fixture};
use crate::ipam;
use crate::json::set;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.GC.1",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC should succeed without a container and print nothing, whether all \
            attachments are valid or none exist",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: all_or_none,
    },
    Requirement {
        id: "S2.GC.2",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC must leave valid attachments unchanged",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: valid_stay,
    },
    Requirement {
        id: "S2.GC.3",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC should accept a list with attachments that the plugin has never seen and \
            with unknown keys",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: unknown_entries,
    },
    Requirement {
        id: "S2.GC.4",
        source: "CNI 1.1.0, section 2, GC: the attachments to a network",
        statement: "GC must leave attachments of other networks unchanged",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::From("1.1.0"),
        test: other_networks_stay,
    },
    Requirement {
        id: "S2.GC.5",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC should release the addresses of attachments that are not valid",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: addresses_are_freed,
    },
    Requirement {
        id: "S2.GC.6",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC should remove everything on the host of an invalid attachment whose \
            namespace is gone",
        level: Level::Should,
        applies_to: WITH_INTERFACES,
        versions: Versions::From("1.1.0"),
        test: nothing_is_left,
    },
    Requirement {
        id: "S2.GC.7",
        source: "CNI 1.1.0, section 2, GC",
        statement: "If one of a container's two attachments is not valid, GC should release only \
            its address",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: one_of_two,
    },
    Requirement {
        id: "S2.GC.8",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC should report an error of the IPAM plugin, and leave valid attachments \
            unchanged",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        test: ipam_refuses,
    },
    Requirement {
        id: "S2.GC.9",
        source: "runtimes of the first 1.1.0 days send the list as `cni.dev/attachments` only",
        statement: "GC must leave an attachment unchanged that is valid only by the older key of \
            the list",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: older_key,
    },
    Requirement {
        id: "S2.GC.10",
        source: "CNI 1.1.0, section 2, GC: introduced with 1.1.0",
        statement: "GC must fail and remove nothing if the configuration's version is older than \
            1.1.0",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: not_before,
    },
    Requirement {
        id: "S2.GC.11",
        source: "CNI 1.1.0, section 2, GC",
        statement: "After GC of an attachment whose namespace is gone, DEL of it should find \
            nothing on the host to remove",
        level: Level::Should,
        applies_to: WITH_INTERFACES,
        versions: Versions::From("1.1.0"),
        test: stale::as_much_as_del,
    },
    Requirement {
        id: "S2.GC.12",
        source: "CNI 1.1.0, section 2, GC",
        statement: "GC must leave a valid attachment unchanged if another one of the same \
            container is not valid",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::From("1.1.0"),
        test: stale::other_of_two,
    },
];

fn all_or_none(fixture: &Fixture) -> TestResult {
    let fresh = fixture.call(&fixture.container("x"));
    with_input("before any ADD", succeeds_without_output(&fresh.gc(&[])))?;
    let (container, _) = fixture.added("a")?;
    let call = fixture.call(&container);
    with_input("all valid", succeeds_without_output(&call.gc(&[(&container.id, "eth0")])))?;
    call.del().succeeds()?;
    with_input("after DEL", succeeds_without_output(&call.gc(&[])))?;
    with_input("again", succeeds_without_output(&call.gc(&[])))
}

fn valid_stay(fixture: &Fixture) -> TestResult {
    let (a, result) = fixture.added("a")?;
    let (b, _) = fixture.added("b")?;
    let before = state(fixture);
    fixture.call(&a).gc(&[(&a.id, "eth0"), (&b.id, "eth0")]).succeeds()?;
    unchanged(fixture, &before, "GC with both attachments valid")?;
    with_input("after GC", succeeds_without_output(&fixture.call(&a).check(&result)))
}

fn unknown_entries(fixture: &Fixture) -> TestResult {
    let (container, _) = fixture.added("a")?;
    let before = state(fixture);
    let call = fixture.call(&container);
    let valid = [(container.id.as_str(), "eth0"), ("never-seen", "eth0"), (&container.id, "net7")];
    succeeds_without_output(&call.gc(&valid))?;
    let entry = json!({ "containerID": container.id, "ifname": "eth0", "org.example": { "a": 1 } });
    with_input(
        "an entry with an additional key",
        succeeds_without_output(&bare(&call, &["cni.dev/valid-attachments"], &entry)),
    )?;
    unchanged(fixture, &before, "GC with an unknown attachment among the valid ones")
}

/// GC with one valid attachment, under these keys only.
fn bare(call: &Call<'_>, keys: &[&str], entry: &Value) -> testbed::Outcome {
    let none = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    let call = call.clone().with(|cni| {
        let cni = none.iter().fold(cni, |cni, name| cni.unset(name));
        keys.iter().fold(cni, |cni, key| cni.key(key, json!([entry])))
    });
    call.verb("GC")
}

fn other_networks_stay(fixture: &Fixture) -> TestResult {
    let container = fixture.container("b");
    let mut config = fixture.config();
    fixture.profile.rename(&mut config, "other", 1);
    // Both networks of a plugin that delegates need addresses; those of the kit are enough.
    let delegates = delegates(fixture);
    if delegates {
        set(&mut config, "ipam", json!({ "type": ipam::NAME }));
    }
    let other = fixture.call(&container).with(|cni| cni.conf(config));
    let result = other.attach()?;
    makes_interface(&result)?;
    let own = state(fixture);
    let a = fixture.container("a");
    let call = if delegates { with_kit_ipam(fixture, &a) } else { fixture.call(&a) };
    call.attach()?;
    call.del().succeeds()?;
    let before = state(fixture);
    call.gc(&[]).succeeds()?;
    // GC may remove what its own network left, such as a tunnel or a bridge.
    let after = state(fixture);
    let has = |state: &str, line: &str| state.lines().any(|other| other == line);
    let lost = before.lines().filter(|line| has(&own, line) && !has(&after, line));
    let lost: Vec<&str> = lost.collect();
    let done = "GC of another network, with nothing valid";
    ensure(lost.is_empty(), done, "no change of this network", lost.join("\n"))?;
    with_input("of the other network after GC", succeeds_without_output(&other.check(&result)))
}

fn addresses_are_freed(fixture: &Fixture) -> TestResult {
    let ipam = few_addresses(fixture, 2)?;
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| fixture.container(name));
    let call = |container| fixture.call(container).with(|cni| cni.key("ipam", ipam.clone()));
    call(&a).attach()?;
    call(&b).attach()?;
    with_input("both addresses are allocated", call(&d).add().fails())?;
    fixture.delete_namespace(&b);
    call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    let checked = call(&c).attach();
    with_input("GC released one of the network's two addresses", checked.map(drop))
}

fn nothing_is_left(fixture: &Fixture) -> TestResult {
    let (a, result) = fixture.added("a")?;
    makes_interface(&result)?;
    let before = state(fixture);
    let (b, _) = fixture.added("b")?;
    fixture.delete_namespace(&b);
    fixture.call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    returns_to(fixture, &before, "ADD of b, its namespace deleted, GC with a valid")
}

fn one_of_two(fixture: &Fixture) -> TestResult {
    let ipam = few_addresses(fixture, 2)?;
    let [a, c, d] = ["a", "c", "d"].map(|name| fixture.container(name));
    let call = |container| fixture.call(container).with(|cni| cni.key("ipam", ipam.clone()));
    call(&a).attach()?;
    let second = call(&a).with(|cni| cni.ifname("net1"));
    if !second.add().status.success() {
        return Err(NotPassed::NotApplicable(
            "the plugin does not attach a container twice, see S2.ADD.3".to_owned(),
        ));
    }
    a.pod.sh("ip link del net1");
    call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    with_input("GC released the address of net1", call(&c).attach())?;
    with_input("the address of eth0 is still allocated", call(&d).add().fails()).map(drop)
}

fn ipam_refuses(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = with_kit_ipam(fixture, &container);
    call.attach()?;
    let before = state(fixture);
    make_ipam_fail(fixture, "GC", 100);
    let outcome = call.gc(&[(&container.id, "eth0")]);
    with_input("GC of the IPAM plugin fails", outcome.fails())?;
    unchanged(fixture, &before, "GC while GC of the IPAM plugin fails")?;
    reset_ipam_answer("GC");
    with_input(
        "GC of the IPAM plugin no longer fails",
        succeeds_without_output(&call.gc(&[(&container.id, "eth0")])),
    )
}

fn older_key(fixture: &Fixture) -> TestResult {
    let (container, _) = fixture.added("a")?;
    let before = state(fixture);
    let entry = json!({ "containerID": container.id, "ifname": "eth0" });
    let outcome = bare(&fixture.call(&container), &["cni.dev/attachments"], &entry);
    // The plugin may not know this key and report that; but it must not treat the attachment as
    // invalid.
    unchanged(fixture, &before, "GC with the list as `cni.dev/attachments`")?;
    super::steps::succeeds_or_fails_properly(&outcome)
}

fn not_before(fixture: &Fixture) -> TestResult {
    let (container, _) = fixture.added("a")?;
    let before = state(fixture);
    for version in ["0.4.0", "1.0.0"] {
        let call = fixture.call(&container).with(|cni| cni.key("cniVersion", version));
        with_input(format!("cniVersion {version}"), call.gc(&[]).fails())?;
    }
    unchanged(fixture, &before, "GC with versions that do not have it")
}
