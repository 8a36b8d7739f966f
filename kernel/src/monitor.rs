//! The kernel's notifications of changed links, addresses, routes and rules.

use std::os::fd::AsFd;
use std::time::Instant;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Doing, Result};

/// The multicast groups `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR` and
/// `RTMGRP_IPV6_ROUTE` (`rtnetlink(7)`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100 | 0x400;
/// All groups that concern IPv4 routes: `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR` and
/// `RTMGRP_IPV4_ROUTE`. The kernel does not report which routes disappear with a link or an
/// address.
const IPV4_ROUTES: u32 = 0x1 | 0x10 | 0x40;

/// Receives a notification of every change of links, addresses and routes in the namespace in which
/// it was opened.
#[derive(Debug)]
pub(crate) struct Monitor(Socket);

impl Monitor {
    pub(crate) fn open() -> Result<Monitor> {
        Monitor::of(GROUPS)
    }

    /// A monitor of all changes of IPv4 routes.
    pub(crate) fn of_ipv4_routes() -> Result<Monitor> {
        Monitor::of(IPV4_ROUTES)
    }

    fn of(groups: u32) -> Result<Monitor> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, groups))?;
            socket.set_non_blocking(true)?;
            Ok(Monitor(socket))
        };
        std::io::Result::doing(open(), || "listen to the kernel's notifications")
    }

    /// Whether something has changed since it was opened. A lost notification counts as a change.
    pub(crate) fn has_heard(&self) -> bool {
        let mut first = [0; 16];
        match self.0.recv(&mut first.as_mut_slice(), 0) {
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }

    /// Waits for the next change; false if there is none before the deadline.
    pub(crate) fn wait(&mut self, deadline: Instant) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).doing(|| "wait for the kernel's notifications"),
        }
        // The content does not matter, because the caller reads the state again. So all
        // notifications are read, and lost ones count too.
        let mut taken = Vec::with_capacity(32 * 1024);
        while self.0.recv(&mut taken, 0).is_ok() {
            taken.clear();
        }
        Ok(true)
    }
}
