//! ADD killed in the middle.

use std::process::Command;

use crate::net::{Net, OURS};

/// Kills ADD at every system call that changes a file, and looks at what is there.
#[test]
fn a_kill_leaves_nothing_or_what_del_removes() {
    for at in ["openat", "write", "linkat,link", "unlink,unlinkat", "rename,renameat,renameat2"] {
        let mut killed = 0;
        for when in 1..12 {
            let net = Net::of("10.1.2.0/24");
            net.add(OURS, "c0").unwrap();
            let mut strace = Command::new("strace");
            let inject = format!("inject={at}:signal=KILL:when={when}");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(net.dir.path().join("pods"));
            for file in ["lock", ".draft", "10.1.2.3", "last_reserved_ip.0"] {
                strace.arg("-P").arg(net.dir.path().join("pods").join(file));
            }
            strace.args(["-e", &format!("trace={at}"), "-e", &inject, OURS]);
            let done = net.call_with(strace, "ADD", "c1 eth0", &net.config).is_ok();

            let content = net.files().remove("10.1.2.3");
            assert!(content.is_none_or(|it| it == "600 c1\r\neth0"), "{at} {when}");
            net.del(OURS, "c1").unwrap();
            assert_eq!(net.taken(), ["10.1.2.2"], "{at} {when}");
            net.add(OURS, "c2").unwrap();
            let names: Vec<String> = net.files().into_keys().collect();
            assert_eq!(names.len(), 4, "{names:?} after {at} {when}");
            if done {
                break;
            }
            killed += 1;
        }
        assert!(killed > 0, "ADD was never killed at {at}");
    }
}
