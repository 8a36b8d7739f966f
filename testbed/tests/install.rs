//! `scripts/install` on folders of its own, with the reference plugins as stand-ins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a panic is how it reports")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testbed::reference;

/// A folder of new binaries, a folder to install into, and what the script said.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// With the new binaries `bridge` and `loopback`, and nothing installed.
    fn new() -> Machine {
        let machine = Machine { folder: tempfile::tempdir().unwrap() };
        for folder in ["new", "opt"] {
            fs::create_dir(machine.path(folder)).unwrap();
            fs::set_permissions(machine.path(folder), Permissions::from_mode(0o755)).unwrap();
        }
        machine.provide("bridge", "bridge");
        machine.provide("loopback", "loopback");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes the reference plugin `plugin` the new binary called `name`.
    fn provide(&self, name: &str, plugin: &str) {
        fs::copy(reference().join(plugin), self.path("new").join(name)).unwrap();
    }

    /// Makes a shell script the binary `name` of `folder`.
    fn script(&self, folder: &str, name: &str, lines: &str) {
        let path = self.path(folder).join(name);
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// An older `bridge` that works.
    fn older(&self) {
        self.script("opt", "bridge", r#"echo '{"supportedVersions": ["0.4.0"]}'"#);
    }

    fn install(&self, options: &[&str]) -> (bool, String) {
        self.install_into(&self.path("opt"), options)
    }

    fn install_into(&self, folder: &Path, options: &[&str]) -> (bool, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install");
        let mut command = Command::new(script);
        command.arg("--from").arg(self.path("new")).args(options).arg(folder);
        let output = command.current_dir("/").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// What is installed: hidden files too, with the size of each.
    fn installed(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.path("opt")).unwrap().map(Result::unwrap) {
            let size = if entry.path().is_dir() { 0 } else { entry.metadata().unwrap().len() };
            files.push((entry.file_name().into_string().unwrap(), size));
        }
        files.sort();
        files
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path("opt").join(name)).unwrap().len()
    }
}

#[test]
fn new_binaries_are_installed_and_a_second_time_nothing_changes() {
    let machine = Machine::new();
    let (ok, said) = machine.install(&[]);
    assert!(ok && said.contains("2 of 2 binaries changed"), "{said}");
    assert_eq!(machine.size("bridge"), fs::metadata(reference().join("bridge")).unwrap().len());
    let before = machine.installed();
    let (ok, said) = machine.install(&[]);
    assert!(ok && said.contains("up to date"), "{said}");
    assert_eq!(machine.installed(), before);
}

#[test]
fn what_was_replaced_comes_back_and_what_was_new_goes() {
    let machine = Machine::new();
    machine.older();
    machine.script("opt", "other", "exit 1");
    let before = machine.installed();
    let (ok, said) = machine.install(&[]);
    assert!(ok && said.contains("replaced") && said.contains("opt/bridge\n"), "{said}");
    assert_ne!(machine.size("bridge"), before[0].1);
    let (ok, said) = machine.install(&["--rollback"]);
    assert!(ok, "{said}");
    assert_eq!(machine.installed(), before);
    let (ok, said) = machine.install(&["--rollback"]);
    assert!(!ok && said.contains("nothing to go back to"), "{said}");
}

#[test]
fn a_binary_that_does_not_answer_changes_nothing() {
    let machine = Machine::new();
    machine.older();
    for broken in ["exit 1", "echo hello", "kill -SEGV $$"] {
        machine.script("new", "loopback", broken);
        let before = machine.installed();
        let (ok, said) = machine.install(&[]);
        assert!(!ok && said.contains("new/loopback does not answer"), "{broken}: {said}");
        assert_eq!(machine.installed(), before, "{broken}");
    }
}

#[test]
fn a_binary_that_answers_only_before_it_is_in_place_is_taken_back() {
    let machine = Machine::new();
    machine.older();
    let before = machine.installed();
    let answer =
        r#"case $0 in */.ferrocni-*) echo '{"supportedVersions": []}' ;; *) exit 1 ;; esac"#;
    machine.script("new", "bridge", answer);
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("the old binaries are back"), "{said}");
    assert_eq!(machine.installed(), before);
}

#[test]
fn a_command_must_show_its_help() {
    let machine = Machine::new();
    machine.script("new", "cnitool", r#"[ "$1" = --help ]"#);
    let (ok, said) = machine.install(&[]);
    assert!(ok && said.contains("3 of 3 binaries changed"), "{said}");
    machine.script("new", "cnitool", "exit 1");
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("new/cnitool does not answer"), "{said}");
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let machine = Machine::new();
    for mode in [0o775, 0o757] {
        fs::set_permissions(machine.path("opt"), Permissions::from_mode(mode)).unwrap();
        let (ok, said) = machine.install(&[]);
        assert!(!ok && said.contains("chmod go-w"), "{mode:o}: {said}");
        assert!(machine.installed().is_empty());
    }
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let machine = Machine::new();
    let folder = match chown(machine.path("opt"), Some(1), None) {
        Ok(()) => machine.path("opt"),
        // In an ordinary user's namespace nothing can be given away, but there /usr is another's, and not writable.
        Err(error) => {
            assert_ne!(fs::metadata("/usr").unwrap().uid(), 0, "run scripts/test: {error}");
            PathBuf::from("/usr")
        }
    };
    let (ok, said) = machine.install_into(&folder, &[]);
    assert!(!ok && said.contains("not to root"), "{said}");
    assert!(machine.installed().is_empty());
}

#[test]
fn nothing_built_is_said() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.path("new")).unwrap();
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("run scripts/build"), "{said}");
}
