use netlink_packet_route::link::InfoBridgePort;
use rtnetlink::LinkBridgePort;
use serde::Serialize;

use super::{At, Kind, Place};
use crate::error::Result;
use crate::link;

/// The settings of a link as the port of a bridge (`bridge link set`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The link that is the port.
    pub link: String,
    /// Whether frames may leave through the port they came in by. This lets a container reach
    /// itself through a service.
    pub hairpin: bool,
    /// Whether the port can reach only the host and ports that are not isolated.
    pub isolated: bool,
}

impl Kind for Port {
    fn name(&self) -> &'static str {
        "port"
    }

    fn show(&self, _place: Place) -> String {
        let on = |flag| if flag { "on" } else { "off" };
        format!(
            "bridge link set dev {} hairpin {} isolated {}",
            self.link,
            on(self.hairpin),
            on(self.isolated)
        )
    }

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        let message = LinkBridgePort::new(index)
            .append_info_data(InfoBridgePort::HairpinMode(self.hairpin))
            .append_info_data(InfoBridgePort::Isolated(self.isolated))
            .build();
        handle.queue(link::set(
            format!("set hairpin and isolation of the port {}", self.link),
            message,
        ));
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.handle()?.link(&self.link)? else { return Ok(vec![]) };
        if link.master.is_none() {
            return Ok(vec![]);
        }
        let on = |flag| if flag { "on" } else { "off" };
        let mut differences = Vec::new();
        for (what, wanted, now) in [
            ("hairpin mode", self.hairpin, link.hairpin),
            ("isolation", self.isolated, link.isolated),
        ] {
            if wanted != now {
                differences.push(format!(
                    "{what} of the port {} is {} instead of {}",
                    self.link,
                    on(now),
                    on(wanted)
                ));
            }
        }
        Ok(differences)
    }
}
