//! The route to the subnet of an address. The kernel adds it with the address, and does not add it
//! again after another program has removed it (`ip route flush`). Without it, no route through a
//! gateway in the subnet can be added.

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::RouteType;

use super::route::{Key, Route};
use super::way::Way;
use crate::error::Result;
use crate::handle::Handle;
use crate::link::Link;

/// `RTPROT_KERNEL` (`include/uapi/linux/rtnetlink.h`).
const KERNEL: u8 = 2;
/// `RT_SCOPE_LINK`
const LINK: u8 = 253;
/// `IP6_RT_PRIO_ADDRCONF` (`include/net/ip6_route.h`): the metric of such routes for IPv6.
const METRIC_OF_IPV6: u32 = 256;
/// The dump covers all tables, because another plugin of the chain may have moved the route (sbr,
/// vrf).
const ALL_TABLES: u32 = 0;

/// The route that the kernel created with the address, if it is missing. A link that is down has no
/// such routes, and gets them when it comes up.
pub(super) fn missing(
    handle: &mut Handle,
    link: &Link,
    address: IpNetwork,
) -> Result<Option<Route>> {
    let (subnet, is_single) = match address {
        IpNetwork::V4(ip) => (IpNetwork::new(ip.network().into(), ip.prefix()), ip.prefix() == 32),
        IpNetwork::V6(ip) => (IpNetwork::new(ip.network().into(), ip.prefix()), ip.prefix() == 128),
    };
    let Ok(subnet) = subnet else { return Ok(None) };
    if is_single || !link.up {
        return Ok(None);
    }
    let family = if subnet.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let routes = handle.routes_in(family, ALL_TABLES, Some(link.index))?;
    let leads_there = |way: &Way| {
        let key = Key::read(&way.route);
        way.route.header.kind == RouteType::Unicast
            && (key.dst, key.prefix) == (Some(subnet.ip()), subnet.prefix())
            && (key.oif, key.via) == (Some(link.index), None)
    };
    if routes.iter().flat_map(Way::all_of).any(|way| leads_there(&way)) {
        return Ok(None);
    }
    let route = Route { protocol: Some(KERNEL), ..Route::new(&link.name, subnet) };
    Ok(Some(match subnet {
        IpNetwork::V4(_) => Route { scope: Some(LINK), src: Some(address.ip()), ..route },
        IpNetwork::V6(_) => Route { priority: METRIC_OF_IPV6, ..route },
    }))
}
