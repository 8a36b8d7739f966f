use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo, ip};
use crate::error::Result;
use crate::link;

/// A link that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// Its name.
    pub link: String,
}

impl Up {
    /// The link of a name, up.
    pub fn of(link: &str) -> Up {
        Up { link: link.to_owned() }
    }
}

impl Kind for Up {
    fn show(&self, place: Place) -> String {
        format!("{} link set {} up", ip(place), self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        // Somebody else's link that was down goes down again, should a later step fail.
        if at.is_shared() && at.side()?.unchanged(&self.link)?.up {
            return Ok(());
        } else if at.is_shared() {
            at.undo.push(Undo::SharedUp(self.link.clone()));
        }
        let side = at.side()?;
        let index = side.index(&self.link)?;
        let message = link::with_index(index).up().build();
        side.queue(link::set(format!("set {} up", self.link), message));
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        Ok(match at.side()?.link(&self.link)? {
            Some(link) if !link.up => vec![format!("interface {} is down", self.link)],
            // That it is gone is the difference of the object that made it.
            _ => vec![],
        })
    }
}
