use rtnetlink::LinkMacVlan;
use serde::{Deserialize, Serialize};

use super::{At, Kind, MacvlanMode, Place, Undo, ip};
use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::owner::{Mac, Owner};
use crate::shims;

/// The host's own macvlan link over a parent, through which it reaches the containers' links: the parent itself never
/// talks to its children, that is how macvlan is.
///
/// There is one for each network and parent. It has no address, answers no ARP request and hears no broadcast: all
/// there is to it are routes to containers, each with the number of its attachment as the metric. By that DEL and GC
/// know whose a route is. The last attachment takes the link with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shim {
    /// Its name: [`Owner::shim_ifname`].
    pub name: String,
    /// The parent's name.
    pub parent: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Shim {
    fn show(&self, place: Place) -> String {
        let Shim { name, parent, mac } = self;
        format!(
            "{} link add link {parent} name {name} address {mac} broadcast {mac} type macvlan mode bridge",
            ip(place)
        )
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.undo.push(Undo::Step(at.place, Box::new(self.clone().into())));
        let link = match at.side()?.link(&self.name)? {
            Some(link) => link,
            None => self.create(at)?,
        };
        self.check_kind(&link)?;
        let mut message = link::with_index(link.index);
        let (alias, wrong_mac) = (self.alias(at), link.mac != Some(self.mac));
        if wrong_mac {
            message = message.address(self.mac.0.to_vec());
        }
        if wrong_mac || link.alias != alias {
            let action = format!("set the alias and MAC of {}", self.name);
            at.side()?.queue(link::set(action, message.alias(alias).build()));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.side()?.link(&self.name)? else {
            return Ok(vec![format!("interface {} is gone", self.name)]);
        };
        let mut differences = Vec::new();
        differences.extend(self.check_kind(&link).err().map(|error| error.reason()));
        if link.mac != Some(self.mac) {
            let seen = link.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
            differences.push(format!(
                "interface {} has the MAC {seen} instead of {}",
                self.name, self.mac
            ));
        }
        Ok(differences)
    }

    /// Removes what this attachment has on the network's shims, whatever they are called. The links themselves are the
    /// executor's to remove: see [`shims::sweep`].
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let number = at.owner.number();
        shims::forget(&mut at.sides.host, &at.owner.network, &|of| of == number)
    }
}

impl Shim {
    /// Makes the link; another call may do so at the same time.
    fn create(&self, at: &mut At<'_>) -> Result<Link> {
        let group = Owner::group(&at.owner.network);
        let side = at.side()?;
        let parent = side.index(&self.parent)?;
        let message = LinkMacVlan::new(&self.name, parent, MacvlanMode::Bridge.in_messages())
            .address(self.mac.0.to_vec())
            // Broadcasts are the parent's to hear: the host would see each of them twice.
            .broadcast(self.mac.0.to_vec())
            .link_group(group)
            .build();
        let action = format!("create the host's link {} over {}", self.name, self.parent);
        match side.now(link::create(action, message)) {
            Err(error) if error.is_taken() => {}
            created => created?,
        }
        side.existing(&self.name)
    }

    fn alias(&self, at: &At<'_>) -> String {
        Owner::shim_alias(&at.owner.network, &self.parent)
    }

    fn check_kind(&self, link: &Link) -> Result<()> {
        if link.macvlan_mode == Some(MacvlanMode::Bridge) {
            return Ok(());
        }
        Err(Error::found(
            format!("use the interface {}", self.name),
            format!("{} exists and is not a macvlan link in mode bridge", self.name),
        )
        .hint(format!("ip link del {}", self.name)))
    }
}
