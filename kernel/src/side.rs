//! The kernel as a plan sees it: two network namespaces, each with a socket, what was read and what waits to be sent.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::InfoKind;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};

use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::netns::Namespace;
use crate::nft::Nft;
use crate::object::Sysctl;
use crate::plan::{Place, Plan};
use crate::rtnl::{Message, Request, Rtnl};

/// Both namespaces of an attachment.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) host: Side,
    pod: Option<Side>,
    /// The path of a pod's side that is opened when it is asked for.
    unopened: Option<PathBuf>,
    /// Links of the host as [`look_at`](Sides::look_at) saw them.
    looked_at: HashMap<String, Option<Link>>,
    nft: Option<Nft>,
}

impl Sides {
    /// Opens the host's side, and the pod's if the plan has one.
    pub(crate) fn open(plan: &Plan) -> Result<Sides> {
        let pod = match &plan.pod {
            Some(path) => Some(Side::open(Place::Pod, Some(Namespace::open(path)?))?),
            None => None,
        };
        Ok(Sides { pod, ..Sides::host_only()? })
    }

    /// Opens the host's side beside a pod's that is open already.
    pub(crate) fn with_pod(pod: Side) -> Result<Sides> {
        Ok(Sides { pod: Some(pod), ..Sides::host_only()? })
    }

    /// Only the host's side: what GC can count on.
    pub(crate) fn host_only() -> Result<Sides> {
        Ok(Sides {
            host: Side::open(Place::Host, None)?,
            pod: None,
            unopened: None,
            looked_at: HashMap::new(),
            nft: None,
        })
    }

    /// For DEL: the host's side, and the pod's when [`pod`](Sides::pod) is asked for it, because most often it is not.
    pub(crate) fn open_lazily(plan: &Plan) -> Result<Sides> {
        Ok(Sides { unopened: plan.pod.clone(), ..Sides::host_only()? })
    }

    /// The side of a place.
    pub(crate) fn side(&mut self, place: Place) -> Result<&mut Side> {
        match place {
            Place::Host => Ok(&mut self.host),
            Place::Pod => self.pod.as_mut().ok_or_else(|| {
                Error::found(
                    "look into the container's network namespace",
                    "no namespace was given",
                )
                .in_namespace()
            }),
        }
    }

    /// The pod's side; none if there is none, or it is gone.
    pub(crate) fn pod(&mut self) -> Result<Option<&mut Side>> {
        if let Some(path) = self.unopened.take() {
            let opened = Namespace::open(&path).and_then(|pod| Side::open(Place::Pod, Some(pod)));
            match opened {
                Err(error) if error.is_namespace() => {}
                opened => self.pod = Some(opened?),
            }
        }
        Ok(self.pod.as_mut())
    }

    /// Looks at links of the host, all at once, for [`host_link`](Sides::host_link). Requests about links wait for the one
    /// lock that changes are made under, 150 ms where 32 DELs run at once; those of one datagram wait together.
    pub(crate) fn look_at(&mut self, names: &[&str]) -> Result<()> {
        let requests = names.iter().map(|name| link::by_name(name)).collect();
        let found = self.host.get_each(requests, Error::is_gone)?;
        let links = found.into_iter().map(|body| body.map(|body| Link::read(&body)));
        self.looked_at.extend(names.iter().map(|name| (*name).to_owned()).zip(links));
        Ok(())
    }

    /// A link of the host: as it was looked at, or as it is now.
    pub(crate) fn host_link(&mut self, name: &str) -> Result<Option<Link>> {
        match self.looked_at.get(name) {
            Some(link) => Ok(link.clone()),
            None => self.host.link(name),
        }
    }

    /// The host's nf_tables. The socket stays open until the end of the call: closing it waits for a grace period
    /// when something was deleted, and that wait is then shared with the one for the deleted link.
    pub(crate) fn nft(&mut self) -> Result<&mut Nft> {
        let nft = match self.nft.take() {
            Some(nft) => nft,
            None => Nft::open()?,
        };
        Ok(self.nft.insert(nft))
    }

    /// Runs `work` with the host's side and the pod's namespace, if there is one.
    pub(crate) fn with_pod_namespace(
        &mut self,
        work: impl FnOnce(&mut Side, &Namespace) -> Result<()>,
    ) -> Result<()> {
        match self.pod.as_ref().and_then(Side::namespace) {
            Some(namespace) => work(&mut self.host, namespace),
            None => Ok(()),
        }
    }

    /// Sends what waits, on both sides.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.host.flush()?;
        self.pod.as_mut().map_or(Ok(()), Side::flush)
    }
}

/// One network namespace.
#[derive(Debug)]
pub(crate) struct Side {
    place: Place,
    /// None for the namespace the process is in.
    namespace: Option<Namespace>,
    rtnl: Rtnl,
    /// Settings that are to be written before what waits to be sent.
    settings: Vec<Sysctl>,
    waiting: Vec<Request>,
    indexes: HashMap<String, u32>,
    /// Links as they were read since the last request that could have changed them.
    seen: HashMap<String, Link>,
    /// The addresses of links, by the links' indexes.
    addresses: HashMap<u32, Vec<HeldAddress>>,
    routes: Option<Vec<RouteMessage>>,
}

impl Side {
    pub(crate) fn open(place: Place, namespace: Option<Namespace>) -> Result<Side> {
        let rtnl = match &namespace {
            Some(namespace) => namespace.enter(Rtnl::open)?,
            None => Rtnl::open()?,
        };
        Ok(Side {
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

    /// The open namespace of the pod; none on the host's side.
    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Runs `work` in this namespace, for what has no socket: `/proc/sys/net`.
    pub(crate) fn inside<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.namespace {
            Some(namespace) => namespace.enter(work),
            None => work(),
        }
    }

    /// Writes a setting before what waits is sent. Settings that follow each other are written in one visit to the namespace.
    pub(crate) fn write(&mut self, setting: Sysctl) {
        self.settings.push(setting);
    }

    /// Puts a request behind those that wait. They go out together, before anything is read or done otherwise.
    pub(crate) fn queue(&mut self, request: Request) {
        self.waiting.push(request);
    }

    /// Writes and sends what waits.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if !self.settings.is_empty() {
            let settings = std::mem::take(&mut self.settings);
            self.inside(|| settings.iter().try_for_each(Sysctl::write))?;
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.forget();
        self.seen.clear();
        self.rtnl.execute(&std::mem::take(&mut self.waiting))
    }

    /// Sends what waits, then this one request.
    pub(crate) fn now(&mut self, request: Request) -> Result<()> {
        self.flush()?;
        self.queue(request);
        self.flush()
    }

    /// Sends what waits, then the request that makes a link, whose index is known from then on if the kernel says it.
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

    /// Remembers the index of a link.
    pub(crate) fn learn(&mut self, name: &str, index: u32) {
        self.indexes.insert(name.to_owned(), index);
    }

    /// The link of a name, as it is now.
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

    /// The link of an index, as it is now.
    pub(crate) fn link_at(&mut self, index: u32) -> Result<Option<Link>> {
        self.flush()?;
        Ok(self.rtnl.get(link::by_index(index))?.map(|body| Link::read(&body)))
    }

    /// The link of a name, which has to be there.
    pub(crate) fn existing(&mut self, name: &str) -> Result<Link> {
        self.link(name)?.ok_or_else(|| self.missing(name))
    }

    /// As [`Side::existing`], but read again only if something was done since.
    pub(crate) fn unchanged(&mut self, name: &str) -> Result<Link> {
        self.flush()?;
        match self.seen.get(name) {
            Some(link) => Ok(link.clone()),
            None => self.existing(name),
        }
    }

    /// The index of a link that was looked at or made in this call before.
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

    /// The addresses of a link. The kernel chooses them, so this costs the same however many others the namespace has.
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

    /// Forgets what was read, so that it is read again.
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

    /// The routes of a family in a table, over a link if one is given. The kernel chooses them.
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

    /// The routes over a link that have a protocol number. The kernel chooses them, so this costs the same however many
    /// other routes there are.
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
        // A kernel that cannot choose gives all of them.
        found.retain(|route| {
            route.header.protocol == protocol.into()
                && route.attributes.contains(&RouteAttribute::Oif(link))
        });
        Ok(found)
    }

    /// Whether packets to an address of a link are for this namespace itself: `ip -6 route get ADDRESS oif LINK` says
    /// `local`. One question, however large the tables are.
    pub(crate) fn is_local(&mut self, address: Ipv6Addr, link: u32) -> Result<bool> {
        /// Where the kind of route is in `struct rtmsg`, and `RTN_LOCAL` (`include/uapi/linux/rtnetlink.h`).
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

    /// As many questions in few datagrams. See [`Rtnl::get_each`].
    pub(crate) fn get_each(
        &mut self,
        requests: Vec<Request>,
        is_none: impl Fn(&Error) -> bool,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        self.flush()?;
        self.rtnl.get_each(requests, is_none)
    }

    /// Every neighbour that a request asks for.
    pub(crate) fn neighbours(&mut self, asked: NeighbourMessage) -> Result<Vec<NeighbourMessage>> {
        const ACTION: &str = "list the neighbours";
        self.flush()?;
        parsed(ACTION, &self.rtnl.dump(ACTION, &Message::GetNeighbour(asked))?)
    }

    /// The bodies of a list of links that shows more than [`Side::links`].
    pub(crate) fn dump(&mut self, action: &str, message: Message) -> Result<Vec<Vec<u8>>> {
        self.flush()?;
        self.rtnl.dump(action, &message)
    }
}

/// Reads a list with the library's parser.
pub(crate) fn parsed<T: Parseable<[u8]>>(action: &str, bodies: &[Vec<u8>]) -> Result<Vec<T>> {
    let parse =
        |body: &Vec<u8>| T::parse(body).map_err(|error| Error::found(action, error.to_string()));
    bodies.iter().map(parse).collect()
}

/// An address that a link has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldAddress {
    pub(crate) address: IpNetwork,
    /// Duplicate address detection has not finished (RFC 4862 section 5.4).
    pub(crate) tentative: bool,
    /// Duplicate address detection found another owner.
    pub(crate) duplicate: bool,
}

impl HeldAddress {
    fn read(message: &AddressMessage) -> Option<HeldAddress> {
        let mut address: Option<IpAddr> = None;
        let mut flags = message.header.flags.bits().into();
        for attribute in &message.attributes {
            match attribute {
                // IFA_LOCAL is the address itself where IFA_ADDRESS is the peer's (point to point).
                AddressAttribute::Local(local) => address = Some(*local),
                AddressAttribute::Address(other) => address = address.or(Some(*other)),
                AddressAttribute::Flags(all) => flags = all.bits(),
                _ => {}
            }
        }
        let flags = AddressFlags::from_bits_retain(flags);
        Some(HeldAddress {
            address: IpNetwork::new(address?, message.header.prefix_len).ok()?,
            tentative: flags.contains(AddressFlags::Tentative),
            duplicate: flags.contains(AddressFlags::Dadfailed),
        })
    }
}
