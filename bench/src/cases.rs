//! The cases. A new plugin adds its own here; see `bench/README.md`.

use crate::case::{Case, Peers, Prepared, USUAL, Variant, Verb};

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case {
        id: "version",
        title: "VERSION: the start of a process",
        chain: &[("bridge", "")],
        verbs: &[Verb::Version],
        floor: Some(""),
        rounds: 40,
        quick: true,
        ..USUAL
    },
    Case {
        id: "bridge",
        title: "bridge + host-local",
        chain: &[("bridge", BRIDGE)],
        verbs: &[Verb::Add, Verb::Check, Verb::Del],
        floor: Some("bridge"),
        rounds: 40,
        quick: true,
        ..USUAL
    },
    Case {
        id: "bridge-masq",
        title: "bridge + host-local, ipMasq",
        chain: &[("bridge", BRIDGE_MASQ)],
        verbs: &[Verb::Add, Verb::Check, Verb::Del],
        variants: NFTABLES,
        floor: Some("bridge masq"),
        rounds: 30,
        quick: true,
        ..USUAL
    },
    Case {
        id: "bridge-masq-busy",
        title: "bridge + host-local, ipMasq, 200 others present",
        chain: &[("bridge", BRIDGE_MASQ)],
        prepared: &[Prepared::Joined(200)],
        peers: Peers::New,
        variants: NFTABLES,
        rounds: 10,
        ..USUAL
    },
    Case {
        id: "ptp",
        title: "ptp + host-local",
        chain: &[("ptp", PTP)],
        verbs: &[Verb::Add, Verb::Check, Verb::Del],
        floor: Some("ptp"),
        ..USUAL
    },
    Case {
        id: "ptp-masq",
        title: "ptp + host-local, ipMasq",
        chain: &[("ptp", PTP_MASQ)],
        variants: NFTABLES,
        floor: Some("ptp masq"),
        ..USUAL
    },
    Case {
        id: "macvlan",
        title: "macvlan + host-local",
        chain: &[("macvlan", MACVLAN)],
        verbs: &[Verb::Add, Verb::Check, Verb::Del],
        prepared: &[Prepared::Uplink],
        floor: Some("macvlan"),
        ..USUAL
    },
    Case {
        id: "loopback",
        title: "loopback",
        chain: &[("loopback", "")],
        verbs: &[Verb::Add, Verb::Check, Verb::Del],
        floor: Some("loopback"),
        ..USUAL
    },
    Case {
        id: "chain",
        title: "chain of bridge and loopback: cnitool, or one after another",
        chain: &[("bridge", BRIDGE), ("loopback", "")],
        ..USUAL
    },
    Case {
        id: "gc",
        title: "GC of 100 stale containers of bridge, or 100 DELs",
        chain: &[("bridge", BRIDGE)],
        verbs: &[Verb::Gc],
        version: "1.1.0",
        peers: Peers::New,
        rounds: 3,
        warm_up: 0,
        ..USUAL
    },
    Case { quick: true, ..host_local("host-local-0", "host-local, empty", &[], 30) },
    host_local(
        "host-local-1000",
        "host-local, 1,000 taken",
        &[Prepared::Taken("10.0.0.0", 1_000)],
        20,
    ),
    Case {
        quick: true,
        ..host_local(
            "host-local-10000",
            "host-local, 10,000 taken",
            &[Prepared::Taken("10.0.0.0", 10_000)],
            12,
        )
    },
    host_local(
        "host-local-50000",
        "host-local, 50,000 taken",
        &[Prepared::Taken("10.0.0.0", 50_000)],
        5,
    ),
    Case {
        peers: Peers::None,
        ..host_local(
            "host-local-1000000",
            "host-local, 1,000,000 taken",
            &[Prepared::Taken("10.0.0.0", 1_000_000)],
            20,
        )
    },
    Case {
        id: "host-local-v6",
        title: "host-local, a /64, 50,000 taken",
        chain: &[("host-local", r#""ipam": {"type": "host-local", "subnet": "fd00:88::/64"}"#)],
        peers: Peers::None,
        prepared: &[Prepared::Taken("fd00:88::", 50_000)],
        ..USUAL
    },
    Case {
        id: "host-local-full",
        title: "host-local, a /16 with 10 left",
        chain: &[("host-local", r#""ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}"#)],
        prepared: &[Prepared::Taken("10.88.0.0", 65_534 - 1 - 10)],
        rounds: 5,
        peers: Peers::New,
        ..USUAL
    },
    Case {
        peers: Peers::None,
        bursts: POOL_BURSTS,
        ..host_local("host-local-burst-0", "host-local, empty, many at once", &[], 0)
    },
    Case {
        peers: Peers::None,
        bursts: POOL_BURSTS,
        ..host_local(
            "host-local-burst-50000",
            "host-local, 50,000 taken, many at once",
            &[Prepared::Taken("10.0.0.0", 50_000)],
            0,
        )
    },
    Case {
        id: "burst",
        title: "bridge + host-local, many at once",
        chain: &[("bridge", BRIDGE)],
        floor: Some("bridge"),
        ..BURST
    },
    Case {
        id: "burst-masq",
        title: "bridge + host-local, ipMasq, many at once",
        chain: &[("bridge", BRIDGE_MASQ)],
        floor: Some("bridge masq"),
        ..BURST
    },
    Case {
        id: "ipip",
        title: "ipip + host-local",
        chain: &[("ipip", IPIP)],
        verbs: &[Verb::Add, Verb::Check, Verb::Del],
        prepared: &[Prepared::Uplink, Prepared::Shell("ip addr add 192.0.2.1/24 dev uplink")],
        peers: Peers::None,
        lab: true,
        ..USUAL
    },
];

const fn host_local(
    id: &'static str,
    title: &'static str,
    prepared: &'static [Prepared],
    rounds: usize,
) -> Case {
    let chain = &[("host-local", r#""ipam": {"type": "host-local", "subnet": "10.0.0.0/8"}"#)];
    Case { id, title, chain, prepared, rounds, ..USUAL }
}

/// The common part of all bursts.
const BURST: Case = Case { bursts: BURSTS, peers: Peers::New, quick: true, ..USUAL };

/// The numbers of containers, and of parallel calls. A pair that occurs twice is measured twice, as
/// one. `--quick` measures only the last.
const BURSTS: &[(usize, usize)] =
    &[(200, 32), (1, 1), (10, 1), (10, 8), (100, 8), (100, 32), (300, 32), (300, 300), (200, 32)];

/// The same for an IPAM plugin alone.
const POOL_BURSTS: &[(usize, usize)] = &[(10, 8), (200, 32)];

const BRIDGE: &str =
    r#""isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}"#;
const BRIDGE_MASQ: &str = r#""isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}"#;
const PTP: &str =
    r#""ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}"#;
const PTP_MASQ: &str = r#""ipMasq": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}"#;
const MACVLAN: &str = r#""master": "uplink", "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}"#;
const IPIP: &str = r#""peers": [{"node": "192.0.2.1", "podCIDRs": ["10.88.0.0/16"]}, {"node": "192.0.2.2", "podCIDRs": ["10.89.0.0/16"]}], "ipam": {"type": "host-local", "subnet": "10.88.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}"#;

/// Newer reference plugins masquerade with nftables if configured, otherwise with iptables. On
/// removal they would try both, and iptables fails for missing objects.
const NFTABLES: &[Variant] =
    &[Variant { label: "nftables", keys: r#""ipMasqBackend": "nftables""#, tool: "nft" }];
