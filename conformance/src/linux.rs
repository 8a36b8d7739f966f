//! The state of the kernel and the content of a result, in types that can be compared.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;
use testbed::Pod;

use crate::fixture::{Container, Fixture};
use crate::json::{each, number, text};
use crate::place::Place;
use crate::verdict::{NotPassed, failed};

/// The main routing table.
const MAIN: u64 = 254;

/// A link in a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name.
    pub name: String,
    /// The MAC address.
    pub mac: String,
    /// The MTU.
    pub mtu: u64,
    /// Whether it is set up.
    pub is_up: bool,
}

/// An address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length.
    pub prefix: u8,
}

/// A route in a namespace, in any table except `local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination.
    pub dst: Cidr,
    /// The next hops.
    pub via: Vec<IpAddr>,
    /// The table.
    pub table: u64,
    /// The metric.
    pub metric: u64,
    /// The scope; always 0 for IPv6, which has none.
    pub scope: u64,
    /// The path MTU, if the route sets it.
    pub mtu: Option<u64>,
    /// The advertised segment size, if the route sets it.
    pub advmss: Option<u64>,
}

/// The content of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedResult {
    /// The interfaces.
    pub interfaces: Vec<Interface>,
    /// The addresses.
    pub ips: Vec<Ip>,
    /// The routes, not interpreted.
    pub routes: Vec<Value>,
}

/// An interface in a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The name.
    pub name: String,
    /// The MAC address, if the result has it.
    pub mac: Option<String>,
    /// The MTU, if the result has it.
    pub mtu: Option<u64>,
    /// Where it is.
    pub place: Place,
}

/// An address in a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// The address with its prefix length.
    pub address: Cidr,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// The index of its interface.
    pub interface: Option<usize>,
}

impl Cidr {
    /// Parses `10.1.2.3/24`. An address without a prefix length gets the full length.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (ip, prefix) = match text.split_once('/') {
            Some((ip, prefix)) => (ip.parse().ok()?, prefix.parse().ok()?),
            None => (text.parse().ok()?, 128),
        };
        let most = if matches!(ip, IpAddr::V4(_)) { 32 } else { 128 };
        let is_valid = prefix <= most || !text.contains('/');
        is_valid.then_some(Cidr { ip, prefix: prefix.min(most) })
    }

    /// The network of the address.
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

/// The link with that name.
pub fn link(pod: &Pod, name: &str) -> Option<Link> {
    links(pod).into_iter().find(|link| link.name == name)
}

/// The addresses in a namespace with their links, except the link-local addresses (`fe80::`) that
/// the kernel adds.
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

/// The routes in a namespace, except those in the table `local`.
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

impl ParsedResult {
    /// The content of a result.
    ///
    /// # Errors
    ///
    /// A failure, if the result contains an invalid address.
    pub fn of(result: &Value) -> Result<ParsedResult, NotPassed> {
        let interface = |interface: &Value| Interface {
            name: text(interface, "name"),
            mac: Some(text(interface, "mac").to_lowercase()).filter(|mac| !mac.is_empty()),
            mtu: number(interface, "mtu").filter(|mtu| *mtu > 0),
            place: Place::of(&text(interface, "sandbox")),
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
        Ok(ParsedResult {
            interfaces: each(result, "interfaces").map(interface).collect(),
            ips: each(result, "ips").map(ip).collect::<Result<_, NotPassed>>()?,
            routes: each(result, "routes").cloned().collect(),
        })
    }

    /// The interface of an address: the one of its index; without an index, the only one in the
    /// container.
    pub fn interface_of(&self, ip: &Ip) -> Option<&Interface> {
        let mut inside = self.interfaces.iter().filter(|known| known.place == Place::Container);
        match ip.interface {
            Some(index) => self.interfaces.get(index),
            None => inside.next(),
        }
    }
}

/// Makes a container with duplicate address detection disabled, and disables it on the host. Tests
/// of other properties then do not wait for it; the wait takes seconds with some plugins.
pub fn without_dad(fixture: &Fixture, name: &str) -> Container {
    // Without IPv6 there is nothing to disable.
    let off = || drop(fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
    // Before a device for the container is made: the kernel gives a device that returns to the host
    // the default of then.
    off();
    let container = fixture.container(name);
    container.pod.enter(off);
    container
}

/// As [`without_dad`], and adds the container. Returns the result, too.
///
/// # Errors
///
/// If ADD fails.
pub fn added_without_dad(fixture: &Fixture, name: &str) -> Result<(Container, Value), NotPassed> {
    let container = without_dad(fixture, name);
    let result = fixture.call(&container).attach()?;
    Ok((container, result))
}

/// The section of [`Node::state`](testbed::Node::state) for one namespace. The host's is called
/// `node`.
pub fn section<'a>(state: &'a str, name: &str) -> &'a str {
    let heading = format!("== {name}\n");
    let from = state.find(&heading).and_then(|start| state.get(start + heading.len()..));
    let from = from.unwrap_or_default();
    from.split_once("\n== ").map_or(from, |(section, _)| section)
}

/// A state without what changes by itself: the content of files, such as counters; the MAC address
/// of a bridge, which the kernel copies from a port unless it is set; and the addresses of `lo`,
/// one of which stays when `lo` goes down.
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

/// Whether an address is a link-local address, which the kernel adds to each link.
pub fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// The JSON output of a tool. Some tools print nothing for an empty list.
fn list(pod: &Pod, command: &[&str]) -> Vec<Value> {
    serde_json::from_str(&pod.run(command)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Cidr, ParsedResult, lasting, section};

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
        assert!(ParsedResult::of(&json!({ "ips": [{ "address": "10.1.2.3" }] })).is_err());
    }

    #[test]
    fn the_index_of_an_address_names_its_interface() {
        let result = json!({
            "interfaces": [{ "name": "br0" }, { "name": "eth0", "sandbox": "/run/netns/a" }],
            "ips": [{ "address": "10.1.2.3/24", "interface": 1 }, { "address": "10.1.2.4/24" }]
        });
        let said = ParsedResult::of(&result).unwrap();
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
