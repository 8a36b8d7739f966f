//! Networks beside what a host has: its routes, its bridges, its links. Each in a private namespace, wrong and right.

use testbed::Node;

use crate::Bed;

/// A network of one plugin.
fn network(plugin: &str, subnet: &str) -> String {
    format!(
        r#"{{ "cniVersion": "1.0.0", "name": "pods", {plugin}, "ipam": {{ "type": "host-local", "subnet": "{subnet}" }} }}"#
    )
}

const BRIDGE: &str = r#""type": "bridge", "bridge": "cni0", "isGateway": true"#;

/// A node with a wire to 192.168.0.0/16 and fd00:7::/64, and other machines behind it.
fn node() -> Node {
    let node = Node::new();
    node.sh(
        "ip link add uplink type veth peer name other; ip link set uplink up; ip link set other up
        ip addr add 192.168.0.5/16 dev uplink; ip addr add fd00:7::5/64 dev uplink nodad
        ip route add default via 192.168.0.1; ip route add 10.8.0.0/16 via 192.168.0.1
        ip route add 10.9.1.0/24 via 192.168.0.1; ip route add blackhole 10.6.0.0/24
        ip -6 route add default via fd00:7::1",
    );
    node
}

/// What is said of a network on this host, without the last line.
fn said(bed: &Bed, config: &str) -> String {
    bed.write("pods.conf", config);
    let run = bed.lint(&["--path", "plugins", "pods.conf"]);
    assert_eq!(run.stderr, "");
    run.stdout
}

#[track_caller]
fn clean(bed: &Bed, config: &str) {
    assert_eq!(said(bed, config), "1 file, clean\n", "{config}");
}

#[track_caller]
fn warned(bed: &Bed, config: &str, parts: &[&str]) {
    let said = said(bed, config);
    let has_all = parts.iter().all(|part| said.contains(part));
    assert!(has_all && said.ends_with("\n1 file: 1 warning\n"), "{config}\n{said}");
}

#[test]
fn subnets_that_the_host_has_a_route_to() {
    let (_node, bed) = (node(), Bed::new());
    for (subnet, route) in [
        ("192.168.7.0/24", "\"192.168.0.0/16 dev uplink\" is a network that this host is in"),
        ("192.168.0.0/16", "\"192.168.0.0/16 dev uplink\" is a network that this host is in"),
        (
            "10.8.3.0/24",
            "\"10.8.0.0/16 via 192.168.0.1 dev uplink\" has this host reach other machines",
        ),
        (
            "10.9.0.0/16",
            "\"10.9.1.0/24 via 192.168.0.1 dev uplink\" has this host reach other machines at a part",
        ),
        ("fd00:7::/64", "\"fd00:7::/64 dev uplink\" is a network that this host is in"),
        ("fd00::/12", "a part of fd00::/12"),
    ] {
        for plugin in [BRIDGE, r#""type": "ptp""#] {
            warned(&bed, &network(plugin, subnet), &["this host has a route to", route]);
        }
    }
    // Neither the default routes nor what leads nowhere is in the way.
    for subnet in ["10.7.0.0/16", "10.10.0.0/16", "10.6.0.0/24", "192.169.0.0/16", "fd00:8::/64"] {
        clean(&bed, &network(BRIDGE, subnet));
    }
    // These join a network that the host may well be in.
    clean(&bed, &network(r#""type": "macvlan", "master": "uplink""#, "192.168.7.0/24"));
    let of_ci = bed.lint(&["--path", "plugins", "--no-host", "pods.conf"]);
    assert_eq!(of_ci.stdout, "1 file, clean\n");
}

#[test]
fn a_networks_own_routes_are_no_others() {
    let (node, bed) = (node(), Bed::new());
    for (name, plugin) in [("bridge", BRIDGE), ("ptp", r#""type": "ptp""#)] {
        for suite in [testbed::bin(), testbed::reference()] {
            let config = network(plugin, "10.1.2.0/24");
            let pod = node.pod(&format!("{name}{}", suite.ends_with("cni")));
            let call = node.plugin(name).suite(suite).conf(&config).netns(&pod);
            call.add().ok();
            assert!(node.sh("ip route").contains("10.1.2."), "there is a route of {name}");
            clean(&bed, &config);
            call.del().ok();
            // The bridge stays, and is in the way of the next network.
            node.sh("ip link del cni0 2>/dev/null || true");
        }
    }
    // The same route over something else is.
    node.sh(
        "ip link add other0 type bridge; ip addr add 10.1.2.1/24 dev other0; ip link set other0 up",
    );
    let parts = ["this host has a route to 10.1.2.0/24 already", "dev other0"];
    warned(&bed, &network(BRIDGE, "10.1.2.0/24"), &parts);
}

#[test]
fn a_bridge_that_has_another_address() {
    let (node, bed) = (node(), Bed::new());
    node.sh("ip link add cni0 type bridge; ip addr add 10.22.0.1/16 dev cni0; ip addr add fd00:22::1/64 dev cni0 nodad");
    let parts = [
        "cni0 is to be the gateway 10.1.2.1/24, and on this host it has 10.22.0.1/16",
        "ip address del 10.22.0.1/16 dev cni0",
    ];
    warned(&bed, &network(BRIDGE, "10.1.2.0/24"), &parts);
    // That is what the plugin says, too.
    let pod = node.pod("a");
    let call = node.plugin("bridge").conf(network(BRIDGE, "10.1.2.0/24")).netns(&pod);
    let (_, msg, _) = call.add().err();
    assert!(msg.contains("already has an IP address different from 10.1.2.1/24"), "{msg}");
    for config in [
        network(BRIDGE, "10.22.0.0/16"),
        network(BRIDGE, "fd00:1::/64"),
        network(&BRIDGE.replace("cni0", "cni1"), "10.1.2.0/24"),
        network(&format!("{BRIDGE}, \"forceAddress\": true"), "10.1.2.0/24"),
        network(r#""type": "bridge", "bridge": "cni0""#, "10.1.2.0/24"),
    ] {
        clean(&bed, &config);
    }
}

/// What only the plugin itself can know of this host.
#[test]
fn plugins_are_asked_what_they_would_do() {
    let (node, bed) = (node(), Bed::new());
    let macvlan = |keys: &str| network(&format!("\"type\": \"macvlan\", {keys}"), "192.168.7.0/24");
    let before = node.state();
    let parts = [
        "macvlan would fail on this host: Link not found: eth7",
        "\"master\" has to be a link of the host",
    ];
    warned(&bed, &macvlan(r#""master": "eth7""#), &parts);
    let said = said(&bed, &macvlan(r#""master": "uplink", "mtu": 9000"#));
    let refused = "macvlan refuses this: invalid MTU 9000, must be [0, master MTU(1500)]";
    assert!(said.contains(refused) && said.ends_with("1 file: 1 error\n"), "{said}");
    clean(&bed, &macvlan(r#""master": "uplink", "mtu": 1400"#));
    clean(&bed, &macvlan(r#""master": "eth0", "linkInContainer": true"#));
    // In a chain each is asked with the result of the one before.
    let bridge = format!(
        "{{ {BRIDGE}, \"ipam\": {{ \"type\": \"host-local\", \"subnet\": \"10.1.2.0/24\" }} }}"
    );
    let chain = |second: &str| {
        format!(
            "{{ \"cniVersion\": \"1.0.0\", \"name\": \"pods\", \"plugins\": [{bridge}, {second}] }}"
        )
    };
    bed.write("pods.conflist", chain(r#"{ "type": "ipip", "peers": [{ "node": "192.168.0.9", "podCIDRs": ["10.1.2.0/25"] }] }"#));
    let run = bed.lint(&["--path", "plugins", "pods.conflist"]);
    assert!(run.status == Some(1) && run.stdout.contains("ipip refuses this: "), "{}", run.stdout);
    bed.write("pods.conflist", chain(r#"{ "type": "ipip", "peers": [{ "node": "192.168.0.9", "podCIDRs": ["10.1.3.0/24"] }] }"#));
    let run = bed.lint(&["--path", "plugins", "pods.conflist"]);
    assert_eq!(run.stdout, "1 file, clean\n");
    testbed::assert_same!(before, node.state());
    // A pool with nothing left.
    let call = node.plugin("host-local").conf(network(BRIDGE, "10.1.2.0/30")).netns(&node.pod("a"));
    call.container("c7").add().ok();
    warned(
        &bed,
        &network(BRIDGE, "10.1.2.0/30"),
        &["bridge would fail on this host: ", "no IP addresses available"],
    );
}
