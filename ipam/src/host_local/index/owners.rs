//! The addresses of each owner, in the table.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libcni::Attachment;

use crate::host_local::holder::Holder;
use crate::host_local::index::table::{Entry, Table, Value};
use crate::host_local::range::bits;

/// The kind of an interface of a container.
const ATTACHMENT: u64 = 1;
/// The kind of a container, in the form of old versions.
const CONTAINER: u64 = 2;

/// The maximum number of recorded addresses per owner: an attachment has one from each range set.
/// An operator who reserved thousands by hand may have written the same owner into all files.
const MOST: usize = 16;

/// Marks an owner with more addresses.
const MANY: Value = [0; 4];

/// The addresses of an owner.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// The complete list.
    These(Vec<IpAddr>),
    /// Too many to be recorded.
    Many,
}

impl Table {
    /// Records the holder of an address, if it is an attachment or a container.
    pub fn own(&mut self, holder: &Holder, ip: IpAddr) -> io::Result<()> {
        let Some((kind, id)) = self.key(holder) else { return Ok(()) };
        self.old_form |= kind == CONTAINER;
        self.add(kind, id, |held| {
            let value = if held.len() < MOST { value(ip) } else { MANY };
            (!held.contains(&value)).then_some(value)
        })
    }

    /// Removes the record of an address's holder.
    pub fn disown(&mut self, holder: &Holder, ip: IpAddr) -> io::Result<()> {
        let Some((kind, id)) = self.key(holder) else { return Ok(()) };
        self.remove(&Entry { kind, id, value: value(ip) })
    }

    /// The addresses of the interface.
    pub fn of_attachment(&self, owner: &Attachment) -> io::Result<Held> {
        self.held(ATTACHMENT, self.attachment(owner))
    }

    /// The addresses of the interface's container in the files of old versions.
    pub fn of_container(&self, owner: &Attachment) -> io::Result<Held> {
        if !self.old_form {
            return Ok(Held::These(Vec::new()));
        }
        self.held(CONTAINER, self.container(owner.container.as_str()))
    }

    fn held(&self, kind: u64, id: u128) -> io::Result<Held> {
        let values = self.get(kind, id)?;
        if values.contains(&MANY) {
            return Ok(Held::Many);
        }
        Ok(Held::These(values.into_iter().map(address).collect()))
    }

    fn key(&self, holder: &Holder) -> Option<(u64, u128)> {
        match holder {
            Holder::Attachment(owner) => Some((ATTACHMENT, self.attachment(owner))),
            Holder::Container(id) => Some((CONTAINER, self.container(id.as_str()))),
            Holder::Other | Holder::Nobody => None,
        }
    }

    /// Neither name has a line break in it.
    fn attachment(&self, owner: &Attachment) -> u128 {
        let (container, ifname) = (owner.container.as_bytes(), owner.ifname.as_bytes());
        self.hash(&[container, b"\n", ifname]).into()
    }

    fn container(&self, id: &str) -> u128 {
        self.hash(&[id.as_bytes()]).into()
    }
}

fn value(ip: IpAddr) -> Value {
    let bits = bits(ip);
    [if ip.is_ipv4() { 4 } else { 6 }, bits as u64, (bits >> 64) as u64, 0]
}

fn address([family, low, high, _]: Value) -> IpAddr {
    match family {
        4 => Ipv4Addr::from(low as u32).into(),
        _ => Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)).into(),
    }
}
