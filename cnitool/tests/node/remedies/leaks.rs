//! The remedies that `cnitool ls` prints.

use std::fs;

use serde_json::{Value, json};

use super::node::{Live, chained, each, install, network};
use crate::bed::{HOUR, NETWORKS, RESULTS, age};

/// Something that looks leaked, and the commands that `ls` prints.
struct Row {
    what: &'static str,
    pods: fn() -> Value,
    /// Makes it look leaked.
    spoil: fn(&Live),
    /// Commands that must be among those printed.
    says: &'static [&'static str],
    /// How each command ends.
    status: i32,
    /// What must be so afterwards, beside that nothing looks leaked.
    then: fn(&Live),
}

const USUAL: Row = Row {
    what: "",
    pods: || network("pods", 88, "1.1.0"),
    spoil: |_| {},
    says: &[],
    status: 0,
    then: |_| {},
};

fn old() -> Value {
    network("pods", 88, "1.0.0")
}

/// An attachment that no cache has any more.
fn forget(live: &Live, network: &str, id: &str) {
    live.join(network, id, &[]);
    fs::remove_file(format!("{RESULTS}/{network}-{id}-eth0")).unwrap();
    age(format!("{NETWORKS}/{network}"), HOUR);
}

fn die(live: &Live, network: &str, id: &str) {
    live.delete(&live.join(network, id, &[]));
}

/// The chained plugin is missing when the attachment is deleted.
fn lose_the_plugin(live: &Live) {
    fs::remove_file("/run/bin/tail").unwrap();
    let text = live.ls();
    assert!(text.contains("first install tail in "), "{text}");
}

/// Only DEL of the missing plugin can remove the rest. When the plugin is installed again, the same
/// command succeeds. Meanwhile a new container has got the address.
fn again_with_the_plugin(live: &Live) {
    install("tail");
    assert_eq!(live.reserved("pods"), ["10.88.0.2"]);
    let new: Vec<_> = (0..12).map(|number| live.join("pods", &format!("n{number}"), &[])).collect();
    let run = live.cnitool(&["del", "pods", "/nowhere", "--container-id", "dead"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    for (number, pod) in new.iter().enumerate() {
        let id = format!("n{number}");
        live.cnitool(&["check", "pods", &id, "--container-id", &id]).ok();
        assert!(pod.ping("10.88.0.1"));
    }
}

const ROWS: &[Row] = &[
    Row {
        what: "a namespace that is gone",
        spoil: |live| die(live, "pods", "dead"),
        says: &["cnitool gc pods"],
        ..USUAL
    },
    Row {
        what: "a namespace whose file is left",
        spoil: |live| {
            let pod = live.join("pods", "dead", &[]);
            live.delete(&pod);
            fs::write(pod.path(), "").unwrap();
        },
        says: &["rm /run/netns/dead"],
        ..USUAL
    },
    Row {
        what: "a host interface that is gone",
        spoil: |live| {
            live.join("pods", "c1", &[]);
            live.run(&["ip", "link", "del", &live.host_link("c1")]);
        },
        says: &["cnitool repair pods /run/netns/c1"],
        then: |live| {
            live.cnitool(&["check", "pods", "c1", "--container-id", "c1"]).ok();
        },
        ..USUAL
    },
    Row {
        what: "in no cache entry, plugins know GC",
        spoil: |live| forget(live, "pods", "lost"),
        says: &["cnitool gc pods"],
        ..USUAL
    },
    Row {
        what: "in no cache entry, plugins know no GC",
        pods: old,
        spoil: |live| forget(live, "pods", "lost"),
        says: &["cnitool del pods /nowhere --container-id lost --ifname eth0"],
        ..USUAL
    },
    Row {
        what: "many in no cache entry, plugins know no GC: one command shows how",
        pods: old,
        spoil: |live| ["l1", "l2", "l3", "l4"].iter().for_each(|id| forget(live, "pods", id)),
        says: &["cnitool del pods /nowhere --container-id l1 --ifname eth0"],
        ..USUAL
    },
    Row {
        what: "an empty reservation",
        pods: old,
        spoil: |_| {
            fs::write(format!("{NETWORKS}/pods/10.88.0.9"), "").unwrap();
            age(format!("{NETWORKS}/pods"), HOUR);
        },
        says: &["rm /var/lib/cni/networks/pods/10.88.0.9"],
        ..USUAL
    },
    Row {
        what: "disableGC",
        pods: || {
            let mut conf = network("pods", 88, "1.1.0");
            conf["disableGC"] = json!(true);
            conf
        },
        spoil: |live| {
            die(live, "pods", "dead");
            forget(live, "pods", "lost");
        },
        says: &[
            "cnitool del pods /run/netns/dead --container-id dead --ifname eth0",
            "cnitool del pods /nowhere --container-id lost --ifname eth0",
        ],
        ..USUAL
    },
    Row {
        what: "a network that lost its file, and still has live containers",
        spoil: |live| {
            die(live, "pods", "dead");
            fs::remove_file("/etc/cni/net.d/pods.conflist").unwrap();
        },
        says: &["cnitool gc pods --conf-dir /run/cnitool/pods"],
        then: not_configured,
        ..USUAL
    },
    Row {
        what: "a network that lost its file, plugins know no GC",
        pods: old,
        spoil: |live| {
            forget(live, "pods", "lost");
            fs::remove_file("/etc/cni/net.d/pods.conflist").unwrap();
        },
        says: &["cnitool del pods /nowhere --container-id lost --ifname eth0 --conf-dir \
                /run/cnitool/pods"],
        then: not_configured,
        ..USUAL
    },
    Row {
        what: "a single plugin's network that lost its file",
        spoil: |live| {
            let single = &network("single", 90, "1.1.0")["plugins"][0];
            let mut single = single.clone();
            single["name"] = json!("single");
            single["cniVersion"] = json!("1.1.0");
            fs::write("/etc/cni/net.d/99-single.conf", single.to_string()).unwrap();
            die(live, "single", "dead");
            fs::remove_file("/etc/cni/net.d/99-single.conf").unwrap();
        },
        says: &["cnitool gc single --conf-dir /run/cnitool/single"],
        then: |live| assert_eq!(live.reserved("single"), Vec::<String>::new()),
        ..USUAL
    },
    Row {
        what: "a network that only has a folder",
        spoil: |live| {
            die(live, "pods", "dead");
            fs::create_dir_all(format!("{NETWORKS}/old")).unwrap();
            fs::write(format!("{NETWORKS}/old/10.1.2.3"), "gone\r\neth0").unwrap();
            age(format!("{NETWORKS}/old"), HOUR);
        },
        says: &["rm -r /var/lib/cni/networks/old", "cnitool gc pods"],
        ..USUAL
    },
    Row {
        what: "a link of a network that nobody knows",
        spoil: |live| {
            live.configure(&network("old", 90, "1.1.0"));
            forget(live, "old", "lost");
            fs::remove_file("/etc/cni/net.d/old.conflist").unwrap();
            fs::remove_dir_all(format!("{NETWORKS}/old")).unwrap();
        },
        then: |live| assert!(!live.run(&["ip", "link"]).contains("ferrocni:old/")),
        ..USUAL
    },
    Row {
        what: "a missing plugin, a namespace that is gone",
        pods: || chained("pods", 88, "1.1.0"),
        spoil: |live| {
            die(live, "pods", "dead");
            lose_the_plugin(live);
        },
        says: &["cnitool gc pods"],
        status: 1,
        then: again_with_the_plugin,
    },
    Row {
        what: "a missing plugin, in no cache entry, plugins know no GC",
        pods: || chained("pods", 88, "1.0.0"),
        spoil: |live| {
            forget(live, "pods", "dead");
            lose_the_plugin(live);
        },
        says: &["cnitool del pods /nowhere --container-id dead --ifname eth0"],
        status: 1,
        then: again_with_the_plugin,
    },
];

/// No runtime starts a pod on a network whose configuration an operator restored to clean up.
fn not_configured(_: &Live) {
    let files = fs::read_dir("/etc/cni/net.d").unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["others.conflist"]);
}

#[test]
fn every_remedy_of_ls_works() {
    each(ROWS, |row| {
        let live = Live::with(&(row.pods)());
        live.remember();
        (row.spoil)(&live);
        let first = live.ways();
        for said in row.says {
            assert!(first.contains(&(*said).to_owned()), "{}: {first:#?}", row.what);
        }
        // One command may stand for many, or lead to the next.
        let mut rounds = 0;
        while !live.leaks().is_empty() && rounds < 5 {
            for way in live.ways() {
                let run = live.shell(&way);
                let said = format!("{}: {way}: {}", row.what, run.stderr);
                assert!(run.status == Some(row.status) || run.status == Some(0), "{said}");
                let lost = run.stderr.contains("not found") && !run.stderr.contains("\"tail\"");
                assert!(!lost, "{said}");
            }
            rounds += 1;
            if row.status != 0 {
                install("tail");
            }
        }
        assert_eq!(live.leaks(), Vec::<String>::new(), "{}: after {first:#?}", row.what);
        install("tail");
        live.assert_untouched(row.what);
        (row.then)(&live);
    });
}

/// The effect and the output of a command while a plugin is missing.
#[test]
fn del_and_gc_release_the_objects_of_the_other_plugins() {
    each(&["del", "gc"], |verb| {
        let live = Live::with(&chained("pods", 88, "1.1.0"));
        live.remember();
        let pod = live.join("pods", "dead", &[]);
        let link = live.host_link("dead");
        if *verb == "gc" {
            live.kill(&pod, "dead");
        }
        fs::remove_file("/run/bin/tail").unwrap();
        let run = match *verb {
            "del" => live.cnitool(&["del", "pods", "dead", "--container-id", "dead"]),
            _ => live.cnitool(&["gc", "pods"]),
        };
        assert_eq!(run.status, Some(1), "{}", run.stderr);
        for said in [
            "failed to find plugin \"tail\" in path [",
            "all other plugins of pods were called. Objects of tail may remain",
        ] {
            assert!(run.stderr.contains(said), "{}", run.stderr);
        }
        assert_eq!(live.reserved("pods"), ["10.88.0.2"]);
        assert!(!live.run(&["ip", "link"]).contains(&link));
        assert!(fs::exists(format!("{RESULTS}/pods-dead-eth0")).unwrap());
        install("tail");
        live.assert_untouched(verb);
        again_with_the_plugin(&live);
        assert!(!fs::exists(format!("{RESULTS}/pods-dead-eth0")).unwrap());
    });
}

/// GC that leaves something leaked fails, and names the next command.
#[test]
fn gc_fails_if_a_leak_remains() {
    let conf = |version: &str, disabled: bool| {
        let mut conf = network("pods", 88, version);
        conf["disableGC"] = json!(disabled);
        conf
    };
    each(&[("1.0.0", false, "support GC only from"), ("1.1.0", true, "disableGC")], |row| {
        let (version, disabled, why) = *row;
        let live = Live::with(&conf(version, disabled));
        live.remember();
        assert_eq!(live.cnitool(&["gc", "pods"]).status, Some(0));
        forget(&live, "pods", "lost");
        let run = live.cnitool(&["gc", "pods"]);
        assert_eq!(run.status, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("1 attachment of pods not removed, because"), "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert!(run.stderr.contains("`cnitool ls pods` shows"), "{}", run.stderr);
        live.shell("cnitool ls pods").ok();
        live.follow_the_remedy();
        assert_eq!(live.cnitool(&["gc", "pods"]).status, Some(0));
        live.assert_untouched(why);
    });
}

/// Nothing counts as leaked while DEL of the containers fails. When the plugin is installed again,
/// DEL succeeds.
#[test]
fn ls_names_a_missing_plugin_before_anything_leaks() {
    let live = Live::with(&chained("pods", 88, "1.1.0"));
    live.remember();
    let pod = live.join("pods", "c1", &[]);
    assert!(!live.ls().contains("install"), "{}", live.ls());
    lose_the_plugin(&live);
    assert!(live.ls().contains("pods stay Terminating"), "{}", live.ls());
    assert_eq!((live.leaks(), live.ways()), (Vec::new(), Vec::new()));
    install("tail");
    live.cnitool(&["del", "pods", "c1", "--container-id", "c1"]).ok();
    assert!(!pod.sh("ip link").contains("eth0"));
    live.assert_untouched("the plugin is back");
}

/// Other suites' plugins accept GC and do nothing. `ls` cannot know that, but `gc` sees that the
/// leak is still there.
#[test]
fn gc_names_the_remedy_if_plugins_do_nothing() {
    let mut conf = network("pods", 88, "1.1.0");
    conf["plugins"][0]["type"] = json!("deaf");
    let live = Live::prepared(&conf, |_| {
        let bridge = testbed::binary("bridge");
        let body =
            format!("#!/bin/sh\n[ $CNI_COMMAND = GC ] && exit 0\nexec {}\n", bridge.display());
        install("deaf");
        fs::write("/run/bin/deaf", body).unwrap();
    });
    live.remember();
    forget(&live, "pods", "lost");
    assert_eq!(live.ways(), ["cnitool gc pods"]);
    let run = live.cnitool(&["gc", "pods"]);
    assert_eq!(run.status, Some(1), "{}", run.stderr);
    let said = "1 attachment of pods not removed, because a plugin does not support GC: \
                `cnitool del pods /nowhere --container-id lost --ifname eth0` removes one";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    live.shell("cnitool del pods /nowhere --container-id lost --ifname eth0");
    assert_eq!(live.leaks(), Vec::<String>::new());
    live.cnitool(&["gc", "pods"]).ok();
    live.assert_untouched("one by one");
}
