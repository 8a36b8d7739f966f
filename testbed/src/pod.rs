//! A network namespace with a name and a file, and commands in it.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// The network namespace of the thread that looks. (`/proc/self` would be the first thread's.)
const THIS_THREAD: &str = "/proc/thread-self/ns/net";

/// A network namespace, bind-mounted at a file.
#[derive(Debug, Clone)]
pub struct Pod {
    name: String,
    path: PathBuf,
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Pod {
    /// A new namespace at the file `path`.
    pub(crate) fn create(name: &str, path: &str) -> Pod {
        let made = thread::scope(|scope| {
            let fresh = || {
                unshare(CloneFlags::CLONE_NEWNET)?;
                Ok::<Pod, nix::Error>(Pod::of_this_thread(name, path))
            };
            scope.spawn(fresh).join().expect("the thread that makes a namespace")
        });
        made.unwrap_or_else(|error| panic!("make the network namespace {name}: {error}"))
    }

    /// The namespace of the calling thread, now also at the file `path`.
    pub(crate) fn of_this_thread(name: &str, path: &str) -> Pod {
        File::create_new(path).unwrap_or_else(|error| panic!("make {path}: {error}"));
        let none = None::<&str>;
        mount(Some(THIS_THREAD), path, none, MsFlags::MS_BIND, none)
            .unwrap_or_else(|error| panic!("bind the network namespace {name} to {path}: {error}"));
        Pod { name: name.to_owned(), path: PathBuf::from(path) }
    }

    /// The namespace that somebody else made at the file `path`.
    pub fn at(name: &str, path: impl Into<PathBuf>) -> Pod {
        Pod { name: name.to_owned(), path: path.into() }
    }

    /// Takes the file away, and with it the namespace, unless something else holds it.
    pub(crate) fn unlink(&self) {
        umount2(&self.path, MntFlags::MNT_DETACH)
            .unwrap_or_else(|error| panic!("unmount {}: {error}", self.path.display()));
        fs::remove_file(&self.path).unwrap();
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace's file: what goes into `CNI_NETNS`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command in the namespace, which must succeed. Returns what it printed.
    pub fn run(&self, command: &[&str]) -> String {
        let output = self.try_run(command);
        assert!(
            output.status.success(),
            "in {}: {}: {}\n{}{}",
            self.name,
            command.join(" "),
            output.status,
            output.stdout,
            output.stderr
        );
        output.stdout
    }

    /// Runs a command in the namespace, which may fail.
    pub fn try_run(&self, command: &[&str]) -> Output {
        let program = command.first().expect("a command");
        let mut child = Command::new(program);
        child.args(&command[1..]).stdin(Stdio::null());
        let output = self.enter(|| child.output());
        let output = output.unwrap_or_else(|error| {
            panic!("in {}: {program}: {error}{}", self.name, way_out(program, &error))
        });
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A command in the namespace, to be completed and started by the caller.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Runs lines of shell in the namespace; the first that fails is a panic. Returns what they printed.
    pub fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-ec", script])
    }

    /// Runs `work` on a thread in this namespace. Sockets made there stay in it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let entered = thread::scope(|scope| {
            let inside = || {
                let namespace = File::open(&self.path)
                    .unwrap_or_else(|error| panic!("open {}: {error}", self.path.display()));
                setns(namespace, CloneFlags::CLONE_NEWNET)
                    .unwrap_or_else(|error| panic!("enter {}: {error}", self.path.display()));
                work()
            };
            scope.spawn(inside).join()
        });
        entered.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Whether the first packet to `address` is answered within a second. IPv4 or IPv6.
    pub fn ping(&self, address: impl Display) -> bool {
        let address = address.to_string();
        let address = address.split('/').next().unwrap_or_default();
        let known: IpAddr = address.parse().expect("an address to ping");
        let family = if known.is_ipv4() { "-4" } else { "-6" };
        self.try_run(&["ping", family, "-n", "-c1", "-W1", address]).status.success()
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What to do about a program of the tests that cannot be started.
pub(crate) fn way_out(program: &str, error: &std::io::Error) -> String {
    let package = match program {
        "ip" | "bridge" | "tc" => "iproute2",
        "ping" => "iputils-ping",
        "nft" => "nftables",
        "ipvsadm" | "tcpdump" | "iptables" => program,
        _ => return String::new(),
    };
    match error.kind() {
        ErrorKind::NotFound => format!(": apt-get install {package}"),
        _ => String::new(),
    }
}
