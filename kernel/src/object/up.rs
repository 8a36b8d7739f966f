use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo, ip};
use crate::error::Result;
use crate::link;
use crate::rtnl::Request;
use crate::side::Side;

/// How long to wait for a link with the same MAC that may be on its way out.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before the next try: nobody tells when a namespace without a name has gone.
const PAUSE: Duration = Duration::from_millis(5);

/// A link that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// Its name.
    pub link: String,
    /// Whether to wait while another link of the same parent has its MAC: that of a container with the same one, whose
    /// namespace was deleted, lives until the kernel has got round to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

impl Up {
    /// The link of a name, up.
    pub fn of(link: &str) -> Up {
        Up { link: link.to_owned(), waits: false }
    }

    fn wait(&self, side: &mut Side, index: u32) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match side.now(self.request(index)) {
                Err(error)
                    if error.errno == Errno::EADDRINUSE as i32 && Instant::now() < deadline =>
                {
                    thread::sleep(PAUSE);
                }
                result => return result,
            }
        }
    }

    fn request(&self, index: u32) -> Request {
        link::set(format!("set {} up", self.link), link::with_index(index).up().build())
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
        if self.waits {
            return self.wait(side, index);
        }
        side.queue(self.request(index));
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
