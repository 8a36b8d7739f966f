//! What podman and buildah share: their settings, and the store that images are in.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Machine;
use crate::machine::{NETWORKS, client};

/// A store of images and the settings to use it with. Nothing of the machine's own is read or written.
#[derive(Debug)]
pub struct Storage(PathBuf);

impl Storage {
    /// An empty store. Plugins are looked for in these folders, networks where [`Machine::network`] puts them.
    pub fn new(machine: &Machine, plugins: &[&Path]) -> Storage {
        let storage = Storage(machine.folder("containers"));
        let folder = storage.0.display();
        let anything = r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#;
        let store = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{folder}/root\"\nrunroot = \"{folder}/run\"\n"
        );
        for (file, text) in [
            ("containers.conf", storage.settings(plugins)),
            ("storage.conf", store),
            ("registries.conf", String::new()),
            ("home/.config/containers/policy.json", anything.to_owned()),
        ] {
            let file = storage.0.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::create_dir_all(storage.0.join("tmp")).unwrap();
        storage
    }

    /// `podman` or `buildah`, with its arguments to come.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(client("podman", &format!("usr/bin/{program}")));
        command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_CONFIG_HOME");
        command.envs(self.environment()).env("TMPDIR", self.0.join("tmp")).stdin(Stdio::null());
        command
    }

    /// What its programs, and those that they start, are to know.
    fn environment(&self) -> [(&'static str, String); 6] {
        let path = std::env::var("PATH").unwrap_or_default();
        let (own, runc) = (client("podman", "usr/bin"), client("containerd", "usr/sbin"));
        let file = |name| self.0.join(name).display().to_string();
        [
            ("PATH", format!("{}:{}:{path}:/usr/sbin:/sbin", own.display(), runc.display())),
            (
                "LD_LIBRARY_PATH",
                client("podman", "usr/lib").join(format!("{ARCH}-linux-gnu")).display().to_string(),
            ),
            ("HOME", file("home")),
            ("CONTAINERS_CONF", file("containers.conf")),
            ("CONTAINERS_STORAGE_CONF", file("storage.conf")),
            ("CONTAINERS_REGISTRIES_CONF", file("registries.conf")),
        ]
    }

    /// `containers.conf`. When a container ends, conmon starts podman to clean up, so it has to know the environment.
    fn settings(&self, plugins: &[&Path]) -> String {
        let environment = self.environment().map(|(name, value)| format!("{name}={value}"));
        format!(
            r#"[containers]
default_sysctls = []
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
conmon_path = [{conmon:?}, "/usr/bin/conmon"]
conmon_env_vars = {environment:?}
events_logger = "file"
infra_image = "{image}"
lock_type = "file"
runtime = "runc"
tmp_dir = "{folder}/tmp"
[engine.runtimes]
runc = [{runc:?}]
[network]
network_backend = "cni"
cni_plugin_dirs = {plugins:?}
network_config_dir = "{NETWORKS}"
"#,
            conmon = client("podman", "usr/bin").join("conmon"),
            image = crate::IMAGE,
            folder = self.0.display(),
            runc = client("containerd", "usr/sbin/runc"),
        )
    }
}
