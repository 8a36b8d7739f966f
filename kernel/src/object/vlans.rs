use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask, LinkMessage,
};
use serde::Serialize;

use super::{At, Kind, Mode, Place};
use crate::error::Result;
use crate::handle::Handle;
use crate::link::IFINFOMSG;
use crate::rtnl::{Message, Request, attributes, word};

/// The VLANs of a bridge port (`bridge vlan`). Requires a bridge that filters VLANs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vlans {
    /// The link that is the port.
    pub link: String,
    /// Whether the port stays in the VLAN of every new port (1, unless the bridge is configured
    /// otherwise).
    pub keep_default: bool,
    /// The VLAN (1 to 4094) of untagged frames, in both directions; `None` adds none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged: Option<u16>,
    /// The VLANs of tagged frames.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tagged: Vec<u16>,
}

/// The VLAN of a new port, unless the bridge's `vlan_default_pvid` was changed.
const DEFAULT_VLAN: u16 = 1;

impl Kind for Vlans {
    fn name(&self) -> &'static str {
        "vlans"
    }

    fn show(&self, _place: Place) -> String {
        let mut lines = Vec::new();
        if !self.keep_default && !self.wants(DEFAULT_VLAN) {
            lines.push(format!("bridge vlan del dev {} vid {DEFAULT_VLAN}", self.link));
        }
        if let Some(vid) = self.untagged {
            lines.push(format!("bridge vlan add dev {} vid {vid} pvid untagged", self.link));
        }
        let tagged: Vec<u16> =
            self.tagged.iter().filter(|vid| self.untagged != Some(**vid)).copied().collect();
        let tagged = ranges(&tagged);
        lines.extend(
            tagged
                .iter()
                .map(|range| format!("bridge vlan add dev {} vid {}", self.link, show(range))),
        );
        lines.join(" && ")
    }

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let repair = at.mode == Mode::Repair;
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        let mut wanted = self.wanted(None);
        if repair || !self.keep_default {
            wanted = self.wanted(self.default_of(handle)?);
            for vid in
                memberships(handle, index)?.into_keys().filter(|vid| !wanted.contains_key(vid))
            {
                let gone = message(index, &[(vid, BridgeVlanInfoFlags::empty())]);
                let action = format!("remove the port {} from VLAN {vid}", self.link);
                let request = Request::new(action, 0, Message::DelLink(gone));
                handle.queue(request.tolerate(&[nix::libc::ENOENT]));
            }
        }
        for (vids, flags) in grouped(&wanted) {
            let action = format!("add the port {} to VLAN {}", self.link, show(&vids));
            handle.queue(Request::new(action, 0, Message::SetLink(range(index, vids, flags))));
        }
        Ok(())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let handle = at.handle()?;
        let Some(link) = handle.link(&self.link)? else { return Ok(vec![]) };
        let now = memberships(handle, link.index)?;
        let wanted = self.wanted(self.default_of(handle)?);
        let missing: Vec<u16> =
            wanted.keys().filter(|vid| !now.contains_key(vid)).copied().collect();
        let unwanted: Vec<u16> =
            now.keys().filter(|vid| !wanted.contains_key(vid)).copied().collect();
        let mut differences = Vec::new();
        for (vids, is) in [(missing, "is not"), (unwanted, "is")] {
            if !vids.is_empty() {
                let vids = ranges(&vids).iter().map(show).collect::<Vec<_>>().join(", ");
                differences.push(format!("port {} {is} in VLAN {vids}", self.link));
            }
        }
        for (vid, flags) in &wanted {
            if now.get(vid).is_some_and(|now| now != flags) {
                let not = match flags.contains(BridgeVlanInfoFlags::Pvid) {
                    true => "but not as the VLAN of untagged frames",
                    false if flags.is_empty() => "but not tagged in both directions",
                    false => "but not with the default flags",
                };
                differences.push(format!("port {} is in VLAN {vid}, {not}", self.link));
            }
        }
        Ok(differences)
    }
}

impl Vlans {
    fn wants(&self, vid: u16) -> bool {
        self.untagged == Some(vid) || self.tagged.contains(&vid)
    }

    /// The wanted memberships of the port. The VLAN of untagged frames may be listed as tagged too;
    /// a port can be in a VLAN in only one way, and then untagged wins.
    fn wanted(&self, default: Option<u16>) -> BTreeMap<u16, BridgeVlanInfoFlags> {
        let tagged = self.tagged.iter().map(|vid| (*vid, BridgeVlanInfoFlags::empty()));
        // The port's own frames go to another VLAN; it still receives frames of the default VLAN.
        let default = default.map(|vid| (vid, BridgeVlanInfoFlags::Untagged));
        let untagged = self.untagged.map(|vid| (vid, untagged()));
        tagged.chain(default).chain(untagged).collect()
    }

    /// The default VLAN of the bridge's new ports, if this port stays in it.
    fn default_of(&self, handle: &mut Handle) -> Result<Option<u16>> {
        let master = match handle.link(&self.link)? {
            Some(link) if self.keep_default => link.master,
            _ => None,
        };
        let Some(master) = master else { return Ok(None) };
        let bridge = handle.links()?.into_iter().find(|link| link.index == master);
        Ok(bridge.and_then(|bridge| bridge.default_vlan))
    }
}

/// The flags of the VLAN for untagged frames in both directions.
fn untagged() -> BridgeVlanInfoFlags {
    BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged
}

/// `bridge vlan add dev LINK vid FIRST-LAST`
fn range(index: u32, vids: RangeInclusive<u16>, flags: BridgeVlanInfoFlags) -> LinkMessage {
    match vids.into_inner() {
        (first, last) if first == last => message(index, &[(first, flags)]),
        (first, last) => message(
            index,
            &[
                (first, flags | BridgeVlanInfoFlags::RangeBegin),
                (last, flags | BridgeVlanInfoFlags::RangeEnd),
            ],
        ),
    }
}

fn message(index: u32, vlans: &[(u16, BridgeVlanInfoFlags)]) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = index;
    let infos = vlans.iter().map(|(vid, flags)| BridgeVlanInfo { vid: *vid, flags: *flags });
    message
        .attributes
        .push(LinkAttribute::AfSpecBridge(infos.map(AfSpecBridge::VlanInfo).collect()));
    message
}

/// `bridge -compressvlans vlan show`; without ranges, a port that is in all VLANs would not fit
/// into a message.
fn all() -> Message {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::BrvlanCompressed]));
    Message::GetLink(message)
}

/// The memberships of a port: `IFLA_AF_SPEC` holds an `IFLA_BRIDGE_VLAN_INFO` for each VLAN, or two
/// for the ends of a range (`include/uapi/linux/if_bridge.h`).
fn memberships(handle: &mut Handle, index: u32) -> Result<BTreeMap<u16, BridgeVlanInfoFlags>> {
    const IFLA_AF_SPEC: u16 = 26;
    const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
    let ports = handle.dump("list the VLANs of bridge ports", all())?;
    let of_port = ports.iter().filter(|body| word(body, 4) == index);
    let infos = of_port
        .flat_map(|body| attributes(body.get(IFINFOMSG..).unwrap_or_default()))
        .filter(|(kind, _)| *kind == IFLA_AF_SPEC)
        .flat_map(|(_, spec)| attributes(spec))
        .filter(|(kind, _)| *kind == IFLA_BRIDGE_VLAN_INFO)
        .filter_map(|(_, info)| BridgeVlanInfo::try_from(info).ok());
    let (mut found, mut first) = (BTreeMap::new(), None);
    for info in infos {
        if info.flags.contains(BridgeVlanInfoFlags::RangeBegin) {
            first = Some(info.vid);
            continue;
        }
        let flags = info.flags.intersection(untagged());
        found.extend((first.take().unwrap_or(info.vid)..=info.vid).map(|vid| (vid, flags)));
    }
    Ok(found)
}

/// Groups VLANs into ranges of the same flags.
fn grouped(
    vlans: &BTreeMap<u16, BridgeVlanInfoFlags>,
) -> Vec<(RangeInclusive<u16>, BridgeVlanInfoFlags)> {
    let kinds = [untagged(), BridgeVlanInfoFlags::Untagged, BridgeVlanInfoFlags::empty()];
    let of_kind = |kind: BridgeVlanInfoFlags| {
        let vids = vlans.iter().filter(move |(_, flags)| **flags == kind).map(|(vid, _)| *vid);
        ranges(&vids.collect::<Vec<_>>()).into_iter().map(move |range| (range, kind))
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// Groups sorted numbers into ranges.
fn ranges(vids: &[u16]) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for vid in vids {
        match ranges.last_mut() {
            Some(range) if *range.end() + 1 == *vid => *range = *range.start()..=*vid,
            _ => ranges.push(*vid..=*vid),
        }
    }
    ranges
}

/// A range in the notation of `bridge(8)`: `101`, `200-210`.
fn show(range: &RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (first, last) if first == last => format!("{first}"),
        (first, last) => format!("{first}-{last}"),
    }
}
