//! Files that unprivileged users can change, or that give privileges to them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fixture::Fixture;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

use super::scenes::{file, folder};

/// The plugin's file.
pub(super) const PROGRAM: Requirement = Requirement {
    id: "CVE-2024-33522",
    source: "CVE-2024-33522 (Calico), its kind; projectcalico/calico, issue 7981",
    statement: "The plugin's file must have no setuid or setgid bit, and only its owner must be \
        able to write to it",
    level: Level::Expected,
    applies_to: AppliesTo::All,
    versions: Versions::Newest,
    test: program,
};

/// The files of its state.
pub(super) const STATE: Requirement = Requirement {
    id: "CVE-2024-33522.state",
    source: "CVE-2024-33522 (Calico), its kind: files that anybody may write to",
    statement: "Files that the plugin leaves on disk after ADD must not be world-writable",
    level: Level::Expected,
    applies_to: AppliesTo::All,
    versions: Versions::Newest,
    test: state,
};

/// A symbolic link to another file replaces the file of an address.
pub(super) const SYMLINK: Requirement = Requirement {
    id: "host-local.symlink",
    source: "CWE-59, for the layout of host-local's data that containernetworking/plugins \
        describes",
    statement: "ADD and DEL must not follow a symbolic link that replaces the file of an address",
    level: Level::Expected,
    applies_to: AppliesTo::Where(
        |profile| profile.config.pointer("/ipam/type").is_some_and(|it| it == "host-local"),
        "store reservations as host-local does",
    ),
    versions: Versions::Newest,
    test: symlink,
};

/// The setuid and setgid bits.
const SET_ID: u32 = 0o6000;
/// Write permission for the group.
const GROUP: u32 = 0o020;
/// Write permission for all users.
const OTHERS: u32 = 0o002;

fn program(fixture: &Fixture) -> TestResult {
    let path = fixture.case.suite.folder.join(&fixture.case.plugin);
    let meta = fs::metadata(&path)
        .map_err(|error| NotPassed::Untestable(format!("{}: {error}", path.display())))?;
    let mode = meta.mode() & 0o7777;
    // A group with the same ID as the owner counts as the owner.
    let group = mode & GROUP != 0 && meta.uid() != meta.gid();
    ensure(
        mode & SET_ID == 0 && mode & OTHERS == 0 && !group,
        format!("looked at {}", path.display()),
        "no setuid or setgid bit, write permission for the owner only",
        format!("mode {mode:04o}, user {}, group {}", meta.uid(), meta.gid()),
    )
}

fn state(fixture: &Fixture) -> TestResult {
    fixture.added("a")?;
    let mut open = Vec::new();
    for folder in ["/run", "/var/lib/cni", "/etc/cni"] {
        look(Path::new(folder), &mut open);
    }
    open.extend(fixture.disk.changes().into_iter().filter(|line| is_open(line)));
    ensure(
        open.is_empty(),
        "ADD, then looked at the files that it made",
        "no world-writable file",
        open.join(", "),
    )
}

/// Whether the mode in a line about a changed file allows all users to write: `file 0666 PATH`.
fn is_open(line: &str) -> bool {
    let mode = line.split(' ').nth(1).and_then(|mode| u32::from_str_radix(mode, 8).ok());
    !line.starts_with("symlink ") && mode.is_some_and(|mode| mode & OTHERS != 0)
}

fn look(folder: &Path, open: &mut Vec<String>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if ["/run/netns", "/run/testbed"].iter().any(|own| path == Path::new(own)) {
            continue;
        }
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if !meta.is_symlink() && meta.mode() & OTHERS != 0 {
            open.push(format!("{} has mode {:04o}", path.display(), meta.mode() & 0o7777));
        }
        if meta.is_dir() {
            look(&path, open);
        }
    }
}

fn symlink(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let content = format!("{}\r\neth0", container.id);
    let victim = format!("{}/victim", folder("links"));
    file(&victim, &content);
    let fresh = format!("{}/fresh", folder("links"));
    let data = format!("/var/lib/cni/networks/{}", crate::fixture::NETWORK);
    fixture.host.sh(&format!(
        "mkdir -p {data}; ln -s {victim} {data}/10.1.2.2; ln -s {fresh} {data}/10.1.2.3"
    ));
    let other = fixture.container("b");
    // The plugin may allocate another address, or fail.
    fixture.call(&other).add();
    let unharmed = |done: &str| {
        let seen = fs::read_to_string(&victim);
        let done =
            format!("{done}, {data}/10.1.2.2 is a link to {victim}, 10.1.2.3 one to {fresh}");
        ensure(
            seen.as_ref().is_ok_and(|text| *text == content) && !Path::new(&fresh).exists(),
            done,
            "the first is unchanged, the second does not exist",
            format!("the first: {seen:?}; the second exists: {}", Path::new(&fresh).exists()),
        )
    };
    unharmed("ADD")?;
    fixture.call(&other).del().succeeds()?;
    fixture.call(&container).del();
    unharmed("DEL")
}
