use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::link::{InfoKind, InfoMacVlan, MacVlanMode};
use rtnetlink::{LinkMacVlan, LinkMessageBuilder};
use serde::{Deserialize, Serialize};

use super::{At, Kind, Mode, Place, Undo, ip};
use crate::deletion::Doomed;
use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::netnsid;
use crate::owner::{Mac, Owner};
use crate::parent;
use crate::side::Side;

/// As the kernel calls it.
const KIND: InfoKind = InfoKind::MacVlan;

/// A link with a MAC address of its own on another link, its parent (`ip link add .. type macvlan`): frames to that
/// address are its, all it sends leaves through the parent.
///
/// It is born in the container, under its final name and with its final MAC address and MTU. Nothing of it is seen on
/// the host, so the container's namespace gets an id there first, by which DEL and GC find the link again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macvlan {
    /// Its name.
    pub name: String,
    /// The parent's name.
    pub parent: String,
    /// Where the parent is.
    #[serde(default = "host", skip_serializing_if = "is_host")]
    pub parent_place: Place,
    /// Its MAC address. In passthru mode it is the parent's.
    pub mac: Mac,
    /// The largest packet in bytes; 0 is as much as the parent's.
    pub mtu: u32,
    /// How it treats the others on the parent.
    pub mode: MacvlanMode,
    /// How many broadcasts may wait; 0 leaves it to the kernel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bc_queue_len: u32,
    /// Whether it is promiscuous. The kernel counts that in the parent's promiscuity for as long as the link is up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promiscuous: bool,
}

/// How a [`Macvlan`] treats the others on its parent (`ip-link(8)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// It does not talk to them.
    Private,
    /// It talks to them through the switch, if that sends frames back where they came from.
    Vepa,
    /// It talks to them directly.
    Bridge,
    /// There are none: it has the parent for itself, with the parent's MAC address.
    Passthru,
}

impl MacvlanMode {
    const ALL: [MacvlanMode; 4] =
        [MacvlanMode::Private, MacvlanMode::Vepa, MacvlanMode::Bridge, MacvlanMode::Passthru];

    /// The mode of a name, as `ip-link(8)` has them.
    pub fn parse(name: &str) -> Option<MacvlanMode> {
        MacvlanMode::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            MacvlanMode::Private => "private",
            MacvlanMode::Vepa => "vepa",
            MacvlanMode::Bridge => "bridge",
            MacvlanMode::Passthru => "passthru",
        }
    }

    /// The mode that the kernel says a link has.
    pub(crate) fn read(number: u32) -> Option<MacvlanMode> {
        MacvlanMode::ALL.into_iter().find(|mode| u32::from(mode.in_messages()) == number)
    }

    pub(super) fn in_messages(self) -> MacVlanMode {
        match self {
            MacvlanMode::Private => MacVlanMode::Private,
            MacvlanMode::Vepa => MacVlanMode::Vepa,
            MacvlanMode::Bridge => MacVlanMode::Bridge,
            MacvlanMode::Passthru => MacVlanMode::Passthrough,
        }
    }
}

fn host() -> Place {
    Place::Host
}

fn is_host(place: &Place) -> bool {
    *place == Place::Host
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Kind for Macvlan {
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
            && let Some(link) = at.side()?.link(&self.name)?
        {
            return self.put_right(at, &link);
        }
        self.create(at)?;
        at.undo.push(Undo::Link(at.place, self.name.clone()));
        let tag = at.owner.tag();
        let side = at.side()?;
        let mut message = link::with_index(side.index(&self.name)?).alias(tag);
        if self.promiscuous {
            message = message.promiscuous(true);
        }
        let action = format!("set the alias and flags of {}", self.name);
        side.now(link::set(action, message.build()))
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let parent = at.sides.side(self.parent_place)?.link(&self.parent)?;
        let mut differences = Vec::new();
        match &parent {
            None => differences.push(format!("the parent {} is gone", self.parent)),
            Some(parent) if !parent.up => {
                differences.push(format!("the parent {} is down", self.parent));
            }
            Some(_) => {}
        }
        let Some(link) = at.side()?.link(&self.name)? else {
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

    /// Only what this attachment made, or what somebody made who writes no aliases: the reference suite.
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let tag = at.owner.tag();
        let Some(pod) = at.sides.pod()? else {
            return self.remove_by_ids(&mut at.sides.host, at.owner);
        };
        let is_ours =
            |link: &Link| link.alias == tag || (link.alias.is_empty() && link.name == self.name);
        for link in pod.links()?.iter().filter(|link| link.kind == "macvlan" && is_ours(link)) {
            pod.now(link::delete(&link.name, link.index))?;
        }
        Ok(())
    }
}

impl Macvlan {
    fn create(&self, at: &mut At<'_>) -> Result<()> {
        let parent = at.sides.side(self.parent_place)?.index(&self.parent)?;
        let mut message = LinkMacVlan::new(&self.name, parent, self.mode.in_messages())
            .address(self.mac.0.to_vec())
            // Set at birth, so that GC finds a link whose ADD was killed before it could set the alias.
            .link_group(Owner::group(&at.owner.network));
        if self.mtu != 0 {
            message = message.mtu(self.mtu);
        }
        if self.bc_queue_len != 0 {
            message = message.append_info_data(InfoMacVlan::BcQueueLen(self.bc_queue_len));
        }
        at.sides.with_pod_namespace(netnsid::give)?;
        if self.parent_place != at.place
            && let Some(namespace) = at.side()?.namespace()
        {
            message = message.setns_by_fd(namespace.as_fd().as_raw_fd());
        }
        let action = format!("create the macvlan link {} over {}", self.name, self.parent);
        let request = link::create(action, message.build());
        let created = at.sides.side(self.parent_place)?.now(request);
        created.map_err(|error| self.explain(at, error))
    }

    /// Why the link could not be made.
    fn explain(&self, at: &mut At<'_>, error: Error) -> Error {
        if error.is_taken() {
            return error
                .said(format!("interface \"{}\" already exists in the container", self.name))
                .hint("the container is attached under this interface name already: DEL it first, or use another name");
        }
        match at.sides.side(self.parent_place) {
            Ok(side) => parent::explain(side, &self.parent, self.mode, error),
            Err(_) => error,
        }
    }

    /// Whether a link is over the parent. One over another macvlan link is over that one's own parent.
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

    /// Gives a link that is there the settings it should have.
    fn put_right(&self, at: &mut At<'_>, link: &Link) -> Result<()> {
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
        let side = at.side()?;
        side.queue(link::set(format!("set MAC, MTU and flags of {}", self.name), message.build()));
        if link.macvlan_mode != Some(self.mode) || self.bc_queue_len != 0 {
            let mut message = LinkMessageBuilder::<LinkMacVlan>::new(&self.name)
                .index(link.index)
                .mode(self.mode.in_messages());
            if self.bc_queue_len != 0 {
                message = message.append_info_data(InfoMacVlan::BcQueueLen(self.bc_queue_len));
            }
            side.queue(link::set(format!("set the mode of {}", self.name), message.build()));
        }
        Ok(())
    }

    /// Without the path of the container's namespace, through the ids of all of them.
    fn remove_by_ids(&self, host: &mut Side, owner: &Owner) -> Result<()> {
        let (tag, group) = (owner.tag(), Owner::group(&owner.network));
        let is_ours = |link: &Link| {
            let is_unfinished = link.alias.is_empty()
                && link.group == group
                && link.name == self.name
                && link.mac == Some(self.mac);
            link.alias == tag || is_unfinished
        };
        for (id, link) in
            netnsid::links(host, Some(&KIND))?.iter().filter(|(_, link)| is_ours(link))
        {
            host.now(netnsid::delete(*id, link))?;
        }
        Ok(())
    }
}

/// GC: the macvlan links in containers that belong to attachments of `network` other than `valid`.
pub(crate) fn stale(host: &mut Side, network: &str, valid: &[Owner]) -> Result<Vec<Doomed>> {
    let links = netnsid::links(host, Some(&KIND))?;
    let tags: HashMap<String, &Owner> = valid.iter().map(|owner| (owner.tag(), owner)).collect();
    // A link without an alias may be that of a valid attachment that none with an alias belongs to; of others, it is
    // what a killed ADD left.
    let seen: HashSet<&str> = links.iter().map(|(_, link)| link.alias.as_str()).collect();
    let unseen = tags.iter().filter(|(tag, _)| !seen.contains(tag.as_str()));
    let unseen: HashSet<&str> = unseen.map(|(_, owner)| owner.ifname.as_str()).collect();
    let group = Owner::group(network);
    let is_stale = |link: &Link| match link.alias.as_str() {
        "" => link.group == group && !unseen.contains(link.name.as_str()),
        alias => Owner::tag_is_of_network(alias, network) && !tags.contains_key(alias),
    };
    let stale: Vec<bool> = links.iter().map(|(_, link)| is_stale(link)).collect();
    let stale = links.into_iter().zip(stale).filter(|(_, is_stale)| *is_stale);
    Ok(stale.map(|((id, link), _)| Doomed { namespace: Some(id), link }).collect())
}

fn kind(link: &Link) -> &str {
    if link.kind.is_empty() { "a device" } else { &link.kind }
}
