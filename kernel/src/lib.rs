//! Linux networking as plans: what should exist, applied, compared and removed by one executor.
//!
//! A [`Plan`] lists kernel objects; [`Plan::apply`], [`Plan::diff`], [`Plan::repair`] and [`Plan::remove`] do the rest.
//! Nothing here knows of CNI: an [`Owner`] is three names, a pod is the path of a network namespace.
//!
//! ```no_run
//! use std::path::Path;
//! use kernel::{Bridge, Owner, Place, Plan, Up};
//!
//! let owner = Owner { network: "pods".into(), container: "c1".into(), ifname: "eth0".into() };
//! let mut plan = Plan::new(owner, Some(Path::new("/run/netns/c1")));
//! plan.share(Place::Host, Bridge { name: "cbr0".into(), mtu: 0, vlan_filtering: false, promiscuous: false });
//! plan.share(Place::Host, Up::of("cbr0"));
//! assert_eq!(plan.steps[1].shown, "ip link set cbr0 up");
//! plan.apply()?;
//! # Ok::<(), kernel::Error>(())
//! ```
#![warn(missing_docs)]

mod deletion;
mod error;
mod executor;
pub mod iptables;
mod link;
mod monitor;
mod netns;
mod netnsid;
pub mod nft;
mod object;
mod owner;
mod parent;
mod plan;
mod ready;
mod rtnl;
mod rules;
mod shims;
mod side;
mod survey;
mod wireless;

pub use error::{Doing, Error, Result};
pub use executor::{Applied, collect};
pub use link::Link;
pub use netns::Namespace;
pub use object::{
    Address, Announce, Backend, Bridge, Conflict, Guard, Loopback, Macvlan, MacvlanMode,
    Masquerade, Mtu, Neighbours, Object, Peer, Port, Route, RouteSet, Shim, Sysctl, Tunnel, Up,
    Veth, Vlans, Wait,
};
pub use owner::{Mac, Owner};
pub use plan::{Ownership, Place, Plan, Step};
pub use ready::{Ready, ready};
pub use survey::{Egress, KnownRoute, Survey};
