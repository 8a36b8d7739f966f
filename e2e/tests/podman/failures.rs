//! Errors that users see for impossible requests, which leave nothing behind.

use e2e::{IMAGE, Machine, Podman};
use serde_json::json;

use crate::{addresses, bridge, ptp};

#[test]
fn a_chain_that_fails_gives_the_reason_and_leaves_nothing() {
    let machine = Machine::new();
    let mut chain = bridge();
    let second = json!({ "type": "macvlan", "master": "no-such-link", "ipam": addresses(90, &[]) });
    chain["plugins"].as_array_mut().unwrap().push(second);
    machine.network(chain);
    let before = machine.state();
    let podman = Podman::new(&machine);
    let failed = podman.try_run(&["run", "--name", "a", "--network", "pods", IMAGE]);
    let said = r#"Error: plugin type="macvlan" failed (add): cni plugin macvlan failed: Link not found: no-such-link: "master" has to be a link of the host"#;
    assert_eq!(failed.stderr.lines().last(), Some(said));
    podman.remove_all();
    assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn a_second_network_that_fails_takes_the_first_along() {
    let machine = Machine::new();
    machine.network(bridge());
    let mut full = ptp(&[]);
    full["plugins"][0]["ipam"] = json!({
        "type": "host-local",
        "ranges": [[{ "subnet": "10.90.0.0/24", "rangeStart": "10.90.0.9", "rangeEnd": "10.90.0.9" }]]
    });
    machine.network(full);
    let podman = Podman::new(&machine);
    podman.start("a", &["--network", "wires"], &[]);
    let both = ["run", "--network", "pods", "--network", "wires", IMAGE];
    let failed = podman.try_run(&both);
    let said = r#"Error: plugin type="ptp" failed (add): cni plugin ptp failed: failed to allocate for range 0: no IP addresses available in range set: 10.90.0.9-10.90.0.9: all 1 addresses are taken, and by /var/lib/cni/results none of them looks leaked. Run "cnitool ls wires" to see who holds them and how to release what is leaked"#;
    assert_eq!(failed.stderr.lines().last(), Some(said));
    assert_eq!(machine.reservations(), ["wires/10.90.0.9"]);
    podman.remove_all();
    assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
}
