use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask, LinkMessage,
};
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place};
use crate::error::Result;
use crate::link::IFINFOMSG;
use crate::rtnl::{Message, Request, attributes, word};

/// The VLANs a bridge port is a member of (`bridge vlan`). Needs a bridge that filters VLANs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vlans {
    /// The link that is the port.
    pub link: String,
    /// Whether the port stays in the VLAN where the kernel puts every new port (1, unless the bridge says otherwise).
    pub keep_default: bool,
    /// The VLAN (1 to 4094) of frames without a tag, both ways; none adds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untagged: Option<u16>,
    /// The VLANs of frames with a tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tagged: Vec<u16>,
}

/// The VLAN of a new port, unless the bridge's `vlan_default_pvid` was changed.
const DEFAULT_VLAN: u16 = 1;

impl Kind for Vlans {
    fn show(&self, _place: Place) -> String {
        let mut lines = Vec::new();
        if !self.keep_default && !self.wants(DEFAULT_VLAN) {
            lines.push(format!("bridge vlan del dev {} vid {DEFAULT_VLAN}", self.link));
        }
        if let Some(vid) = self.untagged {
            lines.push(format!("bridge vlan add dev {} vid {vid} pvid untagged", self.link));
        }
        lines.extend(
            ranges(&self.tagged)
                .iter()
                .map(|range| format!("bridge vlan add dev {} vid {range}", self.link)),
        );
        lines.join(" && ")
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let side = at.side()?;
        let index = side.index(&self.link)?;
        if !self.keep_default {
            let now = memberships(&side.dump("list the VLANs of bridge ports", all())?, index);
            for vid in now.iter().map(|info| info.vid).filter(|vid| !self.wants(*vid)) {
                let gone = vlan(index, vid, BridgeVlanInfoFlags::empty());
                let action = format!("take the port {} out of VLAN {vid}", self.link);
                let request = Request::new(action, 0, Message::DelLink(gone));
                side.queue(request.tolerate(&[nix::libc::ENOENT]));
            }
        }
        let untagged = self
            .untagged
            .map(|vid| (vid, BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged));
        let tagged = self.tagged.iter().map(|vid| (*vid, BridgeVlanInfoFlags::empty()));
        for (vid, flags) in untagged.into_iter().chain(tagged) {
            let message = Message::SetLink(vlan(index, vid, flags));
            side.queue(Request::new(
                format!("put the port {} into VLAN {vid}", self.link),
                0,
                message,
            ));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let side = at.side()?;
        let Some(link) = side.link(&self.link)? else { return Ok(vec![]) };
        let now = memberships(&side.dump("list the VLANs of bridge ports", all())?, link.index);
        let untagged = BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged;
        let mut differences = Vec::new();
        let wanted = self.untagged.iter().map(|vid| (*vid, untagged));
        for (vid, flags) in
            wanted.chain(self.tagged.iter().map(|vid| (*vid, BridgeVlanInfoFlags::empty())))
        {
            match now.iter().find(|info| info.vid == vid) {
                None => differences.push(format!("port {} is not in VLAN {vid}", self.link)),
                Some(info) if info.flags.intersection(untagged) != flags => {
                    differences.push(format!(
                        "port {} is in VLAN {vid}, but not tagged as wanted",
                        self.link
                    ));
                }
                Some(_) => {}
            }
        }
        let unwanted =
            now.iter().map(|info| info.vid).filter(|vid| !self.keep_default && !self.wants(*vid));
        differences.extend(unwanted.map(|vid| format!("port {} is in VLAN {vid}", self.link)));
        Ok(differences)
    }
}

impl Vlans {
    fn wants(&self, vid: u16) -> bool {
        self.untagged == Some(vid) || self.tagged.contains(&vid)
    }
}

fn vlan(index: u32, vid: u16, flags: BridgeVlanInfoFlags) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let info = AfSpecBridge::VlanInfo(BridgeVlanInfo { vid, flags });
    message.attributes.push(LinkAttribute::AfSpecBridge(vec![info]));
    message
}

/// `bridge vlan show`
fn all() -> Message {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
    Message::GetLink(message)
}

/// What the VLANs of a port are in a list of all ports: `IFLA_AF_SPEC` holds an `IFLA_BRIDGE_VLAN_INFO` for each
/// (`include/uapi/linux/if_bridge.h`).
fn memberships(ports: &[Vec<u8>], index: u32) -> Vec<BridgeVlanInfo> {
    const IFLA_AF_SPEC: u16 = 26;
    const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
    let of_port = ports.iter().filter(|body| word(body, 4) == index);
    of_port
        .flat_map(|body| attributes(body.get(IFINFOMSG..).unwrap_or_default()))
        .filter(|(kind, _)| *kind == IFLA_AF_SPEC)
        .flat_map(|(_, spec)| attributes(spec))
        .filter(|(kind, _)| *kind == IFLA_BRIDGE_VLAN_INFO)
        .filter_map(|(_, info)| BridgeVlanInfo::try_from(info).ok())
        .collect()
}

/// Sorted numbers as `bridge(8)` takes them: `101`, `200-210`.
fn ranges(vids: &[u16]) -> Vec<String> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for vid in vids {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *vid => *last = *vid,
            _ => ranges.push((*vid, *vid)),
        }
    }
    let show =
        |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.into_iter().map(show).collect()
}
