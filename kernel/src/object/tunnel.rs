pub(crate) mod give_back;

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;
use netlink_packet_route::IpProtocol;
use netlink_packet_route::link::{InfoData, InfoIpTunnel, LinkMessage};
use rtnetlink::LinkIpIp;
use serde::{Deserialize, Serialize};

use super::{Address, At, Conflict, Kind, Place, Route, ip};
use crate::error::{Error, Result};
use crate::handle::{Handle, HeldAddress};
use crate::handles::Handles;
use crate::link::{self, Link};
use crate::owner::Owner;

/// A tunnel of IPv4 in IPv4 (`ip link add NAME type ipip`, RFC 2003) without a fixed remote
/// endpoint: the next hop of the route decides where each packet goes.
///
/// It belongs to a network, not to one attachment, and its alias names the network. Link, address
/// and state are one object: a failed ADD rolls none of them back, because other attachments'
/// packets pass through it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its name. The kernel creates [`Tunnel::FALLBACK`], which is adopted.
    pub name: String,
    /// The network it belongs to.
    pub network: String,
    /// The current name of the network's tunnel, if it has another one. A rename loses no packet
    /// and keeps the routes. A second tunnel with the same endpoints could not be created beside
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed: Option<String>,
    /// The source address of its packets. The fallback device has none, and leaves it to the route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Ipv4Addr>,
    /// The MTU of the inner packets in bytes.
    pub mtu: u32,
    /// The address of the host on it; `None` leaves its addresses unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// The treatment of other addresses that it has.
    #[serde(default)]
    pub conflict: Conflict,
}

impl Tunnel {
    /// The device that the kernel creates with the module. It receives every packet that no other
    /// tunnel does. It cannot be deleted, nor get a source address.
    pub const FALLBACK: &'static str = "tunl0";

    /// The MTU that the kernel gives it.
    pub(super) const FALLBACK_MTU: u32 = 1480;

    /// The length of the outer header, in bytes.
    pub const HEADER: u32 = 20;

    /// Whether a link is a network's tunnel, by its alias, or by its group if its ADD was killed
    /// before it set the alias.
    pub fn owns(network: &str, link: &Link) -> bool {
        match link.alias.as_str() {
            "" => link.group == Owner::group(network),
            alias => alias == Owner::network_tag(network),
        }
    }

    /// Checks that the tunnel exists or can be created.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if not. If the tunnel is down, the next ADD sets it up.
    pub fn usable(&self) -> Result<()> {
        let handle = &mut Handles::host_only()?.host;
        let Some(link) = handle.link(&self.name)? else { return self.probe(handle) };
        self.check(handle, &link)
    }

    /// Requests a tunnel that cannot exist, and evaluates the kernel's reason.
    fn probe(&self, handle: &mut Handle) -> Result<()> {
        const UNKNOWN_PROTOCOL: u8 = 255;
        let nonsense = InfoIpTunnel::Protocol(IpProtocol::from(UNKNOWN_PROTOCOL));
        let message = LinkIpIp::new(&self.name).set_info_data(InfoData::IpTunnel(vec![nonsense]));
        match handle.now(link::create(self.making(), message.build())) {
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

    /// Checks that a link of this name can be the tunnel.
    fn check(&self, handle: &mut Handle, link: &Link) -> Result<()> {
        let refuse = |said: String, hint: String| {
            Err(Error::found(format!("use the tunnel {}", self.name), said).hint(hint))
        };
        let other = "give \"device\" another name and \"local\" an address of its own".to_owned();
        if link.kind != "ipip" {
            let kind = if link.kind.is_empty() { "a device" } else { &link.kind };
            return refuse(format!("{} is not an ipip tunnel but {kind}", self.name), other);
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
        let held = handle.addresses(link.index)?;
        // GC leaves our address if another program's routes need it.
        let is_foreign =
            |held: &&HeldAddress| held.protocol != Route::PROTOCOL && self.is_foreign(held.address);
        if let Some(foreign) = held.iter().find(is_foreign) {
            let address = foreign.address;
            return refuse(
                format!("{} has the address {address} of another program", self.name),
                format!(
                    "{other}; if the address is left over: ip address del {address} dev {}",
                    self.name
                ),
            );
        }
        if !self.is_fallback() && link.tunnel.local != self.local {
            return refuse(format!("{} is another program's tunnel", self.name), other);
        }
        Ok(())
    }

    fn is_foreign(&self, address: IpNetwork) -> bool {
        address.is_ipv4() && self.address.map(IpAddr::from) != Some(address.ip())
    }

    fn wanted_address(&self) -> Option<Address> {
        Some(Address::new(&self.name, IpNetwork::from(IpAddr::V4(self.address?))))
    }

    /// The addresses to remove.
    fn surplus(&self, handle: &mut Handle, link: &Link) -> Result<Vec<IpNetwork>> {
        if self.conflict != Conflict::Replace {
            return Ok(Vec::new());
        }
        let held = handle.addresses(link.index)?.into_iter().map(|held| held.address);
        Ok(held.filter(|held| self.is_foreign(*held)).collect())
    }

    /// The attributes of the tunnel's endpoints. Empty for the fallback device.
    fn ends(&self) -> Vec<InfoIpTunnel> {
        let local = self.local.map(|local| InfoIpTunnel::Local(local.into()));
        local.into_iter().chain([InfoIpTunnel::PMtuDisc(true)]).collect()
    }

    /// Creates the tunnel, or loads the module so that the kernel creates its fallback device.
    fn create(&self, at: &mut At<'_>) -> Result<Link> {
        let message = LinkIpIp::new(&self.name)
            .mtu(self.mtu)
            .link_group(Owner::group(&self.network))
            .set_info_data(InfoData::IpTunnel(self.ends()));
        match at.handle()?.now(link::create(self.making(), message.build())) {
            Err(error) if error.errno == nix::libc::EOPNOTSUPP => Err(explain_missing(error)),
            Err(error) if error.is_taken() => at.handle()?.link(&self.name)?.ok_or_else(|| {
                error.said("another tunnel has the same ends").hint(
                    "see \"ip -d link show type ipip\": use that one, or give \"local\" another \
                     address",
                )
            }),
            made => made.and_then(|()| at.handle()?.existing(&self.name)),
        }
    }

    /// Renames the network's former tunnel, if it is to become this one.
    fn rename(&self, at: &mut At<'_>) -> Result<Option<Link>> {
        let handle = at.handle()?;
        let Some(former) = self.former(handle)? else { return Ok(None) };
        let renamed = || {
            let message = link::with_index(former.index).name(self.name.clone()).build();
            link::set(format!("rename the tunnel {} to {}", former.name, self.name), message)
        };
        match handle.now(renamed()) {
            // Kernels before 6.2 rename only a link that is down.
            Err(error) if error.errno == nix::libc::EBUSY => {
                let down = link::with_index(former.index).down().build();
                handle.queue(link::set(format!("set {} down", former.name), down));
                handle.now(renamed())?;
            }
            // Another call has renamed it.
            Err(error) if error.is_gone() || error.is_taken() => {}
            done => done?,
        }
        handle.link(&self.name)
    }

    /// The link to rename, if it exists.
    fn former(&self, handle: &mut Handle) -> Result<Option<Link>> {
        let Some(name) = &self.renamed else { return Ok(None) };
        Ok(handle.link(name)?.filter(|link| give_back::is_of(link, &self.network)))
    }

    fn has_right_ends(&self, link: &Link) -> bool {
        self.is_fallback() || (link.tunnel.local == self.local && link.tunnel.pmtudisc)
    }

    /// Corrects the endpoints of a tunnel.
    fn change_ends(&self) -> LinkMessage {
        let message = LinkIpIp::new(&self.name).mtu(self.mtu);
        message.set_info_data(InfoData::IpTunnel(self.ends())).build()
    }
}

impl Kind for Tunnel {
    fn name(&self) -> &'static str {
        "tunnel"
    }

    fn show(&self, place: Place) -> String {
        let (ip, name, mtu) = (ip(place), &self.name, self.mtu);
        let mut lines = match (self.local, &self.renamed) {
            (Some(local), Some(former)) => vec![
                format!("{ip} link set {former} name {name}"),
                format!("{ip} link set {name} mtu {mtu} type ipip local {local} pmtudisc"),
            ],
            (Some(local), None) if !self.is_fallback() => {
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
        let link = match at.handle()?.link(&self.name)? {
            Some(link) => link,
            None => match self.rename(at)? {
                Some(link) => link,
                None => self.create(at)?,
            },
        };
        let handle = at.handle()?;
        self.check(handle, &link)?;
        let surplus = self.surplus(handle, &link)?;
        if !self.has_right_ends(&link) {
            let action = format!("set the ends of the tunnel {}", self.name);
            handle.queue(link::set(action, self.change_ends()));
        }
        let group = Owner::group(&self.network);
        // A tunnel that another program created stays out of the group, so that GC does not delete
        // it.
        let is_new = self.is_fallback() && link.group == 0;
        if link.mtu != self.mtu || link.alias != self.tag() || is_new {
            let mut message = link::with_index(link.index).mtu(self.mtu).alias(self.tag());
            if is_new {
                message = message.link_group(group);
            }
            handle.queue(link::set(format!("set MTU and alias of {}", self.name), message.build()));
        }
        if let Some(address) = self.wanted_address() {
            handle.queue(address.marked(link.index).tolerate(&[nix::libc::EEXIST]));
        }
        for address in surplus {
            handle.queue(super::address::remove(&self.name, link.index, address));
        }
        if !link.up {
            let message = link::with_index(link.index).up().build();
            handle.queue(link::set(format!("set {} up", self.name), message));
        }
        handle.flush()
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let (handle, name) = (at.handle()?, &self.name);
        let Some(link) = handle.link(name)? else {
            let difference = self.former(handle)?.map_or_else(
                || format!("tunnel {name} is gone"),
                |former| format!("tunnel {name} is still called {}", former.name),
            );
            return Ok(vec![difference]);
        };
        if let Err(error) = self.check(handle, &link) {
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
        let held = handle.addresses(link.index)?;
        if let Some(wanted) = self.address
            && !held.iter().any(|held| held.address.ip() == IpAddr::from(wanted))
        {
            differences.push(format!("address {wanted} is not on {name}"));
        }
        for address in self.surplus(handle, &link)? {
            differences.push(format!("address {address} on {name} is not the network's"));
        }
        if !link.up {
            differences.push(format!("tunnel {name} is down"));
        }
        Ok(differences)
    }
}

fn explain_missing(error: Error) -> Error {
    error.said("this kernel does not support ipip tunnels").hint(
        "load the module on the host: modprobe ipip; if there is none, the kernel was built \
         without CONFIG_NET_IPIP",
    )
}
