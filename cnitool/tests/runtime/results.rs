//! Results as plugins of other suites print them: what Go's libcni reads does not make an ADD fail.

use std::fs;

use serde_json::{Value, json};

use crate::bed::{Bed, Run};

fn printed(add: &Run) -> Value {
    assert_eq!((add.status, &*add.stderr), (Some(0), ""), "{add:?}");
    serde_json::from_str(&add.stdout).unwrap()
}

fn cached(bed: &Bed) -> Value {
    let entry: Value = serde_json::from_slice(&fs::read(bed.entry()).unwrap()).unwrap();
    entry["result"].clone()
}

/// What loopback plugins print: 0.1.0 and 0.2.0 have no place for interfaces, and there is no
/// address of the kind.
#[test]
fn a_result_without_an_address_is_printed_in_the_oldest_versions() {
    let interfaces = json!([{ "name": "lo", "sandbox": "/nowhere" }]);
    for version in ["0.1.0", "0.2.0"] {
        for said in [
            json!({}),
            json!(null),
            json!({ "cniVersion": version, "dns": {} }),
            json!({ "cniVersion": version, "interfaces": interfaces, "dns": {} }),
            json!({ "cniVersion": "1.0.0", "interfaces": interfaces }),
            json!({ "cniVersion": "0.4.0", "interfaces": interfaces, "dns": {} }),
        ] {
            let bed = Bed::with_network(version);
            bed.answers("one", &said.to_string());
            bed.answers("two", &said.to_string());
            // The second ADD is what the kubelet does after a restart.
            for _ in 0..2 {
                let shown = printed(&bed.run("add", "net"));
                assert_eq!(shown, json!({ "cniVersion": version, "dns": {} }), "{said}");
                assert_eq!(bed.calls(), ["ADD one", "ADD two"], "{said}");
                assert_eq!(cached(&bed)["cniVersion"], version, "{said}");
                assert_eq!(bed.prev("two", "ADD")["cniVersion"], version, "{said}");
            }
            assert_eq!(bed.run("del", "net").status, Some(0));
        }
    }
}

#[test]
fn an_absent_or_empty_version_means_the_lists() {
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        for said in [None, Some(json!("")), Some(json!(null)), Some(json!(1))] {
            let bed = Bed::with_network(version);
            let mut result = json!({ "ips": [{ "version": "4", "address": "10.1.0.9/16" }] });
            if let Some(said) = said {
                result["cniVersion"] = said;
            }
            bed.answers("one", &result.to_string());
            bed.answers("two", &result.to_string());
            let shown = printed(&bed.run("add", "net"));
            let prev = bed.prev("two", "ADD");
            for seen in [&shown, &prev, &cached(&bed)] {
                assert_eq!(seen["cniVersion"], version, "{result}: {seen}");
                assert_eq!(seen["ips"][0]["address"], "10.1.0.9/16", "{result}: {seen}");
            }
        }
    }
}

/// Go keeps `null` in a list as a nil pointer, at which its plugins stumble, and numbers as they
/// are.
#[test]
fn numbers_and_nulls_are_read_as_go_reads_them() {
    let said = json!({
        "cniVersion": "1.0.0",
        "interfaces": [null, { "name": "a", "mtu": -1 }, { "name": "b" }, null],
        "ips": [
            null,
            { "address": "10.1.0.2/16", "interface": -1 },
            { "address": "10.1.0.3/16", "interface": 2.0 },
            { "address": "10.1.0.4/16", "interface": 0 },
            { "address": "10.1.0.5/16", "interface": 7 },
            {},
        ],
        "routes": [
            null,
            { "dst": "10.2.0.0/16", "mtu": -1, "advmss": 1e3, "priority": -5, "table": -1, "scope": 300 },
            { "gw": "10.1.0.1" },
        ],
        "DNS": { "nameservers": [null, "10.1.0.1"], "search": [null], "options": null },
        "vendor": { "numbers": [-1, null] },
    });
    let bed = Bed::with_network("1.0.0");
    bed.answers("one", &said.to_string());
    bed.answers("two", &said.to_string());
    let shown = printed(&bed.run("add", "net"));
    assert_eq!(
        shown,
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [{ "name": "a" }, { "name": "b" }],
            "ips": [
                { "address": "10.1.0.2/16" },
                { "address": "10.1.0.3/16", "interface": 1 },
                { "address": "10.1.0.4/16" },
                { "address": "10.1.0.5/16", "interface": 7 },
            ],
            "routes": [{ "dst": "10.2.0.0/16", "advmss": 1000 }],
            "dns": { "nameservers": ["10.1.0.1"] },
        })
    );
    assert_eq!(bed.calls(), ["ADD one", "ADD two"]);
    // What no plugin could mean is not handed on; what only others know is.
    let prev = bed.prev("two", "ADD");
    assert_eq!(prev["interfaces"], json!([{ "name": "a", "mtu": null }, { "name": "b" }]));
    assert_eq!(prev["vendor"], said["vendor"]);
    assert_eq!(cached(&bed), prev);
}

#[test]
fn bytes_of_a_result_that_are_not_utf_8_are_replaced() {
    let bed = Bed::with_network("1.0.0");
    let said = r#"printf "{\"ips\": [{\"address\": \"10.1.0.2/16\"}], \"vendor\": \"\\351\"}""#;
    bed.plugin("two", &format!("[ $CNI_COMMAND != ADD ] || {said}"));
    assert_eq!(printed(&bed.run("add", "net"))["ips"][0]["address"], "10.1.0.2/16");
    assert_eq!(cached(&bed)["vendor"], "\u{fffd}");
}

/// The plugins decide about a version that is newer than this command.
#[test]
fn a_list_of_an_unknown_version_has_results_in_their_own() {
    let bed = Bed::with_network("1.2.0");
    let said = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.0.2/16" }] });
    bed.answers("one", &said.to_string());
    bed.answers("two", &said.to_string());
    assert_eq!(printed(&bed.run("add", "net")), said);
    assert_eq!(bed.prev("two", "ADD"), said);
    assert_eq!(cached(&bed), said);
}

#[test]
fn an_add_that_fails_leaves_the_entry_of_an_earlier_one() {
    let bed = Bed::with_network("1.0.0");
    printed(&bed.run("add", "net"));
    let before = fs::read(bed.entry()).unwrap();
    bed.calls();
    for said in
        ["garbage", r#"{"ips": [{"address": "10.1.0.300/16"}]}"#, r#"{"cniVersion": "7.0.0"}"#]
    {
        bed.answers("two", said);
        let add = bed.run("add", "net");
        assert_eq!((add.status, &*add.stdout), (Some(1), ""), "{said}");
        assert_eq!(bed.calls(), ["ADD one", "ADD two"], "{said}");
        assert_eq!(fs::read(bed.entry()).unwrap(), before, "{said}");
    }
}

/// Runtimes of before 2019 kept the bare result, and in 0.1.0 results said no version.
#[test]
fn a_cached_result_of_0_1_0_without_a_version_is_converted_with_its_addresses() {
    let old = json!({
        "ip4": { "ip": "10.1.0.2/16", "gateway": "10.1.0.1", "routes": [{ "dst": "0.0.0.0/0" }] },
        "ip6": { "ip": "fd00::2/64" },
    });
    for (version, is_bare, said) in [
        ("1.0.0", true, None),
        ("1.0.0", false, None),
        ("0.4.0", false, Some("")),
        ("1.1.0", false, Some("0.1.0")),
    ] {
        let mut result = old.clone();
        if let Some(said) = said {
            result["cniVersion"] = json!(said);
        }
        let entry = json!({
            "kind": "cniCacheV1", "containerId": "c", "config": "", "ifName": "eth0", "networkName": "net",
            "netns": "/nowhere", "result": result,
        });
        let bed = Bed::with_network(version);
        bed.file("cache/results/net-c-eth0", if is_bare { &result } else { &entry }.to_string());
        if !is_bare {
            let ls = bed.run_bare(&["ls", "net"]);
            assert!(ls.stdout.contains("10.1.0.2"), "{ls:?}");
        }
        for verb in ["check", "del"] {
            assert_eq!(bed.run(verb, "net").status, Some(0), "{verb}");
            let prev = bed.prev("one", &verb.to_uppercase());
            assert_eq!(prev["cniVersion"], version);
            assert_eq!(prev["ips"][0]["address"], "10.1.0.2/16", "{prev}");
            assert_eq!(prev["ips"][1]["address"], "fd00::2/64", "{prev}");
            assert_eq!(prev["routes"][0]["dst"], "0.0.0.0/0", "{prev}");
            assert!(prev.get("ip4").is_none(), "{prev}");
        }
        assert!(!bed.entry().exists());
    }
}

#[test]
fn a_cached_result_without_a_version_in_a_newer_shape_is_as_it_is() {
    let bed = Bed::with_network("1.0.0");
    bed.file("cache/results/net-c-eth0", r#"{"ips": [{"address": "10.1.0.2/16"}], "vendor": 1}"#);
    assert_eq!(bed.run("check", "net").status, Some(0));
    let expected =
        json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.0.2/16" }], "vendor": 1 });
    assert_eq!(bed.prev("one", "CHECK"), expected);
}
