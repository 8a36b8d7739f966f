//! Linux networking as plans: one executor applies, compares and removes the objects of a plan.
//!
//! A [`Plan`] lists kernel objects; [`Plan::apply`], [`Plan::diff`], [`Plan::repair`] and
//! [`Plan::remove`] do the rest. This crate is independent of CNI: an [`Owner`] is three names, and
//! a container is the path of a network namespace.
//!
//! ```no_run
//! use std::path::Path;
//! use kernel::{Bridge, Owner, Place, Plan, Up};
//!
//! let owner = Owner { network: "pods".into(), container: "c1".into(), ifname: "eth0".into() };
//! let mut plan = Plan::new(owner, Some(Path::new("/run/netns/c1")));
//! let (vlan_filtering, promiscuous) = (false, false);
//! plan.share(Place::Host, Bridge { name: "cbr0".into(), mtu: 0, vlan_filtering, promiscuous });
//! plan.share(Place::Host, Up::of("cbr0"));
//! assert_eq!(plan.steps[1].shown, "ip link set cbr0 up");
//! plan.apply()?;
//! # Ok::<(), kernel::Error>(())
//! ```
#![warn(missing_docs)]

mod deletion;
mod error;
mod executor;
mod existing;
mod fib;
mod handle;
mod handles;
pub mod iptables;
mod kind;
mod kinds;
mod link;
mod living;
mod lock;
mod memory;
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
mod same_mac;
mod stale;
mod survey;
mod sweep;
mod sysctl;
mod users;
mod wireless;

pub use error::{Doing, Error, Result};
pub use kind::{Applied, Ownership, Step};
pub use kinds::makes;
pub use link::{Link, MacvlanMode, TunnelEnds};
pub use living::{Home, homes, lives_of};
pub use lock::Turn;
pub use memory::{Memory, Values};
pub use netns::{Namespace, Place};
pub use netnsid::{inhabitants, mounted};
pub use object::*;
pub use owner::{Mac, Owner};
pub use plan::Plan;
pub use ready::Ready;
pub use same_mac::refuse_same_mac;
pub use stale::{collect, stale, stale_links};
pub use survey::{Egress, KnownRoute, RouteOver, Survey};
pub use sweep::{Of, Stale, Swept};
pub use sysctl::Sysctl;
pub use users::Users;
