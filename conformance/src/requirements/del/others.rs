//! Whom a DEL does not concern.

use super::super::steps::{naming, same, silent, state, state_of, unchanged};
use crate::bench::{Bench, Container};
use crate::requirement::{Judge, Stop, Verdict};

pub(super) fn others_stay(bench: &Bench) -> Verdict {
    let (a, first) = bench.added("a")?;
    let (b, second) = bench.added("b")?;
    let (c, third) = bench.added("c")?;
    let others = |pods: &[&Container]| -> String {
        pods.iter().map(|container| state_of(&container.pod)).collect()
    };
    let del = |container, result| bench.call(container).with(|cni| cni.prev(result)).del();
    let before = others(&[&a, &c]);
    del(&b, &second).succeeds()?;
    same(&before, &others(&[&a, &c]), "ADD of a, b, c; DEL of b, seen from a and c")?;
    let before = others(&[&c]);
    del(&a, &first).succeeds()?;
    same(&before, &others(&[&c]), "ADD of a, b, c; DEL of b, a, seen from c")?;
    del(&c, &third).succeeds().map(drop)
}

pub(super) fn one_of_two(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let first = bench.call(&container).with(|cni| cni.ifname("net1"));
    let result = first.add().succeeds()?;
    let alone = state_of(&container.pod);
    let second = bench.call(&container);
    if !second.add().status.success() {
        return Err(Stop::Absent("it does not join a container twice: S2.ADD.3".to_owned()));
    }
    second.del().succeeds()?;
    same(&alone, &state_of(&container.pod), "ADD of net1 and eth0, DEL of eth0, seen from net1")?;
    if bench.is_from("0.4.0") {
        naming("of net1, after DEL of eth0", silent(&first.check(&result)))?;
    }
    first.del().succeeds().map(drop)
}

pub(super) fn other_interface(bench: &Bench) -> Verdict {
    let (container, _) = bench.added("a")?;
    let before = state(bench);
    let call = bench.call(&container).with(|cni| cni.ifname("net9"));
    naming("net9, which was never added", silent(&call.del()))?;
    unchanged(bench, &before, "ADD of eth0, DEL of net9")
}
