//! Links as the kernel reports them, and requests about any kind of link.

use std::net::Ipv4Addr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use serde::Serialize;

use crate::owner::Mac;
use crate::rtnl::{Message, Request, attributes, half, text, word};

/// The kernel's description of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `bridge`, ...; empty for physical ones.
    pub kind: String,
    /// Its MAC address; `None` if its hardware address is of another type.
    pub mac: Option<Mac>,
    /// The MTU in bytes.
    pub mtu: u32,
    /// The index of its controller, such as the bridge that it is a port of.
    pub master: Option<u32>,
    /// The index of the other end of a veth pair, or of the parent, in that link's namespace.
    pub peer: Option<u32>,
    /// Its alias; empty if it has none.
    pub alias: String,
    /// Its link group; 0 is the default group.
    pub group: u32,
    /// It is administratively up.
    pub up: bool,
    /// Packets pass: the link is up and has a carrier (RFC 2863 `ifOperStatus`).
    pub running: bool,
    /// Whether it is set to receive every frame (a packet capture alone does not count).
    pub promiscuous: bool,
    /// It is an Ethernet link, and not the loopback link.
    pub ethernet: bool,
    /// The id of the other namespace, if the link's other end or its parent is in another
    /// namespace.
    pub namespace: Option<i32>,
    /// How a macvlan link treats the other links of its parent.
    pub macvlan_mode: Option<MacvlanMode>,
    pub(crate) bc_queue_len: u32,
    pub(crate) vlan_filtering: bool,
    /// Of a bridge: the default VLAN of new ports, if there is one.
    pub(crate) default_vlan: Option<u16>,
    pub(crate) hairpin: bool,
    pub(crate) isolated: bool,
    /// Of an IPv4 tunnel: its endpoints.
    pub tunnel: TunnelEnds,
}

/// The endpoints of an IPv4 tunnel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TunnelEnds {
    /// The source address of its packets; `None` if the route decides.
    pub local: Option<Ipv4Addr>,
    /// Its only remote endpoint; `None` if the route's next hop decides.
    pub remote: Option<Ipv4Addr>,
    /// Its packets are never fragmented on the path.
    pub pmtudisc: bool,
}

/// How a [`Macvlan`](crate::Macvlan) treats the other links of its parent (`ip-link(8)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// No traffic between them.
    Private,
    /// Traffic between them passes the switch, if that sends frames back out of the port they came
    /// from.
    Vepa,
    /// Direct traffic between them.
    Bridge,
    /// No other links: it uses the parent alone, with the parent's MAC address.
    Passthru,
}

impl MacvlanMode {
    const ALL: [MacvlanMode; 4] =
        [MacvlanMode::Private, MacvlanMode::Vepa, MacvlanMode::Bridge, MacvlanMode::Passthru];

    /// The mode with this name in `ip-link(8)`.
    pub fn parse(name: &str) -> Option<MacvlanMode> {
        MacvlanMode::ALL.into_iter().find(|mode| mode.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            MacvlanMode::Private => "private",
            MacvlanMode::Vepa => "vepa",
            MacvlanMode::Bridge => "bridge",
            MacvlanMode::Passthru => "passthru",
        }
    }

    /// The mode with this number in the kernel.
    pub(crate) fn read(number: u32) -> Option<MacvlanMode> {
        MacvlanMode::ALL.into_iter().find(|mode| u32::from(mode.in_messages()) == number)
    }

    pub(crate) fn in_messages(self) -> MacVlanMode {
        match self {
            MacvlanMode::Private => MacVlanMode::Private,
            MacvlanMode::Vepa => MacVlanMode::Vepa,
            MacvlanMode::Bridge => MacVlanMode::Bridge,
            MacvlanMode::Passthru => MacVlanMode::Passthrough,
        }
    }
}

/// The attributes of a link that are read (`include/uapi/linux/if_link.h`). The library's own
/// parser knows all attributes of every kind of link, which is as much code as the rest of a
/// plugin.
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

    /// Attributes of tunnels: `include/uapi/linux/if_tunnel.h`.
    pub(super) const IPTUN_LOCAL: u16 = 2;
    pub(super) const IPTUN_REMOTE: u16 = 3;
    pub(super) const IPTUN_PMTUDISC: u16 = 10;
}

/// The length of a link message's header (`struct ifinfomsg`: family, type, index, flags, change
/// mask).
pub(crate) const IFINFOMSG: usize = 16;
/// The type of Ethernet links (`include/uapi/linux/if_arp.h`).
const ARPHRD_ETHER: u16 = 1;
/// `IF_OPER_UP` and `IF_OPER_UNKNOWN` (RFC 2863). A bridge that never lost its carrier stays
/// unknown, and works.
const OPER_UP: [u8; 2] = [6, 0];

impl Link {
    /// The source address of a tunnel's packets, if it has one.
    pub fn tunnel_source(&self) -> Option<Ipv4Addr> {
        self.tunnel.local
    }

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
                ifla::LINK_NETNSID => link.namespace = Some(word(value, 0).cast_signed()),
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

    /// Whether this IP-in-IP tunnel may receive packets to one of these addresses before the
    /// fallback device or a tunnel at that address does.
    pub fn may_take(&self, addresses: &[Ipv4Addr]) -> bool {
        self.kind == "ipip"
            && match self.tunnel {
                TunnelEnds { local: Some(local), .. } => addresses.contains(&local),
                // A tunnel without endpoints is the fallback device.
                TunnelEnds { remote, .. } => remote.is_some(),
            }
    }

    fn read_info(&mut self, infos: &[u8]) {
        let is_on = |values: &[u8], wanted| {
            attributes(values).any(|(kind, value)| kind == wanted && value.first() == Some(&1))
        };
        for (kind, value) in attributes(infos) {
            match kind {
                ifla::INFO_KIND => self.kind = text(value),
                // The format of the data depends on the kind, which comes first.
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

/// The prefix of the alias of a link whose MTU was changed. The original MTU follows.
const MTU_MARK: &str = "ferrocni-mtu:";

/// The alias of a link whose MTU was changed from `original`.
pub(crate) fn alias_of_mtu(original: u32) -> String {
    format!("{MTU_MARK}{original}")
}

impl Link {
    /// Whether the link's alias keeps its original MTU.
    pub fn is_fitted(&self) -> bool {
        self.kept_mtu().is_some()
    }

    /// The link's original MTU if its alias keeps it, otherwise its current one.
    pub fn original_mtu(&self) -> u32 {
        self.kept_mtu().unwrap_or(self.mtu)
    }

    /// A container can write the alias of its own link, so a value that IPv4 does not allow (the
    /// minimum is 68, RFC 791) is not a valid mark.
    fn kept_mtu(&self) -> Option<u32> {
        let kept = self.alias.strip_prefix(MTU_MARK)?.parse().ok();
        kept.filter(|mtu| (68..=65_535).contains(mtu))
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

/// `ip link show type KIND`. The kernel filters; if it does not know the kind, because the module
/// is not loaded, it reports all links.
pub(crate) fn of_kind(kind: &InfoKind) -> Message {
    all_of(Some(kind), [])
}

/// `ip link show`, of a kind or all, with further attributes of the request.
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

/// `ip link show master LINK`: the ports of a bridge. The kernel filters.
pub(crate) fn ports_of(index: u32) -> Message {
    all_of(None, [LinkAttribute::Controller(index)])
}

/// `ip link add ...`, for a link that must not exist.
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

/// `ip link set NAME down`
pub(crate) fn down(link: &Link) -> Request {
    set(format!("set {} down", link.name), with_index(link.index).down().build())
}

/// A message about the link with this index.
pub(crate) fn with_index(index: u32) -> LinkMessageBuilder<LinkUnspec> {
    LinkUnspec::new_with_index(index)
}
