//! podman on a machine.

use std::path::Path;

use serde_json::Value;
use testbed::{Output, Pod};

use crate::machine::{PLUGINS, output};
use crate::storage::Storage;
use crate::{IMAGE, Machine, image};

/// podman with its CNI backend, and the image.
#[derive(Debug)]
pub struct Podman(Storage);

impl Podman {
    /// Uses the installed plugins.
    pub fn new(machine: &Machine) -> Podman {
        Podman::with_plugins(machine, &[Path::new(PLUGINS)])
    }

    /// Searches for plugins in these directories.
    pub fn with_plugins(machine: &Machine, plugins: &[&Path]) -> Podman {
        let podman = Podman(Storage::new(machine, plugins));
        let archive = machine.folder("podman").join("image.tar");
        image::image(&archive);
        podman.run(&["load", "--quiet", "--input", &archive.to_string_lossy()]);
        podman
    }

    /// Runs podman, which may fail.
    pub fn try_run(&self, arguments: &[&str]) -> Output {
        output(self.0.command("podman").args(arguments))
    }

    /// Runs podman, which must succeed. Returns the standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.try_run(arguments);
        assert!(status.success(), "podman {}: {stdout}{stderr}", arguments.join(" "));
        stdout
    }

    /// Starts a container in the background. Returns its network namespace.
    pub fn start(&self, name: &str, options: &[&str], command: &[&str]) -> Pod {
        self.run(&[&["run", "--detach", "--name", name], options, &[IMAGE], command].concat());
        self.pod(name)
    }

    /// A container's network namespace.
    pub fn pod(&self, name: &str) -> Pod {
        let settings = self.inspect(name);
        let path = settings["SandboxKey"].as_str().filter(|path| !path.is_empty());
        Pod::at(name, path.unwrap_or_else(|| panic!("{name} has no namespace: {settings:#}")))
    }

    /// The network of a container, as podman reports it: its `NetworkSettings`.
    pub fn inspect(&self, name: &str) -> Value {
        let said = self.run(&["inspect", "--format", "{{json .NetworkSettings}}", name]);
        serde_json::from_str(&said).expect("podman prints JSON")
    }

    /// The addresses of a container on a network, as podman reports them: IPv4, IPv6.
    pub fn addresses(&self, name: &str, network: &str) -> Vec<String> {
        let settings = self.inspect(name);
        let of = &settings["Networks"][network];
        let found = ["IPAddress", "GlobalIPv6Address"].map(|key| of[key].as_str().unwrap_or(""));
        found.into_iter().filter(|address| !address.is_empty()).map(Into::into).collect()
    }

    /// Removes all containers and pods.
    pub fn remove_all(&self) {
        self.run(&["pod", "rm", "--all", "--force", "--time", "0"]);
        self.run(&["rm", "--all", "--force", "--time", "0"]);
    }
}
