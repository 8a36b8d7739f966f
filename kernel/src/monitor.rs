//! The kernel's notifications of changed links, addresses and IPv6 routes.

use std::os::fd::AsFd;
use std::time::Instant;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Doing, Result};

/// The multicast groups `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE`
/// (`rtnetlink(7)`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100 | 0x400;

/// Hears of every change to links, addresses and IPv6 routes of the namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Monitor(Socket);

impl Monitor {
    pub(crate) fn open() -> Result<Monitor> {
        let open = || {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, GROUPS))?;
            socket.set_non_blocking(true)?;
            Ok(Monitor(socket))
        };
        std::io::Result::doing(open(), || "listen to the kernel's notifications")
    }

    /// Waits for the next change; false if there was none before the deadline.
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
        // What changed does not matter: whoever waits looks again. So all that came is taken, and lost ones too.
        let mut taken = Vec::with_capacity(32 * 1024);
        while self.0.recv(&mut taken, 0).is_ok() {
            taken.clear();
        }
        Ok(true)
    }
}
