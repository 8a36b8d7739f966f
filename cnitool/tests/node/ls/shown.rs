//! What is attached, as people see it.

use std::fs;

use serde_json::{Value, json};

use crate::bed::{Bed, RESULTS, network};

/// Kubernetes pods on a dual-stack network, one of them dead, a container without a runtime, and
/// loopback interfaces.
fn cluster() -> Bed {
    let sets = json!([[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]]);
    let bed = Bed::with(&network("pods", "1.1.0", sets));
    let loopback = json!({ "name": "cni-loopback", "cniVersion": "1.0.0", "plugins": [{ "type": "loopback" }] });
    bed.configure(&loopback);
    let lan = json!({ "type": "bridge", "bridge": "lan" });
    bed.configure(&json!({ "name": "lan", "cniVersion": "1.0.0", "plugins": [lan] }));
    for (name, digit) in [("web-0", "a"), ("web-1", "b"), ("a-deployment-5c9f8d7b6-x2x4z", "c")] {
        let id = digit.repeat(64);
        let args = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={name}");
        let pod = bed.pod(name);
        let joined = |network: &str, ifname: &str| {
            let args =
                ["add", network, name, "--container-id", &id, "--ifname", ifname, "--args", &args];
            bed.cnitool(&args).ok();
        };
        joined("cni-loopback", "lo");
        joined("pods", "eth0");
        if name == "web-1" {
            bed.kill(&pod, &id);
        }
    }
    // That of containerd is in no file.
    fs::remove_file("/etc/cni/net.d/cni-loopback.conflist").unwrap();
    bed.join("lan", "plain", &["--ifname", "net1"]);
    bed
}

#[test]
fn a_cluster_on_a_wide_screen() {
    insta::assert_snapshot!(cluster().ls());
}

#[test]
fn a_cluster_on_narrow_screens() {
    let bed = cluster();
    let mut shown = String::new();
    for columns in [120, 80, 60] {
        let text = bed.narrow(columns);
        let (table, _) = text.split_once("\n\n").unwrap();
        let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= columns, "{columns}: {widest}\n{table}");
        shown += &format!("{columns} columns\n{table}\n\n");
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn one_network_of_several() {
    let bed = cluster();
    let text = bed.cnitool(&["ls", "lan"]).ok();
    assert!(
        text.contains("plain") && !text.contains("pods") && !text.contains("loopback"),
        "{text}"
    );
    assert!(text.ends_with("nothing looks leaked\n"), "{text}");
}

#[test]
fn programs_get_all_of_it() {
    let bed = cluster();
    let json = bed.json();
    let all = json["attachments"].as_array().unwrap();
    let web =
        all.iter().find(|it| it["network"] == "pods" && it["pod"]["name"] == "web-0").unwrap();
    let id = "a".repeat(64);
    let expected = json!({
        "network": "pods",
        "containerID": id,
        "ifname": "eth0",
        "pod": { "namespace": "default", "name": "web-0" },
        "addresses": ["10.88.0.2/24", "fd00:88::2/64"],
        "hostInterface": web["hostInterface"],
        "hostInterfaceIsThere": true,
        "netns": "/run/netns/web-0",
        "netnsState": "there",
        "since": web["since"],
        "file": format!("{RESULTS}/pods-{id}-eth0"),
    });
    assert_eq!(*web, expected);
    assert!(bed.run(&["ip", "link"]).contains(web["hostInterface"].as_str().unwrap()));
    assert!(web["since"].as_u64().unwrap() > 1_700_000_000);
    let states: Vec<&Value> = all.iter().map(|it| &it["netnsState"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "gone").count(), 2);
}

/// What the reference plugins joined, and what was joined when results had other shapes.
#[test]
fn attachments_of_others() {
    for version in ["1.0.0", "0.4.0", "0.2.0"] {
        std::thread::spawn(move || {
            let bed = Bed::with(&network("pods", version, json!([[{ "subnet": "10.88.0.0/24" }]])));
            let path = testbed::reference();
            let pod = bed.join("pods", "c1", &["--path", path.to_str().unwrap()]);
            let json = bed.json();
            let one = &json["attachments"][0];
            assert_eq!(one["addresses"], json!(["10.88.0.2/24"]));
            if version == "0.2.0" {
                assert_eq!(one["hostInterface"], Value::Null);
            } else {
                let link = one["hostInterface"].as_str().unwrap();
                assert!(bed.run(&["ip", "link", "show", link]).contains("master pods"));
                bed.run(&["ip", "link", "del", link]);
                assert_eq!(bed.leaks(), ["hostInterfaceGone c1"]);
            }
            bed.delete(&pod);
            assert_eq!(bed.leaks(), ["namespaceGone c1"]);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let bed = cluster();
    assert!(!bed.ls().contains('\u{1b}'));
    let on_terminal =
        |more: &str| bed.shell(&format!("{more} script -qec 'cnitool ls' /dev/null")).stdout;
    assert!(on_terminal("").contains("\u{1b}[31mgone"), "{}", on_terminal(""));
    assert!(!on_terminal("NO_COLOR=1").contains('\u{1b}'));
}
