//! containerd on a machine.

use std::fs::{self, File};
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::machine::{NETWORKS, PLUGINS, client};
use crate::{Cri, Machine, image};

/// A release of containerd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The release of the distribution: 1.6 in Debian 12.
    Stable,
    /// Debian's newest release: 2.1 or later, which calls STATUS.
    Newest,
}

/// A running containerd, and a connection to it.
#[derive(Debug)]
pub struct Containerd {
    release: Release,
    plugins: PathBuf,
    folder: PathBuf,
    daemon: Option<Child>,
    cri: Cri,
}

impl Release {
    /// The release that `E2E_CONTAINERD` selects: `stable` (default) or `newest`.
    pub fn asked() -> Release {
        match std::env::var("E2E_CONTAINERD").as_deref() {
            Ok("stable") | Err(_) => Release::Stable,
            Ok("newest") => Release::Newest,
            Ok(other) => panic!("E2E_CONTAINERD={other}: stable or newest"),
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Release::Stable => "containerd",
            Release::Newest => "containerd-new",
        }
    }

    /// The directories of its programs. runc is the distribution's.
    fn path(self) -> String {
        let folders = [client(self.folder(), "usr/bin"), client("containerd", "usr/sbin")];
        let mut path: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        path.push(std::env::var("PATH").unwrap_or_default());
        path.extend(["/usr/sbin".to_owned(), "/sbin".to_owned()]);
        path.join(":")
    }
}

impl Containerd {
    /// Starts containerd with the installed plugins and the networks of the machine, and imports
    /// the image.
    pub fn start(machine: &Machine, release: Release) -> Containerd {
        Containerd::with_plugins(machine, release, Path::new(PLUGINS))
    }

    /// As [`start`](Containerd::start), with the plugins in another directory.
    pub fn with_plugins(machine: &Machine, release: Release, plugins: &Path) -> Containerd {
        let folder = machine.folder("containerd");
        let cri = Cri::new(&folder.join("containerd.sock"));
        let plugins = plugins.to_owned();
        let mut containerd = Containerd { release, plugins, folder, daemon: None, cri };
        containerd.restart();
        let archive = containerd.folder.join("image.tar");
        image::image(&archive);
        for namespace in ["k8s.io", "default"] {
            containerd.ctr(&["-n", namespace, "images", "import", &archive.to_string_lossy()]);
        }
        containerd
    }

    /// Starts containerd again after it was [killed](Containerd::kill), or with changed settings.
    pub fn restart(&mut self) {
        assert!(self.daemon.is_none(), "it runs");
        let config = self.folder.join("config.toml");
        fs::write(&config, self.config()).unwrap();
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let mut command = Command::new(client(self.release.folder(), "usr/bin/containerd"));
        command.arg("-c").arg(config).env("PATH", self.release.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // The daemon must not get signals to the test's process group: the test ends it.
        self.daemon = Some(command.process_group(0).spawn().expect("start containerd"));
        let deadline = Instant::now() + Duration::from_secs(60);
        // By then it has also read the networks.
        while let Err(reason) = self.cri.network() {
            let ended = self.daemon.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "containerd does not answer: {reason}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// containerd's own configuration (`config.toml`, version 2).
    fn config(&self) -> String {
        let folder = self.folder.display();
        let plugins = self.plugins.display();
        // Without the privilege to lower the OOM score, it must not try.
        format!(
            r#"version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{NETWORKS}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"#,
            image = image::IMAGE,
        )
    }

    /// Configures a network on the machine, and waits until containerd has read it.
    pub fn network_on(&self, machine: &Machine, list: &Value) {
        machine.network(list.clone());
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let known = self.cri.network().expect("ask for the network");
            let mut networks = known.config["Networks"].as_array().into_iter().flatten();
            let source = |network: &Value| -> Option<Value> {
                serde_json::from_str(network["Config"]["Source"].as_str()?).ok()
            };
            if networks.any(|network| source(network).is_some_and(|source| source == *list)) {
                return;
            }
            assert!(Instant::now() < deadline, "{list:#} is not read: {known:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs `work` with a connection of its own in a thread of its own: the caller may interfere
    /// meanwhile.
    pub fn meanwhile<T: Send + 'static>(
        &self,
        work: impl FnOnce(Cri) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let socket = self.folder.join("containerd.sock");
        std::thread::spawn(move || work(Cri::new(&socket)))
    }

    /// The client command of containerd, to which the caller adds arguments.
    pub fn ctr_command(&self) -> Command {
        let mut command = Command::new(client(self.release.folder(), "usr/bin/ctr"));
        command.env("PATH", self.release.path());
        command.arg("--address").arg(self.folder.join("containerd.sock")).stdin(Stdio::null());
        command
    }

    /// Runs `ctr`, which must succeed. Returns the standard output.
    pub fn ctr(&self, arguments: &[&str]) -> String {
        let output = self.ctr_command().args(arguments).output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "ctr {}: {}{}", arguments.join(" "), said[0], said[1]);
        said[0].clone()
    }

    /// Kills containerd with SIGKILL. The pods continue to run.
    pub fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        daemon.kill().and_then(|()| daemon.wait()).expect("kill containerd");
    }

    /// Stops containerd. The pods, if any, continue to run.
    pub fn stop(mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        kill(Pid::from_raw(daemon.id() as i32), Signal::SIGTERM).expect("stop containerd");
        daemon.wait().expect("wait for containerd");
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Deref for Containerd {
    type Target = Cri;
    fn deref(&self) -> &Cri {
        &self.cri
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            self.kill();
        }
    }
}
