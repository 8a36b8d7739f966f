//! The kernel objects of a container's attachment.

use std::fs::File;
use std::io::{Error, Result, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::masquerade;
use super::netlink::{self, CREATE, Datagram, EXCL, REPLACE};

/// The index of the bridge or the parent.
const SHARED: u32 = 3000;
/// The index of the container's interface. (With the same index on both ends of a veth pair the
/// kernel would detect the carrier late.)
const INSIDE: u32 = 2;
/// The link group of the network.
const GROUP: u32 = 1;

// Messages of rtnetlink(7) and the numbers of their attributes, from the kernel headers of these
// names.
const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const NEW_NSID: u16 = 88;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;

/// The attachment of a container.
pub struct Attachment {
    netns: File,
    link: String,
    index: u32,
    address: Ipv4Addr,
    length: u8,
    gateway: Ipv4Addr,
    tag: String,
    masquerade: bool,
}

impl Attachment {
    pub fn parse(arguments: &[String]) -> Result<Attachment> {
        let wrong = || Error::other("usage: NETNS LINK INDEX ADDRESS/LENGTH GATEWAY TAG [masq]");
        let [netns, link, index, address, gateway, tag, rest @ ..] = arguments else {
            return Err(wrong());
        };
        let (address, length) = address.split_once('/').ok_or_else(wrong)?;
        Ok(Attachment {
            netns: File::open(netns)?,
            link: link.clone(),
            index: index.parse().map_err(|_| wrong())?,
            address: address.parse().map_err(|_| wrong())?,
            length: length.parse().map_err(|_| wrong())?,
            gateway: gateway.parse().map_err(|_| wrong())?,
            tag: tag.clone(),
            masquerade: !rest.is_empty(),
        })
    }

    /// A veth pair, whose host end is a port of the bridge or, without one, the container's
    /// gateway.
    pub fn add_veth(&self, bridged: bool) -> Result<()> {
        let host = netlink::open(NETLINK_ROUTE)?;
        let mut born = Datagram::default();
        self.create_veth(&mut born, bridged);
        born.acknowledged().exchange(&host, None)?;
        write(&format!("ipv6/conf/{}/accept_ra", self.link), "0")?;

        let mut outside = Datagram::default();
        outside.add(SET_LINK, 0, &link(self.index, IFF_UP), |set| {
            set.text(IFLA_IFALIAS, &self.tag);
        });
        if !bridged {
            self.add_address(&mut outside, self.index, self.gateway, 32, 0);
            let to = route(32, SCOPE_HOST);
            outside.add(NEW_ROUTE, CREATE | EXCL, &to, |route| {
                route.attribute(RTA_DST, &self.address.octets());
                route.attribute(RTA_OIF, &self.index.to_ne_bytes());
            });
        }
        let near = if bridged { SHARED } else { self.index };
        outside.add(NEW_NEIGHBOUR, CREATE | REPLACE, &neighbour(near), |neighbour| {
            neighbour.attribute(NDA_DST, &self.address.octets());
            neighbour.attribute(NDA_LLADDR, &self.mac(1));
        });
        outside.acknowledged().exchange(&host, None)?;
        if self.masquerade {
            masquerade::add(self.address, &self.chain(), &self.tag)?;
        }
        self.settle(|inside| self.add_inside(inside, bridged, |_| {}))
    }

    /// A macvlan link on the parent.
    pub fn add_macvlan(&self) -> Result<()> {
        let host = netlink::open(NETLINK_ROUTE)?;
        let netns = self.netns.as_raw_fd().to_ne_bytes();
        let mut born = Datagram::default();
        // NETNSA_FD, NETNSA_NSID: the kernel chooses an ID. An existing one is fine.
        born.add(NEW_NSID, 0, &[0; 4], |id| {
            id.attribute(3, &netns);
            id.attribute(1, &(-1_i32).to_ne_bytes());
        });
        born.add(NEW_LINK, CREATE | EXCL, &link(INSIDE, 0), |new| {
            new.text(IFLA_IFNAME, "eth0");
            new.attribute(IFLA_ADDRESS, &self.mac(1));
            new.attribute(IFLA_GROUP, &GROUP.to_ne_bytes());
            new.attribute(IFLA_LINK, &SHARED.to_ne_bytes());
            new.attribute(IFLA_NET_NS_FD, &netns);
            // IFLA_INFO_KIND, IFLA_INFO_DATA: IFLA_MACVLAN_MODE, bridge
            new.nested(IFLA_LINKINFO, |info| {
                info.attribute(1, b"macvlan");
                info.nested(2, |data| data.attribute(1, &4_u32.to_ne_bytes()));
            });
        });
        born.acknowledged().exchange(&host, Some(Errno::EEXIST))?;
        let alias = |set: &mut Datagram| set.text(IFLA_IFALIAS, &self.tag);
        self.settle(|inside| self.add_inside(inside, true, alias))
    }

    /// Sets `lo` up or down.
    pub fn loopback(&self, up: bool) -> Result<()> {
        let pod = self.enter()?;
        let mut batch = Datagram::default();
        batch.add(SET_LINK, 0, &link(1, if up { IFF_UP } else { 0 }), |_| {});
        batch.acknowledged().exchange(&pod, None)
    }

    /// Deletes the veth pair, and what is not removed with it. The removal of the masquerade
    /// element waits for a grace period, which the link's covers, so it comes last.
    pub fn del_veth(&self, bridged: bool) -> Result<()> {
        let closed_last = self.masquerade.then(|| masquerade::delete(self.address)).transpose()?;
        let host = netlink::open(NETLINK_ROUTE)?;
        let mut batch = Datagram::default();
        if bridged {
            batch.add(DELETE_NEIGHBOUR, 0, &neighbour(SHARED), |neighbour| {
                neighbour.attribute(NDA_DST, &self.address.octets());
            });
        }
        batch.add(DELETE_LINK, 0, &link(0, 0), |delete| delete.text(IFLA_IFNAME, &self.link));
        // The kernel removes neighbours by itself.
        batch.acknowledged().exchange(&host, Some(Errno::ENOENT))?;
        drop(closed_last);
        Ok(())
    }

    /// Deletes the container's interface.
    pub fn del_macvlan(&self) -> Result<()> {
        let pod = self.enter()?;
        let mut batch = Datagram::default();
        batch.add(DELETE_LINK, 0, &link(0, 0), |delete| delete.text(IFLA_IFNAME, "eth0"));
        batch.acknowledged().exchange(&pod, None)
    }

    fn create_veth(&self, batch: &mut Datagram, bridged: bool) {
        batch.add(NEW_LINK, CREATE | EXCL, &link(self.index, 0), |new| {
            new.text(IFLA_IFNAME, &self.link);
            new.attribute(IFLA_ADDRESS, &self.mac(0));
            new.attribute(IFLA_GROUP, &GROUP.to_ne_bytes());
            if bridged {
                new.attribute(IFLA_MASTER, &SHARED.to_ne_bytes());
            }
            // IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER
            new.nested(IFLA_LINKINFO, |info| {
                info.attribute(1, b"veth");
                info.nested(2, |data| {
                    data.nested(1, |peer| {
                        peer.raw(&link(INSIDE, 0));
                        peer.text(IFLA_IFNAME, "eth0");
                        peer.attribute(IFLA_ADDRESS, &self.mac(1));
                        peer.attribute(IFLA_NET_NS_FD, &self.netns.as_raw_fd().to_ne_bytes());
                    });
                });
            });
        });
    }

    /// Enters the container, applies the settings of the interface, and then sends the requests of
    /// `batch`.
    fn settle(&self, batch: impl FnOnce(&mut Datagram)) -> Result<()> {
        let pod = self.enter()?;
        write("ipv6/conf/eth0/accept_dad", "0")?;
        write("ipv4/conf/eth0/arp_notify", "1")?;
        let mut inside = Datagram::default();
        batch(&mut inside);
        inside.acknowledged().exchange(&pod, None)
    }

    /// The address, further addresses in `more`, and the routes: the default route if the subnet is
    /// on the link, otherwise those to the gateway and through it to the subnet.
    fn add_inside(
        &self,
        batch: &mut Datagram,
        subnet_on_link: bool,
        more: impl FnOnce(&mut Datagram),
    ) {
        let flags = if subnet_on_link { 0 } else { IFA_F_NOPREFIXROUTE };
        self.add_address(batch, INSIDE, self.address, self.length, flags);
        batch.add(SET_LINK, 0, &link(INSIDE, IFF_UP), more);
        let oif = INSIDE.to_ne_bytes();
        let gateway = self.gateway.octets();
        if !subnet_on_link {
            batch.add(NEW_ROUTE, CREATE | EXCL, &route(32, SCOPE_LINK), |route| {
                route.attribute(RTA_DST, &gateway);
                route.attribute(RTA_OIF, &oif);
                route.attribute(RTA_PREFSRC, &self.address.octets());
            });
            batch.add(NEW_ROUTE, CREATE | EXCL, &route(self.length, 0), |route| {
                route.attribute(RTA_DST, &self.network().octets());
                route.attribute(RTA_OIF, &oif);
                route.attribute(RTA_GATEWAY, &gateway);
                route.attribute(RTA_PREFSRC, &self.address.octets());
            });
        }
        batch.add(NEW_ROUTE, CREATE | EXCL, &route(0, 0), |route| {
            route.attribute(RTA_OIF, &oif);
            route.attribute(RTA_GATEWAY, &gateway);
        });
    }

    fn add_address(&self, batch: &mut Datagram, of: u32, ip: Ipv4Addr, length: u8, flags: u32) {
        // struct ifaddrmsg: family, prefix length, flags, scope, index
        let fixed = [&[AF_INET, length, 0, 0], of.to_ne_bytes().as_slice()].concat();
        batch.add(NEW_ADDRESS, CREATE | EXCL, &fixed, |address| {
            // IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, IFA_FLAGS
            address.attribute(2, &ip.octets());
            address.attribute(1, &ip.octets());
            if length < 31 {
                address.attribute(4, &(ip | !mask(length)).octets());
            }
            if flags != 0 {
                address.attribute(8, &flags.to_ne_bytes());
            }
        });
    }

    /// A socket in the container's namespace, which the process stays in.
    fn enter(&self) -> Result<Socket> {
        setns(&self.netns, CloneFlags::CLONE_NEWNET)?;
        netlink::open(NETLINK_ROUTE)
    }

    /// The MAC address of an end: locally administered.
    fn mac(&self, end: u8) -> [u8; 6] {
        let [a, b, c, d] = self.index.to_be_bytes();
        [0x02, end, a, b, c, d]
    }

    fn network(&self) -> Ipv4Addr {
        self.address & mask(self.length)
    }

    /// The chain of the subnet.
    fn chain(&self) -> String {
        format!("masq_{}/{}", self.network(), self.length)
    }
}

const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

fn mask(length: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0))
}

/// `struct ifinfomsg`: a link by its index, and whether to set it up.
fn link(index: u32, flags: u32) -> [u8; 16] {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    let [f0, f1, f2, f3] = flags.to_ne_bytes();
    let [c0, c1, c2, c3] = IFF_UP.to_ne_bytes();
    [0, 0, 0, 0, i0, i1, i2, i3, f0, f1, f2, f3, c0, c1, c2, c3]
}

/// `struct rtmsg`: family, lengths, tos, table main, protocol boot, scope, type unicast, flags
fn route(length: u8, scope: u8) -> [u8; 12] {
    [AF_INET, length, 0, 0, 254, 3, scope, 1, 0, 0, 0, 0]
}

/// `struct ndmsg`: family, index, state stale
fn neighbour(index: u32) -> [u8; 12] {
    let [a, b, c, d] = index.to_ne_bytes();
    [AF_INET, 0, 0, 0, a, b, c, d, 4, 0, 0, 0]
}

/// `sysctl -w net/KEY=VALUE`
fn write(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{key}");
    File::options().write(true).open(&path)?.write_all(value.as_bytes())
}
