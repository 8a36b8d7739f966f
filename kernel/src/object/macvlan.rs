use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::link::{InfoKind, InfoMacVlan};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder};
use serde::Serialize;

use super::{At, Kind, Made, Mode, Place, Sweep, Undo, inside, ip};
use crate::deletion::Doomed;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{self, Link, MacvlanMode};
use crate::netnsid;
use crate::owner::{Mac, Owner};
use crate::parent;
use crate::sweep::Judge;

/// The kernel's name of the kind.
const KIND: InfoKind = InfoKind::MacVlan;

/// A link with its own MAC address over another link, its parent (`ip link add .. type macvlan`):
/// it receives the frames to that address, and sends through the parent.
///
/// It is created in the container, with its final name, MAC address and MTU. The host does not see
/// it, so the container's namespace gets an id in the host's first, by which DEL and GC find the
/// link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Macvlan {
    /// Its name.
    pub name: String,
    /// The parent's name.
    pub parent: String,
    /// The namespace of the parent.
    #[serde(skip_serializing_if = "is_host")]
    pub parent_place: Place,
    /// Its MAC address. In passthru mode it is the parent's.
    pub mac: Mac,
    /// The MTU in bytes; 0 uses the parent's.
    pub mtu: u32,
    /// How it treats the other links of the parent.
    pub mode: MacvlanMode,
    /// The maximum number of queued broadcasts; 0 leaves it to the kernel.
    #[serde(skip_serializing_if = "is_zero")]
    pub bc_queue_len: u32,
    /// Whether it is promiscuous. The kernel adds that to the parent's promiscuity while the link
    /// is up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub promiscuous: bool,
}

fn is_host(place: &Place) -> bool {
    *place == Place::Host
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Kind for Macvlan {
    fn name(&self) -> &'static str {
        "macvlan"
    }

    fn show(&self, place: Place) -> String {
        let mut line = format!("{} link add link {}", ip(self.parent_place), self.parent);
        line += &format!(" name {}", self.name);
        if place != self.parent_place {
            line += " netns POD";
        }
        line += &format!(" address {}", self.mac);
        if self.mtu != 0 {
            line += &format!(" mtu {}", self.mtu);
        }
        line += &format!(" type macvlan mode {}", self.mode.as_str());
        if self.bc_queue_len != 0 {
            line += &format!(" bcqueuelen {}", self.bc_queue_len);
        }
        if self.promiscuous {
            line += &format!(" && {} link set {} promisc on", ip(place), self.name);
        }
        line
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        if at.mode == Mode::Repair
            && let Some(link) = at.handle()?.link(&self.name)?
        {
            return self.repair(at, &link);
        }
        let created = self.create(at);
        let made = Made::new(&self.name, self.mac).after(&created);
        at.undo.extend(made.map(|made| Undo::Link(at.place, made)));
        created?;
        let tag = at.owner.tag();
        let handle = at.handle()?;
        let mut message = link::with_index(handle.index(&self.name)?).alias(tag);
        if self.promiscuous {
            message = message.promiscuous(true);
        }
        let action = format!("set the alias and flags of {}", self.name);
        handle.now(link::set(action, message.build()))
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let parent = at.handles.handle(self.parent_place)?.link(&self.parent)?;
        let mut differences = Vec::new();
        match &parent {
            None => differences.push(format!("the parent {} is gone", self.parent)),
            Some(parent) if !parent.up => {
                differences.push(format!("the parent {} is down", self.parent));
            }
            Some(_) => {}
        }
        let Some(link) = at.handle()?.link(&self.name)? else {
            differences.push(format!("interface {} is gone", self.name));
            return Ok(differences);
        };
        if link.kind != "macvlan" {
            differences.push(format!(
                "interface {} is not a macvlan but {}",
                self.name,
                kind(&link)
            ));
            return Ok(differences);
        }
        if parent.is_some_and(|parent| !self.is_over(&link, &parent)) {
            differences.push(format!("interface {} is not over {}", self.name, self.parent));
        }
        self.diff_settings(&link, &mut differences);
        Ok(differences)
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        inside::remove(at, &KIND, &self.name, self.mac)
    }

    fn is_interface(&self) -> bool {
        true
    }

    /// This searches all containers.
    fn lives(&self, host: &mut Handle, owner: &Owner) -> Result<bool> {
        inside::lives(host, owner, Some(&KIND))
    }
}

impl Macvlan {
    fn create(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.with_pod_namespace(netnsid::give)?;
        let created = match self.create_as(at, &self.name) {
            // Kernels before 6.15 refuse a name that a link in the parent's namespace has.
            Err(error)
                if error.is_taken()
                    && self.parent_place != at.place
                    && at.handle()?.link(&self.name)?.is_none() =>
            {
                self.create_and_rename(at)
            }
            created => created,
        };
        created.map_err(|error| self.explain(at, error))
    }

    /// Creates the link under the attachment's own name, which no link of the host has, and gives
    /// it its name in the container.
    fn create_and_rename(&self, at: &mut At<'_>) -> Result<()> {
        let own = at.owner.host_ifname();
        let created = self.create_as(at, &own);
        // A request whose answer was lost may have been carried out.
        let may_exist = created.as_ref().err().is_none_or(Error::is_unanswered);
        let renamed = created.and_then(|()| {
            let handle = at.handle()?;
            let message = link::with_index(handle.index(&own)?).name(self.name.clone()).build();
            handle.now(link::set(format!("rename {own} to {}", self.name), message))
        });
        if renamed.is_err()
            && may_exist
            && let Some(link) = at.handle()?.link(&own)?.filter(|link| link.mac == Some(self.mac))
        {
            at.handle()?.now(link::delete(&own, link.index))?;
        }
        renamed
    }

    fn create_as(&self, at: &mut At<'_>, name: &str) -> Result<()> {
        let parent = at.handles.handle(self.parent_place)?.index(&self.parent)?;
        let mut message = LinkMacVlan::new(name, parent, self.mode.in_messages())
            .address(self.mac.0.to_vec())
            // Set at creation, so that GC finds a link whose ADD was killed before it could set the
            // alias.
            .link_group(Owner::group(&at.owner.network));
        if self.mtu != 0 {
            message = message.mtu(self.mtu);
        }
        if self.bc_queue_len != 0 {
            message = message.append_info_data(InfoMacVlan::BcQueueLen(self.bc_queue_len));
        }
        if self.parent_place != at.place
            && let Some(namespace) = at.handle()?.namespace()
        {
            message = message.setns_by_fd(namespace.as_fd().as_raw_fd());
        }
        let action = format!("create the macvlan link {} over {}", self.name, self.parent);
        at.handles.handle(self.parent_place)?.now(link::create(action, message.build()))
    }

    /// The reason why the link could not be created.
    fn explain(&self, at: &mut At<'_>, error: Error) -> Error {
        if error.is_taken() {
            return error
                .said(format!("interface \"{}\" already exists in the container", self.name))
                .hint(
                    "the container is attached under this interface name already: DEL it first, \
                     or use another name",
                );
        }
        match at.handles.handle(self.parent_place) {
            Ok(handle) => parent::explain(handle, &self.parent, self.mode, error),
            Err(_) => error,
        }
    }

    /// Whether a link is over the parent. A link over another macvlan link is over that link's
    /// parent.
    fn is_over(&self, link: &Link, parent: &Link) -> bool {
        link.peer == Some(parent.index) || (parent.kind == "macvlan" && link.peer == parent.peer)
    }

    fn diff_settings(&self, link: &Link, differences: &mut Vec<String>) {
        let name = &self.name;
        if link.mac != Some(self.mac) {
            let seen = link.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
            differences
                .push(format!("interface {name} has the MAC {seen} instead of {}", self.mac));
        }
        if self.mtu != 0 && link.mtu != self.mtu {
            differences
                .push(format!("interface {name} has the MTU {} instead of {}", link.mtu, self.mtu));
        }
        if link.macvlan_mode != Some(self.mode) {
            let seen = link.macvlan_mode.map_or("an unknown one", MacvlanMode::as_str);
            differences.push(format!(
                "container macvlan mode {seen} does not match expected value: {}",
                self.mode.as_str()
            ));
        }
        if self.bc_queue_len != 0 && link.bc_queue_len != self.bc_queue_len {
            differences.push(format!(
                "interface {name} has the bcqueuelen {} instead of {}",
                link.bc_queue_len, self.bc_queue_len
            ));
        }
        if self.promiscuous && !link.promiscuous {
            differences.push(format!("interface {name} is not promiscuous"));
        }
    }

    /// Repairs the settings of an existing link.
    fn repair(&self, at: &mut At<'_>, link: &Link) -> Result<()> {
        if link.kind != "macvlan" {
            return Err(Error::found(
                format!("use the interface {}", self.name),
                format!("it exists already and is not a macvlan but {}", kind(link)),
            ));
        }
        let mut message = link::with_index(link.index);
        if link.mac != Some(self.mac) {
            message = message.address(self.mac.0.to_vec());
        }
        if self.mtu != 0 && link.mtu != self.mtu {
            message = message.mtu(self.mtu);
        }
        if self.promiscuous {
            message = message.promiscuous(true);
        }
        let handle = at.handle()?;
        handle
            .queue(link::set(format!("set MAC, MTU and flags of {}", self.name), message.build()));
        if link.macvlan_mode != Some(self.mode) || self.bc_queue_len != 0 {
            let mut message = LinkMessageBuilder::<LinkMacVlan>::new(&self.name)
                .index(link.index)
                .mode(self.mode.in_messages());
            if self.bc_queue_len != 0 {
                message = message.append_info_data(InfoMacVlan::BcQueueLen(self.bc_queue_len));
            }
            handle.queue(link::set(format!("set the mode of {}", self.name), message.build()));
        }
        Ok(())
    }
}

impl Sweep for Macvlan {
    fn links(host: &mut Handle, judge: &Judge<'_>) -> Result<Vec<Doomed>> {
        inside::stale(host, judge, &KIND)
    }
}

fn kind(link: &Link) -> &str {
    if link.kind.is_empty() { "a device" } else { &link.kind }
}
