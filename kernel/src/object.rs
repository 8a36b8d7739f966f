//! The kinds of kernel objects that a plan can hold. One file contains all of a kind ([`Kind`]):
//! how it is shown as a command, applied, compared, removed, and swept ([`Sweep`]).

mod address;
mod announce;
mod attachment;
mod bridge;
mod connected;
mod dummy;
mod former_tunnel;
mod guard;
pub(crate) mod inside;
mod loopback;
mod macvlan;
mod masquerade;
mod mtu;
mod neighbour;
mod pod_cidrs;
mod port;
mod route;
mod route_set;
mod settings;
mod shim;
mod source_filter;
mod sysctl;
mod tunnel;
mod up;
mod veth;
mod vlans;
mod wait;
mod way;

use crate::kind::{AND, At, Kind, Made, Mode, Removal, Step, Undo, is_same};
use crate::netns::Place;
use crate::sweep::{Collection, Deletion, Of, Stale, Sweep};
use crate::sysctl::Sysctl;

pub use address::{Address, Conflict};
pub use announce::Announce;
pub use bridge::Bridge;
pub use dummy::Dummy;
pub use former_tunnel::FormerTunnel;
pub use guard::Guard;
pub use loopback::Loopback;
pub use macvlan::Macvlan;
pub use masquerade::{Backend, Masquerade};
pub use mtu::Mtu;
pub use neighbour::Neighbours;
pub use pod_cidrs::PodCidrs;
pub use port::Port;
pub use route::Route;
pub use route_set::{Over, RouteSet};
pub use settings::{LinkSettings, Settings};
pub use shim::Shim;
pub use source_filter::SourceFilter;
pub use tunnel::Tunnel;
pub use up::Up;
pub use veth::{Peer, Veth};
pub use vlans::Vlans;
pub use wait::Wait;

/// `ip -n POD` for an object in the container, `ip` for one on the host.
pub(crate) fn ip(place: Place) -> &'static str {
    match place {
        Place::Host => "ip",
        Place::Pod => "ip -n POD",
    }
}

pub(crate) use mtu::{mtu_of, ports_of_network};
pub(crate) use route::{Key, source as source_of};
