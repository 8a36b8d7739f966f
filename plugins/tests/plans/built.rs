//! The plans and answers of the built plugins in a namespace.

use insta::Settings;
use serde_json::{Value, json};
use testbed::plan::{assert_plan, config, dual, plan_of, show, v4};
use testbed::{Node, assert_same, normalise};

use crate::cases;

/// The built plugins print the plans that are made [in memory](crate::memory).
#[test]
fn plans_that_need_no_look_at_the_host() {
    let node = Node::new();
    node.pod("a");
    for (name, plugin, keys) in cases::all() {
        assert_plan(&name, plugin, keys);
    }
}

/// The plan depends on the parent, so the test makes one.
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

/// The MTU and the source are given, because otherwise the plan depends on the node.
#[test]
fn ipip() {
    let node = Node::new();
    node.pod("a");
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
fn the_mac_of_the_runtime_counts_before_those_of_arguments() {
    let node = Node::new();
    node.pod("a");
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

/// Existing configurations spell keys in any case, because it never caused an error.
#[test]
fn keys_are_found_in_any_spelling() {
    let node = Node::new();
    node.pod("a");
    let plain = json!({ "bridge": "cbr0", "isGateway": true, "ipMasq": true, "args": { "cni": { "mac": "02:00:00:00:00:07" } }, "ipam": v4() });
    let odd = json!({ "BRIDGE": "cbr0", "ISGATEWAY": true, "ipmasq": true, "Args": { "CNI": { "Mac": "02:00:00:00:00:07" } },
        "Ipam": { "Type": "host-local", "datadir": "/nowhere", "SubNet": "10.1.2.0/24" } });
    let [plain, odd] = [plain, odd].map(|keys| plan_of(&config("bridge", keys), ""));
    assert_eq!(plain, odd);
    // The exact spelling has priority.
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
    // And ADD returns the planned result, except the MAC address that a new bridge gets.
    let promised = |of: &Value| ["ips", "routes"].map(|key| of[key].clone());
    assert_eq!(promised(&planned["result"]), promised(&call.add().ok()));
}

/// Run by hand, the commands make the same tables, except the comments that name the elements'
/// owners.
#[test]
fn the_rules_of_a_plan_are_those_that_add_makes() {
    let node = Node::new();
    let pod = node.pod("a");
    let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]] });
    let keys =
        json!({ "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "ipam": ipam });
    let call = node.plugin("bridge").conf(config("bridge", keys)).netns(&pod);
    let planned = call.raw("PLAN").ok();
    let steps = planned["plan"]["steps"].as_array().unwrap();
    let commands = steps.iter().flat_map(|step| step["shown"].as_str().unwrap().split(" && "));
    let rules: Vec<&str> = commands.filter_map(|it| it.strip_prefix("nft ")).collect();
    assert!(rules.len() > 12, "{rules:?}");
    let look = || node.sh("nft list ruleset | sed 's/ comment \"[^\"]*\"//'");
    node.sh(&format!("nft -f - <<'END'\n{}\nEND", rules.join("\n")));
    let by_hand = look();
    node.sh("nft flush ruleset");
    call.add().ok();
    assert_same!(by_hand, look());
}

/// PLAN fails if ADD would, with the same error.
#[test]
fn a_plan_fails_where_add_would() {
    let node = Node::new();
    let pods: Vec<_> = ["free", "taken", "other"].map(|name| node.pod(name)).into();
    let [free, taken, other] = pods.as_slice() else { unreachable!() };
    taken.sh("ip link add eth0 type veth peer name eth1");
    node.sh("ip link add foreign type veth peer name far");
    let two = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.3.0/24" }], [{ "subnet": "10.1.4.0/24" }]] });
    let one = json!({ "type": "host-local", "subnet": "10.1.2.0/30", "rangeStart": "10.1.2.2" });
    let call = |keys: Value, pod: &testbed::Pod| {
        node.plugin("bridge").conf(config("bridge", keys)).netns(pod).container(pod.name())
    };
    let good = || json!({ "isGateway": true, "ipMasq": true, "ipam": one });
    call(good(), other).add().ok();
    let old = json!({ "cniVersion": "0.2.0", "ipam": two });
    for (what, call, code) in [
        ("no namespace", call(good(), free).env("CNI_NETNS", "/run/netns/none"), 8),
        ("the host's namespace", call(good(), free).env("CNI_NETNS", "/proc/self/ns/net"), 8),
        ("the interface is there", call(good(), taken), 999),
        ("attached", call(good(), other), 999),
        ("attached elsewhere", call(good(), free).container(other.name()), 999),
        ("no bridge", call(json!({ "bridge": "foreign" }), free), 999),
        ("the pool is full", call(good(), free), 11),
        ("the version has no such result", call(old, free), 7),
        (
            "loopback without a namespace",
            node.plugin("loopback")
                .conf(config("loopback", json!({})))
                .env("CNI_NETNS", "/run/netns/none"),
            8,
        ),
    ] {
        let (planned, added) = (call.raw("PLAN").err(), call.add().err());
        assert_eq!(planned, added, "{what}");
        println!("{what}: {added:?}");
        assert_eq!(added.0, code, "{what}");
    }
    // A failed ADD left no reservation, so the plan of a free container fails only because of the
    // pool.
    call(good(), other).del().ok();
    call(good(), free).raw("PLAN").ok();
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
        // The same addresses each time, so that only the form differs.
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
    settings.set_snapshot_path("../snapshots");
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("bridge_results_by_version", shapes.trim()));
}
