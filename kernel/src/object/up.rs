use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::link::InfoKind;
use nix::errno::Errno;
use serde::Serialize;

use super::{At, Kind, Place, ip};
use crate::error::Result;
use crate::link;
use crate::netnsid;
use crate::rtnl::Request;

/// How long to wait for a link with the same MAC address before checking whether a live container
/// has it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before the next try: the kernel does not notify of the end of a namespace without a
/// name.
const PAUSE: Duration = Duration::from_millis(5);

/// A link that is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Up {
    /// Its name.
    pub link: String,
    /// Whether to wait while another link of the same parent has its MAC address. The link of a
    /// former container with the same address exists until the kernel has deleted its namespace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

impl Up {
    /// The link with this name, up.
    pub fn of(link: &str) -> Up {
        Up { link: link.to_owned(), waits: false }
    }

    /// The kernel deletes a namespace without a name some time later: after 20 ms on an idle host,
    /// after many seconds if hundreds end at once. So only a link of a live container ends the wait
    /// early.
    fn wait(&self, at: &mut At<'_>, index: u32) -> Result<()> {
        let end = at.handles.patience();
        let mut look = (Instant::now() + PATIENCE).min(end);
        loop {
            let error = match at.handle()?.now(self.request(index)) {
                Err(error) if error.errno == Errno::EADDRINUSE as i32 => error,
                result => return result,
            };
            let now = Instant::now();
            if now < look {
                thread::sleep(PAUSE);
                continue;
            }
            if let Some(holder) = self.holder(at)? {
                return Err(error.said(format!("{holder} has the same MAC address")).hint(
                    format!("Give one of the two another MAC address, or remove {holder}."),
                ));
            }
            if now >= end {
                return Err(error.hint(
                    "Find the interface of the same parent that has this MAC address, and remove \
                     it or change its address.",
                ));
            }
            look = (now + PATIENCE).min(end);
        }
    }

    /// The attachment in a live namespace whose link has this MAC address, by its alias. It is this
    /// attachment itself if an earlier ADD created it in another namespace. The link of this call
    /// is not up.
    fn holder(&self, at: &mut At<'_>) -> Result<Option<String>> {
        let ours = at.handle()?.existing(&self.link)?;
        let links = netnsid::links(&mut at.handles.host, Some(&InfoKind::MacVlan))?;
        let mut holders = links
            .into_iter()
            .map(|(_, link)| link)
            .filter(|link| link.mac == ours.mac && link.peer == ours.peer && link.up);
        Ok(holders.next().map(|link| match link.alias.is_empty() {
            true => format!("the interface {} of another container", link.name),
            false => link.alias,
        }))
    }

    fn request(&self, index: u32) -> Request {
        link::set(format!("set {} up", self.link), link::with_index(index).up().build())
    }
}

impl Kind for Up {
    fn name(&self) -> &'static str {
        "up"
    }

    fn show(&self, place: Place) -> String {
        format!("{} link set {} up", ip(place), self.link)
    }

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        // Another program's link that was down is set down again if a later step fails.
        if at.is_shared() && at.handle()?.unchanged(&self.link)?.up {
            return Ok(());
        } else if at.is_shared() {
            at.undo_shared(&self.link, |host, link| host.now(link::down(link)));
        }
        let index = at.handle()?.index(&self.link)?;
        if self.waits {
            return self.wait(at, index);
        }
        let handle = at.handle()?;
        handle.queue(self.request(index));
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        Ok(match at.handle()?.link(&self.link)? {
            Some(link) if !link.up => vec![format!("interface {} is down", self.link)],
            // The object that creates the link reports that it is missing.
            _ => vec![],
        })
    }
}
