//! Networks beside what a host has: its routes, its bridges, its links. Each in a private
//! namespace, wrong and right.

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
        ("192.168.7.0/24", "\"192.168.0.0/16 dev uplink\" is a network of this host"),
        ("192.168.0.0/16", "\"192.168.0.0/16 dev uplink\" is a network of this host"),
        ("10.8.3.0/24", "\"10.8.0.0/16 via 192.168.0.1 dev uplink\" leads to other machines"),
        (
            "10.9.0.0/16",
            "\"10.9.1.0/24 via 192.168.0.1 dev uplink\" leads to other machines in a \
             part",
        ),
        ("fd00:7::/64", "\"fd00:7::/64 dev uplink\" is a network of this host"),
        ("fd00::/12", "a part of fd00::/12"),
    ] {
        for plugin in [BRIDGE, r#""type": "ptp""#] {
            warned(&bed, &network(plugin, subnet), &["this host already has a route to", route]);
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
    let parts = ["this host already has a route to 10.1.2.0/24", "dev other0"];
    warned(&bed, &network(BRIDGE, "10.1.2.0/24"), &parts);
}

#[test]
fn a_bridge_that_has_another_address() {
    let (node, bed) = (node(), Bed::new());
    node.sh("ip link add cni0 type bridge; ip addr add 10.22.0.1/16 dev cni0; ip addr add \
             fd00:22::1/64 dev cni0 nodad");
    let parts = [
        "cni0 needs the gateway address 10.1.2.1/24, but has 10.22.0.1/16 on this host",
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

/// Pods start, and their traffic starts when the parent comes up.
#[test]
fn a_parent_that_is_down() {
    let (node, bed) = (node(), Bed::new());
    let config = network(r#""type": "macvlan", "master": "uplink""#, "192.168.7.0/24");
    clean(&bed, &config);
    node.sh("ip link set uplink down");
    let parts = ["the parent uplink is down on this host", "run `ip link set uplink up`"];
    warned(&bed, &config, &parts);
    node.sh("ip link set uplink up");
    clean(&bed, &config);
}

#[test]
fn a_pool_with_little_left() {
    let (node, bed) = (node(), Bed::new());
    let config = network(BRIDGE, "10.1.2.0/28");
    let call = node.plugin("host-local").conf(&config).netns(&node.pod("a"));
    for number in 1..=11 {
        call.clone().container(&format!("c{number}")).add().ok();
    }
    clean(&bed, &config);
    call.clone().container("c12").add().ok();
    let parts = [
        "range set 0 of network pods is nearly full on this host: 12 of 13 addresses are taken",
        "run `cnitool ls pods`",
    ];
    warned(&bed, &config, &parts);
    // The pool of another network is empty, so all its addresses are free.
    clean(&bed, &config.replace("\"pods\"", "\"other\""));
}

/// What only the plugin itself can know of this host.
#[test]
fn plans_of_the_plugins_are_checked() {
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

/// The plugin's own check, of the list in the configuration and of the file.
#[test]
fn a_list_of_peers_is_checked_where_it_is() {
    let (_node, bed) = (node(), Bed::new());
    let file = bed.path("peers.json");
    let network = |list: &str| {
        let bridge = format!(
            "{{ {BRIDGE}, \"ipam\": {{ \"type\": \"host-local\", \"subnet\": \"10.1.2.0/24\" }} }}"
        );
        let ipip = format!("{{ \"type\": \"ipip\", {list} }}");
        format!(
            "{{ \"cniVersion\": \"1.0.0\", \"name\": \"pods\", \"plugins\": [{bridge}, {ipip}] }}"
        )
    };
    let said = |peers: &str, in_file: bool, more: &[&str]| {
        bed.write("peers.json", peers);
        let list = match in_file {
            true => format!("\"peersFile\": \"{}\"", file.display()),
            false => format!("\"peers\": {peers}"),
        };
        bed.write("pods.conflist", network(&list));
        bed.lint(&[&["--path", "plugins"], more, &["pods.conflist"]].concat()).stdout
    };
    for (peers, part) in [
        (
            r#"[{ "node": "192.168.0.9", "podCIDRs": [] }, { "node": "192.168.0.8", "podCIDR": ["10.1.3.0/24"] }]"#,
            "the peer 192.168.0.8 has no \"podCIDRs\"",
        ),
        (r#"[{ "node": "192.168.0.9", "podCIDRs": ["10.1.2.0/25"] }]"#, "covers 10.1.2."),
        (
            r#"[{ "node": "192.168.255.255", "podCIDRs": [] }]"#,
            "the node 192.168.255.255 is the broadcast address",
        ),
    ] {
        for in_file in [false, true] {
            let said = said(peers, in_file, &[]);
            let errors = said.matches("error: ").count();
            assert!(said.contains(part) && errors == 1, "{peers} {in_file}: {said}");
        }
    }
    let nowhere = said("{}", true, &[]);
    assert!(nowhere.contains("error: plugins[1].peersFile: "), "{nowhere}");
    assert!(nowhere.contains("it has no list of peers"), "{nowhere}");
    assert_eq!(said("{}", true, &["--no-host"]), "1 file, clean\n");
    // A subnet of the uplink's may be that of containers, if nobody else has it.
    let nested = r#"[{ "node": "192.168.0.9", "podCIDRs": ["192.168.77.0/24"] }]"#;
    for in_file in [false, true] {
        let said = said(nested, in_file, &[]);
        assert!(
            said.contains("podCIDR 192.168.77.0/24 of the peer 192.168.0.9 is in a network"),
            "{said}"
        );
        assert!(said.ends_with("1 file: 1 warning\n"), "{said}");
    }
    let good = r#"[{ "node": "192.168.0.9", "podCIDRs": ["10.1.3.0/24"] }]"#;
    assert_eq!(said(good, true, &[]), "1 file, clean\n");
}

/// The bridge is no gateway by its configuration, and this host has the gateway's address or not.
#[test]
fn a_gateway_for_ipip_that_the_host_has_by_other_means() {
    let (node, bed) = (node(), Bed::new());
    let bridge = r#"{ "type": "bridge", "bridge": "cni0", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" } }"#;
    let ipip =
        r#"{ "type": "ipip", "peers": [{ "node": "192.168.0.9", "podCIDRs": ["10.1.3.0/24"] }] }"#;
    let list = |first: &str| {
        let plugins = format!("[{first}, {ipip}]");
        format!(r#"{{ "cniVersion": "1.0.0", "name": "pods", "plugins": {plugins} }}"#)
    };
    let said = |first: &str| {
        bed.write("pods.conflist", list(first));
        bed.lint(&["--path", "plugins", "pods.conflist"]).stdout
    };
    assert!(
        said(bridge).contains("error: plugins[1].type: the bridge is not the gateway"),
        "{}",
        said(bridge)
    );
    node.sh("ip link add cni0 type bridge; ip addr add 10.1.2.1/24 dev cni0");
    assert_eq!(said(bridge), "1 file, clean\n");
    let macvlan =
        bridge.replace(r#""bridge", "bridge": "cni0""#, r#""macvlan", "master": "uplink""#);
    let macvlan = macvlan.replace("10.1.2.0", "192.168.0.0");
    assert!(
        said(&macvlan).contains("the containers' gateway is not this host"),
        "{}",
        said(&macvlan)
    );
}

#[test]
fn forwarded_packets_that_another_program_drops() {
    let bed = Bed::new();
    let ptp = network(r#""type": "ptp""#, "10.7.0.0/16");
    let drop = "type filter hook forward priority filter; policy drop;";
    for (rules, named) in [
        (
            format!("table inet ufw {{\nchain forward {{ {drop} }}\n}}"),
            "this host forwards no packets: inet ufw forward",
        ),
        (
            format!(
                "table ip filter {{\nchain FORWARD {{ {drop} ct state invalid counter drop; }}\n}}"
            ),
            "this host forwards no packets: ip filter FORWARD",
        ),
        (
            format!("table ip filter {{\nchain FORWARD {{ {drop} iifname docker0 accept; }}\n}}"),
            "only packets that other programs accept: ip filter FORWARD",
        ),
        (
            format!(
                "table ip filter {{\nchain KUBE-FORWARD {{ }}\nchain FORWARD {{ {drop} jump \
                 KUBE-FORWARD; }}\n}}"
            ),
            "only packets that other programs accept: ip filter FORWARD",
        ),
    ] {
        let node = node();
        node.sh(&format!("nft -f - <<'END'\n{rules}\nEND"));
        let chain = named.rsplit(": ").next().unwrap();
        let remedy = format!("nft insert rule {chain} ip saddr 10.7.0.0/16 accept");
        warned(&bed, &ptp, &[named, &remedy]);
        // nft takes it; and containers of a bridge that is no gateway are not forwarded.
        node.sh(&remedy);
        let bridge = network(r#""type": "bridge", "bridge": "cni0""#, "10.7.0.0/16");
        clean(&bed, &bridge);
    }
    // Other hooks, other policies, and other families.
    let node = node();
    node.sh("nft -f - <<'END'
table inet a {
chain input { type filter hook input priority filter; policy drop; }
}
table inet b {
chain forward { type filter hook forward priority filter; policy accept; drop; }
}
table ip6 c {
chain forward { type filter hook forward priority filter; policy drop; }
}
END");
    clean(&bed, &ptp);
}

#[test]
fn forwarded_packets_that_the_legacy_iptables_drops() {
    let (node, bed) = (node(), Bed::new());
    let ptp = network(r#""type": "ptp""#, "10.7.0.0/16");
    node.sh("iptables-legacy -P FORWARD DROP");
    warned(&bed, &ptp, &["this host forwards no packets: iptables-legacy FORWARD"]);
    node.sh("iptables-legacy -A FORWARD -i docker0 -j ACCEPT");
    warned(&bed, &ptp, &["only packets that other programs accept: iptables-legacy FORWARD"]);
    node.sh("iptables-legacy -P FORWARD ACCEPT");
    clean(&bed, &ptp);
}
