//! The host's iptables: the only program that is run, and only if the configuration asks for it.
//!
//! A call runs at most two programs per address family: `iptables-save` to read the rules, and
//! `iptables-restore --noflush` to write the missing ones atomically.

mod chain;
mod job;
mod masquerade;
mod rules;
mod run;

use crate::Result;

use self::run::{Family, Table};

pub use self::masquerade::{
    chain_name, collect, masquerade, missing, shown, stale, unmasquerade, usable,
};

/// Whether the legacy iptables drops forwarded packets that no rule accepts: `Some(true)` if no
/// rule can accept any. `None` if it does not drop them, if its filter table is not loaded, or if
/// its program is not installed.
///
/// # Errors
///
/// Returns an error if the program fails.
pub fn legacy_forward_drops(is_ipv4: bool) -> Result<Option<bool>> {
    let family = if is_ipv4 { Family::Ipv4 } else { Family::Ipv6 };
    let table = Table { family, name: "filter", instead: masquerade::INSTEAD };
    match run::legacy_forward(table)? {
        Some(rules) if rules.lines().any(|line| line == "-P FORWARD DROP") => {
            let is_rule = |line: &&str| line.starts_with("-A FORWARD ");
            let drops = |line: &str| line.contains(" -j DROP") || line.contains(" -j REJECT");
            Ok(Some(rules.lines().filter(is_rule).all(drops)))
        }
        _ => Ok(None),
    }
}
