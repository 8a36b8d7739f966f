//! Packets between namespaces: connections with data, and counters of arriving packets.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::Pod;

/// The time limit for a connection to be made, or to make progress.
const PATIENCE: Duration = Duration::from_secs(2);

/// The observation of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The source address of the connection; after masquerading it is the node's.
    pub from: SocketAddr,
    /// The number of bytes that arrived.
    pub received: usize,
}

impl Pod {
    /// Sends `bytes` bytes over TCP to a listener in `server`, at the server's address `address`.
    ///
    /// # Errors
    ///
    /// If the connection cannot be made, or makes no progress, within two seconds.
    pub fn tcp(&self, server: &Pod, address: IpAddr, bytes: usize) -> io::Result<Exchange> {
        let listener = server.enter(|| TcpListener::bind((address, 0)))?;
        self.tcp_to(&listener, listener.local_addr()?, bytes)
    }

    /// As [`tcp`](Pod::tcp), to a listener that the caller made (see [`enter`](Pod::enter)).
    /// `target` may be another address and port than the listener's, for example a published one.
    ///
    /// # Errors
    ///
    /// As [`tcp`](Pod::tcp).
    pub fn tcp_to(
        &self,
        listener: &TcpListener,
        target: SocketAddr,
        bytes: usize,
    ) -> io::Result<Exchange> {
        let mut client = self.enter(|| TcpStream::connect_timeout(&target, PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        // The client is connected, so the kernel has the connection ready and this does not block.
        let (mut server, from) = listener.accept()?;
        server.set_read_timeout(Some(PATIENCE))?;
        thread::scope(|scope| {
            let sender = scope.spawn(move || {
                client.write_all(&vec![b'x'; bytes])?;
                client.shutdown(Shutdown::Write)
            });
            let received = server.read_to_end(&mut Vec::new());
            sender.join().expect("the sending thread")?;
            Ok(Exchange { from, received: received? })
        })
    }

    /// The number of packets that match `filter` (in `nft` syntax: `ip saddr 10.1.2.3`, `ether type
    /// arp`) and arrive on the link `dev` of this namespace while `work` runs. It counts before any
    /// rule in the namespace can drop them.
    pub fn count(&self, dev: &str, filter: &str, work: impl FnOnce()) -> u64 {
        let table = "netdev testbed_count";
        self.run(&[
            "nft",
            &format!(
                "add table {table}; \
             add chain {table} c {{ type filter hook ingress device \"{dev}\" priority -500; }}; \
             add rule {table} c {filter} counter"
            ),
        ]);
        work();
        let listed = self.run(&["nft", "-j", "list", "table", "netdev", "testbed_count"]);
        self.run(&["nft", "delete", "table", "netdev", "testbed_count"]);
        let listed: Value = serde_json::from_str(&listed).expect("JSON from nft");
        let rules = listed["nftables"].as_array().expect("a list from nft");
        rules
            .iter()
            .filter_map(|entry| entry["rule"]["expr"].as_array())
            .flatten()
            .find_map(|expr| expr["counter"]["packets"].as_u64())
            .expect("a counter in the rule")
    }
}
