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

/// The network namespace of the calling thread. (`/proc/self` is the one of the first thread.)
const THIS_THREAD: &str = "/proc/thread-self/ns/net";

/// A network namespace, bind-mounted on a file.
#[derive(Debug, Clone)]
pub struct Pod {
    name: String,
    path: PathBuf,
}

/// The outcome of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
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

    /// Bind-mounts the namespace of the calling thread on the file `path`.
    pub(crate) fn of_this_thread(name: &str, path: &str) -> Pod {
        File::create_new(path).unwrap_or_else(|error| panic!("make {path}: {error}"));
        let none = None::<&str>;
        mount(Some(THIS_THREAD), path, none, MsFlags::MS_BIND, none)
            .unwrap_or_else(|error| panic!("bind the network namespace {name} to {path}: {error}"));
        Pod { name: name.to_owned(), path: PathBuf::from(path) }
    }

    /// The existing namespace at the file `path`.
    pub fn at(name: &str, path: impl Into<PathBuf>) -> Pod {
        Pod { name: name.to_owned(), path: path.into() }
    }

    /// Removes the file, and thus the namespace, unless something else holds it.
    pub(crate) fn unlink(&self) {
        umount2(&self.path, MntFlags::MNT_DETACH)
            .unwrap_or_else(|error| panic!("unmount {}: {error}", self.path.display()));
        fs::remove_file(&self.path).unwrap();
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of the namespace, for `CNI_NETNS`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command in the namespace, which must succeed. Returns the standard output.
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
            panic!("in {}: {program}: {error}{}", self.name, remedy(program, &error))
        });
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A command in the namespace, which the caller completes and starts.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command.stdin(Stdio::null());
        command
    }

    /// Runs shell commands in the namespace, and panics at the first failure. Returns the standard
    /// output.
    pub fn sh(&self, script: &str) -> String {
        self.run(&["sh", "-ec", script])
    }

    /// Runs `work` in a thread in this namespace. Sockets that it makes stay in the namespace.
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

    /// Whether `address` answers the first packet within a second. IPv4 or IPv6.
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

/// The remedy for a program of the tests that cannot be started.
pub(crate) fn remedy(program: &str, error: &std::io::Error) -> String {
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
