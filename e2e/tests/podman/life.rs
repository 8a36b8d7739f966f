//! Living containers: networks are connected and disconnected, containers stop and start.

use std::time::{Duration, Instant};

use e2e::{IMAGE, Machine, Podman};
use nix::mount::{MntFlags, umount2};
use serde_json::Value;

use crate::{bridge, ptp};

#[test]
fn networks_come_and_go() {
    let machine = Machine::new();
    machine.outside();
    machine.network(bridge());
    machine.network(ptp(&[]));
    let podman = Podman::new(&machine);
    let pod = podman.start("a", &["--network", "pods"], &[]);
    let before = machine.state();
    podman.run(&["network", "connect", "--alias", "other", "wires", "a"]);
    for address in podman.addresses("a", "wires") {
        assert!(machine.ping(&address), "{address}");
    }
    podman.run(&["network", "disconnect", "wires", "a"]);
    assert!(!pod.try_run(&["ip", "link", "show", "dev", "eth1"]).status.success());
    let inspected: Value =
        serde_json::from_str(&podman.run(&["network", "inspect", "pods"])).unwrap();
    assert_eq!(inspected[0]["driver"], "bridge");
    assert_eq!(inspected[0]["network_interface"], "cni0");
    assert_eq!(inspected[0]["subnets"][1]["subnet"], "fd00:88::/64");
    let used = podman.try_run(&["network", "rm", "pods"]);
    assert!(used.stderr.contains("network is being used"), "{}", used.stderr);
    insta::assert_snapshot!(machine.changes(&before));
    podman.run(&["network", "disconnect", "pods", "a"]);
    assert_eq!(machine.reservations(), [""; 0]);
    podman.run(&["network", "connect", "--ip", "10.88.0.9", "pods", "a"]);
    assert_eq!(podman.addresses("a", "pods")[0], "10.88.0.9");
    assert!(machine.ping("10.88.0.9"));
    podman.remove_all();
    assert_eq!(machine.reservations(), [""; 0]);
}

#[test]
fn a_reload_makes_the_network_again_with_the_same_addresses() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(bridge());
    let podman = Podman::new(&machine);
    let pod = podman.start("a", &["--network", "pods:ip=10.88.0.77"], &[]);
    let mac = || {
        let shown = pod.run(&["ip", "-br", "link", "show", "dev", "eth0"]);
        shown.split_whitespace().nth(2).map(str::to_owned)
    };
    let before = (mac(), podman.addresses("a", "pods"), machine.state());
    machine.run(&["nft", "flush", "ruleset"]);
    assert!(!pod.ping(outside.v4));
    podman.run(&["network", "reload", "a"]);
    assert!(pod.ping(outside.v4) && pod.ping(outside.v6));
    assert_eq!((mac(), podman.addresses("a", "pods")), (before.0, before.1));
    testbed::assert_same!(before.2, machine.state());
    podman.remove_all();
    assert_eq!(machine.reservations(), [""; 0]);
}

#[test]
fn containers_stop_and_start() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(bridge());
    let podman = Podman::new(&machine);
    podman.start("a", &["--network", "pods:ip=10.88.0.77,mac=02:00:00:00:00:07"], &[]);
    podman.run(&["stop", "--time", "0", "a"]);
    assert_eq!(machine.reservations(), [""; 0]);
    podman.run(&["start", "a"]);
    let again = podman.pod("a");
    assert!(again.ping(outside.v4) && again.ping(outside.v6) && machine.ping("10.88.0.77"));
    podman.run(&["restart", "--time", "0", "a"]);
    assert!(machine.ping("10.88.0.77"));
    podman.run(&["rm", "--force", "--time", "0", "a"]);
    assert_eq!((machine.namespaces(), machine.reservations()), (vec!["outside".into()], vec![]));
}

#[test]
fn a_container_that_ends_is_taken_down() {
    let machine = Machine::new();
    machine.network(bridge());
    let podman = Podman::new(&machine);
    podman.run(&["run", "--rm", "--network", "pods", IMAGE, "true"]);
    assert_eq!(machine.reservations(), [""; 0]);
    podman.run(&["run", "--detach", "--network", "pods", IMAGE, "true"]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !machine.reservations().is_empty() {
        assert!(Instant::now() < deadline, "{:?}", machine.reservations());
        std::thread::sleep(Duration::from_millis(20));
    }
    let failed = podman.try_run(&["run", "--network", "pods", IMAGE, "no-such-command"]);
    assert!(failed.stderr.contains("executable file not found"), "{}", failed.stderr);
    assert_eq!((machine.namespaces(), machine.reservations()), (vec![], vec![]));
}

#[test]
fn containers_of_a_pod_share_a_network() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(bridge());
    let podman = Podman::new(&machine);
    podman.run(&["pod", "create", "--name", "group", "--network", "pods"]);
    for (name, command) in [("server", "httpd -f -p 80 -h /www"), ("client", "sleep 1000000")] {
        let words: Vec<_> = command.split(' ').collect();
        podman.run(
            &[&["run", "--detach", "--pod", "group", "--name", name, IMAGE], &words[..]].concat(),
        );
    }
    assert_eq!(machine.reservations(), ["pods/10.88.0.2", "pods/fd00:88::2"]);
    assert_eq!(e2e::page(&machine, "10.88.0.2"), "served by a pod\n");
    let fetched = podman.run(&["exec", "client", "wget", "-qO-", "http://127.0.0.1/"]);
    assert_eq!(fetched, "served by a pod\n");
    podman.run(&["exec", "client", "ping", "-c1", "-W1", outside.v4]);
    podman.run(&["pod", "stop", "--time", "0", "group"]);
    podman.run(&["pod", "start", "group"]);
    podman.run(&["exec", "client", "ping", "-c1", "-W1", outside.v4]);
    podman.run(&["pod", "rm", "--force", "--time", "0", "group"]);
    assert_eq!((machine.namespaces(), machine.reservations()), (vec!["outside".into()], vec![]));
}

#[test]
fn cnitool_finds_the_leaks_of_a_crash() {
    let machine = Machine::new();
    machine.network(bridge());
    let before = machine.state();
    let podman = Podman::new(&machine);
    let (lost, live) = (podman.start("a", &["--network", "pods"], &[]), "10.88.0.3");
    podman.start("b", &["--network", "pods"], &[]);
    let processes = "{{.State.ConmonPid}} {{.State.Pid}}";
    let processes = podman.run(&["inspect", "--format", processes, "a"]);
    let id = podman.run(&["inspect", "--format", "{{.ID}}", "a"]);
    let namespace = lost.path().display();
    machine.sh(&format!("kill -KILL {processes}"));
    umount2(lost.path(), MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_file(lost.path()).unwrap();
    let found = machine.try_run(&["/opt/cni/bin/cnitool", "gc", "pods"]);
    let said = format!("removing {}/eth0 from pods ({namespace} is gone)\n", id.trim());
    assert!(found.stderr.ends_with(&said) && found.status.success(), "{}", found.stderr);
    assert!(found.stderr.starts_with("the configuration of pods is of version 1.0.0"));
    assert_eq!(machine.reservations(), ["pods/10.88.0.3", "pods/fd00:88::3"]);
    assert!(machine.ping(live));
    podman.remove_all();
    insta::assert_snapshot!(machine.changes(&before));
}
