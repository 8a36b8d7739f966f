//! The connection to nf_tables: requests, dumps and batches over one netlink socket.
//!
//! Netlink answers before `send(2)` returns, so a reply is normally available at once; the deadline
//! is for a kernel in trouble. Replies are read attribute by attribute, never as complete typed
//! rules, because the tables may hold expressions of other programs that this crate need not
//! understand.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_NOOP, NetlinkBuffer, NetlinkMessage,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterProtoFamily, none::ControlMessage,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

use super::Nft;
use super::batch::{Batch, Request};
use super::reply::{Reply, attribute, attributes, text};
use crate::{Doing, Error, Result};

/// The time limit for the kernel's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum number of tries of a dump that a concurrent change has interrupted.
const DUMP_TRIES: usize = 64;
/// The maximum length of an answer: the kernel fills at most 32 KiB at once.
const ANSWER_MAX: usize = 64 * 1024;
/// `NFNL_SUBSYS_NFTABLES`: the subsystem that a batch is for.
const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN` and `NFNL_BATCH_GENID` (linux/netfilter/nfnetlink.h).
const BATCH_BEGIN: u8 = 16;
const BATCH_GENERATION: u16 = 1;
/// `NLMSGERR_ATTR_MSG`: the kernel's explanation (linux/netlink.h).
const ERROR_TEXT: u16 = 1;
/// `struct nlmsgerr` without the copied request: the error number and the request's header.
const ERROR_HEAD: usize = 20;

/// One message of an answer.
enum Answer {
    /// An object.
    Object(Reply),
    /// The end of a dump, with its error number (0: none).
    Done(i32),
    /// The kernel has carried out the request, or refused it.
    Ack { errno: i32, said: String },
}

impl Nft {
    /// Opens a connection to the nf_tables of the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel has no nf_tables, or if no sockets are left.
    pub fn open() -> Result<Nft> {
        let action = || "open a netfilter socket";
        let socket = Socket::new(NETLINK_NETFILTER).doing(action)?;
        socket.connect(&SocketAddr::new(0, 0)).doing(action)?;
        socket.set_ext_ack(true).doing(action)?;
        socket.set_cap_ack(true).doing(action)?;
        Ok(Nft { socket, sequence: 0, buffer: Vec::with_capacity(ANSWER_MAX) })
    }

    /// Closes the connection, as dropping it does.
    ///
    /// After a removal this waits for the kernel's grace period (8 to 16 ms). Removing a link waits
    /// for one too. A caller that removes both keeps this open until the link is removed, and so
    /// waits once.
    pub fn close(self) {
        drop(self);
    }

    /// Requests several objects in one datagram; `None` for an object that does not exist.
    pub(super) fn get(&mut self, requests: &[Request]) -> Result<Vec<Option<Reply>>> {
        let first = self.next_sequences(requests.len());
        let mut datagram = Vec::new();
        for (request, sequence) in requests.iter().zip(first..) {
            // each is answered once: object or error
            append(&mut datagram, request, NLM_F_REQUEST, sequence);
        }
        let action = requests.first().map_or("look at nf_tables", |r| r.action.as_str());
        self.send(&datagram, action)?;
        let mut found: Vec<Option<Reply>> = requests.iter().map(|_| None).collect();
        let mut open = requests.len();
        let deadline = Instant::now() + PATIENCE;
        while open > 0 {
            for (sequence, _, answer) in self.receive(deadline, action)? {
                let index = sequence.wrapping_sub(first) as usize;
                let Some((request, place)) = requests.get(index).zip(found.get_mut(index)) else {
                    continue;
                };
                open = open.saturating_sub(1);
                match answer {
                    Answer::Object(reply) => *place = Some(reply),
                    Answer::Done(_) | Answer::Ack { errno: 0 | libc::ENOENT, .. } => {}
                    Answer::Ack { errno, said } => return Err(request.refused(errno, said)),
                }
            }
        }
        Ok(found)
    }

    /// Requests all objects of a kind; none if their container does not exist.
    pub(super) fn dump(&mut self, request: &Request) -> Result<Vec<Reply>> {
        let deadline = Instant::now() + PATIENCE;
        let mut tries = 0;
        while tries < DUMP_TRIES || Instant::now() < deadline {
            tries += 1;
            if let Some(replies) = self.dump_once(request)? {
                return Ok(replies);
            }
        }
        Err(Error::errno(&request.action, libc::EINTR)
            .said("the ruleset kept changing while it was read")
            .hint("try again"))
    }

    /// `None` if the ruleset changed during the dump, or if it was refused because an error had ended
    /// an earlier dump of this socket before its last answer. The socket is kept, as its namespace
    /// need not be that of the calling thread; the rest of the earlier dump is read instead.
    fn dump_once(&mut self, request: &Request) -> Result<Option<Vec<Reply>>> {
        let sequence = self.next_sequences(1);
        let mut datagram = Vec::new();
        append(&mut datagram, request, NLM_F_REQUEST | NLM_F_DUMP, sequence);
        self.send(&datagram, &request.action)?;
        let (mut replies, mut whole, mut refused) = (Vec::new(), true, false);
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (of, flags, answer) in self.receive(deadline, &request.action)? {
                if refused && matches!(answer, Answer::Done(_)) {
                    return Ok(None);
                }
                if of != sequence {
                    continue;
                }
                whole &= flags & NLM_F_DUMP_INTR == 0;
                match answer {
                    Answer::Object(reply) => replies.push(reply),
                    Answer::Ack { errno: libc::EINTR, .. } | Answer::Done(libc::EINTR) => {
                        return Ok(None);
                    }
                    Answer::Ack { errno: libc::EBUSY, .. } => refused = true,
                    Answer::Ack { errno: 0 | libc::ENOENT, .. }
                    | Answer::Done(0 | libc::ENOENT) => {
                        return Ok(whole.then_some(replies));
                    }
                    Answer::Ack { errno, said } => return Err(request.refused(errno, said)),
                    Answer::Done(errno) => return Err(request.refused(errno, String::new())),
                }
            }
        }
    }

    /// Carries out a batch atomically.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<()> {
        self.send_batch(batch, true)
    }

    /// Lets the kernel check a batch, which it then discards because the batch has no end.
    pub(super) fn judge(&mut self, batch: &Batch) -> Result<()> {
        self.send_batch(batch, false)
    }

    fn send_batch(&mut self, batch: &Batch, is_meant: bool) -> Result<()> {
        let requests = &batch.requests;
        let Some(last) = requests.last() else {
            return Ok(());
        };
        let begin = self.next_sequences(requests.len() + 2);
        let mut datagram = Vec::new();
        append_mark(&mut datagram, begin_mark(batch.generation), begin);
        for (request, sequence) in requests.iter().zip(begin + 1..) {
            append(&mut datagram, request, NLM_F_REQUEST | NLM_F_ACK, sequence);
        }
        if is_meant {
            let end = begin + requests.len() as u32 + 1;
            append_mark(&mut datagram, ControlMessage::BatchEnd, end);
        }
        self.make_room(datagram.len(), &last.action)?;
        self.send(&datagram, &last.action)?;
        self.acks(requests, begin, last)
    }

    /// Waits until every request of a batch is acknowledged. The first refusal is the cause of the
    /// others.
    fn acks(&mut self, requests: &[Request], begin: u32, last: &Request) -> Result<()> {
        let mut open = requests.len();
        let mut refused: Option<(usize, Error)> = None;
        let deadline = Instant::now() + PATIENCE;
        while open > 0 {
            for (sequence, _, answer) in self.receive(deadline, &last.action)? {
                let Answer::Ack { errno, said } = answer else {
                    continue;
                };
                if sequence == begin {
                    return Err(last.refused(errno, said)); // the batch as a whole
                }
                let index = (sequence.wrapping_sub(begin) as usize).wrapping_sub(1);
                let Some(request) = requests.get(index) else {
                    continue;
                };
                open -= 1;
                if errno != 0 && refused.as_ref().is_none_or(|(first, _)| index < *first) {
                    refused = Some((index, request.refused(errno, said)));
                }
            }
        }
        refused.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Sequence numbers for the next requests. They distinguish the answers from those that an
    /// earlier error left unread.
    fn next_sequences(&mut self, count: usize) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(count as u32);
        first
    }

    /// A batch is one datagram. With thousands of elements, it does not fit into the default socket
    /// buffer.
    fn make_room(&self, length: usize, action: &str) -> Result<()> {
        /// A length that always fits: half of the kernel's default (`net.core.wmem_default`).
        const SMALL: usize = 100_000;
        if length <= SMALL {
            return Ok(());
        }
        setsockopt(&self.socket, sockopt::SndBufForce, &(2 * length)).doing(|| action)
    }

    fn send(&self, datagram: &[u8], action: &str) -> Result<()> {
        loop {
            match self.socket.send(datagram, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return sent.map(|_| ()).doing(|| action),
            }
        }
    }

    /// The messages of the next datagram: sequence number, flags, answer.
    fn receive(&mut self, deadline: Instant, action: &str) -> Result<Vec<(u32, u16, Answer)>> {
        let length = loop {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(deadline, action)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).doing(|| action),
            }
        };
        if length != self.buffer.len() {
            return Err(Error::found(action, format!("the answer is too long: {length} bytes")));
        }
        read(&self.buffer).ok_or_else(|| Error::found(action, "the kernel's answer is malformed"))
    }

    fn wait(&self, deadline: Instant, action: &str) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut waiting, timeout) {
            Ok(0) => {
                Err(Error::errno(action, libc::ETIMEDOUT).said("the kernel did not answer in 10 s"))
            }
            Ok(_) | Err(nix::Error::EINTR) => Ok(()),
            Err(error) => Err(error).doing(|| action),
        }
    }
}

fn append(datagram: &mut Vec<u8>, request: &Request, flags: u16, sequence: u32) {
    let header = NetfilterHeader::new(request.family, 0, 0);
    let message = NetfilterMessage::new(header, request.body.clone());
    append_message(datagram, message, flags | request.flags, sequence);
}

/// The start of a batch. The type of the netlink library has no attributes.
fn begin_mark(generation: Option<u32>) -> ControlMessage {
    let generation =
        generation.map(|id| DefaultNla::new(BATCH_GENERATION, id.to_be_bytes().to_vec()));
    ControlMessage::Other {
        message_type: BATCH_BEGIN,
        attributes: generation.into_iter().collect(),
    }
}

fn append_mark(datagram: &mut Vec<u8>, mark: ControlMessage, sequence: u32) {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM);
    append_message(datagram, NetfilterMessage::new(header, mark), NLM_F_REQUEST, sequence);
}

fn append_message(datagram: &mut Vec<u8>, message: NetfilterMessage, flags: u16, sequence: u32) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    datagram.append(&mut bytes); // every part is padded to four bytes already
}

/// Parses a datagram; `None` if it is malformed.
fn read(mut datagram: &[u8]) -> Option<Vec<(u32, u16, Answer)>> {
    let mut answers = Vec::new();
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = message.length() as usize;
        let payload = datagram.get(16..length)?;
        let answer = match message.message_type() {
            NLMSG_NOOP => None,
            NLMSG_ERROR => Some(read_ack(payload, message.flags())?),
            NLMSG_DONE => Some(Answer::Done(read_errno(payload).unwrap_or(0))),
            _ => Some(Answer::Object(Reply { attributes: payload.get(4..)?.to_vec() })),
        };
        answers.extend(answer.map(|answer| (message.sequence_number(), message.flags(), answer)));
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(answers)
}

fn read_ack(payload: &[u8], flags: u16) -> Option<Answer> {
    let errno = read_errno(payload)?;
    let tail = match flags & NLM_F_ACK_TLVS {
        0 => &[],
        _ => payload.get(ERROR_HEAD..).unwrap_or_default(),
    };
    let said = attribute(attributes(tail), ERROR_TEXT).map(text).unwrap_or_default();
    Some(Answer::Ack { errno, said })
}

fn read_errno(payload: &[u8]) -> Option<i32> {
    let bytes = payload.get(..4)?.try_into().ok()?;
    Some(i32::from_ne_bytes(bytes).wrapping_neg())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(flags: u16, errno: i32, tail: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((36 + tail.len() as u32).to_ne_bytes());
        bytes.extend(NLMSG_ERROR.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((-errno).to_ne_bytes());
        bytes.extend([0; 16]);
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn the_kernels_words_are_read() {
        let datagram = ack(NLM_F_ACK_TLVS, 22, b"\x0b\0\x01\0too bi\0\0");
        let answers = read(&datagram).unwrap();
        let [(7, _, Answer::Ack { errno: 22, said })] = answers.as_slice() else {
            panic!("one refusal was sent")
        };
        assert_eq!(said, "too bi");
    }

    #[test]
    fn cut_answers_are_errors_and_never_panics() {
        let datagram = ack(NLM_F_ACK_TLVS, 22, b"\x0b\0\x01\0too bi\0\0");
        for end in 1..datagram.len() {
            assert!(read(&datagram[..end]).is_none(), "{end} bytes");
        }
        for at in 0..datagram.len() {
            let mut bent = datagram.clone();
            bent[at] ^= 0xff;
            read(&bent); // whatever it says, it must come back
        }
    }
}
