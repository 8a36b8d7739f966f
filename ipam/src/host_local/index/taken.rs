//! The reserved addresses: a sparse tree with 256 bits in each node. Nodes without a set bit are
//! not stored.
//!
//! In the lowest nodes a set bit means that an address is reserved; in a higher node it means that
//! all addresses of a node below are reserved. So the next free address is found in a few steps,
//! however many are reserved.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host_local::index::table::{Table, Value};
use crate::host_local::range::bits;

/// The kind of the nodes of IPv4, on the lowest level.
const V4: u64 = 0x40;
/// The kind of the nodes of IPv6, on the lowest level.
const V6: u64 = 0x60;

/// The tree of a family: the kind of its lowest nodes, and its number of levels, one for each byte
/// of the address.
#[derive(Debug, Clone, Copy)]
struct Tree {
    kind: u64,
    levels: u32,
}

impl Table {
    /// Marks an address as reserved.
    pub fn take(&mut self, ip: IpAddr) -> io::Result<()> {
        let (tree, mut at) = (tree(ip), bits(ip));
        for level in 0..tree.levels {
            let mut full = false;
            self.change(tree.kind + u64::from(level), at >> 8, |node| {
                let node = with(node.unwrap_or_default(), at, true);
                full = node == FULL;
                Some(node)
            })?;
            if !full {
                break;
            }
            at >>= 8;
        }
        Ok(())
    }

    /// Marks an address as free.
    pub fn free(&mut self, ip: IpAddr) -> io::Result<()> {
        let (tree, mut at) = (tree(ip), bits(ip));
        for level in 0..tree.levels {
            let mut was_full = false;
            self.change(tree.kind + u64::from(level), at >> 8, |node| {
                was_full = node == Some(FULL);
                let node = with(node.unwrap_or_default(), at, false);
                (node != EMPTY).then_some(node)
            })?;
            if !was_full {
                break;
            }
            at >>= 8;
        }
        Ok(())
    }

    /// The first free address from `first` to `last`.
    pub fn first_free(&self, first: IpAddr, last: IpAddr) -> io::Result<Option<IpAddr>> {
        let (tree, last) = (tree(first), bits(last));
        // `at` is the position of a bit on its level, counted from the family's first address.
        let (mut level, mut at) = (0, bits(first));
        while at <= last.checked_shr(8 * level).unwrap_or(0) {
            let node = self.get(tree.kind + u64::from(level), at >> 8)?;
            match (first_clear(node.first().copied().unwrap_or_default(), at), level) {
                (Some(bit), 0) => {
                    return Ok((bit <= last).then(|| tree.address(bit)));
                }
                (Some(bit), _) => {
                    level -= 1;
                    at = bit << 8;
                }
                (None, _) => {
                    level += 1;
                    at = (at >> 8) + 1;
                }
            }
        }
        Ok(None)
    }
}

impl Tree {
    fn address(self, bits: u128) -> IpAddr {
        match self.kind {
            V4 => Ipv4Addr::from(bits as u32).into(),
            _ => Ipv6Addr::from(bits).into(),
        }
    }
}

const EMPTY: Value = [0; 4];
const FULL: Value = [u64::MAX; 4];

fn tree(ip: IpAddr) -> Tree {
    match ip {
        IpAddr::V4(_) => Tree { kind: V4, levels: 4 },
        IpAddr::V6(_) => Tree { kind: V6, levels: 16 },
    }
}

/// The node with the bit for `at` set or clear.
fn with(mut node: Value, at: u128, set: bool) -> Value {
    let at = at as u8;
    if let Some(word) = node.get_mut(usize::from(at / 64)) {
        let bit = 1 << (at % 64);
        *word = if set { *word | bit } else { *word & !bit };
    }
    node
}

/// The first clear position in the node, from `at` on.
fn first_clear(node: Value, at: u128) -> Option<u128> {
    let (start, from) = (at & !0xff, at as u8);
    let mut words = node.iter().enumerate().skip(usize::from(from / 64));
    words.find_map(|(index, word)| {
        let before = match index == usize::from(from / 64) {
            true => (1 << (from % 64)) - 1,
            false => 0,
        };
        let clear = (word | before).trailing_ones();
        (clear < 64).then(|| start | (index as u128 * 64 + u128::from(clear)))
    })
}
