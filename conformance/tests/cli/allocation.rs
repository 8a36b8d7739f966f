//! IPAM plugins with a configuration of their own, and what a DHCP server is needed for.

use std::fs;

use crate::suite::{Run, Suite};

/// Allocates numbers below a directory. `ADD`, `DEL` and `CHECK` are the places of defects.
const PLUGIN: &str = r#"IN=$(cat); D=/var/lib/mine; mkdir -p $D; exec 9>>/run/mine.lock; flock 9
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}';;
ADD) N=2; while [ -e $D/$N ]; do N=$((N + 1)); done; @ADD@
    echo $CNI_CONTAINERID/$CNI_IFNAME >$D/$N
    echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.'$N'/24"}]}';;
DEL) for F in $(grep -lxs "$CNI_CONTAINERID/$CNI_IFNAME" $D/*); do rm $F; done; @DEL@;;
CHECK) @CHECK@; grep -qxs "$CNI_CONTAINERID/$CNI_IFNAME" $D/* ||
    { echo '{"cniVersion": "1.1.0", "code": 100, "msg": "not allocated"}'; exit 1; };;
esac; exit 0"#;

fn judge(add: &str, del: &str, check: &str, ids: &str) -> Run {
    let script = PLUGIN.replace("@ADD@", add).replace("@DEL@", del).replace("@CHECK@", check);
    let suite = Suite::new(&[("mine", &script)]);
    let config = suite.file("mine.json");
    let text = r#"{"kind": "ipam", "config": {"type": "mine", "ipam": {"type": "mine"}}}"#;
    fs::write(&config, text).unwrap();
    suite.run(&["--config", config.to_str().unwrap(), "--only", ids])
}

#[test]
fn an_ipam_plugin_with_its_own_configuration_is_judged() {
    let run = judge(":", ":", ":", "IPAM");
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    let line = run.stdout.lines().find(|line| line.starts_with("Allocation")).unwrap_or_default();
    assert!(line.ends_with("3/3"), "{}", run.stdout);
}

#[test]
fn each_defect_of_an_ipam_plugin_is_caught() {
    for (add, del, check, id) in [
        ("N=2", ":", ":", "IPAM.EACH.1"),
        (":", "rm -f $D/*", ":", "IPAM.EACH.2"),
        (":", ":", "exit 0", "IPAM.EACH.3"),
    ] {
        let run = judge(add, del, check, id);
        assert_eq!(run.status, Some(1), "{id}: {}{}", run.stdout, run.stderr);
        assert!(run.stdout.contains(&format!("{id}  mine in 1.1.0")), "{id}: {}", run.stdout);
    }
}

/// The reference suite's dhcp, with its daemon and busybox's server.
#[test]
fn dhcp_is_judged_with_a_server() {
    let suite = Suite::new(&[]);
    let folder = testbed::reference();
    std::os::unix::fs::symlink(folder.join("dhcp"), suite.file("dhcp")).unwrap();
    let ids = "S2.ADD,S2.DEL,S2.ENV.8,IPAM,S5.IPS";
    let run = suite.run(&["--only", ids, "--spec", "1.0.0", "--level", "must"]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(" 0 failed, 0 not testable here"), "{}", run.stdout);
}
