//! The IPv4 routes of a namespace, read in one dump into values without pointers, because every ADD
//! reads all of them and a node of a large cluster has thousands.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use ipnetwork::Ipv4Network;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteScope, RouteType,
};
use netlink_packet_route::rule::RuleMessage;

use crate::error::Result;
use crate::handle::Handle;
use crate::monitor::Monitor;
use crate::rtnl::{Message, attributes, word};

/// An IPv4 route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fib {
    pub(crate) to: Prefix,
    pub(crate) table: u32,
    pub(crate) priority: u32,
    /// The next hop; 0.0.0.0 if the destination is on the link.
    pub(crate) via: Ipv4Addr,
    /// The index of the link; 0 if the route has no link, or has several next hops.
    pub(crate) link: u32,
    pub(crate) kind: u8,
    pub(crate) protocol: u8,
    scope: u8,
    tos: u8,
    flags: u32,
    /// Whether the kernel chooses one of several next hops for each destination.
    has_many_hops: bool,
}

/// The addresses with the same leading bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix {
    pub(crate) first: u32,
    pub(crate) length: u8,
}

impl Prefix {
    pub(crate) fn last(self) -> u32 {
        self.first | !mask(self.length)
    }

    pub(crate) fn contains(self, address: u32) -> bool {
        address & mask(self.length) == self.first
    }

    /// The prefix of this length that contains it.
    pub(crate) fn shortened(self, length: u8) -> Prefix {
        Prefix { first: self.first & mask(length), length }
    }
}

impl From<Ipv4Network> for Prefix {
    fn from(network: Ipv4Network) -> Prefix {
        Prefix { first: network.network().into(), length: network.prefix() }
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.length {
            0 => f.write_str("default"),
            length => write!(f, "{}/{length}", Ipv4Addr::from(self.first)),
        }
    }
}

fn mask(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0)
}

/// The length of the header of a route message (`struct rtmsg`), and the attributes that are read
/// (`include/uapi/linux/rtnetlink.h`).
mod rta {
    pub(super) const RTMSG: usize = 12;
    pub(super) const DST: u16 = 1;
    pub(super) const OIF: u16 = 4;
    pub(super) const GATEWAY: u16 = 5;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const MULTIPATH: u16 = 9;
    pub(super) const TABLE: u16 = 15;
    pub(super) const NH_ID: u16 = 30;
}

/// `RTNH_F_DEAD`: the link of the next hop is down.
const DEAD: u32 = 1;

impl Fib {
    /// Reads a message of a dump; `None` for another address family.
    fn read(body: &[u8]) -> Option<Fib> {
        let (header, rest) = body.split_first_chunk::<{ rta::RTMSG }>()?;
        let [family, length, _, tos, table, protocol, scope, kind, flags @ ..] = *header;
        if family != u8::from(AddressFamily::Inet) {
            return None;
        }
        let mut route = Fib {
            to: Prefix { first: 0, length },
            table: table.into(),
            priority: 0,
            via: Ipv4Addr::UNSPECIFIED,
            link: 0,
            kind,
            protocol,
            scope,
            tos,
            flags: u32::from_ne_bytes(flags),
            has_many_hops: false,
        };
        for (kind, value) in attributes(rest) {
            match kind {
                rta::DST => route.to.first = u32::from_be(word(value, 0)),
                rta::OIF => route.link = word(value, 0),
                rta::GATEWAY => route.via = u32::from_be(word(value, 0)).into(),
                rta::PRIORITY => route.priority = word(value, 0),
                rta::TABLE => route.table = word(value, 0),
                rta::MULTIPATH | rta::NH_ID => route.has_many_hops = true,
                _ => {}
            }
        }
        Some(route)
    }

    /// Whether the route forwards to one destination, and does not look further.
    pub(crate) fn is_unicast(&self) -> bool {
        self.kind == u8::from(RouteType::Unicast)
    }

    /// Whether the lookup continues in the next table after this route.
    pub(crate) fn is_throw(&self) -> bool {
        self.kind == u8::from(RouteType::Throw)
    }

    /// Whether the kernel uses the route for every packet to its destinations: its link is up, and
    /// it does not depend on the type of service.
    pub(crate) fn is_used(&self) -> bool {
        self.tos == 0 && self.flags & DEAD == 0
    }

    /// Whether the kernel treats the next hop as reachable whatever the addresses say.
    pub(crate) fn is_onlink(&self) -> bool {
        self.flags & RouteFlags::Onlink.bits() != 0
    }

    /// The name of the type in a sentence.
    pub(crate) fn article(&self) -> &'static str {
        match RouteType::from(self.kind) {
            RouteType::BlackHole => "a blackhole route",
            RouteType::Unreachable => "an unreachable route",
            RouteType::Prohibit => "a prohibit route",
            RouteType::Throw => "a throw route",
            RouteType::Local => "a local route",
            RouteType::Broadcast => "a broadcast route",
            _ => "another one",
        }
    }

    /// The route in the notation of `ip route del`.
    pub(crate) fn named(&self) -> String {
        let kind = match RouteType::from(self.kind) {
            RouteType::BlackHole => "blackhole ",
            RouteType::Unreachable => "unreachable ",
            RouteType::Prohibit => "prohibit ",
            RouteType::Throw => "throw ",
            RouteType::Local => "local ",
            RouteType::Broadcast => "broadcast ",
            _ => "",
        };
        let mut named = format!("{kind}{}", self.to);
        if !self.via.is_unspecified() {
            named += &format!(" via {}", self.via);
        }
        if self.priority != 0 {
            named += &format!(" metric {}", self.priority);
        }
        if self.table != MAIN {
            named += &format!(" table {}", self.table);
        }
        named
    }

    /// The message that identifies this route to the kernel.
    pub(crate) fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: AddressFamily::Inet,
            destination_prefix_length: self.to.length,
            table: u8::try_from(self.table).unwrap_or_default(),
            protocol: self.protocol.into(),
            scope: RouteScope::from(self.scope),
            kind: self.kind.into(),
            ..RouteHeader::default()
        };
        let to = RouteAttribute::Destination(RouteAddress::Inet(self.to.first.into()));
        let via = RouteAttribute::Gateway(RouteAddress::Inet(self.via));
        message.attributes = vec![
            to,
            RouteAttribute::Table(self.table),
            RouteAttribute::Priority(self.priority),
            RouteAttribute::Oif(self.link),
        ];
        if !self.via.is_unspecified() {
            message.attributes.push(via);
        }
        message
    }
}

/// `RT_TABLE_MAIN`: the default table of a route (`/etc/iproute2/rt_tables`).
const MAIN: u32 = 254;

/// The host's routes as this call has read them, and a monitor that tells when they have changed.
struct Seen {
    routes: Rc<Vec<Fib>>,
    changes: Monitor,
}

thread_local! {
    /// The survey and the comparison of one call need the same list.
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// All current IPv4 routes of all tables.
pub(crate) fn all(handle: &mut Handle) -> Result<Rc<Vec<Fib>>> {
    handle.flush()?;
    let seen = handle.namespace().is_none().then(unchanged).flatten();
    seen.map_or_else(|| read(handle).map(Rc::new), Ok)
}

fn unchanged() -> Option<Rc<Vec<Fib>>> {
    SEEN.with_borrow_mut(|seen| {
        // A notification is heard only once.
        seen.take_if(|seen| seen.changes.has_heard());
        seen.as_ref().map(|seen| seen.routes.clone())
    })
}

/// As [`all`], for the host, if the same call will need the routes again.
fn all_for_now(handle: &mut Handle) -> Result<Rc<Vec<Fib>>> {
    let changes = Monitor::of_ipv4_routes()?;
    let routes = Rc::new(read(handle)?);
    SEEN.set(Some(Seen { routes: routes.clone(), changes }));
    Ok(routes)
}

fn read(handle: &mut Handle) -> Result<Vec<Fib>> {
    let mut asked = RouteMessage::default();
    asked.header.address_family = AddressFamily::Inet;
    handle.dump_as("list the routes", Message::GetRoute(asked), Fib::read)
}

/// A rule that selects a table (`ip rule`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    /// The destinations that it matches; `None` if it matches all.
    to: Option<Prefix>,
    table: u32,
    /// Whether it matches every packet.
    is_for_all: bool,
}

/// The length of a rule's header (`struct fib_rule_hdr`), and the attributes
/// (`include/uapi/linux/fib_rules.h`).
mod fra {
    pub(super) const HEADER: usize = 12;
    pub(super) const DST: u16 = 1;
    pub(super) const PRIORITY: u16 = 6;
    pub(super) const TABLE: u16 = 15;
    pub(super) const PROTOCOL: u16 = 21;
    /// Attributes that are no condition if they have the value "none" (-1).
    pub(super) const SUPPRESS: [u16; 2] = [13, 14];
    /// `FR_ACT_TO_TBL`.
    pub(super) const LOOKUP: u8 = 1;
    /// `FIB_RULE_PERMANENT`: the rule cannot be removed.
    pub(super) const PERMANENT: u32 = 1;
}

impl Rule {
    fn read(body: &[u8]) -> Option<Rule> {
        let (header, rest) = body.split_first_chunk::<{ fra::HEADER }>()?;
        let [_, length, source, tos, table, _, _, action, flags @ ..] = *header;
        let mut rule = Rule {
            to: (length > 0).then_some(Prefix { first: 0, length }),
            table: table.into(),
            is_for_all: [length, source, tos] == [0; 3]
                && action == fra::LOOKUP
                && u32::from_ne_bytes(flags) & !fra::PERMANENT == 0,
        };
        for (kind, value) in attributes(rest) {
            match kind {
                fra::TABLE => rule.table = word(value, 0),
                fra::DST => {
                    let first = u32::from_be(word(value, 0));
                    rule.to = rule.to.map(|to| Prefix { first, ..to });
                }
                fra::PRIORITY | fra::PROTOCOL => {}
                _ if fra::SUPPRESS.contains(&kind) && word(value, 0) == u32::MAX => {}
                _ => rule.is_for_all = false,
            }
        }
        Some(rule)
    }
}

fn rules(handle: &mut Handle) -> Result<Vec<Rule>> {
    let mut asked = RuleMessage::default();
    asked.header.family = AddressFamily::Inet;
    match handle.dump_as("list the routing rules", Message::GetRule(asked), Rule::read) {
        // This kernel is built without rules (CONFIG_IP_MULTIPLE_TABLES).
        Err(error) if error.errno == nix::libc::EOPNOTSUPP => Ok(Vec::new()),
        rules => rules,
    }
}

/// The tables in which the kernel looks up every packet's destination before the main one.
pub(crate) fn tables_before_main(handle: &mut Handle) -> Result<Vec<u32>> {
    let rules = rules(handle)?;
    let before = rules.iter().take_while(|rule| rule.table != MAIN || !rule.is_for_all);
    Ok(before.filter(|rule| rule.is_for_all).map(|rule| rule.table).collect())
}

/// For each address, the index of the first one that the kernel routes alike, because no route and
/// no rule distinguishes them. An address for which the kernel may choose one of several next hops
/// is only like itself.
pub(crate) fn alike(handle: &mut Handle, addresses: &[u32]) -> Result<Vec<usize>> {
    let routes = all_for_now(handle)?;
    let mut parts: Vec<(Prefix, bool)> =
        routes.iter().map(|route| (route.to, route.has_many_hops)).collect();
    parts.extend(rules(handle)?.iter().filter_map(|rule| Some((rule.to?, false))));
    // The default route may have several next hops.
    parts.push((Prefix { first: 0, length: 0 }, false));
    // Most of them are sorted already, which a stable sort makes use of.
    parts.sort();
    let mut order: Vec<usize> = (0..addresses.len()).collect();
    order.sort_by_key(|at| addresses.get(*at));

    let mut alike: Vec<usize> = (0..addresses.len()).collect();
    // The parts that contain the current address, each with the first address whose smallest part
    // it is, and whether it or a part that contains it has several next hops.
    let mut around: Vec<(Prefix, Option<usize>, bool)> = Vec::new();
    let mut parts = parts.into_iter().peekable();
    for at in order {
        let Some(address) = addresses.get(at) else { continue };
        while let Some((part, has_many_hops)) = parts.next_if(|(part, _)| part.first <= *address) {
            while around.last().is_some_and(|(outer, ..)| outer.last() < part.first) {
                around.pop();
            }
            let is_inside_many = around.last().is_some_and(|(.., many)| *many);
            around.push((part, None, is_inside_many || has_many_hops));
        }
        while around.last().is_some_and(|(part, ..)| !part.contains(*address)) {
            around.pop();
        }
        if let (Some((_, first, false)), Some(alike)) = (around.last_mut(), alike.get_mut(at)) {
            *alike = *first.get_or_insert(at);
        }
    }
    Ok(alike)
}
