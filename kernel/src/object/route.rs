use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use rtnetlink::RouteMessageBuilder;
use serde::{Deserialize, Serialize};

use super::{At, Kind, Mode, Place, ip};
use crate::error::{Error, Result};
use crate::rtnl::{Message, Request};

/// A route over a link (`ip route`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The link it leads out of.
    pub link: String,
    /// Where it leads.
    pub dst: IpNetwork,
    /// The next hop; none if the destination is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The largest packet in bytes; 0 leaves it to the link.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The TCP segment size to announce, in bytes; 0 leaves it to the kernel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advmss: u32,
    /// The metric; 0 leaves it to the kernel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// The routing table; none is the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The scope: 0 global, 253 link, 254 host; none is global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
    /// The source address of what this namespace itself sends this way; none leaves it to the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// The next hop counts as reachable over the link, whatever the addresses say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// Who made it (`/etc/iproute2/rt_protos`): ours are [`Route::PROTOCOL`]. None is "boot", as routes made by hand
    /// have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
}

impl Route {
    /// The table of routes that name none (`/etc/iproute2/rt_tables`).
    pub(crate) const MAIN: u32 = 254;

    /// The protocol number of routes that outlive the link of one attachment: how they are told from everybody else's.
    pub const PROTOCOL: u8 = 226;

    /// A route to `dst` over `link`, and nothing else said.
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

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        // A route of another interface may lead to the same place; then this one comes before it, as `ip route
        // prepend` does. Only a repair replaces.
        let flags =
            if at.mode == Mode::Repair { NLM_F_CREATE | NLM_F_REPLACE } else { NLM_F_CREATE };
        let side = at.side()?;
        let index = side.index(&self.link)?;
        let message = Message::NewRoute(self.message(index)?);
        let request = Request::new(format!("add the route {}", self.named()), flags, message);
        side.queue(request.tolerate(&[nix::libc::EEXIST]));
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.side()?.link(&self.link)? else { return Ok(vec![]) };
        let wanted = self.message(link.index)?;
        let table = self.table.unwrap_or(Route::MAIN);
        let family = wanted.header.address_family;
        let routes = at.side()?.routes_in(family, table, Some(link.index))?;
        Ok(match routes.iter().find(|route| self.is_same_place(&wanted, route)) {
            None => vec![format!("route {} is gone", self.named())],
            Some(route) => self.diff_details(route),
        })
    }
}

impl Route {
    /// Destination, next hop, link and table: what tells one route from another.
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
        // The destination is written without host bits: the kernel refuses them.
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

    /// Whether a route that was read is the wanted one, its metrics aside.
    fn is_same_place(&self, wanted: &RouteMessage, found: &RouteMessage) -> bool {
        let (wanted, found_key) = (Key::read(wanted), Key::read(found));
        found.header.kind == RouteType::Unicast
            && wanted.with_priority(self.priority)
                == found_key.with_priority(if self.priority == 0 { 0 } else { found_key.priority })
    }

    /// What is different of a route that leads to the right place.
    fn diff_details(&self, route: &RouteMessage) -> Vec<String> {
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

/// What tells routes apart.
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

/// The source address of what a namespace itself sends by a route, if the route says one.
pub(crate) fn source(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(source) => as_ip(source),
        _ => None,
    })
}

/// Destination and next hop of a route that was read.
pub(crate) fn shown(route: &RouteMessage) -> String {
    let key = Key::read(route);
    let dst = key.dst.map_or_else(|| "default".to_owned(), |dst| format!("{dst}/{}", key.prefix));
    key.via.map_or_else(|| dst.clone(), |via| format!("{dst} via {via}"))
}

/// `ip route del ...`, for a route that was read.
pub(crate) fn delete(route: RouteMessage) -> Request {
    let action = format!("remove the route {}", shown(&route));
    let mut asked = RouteMessage::default();
    asked.header = route.header;
    asked.header.flags = RouteFlags::empty();
    asked.attributes = route.attributes;
    // What says which one it is, and not what the kernel only tells.
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
