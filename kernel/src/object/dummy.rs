use netlink_packet_route::link::InfoKind;
use rtnetlink::LinkDummy;
use serde::Serialize;

use super::{At, Kind, Made, Mode, Place, Sweep, Undo, inside, ip};
use crate::deletion::Doomed;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::kinds;
use crate::link;
use crate::netnsid;
use crate::owner::{Mac, Owner};
use crate::sweep::Judge;

/// As the kernel calls it.
const KIND: InfoKind = InfoKind::Dummy;

/// A link that leads nowhere (`ip link add .. type dummy`): packets that leave through it are lost.
///
/// As a [`Macvlan`](super::Macvlan), it is born in the container, whose namespace gets an id in the
/// host's first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dummy {
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Dummy {
    fn name(&self) -> &'static str {
        "dummy"
    }

    fn show(&self, place: Place) -> String {
        format!("{} link add {} address {} type dummy", ip(place), self.name, self.mac)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        if at.mode == Mode::Repair
            && let Some(link) = at.handle()?.link(&self.name)?
        {
            if link.kind != KIND.to_string() {
                let doing = format!("use the interface {}", self.name);
                return Err(Error::found(doing, "it exists already and is not a dummy link"));
            }
            let message = link::with_index(link.index).address(self.mac.0.to_vec()).build();
            at.handle()?.queue(link::set(format!("set the MAC of {}", self.name), message));
            return Ok(());
        }
        let created = self.create(at);
        let made = Made::new(&self.name, self.mac).after(&created);
        at.undo.extend(made.map(|made| Undo::Link(at.place, made)));
        created.map_err(|error| self.explain(error))?;
        let tag = at.owner.tag();
        let handle = at.handle()?;
        let message = link::with_index(handle.index(&self.name)?).alias(tag).build();
        handle.queue(link::set(format!("set the alias of {}", self.name), message));
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let name = &self.name;
        let Some(link) = at.handle()?.link(name)? else {
            return Ok(vec![format!("interface {name} is gone")]);
        };
        if link.kind != KIND.to_string() {
            return Ok(vec![format!("interface {name} is not a dummy link")]);
        }
        Ok(match link.mac == Some(self.mac) {
            true => vec![],
            false => {
                let seen = link.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
                vec![format!("interface {name} has the MAC {seen} instead of {}", self.mac)]
            }
        })
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        inside::remove(at, &KIND, &self.name, self.mac)
    }

    fn is_interface(&self) -> bool {
        true
    }

    fn feasible(&self, _at: &mut At<'_>) -> Result<()> {
        kinds::makes("dummy")
    }

    /// This searches all containers.
    fn lives(&self, host: &mut Handle, owner: &Owner) -> Result<bool> {
        inside::lives(host, owner, Some(&KIND))
    }
}

impl Dummy {
    fn create(&self, at: &mut At<'_>) -> Result<()> {
        let message = LinkDummy::new(&self.name)
            .address(self.mac.0.to_vec())
            // Set at birth, so that GC finds a link whose ADD was killed before it could set the
            // alias.
            .link_group(Owner::group(&at.owner.network));
        at.handles.with_pod_namespace(netnsid::give)?;
        let action = format!("create the dummy link {}", self.name);
        // Through the container's socket: through the host's, kernels before 6.15 refuse a name
        // that a link of the host has.
        at.handle()?.now(link::create(action, message.build()))
    }

    /// Why the link could not be made.
    fn explain(&self, error: Error) -> Error {
        match error.errno {
            nix::libc::EOPNOTSUPP => kinds::makes("dummy").err().unwrap_or(error),
            nix::libc::EEXIST => error
                .said(format!("interface \"{}\" already exists in the container", self.name))
                .hint("DEL the attachment that has this interface name first, or use another name"),
            _ => error,
        }
    }
}

impl Sweep for Dummy {
    fn links(host: &mut Handle, judge: &Judge<'_>) -> Result<Vec<Doomed>> {
        inside::stale(host, judge, &KIND)
    }
}
