//! Every verb finds the attachment by the namespace's inode, however the path is written.
use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, NETWORKS, Run};
use testbed::Pod;

/// A process in a pod, for as long as it is wanted.
struct Inside(Child);

impl Inside {
    fn new(pod: &Pod) -> Inside {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", pod.path().display())).args(["sleep", "1000"]);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let own = fs::metadata("/proc/self/ns/net").unwrap();
        let path = format!("/proc/{}/ns/net", child.id());
        let ino = |meta: fs::Metadata| std::os::unix::fs::MetadataExt::ino(&meta);
        while fs::metadata(&path).is_ok_and(|meta| ino(meta) == ino(own.clone())) {
            std::thread::yield_now();
        }
        Inside(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Every way to write the path of `/run/netns/c1`.
fn spellings(bed: &Bed, inside: &Inside) -> Vec<String> {
    symlink("/run", "/run/again").unwrap();
    symlink("/run/netns/c1", "/run/link").unwrap();
    bed.sh("touch /run/mounted; mount --bind /run/netns/c1 /run/mounted");
    let depth = std::env::current_dir().unwrap().components().count();
    let relative = format!("{}run/netns/c1", "../".repeat(depth));
    let all = [
        "c1",
        "/run/netns/c1",
        "/run/netns/../netns/c1",
        "/run/again/netns/c1",
        "/run/link",
        "/run/mounted",
    ];
    all.into_iter().map(str::to_owned).chain([relative, inside.path()]).collect()
}

fn ok(run: Run, what: &str) -> String {
    assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{what}: {}", run.stdout);
    run.stdout
}

#[test]
fn every_verb_finds_the_attachment_by_any_path() {
    let bed = Bed::new();
    let pod = bed.pod("c1");
    bed.add("c2");
    let inside = Inside::new(&pod);
    let all = spellings(&bed, &inside);
    for (added, named) in all.iter().zip(all.iter().cycle().skip(1)).chain([(&all[1], &all[3])]) {
        let what = format!("added as {added}, named {named}");
        ok(bed.cnitool(&["add", "pods", added]), &what);
        ok(bed.cnitool(&["check", "pods", named]), &what);
        pod.run(&["ip", "link", "set", "eth0", "down"]);
        assert_eq!(bed.cnitool(&["check", "pods", named]).status, Some(1), "{what}");
        let repaired = ok(bed.cnitool(&["repair", "pods", named]), &what);
        assert!(repaired.contains("repaired by bridge"), "{what}: {repaired}");
        ok(bed.cnitool(&["check", "pods", named]), &what);
        ok(bed.cnitool(&["gc", "pods"]), &what);
        ok(bed.cnitool(&["check", "pods", named]), &what);
        ok(bed.cnitool(&["del", "pods", named]), &what);
        assert!(!pod.sh("ip link").contains("eth0"), "{what}");
        assert!(!bed.ls().contains("cnitool-"), "{what}");
    }
    bed.cnitool(&["check", "pods", "c2"]).ok();
}

/// DEL most often comes after the namespace is gone. Then the folder of its path identifies it.
#[test]
fn a_namespace_that_is_gone_is_found_by_its_folder() {
    let bed = Bed::new();
    symlink("/run", "/run/again").unwrap();
    for (added, named) in [("/run/again/netns/c1", "c1"), ("c1", "/run/again/netns/c1")] {
        let pod = bed.pod("c1");
        bed.cnitool(&["add", "pods", added]).ok();
        bed.delete(&pod);
        bed.cnitool(&["del", "pods", named]).ok();
        let taken = fs::read_dir(format!("{NETWORKS}/pods")).unwrap();
        let taken =
            taken.filter(|it| it.as_ref().unwrap().file_name().to_string_lossy().contains("10."));
        assert_eq!(taken.count(), 0, "added as {added}");
    }
}

/// The plugins too: a runtime may have another path at CHECK than at ADD.
#[test]
fn check_and_repair_of_a_plugin_go_by_the_inode() {
    let bed = Bed::new();
    let pod = bed.pod("c1");
    let other = bed.pod("c2");
    let inside = Inside::new(&pod);
    let mut conf =
        crate::bed::network("pods", "1.1.0", serde_json::json!([[{ "subnet": "10.88.0.0/24" }]]));
    let mut plugin = conf["plugins"][0].take();
    plugin["name"] = "pods".into();
    plugin["cniVersion"] = "1.1.0".into();
    let call = bed.plugin("bridge").conf(&plugin).container("c1").netns(&pod);
    let result = call.add().ok();
    let call = call.prev(&result);
    for path in spellings(&bed, &inside).iter().filter(|path| path.contains('/')) {
        let call = call.clone().env("CNI_NETNS", path);
        call.check().ok();
        pod.run(&["ip", "link", "set", "eth0", "down"]);
        assert!(call.raw("REPAIR").stdout.contains("eth0"), "{path}");
        call.check().ok();
    }
    let (_, msg, _) = call.clone().netns(&other).check().err();
    assert!(msg.contains("doesn't match configured netns"), "{msg}");
    other.sh("ip link add eth0 type veth peer name x");
    bed.delete(&pod);
    let (_, msg, _) = call.env("CNI_NETNS", "/run/netns/c2").check().err();
    assert!(msg.contains("doesn't match configured netns"), "{msg}");
}

/// Other runtimes choose container IDs of their own, and other plugins compare the path as text.
#[test]
fn the_entry_of_another_id_is_found_and_plugins_get_the_path_that_add_had() {
    let bed = Bed::new();
    let pod = bed.pod("c1");
    bed.cnitool(&["add", "pods", "c1", "--container-id", "0123456789abcdef"]).ok();
    symlink("/run/netns/c1", "/run/link").unwrap();
    let reference = testbed::reference();
    let path = format!("{}:{}", reference.display(), testbed::bin().display());
    for id in [&[][..], &["--container-id", "0123456789abcdef"]] {
        let args = [&["check", "pods", "/run/link", "--path", &path], id].concat();
        let run = bed.cnitool(&args);
        // The reference's bridge reports more about a veth pair that it did not make, but not this.
        assert!(!run.stderr.contains("Sandbox"), "{}", run.stderr);
        bed.cnitool(&[&["check", "pods", "/run/link"], id].concat()).ok();
    }
    bed.cnitool(&["del", "pods", "/run/link"]).ok();
    assert!(!pod.sh("ip link").contains("eth0"));
}

#[test]
fn a_verb_without_work_reports_that() {
    let bed = Bed::new();
    let alive = bed.add("c1");
    bed.pod("c2");
    let nothing = |args: &[&str], status: i32| {
        let run = bed.cnitool(args);
        assert_eq!((run.status, &*run.stdout), (Some(status), ""), "{args:?}: {}", run.stderr);
        let said = "no attachment of pods is in the cache with container ID ";
        assert!(run.stderr.starts_with(said), "{args:?}: {}", run.stderr);
        run.stderr
    };
    for verb in ["check", "repair"] {
        let said = nothing(&[verb, "pods", "c2"], 1);
        assert!(said.contains("nor one in the namespace /run/netns/c2"), "{said}");
        nothing(&[verb, "pods", "c1", "--container-id", "other"], 1);
    }
    nothing(&["check", "pods", "c1", "--ifname", "eth1"], 1);
    let said = nothing(&["del", "pods", "c2"], 0);
    assert!(said.ends_with("DEL was run for this container ID all the same"), "{said}");
    nothing(&["del", "pods", "c1", "--container-id", "other"], 0);
    // Without a container, it is no error that the network has no attachment.
    bed.configure(&crate::bed::network(
        "none",
        "1.1.0",
        serde_json::json!([[{ "subnet": "10.89.0.0/24" }]]),
    ));
    let run = bed.cnitool(&["repair", "none"]);
    assert_eq!((run.status, &*run.stderr), (Some(0), "no attachment of none is in the cache"));
    bed.cnitool(&["check", "pods", "c1"]).ok();
    assert!(alive.ping("10.88.0.1"));
}

/// A path can lead to a new namespace while the entry of the old one still exists.
#[test]
fn two_attachments_of_one_path_are_not_confused() {
    let bed = Bed::new();
    bed.kill(&bed.add("c1"), "c1");
    let pod = bed.pod("c1");
    bed.cnitool(&["add", "pods", "c1", "--container-id", "new"]).ok();
    for verb in ["check", "del"] {
        let run = bed.cnitool(&[verb, "pods", "c1"]);
        assert_eq!(run.status, Some(1), "{verb}");
        let said =
            "2 attachments of pods are in /run/netns/c1: name one with --container-id: c1, new\n";
        assert_eq!(run.stderr, said);
    }
    bed.cnitool(&["del", "pods", "c1", "--container-id", "c1"]).ok();
    assert!(pod.ping("10.88.0.1"));
    bed.cnitool(&["check", "pods", "c1"]).ok();
}

/// One folder of reservations with two paths is one pool.
#[test]
fn a_data_dir_by_two_names_is_one_pool() {
    let bed = Bed::new();
    fs::create_dir_all("/run/pools").unwrap();
    symlink("/run", "/run/again").unwrap();
    let configure = |dir: &str| {
        let mut conf = crate::bed::network(
            "pods",
            "1.1.0",
            serde_json::json!([[{ "subnet": "10.88.0.0/24" }]]),
        );
        conf["plugins"][0]["ipam"]["dataDir"] = dir.into();
        bed.configure(&conf);
    };
    configure("/run/pools");
    bed.add("c1");
    configure("/run/again/pools/");
    bed.add("c2");
    let json = bed.json();
    let pools = json["pools"].as_array().unwrap();
    assert_eq!(pools.len(), 1, "{json:#}");
    assert_eq!(pools[0]["ranges"].as_array().unwrap().len(), 1, "{json:#}");
    assert_eq!(pools[0]["ranges"][0]["use"]["taken"], 2);
}
