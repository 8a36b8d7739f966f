use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteMetric, RouteType};
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, ip};
use crate::error::Result;
use crate::link::{self, Link};
use crate::rtnl::{Message, Request};
use crate::side::Side;

/// The most that may leave a link in one packet: neither the link nor a route over it may have a larger MTU. Smaller ones
/// stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mtu {
    /// The link's name.
    pub link: String,
    /// The most, in bytes.
    pub most: u32,
}

impl Kind for Mtu {
    fn show(&self, place: Place) -> String {
        format!("{} link set {} mtu {} # if it is larger", ip(place), self.link, self.most)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let side = at.side()?;
        let link = side.existing(&self.link)?;
        for route in self.too_large(side, &link)? {
            let action = format!("lower the MTU of a route over {}", self.link);
            let message = Message::NewRoute(self.lowered(route));
            side.queue(Request::new(action, NLM_F_CREATE | NLM_F_REPLACE, message));
        }
        if link.mtu > self.most {
            let message = link::with_index(link.index).mtu(self.most).build();
            side.queue(link::set(format!("set the MTU of {}", self.link), message));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let side = at.side()?;
        // That a link is gone is the difference of the object that made it.
        let Some(link) = side.link(&self.link)? else { return Ok(vec![]) };
        let mut differences = Vec::new();
        if link.mtu > self.most {
            differences.push(format!(
                "interface {} has the MTU {}, and {} is the most that fits",
                self.link, link.mtu, self.most
            ));
        }
        for route in self.too_large(side, &link)? {
            differences.push(format!(
                "a route over {} has the MTU {}, and {} is the most that fits",
                self.link,
                mtu_of(&route),
                self.most
            ));
        }
        Ok(differences)
    }
}

impl Mtu {
    /// The routes over the link with a larger MTU.
    fn too_large(&self, side: &mut Side, link: &Link) -> Result<Vec<RouteMessage>> {
        let is_over = |route: &&RouteMessage| {
            route.header.kind == RouteType::Unicast
                && route.attributes.contains(&RouteAttribute::Oif(link.index))
                && mtu_of(route) > self.most
        };
        Ok(side.routes()?.iter().filter(is_over).cloned().collect())
    }

    /// The same route, with the MTU that fits and without what the kernel only tells.
    fn lowered(&self, mut route: RouteMessage) -> RouteMessage {
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
                    *mtu = self.most;
                }
            }
        }
        route
    }
}

/// The MTU that a route names; 0 if it names none.
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
