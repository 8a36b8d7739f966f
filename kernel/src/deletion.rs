//! Deleting many links at once.
//!
//! Each deletion of a link waits for a grace period of the kernel, 13 to 20 ms, so deleting a
//! hundred links one by one takes two seconds. Two things shorten this: one request deletes all
//! links of a link group (`ip-link(8)`) in a namespace, with one wait; and requests from several
//! sockets wait at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::netnsid;
use crate::rtnl::{Message, Request, Rtnl};

/// The number of links in a group. The kernel blocks all other changes of links until it has
/// unlinked the whole group.
const GROUP_SIZE: usize = 128;
/// The number of sockets that send requests at the same time for links that no group can hold.
const SOCKETS: usize = 32;
/// The stack of a thread: several times what sending and receiving needs.
const STACK: usize = 128 * 1024;
/// A bit of the numbers of groups of doomed links. [`Owner::group`](crate::Owner::group) never sets
/// it.
const DOOMED_GROUP: u32 = 0x8000_0000;

/// A link to delete.
#[derive(Debug)]
pub struct Doomed {
    /// The id of its namespace (see [`netnsid`]); `None` for this one.
    pub(crate) namespace: Option<i32>,
    pub(crate) link: Link,
}

impl Doomed {
    fn request(&self) -> Request {
        match self.namespace {
            None => link::delete(&self.link.name, self.link.index),
            Some(id) => netnsid::delete(id, &self.link),
        }
    }
}

/// Deletes links, and returns all errors. A link that no longer exists is not an error.
pub(crate) fn delete_all(host: &mut Handle, doomed: Vec<Doomed>) -> Vec<Error> {
    // A link without an alias is identified by its group, so the group must not change: this call
    // may be killed before it deletes the link.
    let (grouped, apart): (Vec<_>, Vec<_>) = doomed
        .into_iter()
        .partition(|doomed| doomed.namespace.is_none() && !doomed.link.alias.is_empty());
    let mut errors = Vec::new();
    if let [one] = grouped.as_slice() {
        errors.extend(host.now(one.request()).err());
    } else {
        let group = DOOMED_GROUP | RandomState::new().hash_one("group") as u32;
        for chunk in grouped.chunks(GROUP_SIZE) {
            // One link that cannot be deleted blocks its whole group.
            if delete_as_group(host, chunk, group).is_err() {
                errors.extend(delete_apart(host, chunk));
            }
        }
    }
    errors.extend(delete_apart(host, &apart));
    errors
}

/// Puts links into a group that no other link is in, and deletes the group.
///
/// Only this call uses the number, so it deletes only these links, whatever other processes do at
/// the same time. If it is killed in between, the links differ only in their group, which does not
/// matter: their alias identifies the owner.
fn delete_as_group(host: &mut Handle, doomed: &[Doomed], group: u32) -> Result<()> {
    for Doomed { link, .. } in doomed {
        let message = link::with_index(link.index).link_group(group).build();
        let action = format!("move the interface {} into a link group", link.name);
        host.queue(link::set(action, message).tolerate(&[nix::libc::ENODEV]));
    }
    let moved = host.flush();
    let message = LinkMessageBuilder::<LinkUnspec>::default().link_group(group).build();
    let request = Request::new("delete a link group", 0, Message::DelLink(message));
    moved.and(host.now(request.tolerate(&[nix::libc::ENODEV])))
}

/// Deletes each link by a separate request, from several sockets.
fn delete_apart(host: &mut Handle, doomed: &[Doomed]) -> Vec<Error> {
    let next = AtomicUsize::new(0);
    let share = |send: &mut dyn FnMut(Request) -> Result<()>| -> Vec<Error> {
        let one = || doomed.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(one).filter_map(|doomed| send(doomed.request()).err()).collect()
    };
    // A thread that cannot start or gets no socket leaves its share to the others.
    let help = || match Rtnl::open() {
        Ok(mut rtnl) => share(&mut |request| rtnl.execute(&[request])),
        Err(_) => Vec::new(),
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, help).ok();
        let helpers: Vec<_> = (1..doomed.len().min(SOCKETS)).map_while(start).collect();
        let mut errors = share(&mut |request| host.now(request));
        for helper in helpers {
            let ended = || vec![Error::found("delete interfaces", "a thread ended early")];
            errors.extend(helper.join().unwrap_or_else(|_| ended()));
        }
        errors
    })
}
