//! `loopback` brings a container's loopback interface up. It needs no configuration, and always works on `lo`, whatever
//! interface name the runtime gives.
//!
//! ```json
//! { "cniVersion": "1.1.0", "name": "lo", "type": "loopback" }
//! ```

use ferrocni::{Linux, plan_of};
use kernel::Place::Pod;
use kernel::Plan;
use libcni::{AddResult, Addresses, Addressing, Call, Interface, Manual, Result};
use serde::Deserialize;

fn main() -> std::process::ExitCode {
    libcni::run::<Loopback>()
}

/// The configuration of a `loopback` network: nothing to configure.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Loopback {}

impl libcni::Plugin for Loopback {
    const MANUAL: Manual = Manual::new(
        "loopback",
        "brings a container's loopback interface up",
        include_str!("loopback.schema.json"),
    );
    type Executor = Linux;

    fn addressing(&self, _call: &Call) -> Addressing {
        Addressing::None
    }

    fn plan(&self, call: &Call, _addresses: &Addresses) -> Result<(Plan, AddResult)> {
        let mut plan = plan_of(call)?;
        plan.own(Pod, kernel::Loopback {}); // ip -n POD link set lo up
        let result = match &call.prev {
            Some(prev) => prev.clone(),
            // The addresses are the kernel's own choice: the executor fills them in.
            None => AddResult {
                interfaces: vec![Interface {
                    name: "lo".to_owned(),
                    mac: "00:00:00:00:00:00".to_owned(),
                    sandbox: call.netns.clone().unwrap_or_default(),
                    ..Interface::default()
                }],
                ..AddResult::default()
            },
        };
        Ok((plan, result))
    }
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("loopback.rs"),
        &schemars::schema_for!(Loopback).to_value(),
        <Loopback as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/loopback.schema.json"),
    );
}
