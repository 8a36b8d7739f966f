//! Verbs after ADD: mistakes made since, objects that exist already, results of other versions.

use serde_json::{Value, json};
use testbed::assert_same;

use crate::{
    AGAIN, Bed, CONFIG, DECODE, INTERNAL, for_each_plugin, refused, refused_with_files,
    without_folders,
};

#[test]
fn del_looks_past_mistakes_made_after_add() {
    let bed = Bed::bridge();
    let call = bed.call();
    let first = call.add().ok();
    call.clone().prev(&first).del().ok();
    let before = bed.node.state();
    for mistake in [
        json!({ "hairpinMode": true, "promiscMode": true }),
        json!({ "disableContainerInterface": true }),
        json!({ "ipMasqBackend": "magic" }),
        json!({ "vlan": 5000 }),
        json!({ "bridge": "almost-too-long", "vlan": 100 }),
        json!({ "bridge": "another" }),
        json!({ "vlanTrunk": [{ "minID": 7 }] }),
        json!({ "runtimeConfig": { "mac": "zz" } }),
    ] {
        let result = call.add().ok();
        let later = call.clone().conf(bed.config(mistake.clone())).prev(&result);
        later.check().err();
        later.del().ok();
        assert_same!(without_folders(&before), without_folders(&bed.node.state()), "{mistake}");
    }
}

#[test]
fn things_that_are_there_already() {
    let bed = Bed::bridge();
    bed.pod.sh("ip link add eth0 type veth peer name eth9");
    refused(&bed.node, &bed.call(), "ADD", INTERNAL, "\"eth0\" already exists");
    bed.pod.sh("ip link del eth0");

    bed.node.sh("ip link add cbr0 type veth peer name other");
    refused_with_files(
        &bed.node,
        &bed.call(),
        INTERNAL,
        "\"cbr0\" already exists but is not a bridge",
    );
    bed.node.sh("ip link del cbr0; ip link add cbr0 type bridge; ip addr add 10.9.9.1/24 dev cbr0");
    refused_with_files(
        &bed.node,
        &bed.call(),
        INTERNAL,
        "\"cbr0\" already has an IP address different from 10.1.2.1/24",
    );
    bed.node.sh("ip link del cbr0");

    let tiny = bed.config(json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.0/30" } }));
    bed.call().conf(&tiny).add().ok();
    let second = bed.node.pod("b");
    let full = bed.call().netns(&second).conf(&tiny).container("c2");
    refused(
        &bed.node,
        &full,
        "ADD",
        AGAIN,
        "no IP addresses available in range set: 10.1.2.1-10.1.2.2",
    );
}

#[test]
fn previous_results() {
    for_each_plugin(try_previous_results);
}

fn try_previous_results(bed: &Bed) {
    if bed.config["type"] == "ipip" {
        // Its ADD needs a kernel with tunnels: tests/lab/ipip.rs.
        return;
    }
    let result = bed.call().add().ok();
    let with = |prev: &Value| bed.call().prev(prev);
    let changed = |key: &str, value: Value| {
        let mut prev = result.clone();
        prev[key] = value;
        prev
    };
    refused(&bed.node, &bed.call(), "CHECK", CONFIG, "Required prevResult missing");
    for (prev, code, text) in [
        (json!("nonsense"), DECODE, "prevResult"),
        (json!([]), DECODE, "prevResult"),
        (changed("cniVersion", json!("0.2.0")), DECODE, "prevResult"),
        (changed("cniVersion", json!("7.0.0")), DECODE, "prevResult"),
        (changed("ips", json!([{ "address": "10.1.2.300/24" }])), DECODE, "ips[0].address"),
        (
            changed("ips", json!([{ "address": "10.1.2.2/24", "interface": -1 }])),
            DECODE,
            "ips[0].interface",
        ),
        (changed("interfaces", json!({})), DECODE, "interfaces"),
        (changed("routes", json!([{ "gw": "10.1.2.1" }])), DECODE, "dst"),
    ] {
        refused(&bed.node, &with(&prev), "CHECK", code, text);
    }
    let mut elsewhere = result.clone();
    elsewhere["interfaces"].as_array_mut().unwrap().last_mut().unwrap()["sandbox"] =
        json!("/run/netns/other");
    refused(&bed.node, &with(&elsewhere), "CHECK", CONFIG, "doesn't match configured netns");
    with(&result).check().ok();
}

#[test]
fn versions_that_lack_a_verb() {
    for_each_plugin(try_versions_that_lack_a_verb);
}

fn try_versions_that_lack_a_verb(bed: &Bed) {
    for (version, verb, code, text) in [
        ("0.3.1", "CHECK", 1, "config version does not allow CHECK"),
        ("1.0.0", "GC", 1, "config version does not allow GC"),
        ("1.0.0", "STATUS", 1, "config version does not allow STATUS"),
        ("1.0.x", "CHECK", DECODE, "version"),
        ("1.1.0.0", "GC", DECODE, "version"),
    ] {
        let call = bed.call().conf(bed.config(json!({ "cniVersion": version })));
        refused(&bed.node, &call, verb, code, text);
    }
}
