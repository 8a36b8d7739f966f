//! The objects that `cnitool gc` lists and removes, kind by kind. It does not cut off a container
//! whose namespace it cannot judge.
use std::fs;
use std::io::{Read, Write};
use std::process::{Child, Stdio};

use crate::bed::{Bed, NETWORKS, RESULTS};
use serde_json::{Value, json};
use testbed::{Pod, assert_same};

/// A process in a pod's namespace, until this is dropped.
struct Inside(Child);

impl Inside {
    fn new(pod: &Pod) -> Inside {
        let mut child =
            pod.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once it answers, it is in the namespace.
        child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        Inside(child)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[track_caller]
fn refused(bed: &Bed, said: &[&str]) {
    for args in [&["gc", "pods"][..], &["gc", "pods", "--dry-run"]] {
        let gc = bed.cnitool(args);
        assert_eq!(gc.status, Some(1), "{args:?}: {}", gc.said);
        for part in said {
            assert!(gc.said.contains(part), "{args:?}: {part:?} is missing: {}", gc.said);
        }
    }
}

#[test]
fn a_path_that_is_gone_is_no_proof_while_a_process_lives_in_the_namespace() {
    let bed = Bed::new();
    let pod = bed.add("c1");
    let inside = Inside::new(&pod);
    bed.sh("umount /run/netns/c1; rm /run/netns/c1");
    let lives = format!(
        "nothing was removed: 1 attachment of pods may live, although the path in the cache is \
         gone: of c1/eth0, process {} is in its namespace",
        inside.0.id()
    );
    refused(&bed, &["would remove c1/eth0 from pods (/run/netns/c1 is gone)", &lives, "--valid"]);
    assert!(bed.ping("10.88.0.2"), "the container was cut off");
    assert!(fs::exists(format!("{NETWORKS}/pods/10.88.0.2")).unwrap());
    bed.cnitool(&["gc", "pods", "--all"]).ok();
    assert!(!bed.ping("10.88.0.2"));
}

/// As from a container that shares only the network with the host: it sees neither paths nor
/// processes.
#[test]
fn gc_removes_nothing_where_no_namespace_can_be_seen() {
    let bed = Bed::new();
    let (listed, unlisted) =
        (bed.add("c1"), bed.join("pods", "c2", &["--cache-dir", "/run/other"]));
    let command = "mount -t tmpfs none /run/netns; exec cnitool gc pods";
    let unseen = "its namespace exists, and what keeps it is not seen from here";
    for cached in [true, false] {
        let gc = bed.shell(&format!("unshare --mount --pid --fork --mount-proc sh -c '{command}'"));
        assert_eq!(gc.status, Some(1), "{}", gc.said);
        assert!(gc.said.contains(unseen), "{}", gc.said);
        assert!(listed.ping("10.88.0.1") && unlisted.ping("10.88.0.1"), "{cached}: {}", gc.said);
        // Without its cache entry, the first is as the second.
        fs::remove_dir_all(RESULTS).ok();
    }
}

/// The interface of a namespace that has ended goes a moment later.
#[test]
fn gc_right_behind_the_end_of_a_namespace_removes_the_attachment() {
    let bed = Bed::new();
    for _ in 0..5 {
        let pod = bed.add("c1");
        bed.delete(&pod);
        bed.cnitool(&["gc", "pods"]).ok();
        assert!(!fs::exists(format!("{NETWORKS}/pods/10.88.0.2")).unwrap());
        fs::remove_dir_all(format!("{NETWORKS}/pods")).unwrap();
    }
}

/// A network `pods` of a plugin with these keys.
fn network(keys: &Value) -> Value {
    json!({ "name": "pods", "cniVersion": "1.1.0", "plugins": [keys] })
}

/// What `gc --dry-run` lists for container `c1`, and for the network.
#[track_caller]
fn listed(bed: &Bed) -> Vec<String> {
    let dry = bed.cnitool(&["gc", "pods", "--all", "--dry-run"]);
    assert_eq!(dry.status, Some(0), "{}", dry.said);
    let mut all = Vec::new();
    for line in dry.said.lines() {
        let has = match line.split_once("; has ") {
            Some((who, has)) => {
                assert!(who.contains("c1") || who.contains("a removed link left"), "{line}");
                has.trim_end_matches(')')
            }
            None => line.split_once(" of pods: ").unwrap_or_else(|| panic!("{line}")).1,
        };
        all.extend(has.split(", ").map(str::to_owned));
    }
    all
}

/// What is listed is what goes, for every kind of object: with the link, and when the link is gone
/// and the rest is left.
#[test]
fn each_kind_of_object_is_listed_before_it_goes() {
    let local = json!({ "type": "host-local", "subnet": "10.88.0.0/24" });
    let on_uplink = json!({ "type": "host-local", "ranges": [[{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" }]] });
    let bridge = |more: Value| {
        let mut keys = json!({ "type": "bridge", "bridge": "br0", "isGateway": true, "ipMasq": true, "ipam": local });
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        keys
    };
    let rows = [
        (
            bridge(json!({ "macspoofchk": true })),
            &[
                "the interface LINK",
                "the masquerading of 10.88.0.2",
                "the spoof check of LINK",
                "10.88.0.2",
            ][..],
        ),
        (
            bridge(json!({ "ipMasqBackend": "iptables" })),
            &["the interface LINK", "its chain of iptables", "10.88.0.2"],
        ),
        (
            json!({ "type": "ptp", "ipMasq": true, "ipam": local }),
            &["the interface LINK", "the masquerading of 10.88.0.2", "10.88.0.2"],
        ),
        (
            json!({ "type": "macvlan", "master": "uplink", "hostAccess": true, "ipam": on_uplink }),
            &[
                "the interface eth0",
                "the route to 192.0.2.100 over SHIM",
                "the interface SHIM",
                "192.0.2.100",
            ],
        ),
    ];
    for (keys, kinds) in rows {
        let run = || are_listed(&keys, kinds);
        std::thread::scope(|scope| scope.spawn(run).join().unwrap());
    }
}

/// What a network with a plugin of these keys has for a container is listed; `LINK` and `SHIM`
/// stand for names.
fn are_listed(keys: &Value, kinds: &[&str]) {
    let bed = Bed::with(&network(keys));
    bed.outside();
    let pod = bed.pod("c1");
    let add = ["add", "pods", "c1", "--container-id", "c1", "--cache-dir", "/run/elsewhere"];
    let add = bed.cnitool(&add);
    assert_eq!(add.status, Some(0), "{}", add.said);
    let shim = bed.sh("ip -o link | grep -o 'shim-[^@:]*' | head -1");
    let link = bed.sh("ip -o link | grep -o 'veth[0-9a-f]*@' | head -1");
    let named = |kind: &&str| {
        kind.replace("LINK", link.trim().trim_end_matches('@')).replace("SHIM", shim.trim())
    };
    let mut wanted: Vec<String> = kinds.iter().map(named).collect();
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert_eq!(sorted(listed(&bed)), sorted(wanted.clone()), "{keys}");
    // The container ends, and with it its link: the rest is still there, and listed.
    pod.sh("ip link del eth0");
    wanted.retain(|it| it != "the interface eth0" && *it != named(&"the interface LINK"));
    assert_eq!(sorted(listed(&bed)), sorted(wanted), "{keys}");
    bed.cnitool(&["gc", "pods", "--all"]).ok();
    assert_eq!(listed(&bed), Vec::<String>::new(), "{keys}");
}

/// A plugin's files about attachments that no cache entry names, in the folder that the
/// configuration names.
#[test]
fn files_of_plugins_are_listed_before_they_go() {
    let ipam = json!({ "type": "host-local", "subnet": "10.88.0.0/24" });
    let tuning = json!({ "type": "tuning", "mtu": 1400, "dataDir": "/run/tuned" });
    let plugins = json!([{ "type": "ptp", "ipam": ipam }, tuning, tuning]);
    let bed = Bed::with(&json!({ "name": "pods", "cniVersion": "1.1.0", "plugins": plugins }));
    let pod = bed.pod("c1");
    let add = ["add", "pods", "c1", "--container-id", "c1", "--cache-dir", "/run/elsewhere"];
    bed.cnitool(&add).ok();
    let file = "the file /run/tuned/c1_eth0.json";
    assert_eq!(listed(&bed).iter().filter(|it| *it == file).count(), 1);
    pod.sh("ip link del eth0");
    assert_eq!(listed(&bed), [file, "10.88.0.2"]);
    bed.cnitool(&["gc", "pods", "--all"]).ok();
    assert_eq!(listed(&bed), Vec::<String>::new());
    assert_eq!(bed.sh("ls /run/tuned"), "");
}

/// A folder of results that cannot be read: nothing is said to be removed that is not.
#[test]
fn a_del_without_a_readable_cache_does_not_claim_success() {
    let bed = Bed::new();
    let pod = bed.add("c1");
    bed.sh("ip netns list");
    let before = bed.state();
    bed.sh("mv /var/lib/cni/results /run/moved; ln -s results /var/lib/cni/results");
    let del = bed.cnitool(&["del", "pods", "c1"]);
    assert_eq!(del.status, Some(0), "{}", del.said);
    assert!(!del.said.contains("is removed"), "{}", del.said);
    for part in ["It is unknown whether the cache still has an entry", "--container-id"] {
        assert!(del.said.contains(part), "{part:?} is missing: {}", del.said);
    }
    assert!(pod.ping("10.88.0.1"), "another container ID was given");
    bed.sh("rm /var/lib/cni/results; mv /run/moved /var/lib/cni/results");
    assert_same!(before, bed.state());
}
