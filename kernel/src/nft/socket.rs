//! The conversation with nf_tables: questions, dumps and batches over one netlink socket.
//!
//! Netlink answers before `send(2)` returns, so a reply is normally waiting; the deadline is for a kernel that is not
//! well. Replies are read attribute by attribute, never as whole typed rules: the tables may hold expressions written
//! by others that nobody here has to understand.

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

use super::Nft;
use super::batch::{Batch, Request};
use super::reply::{Reply, attribute, attributes, text};
use crate::{Doing, Error, Result};

/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a dump is repeated that a concurrent change has cut in two.
const DUMP_TRIES: usize = 64;
/// The longest answer: the kernel fills at most 32 KiB at once.
const ANSWER_MAX: usize = 64 * 1024;
/// `NFNL_SUBSYS_NFTABLES`, for whom a batch is meant.
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
    /// The request was carried out, or refused.
    Ack { errno: i32, said: String },
}

impl Nft {
    /// Opens the conversation with the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// The kernel has no nf_tables, or no sockets are left.
    pub fn open() -> Result<Nft> {
        let action = || "open a netfilter socket";
        let socket = Socket::new(NETLINK_NETFILTER).doing(action)?;
        socket.connect(&SocketAddr::new(0, 0)).doing(action)?;
        socket.set_ext_ack(true).doing(action)?;
        socket.set_cap_ack(true).doing(action)?;
        Ok(Nft { socket, sequence: 0, buffer: Vec::with_capacity(ANSWER_MAX) })
    }

    /// Ends the conversation, as dropping does.
    ///
    /// After a removal this waits for the kernel's grace period (8 to 16 ms). Removing a link waits for one too, so
    /// whoever removes both keeps this open until the link is gone, and waits once.
    pub fn close(self) {
        drop(self);
    }

    /// Asks for several objects in one datagram; `None` where the object is not there.
    pub(super) fn get(&mut self, requests: &[Request]) -> Result<Vec<Option<Reply>>> {
        let first = self.next_sequences(requests.len());
        let mut datagram = Vec::new();
        for (request, sequence) in requests.iter().zip(first..) {
            append(&mut datagram, request, NLM_F_REQUEST, sequence); // each is answered once: object or error
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

    /// Asks for all objects of a kind; none if what holds them is not there.
    pub(super) fn dump(&mut self, request: &Request) -> Result<Vec<Reply>> {
        for _ in 0..DUMP_TRIES {
            if let Some(replies) = self.dump_once(request)? {
                return Ok(replies);
            }
        }
        Err(Error::errno(&request.action, libc::EINTR)
            .said("the ruleset kept changing while it was read")
            .hint("try again"))
    }

    /// `None` if the ruleset changed half way.
    fn dump_once(&mut self, request: &Request) -> Result<Option<Vec<Reply>>> {
        let sequence = self.next_sequences(1);
        let mut datagram = Vec::new();
        append(&mut datagram, request, NLM_F_REQUEST | NLM_F_DUMP, sequence);
        self.send(&datagram, &request.action)?;
        let (mut replies, mut whole) = (Vec::new(), true);
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (of, flags, answer) in self.receive(deadline, &request.action)? {
                if of != sequence {
                    continue;
                }
                whole &= flags & NLM_F_DUMP_INTR == 0;
                match answer {
                    Answer::Object(reply) => replies.push(reply),
                    Answer::Ack { errno: libc::EINTR, .. } | Answer::Done(libc::EINTR) => {
                        return Ok(None);
                    }
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

    /// Carries out all of a batch or nothing of it.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<()> {
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
        append_mark(&mut datagram, ControlMessage::BatchEnd, begin + requests.len() as u32 + 1);
        self.send(&datagram, &last.action)?;
        self.acks(requests, begin, last)
    }

    /// Waits until every request of a batch is acknowledged. The first refusal is the cause of the others.
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

    /// Numbers for the next requests. Answers to earlier ones, left over by an error, are told apart by them.
    fn next_sequences(&mut self, count: usize) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(count as u32);
        first
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

/// The start of a batch; the crate's own knows no attributes.
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

/// Takes a datagram apart; `None` if it is malformed.
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
