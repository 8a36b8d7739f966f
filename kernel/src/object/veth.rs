use std::collections::HashSet;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::Arc;

use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};
use serde::Serialize;

use super::{At, Kind, Made, Mode, Place, Sweep, Undo, ip};
use crate::deletion::Doomed;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::kind::Applied;
use crate::link::{self, Link};
use crate::netnsid;
use crate::owner::{Mac, Owner};
use crate::sweep::Judge;

/// A veth pair (`veth(4)`). The near end is on the host. The other end is created in its final
/// namespace with its final name, because moving a link between namespaces costs some 18 ms.
///
/// The message that creates the link contains its MAC addresses, MTU and master, because setting
/// them later would race against udev.
///
/// Each end has one queue. Without an explicit queue count the kernel allocates one queue per
/// possible CPU, then disables all but one, and waits for a grace period for each end, which
/// doubles the cost of a veth pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Veth {
    /// The near end's name.
    pub name: String,
    /// The near end's MAC address.
    pub mac: Mac,
    /// The MTU of both ends in bytes; 0 leaves it to the kernel.
    pub mtu: u32,
    /// The bridge that the near end is a port of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The other end.
    pub peer: Peer,
}

/// The other end of a [`Veth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Its namespace.
    pub place: Place,
    /// Its name there.
    pub name: String,
    /// Its MAC address.
    pub mac: Mac,
}

impl Kind for Veth {
    fn name(&self) -> &'static str {
        "veth"
    }

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
        if may_exist && let Some(near) = at.handle()?.link(&self.name)? {
            return self.repair(at, &near);
        }
        let created = self.create(at);
        let peer = Some((self.peer.place, self.peer.name.clone()));
        let made = Made { peer, ..Made::new(&self.name, self.mac) };
        if let Some(made) = made.after(&created) {
            match at.is_shared() {
                true => at.undo_shared_link(made),
                false => at.undo.push(Undo::Link(at.place, made)),
            }
        }
        match created {
            Err(error) if error.is_taken() && at.is_shared() => self.found(at)?,
            Err(error) if error.is_taken() => return Err(self.explain_taken(at, error)),
            created => created?,
        }
        if !at.is_shared() {
            let index = at.handle()?.index(&self.name)?;
            let message = link::with_index(index).alias(at.owner.tag()).build();
            at.handle()?.queue(link::set(format!("set the alias of {}", self.name), message));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let far = at.handles.handle(self.peer.place)?.link(&self.peer.name)?;
        let near = at.handle()?.link(&self.name)?;
        let wanted = self.unless_fitted(far.as_ref());
        let mut differences = Vec::new();
        match &near {
            None => differences.push(format!("interface {} is gone", self.name)),
            Some(near) => {
                wanted.diff_end(at, &self.name, self.mac, near, &mut differences);
                self.diff_master(at, near, &mut differences)?;
            }
        }
        match &far {
            None => differences.push(format!("interface {} is gone", self.peer.name)),
            Some(far) => {
                wanted.diff_end(at, &self.peer.name, self.peer.mac, far, &mut differences);
            }
        }
        if let (Some(near), Some(far)) = (near, far)
            && near.peer != Some(far.index)
        {
            differences.push(format!(
                "{} and {} are not the two ends of one veth pair",
                self.name, self.peer.name
            ));
        }
        Ok(differences)
    }

    /// Deleting either end deletes the pair. The near end is looked up first: its name derives from
    /// the owner, so the container's namespace need not exist.
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let tag = at.owner.tag();
        let near = match at.place {
            Place::Host => at.handles.host_link(&self.name)?,
            Place::Pod => at.handle()?.link(&self.name)?,
        };
        if let Some(near) = near.filter(|near| self.is_ours(near, &tag)) {
            at.handle()?.queue(link::delete(&self.name, near.index));
            return at.handle()?.flush();
        }
        // Another suite created this attachment, with a random name on the host.
        let Some(pod) = at.handles.pod()? else { return Ok(()) };
        let Some(far) = pod.link(&self.peer.name)?.filter(|far| far.kind == "veth") else {
            return Ok(());
        };
        if far.mac != Some(self.peer.mac) && !is_unmarked_of(at, &far)? {
            return Ok(());
        }
        at.handles.handle(Place::Pod)?.now(link::delete(&self.peer.name, far.index))
    }

    fn looks_at(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn observe(&self, at: &mut At<'_>, applied: &mut Applied) -> Result<()> {
        applied.add_shared(at, &self.peer.name)
    }

    fn is_interface(&self) -> bool {
        true
    }

    fn is_link(&self, link: &Link, tag: &str) -> bool {
        link.name == self.name && self.is_ours(link, tag)
    }

    /// A plan takes the name from `prevResult`, which may be wrong.
    fn of_owner(&self, owner: &Owner) -> Option<Arc<dyn Kind>> {
        let name = owner.host_ifname();
        let peer = Peer { mac: owner.mac("pod"), ..self.peer.clone() };
        let own = || Veth { mac: owner.mac("host"), peer, name: name.clone(), ..self.clone() };
        if self.name == name { None } else { Some(Arc::new(own())) }
    }

    fn lives(&self, host: &mut Handle, owner: &Owner) -> Result<bool> {
        let tag = owner.tag();
        Ok(host.link(&self.name)?.is_some_and(|link| self.is_ours(&link, &tag)))
    }

    fn refuse_second(&self, host: &mut Handle, owner: &Owner) -> Result<()> {
        let tag = owner.tag();
        let link = host.link(&self.name)?.filter(|link| self.is_ours(link, &tag));
        link.map_or(Ok(()), |link| Err(already(host, owner, &link)?))
    }
}

/// The error of an ADD whose attachment already has this link.
fn already(host: &mut Handle, owner: &Owner, link: &Link) -> Result<Error> {
    let place = match link.namespace {
        None => String::new(),
        Some(id) => netnsid::path(host, id, Path::new("/run/netns"))?.map_or_else(
            || format!(", in the network namespace with the id {id}"),
            |path| format!(", in the network namespace {}", path.display()),
        ),
    };
    let Owner { network, container, ifname } = owner;
    let said = format!(
        "container {container} is attached to network {network} as {ifname} already{place}; its \
         end on the host is {}",
        link.name
    );
    Ok(Error::errno(format!("attach {owner}"), nix::libc::EEXIST)
        .said(said)
        .hint("DEL the attachment before the next ADD"))
}

impl Sweep for Veth {
    fn links(host: &mut Handle, judge: &Judge<'_>) -> Result<Vec<Doomed>> {
        let valid_names: HashSet<String> = judge.valid.iter().map(Owner::host_ifname).collect();
        let group = Owner::group(judge.network);
        // A link whose ADD was killed before it set the alias is identified by its group.
        let is_nameless = |link: &Link| {
            link.alias.is_empty()
                && link.group == group
                && link.name.starts_with("veth")
                && !valid_names.contains(&link.name)
        };
        let mut links = host.links()?;
        links.retain(|link| judge.is_stale(&link.alias) || is_nameless(link));
        Ok(links.into_iter().map(|link| Doomed { namespace: None, link }).collect())
    }
}

/// Whether a link of the container that the runtime's result does not list belongs to the
/// attachment: it has no mark, and has an address that the IPAM plugin holds for the attachment. By
/// now the path of the namespace may lead to another container.
fn is_unmarked_of(at: &mut At<'_>, far: &Link) -> Result<bool> {
    let is_marked = !far.alias.is_empty() && !far.is_fitted();
    if is_marked || !at.handles.holds_ours(far)? {
        return Ok(false);
    }
    let near = match far.peer.filter(|_| far.namespace.is_some()) {
        Some(near) => at.handles.host.link_at(near)?,
        None => None,
    };
    let tag = at.owner.tag();
    Ok(near.is_none_or(|near| near.alias == tag || !Owner::is_tag(&near.alias)))
}

impl Veth {
    /// Whether the link with the near end's name belongs to the owner of the tag. Another suite's
    /// names are random, and the link may be another program's by now. Name and MAC address may
    /// come from a `prevResult` of another attachment, so a link with that attachment's alias is
    /// not the owner's.
    pub(super) fn is_ours(&self, near: &Link, tag: &str) -> bool {
        let has_mac = near.mac == Some(self.mac) && !Owner::is_tag(&near.alias);
        near.kind == "veth" && (near.alias == tag || has_mac)
    }

    fn create(&self, at: &mut At<'_>) -> Result<()> {
        let mut peer =
            one_queue(LinkUnspec::new_with_name(&self.peer.name)).address(self.peer.mac.0.to_vec());
        let mut near = one_queue(LinkMessageBuilder::<LinkVeth>::new(&self.name, &self.peer.name))
            .address(self.mac.0.to_vec());
        if !at.is_shared() {
            // Set at creation, so that GC finds a link whose ADD was killed before it could set the
            // alias.
            near = near.link_group(Owner::group(&at.owner.network));
        }
        if self.mtu != 0 {
            peer = peer.mtu(self.mtu);
            near = near.mtu(self.mtu);
        }
        if let Some(master) = &self.master {
            near = near.controller(at.handle()?.index(master)?);
        }
        if self.peer.place != at.place
            && let Some(namespace) = at.handles.handle(self.peer.place)?.namespace()
        {
            peer = peer.setns_by_fd(namespace.as_fd().as_raw_fd());
        }
        let message = near.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build()))).build();
        let action = format!("create the veth pair {} and {}", self.name, self.peer.name);
        let made = at.handle()?.make(link::create(action, message))?;
        if let Some(peer) = made.and_then(|near| near.peer) {
            at.handles.handle(self.peer.place)?.learn(&self.peer.name, peer);
        }
        Ok(())
    }

    /// Finds which of the two names is taken, and by which link.
    fn explain_taken(&self, at: &mut At<'_>, error: Error) -> Error {
        let taken = |at: &mut At<'_>, place, name: &str| {
            at.handles.handle(place).and_then(|handle| handle.link(name))
        };
        match taken(at, self.peer.place, &self.peer.name) {
            Ok(Some(_)) => error
                .said(format!(
                    "container veth name (\"{}\") already exists in the container",
                    self.peer.name
                ))
                .hint(
                    "the container is attached under this interface name already: DEL it first, \
                     or use another name",
                ),
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

    /// A shared pair whose name is taken: another call may have created the same pair at the same
    /// time, but no other link is accepted.
    fn found(&self, at: &mut At<'_>) -> Result<()> {
        let far = at.handles.handle(self.peer.place)?.link(&self.peer.name)?;
        match at.handle()?.link(&self.name)? {
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
                .hint(format!("remove it if it is unused: ip link del {}", self.peer.name)))
            }
        }
    }

    /// The pair without its MTU, if another plugin of the chain has changed the MTU since.
    fn unless_fitted(&self, far: Option<&Link>) -> Veth {
        let mtu = if far.is_some_and(Link::is_fitted) { 0 } else { self.mtu };
        Veth { mtu, ..self.clone() }
    }

    /// Repairs the attributes of an existing pair.
    fn repair(&self, at: &mut At<'_>, near: &Link) -> Result<()> {
        if near.kind != "veth" {
            return Err(Error::found(
                format!("use the interface {}", self.name),
                format!("it exists already and is not a veth but {}", near.kind),
            ));
        }
        let far = at.handles.handle(self.peer.place)?.existing(&self.peer.name)?;
        let wanted = self.unless_fitted(Some(&far));
        wanted.repair_end(at, at.place, &self.name, self.mac, near)?;
        if let Some(master) = &self.master {
            let master_index = at.handle()?.index(master)?;
            if near.master != Some(master_index) {
                let message = link::with_index(near.index).controller(master_index).build();
                at.handle()?
                    .queue(link::set(format!("make {} a port of {master}", self.name), message));
            }
        }
        wanted.repair_end(at, self.peer.place, &self.peer.name, self.peer.mac, &far)
    }

    fn repair_end(
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
            at.handles.handle(place)?.queue(request);
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
        // A shared pair is used as it was created, perhaps for another network.
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
        let wanted = at.handle()?.link(master)?.map(|link| link.index);
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
