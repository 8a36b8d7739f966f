//! What is taken of which pool.

use std::fs;

use serde_json::{Value, json};

use crate::bed::{Bed, HOUR, NETWORKS, age, network};

fn ranges(bed: &Bed) -> Vec<Value> {
    bed.json()["pools"][0]["ranges"].as_array().unwrap().clone()
}

#[test]
fn each_range_is_counted_by_the_holders_of_its_addresses() {
    let sets = json!([
        [
            { "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.10", "rangeEnd": "10.88.0.11" },
            { "subnet": "10.88.1.0/29", "gateway": "10.88.1.6" }
        ],
        [{ "subnet": "fd00:88::/64" }]
    ]);
    let mut conf = network("pods", "1.1.0", sets);
    // A bridge has one gateway's address of each family.
    conf["plugins"][0]["isGateway"] = false.into();
    let bed = Bed::with(&conf);
    for id in ["c1", "c2", "c3"] {
        bed.add(id);
    }
    let put = |ip: &str, content: &str| {
        fs::write(format!("{NETWORKS}/pods/{ip}"), content).unwrap();
    };
    put("10.88.1.2", "nobody's\r\neth0");
    put("10.88.1.3", "a note of somebody's: keep this free");
    put("10.88.1.4", "");
    put("172.16.0.9", "c1\r\neth0");
    age(format!("{NETWORKS}/pods"), HOUR);
    put("fd00:88::ff", "coming\r\neth0");

    let all = ranges(&bed);
    let shown = |range: &Value| {
        format!(
            "{}-{} {} of {}",
            range["first"], range["last"], range["use"]["taken"], range["size"]
        )
    };
    let shown: Vec<String> = all.iter().map(shown).collect();
    let expected = [
        r#""10.88.0.10"-"10.88.0.11" 2 of 2"#,
        r#""10.88.1.1"-"10.88.1.5" 3 of 5"#,
        r#""fd00:88::2"-"fd00:88::ffff:ffff:ffff:ffff" 4 of 18446744073709551614"#,
    ];
    assert_eq!(shown, expected);
    let lasts: Vec<&Value> = all.iter().map(|range| &range["lastReserved"]).collect();
    assert_eq!(lasts, [&Value::Null, &json!("10.88.1.1"), &json!("fd00:88::4")]);
    let full: Vec<&Value> = all.iter().map(|range| &range["isFull"]).collect();
    assert_eq!(full, [true, false, false]);
    let second = json!({ "taken": 3, "attached": 1, "namesNoContainer": 2, "empty": 1 });
    assert_eq!(all[1]["use"], second);
    assert_eq!(all[2]["use"], json!({ "taken": 4, "attached": 3, "beingAdded": 1 }));
    assert_eq!(bed.json()["pools"][0]["inNoRange"], json!({ "taken": 1, "attached": 1 }));
    assert_eq!(bed.leaks(), ["emptyReservation "]);

    let text = bed.ls();
    for said in [
        "10.88.0.10-10.88.0.11: 2 of 2 taken: it is full\n",
        "10.88.1.1-10.88.1.5: 3 of 5 taken, last 10.88.1.1\n",
        "2 by files that name no container\n",
        "1 empty file more\n",
        "fd00:88::2-fd00:88::ffff:ffff:ffff:ffff: 4 of about 2^64 taken, last fd00:88::4\n",
        "1 reserved a few seconds ago: ADD in progress?\n",
        "in no range: 1 taken\n",
        "10.88.1.4  (60 minutes ago)\n",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
}

/// The warning starts at nine tenths of a range set, whatever its ranges.
#[test]
fn a_set_with_little_left_is_warned_of() {
    let sets = json!([[
        { "subnet": "10.88.0.0/24", "rangeStart": "10.88.0.11", "rangeEnd": "10.88.0.16" },
        { "subnet": "10.88.1.0/24", "rangeStart": "10.88.1.11", "rangeEnd": "10.88.1.14" }
    ]]);
    let mut conf = network("pods", "1.1.0", sets);
    conf["plugins"][0]["isGateway"] = false.into();
    let bed = Bed::with(&conf);
    bed.add("c1");
    let put = |ip: &str| fs::write(format!("{NETWORKS}/pods/{ip}"), "c1\r\neth0").unwrap();
    let set = || bed.json()["pools"][0]["sets"].clone();
    for last in 12..=16 {
        put(&format!("10.88.0.{last}"));
    }
    // A whole range, and still only six of ten. The gateway and addresses outside the ranges do not
    // count.
    put("10.88.1.1");
    put("10.88.1.200");
    assert!(!bed.ls().contains("range set"), "{}", bed.ls());
    assert_eq!(set(), json!([{ "taken": 6, "size": 10, "isNearlyFull": false }]));
    (11..=13).for_each(|last| put(&format!("10.88.1.{last}")));
    assert_eq!(set(), json!([{ "taken": 9, "size": 10, "isNearlyFull": true }]));
    let text = bed.ls();
    assert!(text.contains("└─ range set 0 is nearly full: 1 left of 10\n"), "{text}");
    put("10.88.1.14");
    let text = bed.ls();
    let full = "└─ range set 0 is full: ADD fails until an address is released\n";
    assert!(text.contains(full), "{text}");
}

/// The error of an ADD that finds no address counts as `ls` does, and names `ls`.
#[test]
fn add_reports_as_many_leaks_as_ls() {
    let bed = Bed::with(&network("pods", "1.1.0", json!([[{ "subnet": "10.88.0.0/29" }]])));
    let (live, dead) = (bed.add("live"), bed.add("dead"));
    bed.add("other");
    let refused = || {
        let pod = bed.pod("late");
        let run = bed.cnitool(&["add", "pods", "late", "--container-id", "late"]);
        bed.delete(&pod);
        assert_eq!(run.status, Some(1));
        assert!(run.stderr.contains("no IP addresses available in range set: 10.88.0.1-10.88.0.6"));
        run.stderr
    };
    let put = |ip: &str, id: &str| {
        fs::write(format!("{NETWORKS}/pods/{ip}"), format!("{id}\r\neth0")).unwrap();
    };
    // Two of them belong to ADDs that seem to be running.
    put("10.88.0.5", "lost");
    put("10.88.0.6", "lost2");
    let text = refused();
    assert_eq!(bed.leaks(), Vec::<String>::new());
    assert!(
        text.contains(
            "all 5 addresses are taken, and by /var/lib/cni/results none of them looks leaked. Run \
             \"cnitool ls pods\" to see"
        ),
        "{text}"
    );
    // Those ADDs have ended, and one container is gone.
    age(format!("{NETWORKS}/pods"), HOUR);
    bed.delete(&dead);
    let text = refused();
    assert_eq!(bed.leaks().len(), 3, "{:?}", bed.leaks());
    assert!(
        text.contains(
            "all 5 addresses are taken, and 3 of them look leaked: /var/lib/cni/results has no \
             entry of their containers, or the namespace in it is gone. Run \"cnitool ls pods\""
        ),
        "{text}"
    );
    // The command that it names releases the addresses, and affects no live container.
    bed.follow_the_remedy();
    bed.add("late");
    assert!(live.ping("10.88.0.1"));
    // Without an entry of the network, the error makes no claim.
    put("10.88.0.5", "c5");
    put("10.88.0.6", "c6");
    bed.add("last");
    fs::remove_dir_all("/var/lib/cni/results").unwrap();
    let pod = bed.pod("late2");
    let run = bed.cnitool(&["add", "pods", "late2", "--container-id", "late2"]);
    drop(pod);
    assert!(
        run.stderr.contains(
            "whether some are leaked is not known: /var/lib/cni/results has no entry of network \
             pods"
        ),
        "{}",
        run.stderr
    );
}

#[test]
fn ranges_that_a_file_no_longer_has_are_shown_too() {
    let bed = Bed::new();
    bed.add("c1");
    bed.configure(&network("pods", "1.1.0", json!([[{ "subnet": "10.99.0.0/24" }]])));
    let text = bed.ls();
    assert!(text.contains("├─ 10.99.0.2-10.99.0.254: 0 of 253 taken\n"), "{text}");
    let past = "└─ 10.88.0.2-10.88.0.254: 1 of 253 taken, last 10.88.0.2  (only in the cache: the \
                file now has other ranges)\n";
    assert!(text.contains(past), "{text}");
    assert_eq!(bed.leaks(), Vec::<String>::new());
}

/// The runtime says the ranges: only the cache knows them. And where reservations are kept, the
/// configuration says.
#[test]
fn ranges_of_the_runtime_and_a_folder_of_ones_own() {
    let mut conf = network("pods", "1.1.0", json!([]));
    conf["plugins"][0]["capabilities"] = json!({ "ipRanges": true });
    conf["plugins"][0]["ipam"]["dataDir"] = json!("/run/addresses");
    let bed = Bed::with(&conf);
    let said = r#"{"ipRanges": [[{"subnet": "10.77.0.0/29"}]]}"#;
    bed.delete(&bed.join("pods", "c1", &["--capabilities", said]));
    let text = bed.ls();
    assert!(text.contains("(/etc/cni/net.d/pods.conflist; /run/addresses/pods)"), "{text}");
    assert!(text.contains("10.77.0.2-10.77.0.6: 1 of 5 taken, last 10.77.0.2"), "{text}");
    bed.follow_the_remedy();
}

#[test]
fn other_files_in_the_folder_are_not_leaks() {
    let bed = Bed::new();
    bed.add("c1");
    // The index is there, the lock, and the last address that was handed out.
    let files = bed.sh("find /var/lib/cni/networks -type f | sort");
    assert_eq!(
        files
            .lines()
            .map(|file| file.strip_prefix("/var/lib/cni/networks/").unwrap())
            .collect::<Vec<_>>(),
        [".index/pods", "pods/10.88.0.2", "pods/last_reserved_ip.0", "pods/lock"]
    );
    for file in ["pods/.draft", "pods/notes", "README"] {
        fs::write(format!("{NETWORKS}/{file}"), "c9\r\neth0").unwrap();
    }
    age(NETWORKS, HOUR);
    assert_eq!(bed.leaks(), Vec::<String>::new());
    assert_eq!(bed.json()["pools"].as_array().unwrap().len(), 1);
}

/// It is for looking: nothing is changed, and nothing made.
#[test]
fn nothing_is_touched() {
    let bed = Bed::new();
    let seen = || {
        bed.sh("cd /; find var/lib/cni etc/cni run/netns -printf '%p %i %m %s %T@ %C@\\n' | sort")
            + &bed.state()
    };
    let before = seen();
    bed.ls();
    testbed::assert_same!(before, seen());
    bed.kill(&bed.add("c1"), "c1");
    fs::remove_dir_all(format!("{NETWORKS}/.index")).unwrap();
    let before = seen();
    bed.ls();
    bed.json();
    testbed::assert_same!(before, seen());
}

/// Nobody waits for it, and it waits for nobody.
#[test]
fn a_locked_pool_is_read() {
    let bed = Bed::new();
    bed.add("c1");
    let lock = fs::File::open(format!("{NETWORKS}/pods/lock")).unwrap();
    lock.lock().unwrap();
    assert!(bed.ls().contains("1 of 253 taken"));
}
