//! Comparison with the reference's host-local: each reads the files of the other, and both give the
//! same results.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;

use serde_json::{Value, json};

use crate::net::{Net, OURS, Outcome, addresses, dual, error, theirs};

#[test]
fn each_suite_takes_over_from_the_other() {
    for (first, second) in [(OURS, theirs()), (theirs(), OURS)] {
        let net = dual("1.0.0");
        let mut given = BTreeSet::new();
        for number in 0..10 {
            let binary = if number % 2 == 0 { first } else { second };
            given.extend(addresses(&net.add(binary, &format!("c{number}"))));
        }
        assert_eq!(given.len(), 20);
        for number in 0..10 {
            let (container, swapped) = (format!("c{number}"), [second, first][number % 2]);
            net.call(swapped, "CHECK", &format!("{container} eth0")).unwrap();
            assert_eq!(error(net.add(swapped, &container)), error(net.add(OURS, &container)));
            net.del(swapped, &container).unwrap();
            net.call(OURS, "CHECK", &format!("{container} eth0")).unwrap_err();
            net.call(theirs(), "CHECK", &format!("{container} eth0")).unwrap_err();
        }
        assert_eq!(net.taken(), Vec::<String>::new());
        assert_eq!(addresses(&net.add(second, "c"))[0], "10.1.2.12/24");
        assert_eq!(addresses(&net.add(first, "d"))[0], "10.1.2.13/24");
    }
}

/// A sequence of calls: verb, container, interface, CNI_ARGS.
const TWO: &str = "ADD a eth0, ADD b eth0, ADD a eth1, CHECK a eth0, DEL a eth0, ADD c eth0, CHECK \
                   x eth0, DEL x eth0";
const TWICE: &str = "ADD a eth0, ADD a eth0, DEL a eth0, DEL a eth0";
const FILL: &str = "ADD a eth0, ADD b eth0, ADD c eth0, ADD d eth0, ADD e eth0, ADD f eth0, DEL b \
                    eth0, DEL d eth0, ADD g eth0, DEL g eth0, ADD h eth0, ADD i eth0, ADD j eth0";
const ASK: &str = "ADD a eth0 IP=10.1.2.88, ADD b eth0 IP=10.1.2.88/16, ADD c eth0, DEL a eth0, \
                   ADD b eth0 IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.1.2.88, ADD d eth0 IP=10.1.2.1, \
                   ADD e eth0 IP=10.1.2, ADD f eth0 A=B";

/// Calls, and their configuration.
const TABLE: &[(&str, &str)] = &[
    (TWO, r#"{"ipam": {"subnet": "10.1.2.0/24"}}"#),
    (TWO, r#"{"ipam": {"subnet": "2001:db8::/64"}}"#),
    (TWICE, r#"{"ipam": {"subnet": "10.1.2.0/24"}}"#),
    (
        TWICE,
        r#"{"ipam": {"ranges": [[{"subnet": "2001:db8::/64"}], [{"subnet": "10.1.2.0/24"}]]}}"#,
    ),
    (ASK, r#"{"ipam": {"subnet": "10.1.2.0/24"}}"#),
    // Several ranges and sets.
    (TWO, r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]}}"#),
    (
        TWO,
        r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.2.0.0/16"}],
        [{"subnet": "2001:db8::/64"}]]}}"#,
    ),
    (
        FILL,
        r#"{"ipam": {"ranges": [[{"subnet": "10.0.0.0/30"}, {"subnet": "10.0.1.0/30"},
        {"subnet": "10.0.2.0/29"}]]}}"#,
    ),
    (
        FILL,
        r#"{"ipam": {"ranges": [[{"subnet": "2001:db8::/126"}, {"subnet": "2001:db8:1::/126"}]]}}"#,
    ),
    (
        TWO,
        r#"{"ipam": {"subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.1.2.0/24"}]]},
        "runtimeConfig": {"ipRanges": [[{"subnet": "10.3.0.0/24", "rangeStart": "10.3.0.9"}]]}}"#,
    ),
    // Until the range is full.
    (FILL, r#"{"ipam": {"subnet": "10.0.0.0/29"}}"#),
    (FILL, r#"{"ipam": {"subnet": "10.0.0.0/30"}}"#),
    (FILL, r#"{"ipam": {"subnet": "2001:db8::/126"}}"#),
    (
        FILL,
        r#"{"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.250", "rangeEnd": "10.0.0.254"}}"#,
    ),
    (
        FILL,
        r#"{"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.252", "rangeEnd": "10.0.0.255"}}"#,
    ),
    (
        FILL,
        r#"{"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.0", "rangeEnd": "10.0.0.3"}}"#,
    ),
    (
        FILL,
        r#"{"ipam": {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.4", "rangeEnd": "10.0.0.7",
        "gateway": "10.0.0.6"}}"#,
    ),
    // Another gateway, routes, name resolution, keys in another case.
    (TWO, r#"{"ipam": {"subnet": "10.0.0.0/24", "gateway": "192.0.2.1"}}"#),
    (
        TWO,
        r#"{"ipam": {"subnet": "10.0.0.0/24", "gateway": "10.0.0.254", "ranges": [[{"subnet": "2001:db8::/64"}]]}}"#,
    ),
    (
        TWO,
        r#"{"IPAM": null, "ipam": {"Subnet": "10.1.2.0/24", "ROUTES": [{"dst": "0.0.0.0/0"},
        {"dst": "10.9.0.0/16", "gw": "10.1.2.200"}, {"dst": "2001:db8::/32", "gw": "fe80::1"}]}}"#,
    ),
    (TWO, r#"{"ipam": {"subnet": "10.1.2.0/24", "resolvConf": "RESOLV_CONF"}}"#),
    // Requested addresses.
    (
        TWO,
        r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]},
        "args": {"cni": {"ips": ["10.1.2.77", "2001:db8::77/64"]}}}"#,
    ),
    (
        TWO,
        r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]},
        "runtimeConfig": {"ips": ["10.1.2.77/24"]}}"#,
    ),
    (
        TWO,
        r#"{"ipam": {"subnet": "10.1.2.0/24"}, "runtimeConfig": {"ips": ["10.1.2.77/24"]},
        "args": {"cni": {"ips": ["10.1.2.77"]}}}"#,
    ),
    // Invalid configurations.
    ("ADD a eth0", r#"{"ipam": {"subnet": "10.1.2.0/31"}}"#),
    ("ADD a eth0, CHECK a eth0", r#"{"ipam": {"subnet": "10.1.2.3/24"}}"#),
    ("ADD a eth0", r#"{"ipam": {"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}}"#),
    ("ADD a eth0", r#"{"ipam": {"subnet": "10.1.2.0/24", "rangeEnd": "10.1.3.1"}}"#),
    (
        "ADD a eth0",
        r#"{"ipam": {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}}"#,
    ),
    ("ADD a eth0", r#"{"ipam": {"ranges": [[]]}}"#),
    ("ADD a eth0", r#"{"ipam": {"ranges": []}}"#),
    (
        "ADD a eth0",
        r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}, {"subnet": "2001:db8::/64"}]]}}"#,
    ),
    (
        "ADD a eth0",
        r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.1.2.0/24"}]]}}"#,
    ),
    (
        "ADD a eth0",
        r#"{"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}],
        [{"subnet": "10.0.0.0/8"}]]}}"#,
    ),
    // Other versions.
    (
        "ADD a eth0",
        r#"{"cniVersion": "0.2.0", "ipam": {"subnet": "10.0.0.0/24",
        "ranges": [[{"subnet": "10.1.2.0/24"}]]}}"#,
    ),
    (
        TWICE,
        r#"{"cniVersion": "0.2.0", "ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]}}"#,
    ),
    (
        TWO,
        r#"{"cniVersion": "0.4.0", "ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]}}"#,
    ),
    (
        TWO,
        r#"{"cniVersion": "0.3.1", "ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]}}"#,
    ),
];

/// The compared part: of an error the message, because the reference has one code for all; of a
/// result everything except an empty `dns`, which its older versions print.
fn gist(outcome: &Outcome) -> Outcome {
    let mut gist = outcome.clone();
    match &mut gist {
        Ok(Value::Object(keys)) => keys.retain(|key, value| key != "dns" || *value != json!({})),
        Ok(_) => {}
        Err(error) => *error = error["msg"].take(),
    }
    gist
}

#[test]
fn the_same_calls_give_the_results_of_the_reference() {
    let resolv = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        &resolv,
        "# x\nnameserver 10.0.0.53\nnameserver ::1\ndomain a\nsearch b c\noptions ndots:5 rotate\n",
    )
    .unwrap();
    let mut differences: Vec<String> = Vec::new();
    for (calls, config) in TABLE {
        let config = config.replace("RESOLV_CONF", resolv.path().to_str().unwrap());
        let [ours, theirs_net] = [(); 2].map(|()| Net::new(serde_json::from_str(&config).unwrap()));
        for call in calls.split(", ") {
            let (verb, target) = call.split_once(' ').unwrap();
            let our = ours.call(OURS, verb, target);
            let their = theirs_net.call(theirs(), verb, target);
            if gist(&our) != gist(&their) {
                differences
                    .push(format!("{call} with {config}:\n ours   {our:?}\n theirs {their:?}"));
            }
        }
        // The installed version of the reference has mode 644 where newer ones have 600.
        let newer = |text: String| text.replacen("644 ", "600 ", 1);
        let files: BTreeMap<_, _> =
            theirs_net.files().into_iter().map(|(name, text)| (name, newer(text))).collect();
        if ours.files() != files {
            differences.push(format!("{config}:\n ours   {:?}\n theirs {files:?}", ours.files()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn sixty_four_at_once_get_sixty_four_addresses() {
    for others in [OURS, theirs()] {
        let net = Net::of("10.1.0.0/16");
        let given: BTreeSet<String> = thread::scope(|scope| {
            let add = |number: usize| {
                let binary = if usize::is_multiple_of(number, 2) { OURS } else { others };
                addresses(&net.add(binary, &format!("c{number}"))).remove(0)
            };
            let calls: Vec<_> = (0..64).map(|number| scope.spawn(move || add(number))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        assert_eq!((given.len(), net.taken().len()), (64, 64));
    }
}
