use serde::Serialize;

use super::tunnel::give_back;
use super::{At, Kind, Place, Route, Tunnel, ip};
use crate::error::Result;
use crate::link::Link;

/// A tunnel that a network had before it got one of another name. It is deleted or, if it is the
/// kernel's fallback device, restored.
///
/// In a plan it follows the routes, which lead through it until they are changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FormerTunnel {
    /// Its name.
    pub name: String,
    /// The network that it belonged to.
    pub network: String,
}

impl FormerTunnel {
    /// The network's tunnels among `links` whose name differs from that of its current tunnel.
    pub fn among(links: &[Link], network: &str, name: &str) -> Vec<FormerTunnel> {
        let of = |link: &&Link| link.name != name && give_back::is_of(link, network);
        let former =
            |link: &Link| FormerTunnel { name: link.name.clone(), network: network.to_owned() };
        links.iter().filter(of).map(former).collect()
    }

    /// Whether it is the kernel's fallback device, which cannot be deleted or renamed.
    pub fn is_fallback(&self) -> bool {
        self.name == Tunnel::FALLBACK
    }

    /// Its link, unless it no longer exists or belongs to another network.
    fn link(&self, at: &mut At<'_>) -> Result<Option<Link>> {
        let link = at.handle()?.link(&self.name)?;
        Ok(link.filter(|link| give_back::is_of(link, &self.network)))
    }
}

impl Kind for FormerTunnel {
    fn name(&self) -> &'static str {
        "former-tunnel"
    }

    fn show(&self, place: Place) -> String {
        let (ip, name) = (ip(place), &self.name);
        if !self.is_fallback() {
            return format!("{ip} link del {name}");
        }
        [
            format!("{ip} -4 address flush dev {name} proto {}", Route::PROTOCOL),
            format!("{ip} link set {name} alias \"\""),
            format!("{ip} link set {name} down"),
        ]
        .join(" && ")
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let Some(link) = self.link(at)? else { return Ok(()) };
        give_back::give_back(at.handle()?, &self.network, &link)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let left = self.link(at)?.map(|link| {
            format!("tunnel {} is left over: the network's tunnel has another name", link.name)
        });
        Ok(left.into_iter().collect())
    }
}
