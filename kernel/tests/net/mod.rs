//! A network namespace for a test, kept by a thread that runs in it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sched::{CloneFlags, unshare};

type Work = Box<dyn FnOnce() + Send>;

/// A network namespace; dropping the value deletes it.
pub struct Net {
    work: Sender<Work>,
    /// The thread's number, as an argument of `ip link … netns`.
    pub tid: String,
}

impl Net {
    pub fn new() -> Net {
        let (work, todo) = channel::<Work>();
        let (ready, is_ready) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            ready.send(link.file_name().unwrap().to_str().unwrap().to_owned()).unwrap();
            todo.into_iter().for_each(|work| work());
        });
        let net = Net { work, tid: is_ready.recv().unwrap() };
        // No wait for duplicate address detection, so that the tests' first packets pass.
        net.run("sysctl -qw net.ipv6.conf.default.accept_dad=0\nip link set lo up");
        net
    }

    /// Runs `work` in the namespace.
    pub fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.work
            .send(Box::new(move || {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                done.send(outcome).unwrap();
            }))
            .unwrap();
        match result.recv().unwrap() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs a command in the namespace, with `input`. Returns its output, or its message on
    /// failure.
    pub fn feed(&self, command: &str, input: &str) -> Result<String, String> {
        let (command, input) = (command.to_owned(), input.to_owned());
        self.enter(move || {
            let mut words = command.split_whitespace();
            let mut child = Command::new(words.next().unwrap())
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{command}: {error}"));
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            match output.status.success() {
                true => Ok(text(&output.stdout)),
                false => {
                    Err(format!("{command}: {}{}", text(&output.stdout), text(&output.stderr)))
                }
            }
        })
    }

    /// Runs commands in the namespace, one per line. Returns the output of the last one.
    pub fn run(&self, commands: &str) -> String {
        let lines = commands.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.fold(String::new(), |_, line| self.feed(line, "").unwrap())
    }

    /// The whole ruleset as nft prints it.
    pub fn ruleset(&self) -> String {
        self.run("nft list ruleset")
    }

    /// Loads rules in nft's notation.
    pub fn load(&self, rules: &str) {
        self.feed("nft -f -", rules).unwrap();
    }

    /// Whether an address answers within three seconds: a new link may need that long to carry its
    /// first packet.
    pub fn reaches(&self, address: &str) -> bool {
        self.feed(&format!("ping -c 1 -i 0.2 -w 3 {address}"), "").is_ok()
    }

    /// Whether an address does not answer. Proves something only if packets pass otherwise.
    pub fn misses(&self, address: &str) -> bool {
        self.feed(&format!("ping -c 1 -W 1 {address}"), "").is_err()
    }

    /// Counts matching packets that arrive here.
    pub fn count(&self, matching: &str) {
        self.load(&format!(
            "table inet seen {{ chain arrivals {{ type filter hook prerouting priority -300; \
             {matching} counter; }}; }}"
        ));
    }

    /// The number of packets since [`count`](Net::count), which can then be called again.
    pub fn counted(&self) -> u32 {
        let rules = self.run("nft list table inet seen");
        self.run("nft delete table inet seen");
        let packets = rules.split("packets ").nth(1).unwrap();
        packets.split_whitespace().next().unwrap().parse().unwrap()
    }
}
