//! A folder with plugins, networks and a cache, all of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

pub struct Bed(TempDir);

const CONTAINER: [&str; 2] = ["--container-id", "c"];

/// The outcome of a command.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bed {
    pub fn new() -> Bed {
        let bed = Bed(TempDir::new().unwrap());
        for dir in ["bin", "net.d"] {
            fs::create_dir(bed.path(dir)).unwrap();
        }
        bed
    }

    /// A bed with the network `net` of two plugins, `one` and `two`, which answer ADD with an
    /// address.
    pub fn with_network(version: &str) -> Bed {
        let bed = Bed::new();
        let plugins = json!([{ "type": "one" }, { "type": "two" }]);
        let list = json!({ "name": "net", "cniVersion": version, "plugins": plugins });
        bed.file("net.d/net.conflist", list.to_string());
        bed.answers("one", r#"{"ips": [{"address": "10.1.0.2/16"}]}"#);
        bed.answers("two", r#"{"ips": [{"address": "10.1.0.2/16"}]}"#);
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// A plugin that prints this for ADD, and nothing for other verbs.
    pub fn answers(&self, name: &str, result: &str) {
        self.plugin(name, &format!("[ $CNI_COMMAND != ADD ] || echo '{result}'"));
    }

    /// A plugin that fails ADD, and succeeds with everything else.
    pub fn refuses(&self, name: &str) {
        let body = r#"[ $CNI_COMMAND != ADD ] || { echo '{"code": 100, "msg": "no"}'; exit 1; }"#;
        self.plugin(name, body);
    }

    pub fn plugin(&self, name: &str, body: &str) {
        let dir = self.0.path().display();
        let script = format!(
            "#!/bin/sh\ncat > {dir}/{name}.$CNI_COMMAND\necho \"$CNI_COMMAND {name}\" >> \
             {dir}/log\n{body}\n"
        );
        let file = self.path("bin").join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The file of the cache for container `c` on the network `net`.
    pub fn entry(&self) -> PathBuf {
        self.path("cache/results/net-c-eth0")
    }

    fn arguments(&self, verb: &str, network: &str) -> Vec<String> {
        let words: &[&str] = match verb {
            "gc" => &[verb, network],
            _ => &[verb, network, "/nowhere"],
        };
        words.iter().copied().map(str::to_owned).chain(self.folders()).collect()
    }

    fn folders(&self) -> [String; 3] {
        let options = [("--cache-dir", "cache"), ("--conf-dir", "net.d"), ("--path", "bin")];
        options.map(|(option, dir)| format!("{option}={}", self.path(dir).display()))
    }

    /// cnitool with these arguments and the folders of the bed.
    pub fn run_bare(&self, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        finish(command.args(args).args(self.folders()))
    }

    /// `cnitool VERB NETWORK` for container `c`.
    pub fn run(&self, verb: &str, network: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        finish(command.args(self.arguments(verb, network)).args(CONTAINER))
    }

    /// `cnitool VERB NETWORK` without a container ID, which is then derived from the path of the
    /// namespace.
    pub fn run_without_id(&self, verb: &str, network: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        finish(command.args(self.arguments(verb, network)))
    }

    /// `cnitool VERB NETWORK` for container `c`, with a cache on a read-only file system.
    pub fn run_read_only(&self, verb: &str, network: &str) -> Run {
        let mut command = Command::new("unshare");
        let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
        command.args(["--mount", "sh", "-c", script]).arg(self.path("cache"));
        command.arg(env!("CARGO_BIN_EXE_cnitool"));
        finish(command.args(self.arguments(verb, network)).args(CONTAINER))
    }

    /// `cnitool lint --json` of the networks, without asking their plugins.
    pub fn lint(&self) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        let run = finish(command.args(["lint", "--no-host", "--json"]).arg(self.path("net.d")));
        serde_json::from_str(&run.stdout).unwrap()
    }

    /// The calls so far, forgotten then.
    pub fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        fs::write(self.path("log"), "").unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// The `prevResult` of a plugin's last call with this verb; null if it had none.
    pub fn prev(&self, plugin: &str, verb: &str) -> Value {
        self.stdin(plugin, verb)["prevResult"].clone()
    }

    /// What a plugin read in its last call with this verb.
    pub fn stdin(&self, plugin: &str, verb: &str) -> Value {
        let text = fs::read(self.path(&format!("{plugin}.{verb}"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

fn finish(command: &mut Command) -> Run {
    for variable in ["CNI_ARGS", "CAP_ARGS", "CNI_IFNAME", "CNI_PATH", "NETCONFPATH"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
