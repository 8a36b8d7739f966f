//! What each documented configuration plans and answers, as `CNI_COMMAND=PLAN` prints it: a snapshot each, in `snapshots/`.
//! Names and MAC addresses derive from the attachment, so they are the same everywhere. Only the last tests need
//! namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is how it reports"
)]

use insta::Settings;
use serde_json::{Value, json};
use testbed::{Cni, Node, assert_same, normalise};

/// The configuration of a network, with these keys.
fn config(plugin: &str, keys: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.1.0", "name": "pods", "type": plugin });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

/// One address of 10.1.2.0/24. The folder is not there: a plan reads reservations and makes none.
fn v4() -> Value {
    json!({ "type": "host-local", "dataDir": "/nowhere", "subnet": "10.1.2.0/24" })
}

/// An address of each family.
fn dual() -> Value {
    json!({
        "type": "host-local",
        "dataDir": "/nowhere",
        "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
    })
}

fn plan_of(config: &Value, args: &str) -> Value {
    let plugin = config["type"].as_str().unwrap();
    Cni::new(plugin).conf(config).env("CNI_NETNS", "/run/netns/a").args(args).raw("PLAN").ok()
}

/// The plan by namespace, as commands; then the result.
fn show(preview: &Value) -> String {
    let steps = preview["plan"]["steps"].as_array().unwrap();
    let mut text = String::new();
    for place in ["host", "pod"] {
        let here: Vec<&Value> = steps.iter().filter(|step| step["place"] == place).collect();
        if !here.is_empty() {
            text += &format!("{place}\n");
        }
        for step in here {
            let shared = if step["ownership"] == "shared" { "  (shared)" } else { "" };
            for command in step["shown"].as_str().unwrap().split(" && ") {
                text += &format!("  {command}{shared}\n");
            }
        }
    }
    text + &format!("result {:#}\n", preview["result"])
}

/// Compares with the snapshot `name`, which shows the configuration above the plan.
fn assert_plan(name: &str, plugin: &str, keys: Value) {
    let shown = show(&plan_of(&config(plugin, keys.clone()), ""));
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(format!("{plugin} {keys}"));
    settings.bind(|| insta::assert_snapshot!(name, shown));
}

#[test]
fn bridge() {
    let trunk = json!([{ "minID": 200, "maxID": 210 }, { "id": 101 }]);
    let routes = json!({ "type": "host-local", "dataDir": "/nowhere", "subnet": "10.1.2.0/24", "routes": [
        { "dst": "0.0.0.0/0" },
        { "dst": "10.8.0.0/16", "gw": "10.1.2.9", "mtu": 1200, "advmss": 1000, "priority": 7 },
        { "dst": "10.9.0.0/16", "table": 100 },
        { "dst": "10.10.0.0/16", "scope": 253 }
    ]});
    let dns = json!({ "nameservers": ["10.1.2.53"], "domain": "pods.test", "search": ["a.test"], "options": ["ndots:2"] });
    for (name, keys) in [
        ("layer_2", json!({})),
        ("gateway", json!({ "isGateway": true, "ipam": v4() })),
        ("default_gateway", json!({ "isDefaultGateway": true, "ipam": dual() })),
        ("force_address", json!({ "isGateway": true, "forceAddress": true, "ipam": v4() })),
        ("masquerade", json!({ "isDefaultGateway": true, "ipMasq": true, "ipam": dual() })),
        (
            "masquerade_beyond",
            json!({ "isGateway": true, "ipMasq": true, "ipMasqBeyond": ["10.0.0.0/8"], "ipam": v4() }),
        ),
        (
            "masquerade_iptables",
            json!({ "isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables", "ipam": dual() }),
        ),
        ("mtu", json!({ "mtu": 1400 })),
        ("hairpin", json!({ "hairpinMode": true })),
        ("promiscuous", json!({ "promiscMode": true })),
        ("vlan_gateway", json!({ "vlan": 100, "isGateway": true, "ipam": v4() })),
        ("vlan_trunk", json!({ "vlanTrunk": trunk })),
        ("vlan_trunk_and_vlan", json!({ "vlanTrunk": trunk, "vlan": 100 })),
        ("preserve_default_vlan", json!({ "vlan": 100, "preserveDefaultVlan": true })),
        ("spoof_check", json!({ "macspoofchk": true })),
        ("duplicate_detection", json!({ "enabledad": true, "ipam": dual() })),
        ("interface_down", json!({ "disableContainerInterface": true })),
        ("isolation", json!({ "portIsolation": true })),
        ("routes", json!({ "ipam": routes })),
        ("dns", json!({ "dns": dns, "ipam": v4() })),
    ] {
        let mut keys = keys;
        keys["bridge"] = "cbr0".into();
        assert_plan(&format!("bridge_{name}"), "bridge", keys);
    }
}

#[test]
fn ptp() {
    let routes = json!({ "type": "host-local", "dataDir": "/nowhere",
        "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "10.8.0.0/16", "gw": "10.1.2.9" }] });
    for (name, keys) in [
        ("single_stack", json!({ "ipam": v4() })),
        ("dual_stack", json!({ "ipMasq": true, "ipam": routes })),
        ("mtu", json!({ "mtu": 1400, "ipam": v4() })),
        (
            "masquerade_iptables",
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": v4() }),
        ),
    ] {
        assert_plan(&format!("ptp_{name}"), "ptp", keys);
    }
}

/// The plan depends on the parent, so there is one.
#[test]
fn macvlan() {
    let node = Node::new();
    node.outside();
    node.pod("a");
    node.sh("ip link set uplink address 02:00:00:00:00:aa
        ip addr add 10.1.2.1/24 dev uplink; ip addr add fd00:1:2::1/64 dev uplink nodad
        ip addr del 192.0.2.1/24 dev uplink; ip addr del 2001:db8:ffff::1/64 dev uplink
        ip link add eth1 type veth peer name other; ip link set eth1 up");
    let before = node.state();
    for (name, keys) in [
        ("layer_2", json!({})),
        ("dual_stack", json!({ "ipam": dual() })),
        (
            "settings",
            json!({ "mode": "vepa", "mtu": 1400, "mac": "02:00:00:00:00:04", "bcqueuelen": 70,
                "promiscuous": true, "ipam": v4() }),
        ),
        ("passthru", json!({ "mode": "passthru" })),
        ("host_access", json!({ "hostAccess": true, "ipam": dual() })),
        (
            "host_routes",
            json!({ "hostAccess": true, "hostRoutes": ["10.96.0.0/12", "fd00:96::/112"], "ipam": dual() }),
        ),
    ] {
        let mut keys = keys;
        keys["master"] = "uplink".into();
        assert_plan(&format!("macvlan_{name}"), "macvlan", keys);
    }
    assert_same!(before, node.state());
}

/// The MTU and the source are given, because a plan is otherwise about the node that it is made on.
#[test]
fn ipip() {
    let node = Node::new();
    node.sh("ip link add uplink type veth peer name other; ip addr add 192.0.2.1/24 dev uplink
        ip link set uplink up; ip link set other up; ip route add default via 192.0.2.254
        echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter");
    let peers = json!([
        { "node": "192.0.2.1", "podCIDRs": ["10.1.2.0/24"] },
        { "node": "192.0.2.2", "podCIDRs": ["10.1.3.0/24", "10.1.4.0/24"] },
        { "node": "198.51.100.3", "podCIDRs": ["10.1.5.0/24"] }
    ]);
    let ipam = json!({ "type": "host-local", "dataDir": "/nowhere", "subnet": "10.1.2.0/24", "routes": [{ "dst": "0.0.0.0/0" }] });
    let prev = json!({
        "cniVersion": "1.1.0",
        "interfaces": [
            { "name": "cni0", "mac": "02:00:00:00:00:01" },
            { "name": "veth22bc1ca29f4", "mac": "02:00:00:00:00:02" },
            { "name": "eth0", "mac": "02:00:00:00:00:03", "sandbox": "/run/netns/a" }
        ],
        "ips": [{ "address": "10.1.2.2/24", "gateway": "10.1.2.1", "interface": 2 }],
        "routes": [{ "dst": "10.1.0.0/18", "mtu": 9000 }]
    });
    for (name, keys) in [
        ("alone", json!({ "peers": peers, "ipam": ipam })),
        ("chained", json!({ "peers": peers, "prevResult": prev })),
        ("cross_subnet", json!({ "peers": peers, "mode": "crossSubnet", "ipam": ipam })),
        (
            "own_device",
            json!({ "peers": peers, "device": "pods0", "mtu": 1400, "address": "10.1.2.9", "ipam": ipam }),
        ),
        ("external", json!({ "routes": "external", "ipam": ipam })),
    ] {
        assert_plan(&format!("ipip_{name}"), "ipip", keys);
    }
}

#[test]
fn loopback() {
    assert_plan("loopback", "loopback", json!({}));
}

#[test]
fn the_mac_of_the_runtime_counts_before_those_of_arguments() {
    let by_args = json!({ "cni": { "mac": "02:00:00:00:00:02" } });
    let by_runtime = json!({ "mac": "02:00:00:00:00:01" });
    for (keys, args, mac) in [
        (json!({ "args": by_args, "runtimeConfig": by_runtime }), "MAC=02:00:00:00:00:03", "01"),
        (json!({ "args": by_args, "runtimeConfig": {} }), "MAC=02:00:00:00:00:03", "02"),
        (
            json!({ "runtimeConfig": { "mac": "" } }),
            "IgnoreUnknown=1;A=b;MAC=02-00-00-00-00-03",
            "03",
        ),
        (json!({}), "", ""),
    ] {
        let preview = plan_of(&config("bridge", keys), args);
        let found = preview["result"]["interfaces"][2]["mac"].as_str().unwrap();
        let derived = "d6:22:ee:2e:22:1c";
        let wanted = if mac.is_empty() { derived.into() } else { format!("02:00:00:00:00:{mac}") };
        assert_eq!(found, wanted, "{args}");
        assert!(show(&preview).contains(&format!("peer name eth0 address {wanted}")), "{preview}");
    }
}

/// Configurations exist that spell keys in any way, because those who wrote them never noticed.
#[test]
fn keys_are_found_in_any_spelling() {
    let plain = json!({ "bridge": "cbr0", "isGateway": true, "ipMasq": true, "vlanTrunk": [{ "minID": 5, "maxID": 7 }], "ipam": v4() });
    let odd = json!({ "BRIDGE": "cbr0", "ISGATEWAY": true, "ipmasq": true, "VlanTrunk": [{ "minid": 5, "MAXID": 7 }],
        "Ipam": { "Type": "host-local", "datadir": "/nowhere", "SubNet": "10.1.2.0/24" } });
    let [plain, odd] = [plain, odd].map(|keys| plan_of(&config("bridge", keys), ""));
    assert_eq!(plain, odd);
    // The exact spelling counts before others.
    let both = json!({ "MTU": 1300, "mtu": 1400 });
    assert!(show(&plan_of(&config("bridge", both), "")).contains(" mtu 1400 "));
}

#[test]
fn a_plan_touches_nothing() {
    let node = Node::new();
    let pod = node.pod("a");
    let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]] });
    let keys =
        json!({ "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "ipam": ipam });
    let call = node.plugin("bridge").conf(config("bridge", keys)).netns(&pod);
    let before = node.state();
    let planned = call.raw("PLAN").ok();
    node.plugin("loopback").conf(config("loopback", json!({}))).netns(&pod).raw("PLAN").ok();
    assert_same!(before, node.state());
    // And what was said is what happens, but for the MAC that a bridge gets when it is made.
    let promised = |of: &Value| ["ips", "routes"].map(|key| of[key].clone());
    assert_eq!(promised(&planned["result"]), promised(&call.add().ok()));
}

#[test]
fn bridge_results_have_the_shape_of_the_version() {
    let node = Node::new();
    let mut shapes = String::new();
    for version in ["", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]] });
        let keys = json!({ "cniVersion": version, "isDefaultGateway": true, "ipam": ipam, "dns": { "domain": "pods.test" } });
        let pod = node.pod(&format!("p{version}"));
        let call = node.plugin("bridge").conf(config("bridge", keys)).netns(&pod);
        let outcome = call.add();
        let said = outcome.ok()["cniVersion"].clone();
        call.del().ok();
        // The same addresses each time, so that only the shape differs.
        node.sh("rm -r /var/lib/cni/networks");
        let shape = outcome.stdout.replace(&format!("/run/netns/p{version}\""), "/run/netns/a\"");
        let shape = normalise(&shape.replacen(said.as_str().unwrap(), "VERSION", 1));
        match shapes.ends_with(&shape) {
            true => shapes.insert_str(shapes.len() - shape.len() - 1, &format!(", {version:?}")),
            false => shapes += &format!("\n\n{version:?}\n{shape}"),
        }
    }
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("bridge_results_by_version", shapes.trim()));
}
