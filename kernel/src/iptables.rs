//! Masquerade by the host's iptables, with the same chains as the reference suite's
//! `ipMasqBackend: "iptables"`.
//!
//! ```text
//! -A POSTROUTING -s 10.1.2.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-0123456789abcdef01234567
//! -A CNI-0123456789abcdef01234567 -d 10.1.2.0/24 -m comment --comment "…" -j ACCEPT
//! -A CNI-0123456789abcdef01234567 ! -d 224.0.0.0/4 -m comment --comment "…" -j MASQUERADE
//! ```
//!
//! The names, rules and comments are the reference's, so each suite can clean up after the other. A
//! call runs at most two programs per address family: `iptables-save` to read the rules, and
//! `iptables-restore --noflush` to write the missing ones atomically.

mod rules;
mod run;

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use sha2::{Digest, Sha512};

use self::rules::{Change, Rule, Saved};
use self::run::Family;
use crate::owner::hex;
use crate::{Error, Result};

/// Masquerades what a container sends from `addresses` (each with its subnet's prefix) to a
/// destination outside the subnet, except multicast. Returns whether something was missing.
///
/// `iptables -t nat -A POSTROUTING -s 10.1.2.5 -j CNI-…` and the rules of that chain
///
/// # Errors
///
/// Returns an error if iptables is not installed or fails, or if a name cannot be part of a rule.
pub fn masquerade(network: &str, container: &str, addresses: &[IpNetwork]) -> Result<bool> {
    let chain = Chain::of(network, container)?;
    let mut wrote = false;
    for (family, addresses) in by_family(addresses) {
        wrote |= converge(family, |saved| chain.missing(saved, &addresses))?;
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
        false => Err(run::missing("masquerade with iptables", "iptables-save")),
    }
}

/// Whether the legacy iptables drops forwarded packets that no rule accepts: `Some(true)` if no
/// rule can accept any. `None` if it does not drop them, if its filter table is not loaded, or if
/// its program is not installed.
///
/// # Errors
///
/// Returns an error if the program fails.
pub fn legacy_forward_drops(is_ipv4: bool) -> Result<Option<bool>> {
    let family = if is_ipv4 { Family::Ipv4 } else { Family::Ipv6 };
    match run::legacy_forward(family)? {
        Some(rules) if rules.lines().any(|line| line == "-P FORWARD DROP") => {
            let is_rule = |line: &&str| line.starts_with("-A FORWARD ");
            let drops = |line: &str| line.contains(" -j DROP") || line.contains(" -j REJECT");
            Ok(Some(rules.lines().filter(is_rule).all(drops)))
        }
        _ => Ok(None),
    }
}

/// How many times the rules may change between `iptables-save` and `iptables-restore`, for example
/// by a process that a killed plugin has started.
const TRIES: usize = 5;

/// Reads the rules and writes the changes that `plan` derives from them. If iptables refuses, it
/// reads again, until no change is left. Returns whether it wrote a change.
fn converge(family: Family, plan: impl Fn(&Saved) -> Change) -> Result<bool> {
    let mut refused = Ok(false);
    for _ in 0..TRIES {
        let change = plan(&Saved::read(family)?);
        if change.is_empty() {
            return Ok(false);
        }
        match change.write(family) {
            Ok(()) => return Ok(true),
            Err(error) => refused = Err(error),
        }
    }
    refused
}

/// The chains and rules that [`masquerade`] would write, as iptables writes them. Empty if none is
/// missing.
///
/// # Errors
///
/// As for [`masquerade`].
pub fn missing(network: &str, container: &str, addresses: &[IpNetwork]) -> Result<Vec<String>> {
    let chain = Chain::of(network, container)?;
    let mut missing = Vec::new();
    for (family, addresses) in by_family(addresses) {
        let change = chain.missing(&Saved::read(family)?, &addresses);
        for line in change.lines() {
            missing.push(format!("missing: {} -t nat {line}", family.name()));
        }
    }
    Ok(missing)
}

/// The commands of [`masquerade`] for an address without any rules, for plans. Empty if a name
/// cannot be part of a rule.
pub fn shown(network: &str, container: &str, address: IpNetwork) -> Vec<String> {
    let Ok(chain) = Chain::of(network, container) else { return Vec::new() };
    let mut commands = Vec::new();
    for (family, addresses) in by_family(&[address]) {
        let change = chain.missing(&Saved::default(), &addresses);
        let program = family.name();
        commands.extend(change.lines().into_iter().map(|line| format!("{program} -t nat {line}")));
    }
    commands
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
    let chain = Chain::of(network, container)?;
    let mut removed = false;
    for family in Family::BOTH {
        let addresses: Option<Vec<IpNetwork>> =
            addresses.map(|all| all.iter().copied().filter(|one| family.is_of(one.ip())).collect());
        if addresses.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        if !family.is_installed() {
            continue; // nothing can be there
        }
        let is_meant = |rule: &Rule| match &addresses {
            None => true,
            Some(addresses) => addresses.iter().any(|one| is_source(rule, *one)),
        };
        removed |= converge(family, |saved| saved.without(&chain.name, is_meant))?;
    }
    Ok(removed)
}

/// The masqueraded containers of `network` whose ID is stale.
///
/// # Errors
///
/// As for [`unmasquerade`].
pub fn stale(network: &str, is_stale: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for family in Family::BOTH.iter().filter(|family| family.is_installed()) {
        found.extend(stale_in(&Saved::read(*family)?, network, &is_stale));
    }
    Ok(found.into_iter().collect())
}

fn stale_in(saved: &Saved, network: &str, is_stale: &impl Fn(&str) -> bool) -> BTreeSet<String> {
    let containers = saved.rules.iter().filter_map(|rule| container_of(rule, network));
    containers.filter(|container| is_stale(container)).collect()
}

/// Ends the masquerade of every container of `network` whose ID is stale. Returns the IDs.
///
/// # Errors
///
/// As for [`unmasquerade`].
pub fn collect(network: &str, is_stale: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut gone = BTreeSet::new();
    for family in Family::BOTH {
        if !family.is_installed() {
            continue; // nothing can be there
        }
        let stale = |saved: &Saved| stale_in(saved, network, &is_stale);
        gone.extend(stale(&Saved::read(family)?));
        converge(family, |saved| {
            let mut change = Change::default();
            for container in stale(saved) {
                change.append(saved.without(&chain_name(network, &container), |_| true));
            }
            change
        })?;
    }
    Ok(gone.into_iter().collect())
}

/// The chain of a container on a network: `CNI-` and 24 hex digits of the SHA-512 of both names.
pub fn chain_name(network: &str, container: &str) -> String {
    let mut name = format!("CNI-{}", hex(&Sha512::digest(format!("{network}{container}"))));
    name.truncate(28);
    name
}

/// A container's chain, and the comment on its rules.
struct Chain {
    name: String,
    comment: String,
}

impl Chain {
    fn of(network: &str, container: &str) -> Result<Chain> {
        let bad = |name: &str| name.is_empty() || name.chars().any(|c| c.is_control() || c == '\'');
        for name in [network, container] {
            if bad(name) {
                let action = format!("name {name:?} in an iptables rule");
                return Err(Error::found(action, "it is empty or contains invalid characters"));
            }
        }
        let comment = comment(network, container);
        Ok(Chain { name: chain_name(network, container), comment })
    }

    /// The rules for `addresses`, which are of one family, that `saved` lacks.
    fn missing(&self, saved: &Saved, addresses: &[IpNetwork]) -> Change {
        let mut change = Change::default();
        if !saved.chains.contains(&self.name) {
            change.new_chain(&self.name);
        }
        let Some(family) = addresses.first().map(|address| Family::of(address.ip())) else {
            return change;
        };
        let beyond = self.rule(&self.name, &["!", "-d", family.multicast()], "MASQUERADE");
        for address in addresses {
            let inside = self.rule(&self.name, &["-d", &network(*address)], "ACCEPT");
            match (saved.has(&inside), saved.has(&beyond)) {
                (true, _) => {}
                (false, false) => change.add(inside),
                // A later subnet must be accepted before the masquerade that ends the chain.
                (false, true) => change.insert(inside),
            }
        }
        let jumps = addresses
            .iter()
            .map(|address| self.rule("POSTROUTING", &["-s", &host(address.ip())], &self.name));
        for rule in [beyond].into_iter().chain(jumps).filter(|rule| !saved.has(rule)) {
            change.add(rule);
        }
        change
    }

    fn rule(&self, chain: &str, matching: &[&str], target: &str) -> Rule {
        let mut words = vec![chain];
        words.extend(matching);
        words.extend(["-m", "comment", "--comment", &self.comment, "-j", target]);
        Rule::new(words)
    }
}

/// `name: "dbnet" id: "c1"`
fn comment(network: &str, container: &str) -> String {
    let quoted = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("name: \"{}\" id: \"{}\"", quoted(network), quoted(container))
}

/// The container whose chain on `network` contains the rule, or is its target.
fn container_of(rule: &Rule, network: &str) -> Option<String> {
    let rest = rule.after("--comment")?.strip_prefix("name: \"")?;
    let (of, container) = rest.strip_suffix('"')?.split_once("\" id: \"")?;
    let container = container.replace("\\\"", "\"").replace("\\\\", "\\");
    let name = chain_name(network, &container);
    let is_ours = rule.chain() == name || rule.target() == Some(&name);
    (of == network && is_ours).then_some(container)
}

/// Whether a rule matches packets from this address: from it alone, or from its whole subnet, as
/// old versions wrote it.
fn is_source(rule: &Rule, address: IpNetwork) -> bool {
    rule.after("-s").is_some_and(|from| from == host(address.ip()) || from == network(address))
}

/// `10.1.2.5/32`
fn host(address: IpAddr) -> String {
    IpNetwork::from(address).to_string()
}

/// `10.1.2.0/24` of `10.1.2.5/24`
fn network(address: IpNetwork) -> String {
    format!("{}/{}", address.network(), address.prefix())
}

fn by_family(addresses: &[IpNetwork]) -> Vec<(Family, Vec<IpNetwork>)> {
    let of = |family: Family| {
        addresses.iter().copied().filter(|one| family.is_of(one.ip())).collect::<Vec<_>>()
    };
    let all = Family::BOTH.map(|family| (family, of(family)));
    all.into_iter().filter(|(_, addresses)| !addresses.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_named_as_the_reference_names_it() {
        assert_eq!(chain_name("test", "1234"), "CNI-2bbe0c48b91a7d1b8a6753a8");
    }

    #[test]
    fn what_is_missing_is_written_and_only_that() {
        let chain = Chain::of("dbnet", "c1").unwrap();
        let addresses = ["10.1.2.5/24".parse().unwrap()];
        let first =
            chain.missing(&Saved::parse("*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"), &addresses);
        insta::assert_snapshot!(first.text(), @r#"
        *nat
        :CNI-1383eeb27000e215038bb823 - [0:0]
        -A CNI-1383eeb27000e215038bb823 -d 10.1.2.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
        -A CNI-1383eeb27000e215038bb823 ! -d 224.0.0.0/4 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j MASQUERADE
        -A POSTROUTING -s 10.1.2.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
        COMMIT
        "#);
        assert!(chain.missing(&Saved::parse(&first.text()), &addresses).is_empty());
    }

    #[test]
    fn a_second_subnet_is_accepted_before_the_masquerade() {
        let chain = Chain::of("dbnet", "c1").unwrap();
        let [one, two] = ["10.1.2.5/24", "10.1.3.5/24"].map(|text| text.parse().unwrap());
        let saved = Saved::parse(&chain.missing(&Saved::parse(""), &[one]).text());
        insta::assert_snapshot!(chain.missing(&saved, &[one, two]).text(), @r#"
        *nat
        -I CNI-1383eeb27000e215038bb823 -d 10.1.3.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
        -A POSTROUTING -s 10.1.3.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
        COMMIT
        "#);
    }

    #[test]
    fn the_container_is_read_from_a_comment() {
        let line = format!(
            "-A POSTROUTING -m comment --comment \"name: \\\"dbnet\\\" id: \\\"c1\\\"\" -j {}",
            chain_name("dbnet", "c1")
        );
        let saved = Saved::parse(&format!("*nat\n{line}\nCOMMIT\n"));
        assert_eq!(container_of(&saved.rules[0], "dbnet").as_deref(), Some("c1"));
        assert_eq!(container_of(&saved.rules[0], "db"), None);
    }
}
