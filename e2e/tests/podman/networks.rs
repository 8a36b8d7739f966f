//! Containers on networks: their connectivity, and that they leave nothing behind.

use e2e::{Machine, Podman, Web, page};
use serde_json::{Value, json};

use crate::{addresses, bridge, network, ptp};

/// A web server, and a client with all options that podman passes to plugins as arguments.
fn reach_each_other(network: Value) -> String {
    let machine = Machine::new();
    let outside = machine.outside();
    let _web = Web::start(&machine, &outside);
    let name = network["name"].as_str().unwrap().to_owned();
    machine.network(network);
    let before = machine.state();
    let podman = Podman::new(&machine);
    let options = [
        "--network",
        &name,
        "--network-alias",
        "client",
        "--hostname",
        "client",
        "--dns",
        "192.0.2.2",
        "--dns-search",
        "example.org",
        "--add-host",
        "web:192.0.2.2",
    ];
    let a = podman.start("a", &options, &[]);
    let b = podman.start("b", &["--network", &name], &["httpd", "-f", "-p", "80", "-h", "/www"]);
    let addresses = podman.addresses("b", &name);
    assert_eq!(addresses.len(), 2);
    for address in &addresses {
        assert!(a.ping(address) && machine.ping(address), "{address}");
        assert_eq!(page(&a, address), "served by a pod\n");
        assert_eq!(page(&machine, address), "served by a pod\n");
    }
    for address in [outside.v4, outside.v6] {
        assert!(a.ping(address) && b.ping(address), "{address}");
        assert_eq!(page(&a, address), "from outside\n");
    }
    let fetched = podman.run(&["exec", "a", "wget", "-qO-", "http://web/"]);
    assert_eq!(fetched, "from outside\n");
    podman.remove_all();
    assert_eq!((machine.namespaces(), machine.reservations()), (vec!["outside".into()], vec![]));
    machine.changes(&before)
}

#[test]
fn over_a_bridge() {
    insta::assert_snapshot!(reach_each_other(bridge()));
}

#[test]
fn by_veth_pairs() {
    insta::assert_snapshot!(reach_each_other(ptp(&["0.0.0.0/0", "::/0"])));
}

#[test]
fn on_the_network_of_a_link() {
    let machine = Machine::new();
    let outside = machine.outside();
    let podman = Podman::new(&machine);
    let before = machine.state();
    // The only network of podman's own making whose plugins this project has.
    let range =
        ["--subnet", "192.0.2.0/24", "--ip-range", "192.0.2.128/25", "--gateway", "192.0.2.2"];
    podman.run(
        &[&["network", "create", "-d", "macvlan", "-o", "parent=uplink"], &range[..], &["lan"]]
            .concat(),
    );
    let a = podman.start("a", &["--network", "lan"], &[]);
    let _b = podman.start("b", &["--network", "lan"], &[]);
    let addresses = podman.addresses("b", "lan");
    assert!(a.ping(&addresses[0]) && a.ping(outside.v4) && outside.ping(&addresses[0]));
    podman.remove_all();
    podman.run(&["network", "rm", "lan"]);
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn on_two_networks() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(bridge());
    machine.network(ptp(&[]));
    let podman = Podman::new(&machine);
    // Without names, podman gives eth0 to any of the networks.
    let options =
        ["--network", "pods:interface_name=lan0", "--network", "wires:interface_name=lan1"];
    let pod = podman.start("a", &options, &[]);
    for (interface, network) in [("lan0", "pods"), ("lan1", "wires")] {
        let shown = pod.run(&["ip", "-o", "addr", "show", "dev", interface]);
        let addresses = podman.addresses("a", network);
        assert_eq!(addresses.len(), 2);
        for address in addresses {
            assert!(shown.contains(&format!(" {address}/")), "{address}: {shown}");
            assert!(machine.ping(&address), "{address}");
        }
    }
    assert!(pod.ping(outside.v4) && pod.ping(outside.v6));
    podman.remove_all();
    assert_eq!(machine.reservations(), [""; 0]);
}

#[test]
fn with_the_addresses_that_were_asked_for() {
    let machine = Machine::new();
    machine.network(bridge());
    let podman = Podman::new(&machine);
    let option = "pods:ip=10.88.0.77,mac=02:00:00:00:00:07";
    let a = podman.start("a", &["--network", option], &[]);
    assert!(a.run(&["ip", "link", "show", "dev", "eth0"]).contains(" 02:00:00:00:00:07 "));
    assert_eq!(podman.addresses("a", "pods")[0], "10.88.0.77");
    podman.start("b", &["--network", "pods:ip=10.88.0.78,ip=fd00:88::78"], &[]);
    assert_eq!(podman.addresses("b", "pods"), ["10.88.0.78", "fd00:88::78"]);
    assert!(a.ping("10.88.0.78") && a.ping("fd00:88::78"));
    let taken = podman.try_run(&["run", "--network", "pods:ip=10.88.0.77", e2e::IMAGE]);
    let said = "requested IP address 10.88.0.77 is not available in range set \
        10.88.0.1-10.88.0.254: it is reserved for eth0 of container ";
    assert!(taken.stderr.contains(said), "{}", taken.stderr);
    assert_eq!(machine.reservations().len(), 4);
    podman.remove_all();
    assert_eq!(machine.reservations(), [""; 0]);
}

#[test]
fn in_every_version_that_podman_reads() {
    let machine = Machine::new();
    let podman = Podman::new(&machine);
    for (n, version) in [(3, "0.3.1"), (4, "0.4.0"), (10, "1.0.0"), (11, "1.1.0")] {
        let plugin = json!({ "type": "ptp", "ipam": addresses(n, &[]) });
        let mut network = network(&format!("v{n}"), json!([plugin]));
        network["cniVersion"] = json!(version);
        machine.network(network);
    }
    let listed = podman.run(&["network", "ls", "--format", "{{.Name}} {{.Driver}}"]);
    assert_eq!(listed, "podman bridge\nv10 ptp\nv11 ptp\nv3 ptp\nv4 ptp\n");
    for network in ["v3", "v4", "v10"] {
        podman.start(network, &["--network", network], &[]);
        for address in podman.addresses(network, network) {
            assert!(machine.ping(&address), "{address}");
        }
    }
    // The plugins report support for this version, so podman accepts it; but podman's own library
    // cannot read the result.
    let newer = podman.try_run(&["run", "--network", "v11", e2e::IMAGE]);
    let said = r#"Error: plugin type="ptp" failed (add): unsupported CNI result version "1.1.0""#;
    assert_eq!(newer.stderr.lines().last(), Some(said));
    assert!(!machine.reservations().iter().any(|file| file.starts_with("v11/")));
    podman.remove_all();
    assert_eq!(machine.reservations(), [""; 0]);
}
