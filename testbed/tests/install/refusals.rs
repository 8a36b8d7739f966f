//! Directories that the script refuses to install into.

use super::*;

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let machine = Machine::new();
    for mode in [0o775, 0o757, 0o1777] {
        machine.set_mode("opt", mode);
        let (ok, said) = machine.install(&[]);
        assert!(!ok && said.contains("chmod go-w"), "{mode:o}: {said}");
        assert!(machine.installed().is_empty());
    }
}

#[test]
fn so_is_one_in_a_folder_that_others_can_write_to() {
    let machine = Machine::new();
    machine.make_folder("all", 0o755);
    machine.make_folder("all/cni", 0o755);
    machine.make_folder("all/cni/bin", 0o755);
    let cases = [("all/cni/bin", false), ("all/missing/bin", false), ("new/../all/cni/bin", false)];
    for (mode, (folder, fine)) in
        [0o775, 0o777].iter().flat_map(|mode| cases.map(|case| (mode, case)))
    {
        machine.set_mode("all", *mode);
        let (ok, said) = machine.install_into(&machine.path(folder), &[]);
        let all = machine.path("all");
        let named = format!("{} can be written by others (mode {mode:o})", all.display());
        assert!(ok == fine && said.contains(&named), "{mode:o} {folder}: {said}");
        assert_eq!(fs::read_dir(&all).unwrap().count(), 1);
    }
    // As in /tmp, where users cannot move files of others.
    machine.set_mode("all", 0o1777);
    let (ok, said) = machine.install_into(&machine.path("all/cni/bin"), &[]);
    assert!(ok, "{said}");
}

#[test]
fn so_is_one_that_is_reached_by_a_link_that_others_can_replace() {
    let machine = Machine::new();
    machine.make_folder("all", 0o777);
    machine.make_folder("own", 0o755);
    symlink("../opt", machine.path("all/link")).unwrap();
    symlink(machine.path("all/link"), machine.path("own/link")).unwrap();
    for link in ["all/link", "own/link"] {
        let (ok, said) = machine.install_into(&machine.path(link), &[]);
        assert!(!ok && said.contains("/all can be written by others"), "{link}: {said}");
        assert!(machine.installed().is_empty());
    }
    machine.set_mode("all", 0o755);
    let (ok, said) = machine.install_into(&machine.path("own/link"), &[]);
    assert!(ok && said.contains("/opt/bridge"), "{said}");
}

#[test]
fn links_that_lead_nowhere_or_round_and_round_are_refused() {
    let machine = Machine::new();
    symlink("b", machine.path("a")).unwrap();
    symlink("a", machine.path("b")).unwrap();
    let (ok, said) = machine.install_into(&machine.path("a/bin"), &[]);
    assert!(!ok && said.contains("/a/bin"), "{said}");
    fs::write(machine.path("file"), "").unwrap();
    let (ok, said) = machine.install_into(&machine.path("file"), &[]);
    assert!(!ok && said.contains("cannot make"), "{said}");
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let machine = Machine::new();
    let folder = match chown(machine.path("opt"), Some(1), None) {
        Ok(()) => machine.path("opt"),
        // In the namespace of an unprivileged user no file can change its owner, but /usr belongs
        // to another user there, and is not writable.
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
fn so_is_one_in_a_folder_or_behind_a_link_of_another_user() {
    let machine = Machine::new();
    machine.make_folder("theirs", 0o755);
    machine.make_folder("theirs/bin", 0o755);
    symlink("opt", machine.path("link")).unwrap();
    if let Err(error) = chown(machine.path("theirs"), Some(1), None) {
        assert_ne!(fs::metadata("/usr").unwrap().uid(), 0, "run scripts/test: {error}");
        return;
    }
    std::os::unix::fs::lchown(machine.path("link"), Some(1), None).unwrap();
    for (folder, named) in [("theirs/bin", "theirs"), ("link", "link")] {
        let (ok, said) = machine.install_into(&machine.path(folder), &[]);
        let named = format!("{} belongs to ", machine.path(named).display());
        assert!(!ok && said.contains(&named), "{folder}: {said}");
    }
    assert!(machine.installed().is_empty());
}

#[test]
fn a_missing_build_is_reported() {
    let machine = Machine::new();
    fs::remove_dir_all(machine.path("new")).unwrap();
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("run scripts/build"), "{said}");
}

#[test]
fn only_files_are_replaced() {
    let machine = Machine::new();
    machine.make_folder("opt/bridge", 0o755);
    let (ok, said) = machine.install(&[]);
    assert!(!ok && said.contains("opt/bridge is not a file: move it away"), "{said}");
    assert_eq!(machine.installed().len(), 1);
}
