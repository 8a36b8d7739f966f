use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use serde::{Deserialize, Serialize};

use super::{At, Kind, Mode, Place, Undo, ip};
use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::owner::{Mac, Owner};

/// A pair of virtual Ethernet links (`veth(4)`). The near end is on the host; the other one is born where it ends up,
/// under its final name: moving a link between namespaces costs some 18 ms.
///
/// MAC addresses, MTU and master are part of the message that makes the link: whoever sets them afterwards races
/// against udev.
///
/// Each end has one queue. Asked for no number, the kernel makes as many as the machine may have processors, then switches all
/// but one off again, and for each end waits for a grace period meanwhile: half of what a pair costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veth {
    /// The near end's name.
    pub name: String,
    /// The near end's MAC address.
    pub mac: Mac,
    /// The largest packet of both ends in bytes; 0 leaves it to the kernel.
    pub mtu: u32,
    /// The bridge that the near end is a port of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The other end.
    pub peer: Peer,
}

/// The far end of a [`Veth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Where it is.
    pub place: Place,
    /// Its name there.
    pub name: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Veth {
    fn show(&self, place: Place) -> String {
        let mut line = format!("{} link add {} address {}", ip(place), self.name, self.mac);
        let mtu = match self.mtu {
            0 => String::new(),
            mtu => format!(" mtu {mtu}"),
        };
        line += &mtu;
        if let Some(master) = &self.master {
            line += &format!(" master {master}");
        }
        line += &format!(" type veth peer name {} address {}{mtu}", self.peer.name, self.peer.mac);
        if self.peer.place == Place::Pod {
            line += " netns POD";
        }
        line
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let may_exist = at.is_shared() || at.mode == Mode::Repair;
        if may_exist && let Some(near) = at.side()?.link(&self.name)? {
            return self.put_right(at, &near);
        }
        match self.create(at) {
            Err(error) if error.is_taken() && at.is_shared() => self.found(at)?,
            Err(error) if error.is_taken() => return Err(self.explain_taken(at, error)),
            Err(error) => return Err(error),
            Ok(()) if at.is_shared() => at.undo.push(Undo::SharedLink(self.name.clone())),
            Ok(()) => at.undo.push(Undo::Link(at.place, self.name.clone())),
        }
        if !at.is_shared() {
            let index = at.side()?.index(&self.name)?;
            let message = link::with_index(index).alias(at.owner.tag()).build();
            at.side()?.queue(link::set(format!("set the alias of {}", self.name), message));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let far = at.sides.side(self.peer.place)?.link(&self.peer.name)?;
        let near = at.side()?.link(&self.name)?;
        let mut differences = Vec::new();
        match &near {
            None => differences.push(format!("interface {} is gone", self.name)),
            Some(near) => {
                self.diff_end(at, &self.name, self.mac, near, &mut differences);
                self.diff_master(at, near, &mut differences)?;
            }
        }
        match &far {
            None => differences.push(format!("interface {} is gone", self.peer.name)),
            Some(far) => {
                self.diff_end(at, &self.peer.name, self.peer.mac, far, &mut differences);
            }
        }
        if let (Some(near), Some(far)) = (near, far)
            && near.peer != Some(far.index)
        {
            differences.push(format!(
                "{} and {} are not the two ends of one veth",
                self.name, self.peer.name
            ));
        }
        Ok(differences)
    }

    /// Either end takes the other one with it. The near end is looked for first: its name derives from the owner, so
    /// it needs no namespace that is still there.
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let tag = at.owner.tag();
        let near = match at.place {
            Place::Host => at.sides.host_link(&self.name)?,
            Place::Pod => at.side()?.link(&self.name)?,
        };
        if let Some(near) = near.filter(|near| self.is_ours(near, &tag)) {
            at.side()?.queue(link::delete(&self.name, near.index));
            return at.side()?.flush();
        }
        // Another suite made this attachment, under a random name on the host: then the runtime's result said its MAC.
        let Some(pod) = at.sides.pod()? else { return Ok(()) };
        match pod.link(&self.peer.name)? {
            Some(far) if far.kind == "veth" && far.mac == Some(self.peer.mac) => {
                pod.now(link::delete(&self.peer.name, far.index))
            }
            _ => Ok(()),
        }
    }
}

impl Veth {
    /// Whether the link of the near end's name is the one that the owner of the tag had: another suite's names are
    /// random, and may by now be somebody else's.
    pub(crate) fn is_ours(&self, near: &Link, tag: &str) -> bool {
        near.kind == "veth" && (near.alias == tag || near.mac == Some(self.mac))
    }

    fn create(&self, at: &mut At<'_>) -> Result<()> {
        let mut peer =
            one_queue(LinkUnspec::new_with_name(&self.peer.name)).address(self.peer.mac.0.to_vec());
        let mut near = one_queue(LinkMessageBuilder::<LinkVeth>::new(&self.name, &self.peer.name))
            .address(self.mac.0.to_vec());
        if !at.is_shared() {
            // Set at birth, so that GC finds a link whose ADD was killed before it could set the alias.
            near = near.link_group(Owner::group(&at.owner.network));
        }
        if self.mtu != 0 {
            peer = peer.mtu(self.mtu);
            near = near.mtu(self.mtu);
        }
        if let Some(master) = &self.master {
            near = near.controller(at.side()?.index(master)?);
        }
        if self.peer.place != at.place
            && let Some(namespace) = at.sides.side(self.peer.place)?.namespace()
        {
            peer = peer.setns_by_fd(namespace.as_fd().as_raw_fd());
        }
        let message = near.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
        let action = format!("create the veth pair {} and {}", self.name, self.peer.name);
        let made = at.side()?.make(link::create(action, message))?;
        if let Some(peer) = made.and_then(|near| near.peer) {
            at.sides.side(self.peer.place)?.learn(&self.peer.name, peer);
        }
        Ok(())
    }

    /// Which of the two names was taken, and by whom.
    fn explain_taken(&self, at: &mut At<'_>, error: Error) -> Error {
        let taken = |at: &mut At<'_>, place, name: &str| {
            at.sides.side(place).and_then(|side| side.link(name))
        };
        match taken(at, self.peer.place, &self.peer.name) {
            Ok(Some(_)) => error
                .said(format!("container veth name (\"{}\") already exists in the container", self.peer.name))
                .hint("the container is attached under this interface name already: DEL it first, or use another name"),
            _ => match taken(at, at.place, &self.name) {
                Ok(Some(link)) => error.said(format!(
                    "interface {} already exists on the host, for {}",
                    self.name,
                    if link.alias.is_empty() { "an unknown owner" } else { &link.alias }
                )),
                _ => error,
            },
        }
    }

    /// A shared pair whose name was taken: another call may have made it at the same time, but nothing else.
    fn found(&self, at: &mut At<'_>) -> Result<()> {
        let far = at.sides.side(self.peer.place)?.link(&self.peer.name)?;
        match at.side()?.link(&self.name)? {
            Some(near) if near.kind == "veth" => Ok(()),
            _ => {
                let kind = far.map_or_else(String::new, |far| far.kind);
                Err(Error::found(
                    format!("create the veth pair {} and {}", self.name, self.peer.name),
                    format!(
                        "{} exists already and is not the other end of {} but {kind}",
                        self.peer.name, self.name
                    ),
                )
                .hint(format!("remove it, if nobody needs it: ip link del {}", self.peer.name)))
            }
        }
    }

    /// Gives a pair that is there the attributes it should have.
    fn put_right(&self, at: &mut At<'_>, near: &Link) -> Result<()> {
        if near.kind != "veth" {
            return Err(Error::found(
                format!("use the interface {}", self.name),
                format!("it exists already and is not a veth but {}", near.kind),
            ));
        }
        self.put_right_end(at, at.place, &self.name, self.mac, near)?;
        if let Some(master) = &self.master {
            let master_index = at.side()?.index(master)?;
            if near.master != Some(master_index) {
                let message = link::with_index(near.index).controller(master_index).build();
                at.side()?.queue(link::set(format!("put {} into {master}", self.name), message));
            }
        }
        let far = at.sides.side(self.peer.place)?.existing(&self.peer.name)?;
        self.put_right_end(at, self.peer.place, &self.peer.name, self.peer.mac, &far)
    }

    fn put_right_end(
        &self,
        at: &mut At<'_>,
        place: Place,
        name: &str,
        mac: Mac,
        link: &Link,
    ) -> Result<()> {
        if at.is_shared() {
            return Ok(());
        }
        let mut message = link::with_index(link.index);
        let (wrong_mac, wrong_mtu) = (link.mac != Some(mac), self.mtu != 0 && link.mtu != self.mtu);
        if wrong_mac {
            message = message.address(mac.0.to_vec());
        }
        if wrong_mtu {
            message = message.mtu(self.mtu);
        }
        if wrong_mac || wrong_mtu {
            let request = link::set(format!("set MAC and MTU of {name}"), message.build());
            at.sides.side(place)?.queue(request);
        }
        Ok(())
    }

    fn diff_end(
        &self,
        at: &At<'_>,
        name: &str,
        mac: Mac,
        link: &Link,
        differences: &mut Vec<String>,
    ) {
        if link.kind != "veth" {
            differences.push(format!("interface {name} is not a veth but {}", link.kind));
        }
        // What is shared is used as it was made, maybe by another network.
        if at.is_shared() {
            return;
        }
        if link.mac != Some(mac) {
            let seen = link.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
            differences.push(format!("interface {name} has the MAC {seen} instead of {mac}"));
        }
        if self.mtu != 0 && link.mtu != self.mtu {
            differences
                .push(format!("interface {name} has the MTU {} instead of {}", link.mtu, self.mtu));
        }
    }

    fn diff_master(
        &self,
        at: &mut At<'_>,
        near: &Link,
        differences: &mut Vec<String>,
    ) -> Result<()> {
        let Some(master) = &self.master else { return Ok(()) };
        let wanted = at.side()?.link(master)?.map(|link| link.index);
        if near.master.is_none() {
            differences.push(format!("interface {} is not in the bridge {master}", self.name));
        } else if near.master != wanted {
            differences.push(format!("interface {} is in another bridge than {master}", self.name));
        }
        Ok(())
    }
}

/// An end with one queue in each direction: `ip link add numtxqueues 1 numrxqueues 1 ...`
fn one_queue<T>(end: LinkMessageBuilder<T>) -> LinkMessageBuilder<T> {
    end.append_extra_attribute(LinkAttribute::NumTxQueues(1))
        .append_extra_attribute(LinkAttribute::NumRxQueues(1))
}
