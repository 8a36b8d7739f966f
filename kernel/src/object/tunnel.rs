use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::IpProtocol;
use netlink_packet_route::link::{InfoData, InfoIpTunnel, InfoKind, LinkMessage};
use rtnetlink::LinkIpIp;
use serde::{Deserialize, Serialize};

use super::{Address, At, Conflict, Kind, Place, ip};
use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::owner::Owner;
use crate::side::{Side, Sides};

/// A tunnel of IPv4 in IPv4 (`ip link add NAME type ipip`, RFC 2003) to no machine in particular: the next hop of a route
/// says where each packet goes.
///
/// It belongs to a network, not to one attachment, and says so in its alias. Link, address and state are one object: a
/// failed ADD takes none of them back, because other attachments' packets go through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its name. [`Tunnel::FALLBACK`] is made by the kernel, and adopted.
    pub name: String,
    /// The network it belongs to.
    pub network: String,
    /// The source of its packets. The fallback device has none, and leaves it to the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Ipv4Addr>,
    /// The largest packet inside, in bytes.
    pub mtu: u32,
    /// The address of the host on it; none leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// What becomes of other addresses that it has.
    #[serde(default)]
    pub conflict: Conflict,
}

impl Tunnel {
    /// The device that the kernel makes with the module, and that takes every packet no other tunnel takes. It cannot be
    /// deleted, nor get a source address.
    pub const FALLBACK: &'static str = "tunl0";

    /// What IP in IP costs each packet, in bytes.
    pub const HEADER: u32 = 20;

    /// Whether the tunnel is there or could be made.
    ///
    /// # Errors
    ///
    /// Why not; or that it was made, and somebody has taken it down.
    pub fn usable(&self) -> Result<()> {
        let side = &mut Sides::host_only()?.host;
        let Some(link) = side.link(&self.name)? else { return self.probe(side) };
        self.check(side, &link)?;
        if self.is_ours(&link) && !link.up {
            return Err(Error::found(format!("use the tunnel {}", self.name), "it is down").hint(
                format!("the next ADD brings it up, and so does: ip link set {} up", self.name),
            ));
        }
        Ok(())
    }

    /// Asks for a tunnel that cannot be, and looks at the reason.
    fn probe(&self, side: &mut Side) -> Result<()> {
        const UNKNOWN_PROTOCOL: u8 = 255;
        let nonsense = InfoIpTunnel::Protocol(IpProtocol::from(UNKNOWN_PROTOCOL));
        let message = LinkIpIp::new(&self.name).set_info_data(InfoData::IpTunnel(vec![nonsense]));
        match side.now(link::create(self.making(), message.build())) {
            Err(error) if error.errno == nix::libc::EOPNOTSUPP => Err(explain_missing(error)),
            _ => Ok(()),
        }
    }

    fn making(&self) -> String {
        format!("create the tunnel {}", self.name)
    }

    fn is_fallback(&self) -> bool {
        self.name == Tunnel::FALLBACK
    }

    fn tag(&self) -> String {
        Owner::network_tag(&self.network)
    }

    fn is_ours(&self, link: &Link) -> bool {
        link.alias == self.tag() || link.group == Owner::group(&self.network)
    }

    /// Whether a link of this name can be the tunnel.
    fn check(&self, side: &mut Side, link: &Link) -> Result<()> {
        let refuse = |said: String, hint: String| {
            Err(Error::found(format!("use the tunnel {}", self.name), said).hint(hint))
        };
        let other = "give \"device\" another name, for a tunnel of its own".to_owned();
        if link.kind != "ipip" {
            let kind = if link.kind.is_empty() { "a device" } else { &link.kind };
            return refuse(format!("{} is no ipip tunnel but {kind}", self.name), other);
        }
        if let Some(remote) = link.tunnel.remote {
            let said = format!("{} is a tunnel to {remote} alone", self.name);
            return refuse(said, other);
        }
        if self.is_ours(link) && (link.alias.is_empty() || link.alias == self.tag()) {
            return Ok(());
        }
        if !link.alias.is_empty() {
            let said = format!("{} belongs to \"{}\", as its alias says", self.name, link.alias);
            return refuse(
                said,
                format!("{other}; if it is left over: ip link set {} alias \"\"", self.name),
            );
        }
        let held = side.addresses(link.index)?;
        if let Some(foreign) = held.iter().find(|held| self.is_foreign(held.address)) {
            let address = foreign.address;
            return refuse(
                format!("{} has the address {address} of somebody else", self.name),
                format!(
                    "{other}; if the address is left over: ip address del {address} dev {}",
                    self.name
                ),
            );
        }
        if !self.is_fallback() && link.tunnel.local != self.local {
            return refuse(format!("{} is somebody else's tunnel", self.name), other);
        }
        Ok(())
    }

    fn is_foreign(&self, address: IpNetwork) -> bool {
        address.is_ipv4() && self.address.map(IpAddr::from) != Some(address.ip())
    }

    fn wanted_address(&self) -> Option<Address> {
        Some(Address::new(&self.name, IpNetwork::from(IpAddr::V4(self.address?))))
    }

    /// The addresses that have to go.
    fn surplus(&self, side: &mut Side, link: &Link) -> Result<Vec<IpNetwork>> {
        if self.conflict != Conflict::Replace {
            return Ok(Vec::new());
        }
        let held = side.addresses(link.index)?.into_iter().map(|held| held.address);
        Ok(held.filter(|held| self.is_foreign(*held)).collect())
    }

    /// What the kernel is told about the tunnel's ends. For the fallback device, nothing.
    fn ends(&self) -> Vec<InfoIpTunnel> {
        let local = self.local.map(|local| InfoIpTunnel::Local(local.into()));
        local.into_iter().chain([InfoIpTunnel::PMtuDisc(true)]).collect()
    }

    /// Makes the tunnel, or lets the kernel make its fallback device by loading the module.
    fn create(&self, at: &mut At<'_>) -> Result<Link> {
        let message = LinkIpIp::new(&self.name)
            .mtu(self.mtu)
            .link_group(Owner::group(&self.network))
            .set_info_data(InfoData::IpTunnel(self.ends()));
        match at.side()?.now(link::create(self.making(), message.build())) {
            Err(error) if error.errno == nix::libc::EOPNOTSUPP => Err(explain_missing(error)),
            Err(error) if error.is_taken() => at.side()?.link(&self.name)?.ok_or_else(|| {
                error.said("another tunnel has the same ends").hint(
                    "see \"ip -d link show type ipip\": use that one, or give \"local\" another address",
                )
            }),
            made => made.and_then(|()| at.side()?.existing(&self.name)),
        }
    }

    fn has_right_ends(&self, link: &Link) -> bool {
        self.is_fallback() || (link.tunnel.local == self.local && link.tunnel.pmtudisc)
    }

    /// Gives a tunnel with other ends the right ones.
    fn change_ends(&self) -> LinkMessage {
        let message = LinkIpIp::new(&self.name).mtu(self.mtu);
        message.set_info_data(InfoData::IpTunnel(self.ends())).build()
    }
}

impl Kind for Tunnel {
    fn show(&self, place: Place) -> String {
        let (ip, name, mtu) = (ip(place), &self.name, self.mtu);
        let mut lines = match self.local {
            Some(local) if !self.is_fallback() => {
                vec![format!("{ip} link add {name} mtu {mtu} type ipip local {local} pmtudisc")]
            }
            _ => vec!["modprobe ipip".to_owned(), format!("{ip} link set {name} mtu {mtu}")],
        };
        lines.push(format!("{ip} link set {name} alias {}", self.tag()));
        lines.extend(self.wanted_address().map(|address| address.show(place)));
        lines.push(format!("{ip} link set {name} up"));
        lines.join(" && ")
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let link = match at.side()?.link(&self.name)? {
            Some(link) => link,
            None => self.create(at)?,
        };
        let side = at.side()?;
        self.check(side, &link)?;
        let surplus = self.surplus(side, &link)?;
        if !self.has_right_ends(&link) {
            let action = format!("set the ends of the tunnel {}", self.name);
            side.queue(link::set(action, self.change_ends()));
        }
        if link.mtu != self.mtu || link.alias != self.tag() {
            let message = link::with_index(link.index).mtu(self.mtu).alias(self.tag()).build();
            side.queue(link::set(format!("set MTU and alias of {}", self.name), message));
        }
        if let Some(address) = self.wanted_address() {
            side.queue(address.request(link.index).tolerate(&[nix::libc::EEXIST]));
        }
        for address in surplus {
            side.queue(super::remove_address(&self.name, link.index, address));
        }
        if !link.up {
            let message = link::with_index(link.index).up().build();
            side.queue(link::set(format!("set {} up", self.name), message));
        }
        side.flush()
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let (side, name) = (at.side()?, &self.name);
        let Some(link) = side.link(name)? else {
            return Ok(vec![format!("tunnel {name} is gone")]);
        };
        if let Err(error) = self.check(side, &link) {
            return Ok(vec![error.reason()]);
        }
        let mut differences = Vec::new();
        if link.alias != self.tag() {
            differences.push(format!("tunnel {name} does not have the alias {}", self.tag()));
        }
        if !self.has_right_ends(&link) {
            let none = || "none".to_owned();
            let [now, wanted] = [link.tunnel.local, self.local]
                .map(|local| local.map_or_else(none, |local| local.to_string()));
            differences.push(match now == wanted {
                true => format!("tunnel {name} does not do path MTU discovery"),
                false => format!("tunnel {name} has the source {now} instead of {wanted}"),
            });
        }
        if link.mtu != self.mtu {
            differences
                .push(format!("tunnel {name} has the MTU {} instead of {}", link.mtu, self.mtu));
        }
        let held = side.addresses(link.index)?;
        if let Some(wanted) = self.address
            && !held.iter().any(|held| held.address.ip() == IpAddr::from(wanted))
        {
            differences.push(format!("address {wanted} is not on {name}"));
        }
        for address in self.surplus(side, &link)? {
            differences.push(format!("address {address} on {name} is not the network's"));
        }
        if !link.up {
            differences.push(format!("tunnel {name} is down"));
        }
        Ok(differences)
    }
}

fn explain_missing(error: Error) -> Error {
    error.said("this kernel does not know ipip tunnels").hint(
        "load the module on the host: modprobe ipip; if there is none, the kernel was built without CONFIG_NET_IPIP",
    )
}

/// GC: takes the tunnels of a network away. The fallback device, which the kernel does not delete, is given back as it was:
/// down, without our addresses and alias.
pub(crate) fn collect(sides: &mut Sides, network: &str) -> Result<()> {
    let side = &mut sides.host;
    let (tag, group) = (Owner::network_tag(network), Owner::group(network));
    // One that was killed before it could set the alias is known by its group.
    let is_ours = |link: &Link| link.alias == tag || (link.alias.is_empty() && link.group == group);
    let links = side.dump("list the tunnels", link::of_kind(&InfoKind::IpIp))?;
    let links = links.iter().map(|body| Link::read(body));
    for link in links.filter(|link| link.kind == "ipip" && is_ours(link)) {
        side.now(link::delete(&link.name, link.index))?;
        // The kernel says yes, and keeps its fallback device all the same.
        let Some(link) = side.link(&link.name)? else { continue };
        for held in side.addresses(link.index)?.iter().filter(|held| held.address.is_ipv4()) {
            side.queue(super::remove_address(&link.name, link.index, held.address));
        }
        let message = link::with_index(link.index).alias("").down().build();
        side.now(link::set(format!("give back {}", link.name), message))?;
    }
    Ok(())
}
