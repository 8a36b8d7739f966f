//! The handles of both network namespaces of an attachment.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::netns::{Namespace, Place};
use crate::nft::Nft;

/// The handles of both namespaces of an attachment.
#[derive(Debug)]
pub struct Handles {
    pub(crate) host: Handle,
    pod: Option<Handle>,
    /// The path of the container's namespace, which is opened on first use.
    unopened: Option<PathBuf>,
    /// Links of the host as [`look_at`](Handles::look_at) read them.
    looked_at: HashMap<String, Option<Link>>,
    /// For DEL: all addresses of the attachment, which are those that the IPAM plugin holds for it.
    /// Empty if they are unknown.
    pub(crate) held: Vec<IpAddr>,
    nft: Option<Nft>,
    /// The deadline of the call, if the caller set one.
    until: Option<Instant>,
    /// When the waits of this call end: see [`Handles::patience`].
    patience: Option<Instant>,
}

/// The maximum duration of all waits of a call together. 300 ADDs and 300 DELs at once on two CPUs
/// keep the kernel's queues busy for 10 s to 20 s.
const PATIENCE: Duration = Duration::from_secs(30);

impl Handles {
    /// Opens the host's handle, and the container's if there is a path. `until` is the deadline of
    /// the call.
    pub(crate) fn open(pod: Option<&Path>, until: Option<Instant>) -> Result<Handles> {
        let pod = match pod {
            Some(path) => Some(Handle::open(Place::Pod, Some(Namespace::open(path)?))?),
            None => None,
        };
        Handles::beside(pod, until)
    }

    /// Opens the host's handle. The container's, if there is one, is already open.
    pub(crate) fn beside(pod: Option<Handle>, until: Option<Instant>) -> Result<Handles> {
        Ok(Handles { pod, until, ..Handles::host_only()? })
    }

    /// Only the host's handle, because GC cannot rely on the container's namespace.
    pub(crate) fn host_only() -> Result<Handles> {
        Ok(Handles {
            host: Handle::open(Place::Host, None)?,
            pod: None,
            unopened: None,
            looked_at: HashMap::new(),
            held: Vec::new(),
            nft: None,
            until: None,
            patience: None,
        })
    }

    /// For DEL: opens the host's handle, and the container's on the first call of
    /// [`pod`](Handles::pod), because most DELs do not need it.
    pub(crate) fn open_lazily(pod: Option<&Path>) -> Result<Handles> {
        Ok(Handles { unopened: pod.map(Path::to_owned), ..Handles::host_only()? })
    }

    /// When the waits of this call end, counted from the first of them. A call with a deadline
    /// reserves a tenth of its time for the steps after the waits.
    pub(crate) fn patience(&mut self) -> Instant {
        let now = Instant::now();
        let left = self.until.map(|until| until.saturating_duration_since(now));
        let limit = left.map_or(PATIENCE, |left| PATIENCE.min(left - left / 10));
        *self.patience.get_or_insert(now + limit)
    }

    /// The handle of a namespace.
    pub(crate) fn handle(&mut self, place: Place) -> Result<&mut Handle> {
        match place {
            Place::Host => Ok(&mut self.host),
            Place::Pod => self.pod.as_mut().ok_or_else(|| {
                Error::found("open the container's network namespace", "no namespace was given")
                    .in_namespace()
            }),
        }
    }

    /// The container's handle; `None` if there is no namespace, or if it no longer exists.
    pub(crate) fn pod(&mut self) -> Result<Option<&mut Handle>> {
        if let Some(path) = self.unopened.take() {
            let opened = Namespace::open(&path).and_then(|pod| Handle::open(Place::Pod, Some(pod)));
            match opened {
                Err(error) if error.is_namespace() => {}
                opened => self.pod = Some(opened?),
            }
        }
        Ok(self.pod.as_mut())
    }

    /// Whether the container's namespace is the host's own.
    pub(crate) fn pod_is_host(&self) -> Result<bool> {
        match self.pod.as_ref().and_then(Handle::namespace) {
            Some(pod) => pod.is_same(&Namespace::current()?),
            None => Ok(false),
        }
    }

    /// Whether a link of the container has an address that the IPAM plugin holds for the
    /// attachment. The host's own links never count.
    pub(crate) fn holds_ours(&mut self, link: &Link) -> Result<bool> {
        if self.held.is_empty() || self.pod_is_host()? {
            return Ok(false);
        }
        let Some(pod) = self.pod.as_mut() else { return Ok(false) };
        let held = pod.addresses(link.index)?;
        Ok(held.iter().any(|held| self.held.contains(&held.address.ip())))
    }

    /// Reads links of the host, all at once, for [`host_link`](Handles::host_link). Requests about
    /// links wait for the kernel's lock on links, for 150 ms if 32 DELs run at once; the requests
    /// of one datagram wait together.
    pub(crate) fn look_at(&mut self, names: &[&str]) -> Result<()> {
        let requests = names.iter().map(|name| link::by_name(name)).collect();
        let found = self.host.get_each(requests, Error::is_gone)?;
        let links = found.into_iter().map(|body| body.map(|body| Link::read(&body)));
        self.looked_at.extend(names.iter().map(|name| (*name).to_owned()).zip(links));
        Ok(())
    }

    /// A link of the host: as read before, or its current state.
    pub(crate) fn host_link(&mut self, name: &str) -> Result<Option<Link>> {
        match self.looked_at.get(name) {
            Some(link) => Ok(link.clone()),
            None => self.host.link(name),
        }
    }

    /// The host's nf_tables. The socket stays open until the end of the call: closing it after a
    /// removal waits for a grace period, and the wait for the deleted link then runs at the same
    /// time.
    pub(crate) fn nft(&mut self) -> Result<&mut Nft> {
        let nft = match self.nft.take() {
            Some(nft) => nft,
            None => Nft::open()?,
        };
        Ok(self.nft.insert(nft))
    }

    /// Runs `work` with the host's handle and the container's namespace, if there is one.
    pub(crate) fn with_pod_namespace(
        &mut self,
        work: impl FnOnce(&mut Handle, &Namespace) -> Result<()>,
    ) -> Result<()> {
        match self.pod.as_ref().and_then(Handle::namespace) {
            Some(namespace) => work(&mut self.host, namespace),
            None => Ok(()),
        }
    }

    /// Discards the queued requests of both handles.
    pub(crate) fn discard(&mut self) {
        self.host.discard();
        self.pod.iter_mut().for_each(Handle::discard);
    }

    /// Sends the queued requests of both handles.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.host.flush()?;
        self.pod.as_mut().map_or(Ok(()), Handle::flush)
    }
}
