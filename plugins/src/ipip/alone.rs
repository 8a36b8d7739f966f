//! An `ipip` network with `ipam`: the plugin makes the container's veth pair itself.

use crate::common::{
    Ends, Subnet, no_router_advertisements, plan_announcement, plan_gateway_end, plan_interface,
    plan_masquerade_but, plan_of,
};
use crate::nodes::peers;
use kernel::Place::Host;
use kernel::{Plan, Up, Veth};
use libcni::{AddResult, Addresses, Call, Interface, Result, Verb};

use super::{Ipip, plan_routes};

impl Ipip {
    /// Plans an attachment whose veth pair this plugin makes.
    ///
    /// # Errors
    ///
    /// Returns an error if the configuration, the addresses and the host are not compatible.
    pub fn plan_alone(&self, call: &Call, mut addresses: Addresses) -> Result<(Plan, AddResult)> {
        let mut plan = plan_of(call)?;
        let ends = Ends::of(call, &plan, None, &[])?;
        if call.verb == Verb::Del {
            // The node's tunnel and routes stay.
            plan.own(Host, ends.veth(0, None));
            return Ok((plan, AddResult::default()));
        }
        only_ipv4(&addresses)?;
        addresses.default_gateways();
        let (mtu, routes) = self.plan_node(&mut plan, call, &ends.pod, &addresses)?;
        for route in addresses.0.routes.iter_mut().filter(|route| route.mtu > mtu) {
            route.mtu = mtu;
        }
        let result = self.plan_pair(&mut plan, call, &ends, mtu, addresses)?;
        plan_routes(&mut plan, call, routes);
        Ok((plan, result))
    }

    /// Plans the container's veth pair, as `ptp` does, with the tunnel's MTU.
    fn plan_pair(
        &self,
        plan: &mut Plan,
        call: &Call,
        ends: &Ends,
        mtu: u32,
        addresses: Addresses,
    ) -> Result<AddResult> {
        // ip link add veth1a2b mtu 1480 type veth peer name eth0 mtu 1480 netns POD
        plan.own(Host, Veth { mtu, ..ends.veth(mtu, None) });
        // sysctl -w net/ipv6/conf/veth1a2b/accept_ra=0
        plan.own(Host, no_router_advertisements(&ends.host));
        plan.because("a container must not reroute the host by router advertisements");
        plan.own(Host, Up::of(&ends.host)); // ip link set veth1a2b up
        plan_interface(plan, &ends.pod, &addresses, Subnet::BehindGateway, false);
        plan_gateway_end(plan, &ends.host, &addresses);
        if self.ip_masq {
            let (backend, beyond) = (self.ip_masq_backend.as_deref(), &self.ip_masq_beyond);
            plan_masquerade_but(plan, backend, beyond, &addresses, self.spares_pods())?;
        }
        plan_announcement(plan, ends, Some(&ends.host), &addresses);
        let with_mtu = |interface: Interface| Interface { mtu, ..interface };
        let interfaces = vec![with_mtu(ends.host_interface()), with_mtu(ends.interface(call))];
        Ok(addresses.into_result(call, interfaces, 1))
    }
}

fn only_ipv4(addresses: &Addresses) -> Result<()> {
    match addresses.ips().iter().find(|ip| ip.address.is_ipv6()) {
        None => Ok(()),
        Some(ip) => Err(peers::no_ipv6(format!("address {}", ip.address))),
    }
}
