//! `scripts/picture` draws a node whose pods containerd started.

use std::fs;
use std::process::Command;

use e2e::{Containerd, Machine, Pod, Release};
use serde_json::{Value, json};
use testbed::assert_same;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/picture");
const SHOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/node.svg");

/// A dual-stack network with one plugin.
fn network(mut plugin: Value, ranges: Value) -> Value {
    plugin["ipam"] = json!({
        "type": "host-local", "ranges": ranges, "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
    });
    json!({ "cniVersion": "1.0.0", "name": plugin["type"], "plugins": [plugin] })
}

/// The networks of the node, and the pods on each.
fn networks() -> [(Value, &'static [&'static str]); 3] {
    let bridge =
        json!({ "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true });
    let ptp = json!({ "type": "ptp", "ipMasq": true });
    let macvlan = json!({ "type": "macvlan", "master": "uplink" });
    let subnets = |number: u8| json!([[{ "subnet": format!("10.{number}.0.0/24") }], [{ "subnet": format!("fd00:{number}::/64") }]]);
    let outside = json!([
        [{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100", "gateway": "192.0.2.2" }],
        [{ "subnet": "2001:db8:ffff::/64", "rangeStart": "2001:db8:ffff::100", "gateway": "2001:db8:ffff::2" }]
    ]);
    [
        (network(bridge, subnets(88)), &["web-1", "web-2"]),
        (network(ptp, subnets(89)), &["batch"]),
        (network(macvlan, outside), &["camera"]),
    ]
}

/// Without the names of links, which derive from random container IDs, and sorted, because their
/// order is by name.
fn comparable(svg: &str) -> String {
    let mut parts = svg.split("veth");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let id = part.bytes().take_while(u8::is_ascii_hexdigit).count();
        text += "veth";
        text += if id == 11 { &part[id..] } else { part };
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Removes all other networks: containerd attaches pods to the first network, and detaches them
/// from it, whichever they are attached to.
fn only(containerd: &Containerd, machine: &Machine, network: &Value) {
    machine.sh("rm -f /etc/cni/net.d/*");
    containerd.network_on(machine, network);
}

#[test]
fn every_pod_has_its_name_and_addresses() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.sh("ip route add default via 192.0.2.2; ip route add default via 2001:db8:ffff::2");
    let containerd = Containerd::start(&machine, Release::asked());
    let mut pods: Vec<(Value, Pod<'_>)> = Vec::new();
    for (network, names) in networks() {
        only(&containerd, &machine, &network);
        pods.extend(names.iter().map(|name| (network.clone(), containerd.pod(name))));
    }
    for (network, pod) in &pods {
        assert!(
            pod.ping(outside.v4) && pod.ping(outside.v6),
            "{} on {}",
            pod.name(),
            network["name"]
        );
    }

    let drawn = Command::new("/usr/bin/python3").args(["-I", "-S", SCRIPT]).output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let drawn = String::from_utf8(drawn.stdout).unwrap();
    for (_, pod) in &pods {
        assert!(drawn.contains(&format!(">{}</text>", pod.name())), "the pod {}", pod.name());
        for address in pod.addresses() {
            assert!(drawn.contains(&format!(">{address}/")), "{address} of the pod {}", pod.name());
        }
    }
    let shown = fs::read_to_string(SHOWN).unwrap_or_default();
    let as_shown = comparable(&shown) == comparable(&drawn);
    if !as_shown && std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(SHOWN, &drawn).unwrap();
    } else {
        assert_same!(
            comparable(&shown),
            comparable(&drawn),
            "UPDATE_DOCS=1 scripts/e2e stable -- picture"
        );
    }

    for (network, pod) in pods {
        only(&containerd, &machine, &network);
        drop(pod);
    }
}
