//! Prepares the objects that must exist before a measurement.

use std::fs;
use std::io::Result;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use testbed::Node;

use crate::call::{self, NETWORK};
use crate::case::{Case, Prepared};
use crate::contestant::{Contestant, Kind};

/// Prepares the node for a contestant. At most `most` addresses are allocated.
///
/// # Panics
///
/// If the preparation fails; as the testbed, it reports the reason.
pub fn prepare(node: &Node, case: &Case, who: &Contestant, most: u32) {
    for prepared in case.prepared {
        match prepared {
            Prepared::Uplink => drop(node.sh(UPLINK)),
            Prepared::Joined(_) => {} // They join as containers do.
            Prepared::Shell(lines) => drop(node.sh(lines)),
            Prepared::Taken(network, many) => {
                must("take addresses", take(network, (*many).min(most)));
            }
        }
    }
    if case.chain.len() > 1 {
        let file = format!("/etc/cni/net.d/{NETWORK}.conflist");
        must("configure the chain", fs::create_dir_all("/etc/cni/net.d"));
        must("configure the chain", fs::write(file, call::list(case)));
    }
    match &who.kind {
        Kind::Floor(_) => {
            for word in case.floor.unwrap_or_default().split(' ') {
                match word {
                    "bridge" => drop(node.sh(FLOOR_BRIDGE)),
                    "ptp" => drop(node.sh(FLOOR_PTP)),
                    "masq" => drop(node.sh(FLOOR_MASQUERADE)),
                    _ => {}
                }
            }
        }
        Kind::Peer { variant: Some(variant), .. } if !variant.tool.is_empty() => {
            must("leave one tool", only(variant.tool));
        }
        _ => {}
    }
}

/// Reports errors as the testbed does.
#[allow(
    clippy::panic,
    reason = "as of the testbed: a panic on the contestant's thread is how it reports"
)]
fn must(what: &str, done: Result<()>) {
    if let Err(error) = done {
        panic!("{what}: {error}");
    }
}

const UPLINK: &str = "ip link add uplink index 3000 type veth peer name far
    ip link set far up; ip link set uplink up";
/// The objects that the first ADD makes for all containers of the network; the floor has them from
/// the start.
const FLOOR_BRIDGE: &str = "ip link add cni0 index 3000 address 02:02:00:00:00:01 type bridge
    ip addr add 10.88.0.1/16 brd + dev cni0
    sysctl -qw net.ipv6.conf.cni0.accept_ra=0 net.ipv6.conf.cni0.accept_dad=0 net.ipv4.ip_forward=1
    ip link set cni0 up";
const FLOOR_PTP: &str = "sysctl -qw net.ipv4.ip_forward=1";
const FLOOR_MASQUERADE: &str = "nft -f - <<END
    table inet ferrocni {
        map masq4 { type ipv4_addr : verdict; }
        map masq6 { type ipv6_addr : verdict; }
        chain postrouting {
            type nat hook postrouting priority srcnat; policy accept;
            ip daddr 224.0.0.0/4 return
            ip6 daddr ff00::/8 return
            ip saddr vmap @masq4
            ip6 saddr vmap @masq6
        }
        chain masq_10.88.0.0/16 { ip daddr 10.88.0.0/16 return; masquerade; }
    }
END";

/// A directory with one program, for a contestant that must find no other.
fn only(tool: &str) -> Result<()> {
    fs::create_dir_all(call::ONLY)?;
    let places =
        ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"].map(|dir| Path::new(dir).join(tool));
    match places.iter().find(|place| place.exists()) {
        Some(place) => symlink(place, Path::new(call::ONLY).join(tool)),
        None => Err(std::io::Error::other(format!("there is no {tool}"))),
    }
}

/// The maximum number of addresses of one container in very large pools.
const EACH: u32 = 100;
/// From this number of addresses on, files share their content.
const VERY_MANY: u32 = 100_000;

/// Writes the files of a pool as the reference does, with the addresses after the gateway's
/// allocated.
///
/// A file in memory takes a page. In very large pools each container therefore has several
/// addresses, whose files are hard links.
fn take(network: &str, many: u32) -> Result<()> {
    let folder = PathBuf::from("/var/lib/cni/networks").join(NETWORK);
    fs::create_dir_all(&folder)?;
    let base: IpAddr = network.parse().map_err(std::io::Error::other)?;
    let each = if many > VERY_MANY { EACH } else { 1 };
    let mut first = PathBuf::new();
    let mut last = String::new();
    for number in 0..many {
        last = plus(base, number + 2).to_string();
        let file = folder.join(&last);
        if number % each == 0 {
            fs::write(&file, format!("other{number}\r\neth0"))?;
            first = file;
        } else {
            fs::hard_link(&first, file)?;
        }
    }
    fs::write(folder.join("last_reserved_ip.0"), last)
}

fn plus(base: IpAddr, number: u32) -> IpAddr {
    match base {
        IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits().saturating_add(number)).into(),
        IpAddr::V6(base) => {
            Ipv6Addr::from_bits(base.to_bits().saturating_add(number.into())).into()
        }
    }
}
