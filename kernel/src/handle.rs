//! The handle of a network namespace: its socket, the state that was read, and the queued requests.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::InfoKind;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::netns::{Namespace, Place};
use crate::rtnl::{Message, Request, Rtnl};
use crate::sysctl::Sysctl;

/// The handle of one network namespace.
#[derive(Debug)]
pub struct Handle {
    place: Place,
    /// `None` for the namespace of the process.
    namespace: Option<Namespace>,
    rtnl: Rtnl,
    /// Settings to write before the queued requests are sent.
    settings: Vec<Sysctl>,
    waiting: Vec<Request>,
    indexes: HashMap<String, u32>,
    /// Links as read since the last request that could have changed them.
    seen: HashMap<String, Link>,
    /// The addresses of links, by the links' indexes.
    addresses: HashMap<u32, Vec<HeldAddress>>,
    routes: Option<Vec<RouteMessage>>,
}

impl Handle {
    pub(crate) fn open(place: Place, namespace: Option<Namespace>) -> Result<Handle> {
        let rtnl = match &namespace {
            Some(namespace) => namespace.enter(Rtnl::open)?,
            None => Rtnl::open()?,
        };
        Ok(Handle {
            place,
            namespace,
            rtnl,
            settings: Vec::new(),
            waiting: Vec::new(),
            indexes: HashMap::new(),
            seen: HashMap::new(),
            addresses: HashMap::new(),
            routes: None,
        })
    }

    /// The open namespace of the container; `None` for the host's handle.
    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Runs `work` in this namespace, for access without a socket: `/proc/sys/net`.
    pub(crate) fn inside<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.namespace {
            Some(namespace) => namespace.enter(work),
            None => work(),
        }
    }

    /// Queues the write of a setting before the queued requests. Consecutive settings are written
    /// in one visit to the namespace.
    pub(crate) fn write(&mut self, setting: Sysctl) {
        self.settings.push(setting);
    }

    /// Queues a request. All queued requests are sent together, before anything is read or changed
    /// in another way.
    pub(crate) fn queue(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// Writes the queued settings and sends the queued requests.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.settings.is_empty() {
            let settings = std::mem::take(&mut self.settings);
            self.inside(|| settings.iter().try_for_each(Sysctl::set))?;
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.forget();
        self.seen.clear();
        self.rtnl.execute(&std::mem::take(&mut self.waiting))
    }

    /// Discards queued writes and requests.
    pub(crate) fn discard(&mut self) {
        self.settings.clear();
        self.waiting.clear();
    }

    /// Sends the queued requests, then this one.
    pub(crate) fn now(&mut self, request: Request) -> Result<()> {
        self.flush()?;
        self.queue(request);
        self.flush()
    }

    /// Sends the queued requests, then the request that creates a link. Its index is known from
    /// then on, if the kernel reports it.
    pub(crate) fn make(&mut self, request: Request) -> Result<Option<Link>> {
        self.flush()?;
        self.forget();
        self.seen.clear();
        let made = self.rtnl.make(request)?.map(|body| Link::read(&body));
        if let Some(link) = &made {
            self.learn(&link.name, link.index);
        }
        Ok(made)
    }

    /// Stores the index of a link.
    pub(crate) fn learn(&mut self, name: &str, index: u32) {
        self.indexes.insert(name.to_owned(), index);
    }

    /// The current state of the link with this name.
    pub(crate) fn link(&mut self, name: &str) -> Result<Option<Link>> {
        self.flush()?;
        let link = self.rtnl.get(link::by_name(name))?.map(|body| Link::read(&body));
        self.indexes.remove(name);
        if let Some(link) = &link {
            self.learn(name, link.index);
            self.seen.insert(name.to_owned(), link.clone());
        }
        Ok(link)
    }

    /// The current state of the link with this index.
    pub(crate) fn link_at(&mut self, index: u32) -> Result<Option<Link>> {
        self.flush()?;
        Ok(self.rtnl.get(link::by_index(index))?.map(|body| Link::read(&body)))
    }

    /// The link with this name, which must exist.
    pub(crate) fn existing(&mut self, name: &str) -> Result<Link> {
        self.link(name)?.ok_or_else(|| self.missing(name))
    }

    /// As [`Handle::existing`], but read again only after a request that may have changed it.
    pub(crate) fn unchanged(&mut self, name: &str) -> Result<Link> {
        self.flush()?;
        match self.seen.get(name) {
            Some(link) => Ok(link.clone()),
            None => self.existing(name),
        }
    }

    /// The index of a link that this call has read or created.
    pub(crate) fn index(&mut self, name: &str) -> Result<u32> {
        match self.indexes.get(name) {
            Some(index) => Ok(*index),
            None => Ok(self.existing(name)?.index),
        }
    }

    fn missing(&self, name: &str) -> Error {
        let place = match self.place {
            Place::Host => "on the host",
            Place::Pod => "in the container",
        };
        Error::errno(format!("find the interface {name} {place}"), nix::libc::ENODEV)
    }

    /// Every link.
    pub(crate) fn links(&mut self) -> Result<Vec<Link>> {
        self.flush()?;
        let links = self.rtnl.dump("list the interfaces", &link::all())?;
        Ok(links.iter().map(|body| Link::read(body)).collect())
    }

    /// Every link of a kind. See [`link::of_kind`].
    pub(crate) fn links_of(&mut self, kind: &InfoKind) -> Result<Vec<Link>> {
        let links = self.dump("list the interfaces of a kind", link::of_kind(kind))?;
        Ok(links.iter().map(|body| Link::read(body)).collect())
    }

    /// The addresses of a link. The kernel filters, so the cost does not depend on the other
    /// addresses of the namespace.
    pub(crate) fn addresses(&mut self, link: u32) -> Result<Vec<HeldAddress>> {
        const ACTION: &str = "list the addresses of a link";
        self.flush()?;
        if let Some(held) = self.addresses.get(&link) {
            return Ok(held.clone());
        }
        let mut asked = AddressMessage::default();
        asked.header.index = link;
        let messages = match self.rtnl.dump(ACTION, &Message::GetAddress(asked)) {
            Err(error) if error.is_gone() => Vec::new(),
            messages => parsed::<AddressMessage>(ACTION, &messages?)?,
        };
        let of_link = messages.iter().filter(|held| held.header.index == link);
        let held: Vec<HeldAddress> = of_link.filter_map(HeldAddress::read).collect();
        self.addresses.insert(link, held.clone());
        Ok(held)
    }

    /// Discards what was read, so that it is read again.
    pub(crate) fn forget(&mut self) {
        self.addresses.clear();
        self.routes = None;
    }

    /// Every route of every table.
    pub(crate) fn routes(&mut self) -> Result<&[RouteMessage]> {
        self.flush()?;
        if self.routes.is_none() {
            let message = Message::GetRoute(RouteMessage::default());
            let messages = self.rtnl.dump("list the routes", &message)?;
            self.routes = Some(parsed("list the routes", &messages)?);
        }
        Ok(self.routes.as_deref().unwrap_or_default())
    }

    /// The routes of a family in a table, over a link if one is given. The kernel filters.
    pub(crate) fn routes_in(
        &mut self,
        family: AddressFamily,
        table: u32,
        over: Option<u32>,
    ) -> Result<Vec<RouteMessage>> {
        const ACTION: &str = "list the routes of a table";
        self.flush()?;
        let mut asked = RouteMessage::default();
        asked.header.address_family = family;
        asked.attributes.push(RouteAttribute::Table(table));
        asked.attributes.extend(over.map(RouteAttribute::Oif));
        match self.rtnl.dump(ACTION, &Message::GetRoute(asked)) {
            Err(error) if error.is_gone() => Ok(Vec::new()),
            bodies => parsed(ACTION, &bodies?),
        }
    }

    /// The routes over a link with a protocol number. The kernel filters, so the cost does not
    /// depend on the number of other routes.
    pub(crate) fn routes_over(&mut self, link: u32, protocol: u8) -> Result<Vec<RouteMessage>> {
        const ACTION: &str = "list the routes of a link";
        self.flush()?;
        let mut found = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut asked = RouteMessage::default();
            asked.header.address_family = family;
            asked.header.protocol = protocol.into();
            asked.attributes.push(RouteAttribute::Oif(link));
            match self.rtnl.dump(ACTION, &Message::GetRoute(asked)) {
                Ok(bodies) => found.extend(parsed::<RouteMessage>(ACTION, &bodies)?),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        // A kernel that cannot filter reports all routes.
        found.retain(|route| {
            route.header.protocol == protocol.into()
                && route.attributes.contains(&RouteAttribute::Oif(link))
        });
        Ok(found)
    }

    /// Whether packets to an address of a link are for this namespace itself:
    /// `ip -6 route get ADDRESS oif LINK` prints `local`. One request, however large the tables
    /// are.
    pub(crate) fn is_local(&mut self, address: Ipv6Addr, link: u32) -> Result<bool> {
        /// The offset of the route's type in `struct rtmsg`, and `RTN_LOCAL`
        /// (`include/uapi/linux/rtnetlink.h`).
        const KIND: usize = 7;
        const LOCAL: u8 = 2;
        self.flush()?;
        let action = format!("look for the route to {address}");
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        message.header.destination_prefix_length = 128;
        message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(address)));
        message.attributes.push(RouteAttribute::Oif(link));
        match self.rtnl.get(Request::new(action, 0, Message::GetRoute(message))) {
            Ok(route) => Ok(route.is_some_and(|body| body.get(KIND) == Some(&LOCAL))),
            Err(error) if error.errno == nix::libc::ENETUNREACH => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Several requests in few datagrams. See [`Rtnl::get_each`].
    pub(crate) fn get_each(
        &mut self,
        requests: Vec<Request>,
        is_none: impl Fn(&Error) -> bool,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        self.flush()?;
        self.rtnl.get_each(requests, is_none)
    }

    /// All neighbours that match a request.
    pub(crate) fn neighbours(&mut self, asked: NeighbourMessage) -> Result<Vec<NeighbourMessage>> {
        const ACTION: &str = "list the neighbours";
        self.flush()?;
        parsed(ACTION, &self.rtnl.dump(ACTION, &Message::GetNeighbour(asked))?)
    }

    /// The objects of a list, each parsed in the receive buffer.
    pub(crate) fn dump_as<T>(
        &mut self,
        action: &str,
        message: Message,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        self.flush()?;
        self.rtnl.dump_as(action, &message, read)
    }

    /// The addresses of every link of a family, each with the index of its link.
    pub(crate) fn all_addresses(&mut self, family: AddressFamily) -> Result<Vec<(u32, IpNetwork)>> {
        const ACTION: &str = "list the addresses";
        let mut asked = AddressMessage::default();
        asked.header.family = family;
        let bodies = self.dump(ACTION, Message::GetAddress(asked))?;
        let messages = parsed::<AddressMessage>(ACTION, &bodies)?;
        let held = |message: &AddressMessage| {
            Some((message.header.index, HeldAddress::read(message)?.address))
        };
        Ok(messages.iter().filter_map(held).collect())
    }

    /// The bodies of a list of links with more than [`Handle::links`] reports.
    pub(crate) fn dump(&mut self, action: &str, message: Message) -> Result<Vec<Vec<u8>>> {
        self.flush()?;
        self.rtnl.dump(action, &message)
    }
}

/// Parses a list with the library's parser.
pub(crate) fn parsed<T: Parseable<[u8]>>(action: &str, bodies: &[Vec<u8>]) -> Result<Vec<T>> {
    let parse =
        |body: &Vec<u8>| T::parse(body).map_err(|error| Error::found(action, error.to_string()));
    bodies.iter().map(parse).collect()
}

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldAddress {
    pub(crate) address: IpNetwork,
    /// Duplicate address detection has not finished (RFC 4862 section 5.4).
    pub(crate) tentative: bool,
    /// Duplicate address detection found another owner.
    pub(crate) duplicate: bool,
    /// It was added without a route to its subnet.
    pub(crate) noprefixroute: bool,
    /// The number of the program that added it (`proto`); 0 if none was set.
    pub(crate) protocol: u8,
}

impl HeldAddress {
    fn read(message: &AddressMessage) -> Option<HeldAddress> {
        let mut address: Option<IpAddr> = None;
        let mut flags = message.header.flags.bits().into();
        let mut protocol = 0;
        for attribute in &message.attributes {
            match attribute {
                // For a point-to-point link, IFA_ADDRESS is the peer's address, and IFA_LOCAL is
                // the link's.
                AddressAttribute::Local(local) => address = Some(*local),
                AddressAttribute::Address(other) => address = address.or(Some(*other)),
                AddressAttribute::Flags(all) => flags = all.bits(),
                AddressAttribute::Protocol(by) => protocol = u8::from(*by),
                _ => {}
            }
        }
        let flags = AddressFlags::from_bits_retain(flags);
        Some(HeldAddress {
            address: IpNetwork::new(address?, message.header.prefix_len).ok()?,
            tentative: flags.contains(AddressFlags::Tentative),
            duplicate: flags.contains(AddressFlags::Dadfailed),
            noprefixroute: flags.contains(AddressFlags::Noprefixroute),
            protocol,
        })
    }
}
