//! The operations of every kind of kernel object. The executor and plans know objects only by this
//! trait, so a program contains only the kinds that it names.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::handle::Handle;
use crate::handles::Handles;
use crate::link::{self, Link};
use crate::netns::Place;
use crate::owner::{Mac, Owner};
use crate::sysctl::Sysctl;

/// A kernel object that should exist. Each kind is one file in `object/`.
pub trait Kind: Any + AsJson + Debug + Send + Sync {
    /// The name of the kind in a plan's JSON.
    fn name(&self) -> &'static str;

    /// The object as the command that would make it: `ip(8)`, `bridge(8)`, `sysctl(8)` or `nft(8)`.
    fn show(&self, place: Place) -> String;

    /// As [`show`](Kind::show), for the attachment that owns it.
    fn show_for(&self, place: Place, _owner: &Owner) -> String {
        self.show(place)
    }

    /// Whether only the reader of a plan needs it shown, because it may be thousands of commands.
    fn is_shown_late(&self) -> bool {
        false
    }

    /// The link that the object configures, if another object creates the link.
    fn about(&self) -> Option<&str> {
        None
    }

    /// Creates the object, or its missing parts. May leave requests queued in the namespace handle.
    fn apply(&self, at: &mut At<'_>) -> Result<()>;

    /// The differences, one line each.
    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>>;

    /// Removes the object. Called only for owned objects; most disappear with their link. May leave
    /// requests queued in the namespace handle.
    fn remove(&self, _at: &mut At<'_>) -> Result<()> {
        Ok(())
    }

    /// When DEL removes it.
    fn removal(&self) -> Removal {
        Removal::Last
    }

    /// Whether it exists as wanted, for the reader of a plan. CHECK does not report what only
    /// follows from a missing link, so this also looks for the link.
    fn is_there(&self, at: &mut At<'_>) -> bool {
        self.about().is_none_or(|link| at.has_link(link)) && is_same(self.diff(at))
    }

    /// Whether the nf_tables objects that it shares with other attachments exist.
    fn has_skeleton(&self, _at: &mut At<'_>) -> bool {
        false
    }

    /// Checks that ADD can write the setting, without writing it.
    fn settable(&self) -> Result<()> {
        Ok(())
    }

    /// Checks that ADD can create it, as far as can be known without a change.
    fn feasible(&self, _at: &mut At<'_>) -> Result<()> {
        Ok(())
    }

    /// Adds the values that only the kernel knows once the object exists.
    fn observe(&self, _at: &mut At<'_>, _applied: &mut Applied) -> Result<()> {
        Ok(())
    }

    /// The link on the host that its removal needs to know.
    fn looks_at(&self) -> Option<&str> {
        None
    }

    /// Stops traffic that would pass unchecked once the object is removed.
    fn silence(&self, _at: &mut At<'_>) -> Result<()> {
        Ok(())
    }

    /// Whether it is the attachment's interface.
    fn is_interface(&self) -> bool {
        false
    }

    /// Whether it is this link of the host, created for the owner of the tag.
    fn is_link(&self, _link: &Link, _tag: &str) -> bool {
        false
    }

    /// The object that the owner's ADD created, if this one names a different one.
    fn of_owner(&self, _owner: &Owner) -> Option<Arc<dyn Kind>> {
        None
    }

    /// Whether the attachment that owns it is live, because the object exists.
    fn lives(&self, _host: &mut Handle, _owner: &Owner) -> Result<bool> {
        Ok(false)
    }

    /// Returns an error if the attachment is live, as far as one request can tell.
    fn refuse_second(&self, _host: &mut Handle, _owner: &Owner) -> Result<()> {
        Ok(())
    }

    /// The cleanup of a network after the removal of an attachment that may have been its last. It
    /// can run beside other removals.
    fn farewell(&self) -> Option<Farewell> {
        None
    }
}

/// See [`Kind::farewell`]. The arguments are the host and the network's name.
pub type Farewell = fn(&mut Handle, &str) -> Result<()>;

/// When DEL removes an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Together with all objects of its kind and owner (see [`Sweep`](crate::sweep::Sweep)).
    Swept,
    /// Before the links.
    First,
    /// With the links, or after them.
    Last,
}

/// The data of a kind as JSON.
pub trait AsJson {
    /// The object's data.
    fn as_json(&self) -> serde_json::Result<serde_json::Value>;
}

impl<T: Serialize> AsJson for T {
    fn as_json(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(self)
    }
}

/// Whether there are no differences.
pub(crate) fn is_same(differences: Result<Vec<String>>) -> bool {
    differences.is_ok_and(|differences| differences.is_empty())
}

/// One object of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The namespace that it is in.
    pub place: Place,
    /// Whether it belongs to this attachment alone.
    pub ownership: Ownership,
    /// The object.
    #[serde(serialize_with = "with_its_name")]
    pub(crate) object: Arc<dyn Kind>,
    /// Why it is needed, if that is not obvious.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The object as a command, for people. Empty for the routes of a network, which may be
    /// thousands, until [`Plan::mark_existing`](crate::Plan::mark_existing) has run.
    pub shown: String,
    /// The commands of `shown` that would change nothing, because the object exists as wanted.
    /// Empty until [`Plan::mark_existing`](crate::Plan::mark_existing) has run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub existing: Vec<String>,
}

/// The separator between two commands of a step.
pub(crate) const AND: &str = " && ";

impl Step {
    /// The commands of `shown`.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        self.shown.split(AND)
    }

    pub(crate) fn is_owned(&self) -> bool {
        self.ownership == Ownership::Owned
    }

    /// The object, if it is of a kind.
    pub(crate) fn of_kind<K: Kind>(&self) -> Option<&K> {
        let object: &dyn Any = &*self.object;
        object.downcast_ref()
    }
}

fn with_its_name<S: Serializer>(object: &Arc<dyn Kind>, to: S) -> Result<S::Ok, S::Error> {
    let data = object.as_json().map_err(S::Error::custom)?;
    BTreeMap::from([(object.name(), data)]).serialize(to)
}

/// Whether an object belongs to one attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// Only this attachment uses it: DEL removes it.
    Owned,
    /// Other attachments use it too: ADD creates it if it is missing, and DEL leaves it.
    Shared,
}

/// Values that the plan could not know before it was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The MAC addresses of the shared links, by name.
    pub macs: BTreeMap<String, Mac>,
    /// The addresses of the container's loopback link, if the plan configures that link: the first
    /// of each family.
    pub loopback: Vec<IpNetwork>,
}

impl Applied {
    /// Reads the MAC address of a link on the host, if the object is shared.
    pub(crate) fn add_shared(&mut self, at: &mut At<'_>, name: &str) -> Result<()> {
        if at.is_shared()
            && let Some(mac) = at.handles.host.unchanged(name)?.mac
        {
            self.macs.insert(name.to_owned(), mac);
        }
        Ok(())
    }
}

/// The context of an operation on an object: its namespace and its owner.
pub struct At<'a> {
    pub(crate) handles: &'a mut Handles,
    pub(crate) place: Place,
    pub(crate) ownership: Ownership,
    pub(crate) owner: &'a Owner,
    pub(crate) object: &'a Arc<dyn Kind>,
    /// All steps of the plan.
    pub(crate) steps: &'a [Step],
    pub(crate) mode: Mode,
    pub(crate) undo: &'a mut Vec<Undo>,
}

impl Debug for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let At { place, object, mode, .. } = self;
        f.debug_struct("At")
            .field("place", place)
            .field("object", object)
            .field("mode", mode)
            .finish_non_exhaustive()
    }
}

/// The reason for applying a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Owned objects must not exist yet.
    Add,
    /// Owned objects may exist, and are repaired.
    Repair,
}

impl At<'_> {
    pub(crate) fn handle(&mut self) -> Result<&mut Handle> {
        self.handles.handle(self.place)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.ownership == Ownership::Shared
    }

    /// Whether a link of this name exists.
    pub(crate) fn has_link(&mut self, name: &str) -> bool {
        self.handle().and_then(|handle| handle.link(name)).is_ok_and(|link| link.is_some())
    }

    /// Removes the object if a later step fails.
    pub(crate) fn undo_by_removal(&mut self) {
        self.undo.push(Undo::Step(self.place, self.object.clone()));
    }

    /// Restores a setting if a later step fails. If it cannot be read, there is nothing to restore.
    pub(crate) fn undo_setting(&mut self, setting: &Sysctl) {
        let read = self.handle().and_then(|handle| handle.inside(|| setting.read_all()));
        if let Ok(Some(before)) = read {
            let before = Sysctl::optional(setting.key.clone(), before);
            self.undo.push(Undo::Setting(self.place, before));
        }
    }

    /// Whether the plan creates the attachment's interface. Otherwise another plugin of the chain
    /// did.
    pub(crate) fn makes_interface(&self) -> bool {
        self.steps.iter().any(|step| step.object.is_interface())
    }

    /// Deletes a shared link of the host that this call created if a later step fails and the link
    /// has no ports then.
    pub(crate) fn undo_shared_link(&mut self, made: Made) {
        let name = made.name.clone();
        self.undo_shared(&name, move |host, link| match link.mac == Some(made.mac) {
            true => host.now(link::delete(&made.name, link.index)),
            false => Ok(()),
        });
    }

    /// Restores a shared link of the host if a later step fails and the link has no ports then.
    pub(crate) fn undo_shared(
        &mut self,
        link: &str,
        undo: impl FnOnce(&mut Handle, &Link) -> Result<()> + 'static,
    ) {
        self.undo.push(Undo::Shared(link.to_owned(), Box::new(undo)));
    }
}

/// How to roll back a change if a later step fails.
pub(crate) enum Undo {
    /// A link of this attachment alone.
    Link(Place, Made),
    /// A link that other attachments may use by now, or a change of it: only if the link has no
    /// ports.
    Shared(String, UndoShared),
    /// Rules and neighbours: rolled back by removing the step.
    Step(Place, Arc<dyn Kind>),
    /// A setting of the container that another plugin of the chain left: its earlier value.
    Setting(Place, Sysctl),
}

type UndoShared = Box<dyn FnOnce(&mut Handle, &Link) -> Result<()>>;

/// A link that this call created, or may have created if the answer to its request was lost.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) name: String,
    /// The MAC address in the request.
    pub(crate) mac: Mac,
    /// Whether the kernel confirmed the request.
    pub(crate) is_certain: bool,
    /// The other end of a veth pair: its namespace, and its name there.
    pub(crate) peer: Option<(Place, String)>,
}

impl Made {
    pub(crate) fn new(name: &str, mac: Mac) -> Made {
        Made { name: name.to_owned(), mac, is_certain: true, peer: None }
    }

    /// The link that a request with this answer created; `None` if the kernel refused it.
    pub(crate) fn after<T>(self, answer: &Result<T>) -> Option<Made> {
        match answer {
            Ok(_) => Some(self),
            Err(error) if error.is_unanswered() => Some(Made { is_certain: false, ..self }),
            Err(_) => None,
        }
    }

    /// Whether a link of this name is the one that this call created for an attachment. Another
    /// program may have taken the name since. After a lost answer, the link may be an older one,
    /// which then has an alias.
    pub(crate) fn is_owned(&self, link: &Link, owner: &Owner) -> bool {
        let is_ours = link.group == Owner::group(&owner.network);
        match self.is_certain {
            true => is_ours && (link.alias.is_empty() || link.alias == owner.tag()),
            false => is_ours && link.alias.is_empty() && link.mac == Some(self.mac),
        }
    }
}
