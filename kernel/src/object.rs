//! The kinds of kernel objects a plan can hold, one file each, all of the same shape: shown as a command, applied,
//! compared, removed.

mod address;
mod announce;
mod bridge;
mod guard;
mod loopback;
pub(crate) mod macvlan;
mod masquerade;
mod mtu;
mod neighbour;
mod port;
mod route;
mod route_set;
mod shim;
mod sysctl;
mod tunnel;
mod up;
mod veth;
mod vlans;
mod wait;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::owner::Owner;
use crate::plan::{Ownership, Place};
use crate::side::{Side, Sides};

pub use address::{Address, Conflict};
pub use announce::Announce;
pub use bridge::Bridge;
pub use guard::Guard;
pub use loopback::Loopback;
pub use macvlan::{Macvlan, MacvlanMode};
pub use masquerade::{Backend, Masquerade};
pub use mtu::Mtu;
pub use neighbour::Neighbours;
pub use port::Port;
pub use route::Route;
pub use route_set::RouteSet;
pub use shim::Shim;
pub use sysctl::Sysctl;
pub use tunnel::Tunnel;
pub use up::Up;
pub use veth::{Peer, Veth};
pub use vlans::Vlans;
pub use wait::Wait;

/// What every kind of object can do.
pub(crate) trait Kind {
    /// The object as the command that would make it.
    fn show(&self, place: Place) -> String;

    /// Makes it, or what is missing of it. May leave requests waiting in the side's queue.
    fn apply(&self, at: &mut At<'_>) -> Result<()>;

    /// What is different, one line each.
    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>>;

    /// Removes it. Only called for owned objects; most go with their link. May leave requests waiting in the side's queue.
    fn remove(&self, _at: &mut At<'_>) -> Result<()> {
        Ok(())
    }
}

/// Where an object is worked on, and for whom.
pub(crate) struct At<'a> {
    pub(crate) sides: &'a mut Sides,
    pub(crate) place: Place,
    pub(crate) ownership: Ownership,
    pub(crate) owner: &'a Owner,
    pub(crate) mode: Mode,
    pub(crate) undo: &'a mut Vec<Undo>,
}

/// Why a plan is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Owned objects must not be there yet.
    Add,
    /// Owned objects may be there, and are put right.
    Repair,
}

/// How to take back something that was made, should a later step fail.
#[derive(Debug, Clone)]
pub(crate) enum Undo {
    /// A link of this attachment's own.
    Link(Place, String),
    /// A link that others may have begun to use in the meantime: only if it has no ports.
    SharedLink(String),
    /// An address of a shared link: only if that link has no ports.
    SharedAddress(String, ipnetwork::IpNetwork),
    /// A shared link that was down: only if it has no ports.
    SharedUp(String),
    /// A setting of a shared link, and what it was: only if the link has no ports.
    SharedSysctl(String, Sysctl),
    /// Masquerading, spoof check and neighbours: removing the step does it.
    Step(Place, Box<Object>),
}

impl At<'_> {
    pub(crate) fn side(&mut self) -> Result<&mut Side> {
        self.sides.side(self.place)
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.ownership == Ownership::Shared
    }
}

/// `ip -n POD` for what is in the container, `ip` for what is on the host.
pub(crate) fn ip(place: Place) -> &'static str {
    match place {
        Place::Host => "ip",
        Place::Pod => "ip -n POD",
    }
}

/// Declares the enum over all kinds, and hands every call on to the kind.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// A kernel object that should exist.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Object {
            $(#[doc = concat!("See [`", stringify!($kind), "`].")] $kind($kind),)*
        }

        $(impl From<$kind> for Object {
            fn from(object: $kind) -> Object {
                Object::$kind(object)
            }
        })*

        impl Object {
            fn kind(&self) -> &dyn Kind {
                match self {
                    $(Object::$kind(object) => object,)*
                }
            }
        }
    };
}

kinds! {
    Address, Announce, Bridge, Guard, Loopback, Macvlan, Masquerade, Mtu, Neighbours, Port, Route, RouteSet, Shim, Sysctl, Tunnel, Up, Veth, Vlans, Wait,
}

impl Object {
    /// The object as the command that would make it: `ip(8)`, `bridge(8)`, `sysctl(8)` or `nft(8)`.
    pub fn show(&self, place: Place) -> String {
        self.kind().show(place)
    }

    pub(crate) fn apply(&self, at: &mut At<'_>) -> Result<()> {
        self.kind().apply(at)
    }

    pub(crate) fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        self.kind().diff(at)
    }

    pub(crate) fn remove(&self, at: &mut At<'_>) -> Result<()> {
        self.kind().remove(at)
    }
}

pub(crate) use address::remove as remove_address;
pub(crate) use loopback::addresses as loopback_addresses;
pub(crate) use mtu::mtu_of;
pub(crate) use route::{Key, delete as delete_route, source as source_of};
pub(crate) use route_set::collect as collect_routes;
pub(crate) use tunnel::collect as collect_tunnels;
