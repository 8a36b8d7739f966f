//! Netlink without a library: several requests in one datagram, and their acknowledgements.

use std::io::{Error, Result};

use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_REPLACE`, `NLM_F_EXCL`, `NLM_F_CREATE`
pub const REQUEST: u16 = 1;
pub const ACK: u16 = 4;
pub const REPLACE: u16 = 0x100;
pub const EXCL: u16 = 0x200;
pub const CREATE: u16 = 0x400;
const HEADER: usize = 16;
/// `NLMSG_ERROR`
const ERROR: u16 = 2;
/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;

/// The requests of one datagram.
#[derive(Debug, Default)]
pub struct Datagram {
    bytes: Vec<u8>,
    /// The offset of the last request.
    last: usize,
}

impl Datagram {
    /// Adds a request: its type, flags and fixed part; then `attributes` adds the rest. The kernel
    /// answers only failures, and the request that asks for an answer.
    pub fn add(&mut self, kind: u16, flags: u16, fixed: &[u8], attributes: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.last = start;
        self.bytes.extend(0_u32.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((REQUEST | flags).to_ne_bytes());
        self.bytes.extend([0; 8]);
        self.bytes.extend(fixed);
        attributes(self);
        let length = (self.bytes.len() - start) as u32;
        self.write(start, &length.to_ne_bytes());
    }

    /// Adds an attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend((value.len() as u16 + 4).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Adds a string, which ends with NUL.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// Adds a nested attribute.
    pub fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attribute(kind | NESTED, &[]);
        inside(self);
        let length = (self.bytes.len() - start) as u16;
        self.write(start, &length.to_ne_bytes());
    }

    /// Adds bytes that are not an attribute.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    }

    /// Requests an answer to the last request.
    pub fn acknowledged(mut self) -> Self {
        let at = self.last + 6;
        let flags = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk());
        let flags = flags.map_or(0, |bytes| u16::from_ne_bytes(*bytes));
        self.write(at, &(flags | ACK).to_ne_bytes());
        self
    }

    /// Sends the requests, and waits for the answer to the last one. A request before it may fail
    /// with `tolerated`.
    pub fn exchange(self, socket: &Socket, tolerated: Option<Errno>) -> Result<()> {
        socket.send(&self.bytes, 0)?;
        let mut answer = Vec::with_capacity(8192);
        loop {
            answer.clear();
            socket.recv(&mut answer, 0)?;
            let mut rest = answer.as_slice();
            while let Some(head) = rest.first_chunk::<{ HEADER + 4 }>() {
                let [l0, l1, l2, l3, k0, k1, .., e0, e1, e2, e3] = *head;
                let errno = i32::from_ne_bytes([e0, e1, e2, e3]);
                match (u16::from_ne_bytes([k0, k1]), errno) {
                    (ERROR, 0) => return Ok(()),
                    (ERROR, errno) if tolerated.is_some_and(|t| t as i32 == -errno) => {}
                    (ERROR, errno) => return Err(Error::from_raw_os_error(-errno)),
                    _ => {}
                }
                let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
                rest = rest.get(length.next_multiple_of(4).max(HEADER)..).unwrap_or_default();
            }
        }
    }
}

/// A socket in the namespace of the process.
pub fn open(protocol: isize) -> Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}
