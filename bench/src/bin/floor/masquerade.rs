//! One element in the map of masqueraded addresses.

use std::io::Result;
use std::net::Ipv4Addr;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::netlink::{self, CREATE, Datagram, EXCL};

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`; the subsystem nf_tables; `NFT_MSG_NEWSETELEM`,
/// `NFT_MSG_DELSETELEM`
const BEGIN: u16 = 16;
const END: u16 = 17;
const NFTABLES: u8 = 10;
const NEW_ELEMENT: u16 = (NFTABLES as u16) << 8 | 12;
const DELETE_ELEMENT: u16 = (NFTABLES as u16) << 8 | 14;
/// `NFPROTO_INET`, as the fixed part of a request.
const INET: [u8; 4] = [1, 0, 0, 0];
/// The fixed part of the messages around a batch: the subsystem.
const BATCH: [u8; 4] = [0, 0, 0, NFTABLES];
/// `NFT_JUMP`
const JUMP: i32 = -3;

/// `nft add element inet ferrocni masq4 { ADDRESS comment TAG : jump CHAIN }`
pub fn add(address: Ipv4Addr, chain: &str, tag: &str) -> Result<()> {
    let socket = netlink::open(NETLINK_NETFILTER)?;
    exchange(&socket, NEW_ELEMENT, CREATE | EXCL, |element| {
        key(element, address);
        // NFTA_SET_ELEM_DATA, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN
        element.nested(2, |data| {
            data.nested(2, |verdict| {
                verdict.attribute(1, &JUMP.to_be_bytes());
                verdict.text(2, chain);
            });
        });
        // NFTA_SET_ELEM_USERDATA: a comment is of type 0.
        let comment = [&[0, tag.len() as u8 + 1], tag.as_bytes(), &[0]].concat();
        element.attribute(6, &comment);
    })
}

/// `nft delete element inet ferrocni masq4 { ADDRESS }`. Closing the socket waits for a grace
/// period.
pub fn delete(address: Ipv4Addr) -> Result<Socket> {
    let socket = netlink::open(NETLINK_NETFILTER)?;
    exchange(&socket, DELETE_ELEMENT, 0, |element| key(element, address))?;
    Ok(socket)
}

/// `NFTA_SET_ELEM_KEY`, `NFTA_DATA_VALUE`
fn key(element: &mut Datagram, address: Ipv4Addr) {
    element.nested(1, |key| key.attribute(1, &address.octets()));
}

fn exchange(
    socket: &Socket,
    kind: u16,
    flags: u16,
    element: impl FnOnce(&mut Datagram),
) -> Result<()> {
    let mut batch = Datagram::default();
    batch.add(BEGIN, 0, &BATCH, |_| {});
    // NFTA_SET_ELEM_LIST_TABLE, _SET, _ELEMENTS, NFTA_LIST_ELEM
    batch.add(kind, flags | netlink::ACK, &INET, |list| {
        list.text(1, "ferrocni");
        list.text(2, "masq4");
        list.nested(3, |elements| elements.nested(1, element));
    });
    batch.add(END, 0, &BATCH, |_| {});
    batch.exchange(socket, None)
}
