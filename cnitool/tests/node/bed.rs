//! A node with a network `pods`, and cnitool on it.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use testbed::{Node, Pod};

pub const RESULTS: &str = "/var/lib/cni/results";
pub const NETWORKS: &str = "/var/lib/cni/networks";
pub const CONF: &str = "/etc/cni/net.d/pods.conflist";

/// A directory for plugins of the test's own, which come before those of the suite.
pub const OWN: &str = "/run/bin";

/// What a run of cnitool came to.
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    /// Standard error without what gc says it removes, unless it failed.
    pub stderr: String,
    /// All of standard error.
    pub said: String,
}

pub struct Bed(Node);

impl Deref for Bed {
    type Target = Node;
    fn deref(&self) -> &Node {
        &self.0
    }
}

/// A network of a bridge that takes addresses of these ranges.
pub fn network(name: &str, version: &str, ranges: Value) -> Value {
    let ipam = json!({ "type": "host-local", "ranges": ranges });
    let bridge = json!({ "type": "bridge", "bridge": name, "isGateway": true, "ipam": ipam });
    json!({ "name": name, "cniVersion": version, "plugins": [bridge] })
}

impl Bed {
    /// A node with a network of one /24.
    pub fn new() -> Bed {
        Bed::with(&network("pods", "1.1.0", json!([[{ "subnet": "10.88.0.0/24" }]])))
    }

    /// A node with a network of any configuration.
    pub fn with(conf: &Value) -> Bed {
        let bed = Bed(Node::new());
        bed.configure(conf);
        bed
    }

    pub fn configure(&self, conf: &Value) {
        fs::create_dir_all("/etc/cni/net.d").unwrap();
        let file = format!("/etc/cni/net.d/{}.conflist", conf["name"].as_str().unwrap());
        fs::write(file, conf.to_string()).unwrap();
    }

    /// The built cnitool, or a shell that knows it, with none of our environment's settings.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap();
        command.env_clear().env("PATH", format!("{}:{path}", testbed::bin().display()));
        command.env("CNI_PATH", format!("{OWN}:{}", testbed::bin().display()));
        command
    }

    pub fn cnitool(&self, args: &[&str]) -> Run {
        run(self.command(&testbed::binary("cnitool")).args(args))
    }

    /// As wide as a terminal has columns.
    pub fn narrow(&self, columns: usize) -> String {
        let mut command = self.command(&testbed::binary("cnitool"));
        run(command.arg("ls").env("COLUMNS", columns.to_string())).ok()
    }

    /// Types what somebody is told to.
    pub fn shell(&self, script: &str) -> Run {
        run(self.command(Path::new("sh")).args(["-ec", script]))
    }

    /// What `ls` says.
    #[track_caller]
    pub fn ls(&self) -> String {
        self.cnitool(&["ls"]).ok()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.cnitool(&["ls", "--json"]).ok()).unwrap()
    }

    /// A container `id` of its own namespace, joined to the network `pods`.
    #[track_caller]
    pub fn add(&self, id: &str) -> Pod {
        self.join("pods", id, &[])
    }

    #[track_caller]
    pub fn join(&self, network: &str, id: &str, more: &[&str]) -> Pod {
        let pod = self.pod(id);
        let args = ["add", network, id, "--container-id", id];
        self.cnitool(&[&args, more].concat()).ok();
        pod
    }

    /// Deletes a container's namespace, and waits for the kernel, which takes its links down later.
    pub fn kill(&self, pod: &Pod, id: &str) {
        self.delete(pod);
        let tag = format!("/{id}/");
        while self.run(&["ip", "link"]).contains(&tag) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The host's end of a container's wire.
    pub fn host_link(&self, id: &str) -> String {
        let json = self.json();
        let all = json["attachments"].as_array().unwrap();
        let one = all.iter().find(|one| one["containerID"] == id).unwrap();
        one["hostInterface"].as_str().unwrap().to_owned()
    }

    /// The reasons of what looks leaked, each with the container.
    pub fn leaks(&self) -> Vec<String> {
        let json = self.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let leaks = json["looksLeaked"].as_array().unwrap().iter();
        leaks.map(|it| format!("{} {}", text(&it["why"]), text(&it["containerID"]))).collect()
    }

    /// What can be typed to get out.
    pub fn ways(&self) -> Vec<String> {
        let json = self.json();
        let ways = json["wayOut"].as_array().unwrap().iter();
        ways.filter_map(|way| way["command"].as_str().map(str::to_owned)).collect()
    }

    /// Runs every command of the remedy, after which nothing may look leaked.
    #[track_caller]
    pub fn follow_the_remedy(&self) {
        let ways = self.ways();
        for way in &ways {
            // Beside what it removes, gc may say why it is not all of it.
            let Run { status, stdout, stderr, .. } = self.shell(way);
            assert_eq!(status, Some(0), "{way}: {stdout}{stderr}");
        }
        assert_eq!(self.leaks(), Vec::<String>::new(), "after {ways:#?}");
    }
}

impl Run {
    /// What it printed; it must have had nothing to complain about.
    #[track_caller]
    pub fn ok(self) -> String {
        let Run { status, stdout, stderr, .. } = self;
        assert_eq!((status, &*stderr), (Some(0), ""), "{stdout}");
        stdout
    }
}

fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, mut stderr) = (text(output.stdout), text(output.stderr));
    let said = stderr.clone();
    if output.status.success() {
        stderr = stderr.lines().filter(|line| !line.starts_with("removing ")).collect();
    }
    Run { status: output.status.code(), stdout, stderr, said }
}

/// Makes a file, or all in a folder, as old as this.
pub fn age(path: impl AsRef<Path>, age: Duration) {
    let path = path.as_ref();
    if path.is_dir() {
        return fs::read_dir(path).unwrap().for_each(|entry| self::age(entry.unwrap().path(), age));
    }
    File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

pub const HOUR: Duration = Duration::from_secs(3600);
/// Longer ago than any machine was started that these tests run on.
pub const LONG_AGO: Duration = Duration::from_secs(20 * 365 * 86_400);
