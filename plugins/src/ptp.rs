//! `ptp` connects a container to its host with a veth pair of its own. The host routes between the
//! container and all other networks.
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "pods",
//!   "type": "ptp",
//!   "ipMasq": true,
//!   "ipam": {
//!     "type": "host-local",
//!     "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]],
//!     "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
//!   }
//! }
//! ```
//!
//! Each container's gateway is the host's end of its veth pair, so all containers have the same
//! gateway address, and a container reaches the others of its subnet through the host as well.
//! There is no bridge, no flooding and no shared broadcast domain; only the host's routes and its
//! firewall decide what a container can reach.

use crate::common::{
    Ends, Linux, Subnet, Sweeps, check_gateway, check_masquerade, no_router_advertisements,
    plan_announcement, plan_forwarding, plan_gateway_end, plan_interface, plan_masquerade, plan_of,
    unless_deleting,
};
use kernel::Place::Host;
use kernel::{Plan, Swept, Up};
use libcni::{AddResult, Addresses, Addressing, Call, Manual, Result};
use serde::Deserialize;

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<Ptp>()
}

/// The configuration of a `ptp` network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ptp {
    /// Hides the containers' addresses behind the host's, except within their own subnet (see
    /// ipMasqBeyond).
    ip_masq: bool,
    /// The backend of ipMasq: nftables needs no program on the host; iptables runs the host's.
    #[cfg_attr(test, schemars(extend("enum" = ["nftables", "iptables", null])))]
    ip_masq_backend: Option<String>,
    /// Destinations for which ipMasq hides nothing, such as the networks of all nodes' containers.
    /// If none, the container's subnet.
    #[cfg_attr(test, schemars(extend("items" = { "type": "string", "format": "network" })))]
    ip_masq_beyond: Vec<String>,
    /// The largest packet, in bytes, of the veth pair. 0 leaves it to the kernel.
    mtu: u32,
}

impl Sweeps for Ptp {
    const SWEPT: &'static [Swept] = &[
        Swept::of::<kernel::Neighbours>(),
        Swept::of::<kernel::Masquerade>(),
        Swept::of::<kernel::Veth>(),
    ];
}

impl libcni::Plugin for Ptp {
    const MANUAL: Manual = Manual::new(
        "ptp",
        env!("CARGO_PKG_VERSION"),
        "connects a container to its host by a routed veth pair",
        include_str!("ptp.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(ipam::REFERENCE);
    type Executor = Linux<Self>;

    /// A routed network needs addresses.
    fn addressing(&self, _call: &Call) -> Addressing {
        Addressing::Required
    }

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        let mut addresses = addresses.clone();
        addresses.default_gateways();
        let mut plan = plan_of(call)?;
        let ends = Ends::of(call, &plan, None, &[])?;

        // ip link add veth1a2b type veth peer name eth0 netns POD
        plan.own(Host, ends.veth(self.mtu, None));
        // sysctl -w net/ipv6/conf/veth1a2b/accept_ra=0
        plan.own(Host, no_router_advertisements(&ends.host));
        plan.because("a container must not reroute the host by router advertisements");
        plan.own(Host, Up::of(&ends.host)); // ip link set veth1a2b up
        plan_interface(&mut plan, &ends.pod, &addresses, Subnet::BehindGateway, false);
        plan_gateway_end(&mut plan, &ends.host, &addresses);

        if self.ip_masq {
            let backend = self.ip_masq_backend.as_deref();
            let beyond = &self.ip_masq_beyond;
            unless_deleting(call, plan_masquerade(&mut plan, backend, beyond, &addresses))?;
        }
        plan_forwarding(&mut plan, &addresses);
        plan_announcement(&mut plan, &ends, Some(&ends.host), &addresses);

        let interfaces = vec![ends.host_interface(), ends.interface(call)];
        Ok((plan, addresses.into_result(call, interfaces, 1)))
    }

    fn status(&self, call: &Call) -> Result<()> {
        kernel::makes("veth").map_err(crate::common::unavailable)?;
        if self.ip_masq {
            check_masquerade(self.ip_masq_backend.as_deref(), &self.ip_masq_beyond)?;
        }
        check_gateway(call, "default", |_| true)
    }
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("ptp.rs"),
        &schemars::schema_for!(Ptp).to_value(),
        <Ptp as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/ptp.schema.json"),
    );
}
