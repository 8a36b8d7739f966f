//! Answers of the kernel: nested attributes, read on demand.

use netlink_packet_core::{Emitable, Nla, NlasIterator};

/// An object as the kernel reports it: its attributes, by the numbers of
/// linux/netfilter/nf_tables.h.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) attributes: Vec<u8>,
}

/// `NFTA_LIST_ELEM`.
const LIST_ITEM: u16 = 1;
/// `NFTNL_UDATA_RULE_COMMENT` and `NFTNL_UDATA_SET_ELEM_COMMENT` (libnftnl/udata.h).
const COMMENT: u8 = 0;

/// `NFTA_CHAIN_*`.
pub(super) mod chain {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const NAME: u16 = 3;
    pub(crate) const HOOK: u16 = 4;
    pub(crate) const USE: u16 = 6;
}

/// `NFTA_GEN_ID`.
pub(super) const GENERATION: u16 = 1;

/// `NFTA_RULE_*`.
pub(super) mod rule {
    pub(crate) const CHAIN: u16 = 2;
    pub(crate) const HANDLE: u16 = 3;
    pub(crate) const EXPRESSIONS: u16 = 4;
    pub(crate) const USERDATA: u16 = 7;
}

/// `NFTA_SET_ELEM_*`, and the list of elements in a message.
pub(super) mod element {
    pub(crate) const LIST: u16 = 3;
    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const USERDATA: u16 = 6;
}

/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CHAIN`.
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CHAIN: u16 = 2;

impl Reply {
    /// The value of the attribute `kind`.
    pub(super) fn get(&self, kind: u16) -> Option<&[u8]> {
        attribute(attributes(&self.attributes), kind)
    }

    /// The attribute `kind` as text; empty if it is missing.
    pub(super) fn text(&self, kind: u16) -> String {
        self.get(kind).map(text).unwrap_or_default()
    }

    /// The attribute `kind` as a number of four bytes.
    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// A rule's handle.
    pub(super) fn handle(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.get(rule::HANDLE)?.try_into().ok()?))
    }

    /// A rule's comment; empty if it has none.
    pub(super) fn rule_comment(&self) -> String {
        self.get(rule::USERDATA).map(comment).unwrap_or_default()
    }

    /// The element of a set or map that was requested.
    pub(super) fn element(&self) -> Option<Element> {
        self.elements().into_iter().next()
    }

    /// The elements of a set or map.
    pub(super) fn elements(&self) -> Vec<Element> {
        let list = self.get(element::LIST).unwrap_or_default();
        attributes(list).filter(|(kind, _)| *kind == LIST_ITEM).filter_map(read_element).collect()
    }
}

/// One bound of a range in a set of IPv4 addresses: the first address, or the first address after
/// the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bound {
    pub(super) key: u32,
    pub(super) is_end: bool,
}

/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u8 = 1;

impl Reply {
    /// The bounds of ranges in a set of IPv4 addresses. There may be thousands of peers, so it
    /// reads no more than necessary.
    pub(super) fn bounds(&self) -> impl Iterator<Item = Bound> {
        let list = self.get(element::LIST).unwrap_or_default();
        attributes(list).filter(|(kind, _)| *kind == LIST_ITEM).filter_map(|(_, bytes)| {
            let (mut key, mut is_end) = (None, false);
            for (kind, value) in attributes(bytes) {
                match kind {
                    element::KEY => key = attribute(attributes(value), DATA_VALUE),
                    element::FLAGS => {
                        is_end = value.last().is_some_and(|it| it & INTERVAL_END != 0)
                    }
                    _ => {}
                }
            }
            Some(Bound { key: u32::from_be_bytes(key?.try_into().ok()?), is_end })
        })
    }
}

/// An element of a set or map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Element {
    /// The key's bytes.
    pub(super) key: Vec<u8>,
    /// The data of a map.
    pub(super) data: Option<Data>,
    /// The comment: the owner's tag.
    pub(super) comment: String,
}

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Data {
    /// A jump to a chain.
    Jump(String),
    /// Bytes, such as an address and a port.
    Value(Vec<u8>),
}

fn read_element((_, bytes): (u16, &[u8])) -> Option<Element> {
    let part = |kind| attribute(attributes(bytes), kind);
    let key = attribute(attributes(part(element::KEY)?), DATA_VALUE)?;
    Some(Element {
        key: key.to_vec(),
        data: part(element::DATA).and_then(read_data),
        comment: part(element::USERDATA).map(comment).unwrap_or_default(),
    })
}

fn read_data(data: &[u8]) -> Option<Data> {
    let part = |kind| attribute(attributes(data), kind);
    match part(DATA_VERDICT) {
        Some(verdict) => {
            attribute(attributes(verdict), VERDICT_CHAIN).map(|chain| Data::Jump(text(chain)))
        }
        None => part(DATA_VALUE).map(|value| Data::Value(value.to_vec())),
    }
}

/// The attributes in `bytes`, up to the first malformed one. A set may have thousands of elements
/// with several attributes each, so this does as little as possible.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The flags in an attribute's kind: `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`.
    const FLAGS: u16 = 0xc000;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let [l, m, k, n, ..] = *rest else { return None };
        let (length, kind) = (usize::from(u16::from_ne_bytes([l, m])), u16::from_ne_bytes([k, n]));
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind & !FLAGS, value))
    })
}

/// The first attribute of `kind` among `all`.
pub(super) fn attribute<'a>(
    mut all: impl Iterator<Item = (u16, &'a [u8])>,
    kind: u16,
) -> Option<&'a [u8]> {
    all.find(|(of, _)| *of == kind).map(|(_, value)| value)
}

/// A string attribute without its final zero byte.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

/// The comment in user data: type, length, and zero-terminated text, as `nft` writes it.
fn comment(mut userdata: &[u8]) -> String {
    while let [kind, length, rest @ ..] = userdata {
        let Some((value, after)) = rest.split_at_checked(usize::from(*length)) else {
            break;
        };
        if *kind == COMMENT {
            return text(value);
        }
        userdata = after;
    }
    String::new()
}

/// User data with `text` as the comment that `nft` shows.
pub(super) fn comment_userdata(text: &str) -> Vec<u8> {
    let length = text.len().min(usize::from(u8::MAX) - 1);
    let mut userdata = vec![COMMENT, length as u8 + 1];
    userdata.extend(text.bytes().take(length));
    userdata.push(0);
    userdata
}

/// Whether the rule `reply` consists of `expressions`.
pub(super) fn is_rule<T: Nla>(reply: &Reply, expressions: &[T]) -> bool {
    let mut wanted = vec![0; expressions.buffer_len()];
    expressions.emit(&mut wanted);
    covers(reply.get(rule::EXPRESSIONS).unwrap_or_default(), &wanted)
}

/// Whether `found` contains everything in `wanted`. The kernel adds attributes and may reorder
/// them; but a list must have the same number of items, in the same order.
fn covers(found: &[u8], wanted: &[u8]) -> bool {
    let count = |bytes, kind| attributes(bytes).filter(|(of, _)| *of == kind).count();
    let mut seen: Vec<u16> = Vec::new();
    NlasIterator::new(wanted).map_while(Result::ok).all(|nla| {
        let (kind, nested) = (nla.kind(), nla.nested_flag());
        let length = usize::from(nla.length());
        let value = nla.into_inner().get(4..length).unwrap_or_default();
        let nth = seen.iter().filter(|of| **of == kind).count();
        seen.push(kind);
        let same = attributes(found).filter(|(of, _)| *of == kind).nth(nth);
        count(found, kind) == count(wanted, kind)
            && same.is_some_and(|(_, other)| match nested {
                true => covers(other, value),
                false => other == value,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_found_behind_other_user_data() {
        assert_eq!(comment(b"\x01\x02ab\x00\x04own\x00"), "own");
        assert_eq!(comment(&comment_userdata("ferrocni:a/b/c")), "ferrocni:a/b/c");
        assert_eq!(comment(b"\x00\x09cut"), "");
    }

    #[test]
    fn a_rule_with_more_or_fewer_items_is_another() {
        let item = |n: u8| vec![5, 0, 1, 0, n, 0, 0, 0];
        let list = |items: &[u8]| items.iter().flat_map(|n| item(*n)).collect::<Vec<u8>>();
        assert!(covers(&list(&[1, 2]), &list(&[1, 2])));
        assert!(!covers(&list(&[2, 1]), &list(&[1, 2])));
        assert!(!covers(&list(&[1, 2, 3]), &list(&[1, 2])));
        assert!(!covers(&list(&[1]), &list(&[1, 2])));
        assert!(!covers(&[], &list(&[1])));
    }
}
