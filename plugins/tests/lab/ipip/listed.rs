//! `cnitool gc --dry-run` lists what GC removes of a network with a tunnel and routes.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::{Between, Cluster, Use};

/// The output of `cnitool gc --all` on the first node.
fn gc(cluster: &Cluster, more: &[&str]) -> String {
    let bin = testbed::bin();
    let mut command = Command::new(testbed::binary("cnitool"));
    command.args(["gc", "pods", "--all", "--conf-dir", "/run/conf", "--cache-dir", "/run/cache"]);
    command.arg("--path").arg(bin).args(more);
    let output = cluster.hosts[0].enter(|| command.output().unwrap());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    said
}

#[test]
fn gc_lists_the_tunnel_and_the_routes_before_it_takes_them() {
    for (keys, tunnel) in [(json!({}), "tunl0"), (json!({ "device": "pods0" }), "pods0")] {
        let work = || {
            let cluster = Cluster::new(Between::Switch, Use::Alone).with(keys);
            let list =
                json!({ "name": "pods", "cniVersion": "1.1.0", "plugins": cluster.plugins(0) });
            fs::create_dir_all("/run/conf").unwrap();
            fs::write("/run/conf/pods.conflist", list.to_string()).unwrap();
            let host = &cluster.hosts[0];
            let before = cluster.look(0);
            cluster.join(0);
            let link = host.sh("ip -o link | grep -o 'veth[0-9a-f]*' | head -1");
            let listed = gc(&cluster, &["--dry-run"]);
            let has = format!(
                "would remove p1/eth0 from pods (in no cache entry; has the interface {}, \
                 10.1.1.2)",
                link.trim()
            );
            assert!(listed.contains(&has), "{listed}");
            let shared = listed.lines().find(|line| line.contains("what all attachments share"));
            let shared = shared.unwrap_or_else(|| panic!("{listed}"));
            for what in [
                "the route 10.1.2.0/24",
                &format!("the tunnel {tunnel}"),
                "the rules for its tunnel in nf_tables chain inet ferrocni input",
                "the nf_tables set inet ferrocni peers_pods",
            ] {
                assert!(shared.contains(what), "{what}: {listed}");
            }
            assert_eq!(listed.lines().count(), 2, "{listed}");
            let done = gc(&cluster, &[]);
            assert_eq!(done, listed.replace("would remove", "removing"));
            assert_eq!(gc(&cluster, &["--dry-run"]), "");
            let left = host.sh(
                "ip route show proto 226; ip -o link show type veth; ip -o link show up type ipip",
            );
            assert!(
                !left.contains("10.1.2.0") && !left.contains("ferrocni"),
                "{left}\nbefore:\n{before}"
            );
        };
        std::thread::scope(|scope| scope.spawn(work).join().unwrap());
    }
}
