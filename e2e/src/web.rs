//! Web servers and clients.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use testbed::Pod;

use crate::Machine;

/// The time limit for a server to start, to become reachable, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A web server that serves `from NAME`; it ends when dropped.
#[derive(Debug)]
pub struct Web(Child);

impl Web {
    /// Starts a server in a network namespace.
    pub fn start(machine: &Machine, namespace: &Pod) -> Web {
        let folder = machine.folder(&format!("web-{}", namespace.name()));
        std::fs::write(folder.join("index.html"), format!("from {}\n", namespace.name())).unwrap();
        let mut server = namespace.command("busybox");
        server.args(["httpd", "-f", "-p", "80", "-h"]).arg(folder);
        Web(server.spawn().expect("start busybox's httpd: apt-get install busybox-static"))
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // A panic here would hide the test's own.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The page of the server at `address`, requested from a network namespace. The server may still be
/// starting.
///
/// # Panics
///
/// If it does not answer.
pub fn page(namespace: &Pod, address: impl Display) -> String {
    let server = server(&address.to_string());
    let deadline = Instant::now() + PATIENCE;
    let answer = namespace.enter(|| {
        loop {
            match get(server) {
                Err(error)
                    if error.kind() == ErrorKind::ConnectionRefused
                        && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(10));
                }
                other => return other,
            }
        }
    });
    let answer = answer.unwrap_or_else(|error| {
        panic!("from {}: ask {server} for a page: {error}", namespace.name())
    });
    let (_head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head and a body");
    body.to_owned()
}

fn server(address: &str) -> SocketAddr {
    let address = address.split('/').next().unwrap_or_default();
    let address: IpAddr = address.parse().expect("an address to ask");
    SocketAddr::new(address, 80)
}

fn get(server: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
