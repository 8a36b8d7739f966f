//! Whether a link is the client of a wireless network, read over generic netlink
//! (`include/uapi/linux/nl80211.h`).

use std::path::Path;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use crate::handle::Handle;
use crate::rtnl::{attributes, half, word};

/// `struct nlmsghdr` and `struct genlmsghdr` in bytes.
const HEADERS: usize = 20;
const NLM_F_REQUEST: u16 = 1;
/// The family of the generic netlink controller, its request for a family by name, and the
/// attributes with number and name.
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GET_INTERFACE: u8 = 5;
const IFINDEX: u16 = 3;
const IFTYPE: u16 = 5;
const FOUR_ADDRESSES: u16 = 83;
const STATION: u32 = 2;
const P2P_CLIENT: u32 = 8;

/// Whether the access point accepts frames only from the link's own MAC address, because the link
/// is a client without four-address mode. False if that cannot be determined.
pub(crate) fn is_client(handle: &Handle, index: u32) -> bool {
    // The request for a family makes the kernel load its module, which a host without wireless
    // links does not need.
    Path::new("/sys/module/cfg80211").exists()
        && handle.inside(|| Ok(ask_for(index))).ok().flatten().unwrap_or(false)
}

fn ask_for(index: u32) -> Option<bool> {
    let mut socket = Socket::new(NETLINK_GENERIC).ok()?;
    socket.bind_auto().ok()?;
    socket.connect(&SocketAddr::new(0, 0)).ok()?;
    let answer = ask(&socket, CONTROLLER, GET_FAMILY, (FAMILY_NAME, b"nl80211\0"))?;
    let family = attributes(answer.get(HEADERS..)?).find(|(kind, _)| *kind == FAMILY_ID)?;
    let family = half(family.1, 0);
    let answer = ask(&socket, family, GET_INTERFACE, (IFINDEX, &index.to_ne_bytes()))?;
    let (mut is_client, mut names_more) = (false, false);
    for (kind, value) in attributes(answer.get(HEADERS..)?) {
        match kind {
            IFTYPE => is_client = matches!(word(value, 0), STATION | P2P_CLIENT),
            FOUR_ADDRESSES => names_more = value.first() == Some(&1),
            _ => {}
        }
    }
    Some(is_client && !names_more)
}

/// Sends one request with one attribute; `None` if the answer is an error.
fn ask(socket: &Socket, family: u16, command: u8, (kind, value): (u16, &[u8])) -> Option<Vec<u8>> {
    let attribute = u16::try_from(4 + value.len()).ok()?;
    let length = u32::try_from((HEADERS + 4 + value.len()).next_multiple_of(4)).ok()?;
    let mut message = Vec::new();
    message.extend(length.to_ne_bytes());
    message.extend([family, NLM_F_REQUEST].map(u16::to_ne_bytes).concat());
    message.extend([1_u32, 0].map(u32::to_ne_bytes).concat());
    message.extend([command, 1, 0, 0]);
    message.extend([attribute, kind].map(u16::to_ne_bytes).concat());
    message.extend(value);
    message.resize(length as usize, 0);
    socket.send(&message, 0).ok()?;
    let (answer, _) = socket.recv_from_full().ok()?;
    (half(&answer, 4) == family).then_some(answer)
}
