//! The index from the operator's view: its cost, and that it never causes a failure.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;
use std::thread;

use serde_json::json;

use crate::net::{Net, OURS, addresses, dual, theirs};

/// The number of system calls of a verb.
fn system_calls(net: &Net, verb: &str, container: &str) -> usize {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(log.path()).arg(OURS);
    net.call_with(strace, verb, &format!("{container} eth0"), &net.config).unwrap();
    fs::read_to_string(log.path()).unwrap().lines().count()
}

fn fill(net: &Net, count: u32) {
    for number in 0..count {
        let ip = std::net::Ipv4Addr::from(0x0a01_0002 + number);
        net.write(&ip.to_string(), &format!("filler{number}\r\neth0"));
    }
    net.write("last_reserved_ip.0", &std::net::Ipv4Addr::from(0x0a01_0001 + count).to_string());
}

#[test]
fn twenty_thousand_reservations_cost_no_more_than_none() {
    let (empty, full) = (Net::of("10.1.0.0/16"), Net::of("10.1.0.0/16"));
    fill(&full, 20_000);
    for net in [&empty, &full] {
        // The first call makes the index.
        net.add(OURS, "first").unwrap();
    }
    let idle = system_calls(&empty, "VERSION", "c1");
    for (verb, most) in [("ADD", 50), ("DEL", 40)] {
        let [few, many] = [&empty, &full].map(|net| system_calls(net, verb, "c1") - idle);
        assert!(many <= few + 3, "{verb}: {few} system calls without reservations, {many} with");
        assert!(few <= most, "{verb}: {few} system calls");
    }
}

#[test]
fn with_few_left_they_are_found_wherever_the_search_starts() {
    let net = Net::of("10.1.0.0/16");
    fill(&net, 65_533);
    for free in ["10.1.0.9", "10.1.127.255", "10.1.128.0"] {
        fs::remove_file(net.dir.path().join("pods").join(free)).unwrap();
    }
    let mut costs = BTreeSet::new();
    for (last, next) in [
        ("10.1.0.9", "10.1.127.255/16"),
        ("10.1.127.255", "10.1.128.0/16"),
        ("10.1.128.0", "10.1.0.9/16"),
        ("10.1.255.254", "10.1.0.9/16"),
        ("10.1.0.2", "10.1.0.9/16"),
    ] {
        net.write("last_reserved_ip.0", last);
        let call = || addresses(&net.add(OURS, "c1"));
        assert_eq!(call(), [next], "behind {last}");
        net.del(OURS, "c1").unwrap();
        net.write("last_reserved_ip.0", last);
        costs.insert(system_calls(&net, "ADD", "c1"));
        net.del(OURS, "c1").unwrap();
    }
    let (least, most) = (costs.first().unwrap(), costs.last().unwrap());
    assert!(most - least < 20, "{costs:?}");
}

#[test]
fn changes_by_hand_and_by_the_reference_are_seen() {
    let net = Net::of("10.1.2.0/28");
    let file = |name: &str| net.dir.path().join("pods").join(name);
    net.add(OURS, "c2").unwrap();
    net.write("10.1.2.3", "c3\r\neth0");
    assert_eq!(addresses(&net.add(OURS, "c4")), ["10.1.2.4/28"]);
    assert_eq!(addresses(&net.add(theirs(), "c5")), ["10.1.2.5/28"]);
    assert_eq!(addresses(&net.add(OURS, "c6")), ["10.1.2.6/28"]);
    net.del(OURS, "c3").unwrap();
    net.del(OURS, "c5").unwrap();
    net.del(theirs(), "c6").unwrap();
    assert_eq!(net.taken(), ["10.1.2.2", "10.1.2.4"]);
    fs::rename(file("10.1.2.4"), file("10.1.2.7")).unwrap();
    assert_eq!(addresses(&net.add(OURS, "c8")), ["10.1.2.8/28"]);
    net.del(OURS, "c4").unwrap();
    fs::remove_file(file("10.1.2.2")).unwrap();
    assert_eq!(net.taken(), ["10.1.2.8"]);
    let mut given = BTreeSet::new();
    for number in 0..12 {
        let binary = if number % 3 == 0 { theirs() } else { OURS };
        given.extend(addresses(&net.add(binary, &format!("d{number}"))));
    }
    assert_eq!((given.len(), net.taken().len()), (12, 13));
    let full = net.add(OURS, "e").unwrap_err();
    assert_eq!(full["code"], 11);
}

#[test]
fn a_folder_of_another_time_or_place_is_read_again() {
    let net = Net::of("10.1.2.0/24");
    for container in ["c1", "c2", "c3"] {
        net.add(OURS, container).unwrap();
    }
    // Restored from a backup, with the old timestamps.
    let (pods, copy) = (net.dir.path().join("pods"), net.dir.path().join("copy"));
    let cp = |from: &std::path::Path, to: &std::path::Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    cp(&pods, &copy);
    net.del(OURS, "c2").unwrap();
    fs::remove_dir_all(&pods).unwrap();
    cp(&copy, &pods);
    net.del(OURS, "c2").unwrap();
    assert_eq!(net.taken(), ["10.1.2.2", "10.1.2.4"]);

    fs::remove_dir_all(&pods).unwrap();
    assert_eq!(addresses(&net.add(OURS, "c4")), ["10.1.2.2/24"]);
    fs::remove_dir_all(&pods).unwrap();
    net.del(OURS, "c4").unwrap();
    assert_eq!(fs::read_dir(net.dir.path().join(".index")).unwrap().count(), 0);
}

#[test]
fn whatever_is_in_the_place_of_the_index_is_no_obstacle() {
    let net = dual("1.0.0");
    let (beside, elsewhere) = (net.dir.path().join(".index"), net.dir.path().join("elsewhere"));
    let index = beside.join("pods");
    net.add(OURS, "c0").unwrap();
    let good = fs::read(&index).unwrap();
    let clear = || {
        let _ = fs::remove_file(&index).or_else(|_| fs::remove_dir_all(&index));
    };
    let harm: [&dyn Fn(); 7] = [
        &|| fs::write(&index, "something else").unwrap(),
        &|| fs::write(&index, &good[..good.len() / 2]).unwrap(),
        &|| fs::write(&index, &good).unwrap(),
        &|| {
            fs::write(&elsewhere, "not to be written to").unwrap();
            clear();
            symlink(&elsewhere, &index).unwrap();
        },
        &|| {
            clear();
            assert!(Command::new("mkfifo").arg(&index).status().unwrap().success());
        },
        &|| {
            clear();
            fs::create_dir_all(index.join("full")).unwrap();
        },
        &|| {
            let _ = fs::remove_dir_all(&beside);
            fs::write(&beside, "").unwrap();
        },
    ];
    for (number, harm) in harm.iter().enumerate() {
        harm();
        let container = format!("c{}", number + 1);
        let result = net.add(OURS, &container).unwrap();
        assert_eq!(result["ips"][0]["address"], format!("10.1.2.{}/24", number + 3));
        assert!(net.add(OURS, &container).is_err());
        harm();
        net.del(OURS, &container).unwrap();
        assert_eq!(net.taken(), ["10.1.2.2", "2001:db8:1::2"], "{number}");
        if elsewhere.exists() {
            assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "not to be written to");
        }
    }
}

#[test]
fn the_index_is_made_once_and_not_by_readers() {
    let mut net = Net::new(json!({"cniVersion": "1.1.0", "ipam": {"subnet": "10.1.2.0/24"}}));
    let index = net.dir.path().join(".index");
    net.write("10.1.2.2", "c1\r\neth0");
    for (verb, target) in [("PLAN", "c2 eth0"), ("STATUS", ""), ("CHECK", "c1 eth0")] {
        net.call(OURS, verb, target).unwrap();
    }
    assert!(!index.exists());
    let inode = || fs::metadata(index.join("pods")).unwrap().ino();
    net.add(OURS, "c2").unwrap();
    let first = inode();
    for number in 0..20 {
        net.add(OURS, &format!("d{number}")).unwrap();
        net.del(OURS, &format!("d{number}")).unwrap();
        net.del(OURS, "nobody").unwrap();
    }
    assert_eq!(inode(), first);
    net.config["cni.dev/valid-attachments"] = json!([{"containerID": "c2", "ifname": "eth0"}]);
    net.call(OURS, "GC", "").unwrap();
    assert_eq!(net.taken().len(), 1);
}

#[test]
fn thirty_two_at_once_come_and_go() {
    let net = dual("1.0.0");
    let given: BTreeSet<String> = thread::scope(|scope| {
        let come_and_go = |number: usize| {
            let mut given = Vec::new();
            for round in 0..6 {
                let container = format!("c{number}-{round}");
                given = addresses(&net.add(OURS, &container));
                if round < 5 {
                    net.del(OURS, &container).unwrap();
                }
            }
            given
        };
        let calls: Vec<_> =
            (0..32).map(|number| scope.spawn(move || come_and_go(number))).collect();
        calls.into_iter().flat_map(|call| call.join().unwrap()).collect()
    });
    assert_eq!((given.len(), net.taken().len()), (64, 64));
    for number in 0..32 {
        net.del(OURS, &format!("c{number}-5")).unwrap();
    }
    assert_eq!(net.taken(), Vec::<String>::new());
}
