//! Masquerade by the host's iptables, with the same chains as the reference suite's
//! `ipMasqBackend: "iptables"`.
//!
//! ```text
//! -A POSTROUTING -s 10.1.2.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-0123456789abcdef01234567
//! -A CNI-0123456789abcdef01234567 -d 10.1.2.0/24 -m comment --comment "…" -j ACCEPT
//! -A CNI-0123456789abcdef01234567 ! -d 224.0.0.0/4 -m comment --comment "…" -j MASQUERADE
//! ```
//!
//! The names, rules and comments are the reference's, so each suite can clean up after the other.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::chain::Chain;
use super::job::Job;
use super::rules::Rule;
use super::run::{self, Family};
use crate::Result;

/// The setting that needs no iptables.
pub(super) const INSTEAD: &str = "\"ipMasqBackend\": \"nftables\"";
const JOB: Job = Job { table: "nat", chain: "CNI-", comment: "", instead: INSTEAD };

/// Masquerades what a container sends from `addresses` (each with its subnet's prefix) to a
/// destination outside the subnet, except multicast. Returns whether something was missing.
///
/// `iptables -t nat -A POSTROUTING -s 10.1.2.5 -j CNI-…` and the rules of that chain
///
/// # Errors
///
/// Returns an error if iptables is not installed or fails, or if a name cannot be part of a rule.
pub fn masquerade(network: &str, container: &str, addresses: &[IpNetwork]) -> Result<bool> {
    let mut wrote = false;
    for (family, chain) in chains(network, container, addresses)? {
        wrote |= JOB.declare(family, &chain)?;
    }
    Ok(wrote)
}

/// Whether an iptables of any family is installed. Which family is needed is known only with the
/// addresses.
///
/// # Errors
///
/// Returns an error if iptables is installed for neither family.
pub fn usable() -> Result<()> {
    match Family::BOTH.iter().any(|family| family.is_installed()) {
        true => Ok(()),
        false => Err(run::missing("masquerade with iptables", "iptables-save", INSTEAD)),
    }
}

/// The chains and rules that [`masquerade`] would write, as iptables writes them. Empty if none is
/// missing.
///
/// # Errors
///
/// As for [`masquerade`].
pub fn missing(network: &str, container: &str, addresses: &[IpNetwork]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    for (family, chain) in chains(network, container, addresses)? {
        let commands = JOB.missing(family, &chain)?.into_iter();
        missing.extend(commands.map(|command| format!("missing: {command}")));
    }
    Ok(missing)
}

/// The commands of [`masquerade`] for an address without any rules, for plans. Empty if a name
/// cannot be part of a rule.
pub fn shown(network: &str, container: &str, address: IpNetwork) -> Vec<String> {
    let chains = chains(network, container, &[address]).unwrap_or_default().into_iter();
    chains.flat_map(|(family, chain)| JOB.shown(family, &chain)).collect()
}

/// Ends the masquerade of a container's `addresses`, or of all addresses that it has on the network
/// if they are not known (`None`). Returns whether there was one.
///
/// Removes the chain with the last rule that jumps to it: a container's interfaces on one network
/// share it.
///
/// # Errors
///
/// As for [`masquerade`]. A family whose iptables is not installed has nothing to remove.
pub fn unmasquerade(
    network: &str,
    container: &str,
    addresses: Option<&[IpNetwork]>,
) -> Result<bool> {
    let chain = JOB.chain(network, container)?;
    let mut removed = false;
    for family in Family::BOTH {
        let addresses = addresses.map(|all| of_family(family, all));
        if addresses.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let is_meant = |rule: &Rule| match &addresses {
            None => true,
            Some(addresses) => addresses.iter().any(|one| is_source(rule, *one)),
        };
        removed |= JOB.remove(family, &chain, &is_meant)?;
    }
    Ok(removed)
}

/// The masqueraded containers of `network` whose ID is stale.
///
/// # Errors
///
/// As for [`unmasquerade`].
pub fn stale(network: &str, is_stale: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    JOB.stale(network, &is_stale)
}

/// Ends the masquerade of every container of `network` whose ID is stale. Returns the IDs.
///
/// # Errors
///
/// As for [`unmasquerade`].
pub fn collect(network: &str, is_stale: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    JOB.collect(network, &is_stale)
}

/// The chain of a container on a network: `CNI-` and 24 hex digits of the SHA-512 of both names.
pub fn chain_name(network: &str, container: &str) -> String {
    JOB.chain_name(network, container)
}

/// A container's chain in each family that the addresses are of.
fn chains(network: &str, container: &str, addresses: &[IpNetwork]) -> Result<Vec<(Family, Chain)>> {
    let mut chains = Vec::new();
    for family in Family::BOTH {
        let mut chain = JOB.chain(network, container)?;
        let addresses = of_family(family, addresses);
        for address in &addresses {
            chain.add(&["-d", &network_of(*address)], "ACCEPT");
            chain.add_jump("POSTROUTING", &["-s", &host(address.ip())]);
        }
        chain.add(&["!", "-d", family.multicast()], "MASQUERADE");
        chains.extend((!addresses.is_empty()).then_some((family, chain)));
    }
    Ok(chains)
}

/// Whether a rule matches packets from this address: from it alone, or from its whole subnet, as
/// old versions wrote it.
fn is_source(rule: &Rule, address: IpNetwork) -> bool {
    rule.after("-s").is_some_and(|from| from == host(address.ip()) || from == network_of(address))
}

/// `10.1.2.5/32`
fn host(address: IpAddr) -> String {
    IpNetwork::from(address).to_string()
}

/// `10.1.2.0/24` of `10.1.2.5/24`
fn network_of(address: IpNetwork) -> String {
    format!("{}/{}", address.network(), address.prefix())
}

fn of_family(family: Family, addresses: &[IpNetwork]) -> Vec<IpNetwork> {
    addresses.iter().copied().filter(|one| family.is_of(one.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Change, Saved};
    use super::*;

    /// What iptables lacks of a container's rules.
    fn missing(saved: &str, addresses: &[&str]) -> Change {
        let addresses: Vec<IpNetwork> = addresses.iter().map(|one| one.parse().unwrap()).collect();
        let chains = chains("dbnet", "c1", &addresses).unwrap();
        chains[0].1.missing(&Saved::parse(saved))
    }

    #[test]
    fn a_chain_is_named_as_the_reference_names_it() {
        assert_eq!(chain_name("test", "1234"), "CNI-2bbe0c48b91a7d1b8a6753a8");
    }

    #[test]
    fn what_is_missing_is_written_and_only_that() {
        let first =
            missing("*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n", &["10.1.2.5/24"]).text("nat");
        insta::assert_snapshot!(first, @r#"
        *nat
        :CNI-1383eeb27000e215038bb823 - [0:0]
        -A CNI-1383eeb27000e215038bb823 -d 10.1.2.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
        -A CNI-1383eeb27000e215038bb823 ! -d 224.0.0.0/4 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j MASQUERADE
        -A POSTROUTING -s 10.1.2.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
        COMMIT
        "#);
        assert!(missing(&first, &["10.1.2.5/24"]).is_empty());
    }

    #[test]
    fn a_second_subnet_is_accepted_before_the_masquerade() {
        let first = missing("", &["10.1.2.5/24"]).text("nat");
        insta::assert_snapshot!(missing(&first, &["10.1.2.5/24", "10.1.3.5/24"]).text("nat"), @r#"
        *nat
        -I CNI-1383eeb27000e215038bb823 -d 10.1.3.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
        -A POSTROUTING -s 10.1.3.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
        COMMIT
        "#);
    }
}
