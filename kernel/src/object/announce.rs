use serde::Serialize;

use super::{At, Kind, Place};
use crate::error::Result;
use crate::link;
use crate::owner::Mac;

/// Announces a link's addresses and MAC address to its neighbours: gratuitous ARP and unsolicited
/// neighbour advertisements, sent by the kernel.
///
/// With `arp_notify` and `ndisc_notify` on, the kernel announces every address when the link's MAC
/// address is set, even to its current value. It also announces them when the link comes up, but
/// then a bridge does not forward the frame yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Announce {
    /// The link whose addresses are announced.
    pub link: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Announce {
    fn name(&self) -> &'static str {
        "announce"
    }

    fn show(&self, place: Place) -> String {
        format!("{} link set {} address {}", super::ip(place), self.link, self.mac)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        let message = link::with_index(index).address(self.mac.0.to_vec()).build();
        handle.queue(link::set(format!("announce the addresses of {}", self.link), message));
        Ok(())
    }

    fn diff(&self, _at: &mut At<'_>) -> Result<Vec<String>> {
        Ok(vec![])
    }

    /// This is an action that leaves no state.
    fn is_there(&self, _at: &mut At<'_>) -> bool {
        false
    }
}
