//! How addresses become free again, and which do not.

use crate::bench::{Bench, set};
use crate::requirement::{Judge, Verdict, ensure};

use super::{add, call, del, given, subnet, take_all};

pub(super) fn with_nothing(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/30");
    add(bench, &config, "c1")?;
    call(bench, &config, "c1", "eth0").with(|cni| cni.unset("CNI_NETNS")).del().succeeds()?;
    add(bench, &config, "c2").map(drop)
}

pub(super) fn others_stay(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/29");
    add(bench, &config, "c1")?;
    let others = [("c1", "net1"), ("c10", "eth0"), ("c", "eth0")];
    let mut kept = Vec::new();
    for (id, ifname) in others {
        kept.extend(given(&call(bench, &config, id, ifname).add())?);
    }
    del(bench, &config, "c1")?;
    del(bench, &config, "c1")?;
    let free = take_all(bench, &config, "d")?;
    let right = free.len() == 2 && kept.iter().all(|ip| !free.contains(ip));
    let done =
        format!("DEL of eth0 of c1 while {others:?} have {kept:?}, and ADDs until it is full");
    ensure(right, done, "2 addresses that nobody has", format!("{free:?}"))
}

pub(super) fn again(bench: &Bench) -> Verdict {
    let config = bench.config();
    del(bench, &config, "never")?;
    let container = bench.container("one");
    let call = bench.call(&container);
    call.add().succeeds()?;
    call.del().succeeds()?;
    call.del().succeeds().map(drop)
}

pub(super) fn not_at_once(bench: &Bench) -> Verdict {
    let config = bench.config();
    let first = add(bench, &config, "c1")?;
    del(bench, &config, "c1")?;
    let second = add(bench, &config, "c2")?;
    let other = second.iter().all(|ip| !first.contains(ip));
    ensure(other, format!("ADD after DEL of {first:?}"), "other addresses", format!("{second:?}"))
}

pub(super) fn check(bench: &Bench) -> Verdict {
    let config = bench.config();
    let call = call(bench, &config, "c1", "eth0");
    let result = call.add().succeeds()?;
    call.check(&result).succeeds()?;
    call.del().succeeds()?;
    call.check(&result).fails().map(drop)
}

pub(super) fn gc(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/29");
    add(bench, &config, "c1")?;
    call(bench, &config, "c1", "net1").add().succeeds()?;
    add(bench, &config, "c2")?;
    bench.call_with(&config).gc(&[("c1", "eth0")]).succeeds()?;
    let free = take_all(bench, &config, "d")?;
    let done = "GC with 1 of 3 attachments valid, and ADDs until 10.1.2.0/29 is full";
    ensure(free.len() == 4, done, "4 addresses", format!("{free:?}"))
}

pub(super) fn gc_keeps(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/29");
    let mut kept = add(bench, &config, "c1")?;
    kept.extend(given(&call(bench, &config, "c1", "net1").add())?);
    let mut other = subnet(bench, "10.1.2.0/30");
    set(&mut other, "name", "another");
    add(bench, &other, "c1")?;
    bench.call_with(&config).gc(&[("c1", "net1"), ("c1", "eth0")]).succeeds()?;
    let free = take_all(bench, &config, "d")?;
    let right = free.len() == 3 && kept.iter().all(|ip| !free.contains(ip));
    let done = format!("GC with {kept:?} valid, and ADDs until 10.1.2.0/29 is full");
    ensure(right, done, "the 3 other addresses", format!("{free:?}"))?;
    bench.call_with(&config).gc(&[]).succeeds()?;
    call(bench, &other, "c2", "eth0").add().fails().map(drop)
}
