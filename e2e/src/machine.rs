//! A machine with the plugins installed.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testbed::{Node, Output};

/// The directory where runtimes search for plugins.
pub const PLUGINS: &str = "/opt/cni/bin";
/// The directory where runtimes search for network configurations.
pub const NETWORKS: &str = "/etc/cni/net.d";
/// The directory for the runtimes' own files; not part of the [state](Node::state).
const SCRATCH: &str = "/run/testbed";

/// A [`Node`] with a private `/opt/cni`, into which `scripts/install` has installed the built
/// plugins.
#[derive(Debug)]
pub struct Machine(Node);

impl Machine {
    /// Makes the calling thread a machine. It has no networks yet.
    ///
    /// # Panics
    ///
    /// As [`Node::new`], outside of `scripts/node`, and if the plugins cannot be installed.
    #[allow(clippy::new_without_default, reason = "it changes the calling thread: not a default")]
    pub fn new() -> Machine {
        let first = fs::read_to_string("/proc/1/cmdline").unwrap_or_default();
        assert!(
            first.contains("scripts/node"),
            "runtimes leave processes behind: run this by scripts/e2e, or in scripts/node"
        );
        let node = Node::new();
        node.own("/opt/cni");
        fs::create_dir(NETWORKS).unwrap();
        let mut install = Command::new(project().join("scripts/install"));
        let output = install.arg("--from").arg(testbed::bin()).arg(PLUGINS).output().unwrap();
        assert!(
            output.status.success(),
            "scripts/install: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Machine(node)
    }

    /// Configures a network in a file of its name, which appears at once and complete.
    pub fn network(&self, list: Value) {
        let name = list["name"].as_str().expect("a network has a name");
        let file = Path::new(NETWORKS).join(format!("{name}.conflist"));
        let new = file.with_extension("new");
        fs::write(&new, format!("{list:#}\n")).unwrap();
        fs::rename(new, file).unwrap();
    }

    /// Removes the configuration of a network.
    pub fn forget(&self, name: &str) {
        fs::remove_file(Path::new(NETWORKS).join(format!("{name}.conflist"))).unwrap();
    }

    /// A new directory for the files of a runtime.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = Path::new(SCRATCH).join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The state of the machine, as [`Node::state`], without the files of the runtimes.
    pub fn state(&self) -> String {
        let of_a_runtime = |line: &&str| {
            let path = line.split_whitespace().nth(2).unwrap_or_default();
            ["/run/containerd", "/run/nri", "/run/runc", "/var/lib/cni/results"]
                .iter()
                .any(|folder| path.starts_with(folder))
        };
        let state = self.0.state();
        state.split_inclusive('\n').filter(|line| !of_a_runtime(line)).collect()
    }

    /// The differences from the state before. The MAC address of a bridge, which is random, becomes
    /// `MAC`.
    pub fn changes(&self, before: &str) -> String {
        let changes = testbed::diff(before, &self.state());
        let line = |line: &str| match (line.contains(" bridge "), line.split_once(" mac ")) {
            (true, Some((start, _))) => format!("{start} mac MAC\n"),
            _ => format!("{line}\n"),
        };
        changes.lines().map(line).collect()
    }

    /// The network namespaces of containers.
    pub fn namespaces(&self) -> Vec<String> {
        let names = fs::read_dir("/run/netns").unwrap().map(|entry| {
            entry.unwrap().file_name().into_string().expect("namespaces have plain names")
        });
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// The files of host-local's reservations: `NETWORK/ADDRESS`.
    pub fn reservations(&self) -> Vec<String> {
        let found = self.sh("cd /var/lib/cni/networks 2>/dev/null || exit 0
            find . -path ./.index -prune -o -type f ! -name lock ! -name 'last_reserved_ip.*' -print | sort");
        found.lines().map(|line| line.trim_start_matches("./").to_owned()).collect()
    }
}

impl Deref for Machine {
    type Target = Node;
    fn deref(&self) -> &Node {
        &self.0
    }
}

/// The directory of the sources.
pub fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    folder.to_owned()
}

/// A program of a runtime that `scripts/e2e` has unpacked: `client("containerd", "usr/bin/ctr")`.
///
/// # Panics
///
/// If it is missing.
pub fn client(name: &str, file: &str) -> PathBuf {
    let folder = std::env::var_os("FERROCNI_CLIENTS")
        .map_or_else(|| project().join("target/clients"), PathBuf::from);
    let path = folder.join(name).join(file);
    assert!(path.exists(), "{} is not there: run scripts/e2e, which fetches it", path.display());
    path
}

/// The outcome of a command.
///
/// # Panics
///
/// If it cannot be started.
pub fn output(command: &mut Command) -> Output {
    let output = command.output();
    let output =
        output.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}
