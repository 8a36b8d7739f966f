use std::net::{IpAddr, Ipv6Addr};

use serde::Serialize;

use super::{At, Kind, Place, is_same};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::Link;
use crate::monitor::Monitor;

/// A condition that must hold before the attachment is usable. The wait uses the kernel's
/// notifications.
///
/// The kernel does all of this in work queues that need its one lock on links, which takes seconds
/// on a busy host. So ADD does not fail for a condition that does not hold when the call's waits
/// end (`Handles::patience`): the kernel finishes later, traffic starts then, and until then CHECK
/// names the condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// The link passes packets: it and its other end are up, and the bridge port forwards.
    Running {
        /// The link's name.
        link: String,
    },
    /// Duplicate address detection has finished for all addresses of the link.
    Addresses {
        /// The link's name.
        link: String,
    },
    /// The kernel accepts packets to the addresses. It does so shortly after an IPv6 address was
    /// added, even without duplicate address detection, because a work queue adds the local route.
    Local {
        /// The link's name.
        link: String,
        /// Addresses of the link.
        addresses: Vec<Ipv6Addr>,
    },
}

impl Kind for Wait {
    fn name(&self) -> &'static str {
        "wait"
    }

    fn show(&self, place: Place) -> String {
        let whose = if place == Place::Pod { "the container's " } else { "" };
        match self {
            Wait::Running { link } => {
                format!("# wait until {whose}{link} has a carrier and passes packets")
            }
            Wait::Addresses { link } => {
                format!("# wait until duplicate address detection has finished on {whose}{link}")
            }
            Wait::Local { link, addresses } => {
                let all: Vec<_> = addresses.iter().map(Ipv6Addr::to_string).collect();
                format!(
                    "# wait until the kernel accepts packets to {} on {whose}{link}",
                    all.join(", ")
                )
            }
        }
    }

    fn about(&self) -> Option<&str> {
        Some(self.link())
    }

    fn is_there(&self, at: &mut At<'_>) -> bool {
        let link = at.handle().and_then(|handle| handle.link(self.link())).ok().flatten();
        link.is_some_and(|link| link.up) && is_same(self.diff(at))
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.flush()?;
        if self.is_over(at.handle()?)? {
            return Ok(());
        }
        let deadline = at.handles.patience();
        let mut monitor = at.handle()?.inside(Monitor::open)?;
        while !self.is_over(at.handle()?)? {
            if !monitor.wait(deadline)? {
                return self.at_the_end(at.handle()?);
            }
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let name = self.link();
        // Another object reports a link that is missing or down.
        let Some(link) = at.handle()?.link(name)?.filter(|link| link.up) else { return Ok(vec![]) };
        match self {
            Wait::Running { .. } if !link.running => {
                Ok(vec![format!("interface {name} has no carrier")])
            }
            Wait::Local { addresses, .. } => unused(at.handle()?, &link, addresses),
            Wait::Running { .. } | Wait::Addresses { .. } => Ok(vec![]),
        }
    }
}

impl Wait {
    fn link(&self) -> &str {
        let (Wait::Running { link } | Wait::Addresses { link } | Wait::Local { link, .. }) = self;
        link
    }
}

/// The addresses of a link for which the kernel does not accept packets yet.
fn unused(handle: &mut Handle, link: &Link, addresses: &[Ipv6Addr]) -> Result<Vec<String>> {
    let held = handle.addresses(link.index)?;
    let mut unused = Vec::new();
    for address in addresses {
        // The object that adds an address reports that it is missing or a duplicate.
        let is_held =
            held.iter().any(|held| held.address.ip() == IpAddr::V6(*address) && !held.duplicate);
        if is_held && !handle.is_local(*address, link.index)? {
            unused.push(format!(
                "address {address} of {} is not in use yet: the kernel has no local route to it",
                link.name
            ));
        }
    }
    Ok(unused)
}

impl Wait {
    fn is_over(&self, handle: &mut Handle) -> Result<bool> {
        match self {
            Wait::Running { link } => Ok(handle.existing(link)?.running),
            Wait::Addresses { link } => {
                let index = handle.index(link)?;
                handle.forget();
                let held = handle.addresses(index)?;
                if let Some(held) = held.iter().find(|held| held.duplicate) {
                    return Err(Error::found(
                        format!("use the address {} on {link}", held.address),
                        "duplicate address detection found another owner of it on this link \
                         (DADFAILED)",
                    ));
                }
                Ok(!held.iter().any(|held| held.tentative))
            }
            Wait::Local { link, addresses } => {
                let index = handle.index(link)?;
                for address in addresses {
                    if !handle.is_local(*address, index)? {
                        // A link that was deleted, for example by a concurrent DEL, never gets a
                        // route.
                        return handle.existing(link).map(|_| false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Decides whether the end of the waits is an error. Only a link that is down is one, because
    /// this call has set it up.
    fn at_the_end(&self, handle: &mut Handle) -> Result<()> {
        match self {
            Wait::Running { link } if !handle.existing(link)?.up => Err(Error::found(
                format!("wait for the interface {link}"),
                "bridge port in error state: another program has set it down",
            )
            .hint(format!("Find out which program sets {link} down, and try again."))),
            Wait::Running { .. } | Wait::Addresses { .. } | Wait::Local { .. } => Ok(()),
        }
    }
}
