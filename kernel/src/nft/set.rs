//! Sets and maps, as data.

/// A data type, with nft's number, which `nft list` needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub(super) name: &'static str,
    number: u32,
    /// In bytes.
    length: u32,
    /// Whether it is in the host's byte order, as names are. Without this, nft prints them wrongly.
    host_order: bool,
}

pub(super) const IPV4: Type = Type { name: "ipv4_addr", number: 7, length: 4, host_order: false };
pub(super) const IPV6: Type = Type { name: "ipv6_addr", number: 8, length: 16, host_order: false };
pub(super) const MAC: Type = Type { name: "ether_addr", number: 9, length: 6, host_order: false };
/// `IFNAMSIZ`, including the final zero byte.
pub(super) const IFNAME: Type = Type { name: "ifname", number: 41, length: 16, host_order: true };
/// `NFT_DATA_VERDICT`: the data type of a verdict map.
pub(super) const VERDICT: Type =
    Type { name: "verdict", number: 0xffff_ff00, length: 0, host_order: false };

/// A set, or a map if it has data. Several types are a concatenation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'static [Type],
    pub(super) data: &'static [Type],
    /// Whether it holds ranges, with two elements for each: see [`Bound`](super::reply::Bound).
    pub(super) ranges: bool,
}

impl Set<'_> {
    /// `set` or `map`.
    pub(super) fn kind(&self) -> &'static str {
        if self.data.is_empty() { "set" } else { "map" }
    }

    /// Its types in nft's notation: `{ type ipv4_addr : verdict; }`.
    pub(super) fn types(&self) -> String {
        let data =
            if self.data.is_empty() { String::new() } else { format!(" : {}", names(self.data)) };
        let flags = if self.ranges { " flags interval;" } else { "" };
        format!("{{ type {}{data};{flags} }}", names(self.key))
    }

    pub(super) fn has_host_order(&self) -> bool {
        matches!(self.key, [Type { host_order: true, .. }])
    }
}

fn names(types: &[Type]) -> String {
    types.iter().map(|one| one.name).collect::<Vec<_>>().join(" . ")
}

/// nft's number of a concatenation: six bits of each part.
pub(super) fn number(types: &[Type]) -> u32 {
    types.iter().fold(0, |number, one| (number << 6) | one.number)
}

/// The length in bytes. Each part of a concatenation is padded to four bytes.
pub(super) fn length(types: &[Type]) -> u32 {
    match types {
        [one] => one.length,
        parts => parts.iter().map(|one| one.length.next_multiple_of(4)).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_typed_as_nft_does() {
        let set = Set { name: "allowed", key: &[IFNAME, MAC], data: &[], ranges: false };
        assert_eq!((number(set.key), length(set.key)), ((41 << 6) | 9, 24));
        assert_eq!(set.types(), "{ type ifname . ether_addr; }");
        assert!(!set.has_host_order());
        assert_eq!((number(&[MAC]), length(&[MAC])), (9, 6));
        assert_eq!((number(&[VERDICT]), length(&[VERDICT])), (0xffff_ff00, 0));
    }
}
