//! Access between containers and their host, past the parent: a shim link, and routes over it at
//! both ends.

use std::net::{IpAddr, Ipv4Addr};

use crate::common::{Ends, Parent, into_cni, no_router_advertisements};
use ipnetwork::IpNetwork;
use kernel::Place::{Host, Pod};
use kernel::{Mac, Neighbours, Owner, Plan, Route, Shim, Sysctl, Up};
use libcni::{Addresses, Call, Error, Result, Verb};

/// The containers' next hop to the host. No link has this address; it only stands for the shim's
/// MAC address.
const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The scope of destinations on the link itself (`ip-route(8)`).
const SCOPE_LINK: u8 = 253;

/// The configuration of a container's access to its host, and to networks behind it.
///
/// Both ends have static neighbour entries, so neither sends ARP requests that would get no answer.
/// Therefore the host's ARP settings and the subnets make no difference.
#[derive(Debug)]
pub struct HostAccess {
    shim: Shim,
    /// Whether containers reach the host itself.
    to_host: bool,
    /// The host's addresses on the parent's network.
    known: Vec<IpNetwork>,
    /// The addresses in `known` that the kernel rejects as the source of a route, because the
    /// parent is down.
    silent: Vec<IpAddr>,
    /// Whether the parent is down, and so may get addresses later.
    is_parent_down: bool,
    /// The destinations behind the host.
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
            silent: Vec::new(),
            is_parent_down: parent.link.as_ref().is_some_and(|link| !link.up),
            routes: Vec::new(),
        };
        if call.verb != Verb::Del
            && let (Some(link), Some(survey)) = (parent.link.clone(), parent.survey())
        {
            access.known = survey.known_by(&link).map_err(into_cni)?;
            for address in access.known.iter().filter(|_| access.is_parent_down) {
                if !survey.is_own(address.ip()).map_err(into_cni)? {
                    access.silent.push(address.ip());
                }
            }
            // Containers know the MAC address of the existing shim, even if the parent's has
            // changed since.
            let shim = survey.link(&access.shim.name).map_err(into_cni)?;
            let derived = link.mac.map(|mac| Owner::shim_mac(&call.network, mac));
            access.shim.mac = shim.and_then(|shim| shim.mac).or(derived).unwrap_or(access.shim.mac);
        }
        Ok(access)
    }

    /// Adds destinations behind the host.
    pub fn with_routes(mut self, routes: &[String], addresses: &Addresses) -> Result<HostAccess> {
        for text in routes {
            let route = destination(text)?;
            let is_own = |ip: &&libcni::IpConfig| {
                (ip.address.network(), ip.address.prefix()) == (route.network(), route.prefix())
            };
            if addresses.ips().iter().any(|ip| is_own(&ip)) {
                let why = "is the container's own subnet, which is on the parent's network";
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
        let is_reached = addresses.ips().iter().any(|ip| is_reached(&ip));
        if !addresses.is_empty() && !is_reached && !self.is_parent_down {
            let parent = &self.shim.parent;
            return Err(Error::config(format!(
                "nothing to reach on the host: neither {parent} nor a default route has an \
                 address of the container's family"
            ))
            .details(format!("give the host one: ip address add .. dev {parent}")));
        }
        Ok(self)
    }

    /// Whether a family has a destination.
    fn serves(&self, is_ipv4: bool) -> bool {
        (self.to_host && self.known.iter().any(|known| known.is_ipv4() == is_ipv4))
            || self.routes.iter().any(|route| route.is_ipv4() == is_ipv4)
    }

    /// The container's addresses of the families that have a destination.
    fn served(&self, addresses: &Addresses) -> Vec<IpNetwork> {
        let all = addresses.ips().iter().map(|ip| ip.address);
        all.filter(|address| self.serves(address.is_ipv4())).collect()
    }

    /// Plans the host's end: the shim, which answers no ARP request, and routes to the container's
    /// addresses.
    pub fn plan_host(
        &self,
        plan: &mut Plan,
        call: &Call,
        ends: &Ends,
        addresses: &Addresses,
        mtu: u32,
    ) {
        let (shim, served) = (&self.shim.name, self.served(addresses));
        // ip link add link eth1 name shim-1a2b type macvlan mode bridge
        plan.own(Host, self.shim.clone());
        plan.because("a parent exchanges no packets with its children, but a sibling link does");
        plan.share(Host, self.silence());
        plan.because("only the parent answers for the host's addresses");
        plan.share(Host, Sysctl::optional(format!("ipv6/conf/{shim}/addr_gen_mode"), "1"));
        plan.share(Host, no_router_advertisements(shim));
        if served.iter().any(IpNetwork::is_ipv6) {
            plan.share(Host, Sysctl::new(format!("ipv6/conf/{shim}/disable_ipv6"), "0"));
        }
        plan.share(Host, Up::of(shim)); // ip link set shim-1a2b up
        for address in &served {
            let route = Route {
                src: self.source(*address, call),
                mtu,
                priority: plan.owner.number(),
                scope: address.is_ipv4().then_some(SCOPE_LINK),
                protocol: Some(Route::PROTOCOL),
                ..Route::new(shim, address.ip().into())
            };
            // ip route add 192.168.7.128 dev shim-1a2b src 192.168.7.2 proto 226 metric 123
            plan.own(Host, route);
        }
        let addresses: Vec<IpAddr> = served.iter().map(IpNetwork::ip).collect();
        if !addresses.is_empty() {
            let (link, mac) = (shim.clone(), ends.pod_mac);
            // ip neighbour replace 192.168.7.128 lladdr 02:.. dev shim-1a2b nud permanent
            plan.own(Host, Neighbours { link, mac, addresses, permanent: true });
        }
    }

    /// A sysctl that ADD requires: the shim answers no ARP request.
    pub fn silence(&self) -> Sysctl {
        Sysctl::new(format!("ipv4/conf/{}/arp_ignore", self.shim.name), "8")
    }

    /// Switches on forwarding for the families with destinations behind the host. It is never
    /// switched off, because other programs may rely on it by then.
    pub fn plan_forwarding(&self, plan: &mut Plan, addresses: &Addresses) {
        let served = self.served(addresses);
        for (is_ipv4, key) in [(true, "ipv4/ip_forward"), (false, "ipv6/conf/all/forwarding")] {
            if self.leads_on(is_ipv4) && served.iter().any(|address| address.is_ipv4() == is_ipv4) {
                plan.share(Host, Sysctl::new(key, "1")); // sysctl -w net/ipv4/ip_forward=1
            }
        }
    }

    /// Whether `hostRoutes` has destinations of a family, which the host then forwards.
    pub fn leads_on(&self, is_ipv4: bool) -> bool {
        self.routes.iter().any(|route| route.is_ipv4() == is_ipv4)
    }

    /// The host's own source address towards a container's address. If ADD cannot name it, because
    /// the parent is down, the kernel chooses one when the parent is up.
    fn source(&self, to: IpNetwork, call: &Call) -> Option<IpAddr> {
        let mut same = self.known.iter().filter(|known| known.is_ipv4() == to.is_ipv4());
        let near = same.clone().find(|known| known.contains(to.ip()));
        let source = near.or_else(|| same.next()).map(IpNetwork::ip);
        let is_new = matches!(call.verb, Verb::Add | Verb::Plan);
        source.filter(|source| !is_new || !self.silent.contains(source))
    }

    /// Rejects a repair that the kernel would reject now: routes whose source is an address of a
    /// parent that is down.
    ///
    /// # Errors
    ///
    /// Returns an error if the parent is down.
    pub fn check_repair(&self, call: &Call) -> Result<()> {
        if call.verb != Verb::Repair || self.silent.is_empty() {
            return Ok(());
        }
        let parent = &self.shim.parent;
        Err(Error::internal(format!("the parent {parent} is down"))
            .details(format!("Run \"ip link set {parent} up\", and repair again")))
    }

    /// Plans the container's end: routes to the host and to the destinations behind it.
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
            // The container's gateway may be one of the host's addresses, and then needs an entry
            // too.
            neighbours.extend(hosts.iter().filter(of_family));
            let hosts = hosts.iter().filter(of_family).map(|ip| IpNetwork::from(*ip));
            let behind = self.routes.iter().copied().filter(|route| route.is_ipv4() == is_ipv4);
            routes.extend(hosts.chain(behind).map(|dst| (dst, via)));
        }
        if neighbours.is_empty() {
            return;
        }
        let (link, mac) = (ends.pod.clone(), self.shim.mac);
        // ip -n POD neighbour replace 169.254.1.1 lladdr 02:.. dev eth0 nud permanent
        plan.own(Pod, Neighbours { link, mac, addresses: neighbours, permanent: true });
        plan.because("the next hop is the shim, which has no address");
        for (dst, via) in routes {
            // ip -n POD route add 10.96.0.0/12 via 169.254.1.1 dev eth0 onlink
            plan.own(Pod, Route { via: Some(via), onlink: true, ..Route::new(&ends.pod, dst) });
        }
    }
}

/// Reads a destination, and clears its host bits.
fn destination(text: &str) -> Result<IpNetwork> {
    let wrong = |why: String| Error::config(format!("hostRoutes: {why}"));
    let parsed: IpNetwork = text.parse().map_err(|_| {
        wrong(format!("invalid CIDR address: {text}")).details("write it as 10.96.0.0/12")
    })?;
    if parsed.prefix() == 0 {
        return Err(wrong(format!("{text} is everything"))
            .details("Use ptp for a container whose whole traffic goes through its host"));
    }
    IpNetwork::new(parsed.network(), parsed.prefix())
        .map_err(|_| wrong(format!("invalid CIDR address: {text}")))
}
