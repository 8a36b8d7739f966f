//! Links as they are read from the kernel, and the requests about links as such.

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use crate::object::MacvlanMode;
use crate::owner::Mac;
use crate::rtnl::{Message, Request, attributes, half, text, word};

/// What the kernel says of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge`, ...; empty for physical ones.
    pub kind: String,
    /// Its MAC address; none if its address is of another sort.
    pub mac: Option<Mac>,
    /// The largest packet in bytes.
    pub mtu: u32,
    /// The index of the bridge (or other controller) the link is a port of.
    pub master: Option<u32>,
    /// The index of the other end of a veth, or of the parent, in its own namespace.
    pub peer: Option<u32>,
    /// What somebody wrote on it.
    pub alias: String,
    /// Its group; 0 is that of all links that were put into none.
    pub group: u32,
    /// It is switched on.
    pub up: bool,
    /// Packets pass: the link is up and has a carrier (RFC 2863 `ifOperStatus`).
    pub running: bool,
    /// Whether somebody set it to receive every frame (a packet capture alone does not count).
    pub promiscuous: bool,
    /// Its frames are Ethernet's, and it is no loopback.
    pub ethernet: bool,
    /// Its other end or its parent is in another namespace than the link.
    pub elsewhere: bool,
    /// How a macvlan link treats the others of its parent.
    pub macvlan_mode: Option<MacvlanMode>,
    pub(crate) bc_queue_len: u32,
    pub(crate) vlan_filtering: bool,
    /// Of a bridge: the VLAN that new ports are put into, if there is one.
    pub(crate) default_vlan: Option<u16>,
    pub(crate) hairpin: bool,
    pub(crate) isolated: bool,
    pub(crate) tunnel: TunnelEnds,
}

/// What the kernel says of an IPv4 tunnel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TunnelEnds {
    /// The source of its packets; none leaves it to the route.
    pub(crate) local: Option<Ipv4Addr>,
    /// The one machine it leads to; none leaves it to the route's next hop.
    pub(crate) remote: Option<Ipv4Addr>,
    /// Its packets are never broken up on the way.
    pub(crate) pmtudisc: bool,
}

/// The attributes of a link that are read (`include/uapi/linux/if_link.h`). The library's own parser knows all of every
/// kind of link, which is as much code as the rest of a plugin.
mod ifla {
    pub(super) const ADDRESS: u16 = 1;
    pub(super) const IFNAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const LINK: u16 = 5;
    pub(super) const MASTER: u16 = 10;
    pub(super) const OPERSTATE: u16 = 16;
    pub(super) const LINKINFO: u16 = 18;
    pub(super) const IFALIAS: u16 = 20;
    pub(super) const GROUP: u16 = 27;
    pub(super) const LINK_NETNSID: u16 = 37;

    pub(super) const INFO_KIND: u16 = 1;
    pub(super) const INFO_DATA: u16 = 2;
    pub(super) const INFO_SLAVE_DATA: u16 = 5;

    pub(super) const MACVLAN_MODE: u16 = 1;
    pub(super) const MACVLAN_BC_QUEUE_LEN: u16 = 7;
    pub(super) const BR_VLAN_FILTERING: u16 = 7;
    pub(super) const BR_VLAN_DEFAULT_PVID: u16 = 39;
    pub(super) const BRPORT_MODE: u16 = 4;
    pub(super) const BRPORT_ISOLATED: u16 = 33;

    /// Those of tunnels: `include/uapi/linux/if_tunnel.h`.
    pub(super) const IPTUN_LOCAL: u16 = 2;
    pub(super) const IPTUN_REMOTE: u16 = 3;
    pub(super) const IPTUN_PMTUDISC: u16 = 10;
}

/// The bytes before a link's attributes (`struct ifinfomsg`: family, type, index, flags, change mask).
pub(crate) const IFINFOMSG: usize = 16;
/// The type of Ethernet links (`include/uapi/linux/if_arp.h`).
const ARPHRD_ETHER: u16 = 1;
/// `IF_OPER_UP` and `IF_OPER_UNKNOWN` (RFC 2863). A bridge that never lost its carrier stays unknown, and works.
const OPER_UP: [u8; 2] = [6, 0];

impl Link {
    pub(crate) fn read(body: &[u8]) -> Link {
        let flags = LinkFlags::from_bits_retain(word(body, 8));
        let mut link = Link {
            index: word(body, 4),
            up: flags.contains(LinkFlags::Up),
            promiscuous: flags.contains(LinkFlags::Promisc),
            ethernet: half(body, 2) == ARPHRD_ETHER && !flags.contains(LinkFlags::Loopback),
            ..Link::default()
        };
        for (kind, value) in attributes(body.get(IFINFOMSG..).unwrap_or_default()) {
            match kind {
                ifla::IFNAME => link.name = text(value),
                ifla::ADDRESS => link.mac = value.try_into().ok().map(Mac),
                ifla::MTU => link.mtu = word(value, 0),
                ifla::MASTER => link.master = Some(word(value, 0)),
                ifla::LINK => link.peer = Some(word(value, 0)),
                ifla::IFALIAS => link.alias = text(value),
                ifla::GROUP => link.group = word(value, 0),
                ifla::LINK_NETNSID => link.elsewhere = true,
                ifla::OPERSTATE => {
                    let is_up = value.first().is_some_and(|state| OPER_UP.contains(state));
                    link.running = is_up && link.up && flags.contains(LinkFlags::LowerUp);
                }
                ifla::LINKINFO => link.read_info(value),
                _ => {}
            }
        }
        link
    }

    fn read_info(&mut self, infos: &[u8]) {
        let is_on = |values: &[u8], wanted| {
            attributes(values).any(|(kind, value)| kind == wanted && value.first() == Some(&1))
        };
        for (kind, value) in attributes(infos) {
            match kind {
                ifla::INFO_KIND => self.kind = text(value),
                // What the data mean depends on the kind, which comes first.
                ifla::INFO_DATA if self.kind == "bridge" => {
                    self.vlan_filtering = is_on(value, ifla::BR_VLAN_FILTERING);
                    let default = attributes(value)
                        .find(|(kind, _)| *kind == ifla::BR_VLAN_DEFAULT_PVID)
                        .and_then(|(_, vid)| vid.try_into().ok().map(u16::from_ne_bytes));
                    self.default_vlan = default.filter(|vid| *vid != 0);
                }
                ifla::INFO_DATA if self.kind == "macvlan" => self.read_macvlan(value),
                ifla::INFO_DATA if self.kind == "ipip" => self.tunnel = TunnelEnds::read(value),
                ifla::INFO_SLAVE_DATA => {
                    self.hairpin = is_on(value, ifla::BRPORT_MODE);
                    self.isolated = is_on(value, ifla::BRPORT_ISOLATED);
                }
                _ => {}
            }
        }
    }

    fn read_macvlan(&mut self, data: &[u8]) {
        for (kind, value) in attributes(data) {
            match kind {
                ifla::MACVLAN_MODE => self.macvlan_mode = MacvlanMode::read(word(value, 0)),
                ifla::MACVLAN_BC_QUEUE_LEN => self.bc_queue_len = word(value, 0),
                _ => {}
            }
        }
    }
}

impl TunnelEnds {
    fn read(values: &[u8]) -> TunnelEnds {
        let mut ends = TunnelEnds::default();
        let address = |value: &[u8]| {
            let address = Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?);
            Some(address).filter(|address| !address.is_unspecified())
        };
        for (kind, value) in attributes(values) {
            match kind {
                ifla::IPTUN_LOCAL => ends.local = address(value),
                ifla::IPTUN_REMOTE => ends.remote = address(value),
                ifla::IPTUN_PMTUDISC => ends.pmtudisc = value.first() == Some(&1),
                _ => {}
            }
        }
        ends
    }
}

/// `ip link show NAME`
pub(crate) fn by_name(name: &str) -> Request {
    let mut message = LinkUnspec::new_with_name(name).build();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    Request::new(format!("look at the interface {name}"), 0, Message::GetLink(message))
}

/// `ip link show`, by the index
pub(crate) fn by_index(index: u32) -> Request {
    let mut message = with_index(index).build();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    Request::new(
        format!("look at the interface with the index {index}"),
        0,
        Message::GetLink(message),
    )
}

/// `ip link show`
pub(crate) fn all() -> Message {
    all_of(None, [])
}

/// `ip link show type KIND`. The kernel chooses them; one that does not know the kind (its module is not loaded) gives all.
pub(crate) fn of_kind(kind: &InfoKind) -> Message {
    all_of(Some(kind), [])
}

/// `ip link show`, of a kind or all, with what else the request says.
pub(crate) fn all_of(
    kind: Option<&InfoKind>,
    more: impl IntoIterator<Item = LinkAttribute>,
) -> Message {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let kind = kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind.clone())]));
    message.attributes.extend(kind);
    message.attributes.extend(more);
    Message::GetLink(message)
}

/// `ip link show master LINK`: the ports of a bridge. The kernel chooses them.
pub(crate) fn ports_of(index: u32) -> Message {
    all_of(None, [LinkAttribute::Controller(index)])
}

/// `ip link add ...`, which must not exist.
pub(crate) fn create(action: impl Into<String>, message: LinkMessage) -> Request {
    Request::new(action, NLM_F_CREATE | NLM_F_EXCL, Message::NewLink(message))
}

/// `ip link set ...`
pub(crate) fn set(action: impl Into<String>, message: LinkMessage) -> Request {
    Request::new(action, 0, Message::NewLink(message))
}

/// `ip link del NAME`
pub(crate) fn delete(name: &str, index: u32) -> Request {
    let message = with_index(index).build();
    Request::new(format!("delete the interface {name}"), 0, Message::DelLink(message))
        .tolerate(&[nix::libc::ENODEV])
}

/// A message about the link of an index.
pub(crate) fn with_index(index: u32) -> LinkMessageBuilder<LinkUnspec> {
    LinkUnspec::new_with_index(index)
}
