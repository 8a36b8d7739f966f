//! A failed installation leaves the existing files in place.

use super::*;
use testbed::Node;

#[test]
fn a_binary_that_does_not_answer_changes_nothing() {
    let machine = Machine::new();
    machine.older();
    let cases = [
        ("echo no such file >&2; exit 1", "exit status 1, no such file"),
        ("echo hello", "exit status 0, hello"),
        ("kill -SEGV $$", "exit status 139"),
    ];
    for (broken, reason) in cases {
        machine.script("new", "loopback", broken);
        let before = machine.installed();
        let (ok, said) = machine.install(&[]);
        assert!(!ok && said.contains("new/loopback does not answer"), "{broken}: {said}");
        assert!(said.contains(reason), "{broken}: {said}");
        assert_eq!(machine.installed(), before, "{broken}");
    }
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

/// It works only in the trial call.
const FICKLE: &str =
    r#"case $0 in */.ferrocni-*) echo '{"supportedVersions": []}' ;; *) exit 1 ;; esac"#;

#[test]
fn a_binary_that_answers_only_before_it_is_in_place_is_taken_back() {
    let machine = Machine::new();
    machine.older();
    let before = machine.installed();
    machine.script("new", "bridge", FICKLE);
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("the old binaries are back"), "{said}");
    assert_eq!(machine.installed(), before);
}

#[test]
fn a_failed_install_keeps_the_backup_of_the_previous_one() {
    let machine = Machine::new();
    machine.older();
    let before = machine.installed();
    let (ok, said) = machine.install(&[]);
    assert!(ok, "{said}");
    machine.script("new", "bridge", FICKLE);
    let (ok, said) = machine.install(&[]);
    assert!(!ok, "{said}");
    machine.roll_back();
    assert_eq!(machine.installed(), before);
}

#[test]
fn an_old_binary_that_does_not_answer_comes_back_with_a_warning() {
    let machine = Machine::new();
    machine.script("opt", "bridge", "exit 7");
    let before = machine.installed();
    let (ok, said) = machine.install(&[]);
    assert!(ok, "{said}");
    let said = machine.roll_back();
    assert!(said.contains("opt/bridge is back, but does not answer (exit status 7)"), "{said}");
    assert_eq!(machine.installed(), before);
}

#[test]
fn if_one_file_cannot_be_replaced_none_is() {
    let machine = Machine::new();
    let node = Node::new();
    machine.older();
    machine.script("opt", "loopback", "exit 1");
    machine.provide("macvlan", "macvlan");
    machine.older_link("macvlan", "gone");
    let before = machine.installed();
    let fixed = machine.path("opt/loopback");
    // A mount point cannot be replaced, even by root.
    node.run(&["mount", "--bind", fixed.to_str().unwrap(), fixed.to_str().unwrap()]);
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("the old binaries are back"), "{said}");
    node.run(&["umount", fixed.to_str().unwrap()]);
    assert_eq!(machine.installed(), before);
}

#[test]
fn a_full_disk_changes_nothing_and_an_uninstall_needs_no_space() {
    let machine = Machine::new();
    let node = Node::new();
    let opt = machine.path("opt");
    let opt = opt.to_str().unwrap();
    node.run(&["mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", opt]);
    machine.older();
    let before = machine.installed();
    node.sh(&format!("head -c 5M /dev/zero >{opt}/.filler"));
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("nothing was changed"), "{said}");
    fs::remove_file(machine.path("opt/.filler")).unwrap();
    assert_eq!(machine.installed(), before);
    let (ok, said) = machine.install(&[]);
    assert!(ok, "{said}");
    node.sh(&format!("! head -c 8M /dev/zero >{opt}/.filler 2>/dev/null"));
    machine.roll_back();
    fs::remove_file(machine.path("opt/.filler")).unwrap();
    assert_eq!(machine.installed(), before);
    node.run(&["umount", opt]);
}

#[test]
fn a_read_only_or_noexec_folder_is_reported() {
    let machine = Machine::new();
    let node = Node::new();
    let opt = machine.path("opt");
    let opt = opt.to_str().unwrap();
    for (option, reason) in [("ro", "mounted read-only"), ("noexec", "Permission denied")] {
        node.run(&["mount", "-t", "tmpfs", "-o", &format!("{option},mode=755"), "tmpfs", opt]);
        let (ok, said) = machine.install(&[]);
        assert!(!ok && said.contains(reason), "{option}: {said}");
        assert!(machine.installed().is_empty());
        node.run(&["umount", opt]);
    }
}

#[test]
fn two_at_a_time_are_one_too_many() {
    let machine = Machine::new();
    let mut locked = Command::new("flock");
    locked.arg(machine.path("opt")).arg(machine.command(&[]).get_program());
    locked.args(machine.command(&[]).get_args());
    let (ok, said) = run(&mut locked);
    assert!(!ok && said.contains("another install"), "{said}");
    assert!(machine.installed().is_empty());
}

/// The content of a new file may reach the disk after its name: after a power failure the file
/// would be empty.
#[test]
fn binaries_are_on_the_disk_before_they_get_their_names() {
    let machine = Machine::new();
    machine.older();
    let install = machine.command(&[]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-y", "-o"]).arg(machine.path("trace"));
    traced.arg("-e").arg("trace=fsync,rename,renameat,renameat2");
    traced.arg(install.get_program()).args(install.get_args());
    let (ok, said) = run(&mut traced);
    assert!(ok, "{said}");
    let trace = fs::read_to_string(machine.path("trace")).unwrap();
    let at = |what: &dyn Fn(&str) -> bool| {
        trace.lines().position(what).unwrap_or_else(|| panic!("{trace}"))
    };
    let opt = machine.path("opt").display().to_string();
    let synced =
        |path: String| at(&|line| line.contains("fsync(") && line.contains(&format!("<{path}>")));
    let mut renamed = Vec::new();
    for plugin in ["bridge", "loopback"] {
        let to = format!("\"{opt}/{plugin}\"");
        renamed.push(at(&|line| line.contains("rename") && line.contains(&to)));
    }
    for path in [".ferrocni-new/bridge", ".ferrocni-new/loopback", ".ferrocni-unfinished"] {
        assert!(synced(format!("{opt}/{path}")) < renamed[0], "{path}:\n{trace}");
    }
    assert!(synced(opt) > renamed[1], "{trace}");
}
