//! `dummy` gives a container an interface that leads nowhere, with addresses: something for a
//! service to listen on, whatever networks the container has.
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "services",
//!   "type": "dummy",
//!   "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" }
//! }
//! ```

use crate::common::{
    Ends, Linux, Subnet, Sweeps, plan_interface, plan_of, unavailable, unless_deleting,
};
use kernel::Place::Pod;
use kernel::{Plan, Swept};
use libcni::{AddResult, Addresses, Call, Error, Manual, Result};
use serde::Deserialize;

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<Dummy>()
}

/// The configuration of a `dummy` network: only `ipam`, which is required.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Dummy {}

impl Sweeps for Dummy {
    const SWEPT: &'static [Swept] = &[Swept::of::<kernel::Dummy>()];
}

impl libcni::Plugin for Dummy {
    const MANUAL: Manual = Manual::new(
        "dummy",
        env!("CARGO_PKG_VERSION"),
        "gives a container an interface that leads nowhere, with addresses",
        include_str!("dummy.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(ipam::REFERENCE);
    type Executor = Linux<Self>;

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        unless_deleting(call, needs_addresses(call))?;
        let mut plan = plan_of(call)?;
        let ends = Ends::of(call, &plan, None, &[])?;
        // ip -n POD link add eth0 address 02:.. type dummy
        plan.own(Pod, kernel::Dummy { name: ends.pod.clone(), mac: ends.pod_mac });
        plan_interface(&mut plan, &ends.pod, addresses, Subnet::OnLink, false);
        let result = addresses.clone().into_result(call, vec![ends.interface(call)], 0);
        Ok((plan, result))
    }

    fn status(&self, call: &Call) -> Result<()> {
        needs_addresses(call)?;
        kernel::makes("dummy").map_err(unavailable)
    }
}

fn needs_addresses(call: &Call) -> Result<()> {
    match call.ipam_type() {
        Some(_) => Ok(()),
        None => Err(Error::config("dummy interface requires an IPAM configuration").details(
            "Add \"ipam\", such as { \"type\": \"host-local\", \"subnet\": \"10.1.2.0/24\" }.",
        )),
    }
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("dummy.rs"),
        &schemars::schema_for!(Dummy).to_value(),
        <Dummy as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/dummy.schema.json"),
    );
}
