//! GC: what belongs to no valid attachment is removed.

use serde_json::{Value, json};

use super::steps::{
    few_addresses, let_ipam_be, let_ipam_refuse, naming, returns_to, silent, state, unchanged,
    with_kit_ipam,
};
use crate::bench::{Bench, Call, set};
use crate::ipam;
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.GC.1",
        source: "CNI 1.1.0, section 2, GC",
        says: "GC succeeds, prints nothing and needs no container, whether all attachments are valid, or there are none",
        level: Level::Must,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: all_or_none,
    },
    Requirement {
        id: "S2.GC.2",
        source: "CNI 1.1.0, section 2, GC",
        says: "GC leaves valid attachments as they are",
        level: Level::Must,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: valid_stay,
    },
    Requirement {
        id: "S2.GC.3",
        source: "CNI 1.1.0, section 2, GC",
        says: "Attachments that the plugin has never seen, and keys it does not know, are no error in the list",
        level: Level::Must,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: unknown_entries,
    },
    Requirement {
        id: "S2.GC.4",
        source: "CNI 1.1.0, section 2, GC: the attachments to a network",
        says: "GC leaves attachments of other networks as they are",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: other_networks_stay,
    },
    Requirement {
        id: "S2.GC.5",
        source: "CNI 1.1.0, section 2, GC",
        says: "The addresses of attachments that are not valid are free again",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: addresses_are_freed,
    },
    Requirement {
        id: "S2.GC.6",
        source: "CNI 1.1.0, section 2, GC",
        says: "Of an attachment that is not valid, whose namespace is gone, nothing is left on the host",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: nothing_is_left,
    },
    Requirement {
        id: "S2.GC.7",
        source: "CNI 1.1.0, section 2, GC",
        says: "Of a container's two attachments only the one that is not valid loses its address",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: one_of_two,
    },
    Requirement {
        id: "S2.GC.8",
        source: "CNI 1.1.0, section 2, GC",
        says: "An error of the address management plugin is reported, and valid attachments stay as they are",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        test: ipam_refuses,
    },
    Requirement {
        id: "S2.GC.9",
        source: "runtimes of the first 1.1.0 days send the list as `cni.dev/attachments` only",
        says: "An attachment that is valid by the list's older key alone is left as it is",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: older_key,
    },
    Requirement {
        id: "S2.GC.10",
        source: "CNI 1.1.0, section 2, GC: introduced with 1.1.0",
        says: "GC with a configuration of a version before 1.1.0 is an error, and removes nothing",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: not_before,
    },
];

fn all_or_none(bench: &Bench) -> Verdict {
    let fresh = bench.call(&bench.container("x"));
    naming("before any ADD", silent(&fresh.gc(&[])))?;
    let (container, _) = bench.added("a")?;
    let call = bench.call(&container);
    naming("all valid", silent(&call.gc(&[(&container.id, "eth0")])))?;
    call.del().succeeds()?;
    naming("after DEL", silent(&call.gc(&[])))?;
    naming("again", silent(&call.gc(&[])))
}

fn valid_stay(bench: &Bench) -> Verdict {
    let (a, result) = bench.added("a")?;
    let (b, _) = bench.added("b")?;
    let before = state(bench);
    bench.call(&a).gc(&[(&a.id, "eth0"), (&b.id, "eth0")]).succeeds()?;
    unchanged(bench, &before, "GC with both attachments valid")?;
    naming("after GC", silent(&bench.call(&a).check(&result)))
}

fn unknown_entries(bench: &Bench) -> Verdict {
    let (container, _) = bench.added("a")?;
    let before = state(bench);
    let call = bench.call(&container);
    let valid = [(container.id.as_str(), "eth0"), ("never-seen", "eth0"), (&container.id, "net7")];
    silent(&call.gc(&valid))?;
    let entry = json!({ "containerID": container.id, "ifname": "eth0", "org.example": { "a": 1 } });
    naming(
        "an entry with a further key",
        silent(&bare(&call, &["cni.dev/valid-attachments"], &entry)),
    )?;
    unchanged(bench, &before, "GC with an unknown attachment among the valid ones")
}

/// GC with a list of one, under these keys alone.
fn bare(call: &Call<'_>, keys: &[&str], entry: &Value) -> testbed::Outcome {
    let none = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
    let call = call.clone().with(|cni| {
        let cni = none.iter().fold(cni, |cni, name| cni.unset(name));
        keys.iter().fold(cni, |cni, key| cni.key(key, json!([entry])))
    });
    call.verb("GC")
}

fn other_networks_stay(bench: &Bench) -> Verdict {
    let container = bench.container("b");
    let mut config = bench.config();
    bench.profile.rename(&mut config, "other", 1);
    set(&mut config, "ipam", json!({ "type": ipam::NAME }));
    let other = bench.call(&container).with(|cni| cni.conf(config));
    let result = other.add().succeeds()?;
    let call = with_kit_ipam(bench, &bench.container("a"));
    call.add().succeeds()?;
    call.del().succeeds()?;
    let before = state(bench);
    call.gc(&[]).succeeds()?;
    unchanged(bench, &before, "GC of another network, with nothing valid")?;
    naming("of the other network, after GC", silent(&other.check(&result)))
}

fn addresses_are_freed(bench: &Bench) -> Verdict {
    let ipam = few_addresses(bench, 2)?;
    let [a, b, c] = ["a", "b", "c"].map(|name| bench.container(name));
    let call = |container| bench.call(container).with(|cni| cni.key("ipam", ipam.clone()));
    call(&a).add().succeeds()?;
    call(&b).add().succeeds()?;
    bench.kill(&b);
    call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    let judged = call(&c).add().succeeds();
    naming("one of the network's two addresses was freed by GC", judged.map(drop))
}

fn nothing_is_left(bench: &Bench) -> Verdict {
    let (a, _) = bench.added("a")?;
    let before = state(bench);
    let (b, _) = bench.added("b")?;
    bench.kill(&b);
    bench.call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    returns_to(bench, &before, "ADD of b, its namespace deleted, GC with a valid")
}

fn one_of_two(bench: &Bench) -> Verdict {
    let ipam = few_addresses(bench, 2)?;
    let [a, c, d] = ["a", "c", "d"].map(|name| bench.container(name));
    let call = |container| bench.call(container).with(|cni| cni.key("ipam", ipam.clone()));
    call(&a).add().succeeds()?;
    let second = call(&a).with(|cni| cni.ifname("net1"));
    if !second.add().status.success() {
        return Err(Stop::Absent("it does not join a container twice: S2.ADD.3".to_owned()));
    }
    a.pod.sh("ip link del net1");
    call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    naming("the address of net1 was freed by GC", call(&c).add().succeeds())?;
    naming("the address of eth0 is taken still", call(&d).add().fails()).map(drop)
}

fn ipam_refuses(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let call = with_kit_ipam(bench, &container);
    call.add().succeeds()?;
    let before = state(bench);
    let_ipam_refuse(bench, "GC", 100);
    let outcome = call.gc(&[(&container.id, "eth0")]);
    naming("the address management plugin's is an error", outcome.fails())?;
    unchanged(bench, &before, "GC that the address management plugin refuses")?;
    let_ipam_be("GC");
    naming(
        "the address management plugin's is none any more",
        silent(&call.gc(&[(&container.id, "eth0")])),
    )
}

fn older_key(bench: &Bench) -> Verdict {
    let (container, _) = bench.added("a")?;
    let before = state(bench);
    let entry = json!({ "containerID": container.id, "ifname": "eth0" });
    let outcome = bare(&bench.call(&container), &["cni.dev/attachments"], &entry);
    // It may not know the key, and say so; but it must not take the attachment for one that is not valid.
    unchanged(bench, &before, "GC with the list as `cni.dev/attachments`")?;
    super::steps::orderly(&outcome)
}

fn not_before(bench: &Bench) -> Verdict {
    let (container, _) = bench.added("a")?;
    let before = state(bench);
    for version in ["0.4.0", "1.0.0"] {
        let call = bench.call(&container).with(|cni| cni.key("cniVersion", version));
        naming(format!("cniVersion {version}"), call.gc(&[]).fails())?;
    }
    unchanged(bench, &before, "GC with versions that do not have it")
}
