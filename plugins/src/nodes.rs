//! The common part of networks that reach the containers of other nodes, with or without a tunnel:
//! the list of peers, the check that it does not harm this host, the ways to the peers, and the
//! routes to their containers on the node and in containers.
//!
//! A plugin makes a `Look` at the host with a list of peers, derives its device's settings from
//! it, and keeps the `Cluster`. Without a tunnel, every peer must be directly reachable.
//!
//! Everything here supports IPv4 only. IPv6 needs a second list of kernel routes
//! (`kernel/src/fib.rs` and `RouteSet` read and compare IPv4 routes only), ways to IPv6 nodes
//! (`kernel::Survey::egress`), and for ipip another kind of tunnel; then [`Peer`] can have
//! addresses of both families.

mod claims;
mod cluster;
mod look;
pub mod next_hop;
pub mod peers;
pub mod pods;
mod prefixes;
mod view;

pub(crate) use cluster::Cluster;
pub(crate) use look::Look;
pub use peers::{Peer, PeersFile};
pub(crate) use view::{Local, View};
