//! `scripts/install` in private directories, with the reference plugins and shell scripts as
//! stand-ins.
#![cfg(test)]

mod failures;
mod kills;
mod refusals;

use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testbed::reference;

/// A directory of new binaries, and a directory to install them into.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Both directories are empty.
    fn empty() -> Machine {
        Machine::empty_in(&std::env::temp_dir())
    }

    fn empty_in(folder: &Path) -> Machine {
        let machine = Machine { folder: tempfile::tempdir_in(folder).unwrap() };
        for folder in ["new", "opt"] {
            machine.make_folder(folder, 0o755);
        }
        machine
    }

    /// With the new binaries `bridge` and `loopback`, and nothing installed.
    fn new() -> Machine {
        let machine = Machine::empty();
        machine.provide("bridge", "bridge");
        machine.provide("loopback", "loopback");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_folder(&self, name: &str, mode: u32) {
        fs::create_dir(self.path(name)).unwrap();
        self.set_mode(name, mode);
    }

    fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Copies the reference plugin `plugin` to the new binary `name`.
    fn provide(&self, name: &str, plugin: &str) {
        fs::copy(reference().join(plugin), self.path("new").join(name)).unwrap();
    }

    /// Makes a shell script as the binary `name` in `folder`.
    fn script(&self, folder: &str, name: &str, lines: &str) {
        let path = self.path(folder).join(name);
        fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// An older `bridge` that works.
    fn older(&self) {
        self.script("opt", "bridge", r#"echo '{"supportedVersions": ["0.4.0"]}'"#);
    }

    /// The script, with `new` as the source and `opt` as the target.
    fn command(&self, options: &[&str]) -> Command {
        self.command_into(&self.path("opt"), options)
    }

    fn command_into(&self, folder: &Path, options: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install");
        let mut command = Command::new(script);
        command.arg("--from").arg(self.path("new")).args(options).arg(folder).current_dir("/");
        command
    }

    /// Whether it succeeded, and its output.
    fn install(&self, options: &[&str]) -> (bool, String) {
        run(&mut self.command(options))
    }

    fn install_into(&self, folder: &Path, options: &[&str]) -> (bool, String) {
        run(&mut self.command_into(folder, options))
    }

    fn roll_back(&self) -> String {
        let (ok, said) = self.install(&["--rollback"]);
        assert!(ok, "{said}");
        said
    }

    /// The files in `opt`, also hidden ones.
    fn installed(&self) -> Vec<Entry> {
        let entries = fs::read_dir(self.path("opt")).unwrap().map(Result::unwrap);
        let mut entries: Vec<_> = entries.map(|entry| Entry::of(&entry.path())).collect();
        entries.sort();
        entries
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path("opt").join(name)).unwrap().len()
    }
}

fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// All properties of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: String,
    mode: u32,
    owner: (u32, u32),
    /// The modification time of a file, and a hash of its content or the target of a link; neither
    /// for directories.
    changed: (i64, i64),
    content: u64,
}

impl Entry {
    fn of(path: &Path) -> Entry {
        let meta = fs::symlink_metadata(path).unwrap();
        let mut content = DefaultHasher::new();
        if meta.is_symlink() {
            fs::read_link(path).unwrap().hash(&mut content);
        } else if meta.is_file() {
            fs::read(path).unwrap().hash(&mut content);
        }
        Entry {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            changed: if meta.is_dir() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) },
            content: content.finish(),
        }
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
fn the_built_binaries_replace_the_references_and_both_are_named() {
    let machine = Machine::empty();
    fs::copy(reference().join("bridge"), machine.path("opt/bridge")).unwrap();
    let before = machine.installed();
    let bin = testbed::bin().to_str().unwrap().to_owned();
    let (ok, said) = machine.install(&["--from", &bin]);
    let kib = |path: PathBuf| fs::metadata(path).unwrap().len() / 1024;
    let (was, is) = (kib(reference().join("bridge")), kib(testbed::binary("bridge")));
    let replaced = |line: &&str| line.starts_with("replaced ") && line.contains("opt/bridge: ");
    let line = said.lines().find(replaced).unwrap_or_else(|| panic!("{said}"));
    assert!(ok && line.contains(&format!(", {was} KiB -> ferrocni ")), "{said}");
    assert!(line.contains(&format!(", {is} KiB, build ")), "{said}");
    assert!(said.lines().any(|line| line.starts_with("new ") && line.contains("opt/cnitool: ")));
    for file in fs::read_dir(&bin).unwrap().map(|file| file.unwrap().file_name()) {
        let installed = fs::metadata(machine.path("opt").join(&file)).unwrap();
        assert_eq!(installed.mode() & 0o7777, 0o755);
        let built = fs::read(testbed::bin().join(&file)).unwrap();
        assert_eq!(fs::read(machine.path("opt").join(&file)).unwrap(), built);
    }
    let said = machine.roll_back();
    assert!(said.contains(&format!(", {was} KiB\n")), "{said}");
    assert!(said.contains("removed ") && said.contains("opt/cnitool\n"), "{said}");
    assert_eq!(machine.installed(), before);
}

#[test]
fn an_uninstall_restores_replaced_files_and_removes_new_ones() {
    let machine = Machine::new();
    machine.older();
    machine.script("opt", "other", "exit 1");
    let before = machine.installed();
    let (ok, said) = machine.install(&[]);
    assert!(ok && said.contains("replaced") && said.contains("opt/bridge: "), "{said}");
    assert_ne!(machine.installed()[0], before[0]);
    machine.roll_back();
    assert_eq!(machine.installed(), before);
    let (ok, said) = machine.install(&["--rollback"]);
    assert!(!ok && said.contains("nothing to go back to"), "{said}");
}

#[test]
fn restored_files_have_their_mode_owner_and_link() {
    let machine = Machine::new();
    machine.provide("macvlan", "macvlan");
    machine.provide("ptp", "ptp");
    machine.provide("vlan", "vlan");
    machine.older();
    machine.set_mode("opt/bridge", 0o4711);
    machine.older_link("macvlan", "bridge");
    machine.older_link("ptp", "gone");
    // The correct content is not enough: other users could change the file.
    fs::copy(reference().join("vlan"), machine.path("opt/vlan")).unwrap();
    machine.set_mode("opt/vlan", 0o777);
    // In the namespace of an unprivileged user no file can change its owner.
    let given = chown(machine.path("opt/bridge"), Some(1), Some(1)).is_ok();
    assert!(given || fs::metadata("/usr").unwrap().uid() != 0, "run scripts/test");
    let before = machine.installed();
    // Some file systems, and some files, do not support hard links.
    machine.make_folder("tools", 0o755);
    machine.script("tools", "ln", "exit 1");
    let path = std::env::var("PATH").unwrap();
    for path in [&path, &format!("{}:{path}", machine.path("tools").display())] {
        let (ok, said) = run(machine.command(&[]).env("PATH", path));
        assert!(ok && said.contains("5 of 5 binaries changed"), "{said}");
        for entry in machine.installed().iter().filter(|entry| !entry.name.starts_with('.')) {
            assert_eq!((entry.mode, entry.owner), (0o100755, (0, 0)), "{}", entry.name);
        }
        machine.roll_back();
        assert_eq!(machine.installed(), before);
    }
}

impl Machine {
    fn older_link(&self, name: &str, to: &str) {
        symlink(to, self.path("opt").join(name)).unwrap();
    }
}

#[test]
fn a_folder_with_spaces_is_installed_into_and_a_missing_one_is_refused_with_the_remedy() {
    let machine = Machine::new();
    let folder = machine.path("made for/the plugins *");
    let (ok, said) = machine.install_into(&folder, &[]);
    assert!(!ok && said.contains("does not exist, nothing was installed"), "{said}");
    assert!(!machine.path("made for").exists(), "{said}");
    // A shell accepts the remedy as it is.
    let (_, remedy) = said.trim_end().split_once("create the directory: ").unwrap();
    assert!(remedy.contains(r"the\ plugins\ \*"), "{said}");
    let (made, said) = run(Command::new("sh").args(["-c", &format!("umask 022; {remedy}")]));
    assert!(made, "{said}");
    let (ok, said) = machine.install_into(&folder, &[]);
    assert!(ok && said.contains(r"--rollback ") && said.contains(r"the\ plugins\ \*"), "{said}");
    let (ok, said) = machine.install_into(&folder, &["--rollback"]);
    assert!(ok, "{said}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}
