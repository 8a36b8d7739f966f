//! A network for which a test calls host-local.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

pub const OURS: &str = env!("CARGO_BIN_EXE_host-local");

/// The reference's binary.
pub fn theirs() -> &'static str {
    let path = "/usr/lib/cni/host-local";
    assert!(Path::new(path).exists(), "{path} is missing: install containernetworking-plugins");
    path
}

/// A directory for reservations, and an `ipam` object that names it.
pub struct Net {
    pub dir: TempDir,
    pub config: Value,
}

/// The outcome of a call: the printed JSON, or null; as an error if it failed.
pub type Outcome = Result<Value, Value>;

impl Net {
    /// A network named `pods`, of version 1.0.0 if the configuration does not say, `ipam.dataDir`
    /// being a new directory.
    pub fn new(mut config: Value) -> Net {
        let dir = tempfile::tempdir().unwrap();
        config["name"] = "pods".into();
        config["type"] = "bridge".into();
        config["ipam"]["type"] = "host-local".into();
        config["ipam"]["dataDir"] = dir.path().to_str().unwrap().into();
        if config.get("cniVersion").is_none() {
            config["cniVersion"] = "1.0.0".into();
        }
        Net { dir, config }
    }

    /// A network with one range set of one subnet.
    pub fn of(subnet: &str) -> Net {
        Net::new(json!({"ipam": {"subnet": subnet}}))
    }

    pub fn add(&self, binary: &str, container: &str) -> Outcome {
        self.call(binary, "ADD", &format!("{container} eth0"))
    }

    pub fn del(&self, binary: &str, container: &str) -> Outcome {
        self.call(binary, "DEL", &format!("{container} eth0"))
    }

    /// Runs a verb for `container ifname [CNI_ARGS]`.
    pub fn call(&self, binary: &str, verb: &str, target: &str) -> Outcome {
        self.call_with(Command::new(binary), verb, target, &self.config)
    }

    pub fn call_with(
        &self,
        mut command: Command,
        verb: &str,
        target: &str,
        stdin: &Value,
    ) -> Outcome {
        let mut words = target.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let command = command
            .env_clear()
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", word())
            .env("CNI_IFNAME", word())
            .env("CNI_ARGS", word())
            .env("CNI_NETNS", "/run/netns/not-looked-at")
            .env("CNI_PATH", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("run {:?} (is it installed?): {error}", command.get_program())
        });
        child.stdin.take().unwrap().write_all(stdin.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let printed = match output.stdout.is_empty() {
            true => Value::Null,
            // Killed while it printed.
            false if output.status.code().is_none() => Value::Null,
            false => serde_json::from_slice(&output.stdout).unwrap(),
        };
        if output.status.success() { Ok(printed) } else { Err(printed) }
    }

    /// The files of the network: mode and content by name.
    pub fn files(&self) -> BTreeMap<String, String> {
        let Ok(entries) = fs::read_dir(self.dir.path().join("pods")) else {
            return BTreeMap::new();
        };
        let read = |entry: fs::DirEntry| {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let content = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), format!("{mode:o} {content}"))
        };
        entries.map(|entry| read(entry.unwrap())).collect()
    }

    /// The names of the files that stand for addresses.
    pub fn taken(&self) -> Vec<String> {
        self.files()
            .into_keys()
            .filter(|name| name.contains(['.', ':']) && !name.starts_with(['l', '.']))
            .collect()
    }

    pub fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.dir.path().join("pods")).unwrap();
        fs::write(self.dir.path().join("pods").join(name), content).unwrap();
    }
}

/// The addresses of a result.
pub fn addresses(outcome: &Outcome) -> Vec<String> {
    let ips = outcome.as_ref().unwrap()["ips"].as_array().unwrap();
    ips.iter().map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

/// The code and the message of an error.
pub fn error(outcome: Outcome) -> (u64, String) {
    let error = outcome.unwrap_err();
    (error["code"].as_u64().unwrap(), error["msg"].as_str().unwrap().to_owned())
}

/// A network of two families and two range sets, with routes.
pub fn dual(version: &str) -> Net {
    Net::new(json!({"cniVersion": version, "ipam": {
        "ranges": [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.2.2.0/24"}], [{"subnet": "2001:db8:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9"}, {"dst": "::/0"}],
    }}))
}
