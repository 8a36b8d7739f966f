//! Linux networking as plans: what should exist, applied, compared and removed by one executor.
#![warn(missing_docs)]

mod error;
mod executor;
mod iptables;
mod link;
mod monitor;
mod netns;
mod nft;
mod object;
mod owner;
mod plan;
mod rtnl;
mod side;

pub use error::{Doing, Error, Result};
pub use executor::{Applied, collect, ready};
pub use netns::Namespace;
pub use object::{
    Address, Announce, Backend, Bridge, Conflict, Guard, Loopback, Masquerade, Neighbours, Object,
    Peer, Port, Route, Sysctl, Up, Veth, Vlans, Wait,
};
pub use owner::{Mac, Owner};
pub use plan::{Ownership, Place, Plan, Step};
