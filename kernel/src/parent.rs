//! Reasons why a link cannot carry macvlan links, with remedies.

use std::fs;
use std::path::Path;

use netlink_packet_route::link::InfoKind;

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{Link, MacvlanMode};
use crate::netnsid;
use crate::wireless;

/// The obstacles that are known before the kernel is asked.
pub(crate) fn obstacle(
    handle: &mut Handle,
    parent: &Link,
    mode: MacvlanMode,
) -> Result<Option<Error>> {
    match unfit(handle, parent, mode)? {
        None => taken(handle, parent),
        unfit => Ok(unfit),
    }
}

fn found(parent: &Link, said: String, hint: String) -> Option<Error> {
    let action = format!("use {} as the parent of macvlan links", parent.name);
    Some(Error::found(action, said).hint(hint))
}

/// Obstacles in the parent itself.
fn unfit(handle: &mut Handle, parent: &Link, mode: MacvlanMode) -> Result<Option<Error>> {
    let name = &parent.name;
    let found = |said: String, hint: String| found(parent, said, hint);
    if !parent.ethernet {
        return Ok(found(
            format!("{name} is not an Ethernet link"),
            "\"master\" must be an Ethernet link: a network card, a bond, a VLAN, a bridge".into(),
        ));
    }
    let master = match parent.master {
        Some(index) => handle.link_at(index)?,
        None => None,
    };
    if let Some(master) = master.filter(takes_all_frames) {
        return Ok(found(
            format!(
                "{name} is a port of the {} {}, which receives all its frames",
                master.kind, master.name
            ),
            format!(
                "use \"master\": \"{}\", or remove it from there: ip link set {name} nomaster",
                master.name
            ),
        ));
    }
    if mode != MacvlanMode::Passthru
        && parent.kind.is_empty()
        && wireless::is_client(handle, parent.index)
    {
        return Ok(found(
            format!(
                "{name} is a wireless link, whose access point accepts frames from one MAC address \
                 only"
            ),
            "use ptp, or ipvlan, which keep the host's MAC address; or mode passthru for a single \
             container"
                .into(),
        ));
    }
    Ok(None)
}

/// Obstacles in the links over the parent.
fn taken(handle: &mut Handle, parent: &Link) -> Result<Option<Error>> {
    let mut links = handle.links_of(&InfoKind::MacVlan)?;
    // A kernel that does not know the kind has no such links, but would report all links. If ipvlan
    // is not a module, the kernel's refusal tells.
    if Path::new("/sys/module/ipvlan").exists() {
        links.extend(handle.links_of(&InfoKind::IpVlan)?);
    }
    let children =
        || links.iter().filter(|link| link.peer == Some(parent.index) && link.namespace.is_none());
    if let Some(child) = children().find(|child| child.kind.starts_with("ipvlan")) {
        return Ok(found(
            parent,
            format!("{} has the ipvlan link {}", parent.name, child.name),
            OTHER_PARENT.into(),
        ));
    }
    let is_passthru = |child: &&Link| child.macvlan_mode == Some(MacvlanMode::Passthru);
    if let Some(child) = children().find(is_passthru) {
        return Ok(found(
            parent,
            format!("{} has exclusive use of it, in mode passthru", child.name),
            OTHER_PARENT.into(),
        ));
    }
    Ok(None)
}

const OTHER_PARENT: &str = "a parent carries either macvlan or ipvlan links, or a single macvlan \
                            link in mode passthru: use another parent";

/// Controllers that receive a port's frames before a macvlan link could. A VRF is not one of them.
fn takes_all_frames(master: &Link) -> bool {
    ["bridge", "bond", "team", "openvswitch", "hsr"].contains(&master.kind.as_str())
}

/// Explains the kernel's refusal to create a link over a parent.
pub(crate) fn explain(handle: &mut Handle, name: &str, mode: MacvlanMode, error: Error) -> Error {
    let Ok(Some(parent)) = handle.link(name) else { return error };
    if let Ok(Some(obstacle)) = obstacle(handle, &parent, mode) {
        return Error { errno: error.errno, ..obstacle };
    }
    if !matches!(error.errno, nix::libc::EBUSY | nix::libc::EINVAL) {
        return error;
    }
    // The link that uses the parent may be in another namespace, where only its alias describes it.
    let links = netnsid::links(handle, None).unwrap_or_default();
    let is_in_the_way = |link: &Link| {
        let is_child = link.peer == Some(parent.index) && link.namespace.is_some();
        let is_alone =
            link.macvlan_mode == Some(MacvlanMode::Passthru) || mode == MacvlanMode::Passthru;
        is_child && (link.kind.starts_with("ipvlan") || (link.kind == "macvlan" && is_alone))
    };
    match links.iter().find(|(_, link)| is_in_the_way(link)) {
        Some((_, link)) => {
            let whose = if link.alias.is_empty() { &link.name } else { &link.alias };
            let how = link.macvlan_mode.map_or("", MacvlanMode::as_str);
            let said = format!("{name} is in use by the {} link {whose} of a container", link.kind);
            error.said(format!("{said} {how}").trim_end()).hint(OTHER_PARENT)
        }
        None if error.said.is_empty() && error.errno == nix::libc::EBUSY => error
            .said(format!(
                "{name} is in exclusive use, for example by a bridge, a bond or ipvlan links"
            ))
            .hint(OTHER_PARENT),
        None => error.hint(OTHER_PARENT),
    }
}

impl Link {
    /// The driver of the device behind the link, if there is one and `/sys` shows it.
    pub fn driver(&self) -> Option<String> {
        let driver = fs::read_link(Path::new(&folder(self)?).join("device/driver")).ok()?;
        Some(driver.file_name()?.to_str()?.to_owned())
    }
}

/// The directory of a link below `/sys`, if it is that link's and not that of a link with the same
/// name in another namespace.
fn folder(link: &Link) -> Option<String> {
    let folder = format!("/sys/class/net/{}", link.name);
    let read = |file: &str| fs::read_to_string(format!("{folder}/{file}")).ok();
    let is_it = read("ifindex")?.trim() == link.index.to_string()
        && read("address")?.trim() == link.mac?.to_string();
    is_it.then_some(folder)
}
