//! Deleting many links at once.
//!
//! Whoever deletes a link waits for the kernel's grace period, 13 to 20 ms, so a hundred links one after the other take
//! two seconds. Two things make it less: links of one namespace that are in one group (`ip-link(8)`) go with one request
//! and one wait; and requests from several sockets wait together.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::netnsid;
use crate::rtnl::{Message, Request, Rtnl};
use crate::side::Side;

/// How many go in one group: the kernel lets nobody else change links until all of them are unlinked.
const GROUP_SIZE: usize = 128;
/// How many sockets ask at the same time where a group is of no use.
const SOCKETS: usize = 32;
/// What a thread that sends and receives needs, several times over.
const STACK: usize = 128 * 1024;
/// Set in the numbers of groups of doomed links; [`Owner::group`](crate::Owner::group) never sets it.
const DOOMED_GROUP: u32 = 0x8000_0000;

/// A link that has to go.
#[derive(Debug)]
pub(crate) struct Doomed {
    /// The id of its namespace (see [`netnsid`]); none for this one.
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

/// Deletes links, and returns everything that went wrong. What is gone already is fine.
pub(crate) fn delete_all(host: &mut Side, doomed: Vec<Doomed>) -> Vec<Error> {
    // A link without an alias is known by the group that it has: it must not change, we may be killed before the end.
    let (grouped, apart): (Vec<_>, Vec<_>) = doomed
        .into_iter()
        .partition(|doomed| doomed.namespace.is_none() && !doomed.link.alias.is_empty());
    let mut errors = Vec::new();
    if let [one] = grouped.as_slice() {
        errors.extend(host.now(one.request()).err());
    } else {
        let group = DOOMED_GROUP | RandomState::new().hash_one("group") as u32;
        for chunk in grouped.chunks(GROUP_SIZE) {
            // One link that the kernel does not let go holds up its whole group.
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
/// The number is of this call alone, so whatever others do at the same time, nothing goes but these links. Killed in
/// between, the links are as they were, but for a group that nobody asks for: their alias says whose they are.
fn delete_as_group(host: &mut Side, doomed: &[Doomed], group: u32) -> Result<()> {
    for Doomed { link, .. } in doomed {
        let message = link::with_index(link.index).link_group(group).build();
        let action = format!("put the interface {} into a group", link.name);
        host.queue(link::set(action, message).tolerate(&[nix::libc::ENODEV]));
    }
    let moved = host.flush();
    let message = LinkMessageBuilder::<LinkUnspec>::default().link_group(group).build();
    let request = Request::new("delete a group of interfaces", 0, Message::DelLink(message));
    moved.and(host.now(request.tolerate(&[nix::libc::ENODEV])))
}

/// Deletes each link by a request of its own, from several sockets.
fn delete_apart(host: &mut Side, doomed: &[Doomed]) -> Vec<Error> {
    let next = AtomicUsize::new(0);
    let share = |send: &mut dyn FnMut(Request) -> Result<()>| -> Vec<Error> {
        let one = || doomed.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(one).filter_map(|doomed| send(doomed.request()).err()).collect()
    };
    // Whoever cannot start or has no socket leaves its share to the others.
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
