//! PLAN and REPAIR by cnitool on a real kernel: what is there already, and chains with plugins of
//! the reference suite.
use std::fs;
use std::os::unix::fs::symlink;

use crate::bed::{Bed, OWN, Run};
use serde_json::{Value, json};

/// A network of a bridge with masquerading, and plugins behind it.
fn network(ipam: &Value, behind: &[Value]) -> Value {
    let bridge = json!({ "type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": true, "ipam": ipam });
    let plugins = [&[bridge], behind].concat();
    json!({ "name": "pods", "cniVersion": "1.0.0", "plugins": plugins })
}

fn host_local() -> Value {
    json!({ "type": "host-local", "subnet": "10.88.0.0/24" })
}

/// A bed with a plugin of the reference suite beside ours.
fn with_reference(plugin: &str, conf: &Value) -> Bed {
    let bed = Bed::with(conf);
    fs::create_dir_all(OWN).unwrap();
    symlink(testbed::reference().join(plugin), format!("{OWN}/{plugin}")).unwrap();
    bed
}

fn contains(run: &Run, said: &[&str]) {
    for said in said {
        assert!(run.stdout.contains(said), "{said:?} is missing: {}{}", run.stdout, run.said);
    }
}

/// Whether the line of a plan with this command, of which there is one, is marked as there already.
#[track_caller]
fn is_marked(plan: &str, command: &str) -> bool {
    let lines: Vec<&str> = plan.lines().filter(|line| line.contains(command)).collect();
    assert_eq!(lines.len(), 1, "{command}: {plan}");
    lines[0].contains("(exists") || lines[0].contains("(already so")
}

#[test]
fn a_plan_marks_existing_objects() {
    let bed = Bed::with(&network(&host_local(), &[]));
    bed.pod("c2");
    bed.sh("sysctl -qw net/ipv4/ip_forward=0");
    let first = bed.cnitool(&["plan", "pods", "c2"]).ok();
    let table = "nft add table inet ferrocni";
    let bridge = "ip link add pods type bridge";
    let gateway = "ip address add 10.88.0.1/24 dev pods";
    let forwarding = "sysctl -w net/ipv4/ip_forward=1";
    for command in
        [table, bridge, gateway, "nft add map", "nft add chain inet ferrocni postrouting"]
    {
        assert!(first.contains(command), "{command}: {first}");
    }
    assert!(!first.contains("exists"), "{first}");
    let c1 = bed.add("c1");
    let second = bed.cnitool(&["plan", "pods", "c2"]).ok();
    for command in
        [table, bridge, gateway, forwarding, "nft add chain inet ferrocni masq_10.88.0.0/24"]
    {
        assert!(is_marked(&second, command), "{command}: {second}");
    }
    for command in ["nft add element", "ip -n POD link set eth0 up", "peer name eth0"] {
        assert!(!is_marked(&second, command), "{command}: {second}");
    }
    // The attachment itself, by the namespace alone.
    let attached = bed.cnitool(&["plan", "pods", "c1"]).ok();
    assert!(
        attached.starts_with("pods (CNI 1.0.0)  (c1 is attached: an add would be refused)"),
        "{attached}"
    );
    let address = "ip -n POD address add 10.88.0.2/24 dev eth0";
    for command in ["nft add element", "ip -n POD link set eth0 up", "peer name eth0", address] {
        assert!(is_marked(&attached, command), "{command}: {attached}");
    }
    c1.sh("ip addr flush dev eth0");
    bed.sh("nft flush ruleset");
    let broken = bed.cnitool(&["plan", "pods", "c1"]).ok();
    for command in [table, "nft add element", address] {
        assert!(!is_marked(&broken, command), "{command}: {broken}");
    }
    assert!(is_marked(&broken, bridge), "{broken}");
    // In words, and marked once they are over.
    let wait = "# wait until the container's eth0 has a carrier and passes packets";
    assert!(is_marked(&attached, wait) && !is_marked(&second, wait), "{attached}");
    let json: Value =
        serde_json::from_str(&bed.cnitool(&["plan", "pods", "c1", "--json"]).ok()).unwrap();
    assert_eq!(json["isAttached"], true, "{json}");
    assert_eq!(json["plugins"][0]["plan"]["steps"][0]["existing"], json!([bridge]), "{json}");
}

#[test]
fn a_plan_looks_and_changes_nothing() {
    let backend = |name: &str| {
        json!({ "type": "bridge", "bridge": "pods", "isGateway": true, "macspoofchk": true,
        "ipMasq": true, "ipMasqBackend": name, "ipam": host_local() })
    };
    for name in ["nftables", "iptables"] {
        let bed = Bed::with(
            &json!({ "name": "pods", "cniVersion": "1.1.0", "plugins": [backend(name)] }),
        );
        bed.add("c1");
        bed.pod("c2");
        let before = bed.state();
        for container in ["c1", "c2"] {
            bed.cnitool(&["plan", "pods", container]).ok();
            testbed::assert_same!(before, bed.state());
        }
    }
}

const TUNING: &str = "plugin tuning cannot repair: it does not know REPAIR";

#[test]
fn repair_reports_its_changes_beside_a_plugin_of_the_reference() {
    let tuning = json!({ "type": "tuning", "sysctl": { "net.core.somaxconn": "500" } });
    let bed = with_reference("tuning", &network(&host_local(), &[tuning]));
    let planned = bed.cnitool(&["plan", "pods"]);
    assert_eq!(planned.status, Some(0), "{}", planned.said);
    contains(
        &planned,
        &[
            "ip link add pods type bridge",
            "not known: plugin tuning cannot print its plan: it does not know PLAN",
            "result  (as far as it is known)",
            "address 10.88.0.2/24 on eth0",
        ],
    );
    let pod = bed.add("c1");
    let done = "c1/eth0: repaired by bridge: interface eth0 is down";
    for (broken, well) in [("true", true), ("sysctl -qw net/core/somaxconn=600", false)] {
        pod.sh(&format!("ip link set eth0 down; {broken}"));
        let repaired = bed.cnitool(&["repair", "pods", "c1"]);
        assert_eq!(repaired.status, Some(i32::from(!well)), "{}{}", repaired.stdout, repaired.said);
        contains(&repaired, &[done, &format!("c1/eth0: {TUNING}")]);
        assert_eq!(repaired.stdout.contains("c1/eth0: CHECK finds nothing wrong"), well);
        let left = "c1/eth0: plugin type=\"tuning\" failed (check): ";
        assert_eq!(repaired.said.contains(left), !well, "{}", repaired.said);
        assert!(pod.sh("ip link show eth0").contains(",UP"), "eth0 is down");
    }
    // Not broken, but not as ADD left it either.
    let repaired = bed.cnitool(&["repair", "pods", "--json"]);
    assert_eq!(repaired.status, Some(1), "{}", repaired.said);
    let json: Value = serde_json::from_str(&repaired.stdout).unwrap();
    assert_eq!(
        (&json[0]["repaired"], &json[0]["unasked"]),
        (&json!([]), &json!([TUNING])),
        "{json}"
    );
    assert_eq!(json[0]["error"]["code"], 999, "{json}");
    pod.sh("sysctl -qw net/core/somaxconn=500");
    let repaired = bed.cnitool(&["repair", "pods"]).ok();
    assert!(
        !repaired.contains("repaired by") && repaired.contains("CHECK finds nothing wrong"),
        "{repaired}"
    );
}

/// An address management plugin may be another suite's too.
#[test]
fn addresses_of_the_reference_are_not_known_beforehand_and_can_be_repaired() {
    let ipam = json!({ "type": "static", "addresses": [{ "address": "10.88.0.7/24", "gateway": "10.88.0.1" }] });
    let bed = with_reference("static", &network(&ipam, &[]));
    let pod = bed.pod("c1");
    let planned = bed.cnitool(&["plan", "pods", "c1"]);
    assert_eq!(planned.status, Some(0), "{}", planned.said);
    contains(
        &planned,
        &["peer name eth0", "not known: addresses", "the IPAM plugin static does not know PLAN"],
    );
    bed.cnitool(&["add", "pods", "c1"]).ok();
    pod.sh("ip addr flush dev eth0");
    let repaired = bed.cnitool(&["repair", "pods", "c1"]).ok();
    assert!(repaired.contains("address 10.88.0.7/24 is not on eth0"), "{repaired}");
    bed.cnitool(&["check", "pods", "c1"]).ok();
    let attached = bed.cnitool(&["plan", "pods", "c1"]).ok();
    assert!(is_marked(&attached, "ip -n POD address add 10.88.0.7/24 dev eth0"), "{attached}");
}
