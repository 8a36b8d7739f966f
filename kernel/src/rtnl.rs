//! rtnetlink: requests to one network namespace, several in one datagram, each with a separate
//! answer.
//!
//! The messages are those of `netlink-packet-route`, mostly built with `rtnetlink`. The exchange is
//! implemented here because no library offers what a short-lived process needs: many requests in
//! one round trip, the kernel's reason for a refusal (extended ack), and dumps that are repeated if
//! they were interrupted. [`Message`] replaces the library's own enum of all messages, whose
//! parsers for unused messages would be a third of each plugin.

use std::time::{Duration, Instant};

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_ECHO, NLM_F_REQUEST,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::nsid::NsidMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::libc::EBUSY;

use crate::error::{Doing, Error, Result};

/// The minimum number and duration of tries before a dump counts as failed: on a busy host links
/// change between any two parts of it.
const DUMP_TRIES: usize = 10;
const DUMP_PATIENCE: Duration = Duration::from_secs(30);
/// The maximum size of a datagram of answers (`netlink(7)`).
const BUFFER: usize = 32 * 1024;
/// The maximum number of requests in one datagram, so that their answers fit into the receive
/// buffer.
const BATCH: usize = 64;

/// One request, with its action for the error message.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) message: Message,
    /// `NLM_F_CREATE` and the like; the flags that every request needs are added.
    pub(crate) flags: u16,
    /// The action, for the error: `add address 10.1.2.5/24 to eth0`.
    pub(crate) action: String,
    /// Error numbers that count as success.
    pub(crate) tolerated: &'static [i32],
}

impl Request {
    pub(crate) fn new(action: impl Into<String>, flags: u16, message: Message) -> Request {
        Request { message, flags, action: action.into(), tolerated: &[] }
    }

    pub(crate) fn tolerate(mut self, errnos: &'static [i32]) -> Request {
        self.tolerated = errnos;
        self
    }
}

/// A socket to the rtnetlink of the network namespace in which it was opened.
pub(crate) struct Rtnl {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Rtnl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rtnl").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

impl Rtnl {
    /// Opens a socket in the thread's network namespace.
    pub(crate) fn open() -> Result<Rtnl> {
        let open = || {
            let socket = Socket::new(NETLINK_ROUTE)?;
            // This also assigns the socket's address, and limits the senders to the kernel.
            socket.connect(&SocketAddr::new(0, 0))?;
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            socket.set_netlink_get_strict_chk(true)?;
            Ok(socket)
        };
        let socket = std::io::Result::doing(open(), || "open a netlink socket")?;
        Ok(Rtnl { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Sends all requests, in order. Returns the first error, after all answers have arrived.
    ///
    /// The kernel continues after a failed request, so requests are batched only if a later one is
    /// harmless when an earlier one fails.
    pub(crate) fn execute(&mut self, requests: &[Request]) -> Result<()> {
        let mut first_error = Ok(());
        for some in requests.chunks(BATCH) {
            first_error = first_error.and(self.exchange(some, 0).map(drop));
        }
        first_error
    }

    /// Creates a link, and returns it as the kernel echoes it, before it was put into a bridge.
    /// Kernels before 6.2 return `None`.
    pub(crate) fn make(&mut self, request: Request) -> Result<Option<Vec<u8>>> {
        self.exchange(&[request], NLM_F_ECHO)
    }

    /// Sends requests in one datagram. The kernel answers each refusal; one acknowledgement after
    /// the last request stands for all others.
    fn exchange(&mut self, requests: &[Request], flags: u16) -> Result<Option<Vec<u8>>> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for (rest, request) in (0..requests.len()).rev().zip(requests) {
            self.sequence = self.sequence.wrapping_add(1);
            let ack = if rest == 0 { NLM_F_ACK } else { 0 };
            let flags = NLM_F_REQUEST | ack | flags | request.flags;
            append(&mut datagram, &request.message, flags, self.sequence);
        }
        let last = self.sequence;
        self.socket.send(&datagram, 0).doing(|| "send to the kernel")?;

        let (mut done, mut echo) = (Ok(()), None);
        loop {
            for answer in self.receive().map_err(Error::without_answer)? {
                let (sequence, errno, said) = match answer {
                    Answer::Ack { sequence, errno, said } => (sequence, errno, said),
                    Answer::Object { sequence, body, .. } if sequence == last => {
                        echo = Some(body.to_owned());
                        continue;
                    }
                    _ => continue,
                };
                let Some(request) = requests.get(sequence.wrapping_sub(first) as usize) else {
                    continue;
                };
                if errno != 0 && !request.tolerated.contains(&errno) {
                    done = done.and(Err(Error::errno(&request.action, errno).said(said)));
                }
                if sequence == last {
                    return done.map(|()| echo);
                }
            }
        }
    }

    /// Requests one object; `None` if it does not exist.
    pub(crate) fn get(&mut self, request: Request) -> Result<Option<Vec<u8>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let asked = self.sequence;
        let mut datagram = Vec::new();
        append(&mut datagram, &request.message, NLM_F_REQUEST | request.flags, asked);
        self.socket.send(&datagram, 0).doing(|| "send to the kernel")?;
        loop {
            for answer in self.receive()? {
                match answer {
                    Answer::Object { sequence, body, .. } if sequence == asked => {
                        return Ok(Some(body.to_owned()));
                    }
                    Answer::Ack { sequence, errno, said } if sequence == asked => {
                        let error = Error::errno(request.action, errno).said(said);
                        return if error.is_gone() { Ok(None) } else { Err(error) };
                    }
                    _ => {}
                }
            }
        }
    }

    /// Requests one object with each request, in few datagrams; `None` for an object that does not
    /// exist, which `is_none` recognises by the error number.
    pub(crate) fn get_each(
        &mut self,
        requests: Vec<Request>,
        is_none: impl Fn(&Error) -> bool,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let mut found = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            found.extend(self.get_some(requests.by_ref().take(BATCH).collect(), &is_none)?);
        }
        Ok(found)
    }

    /// As [`Rtnl::get_each`], in one datagram.
    fn get_some(
        &mut self,
        requests: Vec<Request>,
        is_none: impl Fn(&Error) -> bool,
    ) -> Result<Vec<Option<Vec<u8>>>> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        for request in &requests {
            self.sequence = self.sequence.wrapping_add(1);
            append(&mut datagram, &request.message, NLM_F_REQUEST | request.flags, self.sequence);
        }
        self.socket.send(&datagram, 0).doing(|| "send to the kernel")?;
        let mut found: Vec<Option<Option<Vec<u8>>>> = vec![None; requests.len()];
        let mut failed = Ok(());
        while found.iter().any(Option::is_none) {
            for answer in self.receive()? {
                let (sequence, object) = match answer {
                    Answer::Object { sequence, body, .. } => (sequence, Ok(body.to_owned())),
                    Answer::Ack { sequence, errno, said } => (sequence, Err((errno, said))),
                    Answer::Done { .. } | Answer::Other => continue,
                };
                let place = sequence.wrapping_sub(first) as usize;
                let (Some(request), Some(found)) = (requests.get(place), found.get_mut(place))
                else {
                    continue;
                };
                *found = Some(object.map(Some).unwrap_or_else(|(errno, said)| {
                    let error = Error::errno(request.action.clone(), errno).said(said);
                    if !is_none(&error) && failed.is_ok() {
                        failed = Err(error);
                    }
                    None
                }));
            }
        }
        failed.map(|()| found.into_iter().map(Option::flatten).collect())
    }

    /// Requests all objects of a kind. Repeats a dump that the kernel reports as interrupted by a
    /// change.
    pub(crate) fn dump(&mut self, action: &str, message: &Message) -> Result<Vec<Vec<u8>>> {
        self.dump_as(action, message, |body| Some(body.to_owned()))
    }

    /// As [`Rtnl::dump`], but parses each object in the receive buffer; `read` may skip objects.
    pub(crate) fn dump_as<T>(
        &mut self,
        action: &str,
        message: &Message,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>> {
        let deadline = Instant::now() + DUMP_PATIENCE;
        let mut tries = 0;
        while tries < DUMP_TRIES || Instant::now() < deadline {
            if let Some(objects) = self.try_dump(action, message, &read)? {
                return Ok(objects);
            }
            tries += 1;
        }
        Err(Error::found(
            action,
            format!("the list changed while it was read, {tries} times in a row"),
        ))
    }

    /// One dump; `None` if it was interrupted, or refused because an error had ended an earlier dump
    /// of this socket before its last answer. The socket is kept, as its namespace is not that of
    /// the calling thread; the rest of the earlier dump is read instead.
    fn try_dump<T>(
        &mut self,
        action: &str,
        message: &Message,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let asked = self.sequence;
        let mut datagram = Vec::new();
        append(&mut datagram, message, NLM_F_REQUEST | NLM_F_DUMP, asked);
        self.socket.send(&datagram, 0).doing(|| "send to the kernel")?;
        let mut objects = Vec::new();
        let (mut whole, mut refused) = (true, false);
        loop {
            for answer in self.receive()? {
                match answer {
                    Answer::Ack { sequence, errno: EBUSY, .. } if sequence == asked => {
                        refused = true;
                    }
                    Answer::Done { .. } if refused => return Ok(None),
                    Answer::Object { sequence, flags, body } if sequence == asked => {
                        whole &= flags & NLM_F_DUMP_INTR == 0;
                        objects.extend(read(body));
                    }
                    Answer::Done { sequence, flags } if sequence == asked => {
                        whole &= flags & NLM_F_DUMP_INTR == 0;
                        return Ok(whole.then_some(objects));
                    }
                    Answer::Ack { sequence, errno, said } if sequence == asked && errno != 0 => {
                        return Err(Error::errno(action, errno).said(said));
                    }
                    _ => {}
                }
            }
        }
    }

    /// The answers in the next datagram.
    fn receive(&mut self) -> Result<Vec<Answer<'_>>> {
        self.buffer.clear();
        while let Err(error) = self.socket.recv(&mut self.buffer, 0) {
            if error.kind() != std::io::ErrorKind::Interrupted {
                return Err(error).doing(|| "receive from the kernel");
            }
        }
        let mut answers = Vec::new();
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            let (message, after) = split_message(rest)?;
            answers.push(Answer::parse(message)?);
            rest = after;
        }
        Ok(answers)
    }
}

/// One message from the kernel.
enum Answer<'a> {
    /// The body of a message about an object: its fixed part and its attributes.
    Object {
        sequence: u32,
        flags: u16,
        body: &'a [u8],
    },
    Ack {
        sequence: u32,
        errno: i32,
        said: String,
    },
    Done {
        sequence: u32,
        flags: u16,
    },
    Other,
}

/// The header of a netlink message (`netlink(7)`): its length in bytes, type, flags, sequence
/// number and port.
const HEADER: usize = 16;
/// `NLMSG_ERROR`, also an acknowledgement.
const ERROR: u16 = 2;
/// `NLMSG_DONE`, the end of a dump.
const DONE: u16 = 3;
/// Types below this are netlink's own.
const FIRST_OF_RTNETLINK: u16 = 16;

impl Answer<'_> {
    fn parse(bytes: &[u8]) -> Result<Answer<'_>> {
        let (kind, flags, sequence) = (half(bytes, 4), half(bytes, 6), word(bytes, 8));
        let payload = bytes.get(HEADER..).unwrap_or_default();
        Ok(match kind {
            ERROR => {
                // The code is a negative errno, or 0 for success.
                let errno = word(payload, 0).cast_signed().saturating_abs();
                let said = extended_ack(payload.get(4..).unwrap_or_default());
                Answer::Ack { sequence, errno, said }
            }
            DONE => Answer::Done { sequence, flags },
            kind if kind < FIRST_OF_RTNETLINK => Answer::Other,
            _ => Answer::Object { sequence, flags, body: payload },
        })
    }
}

/// The 16 bits at an offset, in the host's byte order; 0 beyond the end.
pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

/// The first message of a datagram, and the rest.
fn split_message(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let short = || Error::found("read the kernel's answer", "it ends in the middle of a message");
    let length = bytes.first_chunk::<4>().ok_or_else(short)?;
    let length = u32::from_ne_bytes(*length) as usize;
    let message = bytes.get(..length).filter(|_| length >= 16).ok_or_else(short)?;
    Ok((message, bytes.get(aligned(length)..).unwrap_or_default()))
}

/// The kernel's reason in an error message: the attribute `NLMSGERR_ATTR_MSG` behind the header of
/// the refused request (`include/uapi/linux/netlink.h`).
fn extended_ack(bytes: &[u8]) -> String {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    let mut found = attributes(bytes.get(HEADER..).unwrap_or_default());
    found
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .map(|(_, said)| text(said))
        .unwrap_or_default()
}

/// The attributes in a message or in another attribute: type and value. Ends at the first truncated
/// one.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The upper bits are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
    const TYPE_MASK: u16 = 0x3fff;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let ([l0, l1, k0, k1], value) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = value.get(..length.checked_sub(4)?)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((u16::from_ne_bytes([*k0, *k1]) & TYPE_MASK, value))
    })
}

/// An attribute's text, which ends with a NUL.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

/// Netlink messages and attributes are aligned to four bytes.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// The 32 bits at an offset, in the host's byte order; 0 beyond the end.
pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn append(datagram: &mut Vec<u8>, message: &Message, flags: u16, sequence: u32) {
    let (kind, body) = message.parts();
    let (start, length) = (datagram.len(), HEADER + body.buffer_len());
    // Requests of this crate have a few hundred bytes.
    datagram.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    datagram.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend(0_u32.to_ne_bytes());
    datagram.resize(start + aligned(length), 0);
    if let Some(room) = datagram.get_mut(start + HEADER..) {
        body.emit(room);
    }
}

/// Declares the messages that are sent, with their types (`rtnetlink(7)`).
macro_rules! messages {
    ($($name:ident($body:ident) = $kind:literal,)*) => {
        /// A message of rtnetlink.
        #[derive(Debug)]
        pub(crate) enum Message {
            $($name($body),)*
        }

        impl Message {
            /// Its type and its body.
            fn parts(&self) -> (u16, &dyn Emitable) {
                match self {
                    $(Message::$name(body) => ($kind, body),)*
                }
            }
        }
    };
}

messages! {
    NewLink(LinkMessage) = 16,
    DelLink(LinkMessage) = 17,
    GetLink(LinkMessage) = 18,
    SetLink(LinkMessage) = 19,
    NewAddress(AddressMessage) = 20,
    DelAddress(AddressMessage) = 21,
    GetAddress(AddressMessage) = 22,
    NewRoute(RouteMessage) = 24,
    DelRoute(RouteMessage) = 25,
    GetRoute(RouteMessage) = 26,
    NewNeighbour(NeighbourMessage) = 28,
    DelNeighbour(NeighbourMessage) = 29,
    GetNeighbour(NeighbourMessage) = 30,
    GetRule(RuleMessage) = 34,
    NewNsid(NsidMessage) = 88,
    GetNsid(NsidMessage) = 90,
}
