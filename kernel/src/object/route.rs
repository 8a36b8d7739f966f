use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use rtnetlink::RouteMessageBuilder;
use serde::Serialize;

use super::way::Way;
use super::{At, Kind, Mode, Place, ip};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::rtnl::{Message, Request};

/// A route over a link (`ip route`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// The outgoing link.
    pub link: String,
    /// The destination.
    pub dst: IpNetwork,
    /// The next hop; `None` if the destination is on the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The MTU in bytes; 0 uses the link's.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The TCP MSS to announce, in bytes; 0 leaves it to the kernel.
    #[serde(skip_serializing_if = "is_zero")]
    pub advmss: u32,
    /// The metric; 0 leaves it to the kernel.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// The routing table; `None` for the main one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The scope: 0 global, 253 link, 254 host; `None` for global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
    /// The source address of packets that this namespace itself sends by the route; `None` leaves
    /// it to the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// The next hop counts as reachable over the link, whatever the addresses say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// The program that created it (`/etc/iproute2/rt_protos`): [`Route::PROTOCOL`] for this suite.
    /// `None` is "boot", as for routes created by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
}

impl Route {
    /// The default table of a route (`/etc/iproute2/rt_tables`).
    pub(crate) const MAIN: u32 = 254;

    /// The protocol number of routes that outlive the link of one attachment. It distinguishes them
    /// from other programs' routes.
    pub const PROTOCOL: u8 = 226;

    /// A route to `dst` over `link` without further attributes.
    pub fn new(link: impl Into<String>, dst: IpNetwork) -> Route {
        Route {
            link: link.into(),
            dst,
            via: None,
            mtu: 0,
            advmss: 0,
            priority: 0,
            table: None,
            scope: None,
            src: None,
            onlink: false,
            protocol: None,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Kind for Route {
    fn name(&self) -> &'static str {
        "route"
    }

    fn show(&self, place: Place) -> String {
        let mut line = format!("{} route add {}", ip(place), self.named());
        for (what, value) in [("mtu", self.mtu), ("advmss", self.advmss), ("metric", self.priority)]
        {
            if value != 0 {
                line += &format!(" {what} {value}");
            }
        }
        if let Some(scope) = self.scope {
            line += &match scope {
                253 => " scope link".to_owned(),
                254 => " scope host".to_owned(),
                other => format!(" scope {other}"),
            };
        }
        if let Some(src) = self.src {
            line += &format!(" src {src}");
        }
        if let Some(protocol) = self.protocol {
            line += &format!(" proto {protocol}");
        }
        if self.onlink {
            line += " onlink";
        }
        line
    }

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        if at.mode == Mode::Repair {
            return self.repair(at);
        }
        // A route of another interface may lead to the same destination. Then this one precedes it,
        // as with `ip route prepend`; for IPv6 it becomes another next hop.
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        let request = self.request(index, 0)?;
        handle.queue(request);
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.handle()?.link(&self.link)? else { return Ok(vec![]) };
        let wanted = self.message(link.index)?;
        let ways = self.ways(at.handle()?, &wanted, Some(link.index))?;
        Ok(match ways.iter().find(|way| self.is_same_place(&wanted, &way.route)) {
            None => vec![format!("route {} is gone", self.named())],
            Some(way) => self.diff_details(way),
        })
    }
}

impl Route {
    /// Repairs this next hop, and does not change other next hops to the same destination.
    fn repair(&self, at: &mut At<'_>) -> Result<()> {
        let steps = at.steps;
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        let wanted = self.message(index)?;
        let ways = self.ways(handle, &wanted, None)?;
        let ours = ways.iter().find(|way| self.is_same_place(&wanted, &way.route));
        if ours.is_some_and(|way| self.diff_details(way).is_empty()) {
            return Ok(());
        }
        let priority = match ours {
            Some(way) => Key::read(&way.route).priority,
            None => self.metric(),
        };
        let same: Vec<&Way> =
            ways.iter().filter(|way| Key::read(&way.route).priority == priority).collect();
        // If the same link has one other next hop to the destination, an operator changed it,
        // unless the plan contains it too.
        let is_of_plan = |way: &Way| {
            let routes = steps.iter().filter_map(|step| step.of_kind::<Route>());
            let routes = routes.filter(|route| route.link == self.link && *route != self);
            let mut messages = routes.filter_map(|route| Some((route, route.message(index).ok()?)));
            messages.any(|(route, message)| route.is_same_place(&message, &way.route))
        };
        let is_wrong = |way: &&&Way| {
            let is_alike = way.route.header.protocol == wanted.header.protocol;
            is_alike && Key::read(&way.route).oif == Some(index) && !is_of_plan(way)
        };
        let wrong: Vec<&&Way> = same.iter().filter(is_wrong).collect();
        if same.len() == 1 && wrong.len() == 1 {
            handle.queue(self.request(index, NLM_F_REPLACE)?);
            return Ok(());
        }
        // Replacing one of several next hops replaces all of them for IPv6, and any of them for
        // IPv4.
        wrong.iter().for_each(|way| handle.queue(delete(way.route.clone())));
        handle.queue(self.request(index, 0)?);
        Ok(())
    }

    pub(super) fn request(&self, index: u32, flags: u16) -> Result<Request> {
        let message = Message::NewRoute(self.message(index)?);
        let action = format!("add the route {}", self.named());
        let request = Request::new(action, NLM_F_CREATE | flags, message);
        Ok(request.tolerate(&[nix::libc::EEXIST]))
    }

    /// The metric that the kernel uses for the route.
    fn metric(&self) -> u32 {
        /// `IP6_RT_PRIO_USER` (`include/uapi/linux/ipv6_route.h`).
        const OF_IPV6: u32 = 1024;
        match (self.priority, self.dst) {
            (0, IpNetwork::V6(_)) => OF_IPV6,
            (priority, _) => priority,
        }
    }

    /// The next hops to this destination in the route's table, over `link` if it is given.
    fn ways(
        &self,
        handle: &mut Handle,
        wanted: &RouteMessage,
        over: Option<u32>,
    ) -> Result<Vec<Way>> {
        let table = self.table.unwrap_or(Route::MAIN);
        let routes = handle.routes_in(wanted.header.address_family, table, over)?;
        let key = Key::read(wanted);
        let mut ways: Vec<Way> = routes.iter().flat_map(Way::all_of).collect();
        ways.retain(|way| {
            let found = Key::read(&way.route);
            way.route.header.kind == RouteType::Unicast
                && (found.dst, found.prefix, found.table) == (key.dst, key.prefix, key.table)
        });
        Ok(ways)
    }

    /// Destination, next hop, link and table, which identify a route.
    pub(super) fn named(&self) -> String {
        let dst = if self.dst.prefix() == 0 { "default".to_owned() } else { self.dst.to_string() };
        let via = self.via.map_or_else(String::new, |via| format!(" via {via}"));
        let table = self.table.map_or_else(String::new, |table| format!(" table {table}"));
        format!("{dst}{via} dev {}{table}", self.link)
    }

    pub(super) fn message(&self, index: u32) -> Result<RouteMessage> {
        let wrong = |error: &dyn std::fmt::Display| {
            Error::found(format!("add the route {}", self.named()), error.to_string())
        };
        // The kernel refuses a destination with host bits.
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .destination_prefix(self.dst.network(), self.dst.prefix())
            .map_err(|error| wrong(&error))?
            .output_interface(index)
            .table_id(self.table.unwrap_or(Route::MAIN))
            .protocol(self.protocol.map_or(RouteProtocol::Boot, RouteProtocol::from))
            .scope(RouteScope::from(self.scope.unwrap_or_default()))
            .kind(RouteType::Unicast);
        if let Some(via) = self.via {
            builder = builder.gateway(via).map_err(|error| wrong(&error))?;
        }
        if let Some(src) = self.src {
            builder = builder.pref_source(src).map_err(|error| wrong(&error))?;
        }
        if self.priority != 0 {
            builder = builder.priority(self.priority);
        }
        let mut message = builder.build();
        if self.onlink {
            message.header.flags |= RouteFlags::Onlink;
        }
        let mut metrics = Vec::new();
        if self.mtu != 0 {
            metrics.push(RouteMetric::Mtu(self.mtu));
        }
        if self.advmss != 0 {
            metrics.push(RouteMetric::Advmss(self.advmss));
        }
        if !metrics.is_empty() {
            message.attributes.push(RouteAttribute::Metrics(metrics));
        }
        Ok(message)
    }

    /// Whether a route from the kernel is the wanted one, apart from its metrics.
    fn is_same_place(&self, wanted: &RouteMessage, found: &RouteMessage) -> bool {
        let (wanted, found_key) = (Key::read(wanted), Key::read(found));
        found.header.kind == RouteType::Unicast
            && wanted.with_priority(self.priority)
                == found_key.with_priority(if self.priority == 0 { 0 } else { found_key.priority })
    }

    /// The differences of a route to the right destination.
    fn diff_details(&self, way: &Way) -> Vec<String> {
        if !way.is_detailed {
            return Vec::new();
        }
        let route = &way.route;
        let metrics = route.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Metrics(metrics) => Some(metrics.as_slice()),
            _ => None,
        });
        let (mut mtu, mut advmss) = (0, 0);
        for metric in metrics.unwrap_or_default() {
            match metric {
                RouteMetric::Mtu(value) => mtu = *value,
                RouteMetric::Advmss(value) => advmss = *value,
                _ => {}
            }
        }
        let mut differences = Vec::new();
        for (what, wanted, now) in [("mtu", self.mtu, mtu), ("advmss", self.advmss, advmss)] {
            if wanted != 0 && wanted != now {
                differences.push(format!(
                    "route {} has the {what} {now} instead of {wanted}",
                    self.named()
                ));
            }
        }
        let src = source(route);
        if let Some(wanted) = self.src.filter(|wanted| Some(*wanted) != src) {
            let now = src.map_or_else(|| "none".to_owned(), |src| src.to_string());
            differences
                .push(format!("route {} has the source {now} instead of {wanted}", self.named()));
        }
        differences
    }
}

/// The attributes that identify a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    family: u8,
    pub(crate) dst: Option<IpAddr>,
    pub(crate) prefix: u8,
    pub(crate) via: Option<IpAddr>,
    pub(crate) oif: Option<u32>,
    pub(crate) table: u32,
    pub(crate) priority: u32,
}

impl Key {
    pub(crate) fn read(message: &RouteMessage) -> Key {
        let header = &message.header;
        let mut key = Key {
            family: header.address_family.into(),
            dst: None,
            prefix: header.destination_prefix_length,
            via: None,
            oif: None,
            table: header.table.into(),
            priority: 0,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(dst) if key.prefix != 0 => key.dst = as_ip(dst),
                RouteAttribute::Gateway(via) => key.via = as_ip(via),
                RouteAttribute::Oif(index) => key.oif = Some(*index),
                RouteAttribute::Table(table) => key.table = *table,
                RouteAttribute::Priority(priority) => key.priority = *priority,
                _ => {}
            }
        }
        key
    }

    fn with_priority(self, priority: u32) -> Key {
        Key { priority, ..self }
    }
}

/// The source address of packets that the namespace itself sends by a route, if the route has one.
pub(crate) fn source(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(source) => as_ip(source),
        _ => None,
    })
}

/// Destination and next hop of a route from the kernel.
pub(crate) fn shown(route: &RouteMessage) -> String {
    let key = Key::read(route);
    let dst = key.dst.map_or_else(|| "default".to_owned(), |dst| format!("{dst}/{}", key.prefix));
    key.via.map_or_else(|| dst.clone(), |via| format!("{dst} via {via}"))
}

/// `ip route del ...`, for a route from the kernel.
pub(crate) fn delete(route: RouteMessage) -> Request {
    let action = format!("remove the route {}", shown(&route));
    let mut asked = RouteMessage::default();
    asked.header = route.header;
    asked.header.flags = RouteFlags::empty();
    asked.attributes = route.attributes;
    // Keeps the attributes that identify the route, without those that the kernel only reports.
    asked.attributes.retain(|attribute| {
        matches!(
            attribute,
            RouteAttribute::Destination(_)
                | RouteAttribute::Gateway(_)
                | RouteAttribute::Oif(_)
                | RouteAttribute::Priority(_)
                | RouteAttribute::Table(_)
        )
    });
    Request::new(action, 0, Message::DelRoute(asked)).tolerate(&[nix::libc::ESRCH])
}

fn as_ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}
