//! A folder with plugins, configurations and a cache, all of one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libcni::runtime::{AttachmentConfig, Cache, NetworkConfig, Runtime};
use libcni::{Attachment, ContainerId, Error, IfName, NetworkName};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a well-behaved plugin does: ADD answers with an address, the other verbs with nothing.
pub const ANSWERS: &str =
    r#"[ "$CNI_COMMAND" != ADD ] || echo '{"ips": [{"address": "10.1.0.2/16"}]}'"#;

pub struct Bed {
    dir: TempDir,
}

impl Bed {
    pub fn new() -> Bed {
        let bed = Bed { dir: TempDir::new().unwrap() };
        fs::create_dir(bed.path("bin")).unwrap();
        fs::create_dir(bed.path("net.d")).unwrap();
        bed
    }

    /// A bed with well-behaved plugins of these names.
    pub fn with(plugins: &[&str]) -> Bed {
        let bed = Bed::new();
        for plugin in plugins {
            bed.plugin(plugin, ANSWERS);
        }
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn file(&self, name: &str, text: &str) {
        let file = self.path(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// A script that notes its call, keeps what it got, and goes on with `body`.
    pub fn plugin(&self, name: &str, body: &str) {
        let dir = self.dir.path().display();
        let kept = format!("{dir}/{name}.$CNI_COMMAND");
        self.script(
            name,
            &format!(
                "cat > {kept}.stdin\nenv > {kept}.env\necho \"$CNI_COMMAND {name} \
                 $CNI_CONTAINERID\" >> {dir}/log\n{body}"
            ),
        );
    }

    pub fn script(&self, name: &str, body: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn runtime(&self) -> Runtime<'static> {
        Runtime::new(vec![self.path("bin")], self.cache())
    }

    pub fn cache(&self) -> Cache {
        Cache::new(self.path("cache"))
    }

    /// The file the reference would use for an attachment of the network `net`.
    pub fn cached_file(&self, name: &str) -> PathBuf {
        self.path("cache/results").join(name)
    }

    /// The calls so far, each as verb, plugin and container; forgotten then.
    pub fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        fs::write(self.path("log"), "").unwrap();
        log.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// What a plugin read in its last call with this verb.
    pub fn stdin(&self, plugin: &str, verb: &str) -> Value {
        let text = fs::read(self.path(&format!("{plugin}.{verb}.stdin"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// A variable in a plugin's last call with this verb.
    pub fn env(&self, plugin: &str, verb: &str, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.path(&format!("{plugin}.{verb}.env"))).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.map(str::to_owned)
    }
}

/// The network `net` of these plugins, in this version.
pub fn network(version: &str, plugins: &[&str]) -> NetworkConfig {
    let plugins: Vec<_> = plugins.iter().map(|kind| json!({ "type": kind })).collect();
    list(json!({ "name": "net", "cniVersion": version, "plugins": plugins }))
}

pub fn list(config: Value) -> NetworkConfig {
    NetworkConfig::parse(config.to_string().as_bytes()).unwrap()
}

pub fn attachment(container: &str) -> Attachment {
    Attachment {
        container: ContainerId::new(container).unwrap(),
        ifname: IfName::new("eth0").unwrap(),
    }
}

pub fn pod(container: &str) -> AttachmentConfig {
    let Attachment { container, ifname } = attachment(container);
    let netns = format!("/run/netns/{container}");
    AttachmentConfig::new(container, ifname, netns)
}

pub fn net() -> NetworkName {
    NetworkName::new("net").unwrap()
}

/// The error of something that has to fail.
pub fn error<T: std::fmt::Debug>(result: libcni::Result<T>) -> Error {
    result.unwrap_err()
}

/// The text with the bed's folder taken out.
pub fn without(dir: &Path, text: &str) -> String {
    text.replace(&dir.display().to_string(), "DIR")
}
