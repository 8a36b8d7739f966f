//! The floor makes the same kernel objects and settings as the plugins of this suite, with as few
//! requests as the kernel allows, and does nothing else: no JSON, no configuration, no allocation
//! of addresses, no checks, no waits.
//!
//! ```text
//! floor                                                          exits at once: the start of a process
//! floor VERB KIND NETNS LINK INDEX ADDRESS/LENGTH GATEWAY TAG [masq]
//! ```
//!
//! VERB is `add` or `del`, KIND `bridge`, `ptp`, `macvlan` or `loopback`. LINK is the name of the
//! host end and INDEX its index. The shared objects of the network already exist: the bridge with
//! index 3000 (macvlan: the parent), forwarding, the nf_tables skeleton.

mod attachment;
mod masquerade;
mod netlink;

use std::io::{Error, Result};
use std::process::ExitCode;

use attachment::Attachment;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match work(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &[String]) -> Result<()> {
    let [verb, kind, attachment @ ..] = arguments else { return Ok(()) };
    let of = Attachment::parse(attachment)?;
    match (verb.as_str(), kind.as_str()) {
        ("add", "bridge") => of.add_veth(true),
        ("add", "ptp") => of.add_veth(false),
        ("add", "macvlan") => of.add_macvlan(),
        ("add", "loopback") => of.loopback(true),
        ("del", "bridge") => of.del_veth(true),
        ("del", "ptp") => of.del_veth(false),
        ("del", "macvlan") => of.del_macvlan(),
        ("del", "loopback") => of.loopback(false),
        _ => Err(Error::other("no such verb or kind")),
    }
}
