//! Masquerade: packets from a container to a destination outside its subnet get the host's address.
//!
//! ```text
//! table inet ferrocni {
//!     map masq4 { type ipv4_addr : verdict; elements = { 10.1.2.5 comment "OWNER" : jump masq_10.1.2.0/24 } }
//!     map masq6 { type ipv6_addr : verdict; }
//!     chain postrouting {
//!         type nat hook postrouting priority srcnat; policy accept;
//!         ip daddr 224.0.0.0/4 return
//!         ip6 daddr ff00::/8 return
//!         ip saddr vmap @masq4
//!         ip6 saddr vmap @masq6
//!     }
//!     chain masq_10.1.2.0/24 { ip daddr 10.1.2.0/24 return; masquerade; }
//! }
//! ```

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_netfilter::nftables::InetHookNumber;

use super::batch::Base;
use super::expr::{self, and_return, octets};
use super::job::{Chain, Job, Rule, Wanted};
use super::reply::{Data, Element};
use super::set::{IPV4, IPV6, Set, VERDICT};
use super::{Doomed, Nft, TABLE, check_tag, pod_cidrs, ranges};
use crate::{Error, Result};

const CHAIN: &str = "postrouting";
const BASE: Base = Base { kind: "nat", hook: InetHookNumber::PostRouting, priority: 100 };
const MASQ4: Set<'static> = Set { name: "masq4", key: &[IPV4], data: &[VERDICT], ranges: false };
const MASQ6: Set<'static> = Set { name: "masq6", key: &[IPV6], data: &[VERDICT], ranges: false };
const MAPS: [Set<'static>; 2] = [MASQ4, MASQ6];
/// The prefix of the names of subnets' chains.
const SUBNET_CHAIN: &str = "masq_";

/// The destinations for which an address is not masqueraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside<'a> {
    /// A subnet.
    pub subnet: IpNetwork,
    /// The network whose [pod CIDRs](Nft::pod_cidrs) are excluded too.
    pub network: Option<&'a str>,
}

impl From<IpNetwork> for Inside<'_> {
    fn from(subnet: IpNetwork) -> Self {
        Inside { subnet, network: None }
    }
}

/// The commands that masquerade an address, for plans.
pub fn show_masquerade<'a>(address: IpAddr, inside: impl Into<Inside<'a>>) -> Vec<String> {
    job("", address, inside.into()).show()
}

impl Nft {
    /// Masquerades what `address` sends to a destination outside `subnet`, except multicast.
    /// Returns whether something was missing.
    ///
    /// `nft add element inet ferrocni masq4 { 10.1.2.5 comment TAG : jump masq_10.1.2.0/24 }`
    ///
    /// An address with another owner's mark passes to this one, because a container may reuse an
    /// address before its former holder is deleted.
    ///
    /// # Errors
    ///
    /// Returns an error if `tag` cannot be a comment, if `address` and `subnet` are of different
    /// families, or if the kernel refuses.
    pub fn masquerade<'a>(
        &mut self,
        tag: &str,
        address: IpAddr,
        inside: impl Into<Inside<'a>>,
    ) -> Result<bool> {
        let inside = inside.into();
        check(tag, address, inside.subnet)?;
        self.declare(&job(tag, address, inside))
    }

    /// Checks that addresses can be masqueraded. Changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel lacks a part of nf_tables, or if another object has one of
    /// the names.
    pub fn can_masquerade(&mut self) -> Result<()> {
        let address = IpAddr::from([192, 0, 2, 1]);
        self.can_declare(&job("", address, IpNetwork::from(address).into()))
    }

    /// The subnet and the owner's tag of the masquerade of `address`; `None` if there is none.
    ///
    /// `nft get element inet ferrocni masq4 { 10.1.2.5 }`
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses, or if the element's chain is not a subnet's.
    pub fn masquerade_of(&mut self, address: IpAddr) -> Result<Option<(IpNetwork, String)>> {
        let replies = self.get(&[TABLE.get_element(map_of(address), octets(address))])?;
        let Some(element) = replies.into_iter().flatten().find_map(|reply| reply.element()) else {
            return Ok(None);
        };
        let chain = match element.data {
            Some(Data::Jump(chain)) => chain,
            _ => String::new(),
        };
        match subnet_of(&chain) {
            Some(subnet) => Ok(Some((subnet, element.comment))),
            None => Err(Error::found(
                format!("read the masquerade of {address}"),
                format!("it jumps to {chain}, which is not the chain of a subnet"),
            )),
        }
    }

    /// The differences between the masquerade of `address` and what [`masquerade`](Nft::masquerade)
    /// creates; empty if there are none.
    ///
    /// # Errors
    ///
    /// As for [`masquerade`](Nft::masquerade).
    pub fn masquerade_differences<'a>(
        &mut self,
        tag: &str,
        address: IpAddr,
        inside: impl Into<Inside<'a>>,
    ) -> Result<Vec<String>> {
        let inside = inside.into();
        check(tag, address, inside.subnet)?;
        Ok(self.look(&job(tag, address, inside))?.differences())
    }

    /// Whether all objects exist that the masquerade of an address shares with other attachments.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn is_declared<'a>(
        &mut self,
        address: IpAddr,
        inside: impl Into<Inside<'a>>,
    ) -> Result<bool> {
        let job = job("", address, inside.into());
        Ok(self.look(&job)?.shared_differences().is_empty())
    }

    /// Ends the masquerade of `tag`'s addresses: of `addresses`, or of all. Returns how many there
    /// were.
    ///
    /// Leaves other owners' elements alone; a missing element is not an error. The chains stay,
    /// because they are shared.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn unmasquerade(&mut self, tag: &str, addresses: Option<&[IpAddr]>) -> Result<usize> {
        let doomed = self.doomed_masquerades(tag, addresses)?;
        self.remove(doomed)
    }

    /// The elements that [`unmasquerade`](Nft::unmasquerade) removes.
    pub(crate) fn doomed_masquerades(
        &mut self,
        tag: &str,
        addresses: Option<&[IpAddr]>,
    ) -> Result<Vec<Doomed>> {
        let Some(addresses) = addresses else {
            return self.owned(TABLE, &MAPS, &|comment| comment == tag);
        };
        let doom = |address: &IpAddr| Doomed {
            table: TABLE,
            set: map_of(*address),
            key: octets(*address),
            comment: tag.to_owned(),
        };
        Ok(addresses.iter().map(doom).collect())
    }

    /// Ends every masquerade whose owner's tag is stale, and removes the chains of subnets without
    /// masqueraded addresses. Returns the number of masquerades.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn collect_masquerade(&mut self, is_stale: impl Fn(&str) -> bool) -> Result<usize> {
        let doomed = self.owned(TABLE, &MAPS, &is_stale)?;
        let removed = self.remove(doomed)?;
        self.collect_chains(TABLE, SUBNET_CHAIN)?;
        Ok(removed)
    }

    /// The masqueraded addresses of the owners that the filter on tags selects, each with the tag.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn masqueraded_for(
        &mut self,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<(IpAddr, String)>> {
        let found = self.owned(TABLE, &MAPS, &is_meant)?.into_iter();
        Ok(found.filter_map(|one| Some((address_of(&one.key)?, one.comment))).collect())
    }
}

/// The objects of a masquerade.
fn job(tag: &str, address: IpAddr, inside: Inside<'_>) -> Job<'static> {
    let subnet = subnet_chain(inside);
    let data = Some(Data::Jump(subnet.clone()));
    let element = Wanted {
        set: map_of(address),
        element: Element { key: octets(address), data, comment: tag.to_owned() },
        nft: format!("{address} : jump {subnet}"),
        subject: address.to_string(),
        missing: "is not masqueraded".to_owned(),
        held: "is masqueraded",
    };
    Job {
        table: TABLE,
        sets: &MAPS,
        chains: vec![
            Chain { name: CHAIN.to_owned(), base: Some(BASE), rules: base_rules() },
            Chain { name: subnet, base: None, rules: subnet_rules(inside) },
        ],
        elements: vec![element],
    }
}

fn base_rules() -> Vec<Rule> {
    let multicast = [
        IpNetwork::new(IpAddr::from([224, 0, 0, 0]), 4),
        IpNetwork::new(IpAddr::from([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8),
    ]
    .into_iter()
    .flatten();
    let maps = [(MASQ4, false), (MASQ6, true)].into_iter().map(|(set, ipv6)| Rule {
        nft: format!("{} saddr vmap @{}", protocol(ipv6), set.name),
        expressions: expr::source_vmap(set.name, ipv6),
    });
    multicast.map(return_inside).chain(maps).collect()
}

fn subnet_rules(inside: Inside<'_>) -> Vec<Rule> {
    let masquerade = Rule { nft: "masquerade".to_owned(), expressions: vec![expr::masquerade()] };
    let pods = inside.network.map(|of| {
        let set = pod_cidrs::name(of);
        let expressions = and_return(expr::destination_among(&set));
        Rule { nft: format!("ip daddr @{set} return"), expressions }
    });
    let subnet = return_inside(network(inside.subnet));
    [subnet].into_iter().chain(pods).chain([masquerade]).collect()
}

/// `ip daddr SUBNET return`
fn return_inside(subnet: IpNetwork) -> Rule {
    Rule {
        nft: format!("{} daddr {subnet} return", protocol(subnet.is_ipv6())),
        expressions: and_return(expr::destination_in(subnet)),
    }
}

fn protocol(ipv6: bool) -> &'static str {
    if ipv6 { "ip6" } else { "ip" }
}

fn map_of(address: IpAddr) -> Set<'static> {
    if address.is_ipv6() { MASQ6 } else { MASQ4 }
}

/// The address in a key of a map.
fn address_of(key: &[u8]) -> Option<IpAddr> {
    match key.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(key).ok()?)),
        _ => Some(IpAddr::from(<[u8; 16]>::try_from(key).ok()?)),
    }
}

/// The subnet without the host's part: `10.1.2.0/24` of `10.1.2.5/24`.
fn network(subnet: IpNetwork) -> IpNetwork {
    IpNetwork::new(subnet.network(), subnet.prefix()).unwrap_or(subnet)
}

/// The chain of a subnet: `masq_10.1.2.0/24`, `masq_fd00__/64` (nft allows no colon in a name),
/// `masq_10.1.2.0/24_NETWORK` if the pod CIDRs of a network count too, which are of IPv4.
fn subnet_chain(inside: Inside<'_>) -> String {
    let subnet = format!("{SUBNET_CHAIN}{}", network(inside.subnet)).replace(':', "_");
    inside.network.map_or(subnet.clone(), |of| ranges::name(&subnet, of))
}

/// The subnet of a chain.
fn subnet_of(chain: &str) -> Option<IpNetwork> {
    let subnet = chain.strip_prefix(SUBNET_CHAIN)?;
    let of_network = || subnet.split_once('_')?.0.parse().ok();
    subnet.replace('_', ":").parse().ok().or_else(of_network)
}

fn check(tag: &str, address: IpAddr, subnet: IpNetwork) -> Result<()> {
    check_tag(tag)?;
    if address.is_ipv6() == subnet.is_ipv6() {
        return Ok(());
    }
    Err(Error::found(
        format!("masquerade {address}"),
        format!("its subnet {subnet} is of the other address family"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_its_subnet() {
        for (subnet, chain) in [
            ("10.1.2.5/24", "masq_10.1.2.0/24"),
            ("fd00::5/64", "masq_fd00__/64"),
            ("::ffff:10.0.0.1/120", "masq___ffff_10.0.0.0/120"),
            ("::/0", "masq___/0"),
        ] {
            let subnet: IpNetwork = subnet.parse().unwrap();
            assert_eq!(subnet_chain(subnet.into()), chain);
            assert_eq!(subnet_of(chain), Some(network(subnet)));
        }
        let subnet: IpNetwork = "10.1.2.0/24".parse().unwrap();
        let of_network = subnet_chain(Inside { subnet, network: Some("my_pods.a-b") });
        assert_eq!(of_network, "masq_10.1.2.0/24_my_pods.a-b");
        assert_eq!(subnet_of(&of_network), Some(subnet));
        assert_eq!(subnet_of("postrouting"), None);
    }

    #[test]
    fn a_masquerade_is_shown_as_nft_would() {
        let subnet: IpNetwork = "10.1.2.0/24".parse().unwrap();
        let lines = show_masquerade([10, 1, 2, 5].into(), subnet);
        insta::assert_snapshot!(lines.join("\n"));
    }
}
