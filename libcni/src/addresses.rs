//! Addresses, routes and name resolution for an attachment, as an IPAM plugin or a `prevResult`
//! says them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::{AddResult, Call, Dns, Error, Interface, IpConfig, Result, Route, is_same_netns};

/// Addresses, routes and name resolution for an attachment, as an IPAM plugin or a `prevResult`
/// says them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(pub AddResult);

impl Addresses {
    /// The addresses, each with the prefix length of its subnet.
    pub fn ips(&self) -> &[IpConfig] {
        &self.0.ips
    }

    /// The routes, in the order in which they are to be made.
    pub fn routes(&self) -> &[Route] {
        &self.0.routes
    }

    /// Name resolution.
    pub fn dns(&self) -> &Dns {
        &self.0.dns
    }

    /// Adds further addresses of which nothing else is known. DEL does not need more.
    #[must_use]
    pub fn and(mut self, others: &[IpAddr]) -> Addresses {
        for other in others {
            if !self.0.ips.iter().any(|ip| ip.address.ip() == *other) {
                let address = IpNetwork::from(*other);
                self.0.ips.push(IpConfig { address, gateway: None, interface: None });
            }
        }
        self
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.0.ips.is_empty()
    }

    /// The gateway of a family: that of its first address that has one. Routes without a next hop
    /// go there.
    pub fn gateway(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.0.ips.iter().filter(|ip| ip.address.is_ipv4() == is_ipv4).find_map(|ip| ip.gateway)
    }

    /// Every gateway once, with the prefix length of its subnet: what the host has to have to be
    /// the gateway. IPv4 comes first.
    pub fn gateways(&self) -> Vec<IpNetwork> {
        let mut gateways: Vec<IpNetwork> = Vec::new();
        for ip in &self.0.ips {
            let gateway =
                ip.gateway.and_then(|gateway| IpNetwork::new(gateway, ip.address.prefix()).ok());
            gateways.extend(gateway.filter(|gateway| !gateways.contains(gateway)));
        }
        gateways.sort_by_key(IpNetwork::is_ipv6);
        gateways
    }

    /// Gives each address without a gateway the first one of its subnet.
    pub fn default_gateways(&mut self) {
        for ip in self.0.ips.iter_mut().filter(|ip| ip.gateway.is_none()) {
            ip.gateway = first_of(ip.address);
        }
    }

    /// Adds a default route through the gateway, for each family that has a gateway and no default
    /// route.
    pub fn default_routes(&mut self) {
        for (is_ipv4, everywhere) in [(true, "0.0.0.0/0"), (false, "::/0")] {
            let is_default =
                |route: &Route| route.dst.prefix() == 0 && route.dst.is_ipv4() == is_ipv4;
            let (Some(gateway), Ok(dst)) = (self.gateway(is_ipv4), everywhere.parse()) else {
                continue;
            };
            if !self.0.routes.iter().any(is_default) {
                self.0.routes.push(Route::new(dst, Some(gateway)));
            }
        }
    }

    /// The result of an attachment with these addresses on the interface of an index, and with the
    /// configuration's `dns` in place of the IPAM plugin's, if it has one.
    pub fn into_result(
        self,
        call: &Call,
        interfaces: Vec<Interface>,
        interface: usize,
    ) -> AddResult {
        let mut result = AddResult { interfaces, ..self.0 };
        for ip in &mut result.ips {
            ip.interface = Some(interface);
        }
        if let Some(dns) = call.dns() {
            result.dns = dns;
        }
        result
    }
}

impl Call {
    /// What `prevResult` says of the addresses of the attachment's interface, and its routes;
    /// nothing if there is none.
    pub fn prev_addresses(&self) -> Addresses {
        let (Some(prev), Some(attachment)) = (&self.prev, &self.attachment) else {
            return Addresses::default();
        };
        let is_ours = |ip: &IpConfig| {
            let interface = ip.interface.and_then(|index| prev.interfaces.get(index));
            interface.is_none_or(|interface| {
                !interface.sandbox.is_empty() && interface.name == attachment.ifname.as_str()
            })
        };
        let ips = prev.ips.iter().filter(|ip| is_ours(ip)).cloned().collect();
        Addresses(AddResult { ips, interfaces: Vec::new(), ..prev.clone() })
    }

    /// The [addresses of `prevResult`](Call::prev_addresses), if the result is about the container
    /// of this call.
    ///
    /// # Errors
    ///
    /// There is no `prevResult`, or it names another namespace for the attachment's interface.
    pub fn checked_prev(&self) -> Result<Addresses> {
        let Some(prev) = &self.prev else {
            return Err(Error::config("Required prevResult missing")
                .details("the runtime has to hand on what ADD answered"));
        };
        let attachment = self.attachment()?;
        let ours = prev.interfaces.iter().find(|interface| {
            !interface.sandbox.is_empty() && interface.name == attachment.ifname.as_str()
        });
        if let (Some(interface), Some(netns)) = (ours, &self.netns)
            && !is_same_netns(&interface.sandbox, netns)
        {
            let msg = format!(
                "Sandbox in prevResult {} doesn't match configured netns: {netns}",
                interface.sandbox
            );
            return Err(Error::config(msg));
        }
        Ok(self.prev_addresses())
    }
}

/// The first address of a subnet after the network's own.
fn first_of(subnet: IpNetwork) -> Option<IpAddr> {
    match subnet.network() {
        IpAddr::V4(ip) => u32::from(ip).checked_add(1).map(|ip| IpAddr::V4(ip.into())),
        IpAddr::V6(ip) => u128::from(ip).checked_add(1).map(|ip| IpAddr::V6(ip.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(ips: &[(&str, Option<&str>)], routes: &[&str]) -> Addresses {
        let ips = ips.iter().map(|(address, gateway)| IpConfig {
            address: address.parse().unwrap(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            interface: None,
        });
        let routes = routes.iter().map(|dst| Route::new(dst.parse().unwrap(), None));
        Addresses(AddResult {
            ips: ips.collect(),
            routes: routes.collect(),
            ..AddResult::default()
        })
    }

    #[test]
    fn the_default_gateway_is_the_first_address_of_the_subnet() {
        let mut addresses = with(
            &[("10.1.2.5/24", None), ("fd00::5/64", None), ("10.9.0.7/16", Some("10.9.3.3"))],
            &[],
        );
        addresses.default_gateways();
        let gateways: Vec<String> = addresses.gateways().iter().map(IpNetwork::to_string).collect();
        assert_eq!(gateways, ["10.1.2.1/24", "10.9.3.3/16", "fd00::1/64"]);
    }

    #[test]
    fn a_default_route_is_added_only_where_there_is_none() {
        let mut addresses = with(
            &[("10.1.2.5/24", Some("10.1.2.1")), ("fd00::5/64", Some("fd00::1"))],
            &["0.0.0.0/0"],
        );
        addresses.default_routes();
        addresses.default_routes();
        let routes: Vec<_> =
            addresses.routes().iter().map(|route| (route.dst.to_string(), route.gw)).collect();
        assert_eq!(
            routes,
            [("0.0.0.0/0".into(), None), ("::/0".into(), Some("fd00::1".parse().unwrap()))]
        );
    }
}
