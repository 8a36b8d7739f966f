//! `loopback` brings a container's loopback interface up. It needs no configuration, and always
//! works on `lo`, whatever interface name the runtime gives.
//!
//! ```json
//! { "cniVersion": "1.1.0", "name": "lo", "type": "loopback" }
//! ```

use std::net::{IpAddr, Ipv6Addr};

use crate::common::{Linux, Sweeps, plan_of};
use ipnetwork::IpNetwork;
use kernel::Place::Pod;
use kernel::{Plan, Swept};
use libcni::{AddResult, Addresses, Addressing, Call, Error, Interface, IpConfig, Manual, Result};
use serde::Deserialize;

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<Loopback>()
}

/// The configuration of a `loopback` network, which has no keys.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Loopback {}

impl Sweeps for Loopback {
    const SWEPT: &'static [Swept] = &[];
    const HAS_ADDRESSES: bool = false;
}

impl libcni::Plugin for Loopback {
    const MANUAL: Manual = Manual::new(
        "loopback",
        env!("CARGO_PKG_VERSION"),
        "brings a container's loopback interface up",
        include_str!("loopback.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(ipam::REFERENCE);
    type Executor = Linux<Self>;

    fn addressing(&self, _call: &Call) -> Addressing {
        Addressing::None
    }

    fn plan(&self, call: &Call, _addresses: &Addresses) -> Result<(Plan, AddResult)> {
        let mut plan = plan_of(call)?;
        plan.own(Pod, kernel::Loopback {}); // ip -n POD link set lo up
        let result = match &call.prev {
            Some(prev) => prev.clone(),
            None => AddResult::new(
                vec![Interface {
                    name: "lo".to_owned(),
                    mac: "00:00:00:00:00:00".to_owned(),
                    sandbox: call.netns.clone().unwrap_or_default(),
                    ..Interface::default()
                }],
                // The addresses that the kernel assigns, unless IPv6 is switched off. The executor
                // replaces them with the actual ones.
                vec![of_lo([127, 0, 0, 1].into(), 8)?, of_lo(Ipv6Addr::LOCALHOST.into(), 128)?],
            ),
        };
        Ok((plan, result))
    }
}

fn of_lo(address: IpAddr, prefix: u8) -> Result<IpConfig> {
    let address =
        IpNetwork::new(address, prefix).map_err(|error| Error::internal(error.to_string()))?;
    Ok(IpConfig { address, gateway: None, interface: Some(0) })
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("loopback.rs"),
        &schemars::schema_for!(Loopback).to_value(),
        <Loopback as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/loopback.schema.json"),
    );
}
