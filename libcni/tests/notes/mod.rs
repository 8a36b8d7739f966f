//! Runs the example plugin `notes` as a container runtime would, in a folder of its own.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![cfg(test)]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A network called `pods`, with a folder for its notes and its IPAM plugin.
#[derive(Debug)]
pub struct Network {
    folder: TempDir,
    pub config: Value,
}

/// What the plugin printed, and its exit status.
#[derive(Debug)]
pub struct Answer {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Network {
    pub fn new() -> Network {
        let config =
            json!({"cniVersion": "1.1.0", "name": "pods", "type": "notes", "remark": "hello"});
        Network { folder: tempfile::tempdir().unwrap(), config }
    }

    /// Sets a key of the configuration.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Network {
        self.config[key] = value.into();
        self
    }

    /// Uses an IPAM plugin written in shell. It logs the commands it gets.
    pub fn ipam(self, script: &str) -> Network {
        let file = self.folder.path().join("fake");
        let script = format!("#!/bin/sh\necho $CNI_COMMAND >> $0.log\ncat > $0.stdin\n{script}\n");
        std::fs::write(&file, script).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        self.with("ipam", json!({"type": "fake"}))
    }

    /// An IPAM plugin that answers ADD with this.
    pub fn ipam_says(self, result: &str) -> Network {
        self.ipam(&format!("case $CNI_COMMAND in ADD) echo '{result}';; REPAIR) echo '[]';; esac"))
    }

    /// Has ADD succeed, and takes what it answered as `prevResult`.
    pub fn added(self) -> Network {
        let result: Value = serde_json::from_str(self.call("ADD").ok()).unwrap();
        self.with("prevResult", result)
    }

    /// The commands the IPAM plugin got, in order.
    pub fn ipam_commands(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("fake.log")).unwrap_or_default();
        log.lines().collect::<Vec<_>>().join(" ")
    }

    /// Each note and what it says.
    pub fn notes(&self) -> Vec<(String, String)> {
        let Ok(notes) = std::fs::read_dir(self.notes_folder()) else { return Vec::new() };
        let read = |path: PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        };
        let mut notes: Vec<_> = notes.map(|note| read(note.unwrap().path())).collect();
        notes.sort();
        notes
    }

    pub fn notes_folder(&self) -> PathBuf {
        self.folder.path().join("cni-notes/pods")
    }

    /// Where the IPAM plugin is.
    pub fn bin(&self) -> &Path {
        self.folder.path()
    }

    /// A call about `eth0` of container `c1`.
    pub fn call(&self, verb: &str) -> Answer {
        self.call_with(verb, &[], &self.config.to_string())
    }

    /// A call with variables set, or unset if empty, and something on stdin.
    pub fn call_with(&self, verb: &str, env: &[(&str, &str)], stdin: &str) -> Answer {
        let mut command = self.command();
        command.env("CNI_COMMAND", verb).env("CNI_CONTAINERID", "c1").env("CNI_IFNAME", "eth0");
        command.env("CNI_NETNS", "/run/netns/none").env("CNI_PATH", self.bin());
        command.envs(env.iter().copied());
        run(command, stdin.as_bytes())
    }

    /// The plugin without anything in its environment but what it needs to run.
    pub fn command(&self) -> Command {
        let mut command = Command::new(example());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TMPDIR", self.folder.path());
        command
    }
}

impl Answer {
    /// The answer of a call that worked.
    pub fn ok(&self) -> &str {
        assert_eq!(self.status, 0, "{self:?}");
        &self.stdout
    }

    /// The code, message and details of a call that failed as the protocol wants it.
    pub fn err(&self) -> (u64, String, String) {
        assert_eq!(self.status, 1, "{self:?}");
        let error: Value = serde_json::from_str(&self.stdout).unwrap();
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (error["code"].as_u64().unwrap(), text("msg"), text("details"))
    }

    /// That the call failed with this code and message.
    #[track_caller]
    pub fn is_error(&self, code: u64, msg: &str) {
        let (found, text, _) = self.err();
        assert_eq!((found, text.as_str()), (code, msg));
    }
}

/// Runs a plugin to its end.
pub fn run(mut command: Command, stdin: &[u8]) -> Answer {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A plugin may refuse the call before it reads.
    child.stdin.take().unwrap().write_all(stdin).ok();
    let output = child.wait_with_output().unwrap();
    Answer {
        status: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The example's binary: cargo builds it beside this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("examples/notes");
    assert!(binary.exists(), "run cargo build -p libcni --examples first");
    binary
}
