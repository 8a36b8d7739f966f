//! The steps of `docs/install.md` from a clean machine to a pod, line by line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::{Containerd, IMAGE, Machine, Release, client};

/// Steps that the test skips: those of the package manager and the machine's services, and a build.
const DONE: [&str; 3] = ["apt-get ", "scripts/build", "systemctl "];
/// The image that the page pulls.
const PULLED: &str = "docker.io/library/busybox:latest";

#[test]
fn from_a_clean_machine_to_a_pod() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(project.join("docs/install.md")).unwrap();
    let (_, section) = page.split_once("\n## From a clean machine to a pod\n").unwrap();
    let (_, block) = section.split_once("```sh").unwrap();
    let (_, lines) = block.split_once('\n').unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    let lines: Vec<&str> =
        lines.lines().filter(|line| !DONE.iter().any(|done| line.starts_with(done))).collect();
    assert_eq!(lines.len(), 9, "{lines:#?}");

    let machine = Machine::new();
    machine.own("/etc/containerd");
    let configured = client("containerd", "etc/containerd/config.toml");
    fs::copy(configured, "/etc/containerd/config.toml").unwrap();
    // Without the directory that test machines have.
    machine.own("/etc/cni");
    let containerd = Containerd::start(&machine, Release::asked());
    containerd.ctr(&["images", "tag", IMAGE, PULLED]);

    // ctr finds the daemon of this machine by itself, and pulls nothing.
    let folder = machine.folder("path");
    let script = format!(
        "#!/bin/sh\ncase \"$1 $2\" in 'image pull') exit;; esac\nexec {} \"$@\"\n",
        shell(&containerd)
    );
    fs::write(folder.join("ctr"), script).unwrap();
    fs::set_permissions(folder.join("ctr"), fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!(
        "set -euo pipefail\ncd '{}'\nPATH={}:$PATH\n{}\n",
        project.display(),
        folder.display(),
        lines.join("\n")
    );
    let said = machine.run(&["bash", "-c", &script]);
    println!("{said}");

    let config = fs::read_to_string("/etc/containerd/config.toml").unwrap();
    assert!(config.contains(r#"bin_dir = "/opt/cni/bin""#), "{config}");
    for part in ["1 file, clean", "10.244.1.2/24", "fd00:10:244:1::2/64", "1 packets received"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(machine.reservations(), Vec::<String>::new());
    // The pods of the kubelet get the same.
    assert_eq!(containerd.pod("b").addresses(), ["10.244.1.3", "fd00:10:244:1::3"]);
    containerd.stop();
}

/// ctr's command as words for a shell.
fn shell(containerd: &Containerd) -> String {
    let command = containerd.ctr_command();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
    let words: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    format!("env PATH='{}' {}", path.unwrap().to_string_lossy(), words.join(" "))
}
