//! A node on which the commands of a page run, and how they run there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use testbed::{Node, Outside};

use crate::cases::{Case, ELSEWHERE};
use crate::page::{Block, Section, root, shows};

/// The working directory: as a checkout of the project, but what commands write is gone afterwards.
const CHECKOUT: &str = "/opt/cni/checkout";

/// Programs of the stage's own: what an operator's machine has besides, and a shorthand.
const PROGRAMS: [(&str, &str); 6] = [
    ("sudo", "#!/bin/sh\nexec \"$@\"\n"),
    // Clients, as far as their output matters.
    ("ctr", "#!/bin/sh\necho \"TASK PID STATUS\"; echo \"web $(cat /run/pid-of-web) RUNNING\"\n"),
    ("crictl", "#!/bin/sh\nprintf '5b416f04b825\\n66e63714a242\\n'\n"),
    ("kubectl", "#!/bin/sh\ncat /run/definitions.yaml\n"),
    // Ends the pings of a container: all were answered, but perhaps the last.
    (
        "answered",
        "#!/bin/sh\nkill -INT $(cat /run/pinger); while kill -0 $(cat /run/pinger); do sleep 0.1; done
            tail -n3 /run/pings; awk '/transmitted/ { exit $1 - $4 > 1 }' /run/pings\n",
    ),
    // On a busy machine the answer to the first ping may take more than its second.
    (
        "reaches-the-world",
        "#!/bin/sh\nfor try in 1 2 3 4 5; do
            ip netns exec \"$1\" ping -n -c1 -W1 192.0.2.2 && exit\ndone\nexit 1\n",
    ),
];

pub struct Stage {
    node: Node,
    _outside: Outside,
}

impl Stage {
    /// A node with the plugins installed, the network `pods`, and a checkout of the project as the
    /// working directory.
    pub fn new() -> Stage {
        let node = Node::new();
        let outside = node.outside();
        node.own("/opt/cni");
        node.own("/etc/NetworkManager");
        fs::create_dir("/opt/cni/bin").unwrap();
        for entry in fs::read_dir(testbed::bin()).unwrap() {
            let entry = entry.unwrap();
            symlink(entry.path(), Path::new("/opt/cni/bin").join(entry.file_name())).unwrap();
        }
        fs::create_dir_all("/etc/cni/net.d").unwrap();
        let network = r#"{ "cniVersion": "1.1.0", "name": "pods", "plugins": [ {
            "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
            "ipam": { "type": "host-local", "subnet": "10.88.0.0/29" } } ] }"#;
        fs::write("/etc/cni/net.d/10-pods.conflist", network).unwrap();
        fs::create_dir_all(CHECKOUT).unwrap();
        symlink(testbed::bin(), Path::new(CHECKOUT).join("bin")).unwrap();
        for name in ["scripts", "docs", "bench"] {
            symlink(root().join(name), Path::new(CHECKOUT).join(name)).unwrap();
        }
        fs::create_dir("/run/programs").unwrap();
        for (name, text) in PROGRAMS {
            let path = Path::new("/run/programs").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Stage { node, _outside: outside }
    }

    /// Runs commands; the first that fails is a panic. Returns what they print on both outputs.
    pub fn sh(&self, script: &str) -> String {
        let (succeeds, printed) = self.run("-euxc", script);
        assert!(succeeds, "a command fails:\n{script}\nprinted:\n{printed}");
        printed
    }

    fn run(&self, options: &str, script: &str) -> (bool, String) {
        let script = format!("exec 2>&1\ncd {CHECKOUT}\n{script}");
        let mut command = self.node.command("bash");
        command.args([options, &script]).env_remove("CNI_PATH").env_remove("NETCONFPATH");
        command.env("PROJECT", root());
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("/run/programs:/opt/cni/bin:{path}:/usr/sbin:/sbin"));
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Does what a section says. Returns what its commands print.
    pub fn perform(&self, section: &Section, case: &Case) -> String {
        self.sh(case.before);
        let (mut said, mut fails) = (String::new(), case.fails.to_vec());
        for block in &section.blocks {
            match block {
                Block::File { path, text } => {
                    fs::write(Path::new(CHECKOUT).join(path), text).unwrap()
                }
                Block::Commands(lines) => said += &self.sh(&script(lines, &mut fails)),
                Block::Session(calls) => calls.iter().for_each(|call| self.compare(call)),
                Block::Elsewhere(_) | Block::Shown(_) => {}
            }
        }
        assert!(fails.is_empty(), "not in the section: {fails:?}");
        for part in case.printed {
            assert!(said.contains(part), "{part}: {said}");
        }
        self.sh(case.after);
        said
    }

    fn compare(&self, (command, shown): &(String, String)) {
        let (_, printed) = self.run("-c", command);
        assert!(shows(shown, &printed), "{command}\nis shown as:\n{shown}\nprinted:\n{printed}");
    }
}

/// The commands as a script in which those of `fails` have to fail, and those that run elsewhere
/// do nothing.
fn script(lines: &str, fails: &mut Vec<&'static str>) -> String {
    let line = |line: &str| {
        let command = line.split(" #").next().unwrap_or_default().trim_end();
        if ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == command) {
            return ":\n".to_owned();
        }
        match fails.first() == Some(&command) {
            true => format!("if {}; then exit 1; fi\n", fails.remove(0)),
            false => format!("{line}\n"),
        }
    };
    lines.lines().map(line).collect()
}
