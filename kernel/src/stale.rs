//! GC: the objects of a network's attachments that are not valid, found by their marks. Listing and
//! removing them use the same requests, kind by kind.

use std::net::IpAddr;
use std::time::Duration;

use crate::deletion::{self, Doomed};
use crate::error::{Error, Result};
use crate::executor::all_of;
use crate::handle::Handle;
use crate::handles::Handles;
use crate::lock::{HostLock, Locks};
use crate::owner::Owner;
use crate::sweep::{Collection, Judge, Stale, Swept};

/// The time limit for ADDs in progress that may have created a link without an alias.
const PATIENCE: Duration = Duration::from_secs(2);

/// The links to delete, on the host and in containers. A link without an alias was left by a killed
/// ADD, or a running ADD has just created it. Which of the two is certain only while no ADD is in
/// progress, which the returned lock guarantees. If other calls hold the lock, such links are left
/// to the next GC.
fn stale_of<'l>(
    swept: &[Swept],
    judge: &Judge<'_>,
    host: &mut Handle,
    locks: &'l Locks,
) -> (Vec<Doomed>, Option<HostLock<'l>>, Vec<Error>) {
    let (mut links, errors) = links_now(swept, judge, host);
    let is_certain = |doomed: &Doomed| !doomed.link.alias.is_empty();
    if links.iter().all(is_certain) || !locks.are_usable() {
        return (links, None, errors);
    }
    let Some(lock) = locks.take_host(PATIENCE) else {
        links.retain(is_certain);
        return (links, None, errors);
    };
    let (now, more) = links_now(swept, judge, host);
    // A link that has an alias by now belongs to an ADD that has finished since.
    let is_left = |doomed: &Doomed| {
        let is_same = |other: &&Doomed| {
            (other.namespace, other.link.index) == (doomed.namespace, doomed.link.index)
        };
        now.iter().filter(|other| other.link.alias.is_empty()).any(|other| is_same(&other))
    };
    links.retain(|doomed| is_certain(doomed) || is_left(doomed));
    (links, Some(lock), errors.into_iter().chain(more).collect())
}

fn links_now(swept: &[Swept], judge: &Judge<'_>, host: &mut Handle) -> (Vec<Doomed>, Vec<Error>) {
    let (mut doomed, mut errors) = (Vec::new(), Vec::new());
    for kind in swept {
        match (kind.links)(host, judge) {
            Ok(stale) => doomed.extend(stale),
            Err(error) => errors.push(error),
        }
    }
    (doomed, errors)
}

/// GC: removes the objects of attachments of `network` other than `valid`, found by the marks on
/// the objects of the kinds `swept`. Without a valid attachment, also removes what the network has
/// on this host for all its attachments.
///
/// `held` lists addresses of attachments other than the valid ones. GC finds the host's neighbour
/// entries by these addresses, and by the rules.
///
/// # Errors
///
/// Returns the errors about the objects that could not be removed. The others are removed.
pub fn collect(
    network: &str,
    valid: &[Owner],
    held: Vec<(IpAddr, Owner)>,
    swept: &[Swept],
) -> Result<()> {
    let locks = Locks::open()?;
    let mut handles = Handles::host_only()?;
    let mut errors = Vec::new();
    let mut gc = Collection { handles: &mut handles, judge: Judge::new(network, valid), held };
    for kind in swept {
        match (kind.addresses)(&mut gc) {
            Ok(addresses) => gc.held.extend(addresses),
            Err(error) => errors.push(error),
        }
    }
    for kind in swept {
        errors.extend((kind.collect)(&mut gc).err());
    }
    let (doomed, lock, failures) = stale_of(swept, &gc.judge, &mut gc.handles.host, &locks);
    errors.extend(failures);
    errors.extend(deletion::delete_all(&mut gc.handles.host, doomed));
    drop(lock);
    all_of(errors)
}

/// The links of the kinds `swept` that [`collect`] would remove. Changes nothing.
///
/// # Errors
///
/// Returns an error if the kernel refuses the request.
pub fn stale_links(network: &str, valid: &[Owner], swept: &[Swept]) -> Result<Vec<Stale>> {
    let locks = Locks::open()?;
    let (judge, host) = (Judge::new(network, valid), &mut Handles::host_only()?.host);
    let (links, _lock, errors) = stale_of(swept, &judge, host, &locks);
    all_of(errors)?;
    Ok(links.into_iter().map(Stale::link).collect())
}

/// The objects of the kinds `swept` that [`collect`] would remove, except neighbour entries, which
/// are a cache of the kernel. Changes nothing.
///
/// # Errors
///
/// Returns an error if the kernel refuses the request.
pub fn stale(network: &str, valid: &[Owner], swept: &[Swept]) -> Result<Vec<Stale>> {
    let mut handles = Handles::host_only()?;
    let judge = Judge::new(network, valid);
    let mut gc = Collection { handles: &mut handles, judge, held: Vec::new() };
    let mut found = stale_links(network, valid, swept)?;
    for kind in swept {
        found.extend((kind.stale)(&mut gc, &found)?);
    }
    Ok(found)
}
