//! The settings and the image store of podman and buildah.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Machine;
use crate::machine::{NETWORKS, client};

/// An image store, and the settings to use it. It is independent of the machine's.
#[derive(Debug)]
pub struct Storage(PathBuf);

impl Storage {
    /// An empty store. podman searches for plugins in these directories, and for networks where
    /// [`Machine::network`] puts them.
    pub fn new(machine: &Machine, plugins: &[&Path]) -> Storage {
        let storage = Storage(machine.folder("containers"));
        let folder = storage.0.display();
        let anything = r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#;
        let store = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{folder}/root\"\nrunroot = \
             \"{folder}/run\"\n"
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

    /// `podman` or `buildah`, to which the caller adds arguments.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(client("podman", &format!("usr/bin/{program}")));
        command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_CONFIG_HOME");
        command.envs(self.environment()).env("TMPDIR", self.0.join("tmp")).stdin(Stdio::null());
        command
    }

    /// The environment of its programs, and of those that they start.
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

    /// `containers.conf`. At the end of a container, conmon starts podman to clean up, so it must
    /// have the environment, too.
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
