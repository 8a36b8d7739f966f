//! The cases. A plugin that is built later adds its own here.

use crate::case::{Case, USUAL};

/// All of them, in the order of the report.
pub const CASES: &[Case] = &[
    Case {
        id: "bridge",
        title: "bridge + host-local",
        chain: &[("bridge", BRIDGE)],
        floor: Some("bridge"),
        rounds: 40,
        quick: true,
        ..USUAL
    },
    Case {
        id: "bridge-masq",
        title: "bridge + host-local, ipMasq",
        chain: &[("bridge", BRIDGE_MASQ)],
        floor: Some("bridge masq"),
        rounds: 30,
        quick: true,
        ..USUAL
    },
];

const BRIDGE: &str =
    r#""isDefaultGateway": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}"#;
const BRIDGE_MASQ: &str = r#""isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "subnet": "10.88.0.0/16"}"#;
