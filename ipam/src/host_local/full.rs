//! A full range set: the answer of STATUS, and the error of ADD.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use libcni::{Call, Code, Error, NetworkName, Result};

use crate::host_local::HostLocal;
use crate::host_local::leaked::{self, Judgement};
use crate::host_local::look::Reserved;
use crate::host_local::range::RangeSet;
use crate::host_local::store::View;

/// The answer of STATUS while a range set is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Success. A full pool does not make a node unusable. With an error the node is not ready: the
    /// kubelet starts no new pods, and Kubernetes evicts the node's pods.
    Available,
    /// Error 50.
    Unavailable,
}

impl HostLocal {
    /// The value of `statusWhenFull`. DEL and GC do not need it.
    pub(crate) fn when_full(&self) -> Result<WhenFull> {
        match &self.ipam()?.status_when_full {
            serde_json::Value::Null => Ok(WhenFull::Available),
            serde_json::Value::String(word) if word == "available" => Ok(WhenFull::Available),
            serde_json::Value::String(word) if word == "unavailable" => Ok(WhenFull::Unavailable),
            other => Err(Error::config(format!("unknown statusWhenFull {other}"))
                .details("Set statusWhenFull to \"available\" or \"unavailable\"")),
        }
    }
}

/// STATUS if `statusWhenFull` is `unavailable`.
///
/// # Errors
///
/// Returns an error if a range set is full, or if the folder cannot be read.
pub fn refuse(dir: &Path, call: &Call, sets: &[RangeSet]) -> Result<()> {
    let full = |view: &View| {
        let mut full = sets.iter().enumerate();
        Ok(full.find(|(_, set)| view.next_free(set, None).is_none()))
    };
    let Some((index, set)) = View::peek(dir, &call.network, full)? else { return Ok(()) };
    let (network, size) = (&call.network, set.size());
    let msg =
        format!("network {network}, range set {index} ({set}): all {size} addresses are taken");
    Err(Error::new(Code::UNAVAILABLE, msg).details(format!(
        "Run \"cnitool ls {network}\" to see who holds them; remove containers, or give the set \
         another range"
    )))
}

/// Adds to the error of an ADD with a full set what the result cache knows about the holders of the
/// addresses. Only a failed ADD reads the cache.
pub fn explain(dir: &Path, network: &NetworkName, sets: &[RangeSet], error: Error) -> Error {
    if error.code != Code::TRY_AGAIN {
        return error;
    }
    let results = leaked::RESULTS;
    let said = match judge(dir, network, sets) {
        Judgement::Leaked(0) => format!(", and by {results} none of them looks leaked"),
        Judgement::Leaked(count) => {
            let (look, their) =
                if count == 1 { ("looks", "its container") } else { ("look", "their containers") };
            format!(
                ", and {count} of them {look} leaked: {results} has no entry of {their}, or the \
                 namespace in it is gone"
            )
        }
        Judgement::Unknown(why) => format!(", and whether some are leaked is not known: {why}"),
    };
    let details = format!(
        "{}{said}. Run \"cnitool ls {network}\" to see who holds them and how to release what is \
         leaked",
        error.details
    );
    error.details(details)
}

/// Judges the reservations of the full set.
fn judge(dir: &Path, network: &NetworkName, sets: &[RangeSet]) -> Judgement {
    let unreadable = |error: &dyn std::fmt::Display| Judgement::Unknown(error.to_string());
    // A pool can have thousands of reservations, each with a file, and runtimes retry a full pool
    // again and again.
    let names = fs::read_dir(dir.join(network.as_str()));
    if names.is_ok_and(|names| names.take(2 * leaked::MOST + 1).count() > 2 * leaked::MOST) {
        return leaked::too_many();
    }
    let reserved = match Reserved::read(dir, network) {
        Ok(Some(reserved)) => reserved,
        Ok(None) => return Judgement::Leaked(0),
        Err(error) => return unreadable(&error),
    };
    let of = |set: &RangeSet| -> Vec<_> {
        let is_handed_out = |ip: IpAddr| set.find(ip).is_some_and(|range| range.gateway() != ip);
        reserved.addresses.iter().filter(|(ip, _)| is_handed_out(*ip)).collect()
    };
    // A container may have been deleted meanwhile. Then no set is full any more, and any set is
    // correct.
    let full = sets.iter().find(|set| of(set).len() as u128 >= set.size());
    match full.or(sets.first()) {
        Some(set) => leaked::judge(Path::new(leaked::RESULTS), network, &reserved, &of(set)),
        None => Judgement::Leaked(0),
    }
}
