//! Pods are stopped and removed more than once, and after the files are gone that containerd needs
//! for it.

use std::fs;

use e2e::Sandbox;
use serde_json::{Value, json};

use crate::networks::{self, with};
use crate::scene::{Scene, results};
use crate::witness::{Called, until};

#[test]
fn stopped_and_removed_twice_on_a_bridge() {
    stopped_and_removed_twice(networks::bridge());
}

#[test]
fn stopped_and_removed_twice_on_a_routed_veth_pair() {
    stopped_and_removed_twice(networks::ptp());
}

#[test]
fn stopped_and_removed_twice_on_the_network_of_the_machine() {
    stopped_and_removed_twice(with(networks::macvlan(), json!({ "hostAccess": true })));
}

fn stopped_and_removed_twice(network: Value) {
    let scene = Scene::watched(network);
    let containerd = &scene.containerd;
    let id = containerd.run_sandbox(&Sandbox::new("a")).unwrap();
    containerd.stop_sandbox(&id).unwrap();
    let [first] = &dels(&scene, &id)[..] else { panic!("one DEL") };
    assert!(first.env("CNI_NETNS").starts_with("/var/run/netns/"), "{first:?}");
    assert_eq!(first.stdin["prevResult"]["ips"].as_array().map(Vec::len), Some(2), "{first:?}");
    scene.is_clean();
    // A runtime that has lost nearly all state calls the plugins again.
    containerd.stop_sandbox(&id).unwrap();
    containerd.remove_sandbox(&id).unwrap();
    let [_, stop, remove] = &dels(&scene, &id)[..] else { panic!("three DELs") };
    for call in [stop, remove] {
        assert_eq!(call.env("CNI_NETNS"), "", "{call:?}");
        assert_eq!(call.stdin["prevResult"], Value::Null, "{call:?}");
    }
    containerd.remove_sandbox(&id).unwrap();
    scene.is_clean();
}

#[test]
fn stopped_without_its_namespace_on_a_bridge() {
    stopped_without_its_namespace(networks::bridge());
}

#[test]
fn stopped_without_its_namespace_on_a_routed_veth_pair() {
    stopped_without_its_namespace(networks::ptp());
}

#[test]
fn stopped_without_its_namespace_on_the_network_of_the_machine() {
    stopped_without_its_namespace(with(networks::macvlan(), json!({ "hostAccess": true })));
}

/// Another program removed the namespace's file. The namespace itself continues to exist, because a
/// foreign process is in it; so do its links, until DEL.
fn stopped_without_its_namespace(network: Value) {
    let scene = Scene::watched(network);
    let pod = scene.containerd.pod("a");
    let id = pod.id().to_owned();
    let mut stranger = pod.command("sleep").arg("1000000").spawn().unwrap();
    let inside = testbed::Pod::at("a", format!("/proc/{}/ns/net", stranger.id()));
    // nsenter takes a moment to enter it.
    let is_inside = || inside.try_run(&["ip", "link", "show", "eth0"]).status.success();
    until("the stranger is in the namespace", is_inside);
    nix::mount::umount(pod.path()).unwrap();
    fs::remove_file(pod.path()).unwrap();
    drop(pod);
    let [stop, ..] = &dels(&scene, &id)[..] else { panic!("a DEL") };
    assert_eq!(stop.env("CNI_NETNS"), "", "{stop:?}");
    assert!(!is_inside(), "the pod's link is gone");
    stranger.kill().and_then(|()| stranger.wait()).unwrap();
    scene.is_clean();
}

/// Another program removed the runtime's cached result.
#[test]
fn stopped_without_its_result() {
    let scene = Scene::watched(networks::bridge());
    let pod = scene.containerd.pod("a");
    let id = pod.id().to_owned();
    let results = results(&scene.machine);
    assert_eq!(results.len(), 2, "of lo and of eth0: {results:?}");
    for result in results {
        fs::remove_file(format!("/var/lib/cni/results/{result}")).unwrap();
    }
    drop(pod);
    let [stop, ..] = &dels(&scene, &id)[..] else { panic!("a DEL") };
    assert_ne!(stop.env("CNI_NETNS"), "", "{stop:?}");
    assert_eq!(stop.stdin["prevResult"], Value::Null, "{stop:?}");
    scene.is_clean();
}

/// The DELs of a pod's `eth0`.
fn dels(scene: &Scene, id: &str) -> Vec<Called> {
    let mut calls = scene.witness.calls("DEL");
    calls.retain(|call| call.env("CNI_CONTAINERID") == id);
    calls
}
