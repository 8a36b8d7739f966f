//! ADD and DEL killed in the middle.

use std::fs;
use std::process::Command;

use crate::net::{Net, OURS, addresses};

/// The system calls before which a kill is tried. Calls that change something in every ADD or DEL
/// are marked.
const CALLS: &[(&str, &[&str])] = &[
    ("openat", &["ADD", "DEL"]),
    ("flock", &["ADD", "DEL"]),
    ("statx,newfstatat,fstat", &[]),
    ("read,pread64", &[]),
    ("write", &["ADD"]),
    ("pwrite64", &["ADD", "DEL"]),
    ("linkat,link,rename,renameat,renameat2", &["ADD"]),
    ("unlink,unlinkat", &["DEL"]),
    ("utimensat", &["ADD", "DEL"]),
    ("mkdir,mkdirat,ftruncate", &[]),
    ("close", &["ADD", "DEL"]),
];

/// Kills a verb at every system call, and passes on the state after each kill.
fn kill_everywhere(verb: &str, prepare: impl Fn(&Net), look: impl Fn(&Net, &str)) {
    for (calls, needed) in CALLS {
        for call in calls.split(',') {
            let mut killed = 0;
            for when in 1..60 {
                let net = Net::of("10.1.2.0/24");
                prepare(&net);
                let inject = format!("inject={call}:signal=KILL:when={when}");
                let mut strace = Command::new("strace");
                strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
                strace.args(["-e", &inject, OURS]);
                let done = net.call_with(strace, verb, "c1 eth0", &net.config).is_ok();
                look(&net, &format!("{verb} killed at {call} {when}"));
                if done {
                    break;
                }
                killed += 1;
            }
            let alone = !calls.contains(',') && needed.contains(&verb);
            assert!(killed > 0 || !alone, "{verb} was never killed at {call}");
        }
    }
}

/// The state contains nothing that a complete call would not have left.
fn assert_tidy(net: &Net, names: usize, at: &str) {
    let found: Vec<String> = net.files().into_keys().collect();
    assert_eq!(found.len(), names, "{found:?}: {at}");
    let beside = fs::read_dir(net.dir.path().join(".index")).unwrap();
    let beside: Vec<_> = beside.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(beside, ["pods"], "{at}");
}

fn with_one(net: &Net) {
    net.add(OURS, "c0").unwrap();
}

#[test]
fn a_killed_add_leaves_nothing_that_del_does_not_remove() {
    kill_everywhere("ADD", with_one, |net, at| {
        let content = net.files().remove("10.1.2.3");
        assert!(content.is_none_or(|it| it == "600 c1\r\neth0"), "{at}");
        net.del(OURS, "c1").unwrap();
        assert_eq!(net.taken(), ["10.1.2.2"], "{at}");
        net.add(OURS, "c2").unwrap();
        assert_tidy(net, 4, at);
        net.del(OURS, "c2").unwrap();
        assert_eq!(net.taken(), ["10.1.2.2"], "{at}");
    });
}

/// The first ADD of a network makes the directory and the index.
#[test]
fn a_killed_first_add_is_no_obstacle() {
    kill_everywhere(
        "ADD",
        |_| {},
        |net, at| {
            net.add(OURS, "c2").unwrap();
            net.del(OURS, "c1").unwrap();
            assert_eq!(net.taken().len(), 1, "{at}");
            assert_tidy(net, 3, at);
        },
    );
}

#[test]
fn the_next_del_completes_a_killed_del() {
    let with_two = |net: &Net| {
        with_one(net);
        net.add(OURS, "c1").unwrap();
    };
    kill_everywhere("DEL", with_two, |net, at| {
        let given = addresses(&net.add(OURS, "c2"));
        assert_eq!(given, ["10.1.2.4/24"], "{at}");
        net.del(OURS, "c1").unwrap();
        assert_eq!(net.taken(), ["10.1.2.2", "10.1.2.4"], "{at}");
        assert_tidy(net, 4, at);
    });
}
