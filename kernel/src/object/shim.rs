mod sweep;

use std::collections::{HashMap, HashSet};

use rtnetlink::LinkMacVlan;
use serde::Serialize;

use super::{At, Collection, Kind, Of, Place, Removal, Stale, Sweep, ip};
use crate::error::{Error, Result};
use crate::kind::Farewell;
use crate::link::{self, Link, MacvlanMode};
use crate::owner::{Mac, Owner};

/// The host's own macvlan link over a parent, through which the host reaches the containers' links:
/// a parent never exchanges frames with its own macvlan links.
///
/// There is one for each network and parent. It has no address, does not answer ARP requests and
/// receives no broadcasts. It carries only routes to containers, each with the number of its
/// attachment as the metric, by which DEL and GC know the owner of a route. The last attachment
/// removes the link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shim {
    /// Its name: [`Owner::shim_ifname`].
    pub name: String,
    /// The parent's name.
    pub parent: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Shim {
    fn name(&self) -> &'static str {
        "shim"
    }

    fn show(&self, place: Place) -> String {
        let Shim { name, parent, mac } = self;
        format!(
            "{} link add link {parent} name {name} address {mac} broadcast {mac} type macvlan \
             mode bridge",
            ip(place)
        )
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.undo_by_removal();
        let link = match at.handle()?.link(&self.name)? {
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
            at.handle()?.queue(link::set(action, message.alias(alias).build()));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.handle()?.link(&self.name)? else {
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

    /// Removes what this attachment has on the network's shims, whatever their names are. The links
    /// themselves are removed at the end: see [`sweep::sweep`].
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let number = at.owner.number();
        sweep::forget(&mut at.handles.host, &at.owner.network, &|of| of == number)
    }

    fn removal(&self) -> Removal {
        Removal::First
    }

    fn farewell(&self) -> Option<Farewell> {
        Some(sweep::sweep)
    }
}

impl Sweep for Shim {
    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        let valid: Vec<u32> = gc.judge.valid.iter().map(Owner::number).collect();
        let (host, network) = (&mut gc.handles.host, gc.judge.network);
        sweep::forget(host, network, &|number| !valid.contains(&number))?;
        sweep::sweep(host, network)
    }

    /// The routes of stale attachments, and links that no other attachment uses.
    fn stale(gc: &mut Collection<'_>, found: &[Stale]) -> Result<Vec<Stale>> {
        let owners = found.iter().filter_map(|stale| match &stale.of {
            Of::Attachment(owner) => Some((owner.number(), owner.clone())),
            _ => None,
        });
        let owners: HashMap<u32, Owner> = owners.collect();
        let valid: HashSet<u32> = gc.judge.valid.iter().map(Owner::number).collect();
        let mut stale = Vec::new();
        for (shim, routes) in sweep::routes(&mut gc.handles.host, gc.judge.network)? {
            let (kept, gone): (Vec<_>, Vec<_>) =
                routes.into_iter().partition(|(number, _)| valid.contains(number));
            for (number, to) in gone {
                let of = owners.get(&number).cloned().map_or(Of::Nameless, Of::Attachment);
                stale.push(Stale::new(format!("the route to {to} over {shim}"), of));
            }
            if kept.is_empty() {
                stale.push(Stale::new(format!("the interface {shim}"), Of::Network));
            }
        }
        Ok(stale)
    }
}

impl Shim {
    /// Creates the link; another call may do so at the same time.
    fn create(&self, at: &mut At<'_>) -> Result<Link> {
        let group = Owner::group(&at.owner.network);
        let handle = at.handle()?;
        let parent = handle.index(&self.parent)?;
        let message = LinkMacVlan::new(&self.name, parent, MacvlanMode::Bridge.in_messages())
            .address(self.mac.0.to_vec())
            // Only the parent receives broadcasts: otherwise the host would see each of them twice.
            .broadcast(self.mac.0.to_vec())
            .link_group(group)
            .build();
        let action = format!("create the host's link {} over {}", self.name, self.parent);
        match handle.now(link::create(action, message)) {
            Err(error) if error.is_taken() => {}
            created => created?,
        }
        handle.existing(&self.name)
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
