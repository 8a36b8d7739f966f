//! Requests for addresses, and properties of host-local.

use std::fs;

use serde_json::{Value, json};
use testbed::Cni;

use crate::address::Cidr;
use crate::fixture::Fixture;
use crate::isolation::broken;
use crate::json::set;
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::{add, call, config, given, subnet, take_all};

/// ADD must allocate exactly this address.
fn hands_out(
    fixture: &Fixture,
    config: &Value,
    change: impl FnOnce(Cni) -> Cni,
    wanted: &[&str],
) -> TestResult {
    let given = given(&call(fixture, config, "c1", "eth0").with(change).add())?;
    let right = given.len() == wanted.len()
        && given.iter().zip(wanted).all(|(ip, wanted)| ip.to_string() == *wanted);
    ensure(right, "ADD", format!("{wanted:?}"), format!("{given:?}"))
}

pub(super) fn by_args(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/24");
    hands_out(fixture, &config, |cni| cni.args("IP=10.1.2.77"), &["10.1.2.77"])?;
    call(fixture, &config, "c1", "eth0").del().succeeds()?;
    let kubernetes = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=kit;IP=10.1.2.78";
    hands_out(fixture, &config, |cni| cni.args(kubernetes), &["10.1.2.78"])
}

fn both(fixture: &Fixture) -> Value {
    config(fixture, json!([[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]))
}

pub(super) fn by_runtime(fixture: &Fixture) -> TestResult {
    // Runtimes pass addresses with and without a prefix length.
    let wanted = json!({ "ips": ["10.1.2.77/24", "fd00:1:2::77"] });
    let wants = |cni: Cni| cni.key("runtimeConfig", wanted);
    hands_out(fixture, &both(fixture), wants, &["10.1.2.77", "fd00:1:2::77"])
}

pub(super) fn by_config_args(fixture: &Fixture) -> TestResult {
    let wanted = json!({ "cni": { "ips": ["10.1.2.77", "fd00:1:2::77"] } });
    hands_out(
        fixture,
        &both(fixture),
        |cni| cni.key("args", wanted),
        &["10.1.2.77", "fd00:1:2::77"],
    )
}

pub(super) fn taken(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/29");
    hands_out(fixture, &config, |cni| cni.args("IP=10.1.2.4"), &["10.1.2.4"])?;
    call(fixture, &config, "c2", "eth0").with(|cni| cni.args("IP=10.1.2.4")).add().fails()?;
    let others = take_all(fixture, &config, "d")?;
    let right = others.len() == 4 && others.iter().all(|ip| ip.to_string() != "10.1.2.4");
    let done = "ADD that asks for the taken 10.1.2.4, and ADDs until 10.1.2.0/29 is full";
    ensure(right, done, "the 4 other addresses", format!("{others:?}"))
}

pub(super) fn impossible(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/29");
    for wanted in ["10.9.9.9", "10.1.2.1", "10.1.2.300", "fd00::9"] {
        let call = call(fixture, &config, "c1", "eth0");
        call.with(|cni| cni.args(&format!("IP={wanted}"))).add().fails()?;
    }
    let free = take_all(fixture, &config, "d")?;
    let done = "ADDs that asked for impossible addresses, and ADDs until 10.1.2.0/29 is full";
    ensure(free.len() == 5, done, "all 5 addresses", format!("{free:?}"))
}

pub(super) fn ranges(fixture: &Fixture) -> TestResult {
    let mut config = fixture.config();
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    if let Some(keys) = ipam.as_object_mut() {
        keys.remove("ranges");
    }
    set(&mut config, "ipam", ipam);
    let wanted =
        json!({ "ipRanges": [[{ "subnet": "10.7.7.0/24" }], [{ "subnet": "fd00:7::/64" }]] });
    let call =
        call(fixture, &config, "c1", "eth0").with(|cni| cni.key("runtimeConfig", wanted.clone()));
    let given = given(&call.add())?;
    let within = |net: &str| {
        let net = net.parse::<Cidr>().ok();
        given.iter().filter(|ip| net.is_some_and(|net| net.contains(**ip))).count() == 1
    };
    let right = given.len() == 2 && within("10.7.7.0/24") && within("fd00:7::/64");
    ensure(right, "ADD", format!("an address of each of {wanted}"), format!("{given:?}"))
}

/// The first range set has the requested address free, the second does not.
pub(super) fn failure_keeps_earlier(fixture: &Fixture) -> TestResult {
    let sets = json!([[{ "subnet": "10.1.2.0/29" }], [{ "subnet": "10.1.3.0/29" }]]);
    let config = config(fixture, sets);
    let first = add(fixture, &config, "c1")?;
    let wanted = json!({ "ips": ["10.1.2.6", "10.1.3.1"] });
    let call = call(fixture, &config, "c1", "eth0");
    call.with(|cni| cni.key("runtimeConfig", wanted)).add().fails()?;
    let others = take_all(fixture, &config, "d")?;
    let kept = first.iter().all(|ip| !others.contains(ip)) && others.len() == 8;
    let done =
        format!("ADD that failed for what has {first:?}, and ADDs until both ranges are full");
    ensure(kept, done, "the 8 other addresses", format!("{others:?}"))
}

pub(super) fn rubbish(fixture: &Fixture) -> TestResult {
    let mut config = subnet(fixture, "10.1.2.0/29");
    let folder = "/run/testbed/addresses";
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    set(&mut ipam, "dataDir", folder);
    set(&mut config, "ipam", ipam);
    let network = format!("{folder}/{}", crate::fixture::NETWORK);
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
    let first = add(fixture, &config, "c1")?;
    let second = add(fixture, &config, "c2")?;
    ensure(first != second, "ADD", "another address", format!("{second:?}"))?;
    call(fixture, &config, "c1", "eth0").del().succeeds()?;
    call(fixture, &config, "c2", "eth0").del().succeeds()?;
    // A file for 10.1.2.6 marks this address as allocated.
    let free = take_all(fixture, &config, "d")?.len();
    ensure(free >= 4, "ADDs until 10.1.2.0/29 is full", "at least 4 addresses", free)
}
