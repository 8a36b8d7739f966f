//! The cases and the contestants.

use std::path::{Path, PathBuf};

use bench::contestant::{self, Kind, OURS};
use bench::sandboxes::NO_NETWORK;
use serde_json::{Value, json};

/// A network that sandboxes join and leave.
pub struct Case {
    /// The name for `--only` and in the results.
    pub id: &'static str,
    /// The title.
    pub title: &'static str,
    /// The plugin's configuration, without `ipam`.
    plugin: &'static str,
    /// Whether sandboxes get IPv4 and IPv6 addresses, or only IPv4.
    has_ipv6: bool,
    /// The number of sandboxes that start and stop one after another.
    pub turns: usize,
    /// The number of bursts, in which many start and then stop at once.
    pub bursts: usize,
    /// Whether `--quick` includes it.
    pub quick: bool,
}

/// All cases, in the order of the report.
pub const CASES: [Case; 4] = [
    Case {
        id: "bridge",
        title: "bridge + host-local, IPv4 and IPv6, ipMasq",
        plugin: r#"{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true}"#,
        has_ipv6: true,
        turns: 100,
        bursts: 5,
        quick: true,
    },
    Case {
        id: "bridge-ipv4",
        title: "bridge + host-local, IPv4 alone, ipMasq",
        plugin: r#"{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true}"#,
        has_ipv6: false,
        turns: 40,
        bursts: 5,
        quick: false,
    },
    Case {
        id: "ptp",
        title: "ptp + host-local, IPv4 and IPv6, ipMasq",
        plugin: r#"{"type": "ptp", "ipMasq": true}"#,
        has_ipv6: true,
        turns: 40,
        bursts: 0,
        quick: false,
    },
    Case {
        id: "ptp-ipv4",
        title: "ptp + host-local, IPv4 alone, ipMasq",
        plugin: r#"{"type": "ptp", "ipMasq": true}"#,
        has_ipv6: false,
        turns: 40,
        bursts: 0,
        quick: false,
    },
];

impl Case {
    /// The network configuration for a contestant.
    pub fn network(&self, who: &Contestant) -> Value {
        let mut plugin: Value = serde_json::from_str(self.plugin).expect("a case's plugin is JSON");
        let (mut ranges, mut routes) =
            (vec![json!([{ "subnet": "10.88.0.0/16" }])], vec![json!({ "dst": "0.0.0.0/0" })]);
        if self.has_ipv6 {
            ranges.push(json!([{ "subnet": "fd00:88::/64" }]));
            routes.push(json!({ "dst": "::/0" }));
        }
        plugin["ipam"] = json!({ "type": "host-local", "ranges": ranges, "routes": routes });
        if who.by_nftables {
            plugin["ipMasqBackend"] = "nftables".into();
        }
        json!({ "cniVersion": "1.0.0", "name": "bench", "plugins": [plugin] })
    }
}

/// A suite of plugins that containerd calls.
#[derive(Debug, Clone)]
pub struct Contestant {
    /// The name in the results.
    pub label: String,
    /// The directory of the plugins; [`None`] for the installed ones of this project.
    pub plugins: Option<PathBuf>,
    /// Whether it is a suite of another project.
    pub is_peer: bool,
    /// Whether it is configured to masquerade with nftables, on a machine without iptables.
    pub by_nftables: bool,
    /// Whether its sandboxes share the machine's network, so that containerd calls no plugin.
    pub host_network: bool,
}

impl Contestant {
    /// This project, the peers from the command line, and the machine's network.
    ///
    /// # Errors
    ///
    /// If the directory of a peer does not exist.
    pub fn all(peers: &[String]) -> Result<Vec<Contestant>, String> {
        let of = |label: &str, plugins: Option<&Path>| Contestant {
            label: label.to_owned(),
            plugins: plugins.map(Path::to_owned),
            is_peer: plugins.is_some(),
            by_nftables: false,
            host_network: false,
        };
        let mut all = vec![of(OURS, None)];
        for given in peers {
            let peer = contestant::Contestant::peer(given)?;
            let Kind::Peer { folder, new, .. } = &peer.kind else { continue };
            all.push(of(&peer.label, Some(folder)));
            if *new {
                let label = format!("{} nftables", peer.label);
                all.push(Contestant { by_nftables: true, ..of(&label, Some(folder)) });
            }
        }
        all.push(Contestant { host_network: true, ..of(NO_NETWORK, None) });
        Ok(all)
    }
}
