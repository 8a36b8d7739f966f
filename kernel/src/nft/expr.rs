//! The expressions of rules, each with its `nft(8)` notation.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Bitwise, Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute,
    Lookup, Meta, MetaKey, Operator, Payload, Register, Verdict, VerdictAttribute,
};

use ipnetwork::IpNetwork;
use std::net::{IpAddr, Ipv4Addr};

/// One expression of a rule.
pub(super) type Expression = ListAttribute<ExpressionAttribute>;

/// `NFT_PAYLOAD_LL_HEADER` and `NFT_PAYLOAD_NETWORK_HEADER`.
const LINK_HEADER: u32 = 0;
const NETWORK_HEADER: u32 = 1;
/// `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;

/// The position of an address in the packet: `ip saddr`, `ip6 daddr`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handle {
    Source,
    Destination,
}

/// `ip daddr 10.1.2.0/24`, `ip6 daddr fd00::/64`
///
/// Built exactly as `nft` builds it (whole bytes are compared without a mask), so that a ruleset
/// which `nft` has saved and loaded is recognised.
pub(super) fn destination_in(subnet: IpNetwork) -> Vec<Expression> {
    let network = octets(subnet.network());
    let prefix = subnet.prefix();
    if prefix.is_multiple_of(8) && prefix > 0 {
        let whole = usize::from(prefix / 8);
        let mut rule = load_address(Handle::Destination, subnet.is_ipv6(), whole);
        rule.push(equals(network.into_iter().take(whole).collect()));
        return rule;
    }
    let mut rule = load_address(Handle::Destination, subnet.is_ipv6(), network.len());
    rule.extend([bitwise(octets(subnet.mask())), equals(network)]);
    rule
}

/// `ip saddr vmap @NAME`, `ip6 saddr vmap @NAME`
pub(super) fn source_vmap(name: &str, ipv6: bool) -> Vec<Expression> {
    let mut rule = load_address(Handle::Source, ipv6, if ipv6 { 16 } else { 4 });
    rule.push(lookup(name, Some(Register::Verdict)));
    rule
}

/// `iifname @NAME`
pub(super) fn iifname_in(name: &str) -> Vec<Expression> {
    vec![meta(MetaKey::Iifname), lookup(name, None)]
}

/// `iifname . ether saddr @NAME`
pub(super) fn iifname_and_source_mac_in(name: &str) -> Vec<Expression> {
    // The name fills the first register of 16 bytes. The source MAC is in bytes 6 to 11 of the
    // Ethernet header.
    let mac = payload(LINK_HEADER, 6, 6, Register::Reg2);
    vec![meta(MetaKey::Iifname), mac, lookup(name, None)]
}

/// `ip protocol 4`, then `ip daddr ADDRESS` if there is one, and `ip daddr != ADDRESS` for each
/// exception
pub(super) fn tunnelled(to: Option<Ipv4Addr>, except: &[Ipv4Addr]) -> Vec<Expression> {
    /// The protocol number of IPv4 in IPv4, and its offset in a header.
    const IPIP: u8 = 4;
    const PROTOCOL: u32 = 9;
    let mut rule = vec![meta(MetaKey::Nfproto), equals(vec![IPV4])];
    rule.extend([load(PROTOCOL, 1), equals(vec![IPIP])]);
    if let Some(address) = to {
        rule.extend([load(DESTINATION, 4), equals(address.octets().to_vec())]);
    }
    for address in except {
        rule.extend([load(DESTINATION, 4), differs(address.octets().to_vec())]);
    }
    rule
}

/// `ip saddr != @NAME`, in a rule for IPv4
pub(super) fn source_not_among(name: &str) -> [Expression; 2] {
    [load(SOURCE, 4), lookup_not(name)]
}

/// The offsets of the addresses in an IPv4 header.
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// Loads bytes of the network header into register 1.
fn load(offset: u32, length: u32) -> Expression {
    payload(NETWORK_HEADER, offset, length, Register::Reg1)
}

/// `ip daddr @NAME`
pub(super) fn destination_among(name: &str) -> Vec<Expression> {
    let mut rule = load_address(Handle::Destination, false, 4);
    rule.push(lookup(name, None));
    rule
}

/// `counter`
pub(super) fn counter() -> Expression {
    Expressions::Other {
        expression_type: "counter".to_owned(),
        attributes: Vec::<DefaultNla>::new(),
    }
    .into()
}

/// `return`
pub(super) fn and_return(mut rule: Vec<Expression>) -> Vec<Expression> {
    rule.push(verdict(Verdict::Return));
    rule
}

/// `accept`
pub(super) fn and_accept(mut rule: Vec<Expression>) -> Vec<Expression> {
    rule.push(verdict(Verdict::Other(ACCEPT)));
    rule
}

/// `drop`
pub(super) fn and_drop(mut rule: Vec<Expression>) -> Vec<Expression> {
    rule.push(verdict(Verdict::Other(DROP)));
    rule
}

/// `masquerade`
pub(super) fn masquerade() -> Expression {
    Expressions::Other { expression_type: "masq".to_owned(), attributes: Vec::<DefaultNla>::new() }
        .into()
}

/// An address as the packet carries it.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Loads the first `length` bytes of an address into register 1. The inet family sees packets of
/// both protocols, so the protocol is checked first.
fn load_address(handle: Handle, ipv6: bool, length: usize) -> Vec<Expression> {
    let (protocol, offset) = match (handle, ipv6) {
        (Handle::Source, false) => (IPV4, 12),
        (Handle::Destination, false) => (IPV4, 16),
        (Handle::Source, true) => (IPV6, 8),
        (Handle::Destination, true) => (IPV6, 24),
    };
    vec![
        meta(MetaKey::Nfproto),
        equals(vec![protocol]),
        payload(NETWORK_HEADER, offset, length as u32, Register::Reg1),
    ]
}

fn meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

fn payload(base: u32, offset: u32, length: u32, register: Register) -> Expression {
    Expressions::Payload(vec![
        Payload::DestinationRegister(register),
        Payload::Base(base),
        Payload::Offset(offset),
        Payload::Len(length),
    ])
    .into()
}

/// Register 1 = register 1 & `mask`.
fn bitwise(mask: Vec<u8>) -> Expression {
    let zeros = vec![0; mask.len()];
    Expressions::Bitwise(vec![
        Bitwise::SourceRegister(Register::Reg1),
        Bitwise::DestinationRegister(Register::Reg1),
        Bitwise::Length(mask.len() as u32),
        Bitwise::Mask(DataAttribute::Value(mask)),
        Bitwise::Xor(DataAttribute::Value(zeros)),
    ])
    .into()
}

/// Register 1 is `value`.
fn equals(value: Vec<u8>) -> Expression {
    compare(Operator::Equal, value)
}

/// Register 1 is not `value`.
fn differs(value: Vec<u8>) -> Expression {
    compare(Operator::NotEqual, value)
}

fn compare(operator: Operator, value: Vec<u8>) -> Expression {
    Expressions::Cmp(vec![
        Cmp::SourceRegister(Register::Reg1),
        Cmp::Op(operator),
        Cmp::Data(DataAttribute::Value(value)),
    ])
    .into()
}

/// Looks up register 1 (and those after it) in the set, or through the map.
fn lookup(set: &str, into: Option<Register>) -> Expression {
    let mut attributes = vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(Register::Reg1)];
    attributes.extend(into.map(Lookup::DestinationRegister));
    Expressions::Lookup(attributes).into()
}

/// Matches if register 1 is not in the set.
fn lookup_not(set: &str) -> Expression {
    /// `NFT_LOOKUP_F_INV`.
    const INVERTED: u32 = 1;
    let set = Lookup::Set(set.to_owned());
    let register = Lookup::SourceRegister(Register::Reg1);
    Expressions::Lookup(vec![set, register, Lookup::Flags(INVERTED)]).into()
}

fn verdict(code: Verdict) -> Expression {
    Expressions::Immediate(vec![
        Immediate::DestinationRegister(Register::Verdict),
        Immediate::Data(DataAttribute::Verdict(vec![VerdictAttribute::Code(code)])),
    ])
    .into()
}
