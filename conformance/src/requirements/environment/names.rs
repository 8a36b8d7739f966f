//! Container ids and interface names.

use super::super::steps::{add_and_del, naming, refused, state, unchanged};
use super::{added, names};
use crate::bench::Bench;
use crate::requirement::{Judge, Verdict};

const BAD_IDS: [&str; 10] =
    ["..", "../up", "/root", "a/b", "-a", "_a", ".a", "a b", "a\nb", "caf\u{e9}"];

/// The eighth has 8 characters, but 16 bytes.
const BAD_IFNAMES: [&str; 9] = [
    "sixteen-letters-",
    ".",
    "..",
    "a/b",
    "a:b",
    "a b",
    "a\tb",
    "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    "eth0\n",
];

pub(super) fn bad_ids(bench: &Bench) -> Verdict {
    let (_, call) = added(bench)?;
    let before = state(bench);
    for id in BAD_IDS {
        let call = call.clone().with(|cni| cni.container(id));
        naming(format!("the container id {id:?}"), call.add().fails())?;
        naming(format!("the container id {id:?}"), call.del().fails())?;
    }
    unchanged(bench, &before, "calls with container ids that are not allowed")
}

pub(super) fn good_ids(bench: &Bench) -> Verdict {
    let (usual, long) = ("0123456789abcdef".repeat(4), "i".repeat(200));
    for (number, id) in ["7", "A.b_c-D", &usual, &long].into_iter().enumerate() {
        let call = bench.call(&bench.container(&format!("c{number}")));
        naming(format!("the container id {id}"), add_and_del(&call.with(|cni| cni.container(id))))?;
    }
    Ok(())
}

pub(super) fn bad_ifnames(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    let inputs = BAD_IFNAMES.map(|name| (name, call.clone().with(|cni| cni.ifname(name))));
    refused(bench, inputs)
}

pub(super) fn good_ifnames(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    for name in ["0", "fifteen-letters", "net1.100", "a_b-c@d"] {
        let call = bench.call(&container).with(|cni| cni.ifname(name));
        naming(format!("the interface name {name}"), add_and_del(&call))?;
    }
    Ok(())
}

pub(super) fn names_invalid_variables(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    let ids = BAD_IDS.map(|id| ("CNI_CONTAINERID", id));
    let ifnames = BAD_IFNAMES.map(|name| ("CNI_IFNAME", name));
    for (variable, value) in ids.into_iter().chain(ifnames) {
        let done = format!("ADD with {variable}={value:?}");
        let outcome = call.clone().with(|cni| cni.env(variable, value)).add();
        names(&naming(&done, outcome.fails())?, variable, &done)?;
    }
    Ok(())
}
