use netlink_packet_route::route::{RouteAttribute, RouteMessage};

/// One next hop of a route, as a separate route.
///
/// The kernel joins IPv6 routes over gateways with the same destination and metric into one with
/// several next hops (`nexthop` in `ip -6 route show`), whichever program created them: for example
/// the default routes of a container's two networks.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The route with only this next hop.
    pub(super) route: RouteMessage,
    /// Whether the route's metrics and source are known to be those of this next hop: the kernel
    /// reports them only for the first one.
    pub(super) is_detailed: bool,
}

impl Way {
    /// All next hops of a route as the kernel reported it.
    pub(super) fn all_of(route: &RouteMessage) -> Vec<Way> {
        let hops = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops),
            _ => None,
        });
        let Some(hops) = hops else {
            return vec![Way { route: route.clone(), is_detailed: true }];
        };
        let mut ways = Vec::with_capacity(hops.len());
        for hop in hops {
            let mut way = RouteMessage::default();
            way.header = route.header.clone();
            way.attributes = route.attributes.clone();
            way.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::MultiPath(_)));
            way.attributes.push(RouteAttribute::Oif(hop.interface_index));
            way.attributes.extend(hop.attributes.iter().cloned());
            ways.push(Way { route: way, is_detailed: ways.is_empty() });
        }
        ways
    }
}
