//! Which kinds of links this kernel supports.

use netlink_packet_route::link::InfoKind;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use crate::error::{Error, Result};
use crate::handles::Handles;
use crate::link;

/// Checks that the kernel supports a kind of Ethernet link, for example `veth` or `macvlan`. The
/// request has a MAC address that no link may have. A kernel that supports the kind refuses the
/// address; any other kernel refuses the kind. The kernel may load the module, as for ADD, and
/// creates no link.
///
/// # Errors
///
/// Returns an error if the kernel does not support the kind.
pub fn makes(kind: &str) -> Result<()> {
    const MULTICAST: [u8; 6] = [0xff; 6];
    let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::from(kind))
        .address(MULTICAST.to_vec());
    let action = format!("create a {kind} link");
    match Handles::host_only()?.host.now(link::create(action, message.build())) {
        Err(error) if error.errno == nix::libc::EOPNOTSUPP => Err(explain(error, kind)),
        // Any other error is about the address, or ADD reports it.
        _ => Ok(()),
    }
}

fn explain(error: Error, kind: &str) -> Error {
    error.said(format!("this kernel does not support links of kind {kind}")).hint(format!(
        "Load the module on the host: modprobe {kind}. If there is none, the kernel was built \
         without CONFIG_{}",
        kind.to_uppercase()
    ))
}
