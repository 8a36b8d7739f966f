mod ports;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteType};
use serde::Serialize;

use super::{At, Kind, Mode, Place, ip};
use crate::error::Result;
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::rtnl::{Message, Request};

pub(crate) use ports::of_network as ports_of_network;

/// The maximum MTU of a link: neither the link nor a route over it may have a larger one.
///
/// The original MTU is kept in the link's alias, so that the link's MTU can rise again when the
/// maximum does, but never above the original. The MTU of a link with an unrelated alias is only
/// lowered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mtu {
    /// The link's name.
    pub link: String,
    /// The maximum in bytes.
    pub most: u32,
    /// Whether the MTU is exactly that: the link is one end of a veth pair, and the other end's
    /// alias keeps the original MTU of both.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub exact: bool,
    /// Whether the link is a bridge on which a repair adjusts all containers of the network: frames
    /// that are larger than the MTU of a container's link are lost without an error.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub with_ports: bool,
}

impl Kind for Mtu {
    fn name(&self) -> &'static str {
        "mtu"
    }

    fn show(&self, place: Place) -> String {
        format!("{} link set {} mtu {} # if it is larger", ip(place), self.link, self.most)
    }

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let (network, mode) = (at.owner.network.clone(), at.mode);
        let keeps_alias = at.is_shared() || at.place == Place::Pod;
        let handle = at.handle()?;
        let link = handle.existing(&self.link)?;
        if self.with_ports && mode == Mode::Repair && link.mtu != self.wanted(&link) {
            ports::fit(handle, &link, &network, self.wanted(&link))?;
        }
        self.fit(handle, &link, keeps_alias)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let handle = at.handle()?;
        // The object that creates the link reports that it is missing.
        let Some(link) = handle.link(&self.link)? else { return Ok(vec![]) };
        let (now, wanted) = (link.mtu, self.wanted(&link));
        let mut differences = Vec::new();
        if now > wanted {
            differences.push(format!(
                "interface {} has the MTU {now}, and {wanted} is the most that fits",
                self.link
            ));
        } else if now < wanted {
            differences
                .push(format!("interface {} has the MTU {now} instead of {wanted}", self.link));
        }
        for route in too_large(handle, &link, wanted)? {
            differences.push(format!(
                "a route over {} has the MTU {}, and {wanted} is the most that fits",
                self.link,
                mtu_of(&route),
            ));
        }
        Ok(differences)
    }
}

impl Mtu {
    /// At most this, for a link that is not a bridge and may have been created with a smaller MTU.
    pub fn at_most(link: impl Into<String>, most: u32) -> Mtu {
        Mtu { link: link.into(), most, exact: false, with_ports: false }
    }

    /// The MTU that a link should have.
    pub(crate) fn wanted(&self, link: &Link) -> u32 {
        if self.exact { self.most } else { link.original_mtu().min(self.most) }
    }

    /// Sets the MTU of the link and its routes, and the alias that keeps the original. A bridge
    /// always gets the alias, which shows that the network's containers on it have its MTU.
    pub(crate) fn fit(&self, handle: &mut Handle, link: &Link, keeps_alias: bool) -> Result<()> {
        let (original, wanted) = (link.original_mtu(), self.wanted(link));
        for route in too_large(handle, link, wanted)? {
            let action = format!("lower the MTU of a route over {}", self.link);
            let message = Message::NewRoute(lowered(route, wanted));
            handle.queue(Request::new(action, NLM_F_CREATE | NLM_F_REPLACE, message));
        }
        let alias = match wanted < original || self.with_ports {
            true => link::alias_of_mtu(original),
            false => String::new(),
        };
        let is_free = link.alias.is_empty() || link.is_fitted();
        let is_new = keeps_alias && !self.exact && is_free && link.alias != alias;
        if link.mtu != wanted || is_new {
            let mut message = link::with_index(link.index).mtu(wanted);
            if is_new {
                message = message.alias(alias);
            }
            handle.queue(link::set(format!("set the MTU of {}", self.link), message.build()));
        }
        Ok(())
    }
}

/// The routes over the link with a larger MTU.
fn too_large(handle: &mut Handle, link: &Link, most: u32) -> Result<Vec<RouteMessage>> {
    let is_over = |route: &&RouteMessage| {
        route.header.kind == RouteType::Unicast
            && route.attributes.contains(&RouteAttribute::Oif(link.index))
            && mtu_of(route) > most
    };
    Ok(handle.routes()?.iter().filter(is_over).cloned().collect())
}

/// The same route with the given MTU, without the attributes that the kernel only reports.
fn lowered(mut route: RouteMessage, most: u32) -> RouteMessage {
    route.attributes.retain(|attribute| {
        matches!(
            attribute,
            RouteAttribute::Destination(_)
                | RouteAttribute::Gateway(_)
                | RouteAttribute::Oif(_)
                | RouteAttribute::PrefSource(_)
                | RouteAttribute::Priority(_)
                | RouteAttribute::Table(_)
                | RouteAttribute::Metrics(_)
        )
    });
    for attribute in &mut route.attributes {
        let RouteAttribute::Metrics(metrics) = attribute else { continue };
        for metric in metrics {
            if let RouteMetric::Mtu(mtu) = metric {
                *mtu = most;
            }
        }
    }
    route
}

/// The MTU in a route; 0 if it has none.
pub(crate) fn mtu_of(route: &RouteMessage) -> u32 {
    let metrics = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => Some(metrics.as_slice()),
        _ => None,
    });
    let mtu = metrics.unwrap_or_default().iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    });
    mtu.unwrap_or_default()
}
