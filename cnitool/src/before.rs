//! What existed of an attachment before `cnitool add`: a failed add deletes only what it made
//! itself.

use std::path::Path;
use std::time::{Duration, Instant};

use ipam::{Holder, PoolConf, Reserved};
use kernel::{Owner, Survey, Turn};
use libcni::runtime::AttachmentConfig;
use libcni::{Error, Result};

use crate::Session;

/// How long to wait before checking for Ctrl-C.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until no other `cnitool` adds the same attachment. `None` if that takes longer than the
/// add's own timeout; then the add goes on without exclusion.
///
/// # Errors
///
/// Returns an error if a signal arrives while it waits. Nothing has been done then.
pub fn turn(session: &Session<'_>, conf: &AttachmentConfig) -> Result<Option<Turn>> {
    let Session { runtime, interrupt, .. } = session;
    let owner = owner(session, conf);
    let deadline = runtime.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    while deadline.is_none_or(|deadline| Instant::now() < deadline) {
        let turn = Turn::take(&owner, PAUSE).map_err(|error| Error::internal(error.to_string()))?;
        if turn.is_some() {
            return Ok(turn);
        }
        if interrupt.received() {
            return Err(Error::internal("interrupted while another cnitool adds the attachment"));
        }
    }
    Ok(None)
}

/// Whether anything of the attachment exists: a cached result, the interface, its links on the
/// host, or an address that host-local reserves for it. What cannot be read counts as absent.
pub fn is_known(session: &Session<'_>, conf: &AttachmentConfig) -> bool {
    let Session { runtime, list, .. } = session;
    let is_cached = || runtime.cache.get(&list.name, &conf.attachment).is_ok_and(|it| it.is_some());
    let has_interface = || {
        // Every namespace has a loopback interface.
        let ifname = conf.attachment.ifname.as_str();
        let found = Survey::pod(Path::new(&conf.netns)).and_then(|mut pod| pod.link(ifname));
        ifname != "lo" && found.is_ok_and(|link| link.is_some())
    };
    let lives = || kernel::lives_of(&owner(session, conf)).unwrap_or(false);
    is_cached() || has_interface() || lives() || has_address(session, conf)
}

fn has_address(session: &Session<'_>, conf: &AttachmentConfig) -> bool {
    let list = &session.list;
    let pools = list.plugins.iter().filter_map(|plugin| PoolConf::of(&plugin.config).ok()?);
    let mut reserved =
        pools.filter_map(|pool| Reserved::read(&pool.data_dir, &list.name).ok().flatten());
    let is_theirs = |holder: &Holder| holder.is(&conf.attachment);
    reserved.any(|reserved| {
        reserved.addresses.iter().any(|(_, holder)| holder.as_ref().is_ok_and(is_theirs))
    })
}

fn owner(session: &Session<'_>, conf: &AttachmentConfig) -> Owner {
    Owner {
        network: session.list.name.to_string(),
        container: conf.attachment.container.to_string(),
        ifname: conf.attachment.ifname.to_string(),
    }
}
