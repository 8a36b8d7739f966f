use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteFlags, RouteMessage, RouteProtocol, RouteType};
use serde::{Deserialize, Serialize};

use super::route::{Key, delete, shown};
use super::{At, Kind, Place, Route};
use crate::error::Result;
use crate::owner::Owner;
use crate::rtnl::{Message, Request};
use crate::side::{Side, Sides};

/// All IPv4 routes of a network to other machines: those that are listed, and no others.
///
/// They are told from everybody else's by their protocol, [`Route::PROTOCOL`], and from other networks' by their metric,
/// [`Owner::group`]. They belong to the network, not to one attachment: a failed ADD takes none back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSet {
    /// The network they belong to.
    pub network: String,
    /// The routes, each with the protocol and the metric of [`RouteSet::route`].
    pub routes: Vec<Route>,
}

impl RouteSet {
    /// The marks of a network's routes on a route.
    pub fn route(network: &str, route: Route) -> Route {
        let protocol = Some(Route::PROTOCOL);
        Route { protocol, priority: Owner::group(network), ..route }
    }
}

impl Kind for RouteSet {
    fn show(&self, place: Place) -> String {
        let lines: Vec<String> = self.routes.iter().map(|route| route.show(place)).collect();
        match lines.is_empty() {
            false => lines.join(" && ").replace(" route add ", " route replace "),
            true => format!(
                "ip route show proto {} metric {} # none",
                Route::PROTOCOL,
                Owner::group(&self.network)
            ),
        }
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let side = at.side()?;
        let changes = self.compare(side)?;
        for (route, message) in changes.missing.into_iter().chain(changes.wrong) {
            let action = format!("set the route {}", route.named());
            let flags = NLM_F_CREATE | NLM_F_REPLACE;
            side.queue(Request::new(action, flags, Message::NewRoute(message)));
        }
        changes.surplus.into_iter().for_each(|route| side.queue(delete(route)));
        side.flush()
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let changes = self.compare(at.side()?)?;
        let mut differences = Vec::new();
        for (route, _) in changes.missing {
            differences.push(format!("route {} is gone", route.named()));
        }
        for (route, _) in changes.wrong {
            differences.push(format!("route {} leads elsewhere", route.named()));
        }
        for route in changes.surplus {
            differences.push(format!("route {} is left over", shown(&route)));
        }
        for (route, by) in changes.shadowed {
            differences.push(format!(
                "route {} has no effect: another one to {} has the lower metric {by}",
                route.named(),
                route.dst
            ));
        }
        Ok(differences)
    }
}

/// What is different of a network's routes.
#[derive(Debug, Default)]
struct Changes<'a> {
    missing: Vec<(&'a Route, RouteMessage)>,
    wrong: Vec<(&'a Route, RouteMessage)>,
    surplus: Vec<RouteMessage>,
    /// Routes that another one keeps from being used, and its metric.
    shadowed: Vec<(&'a Route, u32)>,
}

impl RouteSet {
    /// Compares with the kernel's routes, which are read once.
    fn compare(&self, side: &mut Side) -> Result<Changes<'_>> {
        let mut changes = Changes::default();
        let mut wanted = Vec::with_capacity(self.routes.len());
        for route in &self.routes {
            match side.index(&route.link) {
                Ok(index) => wanted.push((route, route.message(index)?)),
                // That the link is gone is the difference of the object that makes it.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        let priority = Owner::group(&self.network);
        let routes = side.routes()?;
        let mut theirs = std::collections::HashMap::new();
        let mut ours = std::collections::HashMap::new();
        for route in routes.iter().filter(|route| is_in_main(route)) {
            let key = Key::read(route);
            let place = (key.dst, key.prefix);
            if is_of(route, priority) {
                // Of several to the same place the first counts; the others are left over.
                if let Some(again) = ours.insert(place, route) {
                    ours.insert(place, again);
                    changes.surplus.push(route.clone());
                }
            } else if key.priority < priority {
                let lowest = theirs.entry(place).or_insert(key.priority);
                *lowest = key.priority.min(*lowest);
            }
        }
        for (route, message) in wanted {
            let key = Key::read(&message);
            let place = (key.dst, key.prefix);
            if let Some(metric) = theirs.get(&place) {
                changes.shadowed.push((route, *metric));
            }
            match ours.remove(&place) {
                None => changes.missing.push((route, message)),
                Some(found) if is_same(&message, found) => {}
                Some(_) => changes.wrong.push((route, message)),
            }
        }
        changes.surplus.extend(ours.into_values().cloned());
        Ok(changes)
    }
}

/// Whether a route is one that packets to other machines take by default.
fn is_in_main(route: &RouteMessage) -> bool {
    route.header.address_family == AddressFamily::Inet
        && route.header.kind == RouteType::Unicast
        && Key::read(route).table == Route::MAIN
}

/// Whether a route is one of ours, of the network with this metric.
fn is_of(route: &RouteMessage, priority: u32) -> bool {
    route.header.protocol == RouteProtocol::from(Route::PROTOCOL)
        && Key::read(route).priority == priority
}

fn is_same(wanted: &RouteMessage, found: &RouteMessage) -> bool {
    let onlink = |route: &RouteMessage| route.header.flags.contains(RouteFlags::Onlink);
    Key::read(wanted) == Key::read(found) && onlink(wanted) == onlink(found)
}

/// GC: removes the routes of a network.
pub(crate) fn collect(sides: &mut Sides, network: &str) -> Result<()> {
    let none = RouteSet { network: network.to_owned(), routes: Vec::new() };
    let surplus = none.compare(&mut sides.host)?.surplus;
    surplus.into_iter().for_each(|route| sides.host.queue(delete(route)));
    sides.host.flush()
}
