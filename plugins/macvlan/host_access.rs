//! The way between containers and their host, beside the parent: a shim, and routes over it at both ends.

use std::net::{IpAddr, Ipv4Addr};

use ferrocni::{Ends, Parent, into_cni, no_router_advertisements};
use ipnetwork::IpNetwork;
use kernel::Place::{Host, Pod};
use kernel::{Mac, Neighbours, Owner, Plan, Route, Shim, Sysctl, Up};
use libcni::{Addresses, Call, Error, Result, Verb};

/// The next hop of containers that leads to the host: nobody's address, only a name for the shim's MAC address.
const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The scope of destinations on the link itself (`ip-route(8)`).
const SCOPE_LINK: u8 = 253;

/// What a container needs to reach its host, and what is behind it.
///
/// Neighbours are written down at both ends, so nobody asks by ARP for what nobody would answer: it does not matter
/// how strict the host is about ARP, and which subnets there are.
#[derive(Debug)]
pub struct HostAccess {
    shim: Shim,
    /// Whether the host itself is to be reached.
    to_host: bool,
    /// The addresses by which the host is known on the wire.
    known: Vec<IpNetwork>,
    /// What is behind the host.
    routes: Vec<IpNetwork>,
}

impl HostAccess {
    /// The shim of the call's network over its parent, and the host's addresses there.
    pub fn of(call: &Call, parent: &mut Parent, to_host: bool) -> Result<HostAccess> {
        let name = Owner::shim_ifname(&call.network, &parent.name);
        let mut access = HostAccess {
            shim: Shim { name, parent: parent.name.clone(), mac: Mac([0; 6]) },
            to_host,
            known: Vec::new(),
            routes: Vec::new(),
        };
        if call.verb != Verb::Del
            && let (Some(link), Some(survey)) = (parent.link.clone(), parent.survey())
        {
            access.known = survey.known_by(&link).map_err(into_cni)?;
            // Containers know the MAC of the shim that is there, whatever the parent's has become.
            let shim = survey.link(&access.shim.name).map_err(into_cni)?;
            let derived = link.mac.map(|mac| Owner::shim_mac(&call.network, mac));
            access.shim.mac = shim.and_then(|shim| shim.mac).or(derived).unwrap_or(access.shim.mac);
        }
        Ok(access)
    }

    /// With destinations behind the host.
    pub fn with_routes(mut self, routes: &[String], addresses: &Addresses) -> Result<HostAccess> {
        for text in routes {
            let route = destination(text)?;
            let is_own = |ip: &&libcni::IpConfig| {
                (ip.address.network(), ip.address.prefix()) == (route.network(), route.prefix())
            };
            if addresses.ips().iter().any(|ip| is_own(&ip)) {
                let why = "is the container's own subnet, which is on the wire";
                return Err(Error::config(format!("hostRoutes: {route} {why}")));
            }
            if addresses.routes().iter().any(|other| other.dst == route) {
                let why = "is among the routes of ipam too";
                return Err(Error::config(format!("hostRoutes: {route} {why}")));
            }
            if !self.routes.contains(&route) {
                self.routes.push(route);
            }
        }
        let is_reached = |ip: &&libcni::IpConfig| self.serves(ip.address.is_ipv4());
        if !addresses.is_empty() && !addresses.ips().iter().any(|ip| is_reached(&ip)) {
            let parent = &self.shim.parent;
            return Err(Error::config(format!(
                "nothing to reach on the host: neither {parent} nor a default route has an address of the container's family"
            ))
            .details(format!("give the host one: ip address add .. dev {parent}")));
        }
        Ok(self)
    }

    /// Whether there is something to be reached in a family.
    fn serves(&self, is_ipv4: bool) -> bool {
        (self.to_host && self.known.iter().any(|known| known.is_ipv4() == is_ipv4))
            || self.routes.iter().any(|route| route.is_ipv4() == is_ipv4)
    }

    /// The container's addresses of the families in which there is something to be reached.
    fn served(&self, addresses: &Addresses) -> Vec<IpNetwork> {
        let all = addresses.ips().iter().map(|ip| ip.address);
        all.filter(|address| self.serves(address.is_ipv4())).collect()
    }

    /// The host's end: the shim, silent on the wire, and routes to the container's addresses.
    pub fn plan_host(&self, plan: &mut Plan, ends: &Ends, addresses: &Addresses, mtu: u32) {
        let (shim, served) = (&self.shim.name, self.served(addresses));
        plan.own(Host, self.shim.clone()); // ip link add link eth1 name shim-1a2b type macvlan mode bridge
        plan.because("a parent does not talk to its children; a sibling of theirs does");
        plan.share(Host, Sysctl::new(format!("ipv4/conf/{shim}/arp_ignore"), "8"));
        plan.because("the host's addresses are the parent's to answer for");
        plan.share(Host, Sysctl::optional(format!("ipv6/conf/{shim}/addr_gen_mode"), "1"));
        plan.share(Host, no_router_advertisements(shim));
        if served.iter().any(IpNetwork::is_ipv6) {
            plan.share(Host, Sysctl::new(format!("ipv6/conf/{shim}/disable_ipv6"), "0"));
        }
        plan.share(Host, Up::of(shim)); // ip link set shim-1a2b up
        for address in &served {
            let route = Route {
                src: self.source(*address),
                mtu,
                priority: plan.owner.number(),
                scope: address.is_ipv4().then_some(SCOPE_LINK),
                protocol: Some(Route::PROTOCOL),
                ..Route::new(shim, address.ip().into())
            };
            plan.own(Host, route); // ip route add 192.168.7.128 dev shim-1a2b src 192.168.7.2 proto 226 metric 123
        }
        let addresses: Vec<IpAddr> = served.iter().map(IpNetwork::ip).collect();
        if !addresses.is_empty() {
            let (link, mac) = (shim.clone(), ends.pod_mac);
            plan.own(Host, Neighbours { link, mac, addresses, permanent: true }); // ip neighbour replace 192.168.7.128 lladdr 02:.. dev shim-1a2b nud permanent
        }
    }

    /// Lets the host forward in the families in which something is behind it. It stays on: others rely on it by then.
    pub fn plan_forwarding(&self, plan: &mut Plan, addresses: &Addresses) {
        let served = self.served(addresses);
        for (is_ipv4, key) in [(true, "ipv4/ip_forward"), (false, "ipv6/conf/all/forwarding")] {
            let leads_on = self.routes.iter().any(|route| route.is_ipv4() == is_ipv4);
            if leads_on && served.iter().any(|address| address.is_ipv4() == is_ipv4) {
                plan.share(Host, Sysctl::new(key, "1")); // sysctl -w net/ipv4/ip_forward=1
            }
        }
    }

    /// The address that the host itself uses towards a container's.
    fn source(&self, to: IpNetwork) -> Option<IpAddr> {
        let mut same = self.known.iter().filter(|known| known.is_ipv4() == to.is_ipv4());
        let near = same.clone().find(|known| known.contains(to.ip()));
        near.or_else(|| same.next()).map(IpNetwork::ip)
    }

    /// The container's end: routes to the host and to what is behind it.
    pub fn plan_pod(&self, plan: &mut Plan, ends: &Ends, addresses: &Addresses) {
        let served = self.served(addresses);
        let known = self.known.iter().filter(|_| self.to_host).map(IpNetwork::ip);
        let is_own = |ip: &IpAddr| addresses.ips().iter().any(|own| own.address.ip() == *ip);
        let hosts: Vec<IpAddr> = known.filter(|ip| !is_own(ip)).collect();
        let mut neighbours = Vec::new();
        let mut routes = Vec::new();
        for is_ipv4 in [true, false] {
            if !served.iter().any(|address| address.is_ipv4() == is_ipv4) {
                continue;
            }
            let via =
                if is_ipv4 { NEXT_HOP.into() } else { IpAddr::V6(self.shim.mac.link_local()) };
            let of_family = |ip: &&IpAddr| ip.is_ipv4() == is_ipv4;
            neighbours.push(via);
            // One of the host's addresses may be the container's gateway: then it is asked for by itself.
            neighbours.extend(hosts.iter().filter(of_family));
            let hosts = hosts.iter().filter(of_family).map(|ip| IpNetwork::from(*ip));
            let behind = self.routes.iter().copied().filter(|route| route.is_ipv4() == is_ipv4);
            routes.extend(hosts.chain(behind).map(|dst| (dst, via)));
        }
        if neighbours.is_empty() {
            return;
        }
        let (link, mac) = (ends.pod.clone(), self.shim.mac);
        plan.own(Pod, Neighbours { link, mac, addresses: neighbours, permanent: true }); // ip -n POD neighbour replace 169.254.1.1 lladdr 02:.. dev eth0 nud permanent
        plan.because("the next hop is the shim, which has no address");
        for (dst, via) in routes {
            plan.own(Pod, Route { via: Some(via), onlink: true, ..Route::new(&ends.pod, dst) }); // ip -n POD route add 10.96.0.0/12 via 169.254.1.1 dev eth0 onlink
        }
    }
}

/// Reads a destination; host bits do not count.
fn destination(text: &str) -> Result<IpNetwork> {
    let wrong = |why: String| Error::config(format!("hostRoutes: {why}"));
    let parsed: IpNetwork = text.parse().map_err(|_| {
        wrong(format!("invalid CIDR address: {text}")).details("write it as 10.96.0.0/12")
    })?;
    if parsed.prefix() == 0 {
        return Err(wrong(format!("{text} is everything")).details(
            "a container whose whole traffic goes through its host needs no macvlan: use ptp",
        ));
    }
    IpNetwork::new(parsed.network(), parsed.prefix())
        .map_err(|_| wrong(format!("invalid CIDR address: {text}")))
}
