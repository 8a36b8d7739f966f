//! The holder of an address, from the content of its file.

use std::fmt;

use libcni::{Attachment, ContainerId, IfName};

/// The separator between the container ID and the interface name in a reservation's file.
const LINE_BREAK: &str = "\r\n";

/// The holder of an address, from the content of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The interface of a container.
    Attachment(Attachment),
    /// A container, in the form of old versions, which did not write the interface.
    Container(ContainerId),
    /// Something else, such as a file made by hand, a directory or a symbolic link. The address is
    /// reserved, but not for an attachment.
    Other,
    /// No holder: an empty file. Its writer was killed before the write, because no writer can be
    /// active while this process holds the lock.
    Nobody,
}

impl Holder {
    /// Whether the holder is this interface of a container, or in an old file its container.
    pub fn is(&self, owner: &Attachment) -> bool {
        match self {
            Holder::Attachment(it) => it == owner,
            Holder::Container(id) => *id == owner.container,
            Holder::Other | Holder::Nobody => false,
        }
    }

    /// Reads the content of an address's file.
    pub fn parse(content: &[u8]) -> Holder {
        let Ok(text) = std::str::from_utf8(content) else { return Holder::Other };
        let text = text.trim();
        if text.is_empty() {
            return Holder::Nobody;
        }
        let parsed = match text.split_once(LINE_BREAK) {
            Some((container, ifname)) => ContainerId::new(container).and_then(|container| {
                Ok(Holder::Attachment(Attachment { container, ifname: IfName::new(ifname)? }))
            }),
            None => ContainerId::new(text).map(Holder::Container),
        };
        parsed.unwrap_or(Holder::Other)
    }

    /// The content of the file of an address that is reserved for `owner`.
    pub fn content(owner: &Attachment) -> String {
        format!("{}{LINE_BREAK}{}", owner.container, owner.ifname)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Attachment(it) => write!(f, "{} of container {}", it.ifname, it.container),
            Holder::Container(id) => write!(f, "container {id}"),
            Holder::Other => f.write_str("a file that names no container"),
            Holder::Nobody => f.write_str("nobody"),
        }
    }
}
