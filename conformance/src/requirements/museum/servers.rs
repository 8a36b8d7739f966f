//! Servers that say who they are, and the question to whom a packet goes.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use testbed::Pod;

use crate::bench::broken;

/// How long an answer may take. Everything is on one machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is waited for what must not come, where it came at once when it was allowed to.
pub(super) const BRIEFLY: Duration = Duration::from_millis(200);
/// What is said of a question that nobody answered.
pub(super) const NOBODY: &str = "nobody";

/// Answers whoever connects to `port` of `pod`, at any of its addresses, with `name`.
pub(super) fn serve_tcp(pod: &Pod, port: u16, name: &'static str) {
    let listener = pod.enter(|| TcpListener::bind(("::", port)));
    let listener = listener.unwrap_or_else(|error| broken(&format!("listen at {port}: {error}")));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(name.as_bytes());
        }
    });
}

/// Answers each datagram to `port` of `pod` with `name`.
pub(super) fn serve_udp(pod: &Pod, port: u16, name: &'static str) {
    let socket = datagrams(pod, "::", port);
    thread::spawn(move || {
        let mut bytes = [0; 64];
        loop {
            if let Ok((_, from)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(name.as_bytes(), from);
            }
        }
    });
}

/// A socket for datagrams.
pub(super) fn datagrams(pod: &Pod, address: &str, port: u16) -> UdpSocket {
    let socket = pod.enter(|| UdpSocket::bind((address, port)));
    socket.unwrap_or_else(|error| broken(&format!("bind to {address}, port {port}: {error}")))
}

/// Who answers at that address and port: a name, or [`NOBODY`].
pub(super) fn who_at(client: &Pod, address: IpAddr, port: u16, patience: Duration) -> String {
    let target = SocketAddr::new(address, port);
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&target, patience)?;
        stream.set_read_timeout(Some(patience))?;
        let mut name = String::new();
        stream.read_to_string(&mut name).map(|_| name)
    };
    match client.enter(ask) {
        Ok(name) if !name.is_empty() => name,
        _ => NOBODY.to_owned(),
    }
}

/// Who answers a datagram from that socket.
pub(super) fn who_answers(socket: &UdpSocket, target: SocketAddr, patience: Duration) -> String {
    let _ = socket.set_read_timeout(Some(patience));
    // What came back of earlier datagrams is not the answer to this one.
    drain(socket);
    let mut bytes = [0; 64];
    let answer = socket.send_to(b"who", target).and_then(|_| socket.recv_from(&mut bytes));
    match answer {
        Ok((count, _)) => String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into(),
        Err(_) => NOBODY.to_owned(),
    }
}

fn drain(socket: &UdpSocket) {
    let _ = socket.set_nonblocking(true);
    let mut bytes = [0; 64];
    while !matches!(socket.recv_from(&mut bytes), Err(error) if error.kind() == ErrorKind::WouldBlock)
    {
    }
    let _ = socket.set_nonblocking(false);
}
