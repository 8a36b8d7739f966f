use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo};
use crate::error::Result;
use crate::nft;
use crate::owner::Mac;

/// Lets through a bridge port only frames with the container's own source MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// The link that is the port.
    pub port: String,
    /// The only MAC address that may send.
    pub mac: Mac,
}

impl Kind for Guard {
    fn show(&self, _place: Place) -> String {
        nft::show_guard(&self.port, self.mac).join(" && ")
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.sides.flush()?;
        at.undo.push(Undo::Step(at.place, Box::new(self.clone().into())));
        let tag = at.owner.tag();
        at.sides.nft()?.guard(&tag, &self.port, self.mac).map(drop)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let tag = at.owner.tag();
        at.sides.nft()?.guard_differences(&tag, &self.port, self.mac)
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let tag = at.owner.tag();
        at.sides.nft()?.unguard(&tag, &self.port).map(drop)
    }
}
