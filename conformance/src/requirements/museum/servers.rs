//! Servers that identify themselves, and clients that ask which server a packet reaches.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use testbed::Pod;

use crate::isolation::broken;

/// The time limit for an answer. Client and server are on one machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How long the test waits for an answer that must not come. In the control it comes at once.
pub(super) const BRIEFLY: Duration = Duration::from_millis(200);
/// The name that stands for a request without an answer.
pub(super) const NO_ANSWER: &str = "no server";

/// Answers connections to `port` of `pod`, at any of its addresses, with `name`.
pub(super) fn serve_tcp(pod: &Pod, port: u16, name: &'static str) {
    let listener = pod.enter(|| TcpListener::bind(("::", port)));
    let listener = listener.unwrap_or_else(|error| broken(&format!("listen at {port}: {error}")));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(name.as_bytes());
        }
    });
}

/// Answers datagrams to `port` of `pod` with `name`.
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

/// A UDP socket.
pub(super) fn datagrams(pod: &Pod, address: &str, port: u16) -> UdpSocket {
    let socket = pod.enter(|| UdpSocket::bind((address, port)));
    socket.unwrap_or_else(|error| broken(&format!("bind to {address}, port {port}: {error}")))
}

/// The server that answers at this address and port: its name, or [`NOBODY`].
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
        _ => NO_ANSWER.to_owned(),
    }
}

/// The server that answers a datagram from this socket.
pub(super) fn who_answers(socket: &UdpSocket, target: SocketAddr, patience: Duration) -> String {
    let _ = socket.set_read_timeout(Some(patience));
    // An answer to an earlier datagram does not count.
    drain(socket);
    let mut bytes = [0; 64];
    let answer = socket.send_to(b"who", target).and_then(|_| socket.recv_from(&mut bytes));
    match answer {
        Ok((count, _)) => String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into(),
        Err(_) => NO_ANSWER.to_owned(),
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
