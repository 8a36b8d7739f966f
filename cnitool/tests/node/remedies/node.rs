//! A node with live containers on two networks.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::Pod;

use crate::bed::{Bed, OWN};

/// The networks with live containers, each with its container, gateway and container's address.
const LIVE: [(&str, &str, &str, &str); 2] =
    [("pods", "live", "10.88.0.1", "10.88.0.2"), ("others", "neighbour", "10.89.0.1", "10.89.0.2")];

pub struct Live {
    bed: Bed,
    pods: Vec<Pod>,
    /// Their interfaces, addresses and routes when they were attached.
    state: Vec<String>,
}

impl Deref for Live {
    type Target = Bed;
    fn deref(&self) -> &Bed {
        &self.bed
    }
}

/// A network of a bridge of its own, masqueraded, with addresses of 10.NUMBER.0.0/28: few, so that
/// a free one is soon used again.
pub fn network(name: &str, number: u8, version: &str) -> Value {
    let ipam = json!({ "type": "host-local", "subnet": format!("10.{number}.0.0/28") });
    let bridge = json!({ "type": "bridge", "bridge": name, "isGateway": true, "ipMasq": true, "ipam": ipam });
    json!({ "name": name, "cniVersion": version, "plugins": [bridge] })
}

/// The same with a plugin behind it that works on the interface.
pub fn chained(name: &str, number: u8, version: &str) -> Value {
    let mut conf = network(name, number, version);
    conf["plugins"].as_array_mut().unwrap().push(json!({ "type": "tail" }));
    conf
}

impl Live {
    /// A node whose network `pods` has this configuration.
    pub fn with(pods: &Value) -> Live {
        Live::prepared(pods, |_| {})
    }

    /// The same, after something was done to it.
    pub fn prepared(pods: &Value, prepare: impl FnOnce(&Bed)) -> Live {
        let bed = Bed::with(pods);
        prepare(&bed);
        bed.configure(&network("others", 89, "1.1.0"));
        install("tail");
        let mut live = Live { bed, pods: Vec::new(), state: Vec::new() };
        for (network, id, ..) in LIVE {
            let pod = live.join(network, id, &[]);
            live.pods.push(pod);
        }
        live.state = live.seen();
        live
    }

    pub fn new() -> Live {
        Live::with(&network("pods", 88, "1.1.0"))
    }

    fn seen(&self) -> Vec<String> {
        let look = |pod: &Pod| {
            // Without what the kernel adds in its own time, of IPv6 above all.
            pod.sh("ip -o link show | sed 's/ state [A-Z]*//'; ip -4 -o addr show; ip -4 route \
                show table all")
        };
        self.pods.iter().map(look).collect()
    }

    /// The live containers still have what they had, pass CHECK, and can be reached.
    #[track_caller]
    pub fn assert_untouched(&self, what: &str) {
        assert_eq!(self.seen(), self.state, "{what}");
        install("tail");
        for ((network, id, gateway, address), pod) in LIVE.iter().zip(&self.pods) {
            assert!(pod.ping(gateway), "{what}: {id} does not reach {gateway}");
            assert!(self.ping(address), "{what}: {id} is not reached at {address}");
            let named = ["check", network, id, "--container-id", id];
            // A remedy may have removed the network's file, or the plugin.
            let check = self.cnitool(&[&named[..], &["--conf-dir", "/run/checks"]].concat());
            assert_eq!((check.status, &*check.stderr), (Some(0), ""), "{what}: {id}");
        }
    }

    /// The configuration for CHECK, whatever happens to the configuration folder.
    pub fn remember(&self) {
        fs::create_dir_all("/run/checks").unwrap();
        for (network, ..) in LIVE {
            let file = format!("{network}.conflist");
            fs::copy(format!("/etc/cni/net.d/{file}"), format!("/run/checks/{file}")).unwrap();
        }
    }

    /// The addresses that are reserved in a network.
    pub fn reserved(&self, network: &str) -> Vec<String> {
        let dir = fs::read_dir(format!("/var/lib/cni/networks/{network}"));
        let names = dir.into_iter().flatten().map(|it| it.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.starts_with("10."));
        names.sort();
        names
    }
}

/// A chained plugin that changes nothing.
pub fn install(name: &str) {
    const BODY: &str = r#"#!/bin/sh
        case $CNI_COMMAND in
        ADD) jq -c .prevResult ;;
        VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}' ;;
        esac"#;
    fs::create_dir_all(OWN).unwrap();
    fs::write(format!("{OWN}/{name}"), BODY).unwrap();
    fs::set_permissions(format!("{OWN}/{name}"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs each row on a node of its own.
pub fn each<R: Sync>(rows: &[R], run: impl Fn(&R) + Sync) {
    let run = |row| std::thread::scope(|scope| scope.spawn(|| run(row)).join().is_err());
    let failed = rows.iter().filter(|row| run(row)).count();
    assert_eq!(failed, 0, "rows failed, see above");
}
