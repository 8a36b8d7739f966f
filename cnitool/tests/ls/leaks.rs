//! What looks leaked, and whether the way out leads out.

use std::fs::{self, File};

use serde_json::json;

use crate::bed::{Bed, CONF, HOUR, LONG_AGO, NETWORKS, RESULTS, age, network};

#[test]
fn a_namespace_that_is_gone() {
    let bed = Bed::new();
    bed.add("alive");
    bed.delete(&bed.add("dead"));
    assert_eq!(bed.leaks(), ["namespaceGone dead"]);
    let text = bed.ls();
    assert!(
        text.contains(
            "2 of 253 taken, last 10.88.0.3\n      └─ 1 by a container whose namespace is gone\n"
        ),
        "{text}"
    );
    assert_eq!(bed.ways(), ["cnitool gc pods"]);
    bed.follow_the_way_out();
    assert!(!bed.ls().contains("dead"));
    assert!(fs::exists(format!("{NETWORKS}/pods/10.88.0.2")).unwrap());
}

/// Somebody unmounted the namespace and left the file; or it is mounted where only others see it, and lives.
#[test]
fn a_namespace_whose_file_is_left() {
    let bed = Bed::new();
    let pod = bed.add("c1");
    bed.delete(&pod);
    fs::write(pod.path(), "").unwrap();
    assert_eq!(bed.leaks(), ["noNamespace c1"]);
    assert_eq!(bed.ways(), ["rm /run/netns/c1"]);
    bed.cnitool(&["gc", "pods"]).ok();
    assert_eq!(bed.leaks(), ["noNamespace c1"]);
    bed.shell("rm /run/netns/c1").ok();
    bed.follow_the_way_out();
}

/// Something holds the namespace whose path is gone: it is said, since gc takes the network from it.
#[test]
fn a_namespace_that_lives_without_its_path() {
    let bed = Bed::new();
    let pod = bed.add("c1");
    let link = bed.host_link("c1");
    let held = File::open(pod.path()).unwrap();
    bed.delete(&pod);
    let text = bed.ls();
    assert!(
        text.contains(&format!("({link} is still there: something uses the namespace)")),
        "{text}"
    );
    drop(held);
}

#[test]
fn a_host_interface_that_is_gone() {
    let bed = Bed::new();
    let pod = bed.add("c1");
    let link = bed.host_link("c1");
    bed.run(&["ip", "link", "del", &link]);
    assert_eq!(bed.leaks(), ["hostInterfaceGone c1"]);
    assert!(bed.ls().contains(&format!("{link} is gone")), "{}", bed.ls());
    assert_eq!(bed.ways(), ["cnitool repair pods /run/netns/c1"]);
    bed.shell("cnitool repair pods /run/netns/c1").ok();
    assert_eq!(bed.leaks(), Vec::<String>::new());
    assert!(pod.ping("10.88.0.1"));
}

/// The runtime lost its cache, or was killed between the plugins' end and the entry.
#[test]
fn what_is_in_no_cache_entry() {
    let bed = Bed::new();
    bed.add("kept");
    let pod = bed.add("lost");
    let link = bed.host_link("lost");
    fs::remove_file(format!("{RESULTS}/pods-lost-eth0")).unwrap();
    age(format!("{NETWORKS}/pods"), HOUR * 3);
    assert_eq!(bed.leaks(), ["reservationInNoCacheEntry lost", "hostInterfaceInNoCacheEntry lost"]);
    let text = bed.ls();
    assert!(text.contains("10.88.0.3  lost/eth0  (reserved 3 hours ago)"), "{text}");
    assert!(text.contains(&format!("{link}  lost/eth0\n")), "{text}");
    assert_eq!(bed.ways(), ["cnitool gc pods"]);
    bed.follow_the_way_out();
    assert!(!pod.sh("ip link").contains("eth0"));
    assert!(bed.ls().contains("1 of 253 taken"), "{}", bed.ls());
}

/// Plugins of such networks are asked for no GC.
#[test]
fn what_is_in_no_cache_entry_of_a_network_of_an_older_version() {
    let bed = Bed::with(&network("pods", "1.0.0", json!([[{ "subnet": "10.88.0.0/24" }]])));
    for id in ["kept", "lost"] {
        bed.add(id);
    }
    fs::remove_file(format!("{RESULTS}/pods-lost-eth0")).unwrap();
    fs::write(format!("{NETWORKS}/pods/10.88.0.9"), "").unwrap();
    age(format!("{NETWORKS}/pods"), HOUR);
    let del = "cnitool del pods /nowhere --container-id lost --ifname eth0";
    assert_eq!(bed.ways(), [del, del, "rm /var/lib/cni/networks/pods/10.88.0.9"]);
    bed.follow_the_way_out();
    assert!(bed.ls().contains("1 of 253 taken"), "{}", bed.ls());
}

#[test]
fn what_gc_is_forbidden_to_touch() {
    let mut conf = network("pods", "1.1.0", json!([[{ "subnet": "10.88.0.0/24" }]]));
    conf["disableGC"] = true.into();
    let bed = Bed::with(&conf);
    for id in ["c1", "c2", "c3", "c4"] {
        bed.delete(&bed.add(id));
    }
    let del = "cnitool del pods /run/netns/c1 --container-id c1 --ifname eth0";
    assert_eq!(bed.ways(), [del]);
    assert!(bed.ls().contains("and so for each of the 4: "), "{}", bed.ls());
    bed.shell(del).ok();
    assert_eq!(bed.ways().len(), 3);
    bed.follow_the_way_out();
}

/// All namespaces are gone, what is on the disk is not, and the pool is full.
#[test]
fn a_reboot() {
    let bed = Bed::with(&network("pods", "1.0.0", json!([[{ "subnet": "10.88.0.0/28" }]])));
    let pods: Vec<_> = (0..13).map(|number| bed.add(&format!("c{number}"))).collect();
    pods.iter().for_each(|pod| bed.delete(pod));
    bed.run(&["ip", "link", "del", "pods"]);
    age("/var/lib/cni", LONG_AGO);
    bed.pod("new");
    let add = bed.cnitool(&["add", "pods", "new"]);
    assert!(add.stderr.contains("no IP addresses available"), "{}", add.stderr);

    let text = bed.ls();
    for said in [
        "10.88.0.2-10.88.0.14: 13 of 13 taken: it is full, last 10.88.0.14\n",
        "      └─ 13 by containers whose namespace is gone\n",
        "└─ pods: 13 attachments whose namespace is gone, from before the last boot (",
        "   └─ and 5 more, which --json names\n",
        "way out\n  cnitool gc pods\n",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    bed.follow_the_way_out();
    assert!(bed.ls().contains("0 of 13 taken"), "{}", bed.ls());
    bed.cnitool(&["add", "pods", "new"]).ok();
}

#[test]
fn a_network_that_lost_its_file() {
    let bed = Bed::new();
    bed.delete(&bed.add("dead"));
    fs::remove_file(CONF).unwrap();
    let text = bed.ls();
    assert!(text.contains("pods  (no file configures it, but the cache knows it; "), "{text}");
    assert!(text.contains("10.88.0.2-10.88.0.254: 1 of 253 taken"), "{text}");
    let restore = "jq -r .config /var/lib/cni/results/pods-dead-eth0 | base64 -d >/etc/cni/net.d/pods.conflist";
    assert_eq!(bed.ways(), [restore, "cnitool gc pods"]);
    bed.follow_the_way_out();
}

#[test]
fn a_network_that_only_has_a_folder() {
    let bed = Bed::new();
    bed.add("c1");
    for (folder, ip, content) in [
        ("old", "10.1.2.3", "gone\r\neth0"),
        ("old", "10.1.2.4", "gone-too"),
        // A plugin that calls others has its own name for the network.
        ("inner", "10.1.3.3", "c1\r\neth0"),
        ("inner", "10.1.3.4", "gone\r\nnet1"),
        ("inner", "fd00::4", "gone\r\nnet1"),
    ] {
        fs::create_dir_all(format!("{NETWORKS}/{folder}")).unwrap();
        fs::write(format!("{NETWORKS}/{folder}/{ip}"), content).unwrap();
    }
    fs::write(format!("{NETWORKS}/old/last_reserved_ip.0"), "10.1.2.4").unwrap();
    age(NETWORKS, HOUR);
    let text = bed.ls();
    assert!(text.contains("2 taken, last 10.1.2.4  (of which ranges is not known)"), "{text}");
    let rm = "rm /var/lib/cni/networks/inner/10.1.3.4 /var/lib/cni/networks/inner/fd00::4";
    assert_eq!(bed.ways(), [rm, "rm -r /var/lib/cni/networks/old"]);
    bed.follow_the_way_out();
    assert!(fs::exists(format!("{NETWORKS}/inner/10.1.3.3")).unwrap());
}

/// What looks leaked by one cache is alive in another.
#[test]
fn another_cache_is_warned_of() {
    let bed = Bed::new();
    bed.join("pods", "c1", &["--cache-dir", "/var/lib/cni/cache"]);
    age(format!("{NETWORKS}/pods"), HOUR);
    let text = bed.ls();
    assert!(
        text.contains(
            "way out\n  first look into the other caches, /var/lib/cni/cache (cnitool ls"
        ),
        "{text}"
    );
    let there = bed.cnitool(&["ls", "--cache-dir", "/var/lib/cni/cache"]).ok();
    assert!(there.ends_with("nothing looks leaked\n"), "{there}");
    fs::create_dir("/var/lib/cni/deep").unwrap();
    fs::rename("/var/lib/cni/cache", "/var/lib/cni/deep/er").unwrap();
    let text = bed.ls();
    assert!(
        text.contains("way out\n  no attachment is in /var/lib/cni/results at all: "),
        "{text}"
    );
    bed.add("c2");
    let text = bed.ls();
    assert!(text.contains("way out\n  cnitool gc pods\n"), "{text}");
}

#[test]
fn the_way_out_leads_through_the_same_folders() {
    let bed = Bed::new();
    let elsewhere = ["--cache-dir", "/run/it's a cache"];
    bed.delete(&bed.join("pods", "c1", &elsewhere));
    let run = bed.cnitool(&[&["ls", "--json"], &elsewhere[..]].concat()).ok();
    let json: serde_json::Value = serde_json::from_str(&run).unwrap();
    let command = json["wayOut"][0]["command"].as_str().unwrap();
    assert_eq!(command, r"cnitool gc pods --cache-dir '/run/it'\''s a cache'");
    bed.shell(command).ok();
    assert!(!fs::exists(format!("{NETWORKS}/pods/10.88.0.2")).unwrap());
}
