//! The objects that DEL and GC remove although no plan names them, kind by kind, found by their
//! marks. A plugin lists the kinds that it sweeps.

use std::any::TypeId;
use std::collections::HashSet;
use std::net::IpAddr;

use crate::deletion::Doomed;
use crate::error::Result;
use crate::handle::Handle;
use crate::handles::Handles;
use crate::kind::Step;
use crate::nft;
use crate::owner::Owner;

/// Addresses, each with its attachment.
pub type Held = Vec<(IpAddr, Owner)>;

/// How objects of a kind are found by their marks and removed.
pub trait Sweep {
    /// DEL: names nf_tables elements that the owner may have. One batch removes those of all kinds.
    fn doom(_del: &mut Deletion<'_>) -> Result<()> {
        Ok(())
    }

    /// DEL: removes the owner's objects, including those that the plan does not name. Called only
    /// for a plugin that creates the attachment's interface, because plugins of one chain have the
    /// same owner.
    fn remove(_del: &mut Deletion<'_>) -> Result<()> {
        Ok(())
    }

    /// GC: addresses of stale attachments.
    fn addresses(_gc: &mut Collection<'_>) -> Result<Held> {
        Ok(Vec::new())
    }

    /// GC: removes stale objects, except links.
    fn collect(_gc: &mut Collection<'_>) -> Result<()> {
        Ok(())
    }

    /// GC: the links that are stale, on the host or in containers.
    fn links(_host: &mut Handle, _judge: &Judge<'_>) -> Result<Vec<Doomed>> {
        Ok(Vec::new())
    }

    /// The objects that `collect` would remove. `found` are the links, and the objects of earlier
    /// kinds.
    fn stale(_gc: &mut Collection<'_>, _found: &[Stale]) -> Result<Vec<Stale>> {
        Ok(Vec::new())
    }
}

/// A kind that is swept: see [`Swept::of`].
#[derive(Debug, Clone, Copy)]
pub struct Swept {
    kind: fn() -> TypeId,
    pub(crate) doom: fn(&mut Deletion<'_>) -> Result<()>,
    pub(crate) remove: fn(&mut Deletion<'_>) -> Result<()>,
    pub(crate) addresses: fn(&mut Collection<'_>) -> Result<Held>,
    pub(crate) collect: fn(&mut Collection<'_>) -> Result<()>,
    pub(crate) links: fn(&mut Handle, &Judge<'_>) -> Result<Vec<Doomed>>,
    pub(crate) stale: fn(&mut Collection<'_>, &[Stale]) -> Result<Vec<Stale>>,
}

impl Swept {
    /// The entry of a kind in a plugin's list.
    pub const fn of<K: Sweep + 'static>() -> Swept {
        Swept {
            kind: TypeId::of::<K>,
            doom: K::doom,
            remove: K::remove,
            addresses: K::addresses,
            collect: K::collect,
            links: K::links,
            stale: K::stale,
        }
    }
}

/// Two entries are equal if they name the same kind.
impl PartialEq for Swept {
    fn eq(&self, other: &Swept) -> bool {
        (self.kind)() == (other.kind)()
    }
}

/// The context of a DEL.
#[derive(Debug)]
pub struct Deletion<'a> {
    pub(crate) handles: &'a mut Handles,
    pub(crate) owner: &'a Owner,
    /// All steps of the plan.
    pub(crate) steps: &'a [Step],
    pub(crate) doomed: Vec<nft::Doomed>,
}

/// The context of a GC.
#[derive(Debug)]
pub struct Collection<'a> {
    pub(crate) handles: &'a mut Handles,
    pub(crate) judge: Judge<'a>,
    /// Addresses of stale attachments.
    pub(crate) held: Held,
}

impl Collection<'_> {
    /// Whether the network has no attachment left on this host.
    pub(crate) fn is_network_gone(&self) -> bool {
        self.judge.valid.is_empty()
    }
}

/// Decides which objects of a network are stale.
#[derive(Debug)]
pub struct Judge<'a> {
    pub(crate) network: &'a str,
    pub(crate) valid: &'a [Owner],
    tags: HashSet<String>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(network: &'a str, valid: &'a [Owner]) -> Judge<'a> {
        Judge { network, valid, tags: valid.iter().map(Owner::tag).collect() }
    }

    pub(crate) fn is_stale(&self, tag: &str) -> bool {
        Owner::tag_is_of_network(tag, self.network) && !self.tags.contains(tag)
    }

    pub(crate) fn is_gone(&self, container: &str) -> bool {
        !self.valid.iter().any(|owner| owner.container == container)
    }
}

/// An object that [`collect`](crate::collect) would remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stale {
    /// Its description, for people: "the interface veth1a2b".
    pub what: String,
    /// Its owner.
    pub of: Of,
    /// The id of the container's namespace in the host's, if it is a link of a container.
    pub namespace: Option<i32>,
}

/// The owner of an object that [`collect`](crate::collect) would remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// An attachment.
    Attachment(Owner),
    /// A container, without knowledge of the interface.
    Container(String),
    /// An attachment whose name is unknown, because its ADD was killed, or its other objects are
    /// gone.
    Nameless,
    /// The network, for all its attachments on this host.
    Network,
}

impl Of {
    pub(crate) fn tag(tag: &str) -> Of {
        Owner::of_tag(tag).map_or(Of::Nameless, Of::Attachment)
    }
}

impl Stale {
    pub(crate) fn new(what: String, of: Of) -> Stale {
        Stale { what, of, namespace: None }
    }

    pub(crate) fn link(Doomed { link, namespace }: Doomed) -> Stale {
        // The kernel reports the number -1 for a namespace that has ended, whose links are about to
        // be deleted.
        let of_peer = link.namespace.filter(|id| link.kind == "veth" && *id >= 0);
        Stale {
            what: format!("the interface {}", link.name),
            of: Of::tag(&link.alias),
            namespace: namespace.or(of_peer),
        }
    }
}
