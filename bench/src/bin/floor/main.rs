//! The floor: the same kernel objects and settings as the plugins of this suite make, with as few requests as the kernel
//! allows, and nothing else: no JSON, no configuration, no addresses to choose, nothing looked at, nothing waited for.
//!
//! ```text
//! floor                                                          ends at once: the start of a process
//! floor VERB KIND NETNS LINK INDEX ADDRESS/LENGTH GATEWAY TAG [masq]
//! ```
//!
//! VERB is `add` or `del`, KIND `bridge`, `ptp`, `macvlan` or `loopback`. LINK is the host's end's name and INDEX its number.
//! What a network has for all its containers is there already: the bridge with index 3000 (macvlan: the parent), forwarding,
//! the nf_tables skeleton.

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
