//! Networks that podman makes by itself: chains of a bridge and of plugins that this project does
//! not have.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use e2e::{IMAGE, Machine, PLUGINS, Podman, client, page};
use serde_json::json;

use crate::{addresses, network};

#[test]
fn the_plugins_that_are_missing_are_named() {
    let machine = Machine::new();
    let podman = Podman::new(&machine);
    podman.run(&["network", "create", "--disable-dns", "made"]);
    let failed = podman.try_run(&["run", "--network", "made", IMAGE]);
    // The chain of such a network. Some of its plugins are of this suite.
    for plugin in ["bridge", "portmap", "firewall", "tuning"] {
        let is_missing = !testbed::bin().join(plugin).exists();
        let said = format!(r#"failed to find plugin \"{plugin}\" in path [/opt/cni/bin]"#);
        assert_eq!(failed.stderr.contains(&said), is_missing, "{}", failed.stderr);
    }
    let last = failed.stderr.lines().last();
    assert_eq!(last, Some("Error: unable to find network with name or ID made: network not found"));
    // podman's libraries know this network without a file.
    let failed = podman.try_run(&["run", IMAGE]);
    let said = r#"Error: plugin type="portmap" failed (add): failed to find plugin "portmap" in path [/opt/cni/bin]"#;
    assert_eq!(failed.stderr.lines().last(), Some(said));
}

#[test]
fn a_file_replaces_the_default_network_and_cnitool_frees_what_it_left() {
    let machine = Machine::new();
    let podman = Podman::new(&machine);
    podman.try_run(&["run", IMAGE]);
    podman.remove_all();
    // DEL starts with the last plugin of the chain, and stops at a missing one.
    assert_eq!(machine.reservations(), ["podman/10.88.0.2"]);
    let plugin = json!({
        "type": "bridge", "bridge": "cni-podman0", "isGateway": true, "ipMasq": true,
        "ipam": { "type": "host-local", "subnet": "10.88.0.0/16", "routes": [{ "dst": "0.0.0.0/0" }] }
    });
    let mut own = network("podman", json!([plugin]));
    machine.network(own.clone());
    podman.start("a", &[], &[]);
    let addresses = podman.addresses("a", "podman");
    assert!(machine.ping(&addresses[0]));
    // There is no cached result. The plugins themselves are called in version 1.1.0 and later.
    let folder = machine.folder("networks");
    own["cniVersion"] = json!("1.1.0");
    std::fs::write(folder.join("podman.conflist"), own.to_string()).unwrap();
    let folder = folder.to_string_lossy();
    machine.run(&["/opt/cni/bin/cnitool", "gc", "podman", "--conf-dir", &folder]);
    assert_eq!(machine.reservations(), [format!("podman/{}", addresses[0])]);
    assert!(machine.ping(&addresses[0]));
    podman.remove_all();
    assert_eq!(machine.reservations(), [""; 0]);
    assert!(!machine.state().contains("element 10.88."));
}

#[test]
fn with_the_missing_plugins_in_a_second_folder_they_work() {
    let machine = Machine::new();
    let outside = machine.outside();
    let others = client("plugins", "usr/lib/cni");
    let podman = Podman::with_plugins(&machine, &[Path::new(PLUGINS), &others]);
    // The default network, as Debian's package configures it.
    let default = client("podman", "etc/cni/net.d/87-podman-bridge.conflist");
    machine.network(serde_json::from_str(&fs::read_to_string(default).unwrap()).unwrap());
    podman.run(&["network", "create", "--disable-dns", "made"]);
    let server = ["httpd", "-f", "-p", "80", "-h", "/www"];
    let a = podman.start("a", &["--network", "made", "--publish", "80:80"], &server);
    let b = podman.start("b", &[], &[]);
    assert_eq!(page(&outside, "192.0.2.1"), "served by a pod\n");
    assert_eq!(page(&machine, &podman.addresses("a", "made")[0]), "served by a pod\n");
    assert!(a.ping(outside.v4) && b.ping(outside.v4));
    assert!(machine.state().contains("ferrocni:made/"), "the bridge plugin is ours");
    podman.remove_all();
    podman.run(&["network", "rm", "made"]);
    assert_eq!((machine.namespaces(), machine.reservations()), (vec!["outside".into()], vec![]));
    assert!(!machine.state().contains("ferrocni:"), "{}", machine.state());
}

#[test]
fn without_portmap_no_port_is_published() {
    let machine = Machine::new();
    machine.network(network("wires", json!([{ "type": "ptp", "ipam": addresses(89, &[]) }])));
    let podman = Podman::new(&machine);
    let server = ["httpd", "-f", "-p", "80", "-h", "/www"];
    podman.start("a", &["--network", "wires", "--publish", "80:80"], &server);
    assert_eq!(page(&machine, &podman.addresses("a", "wires")[0]), "served by a pod\n");
    // conmon holds the port, and reports nothing.
    let answer = machine.enter(|| {
        let mut stream = TcpStream::connect("127.0.0.1:80")?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read(&mut [0])
    });
    assert!(answer.is_err(), "{answer:?}");
}
