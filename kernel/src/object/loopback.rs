use ipnetwork::IpNetwork;
use serde::Serialize;

use super::{At, Kind, Place, ip};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::kind::Applied;
use crate::link;

/// The loopback link of a namespace, up. The kernel adds its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loopback {}

const NAME: &str = "lo";

impl Kind for Loopback {
    fn name(&self) -> &'static str {
        "loopback"
    }

    fn show(&self, place: Place) -> String {
        format!("{} link set lo up", ip(place))
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let handle = at.handle()?;
        let lo = handle.existing(NAME)?;
        handle.now(link::set("set lo up", link::with_index(lo.index).up().build()))?;
        match handle.addresses(lo.index)?.iter().find(|held| !held.address.ip().is_loopback()) {
            Some(foreign) => Err(Error::found(
                "use the loopback interface",
                format!(
                    "loopback interface found with non-loopback address \"{}\"",
                    foreign.address
                ),
            )),
            None => Ok(()),
        }
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let lo = at.handle()?.existing(NAME)?;
        Ok(if lo.up { vec![] } else { vec!["loopback interface is down".to_owned()] })
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let Some(pod) = at.handles.pod()? else { return Ok(()) };
        let lo = pod.existing(NAME)?;
        pod.now(link::set("set lo down", link::with_index(lo.index).down().build()))
    }

    fn observe(&self, at: &mut At<'_>, applied: &mut Applied) -> Result<()> {
        applied.loopback = addresses(at.handle()?)?;
        Ok(())
    }
}

/// The loopback link's first IPv4 and first IPv6 address.
fn addresses(handle: &mut Handle) -> Result<Vec<IpNetwork>> {
    let lo = handle.existing(NAME)?;
    let held = handle.addresses(lo.index)?;
    let first =
        |is_ipv4| held.iter().map(|held| held.address).find(|address| address.is_ipv4() == is_ipv4);
    Ok([first(true), first(false)].into_iter().flatten().collect())
}
