//! buildah calls the plugins around each command that it runs in a container, in `run` and in a
//! build.
#![cfg(test)]

use e2e::{Buildah, Machine, Recorder, Web};
use serde_json::{Value, json};

/// The dual-stack network `pods` with one plugin, in a version.
fn network(version: &str, mut plugin: Value) -> Value {
    plugin["ipMasq"] = json!(true);
    plugin["ipam"] = json!({
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
    });
    json!({ "cniVersion": version, "name": "pods", "plugins": [plugin] })
}

fn bridge(version: &str) -> Value {
    network(version, json!({ "type": "bridge", "bridge": "cni0", "isGateway": true }))
}

fn ptp(version: &str) -> Value {
    network(version, json!({ "type": "ptp" }))
}

/// A command that requests the page of the server outside the machine, over IPv4 and IPv6.
const FETCH: &str = "wget -qO- http://192.0.2.2/ && wget -qO- http://[2001:db8:ffff::2]/";

/// Runs and builds on a network reach the outside. Returns what stays behind.
fn reach_other_hosts(networks: [Value; 2]) -> String {
    let machine = Machine::new();
    let outside = machine.outside();
    let _web = Web::start(&machine, &outside);
    let before = machine.state();
    let buildah = Buildah::new(&machine);
    for network in networks {
        machine.network(network);
        let run = buildah.run("pods", &["sh", "-c", FETCH]);
        assert_eq!(
            (run.stdout.as_str(), run.status.success()),
            ("from outside\nfrom outside\n", true),
            "{}",
            run.stderr
        );
        let built = buildah.build("pods", &["ip -o addr show dev eth0 > /addresses", FETCH]);
        assert!(built.status.success(), "{}", built.stderr);
        assert!(built.stdout.contains("from outside\nfrom outside\n"), "{}", built.stdout);
        assert_eq!(
            (machine.namespaces(), machine.reservations()),
            (vec!["outside".into()], vec![])
        );
    }
    machine.changes(&before)
}

#[test]
fn over_a_bridge() {
    insta::assert_snapshot!(reach_other_hosts(["0.4.0", "1.0.0"].map(bridge)));
}

#[test]
fn by_veth_pairs() {
    insta::assert_snapshot!(reach_other_hosts(["0.4.0", "1.0.0"].map(ptp)));
}

#[test]
fn each_run_is_an_attachment_of_its_own() {
    let machine = Machine::new();
    machine.network(bridge("1.0.0"));
    let mut other = ptp("1.0.0");
    other["name"] = json!("unused");
    machine.network(other);
    let recorder = Recorder::new(&machine);
    let buildah = Buildah::with_plugins(&machine, recorder.folder());
    let built = buildah.build("pods", &["true", "ip addr", "false"]);
    assert!(!built.status.success());
    assert!(built.stderr.contains("\"RUN false\""), "{}", built.stderr);
    // buildah checks all networks, but each once.
    let mut expected = vec!["VERSION bridge dummy", "VERSION ptp dummy"];
    expected.extend(["ADD bridge", "ADD host-local", "DEL bridge", "DEL host-local"].repeat(3));
    let calls = recorder.calls();
    let without_namespace = |call: &String| call.split(" /proc/").next().unwrap().to_owned();
    assert_eq!(calls.iter().map(without_namespace).collect::<Vec<_>>(), expected);
    assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
}

#[test]
fn the_default_network_is_the_one_called_podman() {
    let machine = Machine::new();
    let mut default = bridge("1.0.0");
    default["name"] = json!("podman");
    machine.network(default);
    let buildah = Buildah::new(&machine);
    let run = buildah.run("private", &["ip", "addr", "show", "dev", "eth0"]);
    assert!(run.stdout.contains("inet 10.88.0.2/24"), "{}{}", run.stdout, run.stderr);
    machine.forget("podman");
    // Without a file it uses plugins that this project does not have.
    let run = buildah.run("private", &["true"]);
    let said = r#"Error: plugin type="portmap" failed (add): failed to find plugin "portmap" in path [/opt/cni/bin]"#;
    assert_eq!(run.stderr.lines().last(), Some(said));
}

#[test]
fn commands_that_fail_leave_nothing() {
    let machine = Machine::new();
    machine.network(bridge("1.0.0"));
    let buildah = Buildah::new(&machine);
    for command in ["false", "no-such-command"] {
        assert!(!buildah.run("pods", &[command]).status.success());
        assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
    }
}

#[test]
fn a_chain_that_fails_gives_the_reason_and_leaves_nothing() {
    let machine = Machine::new();
    let mut chain = bridge("1.0.0");
    chain["plugins"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "macvlan", "master": "no-such-link", "ipam": { "type": "host-local", "subnet": "10.90.0.0/24" } }));
    machine.network(chain);
    let before = machine.state();
    let buildah = Buildah::new(&machine);
    let said = r#"plugin type="macvlan" failed (add): cni plugin macvlan failed: Link not found: no-such-link: "master" has to be a link of the host"#;
    let run = buildah.run("pods", &["true"]);
    assert_eq!(run.stderr.lines().last(), Some(format!("Error: {said}").as_str()));
    let built = buildah.build("pods", &["true"]);
    assert!(built.stderr.ends_with(&format!("{said}\n")), "{}", built.stderr);
    assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn a_network_in_a_version_that_buildah_does_not_know_is_refused() {
    let machine = Machine::new();
    let buildah = Buildah::new(&machine);
    machine.network(ptp("1.1.0"));
    let run = buildah.run("pods", &["true"]);
    // The plugins report support for this version, so buildah accepts it; but buildah's own library
    // cannot read the result.
    let said = r#"Error: plugin type="ptp" failed (add): unsupported CNI result version "1.1.0""#;
    assert_eq!(run.stderr.lines().last(), Some(said));
    assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
}
