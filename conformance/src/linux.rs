//! What the kernel has, and what a result says that it has, in shapes that compare.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use testbed::Pod;

use crate::bench::{Bench, Container};
use crate::requirement::{Judge, Stop, failed};

/// The main routing table.
const MAIN: u64 = 254;

/// A link of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its address of the link layer.
    pub mac: String,
    /// Its MTU.
    pub mtu: u64,
    /// Whether it was set up.
    pub is_up: bool,
}

/// An address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The address.
    pub ip: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
}

/// A route of a namespace, in any table but the one of its own addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads to.
    pub dst: Cidr,
    /// Its next hops.
    pub via: Vec<IpAddr>,
    /// The table it is in.
    pub table: u64,
    /// Its metric.
    pub metric: u64,
    /// Its scope; IPv6 has none, and says 0.
    pub scope: u64,
    /// The MTU of the path, if it says one.
    pub mtu: Option<u64>,
    /// The segment size to announce, if it says one.
    pub advmss: Option<u64>,
}

/// What a result says.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// The interfaces.
    pub interfaces: Vec<Interface>,
    /// The addresses.
    pub ips: Vec<Ip>,
    /// The routes, as they are.
    pub routes: Vec<Value>,
}

/// An interface of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its address of the link layer, if the result says it.
    pub mac: Option<String>,
    /// Its MTU, if the result says it.
    pub mtu: Option<u64>,
    /// Whether it is in the container, otherwise on the host.
    pub is_inside: bool,
}

/// An address of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// The address, with its prefix.
    pub address: Cidr,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// Which of the interfaces has it.
    pub interface: Option<usize>,
}

impl Cidr {
    /// Reads `10.1.2.3/24`; without a length it is the whole address.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip.parse().ok()?, prefix.parse().ok()?),
            None => (text.parse().ok()?, 128),
        };
        let most = if matches!(ip, IpAddr::V4(_)) { 32 } else { 128 };
        let is_valid = prefix <= most || !text.contains('/');
        is_valid.then_some(Cidr { ip, prefix: prefix.min(most) })
    }

    /// The network that the address is in.
    pub fn network(self) -> Cidr {
        let ip = match self.ip {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
            }
        };
        Cidr { ip, prefix: self.prefix }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

/// The links of a namespace.
pub fn links(pod: &Pod) -> Vec<Link> {
    let link = |link: &Value| Link {
        name: text(link, "ifname"),
        mac: text(link, "address"),
        mtu: number(link, "mtu").unwrap_or(0),
        is_up: each(link, "flags").any(|flag| flag == "UP"),
    };
    list(pod, &["ip", "-j", "link", "show"]).iter().map(link).collect()
}

/// The link of that name.
pub fn link(pod: &Pod, name: &str) -> Option<Link> {
    links(pod).into_iter().find(|link| link.name == name)
}

/// The addresses of a namespace with the links they are on, but not those that the kernel gives each link (`fe80::`).
pub fn addresses(pod: &Pod) -> Vec<(String, Cidr)> {
    let links = list(pod, &["ip", "-j", "addr", "show"]);
    let of = |link: &Value| -> Vec<(String, Cidr)> {
        let address = |entry: &Value| {
            let prefix = u8::try_from(number(entry, "prefixlen")?).ok()?;
            Some(Cidr { ip: text(entry, "local").parse().ok()?, prefix })
        };
        let found = each(link, "addr_info").filter_map(address);
        found
            .filter(|cidr| !is_link_local(cidr.ip))
            .map(|cidr| (text(link, "ifname"), cidr))
            .collect()
    };
    links.iter().flat_map(of).collect()
}

/// The routes of a namespace, without the table of its own addresses.
pub fn routes(pod: &Pod) -> Vec<Route> {
    const LOCAL: u64 = 255;
    let family = |flag: &str, all: Cidr| -> Vec<Route> {
        let command = ["ip", "-N", "-d", "-j", flag, "route", "show", "table", "all"];
        list(pod, &command).iter().filter_map(|entry| route(entry, all)).collect()
    };
    let v4 = family("-4", Cidr { ip: Ipv4Addr::UNSPECIFIED.into(), prefix: 0 });
    let v6 = family("-6", Cidr { ip: Ipv6Addr::UNSPECIFIED.into(), prefix: 0 });
    v4.into_iter().chain(v6).filter(|route| route.table != LOCAL).collect()
}

fn route(entry: &Value, all: Cidr) -> Option<Route> {
    let dst = text(entry, "dst");
    let dst = if dst == "default" { all } else { Cidr::parse(&dst)? };
    let hops = each(entry, "nexthops").chain([entry]);
    let via = |hop: &Value| {
        let other = hop.pointer("/via/host").and_then(Value::as_str).unwrap_or_default().to_owned();
        text(hop, "gateway").parse().or_else(|_| other.parse()).ok()
    };
    let metric = |name: &str| each(entry, "metrics").find_map(|metrics| number(metrics, name));
    Some(Route {
        dst,
        via: hops.filter_map(via).collect(),
        table: number(entry, "table").unwrap_or(MAIN),
        metric: number(entry, "metric").unwrap_or(0),
        scope: number(entry, "scope").unwrap_or(0),
        mtu: metric("mtu"),
        advmss: metric("advmss"),
    })
}

impl Said {
    /// What a result says.
    ///
    /// # Errors
    ///
    /// A failure, if an address in it is none.
    pub fn of(result: &Value) -> Result<Said, Stop> {
        let interface = |interface: &Value| Interface {
            name: text(interface, "name"),
            mac: Some(text(interface, "mac").to_lowercase()).filter(|mac| !mac.is_empty()),
            mtu: number(interface, "mtu").filter(|mtu| *mtu > 0),
            is_inside: !text(interface, "sandbox").is_empty(),
        };
        let ip = |ip: &Value| {
            let address = text(ip, "address");
            let known = address.contains('/').then(|| Cidr::parse(&address)).flatten();
            Ok(Ip {
                address: known.ok_or_else(|| {
                    failed("ADD", "addresses with the length of their prefix", result)
                })?,
                gateway: text(ip, "gateway").parse().ok(),
                interface: number(ip, "interface").and_then(|index| usize::try_from(index).ok()),
            })
        };
        Ok(Said {
            interfaces: each(result, "interfaces").map(interface).collect(),
            ips: each(result, "ips").map(ip).collect::<Result<_, Stop>>()?,
            routes: each(result, "routes").cloned().collect(),
        })
    }

    /// The interface in the container that an address is on: the one its index names, otherwise the only one.
    pub fn interface_of(&self, ip: &Ip) -> Option<&Interface> {
        let mut inside = self.interfaces.iter().filter(|interface| interface.is_inside);
        match ip.interface {
            Some(index) => self.interfaces.get(index),
            None => inside.next(),
        }
    }
}

/// A container where duplicate address detection is off, as it is on the host from now on: what is asked about something
/// else need not wait for it, which takes seconds where a plugin does.
pub fn hurried(bench: &Bench, name: &str) -> Container {
    let container = bench.container(name);
    // Without IPv6 there is nothing to wait for either.
    let off = || drop(fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
    off();
    container.pod.enter(off);
    container
}

/// As [`hurried`], and added, with the result.
///
/// # Errors
///
/// If ADD fails.
pub fn hurried_added(bench: &Bench, name: &str) -> Result<(Container, Value), Stop> {
    let container = hurried(bench, name);
    let result = bench.call(&container).add().succeeds()?;
    Ok((container, result))
}

/// The part of [`Node::state`](testbed::Node::state) that is about one namespace, the host's being called `node`.
pub fn section<'a>(state: &'a str, name: &str) -> &'a str {
    let heading = format!("== {name}\n");
    let from = state.find(&heading).and_then(|start| state.get(start + heading.len()..));
    let from = from.unwrap_or_default();
    from.split_once("\n== ").map_or(from, |(section, _)| section)
}

/// A state without what changes by itself although nothing is left over: what is in files, counters for example; the
/// MAC of a bridge, which is that of one of its ports if nobody gave it one; and the addresses that the kernel gives `lo`
/// when it goes up, one of which stays when it goes down.
pub fn lasting(state: &str) -> String {
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["file", mode, path, ..] => format!("file {mode} {path}"),
            ["link", name, "bridge", ..] => {
                let mut shown: Vec<&str> = Vec::new();
                for word in &words {
                    shown.push(if shown.last() == Some(&"mac") { "*" } else { word });
                }
                format!("{} ({name})", shown.join(" "))
            }
            _ => line.to_owned(),
        }
    };
    let of_lo = ["addr 127.0.0.1/8 dev lo ", "addr ::1/128 dev lo "];
    let lines = state.lines().filter(|line| !of_lo.iter().any(|start| line.starts_with(start)));
    lines.map(|text| line(text) + "\n").collect()
}

/// Whether the kernel gives such addresses to each link.
pub fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// A text of an object, empty if there is none.
pub fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number of an object, which some tools write as a text.
pub fn number(object: &Value, key: &str) -> Option<u64> {
    let value = object.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The entries of a list in an object.
pub fn each<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// What a tool lists as JSON. Some print nothing for an empty list.
fn list(pod: &Pod, command: &[&str]) -> Vec<Value> {
    serde_json::from_str(&pod.run(command)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Cidr, Said, lasting, section};

    #[test]
    fn addresses_are_read_with_their_prefix() {
        let network = |text| Cidr::parse(text).map(|cidr| cidr.network().to_string());
        assert_eq!(network("10.1.2.3/24").as_deref(), Some("10.1.2.0/24"));
        assert_eq!(network("fd00:1::7/64").as_deref(), Some("fd00:1::/64"));
        assert_eq!(network("0.0.0.0/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(network("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(network("10.1.2.3/33"), None);
        assert_eq!(network("10.1.2/24"), None);
    }

    #[test]
    fn a_result_without_a_prefix_is_a_failure() {
        assert!(Said::of(&json!({ "ips": [{ "address": "10.1.2.3" }] })).is_err());
    }

    #[test]
    fn the_index_of_an_address_names_its_interface() {
        let result = json!({
            "interfaces": [{ "name": "br0" }, { "name": "eth0", "sandbox": "/run/netns/a" }],
            "ips": [{ "address": "10.1.2.3/24", "interface": 1 }, { "address": "10.1.2.4/24" }]
        });
        let said = Said::of(&result).unwrap();
        let names: Vec<_> =
            said.ips.iter().map(|ip| &said.interface_of(ip).unwrap().name).collect();
        assert_eq!(names, ["eth0", "eth0"]);
    }

    #[test]
    fn a_section_is_one_namespace() {
        let state = "== node\nlink lo\n== a\nlink eth0\n== files\nfile 0644 /run/x \"1\"\n";
        assert_eq!(section(state, "a"), "link eth0");
        assert_eq!(section(state, "node"), "link lo");
        assert_eq!(section(state, "b"), "");
    }

    #[test]
    fn counters_and_borrowed_macs_do_not_last() {
        let one =
            "link b bridge up mtu 1500 mac 1:2\nfile 0644 /run/x \"1\"\nlink v veth up mac 3\n";
        let two =
            "link b bridge up mtu 1500 mac 4:5\nfile 0644 /run/x \"2\"\nlink v veth up mac 3\n";
        assert_eq!(lasting(one), lasting(two));
        assert_ne!(lasting(one), lasting(&two.replace("mac 3", "mac 4")));
    }
}
