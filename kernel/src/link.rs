//! Links as they are read from the kernel, and the requests about links as such.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkInfo, LinkMessage, State,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use crate::owner::Mac;
use crate::rtnl::{Message, Request};

/// What the kernel says of a link.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    /// `veth`, `bridge`, ...; empty for physical ones.
    pub(crate) kind: String,
    pub(crate) mac: Option<Mac>,
    pub(crate) mtu: u32,
    /// The index of the bridge (or other controller) the link is a port of.
    pub(crate) master: Option<u32>,
    /// The index of the other end of a veth, in its own namespace.
    pub(crate) peer: Option<u32>,
    pub(crate) alias: String,
    pub(crate) group: u32,
    pub(crate) up: bool,
    /// Packets pass: the link is up and has a carrier (RFC 2863 `ifOperStatus`).
    pub(crate) running: bool,
    /// Whether somebody set it to receive every frame (a packet capture alone does not count).
    pub(crate) promiscuous: bool,
    pub(crate) vlan_filtering: bool,
    pub(crate) hairpin: bool,
    pub(crate) isolated: bool,
}

impl Link {
    pub(crate) fn read(message: &LinkMessage) -> Link {
        let mut link = Link {
            index: message.header.index,
            up: message.header.flags.contains(LinkFlags::Up),
            promiscuous: message.header.flags.contains(LinkFlags::Promisc),
            ..Link::default()
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Address(mac) => link.mac = mac.as_slice().try_into().ok().map(Mac),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Controller(master) => link.master = Some(*master),
                LinkAttribute::Link(peer) => link.peer = Some(*peer),
                LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::OperState(state) => link.running = *state == State::Up,
                LinkAttribute::LinkInfo(infos) => {
                    infos.iter().for_each(|info| link.read_info(info))
                }
                _ => {}
            }
        }
        link
    }

    fn read_info(&mut self, info: &LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = kind_name(kind),
            LinkInfo::Data(InfoData::Bridge(infos)) => {
                self.vlan_filtering =
                    infos.iter().any(|info| matches!(info, InfoBridge::VlanFiltering(true)));
            }
            LinkInfo::PortData(InfoPortData::BridgePort(infos)) => {
                self.hairpin =
                    infos.iter().any(|info| matches!(info, InfoBridgePort::HairpinMode(true)));
                self.isolated =
                    infos.iter().any(|info| matches!(info, InfoBridgePort::Isolated(true)));
            }
            _ => {}
        }
    }
}

fn kind_name(kind: &InfoKind) -> String {
    kind.to_string()
}

/// `ip link show NAME`
pub(crate) fn by_name(name: &str) -> Request {
    let mut message = LinkUnspec::new_with_name(name).build();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    Request::new(format!("look at the interface {name}"), 0, Message::GetLink(message))
}

/// `ip link show`
pub(crate) fn all() -> Message {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    Message::GetLink(message)
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
