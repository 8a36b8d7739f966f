//! Other network namespaces by the ids that this one knows them by (`ip netns list-id`).
//!
//! A link inside a container that has no other end on the host would be out of reach once the path of the container's
//! namespace is lost. So before such a link is made, its namespace gets an id in the host's; DEL and GC go through the
//! ids. An id costs nothing and goes with its namespace.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::Parseable;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use crate::error::Result;
use crate::link::{self, Link};
use crate::netns::Namespace;
use crate::rtnl::{Message, Request};
use crate::side::Side;

/// Gives a namespace an id in this one, if it has none: `ip netns set NAME auto`.
pub(crate) fn give(side: &mut Side, namespace: &Namespace) -> Result<()> {
    /// `NETNSA_NSID_NOT_ASSIGNED`: the kernel is to choose one (`include/uapi/linux/net_namespace.h`).
    const ANY: i32 = -1;
    let descriptor = namespace.as_fd().as_raw_fd().cast_unsigned();
    let mut message = NsidMessage::default();
    message.attributes = vec![NsidAttribute::Fd(descriptor), NsidAttribute::Id(ANY)];
    let action = "give the container's network namespace an id";
    let request = Request::new(action, 0, Message::NewNsid(message));
    side.now(request.tolerate(&[nix::libc::EEXIST]))
}

/// The links of every namespace that has an id, all or those of a kind, with that id. A namespace that is going, or that belongs to
/// somebody whose links are not ours to see, is left out.
///
/// The other end of a veth gives its namespace an id too, so there are as many as containers. Of a kind, it is two short
/// calls for each: the kernel chooses.
pub(crate) fn links(side: &mut Side, kind: Option<&InfoKind>) -> Result<Vec<(i32, Link)>> {
    const ACTION: &str = "list the ids of network namespaces";
    let bodies = side.dump(ACTION, Message::GetNsid(NsidMessage::default()))?;
    let mut found = Vec::new();
    for id in bodies.iter().filter_map(|body| id(body)) {
        let inside = [LinkAttribute::IfNetnsId(id)];
        match side.dump("list the interfaces of a container", link::all_of(kind, inside)) {
            Ok(links) => found.extend(links.iter().map(|body| (id, Link::read(body)))),
            // It has gone since, or its user namespace is not ours.
            Err(error) if [nix::libc::EINVAL, nix::libc::EACCES].contains(&error.errno) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(kind) = kind {
        found.retain(|(_, link)| link.kind == kind.to_string());
    }
    Ok(found)
}

fn id(body: &[u8]) -> Option<i32> {
    let message = NsidMessage::parse(body).ok()?;
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => Some(*id),
        _ => None,
    })
}

/// `ip link del NAME` in the namespace of an id.
pub(crate) fn delete(id: i32, link: &Link) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message.attributes = vec![LinkAttribute::IfNetnsId(id)];
    let action = format!("delete the interface {} of a container", link.name);
    // EINVAL: the namespace has gone in the meantime, and the link with it.
    Request::new(action, 0, Message::DelLink(message))
        .tolerate(&[nix::libc::ENODEV, nix::libc::EINVAL])
}
