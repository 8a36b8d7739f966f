use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{At, Kind, Place};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::side::Side;

/// Something that has to come about before the attachment is usable. It waits for the kernel's notifications.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wait {
    /// The link passes packets: it and its other end are up, and the bridge lets the port forward.
    Running {
        /// The link's name.
        link: String,
    },
    /// Duplicate address detection has finished for all addresses of the link.
    Addresses {
        /// The link's name.
        link: String,
    },
    /// The kernel takes packets to the addresses as its own. That is so a moment after an IPv6 address was added, even
    /// without duplicate address detection: the local route comes from a work queue.
    Local {
        /// The link's name.
        link: String,
        /// Addresses of the link.
        addresses: Vec<Ipv6Addr>,
    },
}

/// Longer than duplicate address detection takes by default, some two seconds.
const DEADLINE: Duration = Duration::from_secs(5);

impl Kind for Wait {
    fn show(&self, place: Place) -> String {
        let prefix = super::ip(place);
        match self {
            Wait::Running { link } => format!("{prefix} monitor link # until {link} is running"),
            Wait::Addresses { link } => {
                format!("{prefix} monitor address # until none of {link} is tentative")
            }
            Wait::Local { link, addresses } => {
                let all: Vec<_> = addresses.iter().map(Ipv6Addr::to_string).collect();
                format!(
                    "{prefix} monitor route # until {link} has local routes to {}",
                    all.join(", ")
                )
            }
        }
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.sides.flush()?;
        if self.is_over(at.side()?)? {
            return Ok(());
        }
        let deadline = Instant::now() + DEADLINE;
        let mut monitor = at.side()?.inside(Monitor::open)?;
        while !self.is_over(at.side()?)? {
            if !monitor.wait(deadline)? {
                return Err(self.too_late(at.side()?));
            }
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Wait::Running { link: name } = self else { return Ok(vec![]) };
        Ok(match at.side()?.link(name)? {
            Some(link) if link.up && !link.running => {
                vec![format!("interface {name} has no carrier")]
            }
            _ => vec![],
        })
    }
}

impl Wait {
    fn is_over(&self, side: &mut Side) -> Result<bool> {
        match self {
            Wait::Running { link } => Ok(side.existing(link)?.running),
            Wait::Addresses { link } => {
                let index = side.index(link)?;
                side.forget();
                let held = side.addresses(index)?;
                if let Some(held) = held.iter().find(|held| held.duplicate) {
                    return Err(Error::found(
                        format!("use the address {} on {link}", held.address),
                        "duplicate address detection found another owner of it on this link (DADFAILED)",
                    ));
                }
                Ok(!held.iter().any(|held| held.tentative))
            }
            Wait::Local { link, addresses } => {
                let index = side.index(link)?;
                for address in addresses {
                    if !side.is_local(*address, index)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    fn too_late(&self, side: &mut Side) -> Error {
        match self {
            Wait::Running { link } => {
                let is_up = side.link(link).ok().flatten().is_some_and(|link| link.up);
                let state = if is_up { "it has no carrier" } else { "it is down" };
                Error::found(
                    format!("wait for the interface {link}"),
                    format!("bridge port in error state: {state} after {} s", DEADLINE.as_secs()),
                )
            }
            Wait::Local { link, .. } => Error::found(
                format!("wait for the addresses of {link}"),
                format!("they have no local routes after {} s", DEADLINE.as_secs()),
            ),
            Wait::Addresses { link } => Error::found(
                format!("wait for the addresses of {link}"),
                format!(
                    "duplicate address detection has not finished after {} s",
                    DEADLINE.as_secs()
                ),
            ),
        }
    }
}
