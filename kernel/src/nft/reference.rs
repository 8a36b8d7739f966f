//! The rules of the reference plugins in nf_tables. This suite removes them too, so that each suite
//! can clean up after the other.
//!
//! - masquerade: rules in chain `masq_checks` of table `inet cni_plugins_masquerade`, whose comment
//!   starts with digests of the network and of the attachment;
//! - spoof check: rules in chain `PREROUTING` of table `bridge nat` with the comment
//!   `macspoofchk-CONTAINER-IFNAME`, and the two chains that it jumps to;
//! - iptables' chains, which iptables-nft keeps in the tables `ip nat` and `ip6 nat`.

use std::fs;
use std::io::ErrorKind;

use netlink_packet_netfilter::NetfilterProtoFamily;
use sha2::{Digest, Sha512};

use super::Nft;
use super::batch::{Batch, Request, Table};
use crate::owner::hex;
use crate::{Doing, Owner, Result};

const MASQUERADE: Table =
    Table { family: NetfilterProtoFamily::Inet, name: "cni_plugins_masquerade" };
const MASQUERADE_CHAIN: &str = "masq_checks";
const BRIDGE: Table = Table { family: NetfilterProtoFamily::Bridge, name: "nat" };
const BRIDGE_CHAIN: &str = "PREROUTING";
/// The maximum length of a name in nf_tables (`NFT_NAME_MAXLEN`, including the final zero byte).
const NAME_MAX: usize = 255;

/// One of the two iptables programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IptablesFamily {
    /// `iptables`
    Ipv4,
    /// `ip6tables`
    Ipv6,
}

impl IptablesFamily {
    fn nat(self) -> Table {
        let family = match self {
            IptablesFamily::Ipv4 => NetfilterProtoFamily::IPv4,
            IptablesFamily::Ipv6 => NetfilterProtoFamily::IPv6,
        };
        Table { family, name: "nat" }
    }

    /// Whether legacy iptables has a table `nat` in this namespace.
    fn has_legacy_nat(self) -> Result<bool> {
        // The namespace of the calling thread, which may have entered another one than the process.
        let names = match self {
            IptablesFamily::Ipv4 => "/proc/thread-self/net/ip_tables_names",
            IptablesFamily::Ipv6 => "/proc/thread-self/net/ip6_tables_names",
        };
        match fs::read_to_string(names) {
            Ok(tables) => Ok(tables.lines().any(|table| table == "nat")),
            // The root user of a user namespace may not be allowed to read the list. Then only the
            // tables of nf_tables are read.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) =>
            {
                Ok(false)
            }
            Err(error) => Err(error).doing(|| format!("read {names}")),
        }
    }
}

impl Nft {
    /// Removes what the reference suite's nftables backends created for an attachment: its
    /// masquerade rules and its spoof check. Returns whether there was anything; if not, it costs
    /// one cheap request.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn remove_reference_leftovers(&mut self, owner: &Owner) -> Result<bool> {
        let mut look = vec![MASQUERADE.get_chain(MASQUERADE_CHAIN), BRIDGE.get_chain(BRIDGE_CHAIN)];
        let guards = guard_chains(owner);
        look.extend(guards.iter().map(|chain| BRIDGE.get_chain(chain)));
        let there: Vec<bool> = self.get(&look)?.iter().map(Option::is_some).collect();
        let (masquerade, guard) = there
            .split_first()
            .map_or((false, false), |(first, rest)| (*first, rest.contains(&true)));
        let masquerade = masquerade && self.remove_reference_masquerade(owner)?;
        Ok((guard && self.remove_reference_guard(owner)?) || masquerade)
    }

    /// Whether the reference suite's nftables backend masquerades an attachment.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn has_reference_masquerade(&mut self, owner: &Owner) -> Result<bool> {
        let chain = self.get(&[MASQUERADE.get_chain(MASQUERADE_CHAIN)])?;
        if chain.iter().all(Option::is_none) {
            return Ok(false);
        }
        let mine = masquerade_comment(owner);
        let rules = self.dump(&MASQUERADE.get_rules(Some(MASQUERADE_CHAIN)))?;
        Ok(rules.iter().any(|rule| rule.rule_comment().starts_with(&mine)))
    }

    /// Whether `chain` may exist in iptables' table `nat`, so that iptables must be run to remove
    /// it.
    ///
    /// `nft list chain ip nat CHAIN`. The legacy iptables of older hosts has no such request; if
    /// its table is in use (`/proc/net/ip_tables_names`), the answer is yes.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request, or if the list of legacy tables cannot
    /// be read.
    pub fn iptables_chain_exists(&mut self, family: IptablesFamily, chain: &str) -> Result<bool> {
        let found = self.get(&[family.nat().get_chain(chain)])?;
        Ok(found.iter().any(Option::is_some) || family.has_legacy_nat()?)
    }

    /// As for [`iptables_chain_exists`](Nft::iptables_chain_exists), for any family.
    ///
    /// # Errors
    ///
    /// As for [`iptables_chain_exists`](Nft::iptables_chain_exists).
    pub fn any_iptables_chain_exists(&mut self, chain: &str) -> Result<bool> {
        let both = [IptablesFamily::Ipv4, IptablesFamily::Ipv6];
        let found = self.get(&both.map(|family| family.nat().get_chain(chain)))?;
        let [ipv4, ipv6] = both;
        Ok(found.iter().any(Option::is_some) || ipv4.has_legacy_nat()? || ipv6.has_legacy_nat()?)
    }

    fn remove_reference_masquerade(&mut self, owner: &Owner) -> Result<bool> {
        let mine = masquerade_comment(owner);
        self.converge(|nft| {
            let is_mine = |comment: &str| comment.starts_with(&mine);
            let requests = nft.delete_rules(MASQUERADE, MASQUERADE_CHAIN, is_mine)?;
            Ok(Batch { requests, generation: None })
        })
    }

    fn remove_reference_guard(&mut self, owner: &Owner) -> Result<bool> {
        let comment = format!("macspoofchk-{}-{}", owner.container, owner.ifname);
        let chains = guard_chains(owner);
        let look: Vec<_> = chains.iter().map(|chain| BRIDGE.get_chain(chain)).collect();
        self.converge(|nft| {
            let mut requests = nft.delete_rules(BRIDGE, BRIDGE_CHAIN, |found| found == comment)?;
            let there = nft.get(&look)?;
            let present = || chains.iter().zip(&there).filter(|(_, there)| there.is_some());
            // The first chain jumps to the second, so both are emptied before either is deleted.
            requests.extend(present().map(|(chain, _)| BRIDGE.flush_chain(chain)));
            requests.extend(present().map(|(chain, _)| BRIDGE.delete_chain(chain)));
            Ok(Batch { requests, generation: None })
        })
    }

    /// The requests that delete the rules of `chain` whose comment matches.
    fn delete_rules(
        &mut self,
        table: Table,
        chain: &str,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<Request>> {
        let rules = self.dump(&table.get_rules(Some(chain)))?;
        let meant = rules.iter().filter(|rule| is_meant(&rule.rule_comment()));
        let handles = meant.filter_map(|rule| rule.handle());
        Ok(handles.map(|handle| table.delete_rule(chain, handle)).collect())
    }
}

/// The chains of an attachment's spoof check; none if the kernel does not allow their names.
fn guard_chains(owner: &Owner) -> Vec<String> {
    let chain = format!("cni-br-iface-{}-{}", owner.container, owner.ifname);
    let chains = vec![chain.clone(), format!("{chain}-mac")];
    if chains.iter().any(|chain| chain.len() > NAME_MAX) { Vec::new() } else { chains }
}

/// The prefix of the comments of an attachment's masquerade rules.
fn masquerade_comment(owner: &Owner) -> String {
    let attachment = format!("{}:{}", owner.ifname, owner.container);
    format!("{}-{}", digest(&owner.network), digest(&attachment))
}

/// The first 16 hex digits of the SHA-512.
fn digest(text: &str) -> String {
    let mut digest = hex(&Sha512::digest(text));
    digest.truncate(16);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_comment_is_the_reference_suites() {
        let owner =
            Owner { network: "unit-test".into(), container: "one".into(), ifname: "eth0".into() };
        assert_eq!(masquerade_comment(&owner), "6fd94d501e58f0aa-287fc69eff0574a2");
    }
}
