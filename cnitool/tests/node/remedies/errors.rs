//! The hints of errors: what fails succeeds when the hint is followed.

use std::fs;

use serde_json::{Value, json};

use super::node::{Live, chained, each, install, network};

/// A call that fails, with a hint.
struct Row {
    what: &'static str,
    pods: fn() -> Value,
    spoil: fn(&Live),
    /// The command that fails.
    fails: &'static str,
    /// The hint, as printed.
    hint: &'static str,
    follow: Follow,
    /// The command that succeeds then.
    works: &'static str,
}

/// How a hint is followed.
enum Follow {
    /// A command in the hint.
    Type(&'static str),
    /// A change of the configuration of `pods`.
    Edit(fn(&mut Value)),
    /// Anything else.
    Do(fn(&Live)),
}

const USUAL: Row = Row {
    what: "",
    pods: || network("pods", 88, "1.1.0"),
    spoil: |live| drop(live.pod("c1")),
    fails: "cnitool add pods c1 --container-id c1",
    hint: "",
    follow: Follow::Do(|_| {}),
    works: "cnitool add pods c1 --container-id c1",
};

const CONF: &str = "/etc/cni/net.d/pods.conflist";

const ROWS: &[Row] = &[
    Row {
        what: "the container is attached already",
        spoil: |live| drop(live.join("pods", "c1", &[])),
        hint: "DEL it first, or use another name",
        follow: Follow::Type("cnitool del pods c1 --container-id c1"),
        ..USUAL
    },
    Row {
        what: "the container is attached already, another name",
        spoil: |live| drop(live.join("pods", "c1", &[])),
        hint: "DEL it first, or use another name",
        works: "cnitool add pods c1 --container-id c1 --ifname eth1",
        ..USUAL
    },
    Row {
        what: "a missing plugin",
        pods: || chained("pods", 88, "1.1.0"),
        spoil: |live| {
            live.pod("c1");
            fs::rename("/run/bin/tail", "/run/tail").unwrap();
        },
        hint: "install it in one of these folders, or set CNI_PATH",
        follow: Follow::Do(|_| install("tail")),
        ..USUAL
    },
    Row {
        what: "a missing plugin, in another folder",
        pods: || chained("pods", 88, "1.1.0"),
        spoil: |live| {
            live.pod("c1");
            live.sh("mkdir /run/more; mv /run/bin/tail /run/more/tail");
        },
        hint: "install it in one of these folders, or set CNI_PATH",
        works: "CNI_PATH=$CNI_PATH:/run/more cnitool add pods c1 --container-id c1",
        ..USUAL
    },
    Row {
        what: "a bridge that is none",
        pods: || network("pods", 88, "1.1.0"),
        spoil: |live| {
            live.pod("c1");
            live.run(&["ip", "link", "add", "notabr", "type", "veth", "peer", "name", "far"]);
            edit(|conf| conf["plugins"][0]["bridge"] = json!("notabr"));
        },
        hint: "set \"bridge\" to a name that no interface has",
        follow: Follow::Edit(|conf| conf["plugins"][0]["bridge"] = json!("fresh")),
        ..USUAL
    },
    Row {
        what: "a network that only the cache knows",
        spoil: |live| {
            live.delete(&live.join("pods", "c1", &[]));
            live.run(&["mv", CONF, "/run/pods.conflist"]);
        },
        fails: "cnitool del pods c1 --container-id c1",
        hint: "the cache has attachments of it: run `cnitool ls pods` to see how to remove them",
        follow: Follow::Do(|live| {
            live.shell("cnitool ls pods").ok();
            live.follow_the_remedy();
            live.run(&["mv", "/run/pods.conflist", CONF]);
        }),
        works: "cnitool gc pods",
        ..USUAL
    },
    Row {
        what: "a namespace that is in no network",
        spoil: |live| {
            live.pod("c1");
            live.join("pods", "c2", &[]);
        },
        fails: "cnitool check pods c1",
        hint: "run `cnitool ls pods` to list all",
        follow: Follow::Type("cnitool ls pods"),
        works: "cnitool check pods c2",
        ..USUAL
    },
    Row {
        what: "two attachments with one namespace",
        spoil: |live| {
            let pod = live.join("pods", "c1", &[]);
            live.kill(&pod, "c1");
            live.join("pods", "c1", &["--container-id", "c2"]);
        },
        fails: "cnitool check pods c1",
        hint: "name one with --container-id: c1, c2",
        works: "cnitool check pods c1 --container-id c2",
        ..USUAL
    },
    Row {
        what: "GC of an older version",
        pods: || network("pods", 88, "1.0.0"),
        spoil: |live| {
            live.delete(&live.join("pods", "c1", &[]));
            fs::remove_file("/var/lib/cni/results/pods-c1-eth0").unwrap();
            crate::bed::age("/var/lib/cni/networks/pods", crate::bed::HOUR);
        },
        fails: "cnitool gc pods",
        hint: "Give it \"cniVersions\": [\"1.0.0\", \"1.1.0\"] too",
        follow: Follow::Edit(|conf| conf["cniVersions"] = json!(["1.0.0", "1.1.0"])),
        works: "cnitool gc pods && [ ! -e /var/lib/cni/networks/pods/10.88.0.3 ]",
    },
    Row {
        what: "a difference that CHECK found",
        spoil: |live| {
            drop(live.join("pods", "c1", &[]).run(&["ip", "link", "set", "eth0", "down"]))
        },
        fails: "cnitool check pods c1 --container-id c1",
        hint: "difference",
        follow: Follow::Type("cnitool repair pods c1"),
        works: "cnitool check pods c1 --container-id c1",
        ..USUAL
    },
    Row {
        what: "a pool that is full of what is leaked",
        spoil: |live| {
            let dead: Vec<_> =
                (0..12).map(|it| live.join("pods", &format!("d{it}"), &[])).collect();
            dead.iter().for_each(|pod| live.delete(pod));
            live.pod("c1");
        },
        hint: "Run \"cnitool ls pods\" to see who holds them and how to release what is leaked",
        follow: Follow::Do(|live| {
            live.shell("cnitool ls pods").ok();
            live.follow_the_remedy();
        }),
        ..USUAL
    },
    Row {
        what: "a bridge with an address of an older configuration",
        spoil: leave_an_address,
        hint: "ip address del 10.90.0.1/24 dev old",
        follow: Follow::Type("ip address del 10.90.0.1/24 dev old"),
        ..USUAL
    },
    Row {
        what: "a bridge with an address of an older configuration, by force",
        spoil: leave_an_address,
        hint: "\"forceAddress\": true",
        follow: Follow::Edit(|conf| conf["plugins"][0]["forceAddress"] = json!(true)),
        ..USUAL
    },
    Row {
        what: "a bridge on which another network's containers live",
        spoil: |live| {
            live.pod("c1");
            let mut conf = network("more", 91, "1.1.0");
            conf["plugins"][0]["bridge"] = json!("others");
            live.configure(&conf);
        },
        fails: "cnitool add more c1 --container-id c1",
        hint: "by 1 container of the network \"others\". Give this network another \"bridge\"",
        follow: Follow::Do(|live| live.configure(&network("more", 91, "1.1.0"))),
        works: "cnitool add more c1 --container-id c1",
        ..USUAL
    },
    Row {
        what: "another subnet under live containers",
        spoil: |live| {
            live.pod("c1");
            edit(|conf| conf["plugins"][0]["ipam"]["subnet"] = json!("10.92.0.0/28"));
        },
        hint: "Go back to the subnet that they have",
        follow: Follow::Edit(|conf| conf["plugins"][0]["ipam"]["subnet"] = json!("10.88.0.0/28")),
        ..USUAL
    },
    Row {
        what: "hostAccess without an address of the parent",
        spoil: |live| {
            live.pod("c1");
            live.sh("ip link add parent type veth peer name far; ip link set far up; ip link set \
                parent up");
            let ipam = json!({ "type": "host-local", "subnet": "10.90.0.0/24" });
            let lan =
                json!({ "type": "macvlan", "master": "parent", "hostAccess": true, "ipam": ipam });
            live.configure(&json!({ "name": "lan", "cniVersion": "1.1.0", "plugins": [lan] }));
        },
        fails: "cnitool add lan c1 --container-id c1",
        hint: "give the host one: ip address add .. dev parent",
        follow: Follow::Type("ip address add 10.90.0.254/24 dev parent"),
        works: "cnitool add lan c1 --container-id c1",
        ..USUAL
    },
    Row {
        what: "a key that has to be a version's",
        spoil: |live| {
            live.pod("c1");
            edit(|conf| conf["plugins"][0]["ipMasqBackend"] = json!("pf"));
        },
        hint: "ipMasqBackend is \"nftables\" or \"iptables\"",
        follow: Follow::Edit(|conf| conf["plugins"][0]["ipMasqBackend"] = json!("nftables")),
        ..USUAL
    },
];

/// `pods` uses an existing bridge with an address that no container needs.
fn leave_an_address(live: &Live) {
    live.pod("c1");
    live.sh("ip link add old type bridge; ip address add 10.90.0.1/24 dev old");
    edit(|conf| conf["plugins"][0]["bridge"] = json!("old"));
}

fn edit(change: impl Fn(&mut Value)) {
    let mut conf = serde_json::from_slice(&fs::read(CONF).unwrap()).unwrap();
    change(&mut conf);
    fs::write(CONF, conf.to_string()).unwrap();
}

#[test]
fn every_hint_of_an_error_leads_to_success() {
    each(ROWS, |row| {
        let live = Live::with(&(row.pods)());
        live.remember();
        (row.spoil)(&live);
        let failed = live.shell(row.fails);
        assert_eq!(failed.status, Some(1), "{}: {}{}", row.what, failed.stdout, failed.stderr);
        assert!(failed.stderr.contains(row.hint), "{}: {}", row.what, failed.stderr);
        match row.follow {
            Follow::Type(command) => {
                let run = live.shell(command);
                assert_eq!(run.status, Some(0), "{}: {command}: {}", row.what, run.stderr);
            }
            Follow::Edit(change) => edit(change),
            Follow::Do(follow) => follow(&live),
        }
        let run = live.shell(row.works);
        assert_eq!(run.status, Some(0), "{}: {}{}", row.what, run.stdout, run.stderr);
        live.assert_untouched(row.what);
    });
}
