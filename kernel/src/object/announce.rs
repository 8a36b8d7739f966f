use serde::{Deserialize, Serialize};

use super::{At, Kind, Place};
use crate::error::Result;
use crate::link;
use crate::owner::Mac;

/// Tells the neighbours of a link which MAC its addresses have: gratuitous ARP and unsolicited neighbour
/// advertisements, made by the kernel.
///
/// With `arp_notify` and `ndisc_notify` on, the kernel announces every address when the link's MAC is set, also to
/// the one it has. It announces when the link comes up too, but then a bridge does not yet let the frame through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// The link whose addresses are announced.
    pub link: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Announce {
    fn show(&self, place: Place) -> String {
        format!("{} link set {} address {}", super::ip(place), self.link, self.mac)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let side = at.side()?;
        let index = side.index(&self.link)?;
        let message = link::with_index(index).address(self.mac.0.to_vec()).build();
        side.queue(link::set(format!("announce the addresses of {}", self.link), message));
        Ok(())
    }

    fn diff(&self, _at: &mut At<'_>) -> Result<Vec<String>> {
        Ok(vec![])
    }
}
