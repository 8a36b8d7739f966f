//! What cannot be looked at is said, and hides nothing else; and what only looks like a leak is
//! none.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, CONF, HOUR, NETWORKS, RESULTS, age};

#[test]
fn a_node_with_nothing_has_nothing() {
    let bed = Bed::new();
    fs::remove_dir_all("/etc/cni/net.d").unwrap();
    assert_eq!(bed.ls(), "no attachments in /var/lib/cni/results\n\nnothing looks leaked\n");
    let none = json!({ "attachments": [], "pools": [], "looksLeaked": [], "wayOut": [] });
    assert_eq!(bed.json(), none);
    let unknown = bed.cnitool(&["ls", "pods"]);
    assert_eq!((unknown.status, &*unknown.stdout), (Some(1), ""));
    assert_eq!(unknown.stderr, "there is no network \"pods\": no network is known\n");
}

#[test]
fn broken_files_are_named_and_the_rest_is_shown() {
    let bed = Bed::new();
    for id in ["c1", "c2", "c3"] {
        bed.add(id);
    }
    bed.delete(&bed.add("dead"));
    let entry = |id: &str| format!("{RESULTS}/pods-{id}-eth0");
    fs::write(entry("c1"), "{\"kind\": \"cniCacheV1\"").unwrap();
    fs::write(entry("c2"), "{\"ips\": []}").unwrap();
    let mut c3: Value = serde_json::from_slice(&fs::read(entry("c3")).unwrap()).unwrap();
    c3["result"]["cniVersion"] = "9.9.9".into();
    c3["config"] = "e30=".into();
    fs::write(entry("c3"), c3.to_string()).unwrap();
    fs::write("/etc/cni/net.d/00-bad.conflist", "{").unwrap();
    let bad =
        fs::read_to_string(CONF).unwrap().replace("\"pods\"", "\"bad\"").replace(".0/24", ".1/24");
    fs::write("/etc/cni/net.d/01-bad.conflist", bad).unwrap();
    fs::create_dir(format!("{NETWORKS}/pods/last_reserved_ip.1")).unwrap();
    age(format!("{NETWORKS}/pods"), HOUR);

    let run = bed.cnitool(&["ls"]);
    assert_eq!(run.status, Some(1));
    for said in [
        "/var/lib/cni/results/pods-c1-eth0: EOF",
        "/var/lib/cni/results/pods-c2-eth0: it does not name its attachment\n",
        "/var/lib/cni/results/pods-c3-eth0: its result: unsupported CNI result version \"9.9.9\"\n",
        "/var/lib/cni/results/pods-c3-eth0: its configuration: error parsing configuration list: \
         no name\n",
        "/etc/cni/net.d/00-bad.conflist: line 1",
        "/etc/cni/net.d/01-bad.conflist: ipam: invalid range set 0: Network has host bits set",
    ] {
        assert!(run.stderr.contains(said), "{said}\n{}", run.stderr);
    }
    assert_eq!(run.stderr.lines().count(), 6, "{}", run.stderr);
    // The holders of the addresses of c1 and c2 are unknown, so they do not count as leaks.
    for said in [
        "c3",
        "4 of 253 taken",
        "2 by unknown holders",
        "pods: 1 attachment whose namespace is gone",
    ] {
        assert!(run.stdout.contains(said), "{said}\n{}", run.stdout);
    }
    assert!(!run.stdout.contains("in no cache entry\n"), "{}", run.stdout);
    assert!(
        run.stdout.contains("first repair or remove the unreadable files of the cache"),
        "{}",
        run.stdout
    );
    let run = bed.cnitool(&["ls", "--json"]);
    assert_eq!(run.status, Some(1));
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["attachments"].as_array().unwrap().len(), 2);
}

/// As a user who may read only world-readable files: the files belong to root, and root's right to
/// read every file is dropped.
#[test]
fn unreadable_objects_do_not_count_as_leaks() {
    let bed = Bed::new();
    bed.add("c1");
    age(format!("{NETWORKS}/pods"), HOUR);
    let close = |path: &str| fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    let look = || {
        let drop = "-dac_override,-dac_read_search";
        let command = format!("setpriv --bounding-set={drop} --inh-caps={drop} cnitool ls");
        bed.shell(&command)
    };
    assert_eq!(look().status, Some(0));

    close(&format!("{NETWORKS}/pods/10.88.0.2"));
    let run = look();
    assert_eq!(run.status, Some(1));
    assert_eq!(
        run.stderr,
        "read /var/lib/cni/networks/pods/10.88.0.2: Permission denied (os error 13)\n"
    );
    assert!(run.stdout.contains("1 of 253 taken"), "{}", run.stdout);
    assert!(run.stdout.ends_with("nothing looks leaked\n"), "{}", run.stdout);

    close(RESULTS);
    let run = look();
    assert_eq!(run.status, Some(1));
    assert!(
        run.stderr.contains("read the folder /var/lib/cni/results: Permission denied"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.starts_with("the attachments are unknown: the cache cannot be read\n"));
    assert!(run.stdout.ends_with("the leaks are unknown, too\n"), "{}", run.stdout);

    close(NETWORKS);
    let run = look();
    assert!(
        run.stderr.contains("read the folder /var/lib/cni/networks: Permission denied"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("0 of 253 taken"), "{}", run.stdout);
}

/// While the chain's last plugin works, the reservation and the link are there, and the cache's
/// entry is not.
#[test]
fn an_add_in_progress_is_not_a_leak() {
    let bed = Bed::new();
    let mut conf: Value = serde_json::from_slice(&fs::read(CONF).unwrap()).unwrap();
    conf["plugins"].as_array_mut().unwrap().push(json!({ "type": "waits" }));
    bed.configure(&conf);
    bed.sh("mkdir /run/bin; mkfifo /run/started /run/go");
    let script = "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho >/run/started\nread -r _ \
                  </run/go\necho '{\"cniVersion\": \"1.1.0\"}'\n";
    fs::write("/run/bin/waits", script).unwrap();
    fs::set_permissions("/run/bin/waits", fs::Permissions::from_mode(0o755)).unwrap();
    let pod = bed.pod("c1");
    let mut add = Command::new(testbed::binary("cnitool"));
    let path = format!("{}:/run/bin", testbed::bin().display());
    add.args(["add", "pods", "c1", "--container-id", "c1"]).env("CNI_PATH", path);
    add.env_remove("NETCONFPATH").env_remove("CNI_ARGS").stdout(std::process::Stdio::null());
    let mut add = add.spawn().unwrap();
    fs::File::open("/run/started").unwrap().read_to_end(&mut Vec::new()).unwrap();

    assert!(bed.sh("ip link").contains("alias ferrocni:pods/c1/eth0"));
    assert_eq!(bed.leaks(), Vec::<String>::new());
    let coming = bed.json()["pools"][0]["beingAdded"].clone();
    assert_eq!(
        (&coming[0]["address"], &coming[0]["containerID"]),
        (&json!("10.88.0.2"), &json!("c1"))
    );
    assert!(bed.ls().contains("1 reserved a few seconds ago: ADD in progress?"), "{}", bed.ls());

    fs::write("/run/go", "\n").unwrap();
    assert!(add.wait().unwrap().success());
    assert!(bed.json()["pools"][0]["beingAdded"].as_array().unwrap().is_empty());
    assert!(pod.ping("10.88.0.1"));
}

#[test]
fn too_much_is_refused() {
    let bed = Bed::new();
    for (args, said) in [
        (&["ls", "pods", "c1"][..], "ls: \"c1\" is one word too many"),
        (&["ls", "--all"], "are for gc"),
        (&["ls", "nets"], "there is no network \"nets\": known networks: pods"),
    ] {
        let run = bed.cnitool(args);
        assert_eq!((run.status, &*run.stdout), (Some(1), ""), "{args:?}");
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_reader_that_stops_early_causes_no_error() {
    let bed = Bed::new();
    (0..50).for_each(|number| drop(bed.add(&format!("c{number}"))));
    let run = bed.shell("cnitool ls | true");
    assert_eq!((run.status, &*run.stderr), (Some(0), ""));
}
