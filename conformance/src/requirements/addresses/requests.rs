//! Addresses that are asked for, and what else is said of host-local.

use std::fs;

use serde_json::{Value, json};
use testbed::Cni;

use crate::address::Cidr;
use crate::bench::{Bench, broken, set};
use crate::requirement::{Judge, Verdict, ensure};

use super::{add, call, config, given, subnet, take_all};

/// What ADD hands out is this.
fn hands_out(
    bench: &Bench,
    config: &Value,
    change: impl FnOnce(Cni) -> Cni,
    wanted: &[&str],
) -> Verdict {
    let given = given(&call(bench, config, "c1", "eth0").with(change).add())?;
    let right = given.len() == wanted.len()
        && given.iter().zip(wanted).all(|(ip, wanted)| ip.to_string() == *wanted);
    ensure(right, "ADD", format!("{wanted:?}"), format!("{given:?}"))
}

pub(super) fn by_args(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/24");
    hands_out(bench, &config, |cni| cni.args("IP=10.1.2.77"), &["10.1.2.77"])?;
    call(bench, &config, "c1", "eth0").del().succeeds()?;
    let kubernetes = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=kit;IP=10.1.2.78";
    hands_out(bench, &config, |cni| cni.args(kubernetes), &["10.1.2.78"])
}

fn both(bench: &Bench) -> Value {
    config(bench, json!([[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]))
}

pub(super) fn by_runtime(bench: &Bench) -> Verdict {
    // With and without a prefix, as runtimes do.
    let wanted = json!({ "ips": ["10.1.2.77/24", "fd00:1:2::77"] });
    let wants = |cni: Cni| cni.key("runtimeConfig", wanted);
    hands_out(bench, &both(bench), wants, &["10.1.2.77", "fd00:1:2::77"])
}

pub(super) fn by_config_args(bench: &Bench) -> Verdict {
    let wanted = json!({ "cni": { "ips": ["10.1.2.77", "fd00:1:2::77"] } });
    hands_out(bench, &both(bench), |cni| cni.key("args", wanted), &["10.1.2.77", "fd00:1:2::77"])
}

pub(super) fn taken(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/29");
    hands_out(bench, &config, |cni| cni.args("IP=10.1.2.4"), &["10.1.2.4"])?;
    call(bench, &config, "c2", "eth0").with(|cni| cni.args("IP=10.1.2.4")).add().fails()?;
    let others = take_all(bench, &config, "d")?;
    let right = others.len() == 4 && others.iter().all(|ip| ip.to_string() != "10.1.2.4");
    let done = "ADD that asks for the taken 10.1.2.4, and ADDs until 10.1.2.0/29 is full";
    ensure(right, done, "the 4 other addresses", format!("{others:?}"))
}

pub(super) fn impossible(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/29");
    for wanted in ["10.9.9.9", "10.1.2.1", "10.1.2.300", "fd00::9"] {
        let call = call(bench, &config, "c1", "eth0");
        call.with(|cni| cni.args(&format!("IP={wanted}"))).add().fails()?;
    }
    let free = take_all(bench, &config, "d")?;
    let done = "ADDs that asked for impossible addresses, and ADDs until 10.1.2.0/29 is full";
    ensure(free.len() == 5, done, "all 5 addresses", format!("{free:?}"))
}

pub(super) fn ranges(bench: &Bench) -> Verdict {
    let mut config = bench.config();
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    if let Some(keys) = ipam.as_object_mut() {
        keys.remove("ranges");
    }
    set(&mut config, "ipam", ipam);
    let wanted =
        json!({ "ipRanges": [[{ "subnet": "10.7.7.0/24" }], [{ "subnet": "fd00:7::/64" }]] });
    let call =
        call(bench, &config, "c1", "eth0").with(|cni| cni.key("runtimeConfig", wanted.clone()));
    let given = given(&call.add())?;
    let within = |net: &str| {
        let net = net.parse::<Cidr>().ok();
        given.iter().filter(|ip| net.is_some_and(|net| net.contains(**ip))).count() == 1
    };
    let right = given.len() == 2 && within("10.7.7.0/24") && within("fd00:7::/64");
    ensure(right, "ADD", format!("an address of each of {wanted}"), format!("{given:?}"))
}

/// The first set could give what is asked for, the second one cannot.
pub(super) fn failure_keeps_earlier(bench: &Bench) -> Verdict {
    let sets = json!([[{ "subnet": "10.1.2.0/29" }], [{ "subnet": "10.1.3.0/29" }]]);
    let config = config(bench, sets);
    let first = add(bench, &config, "c1")?;
    let wanted = json!({ "ips": ["10.1.2.6", "10.1.3.1"] });
    let call = call(bench, &config, "c1", "eth0");
    call.with(|cni| cni.key("runtimeConfig", wanted)).add().fails()?;
    let others = take_all(bench, &config, "d")?;
    let kept = first.iter().all(|ip| !others.contains(ip)) && others.len() == 8;
    let done =
        format!("ADD that failed for what has {first:?}, and ADDs until both ranges are full");
    ensure(kept, done, "the 8 other addresses", format!("{others:?}"))
}

pub(super) fn rubbish(bench: &Bench) -> Verdict {
    let mut config = subnet(bench, "10.1.2.0/29");
    let folder = "/run/testbed/addresses";
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    set(&mut ipam, "dataDir", folder);
    set(&mut config, "ipam", ipam);
    let network = format!("{folder}/{}", crate::bench::NETWORK);
    let files: [(&str, &[u8]); 6] = [
        ("last_reserved_ip.0", b"somewhere"),
        ("10.1.2.300", b"c1\r\neth0"),
        ("notes.txt", b"do not delete"),
        ("10.1.2.2.tmp", b""),
        ("10.9.9.9", b"c9\r\neth0"),
        ("10.1.2.6", b"\xff\xfe\0\0"),
    ];
    let made = fs::create_dir_all(format!("{network}/folder")).and_then(|()| {
        files.iter().try_for_each(|(name, content)| fs::write(format!("{network}/{name}"), content))
    });
    made.unwrap_or_else(|error| broken(&format!("make files in {network}: {error}")));
    let first = add(bench, &config, "c1")?;
    let second = add(bench, &config, "c2")?;
    ensure(first != second, "ADD", "another address", format!("{second:?}"))?;
    call(bench, &config, "c1", "eth0").del().succeeds()?;
    call(bench, &config, "c2", "eth0").del().succeeds()?;
    // The file of 10.1.2.6 says that somebody has it.
    let free = take_all(bench, &config, "d")?.len();
    ensure(free >= 4, "ADDs until 10.1.2.0/29 is full", "at least 4 addresses", free)
}
