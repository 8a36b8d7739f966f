//! buildah on a machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::Output;

use crate::machine::{NETWORKS, PLUGINS, client, output};
use crate::storage::Storage;
use crate::{IMAGE, Machine, image};

/// buildah with the image, and a container `CONTAINER` from it.
#[derive(Debug)]
pub struct Buildah {
    storage: Storage,
    folder: PathBuf,
    plugins: PathBuf,
}

/// The container in which [`Buildah::run`] runs commands.
const CONTAINER: &str = "working";

impl Buildah {
    /// Uses the installed plugins.
    pub fn new(machine: &Machine) -> Buildah {
        Buildah::with_plugins(machine, Path::new(PLUGINS))
    }

    /// Uses the plugins in another directory.
    pub fn with_plugins(machine: &Machine, plugins: &Path) -> Buildah {
        let (storage, folder) = (Storage::new(machine, &[plugins]), machine.folder("buildah"));
        let buildah = Buildah { storage, folder, plugins: plugins.to_owned() };
        let archive = buildah.folder.join("image.tar");
        image::image(&archive);
        let archive = format!("docker-archive:{}", archive.display());
        for arguments in [&["pull", "--quiet", &archive][..], &["from", "--name", CONTAINER, IMAGE]]
        {
            let pulled = output(buildah.storage.command("buildah").args(arguments));
            assert!(pulled.status.success(), "buildah {}: {}", arguments.join(" "), pulled.stderr);
        }
        buildah
    }

    /// Runs a command in the container, connected to a network: `buildah run`.
    pub fn run(&self, network: &str, command: &[&str]) -> Output {
        output(self.networked("run", network).args([CONTAINER, "--"]).args(command))
    }

    /// Builds an image, with each `RUN` connected to a network: `buildah bud`.
    pub fn build(&self, network: &str, runs: &[&str]) -> Output {
        let context = self.folder.join("context");
        fs::create_dir_all(&context).unwrap();
        let file = context.join("Containerfile");
        let lines: String = runs.iter().map(|run| format!("RUN {run}\n")).collect();
        fs::write(&file, format!("FROM {IMAGE}\n{lines}")).unwrap();
        output(self.networked("bud", network).args(["--tag", "built", "--no-cache"]).arg(context))
    }

    /// With all network options on the command line.
    fn networked(&self, verb: &str, network: &str) -> Command {
        let mut command = self.storage.command("buildah");
        command.args([verb, "--isolation", "oci", "--runtime"]);
        command.arg(client("containerd", "usr/sbin/runc"));
        command.args(["--network", network, "--cni-config-dir", NETWORKS, "--cni-plugin-path"]);
        command.arg(&self.plugins);
        command
    }
}
