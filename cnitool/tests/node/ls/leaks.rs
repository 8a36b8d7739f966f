//! Reservations that look leaked, and whether the remedy works.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;

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
    bed.follow_the_remedy();
    assert!(!bed.ls().contains("dead"));
    assert!(fs::exists(format!("{NETWORKS}/pods/10.88.0.2")).unwrap());
}

/// The namespace was unmounted and its file left; or it lives, and is mounted where only other
/// programs see it.
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
    bed.follow_the_remedy();
}

/// Something holds the namespace whose path is gone: it is said, since gc takes the network from
/// it.
#[test]
fn a_namespace_that_lives_without_its_path() {
    let bed = Bed::new();
    let pod = bed.add("c1");
    let link = bed.host_link("c1");
    let held = File::open(pod.path()).unwrap();
    bed.delete(&pod);
    let text = bed.ls();
    assert!(
        text.contains(&format!("({link} still exists: a process uses the namespace)")),
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
fn leaks_without_a_cache_entry() {
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
    bed.follow_the_remedy();
    assert!(!pod.sh("ip link").contains("eth0"));
    assert!(bed.ls().contains("1 of 253 taken"), "{}", bed.ls());
}

/// Plugins of such networks are asked for no GC.
#[test]
fn leaks_without_a_cache_entry_in_a_network_of_an_older_version() {
    let bed = Bed::with(&network("pods", "1.0.0", json!([[{ "subnet": "10.88.0.0/24" }]])));
    for id in ["kept", "lost"] {
        bed.add(id);
    }
    fs::remove_file(format!("{RESULTS}/pods-lost-eth0")).unwrap();
    fs::write(format!("{NETWORKS}/pods/10.88.0.9"), "").unwrap();
    age(format!("{NETWORKS}/pods"), HOUR);
    let del = "cnitool del pods /nowhere --container-id lost --ifname eth0";
    assert_eq!(bed.ways(), [del, "rm /var/lib/cni/networks/pods/10.88.0.9"]);
    bed.follow_the_remedy();
    assert!(bed.ls().contains("1 of 253 taken"), "{}", bed.ls());
}

#[test]
fn leaks_of_a_network_with_disable_gc() {
    let mut conf = network("pods", "1.1.0", json!([[{ "subnet": "10.88.0.0/24" }]]));
    conf["disableGC"] = true.into();
    let bed = Bed::with(&conf);
    for id in ["c1", "c2", "c3", "c4"] {
        bed.delete(&bed.add(id));
    }
    let del = "cnitool del pods /run/netns/c1 --container-id c1 --ifname eth0";
    assert_eq!(bed.ways(), [del]);
    assert!(bed.ls().contains("repeat for each of the 4: "), "{}", bed.ls());
    bed.shell(del).ok();
    assert_eq!(bed.ways().len(), 3);
    bed.follow_the_remedy();
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
        "   └─ and 5 more (--json lists all)\n",
        "remedy\n  cnitool gc pods\n",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    bed.follow_the_remedy();
    assert!(bed.ls().contains("0 of 13 taken"), "{}", bed.ls());
    bed.cnitool(&["add", "pods", "new"]).ok();
}

#[test]
fn a_network_that_lost_its_file() {
    let bed = Bed::new();
    bed.delete(&bed.add("dead"));
    fs::remove_file(CONF).unwrap();
    let text = bed.ls();
    assert!(text.contains("pods  (not configured, only in the cache; "), "{text}");
    assert!(text.contains("10.88.0.2-10.88.0.254: 1 of 253 taken"), "{text}");
    // Not into the configuration folder, or the next pod would be attached to this network.
    let restore = "mkdir -p /run/cnitool/pods && grep -o '\"config\":\"[^\"]*' \
                   /var/lib/cni/results/pods-dead-eth0 | head -n 1 | cut -d '\"' -f 4 | base64 -d \
                   >/run/cnitool/pods/pods.conflist";
    assert_eq!(bed.ways(), [restore, "cnitool gc pods --conf-dir /run/cnitool/pods"]);
    bed.follow_the_remedy();
    assert!(!fs::exists(CONF).unwrap());
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
    assert!(text.contains("2 taken, last 10.1.2.4  (ranges unknown)"), "{text}");
    let rm = "rm /var/lib/cni/networks/inner/10.1.3.4 /var/lib/cni/networks/inner/fd00::4";
    assert_eq!(bed.ways(), [rm, "rm -r /var/lib/cni/networks/old"]);
    bed.follow_the_remedy();
    assert!(fs::exists(format!("{NETWORKS}/inner/10.1.3.3")).unwrap());
}

/// An attachment that looks leaked by one cache may be live in another, so `ls` reads all caches
/// that it knows.
#[test]
fn attachments_of_another_cache_are_kept() {
    let bed = Bed::new();
    let pod = bed.join("pods", "c1", &["--cache-dir", "/var/lib/cni/cache"]);
    age(format!("{NETWORKS}/pods"), HOUR);
    for dir in ["/var/lib/cni", "/var/lib/cni/cache", "/var/lib/cni/multus"] {
        let there = bed.cnitool(&["ls", "--cache-dir", dir]).ok();
        assert!(there.ends_with("nothing looks leaked\n"), "{dir}: {there}");
        fs::create_dir_all(format!("{dir}/results")).unwrap();
        let gc = bed.cnitool(&["gc", "pods", "--cache-dir", dir]);
        assert_eq!(gc.status, Some(0), "{}", gc.stderr);
        let keeps = gc.stderr.contains("keeping c1/eth0 of pods: it is in /var/lib/cni/cache");
        assert_eq!(keeps, dir != "/var/lib/cni/cache", "{}", gc.stderr);
        assert!(pod.ping("10.88.0.1"), "{dir}");
    }
    // `--valid` does not list the attachment, so gc must not say that it keeps it.
    let gc = bed.cnitool(&["gc", "pods", "--dry-run", "--valid", "other/eth0"]);
    assert!(!gc.stderr.contains("keeping"), "{}", gc.stderr);
    bed.delete(&pod);
    let text = bed.ls();
    assert!(text.contains("1 by a container in no cache entry"), "{text}");
    bed.cnitool(&[
        "del",
        "pods",
        "c1",
        "--container-id",
        "c1",
        "--cache-dir",
        "/var/lib/cni/cache",
    ])
    .ok();
}

/// Also of what only the plugins know, however young it is.
#[test]
fn a_dry_run_of_gc_lists_the_removals_of_gc() {
    let bed = Bed::new();
    let alive = bed.add("alive");
    bed.delete(&bed.add("gone"));
    bed.join("pods", "lost", &["--cache-dir", "/run/elsewhere"]);
    let dry = bed.cnitool(&["gc", "pods", "--dry-run"]);
    assert_eq!((dry.status, &*dry.stdout), (Some(0), ""), "{}", dry.said);
    let lines: Vec<&str> = dry.said.lines().collect();
    assert_eq!(lines.len(), 2, "{}", dry.said);
    assert!(lines[0].starts_with("would remove gone/eth0 from pods ("), "{}", dry.said);
    let has = "would remove lost/eth0 from pods (in no cache entry; has the interface veth";
    assert!(lines[1].starts_with(has), "{}", dry.said);
    assert!(lines[1].ends_with(", 10.88.0.4)"), "{}", dry.said);
    assert!(fs::exists(format!("{NETWORKS}/pods/10.88.0.4")).unwrap());
    let gc = bed.cnitool(&["gc", "pods"]);
    assert_eq!(gc.status, Some(0), "{}", gc.said);
    assert_eq!(gc.said, dry.said.replace("would remove", "removing"));
    for (ip, stays) in [("10.88.0.2", true), ("10.88.0.3", false), ("10.88.0.4", false)] {
        assert_eq!(fs::exists(format!("{NETWORKS}/pods/{ip}")).unwrap(), stays, "{ip}");
    }
    assert!(alive.ping("10.88.0.1"));
    let nothing = bed.cnitool(&["gc", "pods", "--dry-run"]);
    assert_eq!((nothing.status, &*nothing.said), (Some(0), ""));
}

/// A container of a runtime whose cache is in another place lives: gc takes its network away only
/// if that is said.
#[test]
fn gc_refuses_to_cut_off_a_living_container_that_is_in_no_cache_entry() {
    let bed = Bed::new();
    let pod = bed.join("pods", "lost", &["--cache-dir", "/run/elsewhere"]);
    let mut inside =
        pod.command("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Once it answers, it is in the namespace.
    inside.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    inside.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    for args in [&["gc", "pods"][..], &["gc", "pods", "--dry-run"]] {
        let gc = bed.cnitool(args);
        assert_eq!(gc.status, Some(1), "{args:?}: {}", gc.said);
        for part in [
            "would remove lost/eth0 from pods (in no cache entry; has the interface veth",
            &format!("; process {} is in its namespace)", inside.id()),
            "nothing was removed: 1 attachment of pods in no cache entry would lose the network \
             alive",
            "(--cache-dir)",
        ] {
            assert!(gc.said.contains(part), "{args:?}: {part}: {}", gc.said);
        }
        assert!(pod.ping("10.88.0.1"), "{args:?}");
    }
    let gc = bed.cnitool(&["gc", "pods", "--valid", "lost/eth0"]);
    assert_eq!((gc.status, &*gc.said), (Some(0), ""));
    assert!(pod.ping("10.88.0.1"));
    let gc = bed.cnitool(&["gc", "pods", "--valid", "other/eth0"]);
    assert!(gc.status == Some(0) && gc.said.starts_with("removing lost/eth0"), "{}", gc.said);
    assert!(!pod.ping("10.88.0.1"));
    drop(inside.stdin.take());
    assert!(inside.wait().unwrap().success());
}

/// `ls` can only warn of a cache elsewhere.
#[test]
fn a_node_without_a_cache_is_warned_of() {
    let bed = Bed::new();
    bed.join("pods", "c1", &["--cache-dir", "/var/lib/cni/cache"]);
    age(format!("{NETWORKS}/pods"), HOUR);
    fs::create_dir("/var/lib/cni/deep").unwrap();
    fs::rename("/var/lib/cni/cache", "/var/lib/cni/deep/er").unwrap();
    let text = bed.ls();
    assert!(text.contains("remedy\n  /var/lib/cni/results has no attachments: "), "{text}");
    bed.add("c2");
    let text = bed.ls();
    assert!(text.contains("remedy\n  cnitool gc pods\n"), "{text}");
}

#[test]
fn the_remedy_has_the_folders_of_the_call() {
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
