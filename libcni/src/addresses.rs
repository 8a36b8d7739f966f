//! Addresses, routes and name resolution for an attachment, as an IPAM plugin or a `prevResult` says them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::{AddResult, Call, Dns, Interface, IpConfig, Route};

/// Addresses, routes and name resolution for an attachment, as an IPAM plugin or a `prevResult` says them.
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

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.0.ips.is_empty()
    }

    /// The gateway of a family: that of its first address that has one. Routes without a next hop go there.
    pub fn gateway(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.0.ips.iter().filter(|ip| ip.address.is_ipv4() == is_ipv4).find_map(|ip| ip.gateway)
    }

    /// Every gateway once, with the prefix length of its subnet: what the host has to have to be the gateway. IPv4
    /// comes first.
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

    /// Adds a default route through the gateway, for each family that has a gateway and no default route.
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

    /// The result of an attachment with these addresses on the interface of an index, and with the configuration's
    /// `dns` in place of the IPAM plugin's, if it has one.
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
