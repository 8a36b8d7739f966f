//! Files that others may change, or that make others more than they are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bench::Bench;
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions, ensure};

use super::scenes::{file, folder};

/// The program itself.
pub(super) const PROGRAM: Requirement = Requirement {
    id: "CVE-2024-33522",
    source: "CVE-2024-33522 (Calico), its kind; projectcalico/calico, issue 7981",
    says: "The plugin's file has no setuid or setgid bit, and only its owner may write to it",
    level: Level::Must,
    of: Of::All,
    versions: Versions::Newest,
    test: program,
};

/// What the plugin keeps.
pub(super) const STATE: Requirement = Requirement {
    id: "CVE-2024-33522.state",
    source: "CVE-2024-33522 (Calico), its kind: files that anybody may write to",
    says: "What the plugin leaves on disk after ADD is not for everybody to write to",
    level: Level::Must,
    of: Of::All,
    versions: Versions::Newest,
    test: state,
};

/// The place of an address is taken by a link to another file.
pub(super) const SYMLINK: Requirement = Requirement {
    id: "host-local.symlink",
    source: "CWE-59, for the layout of host-local's data that containernetworking/plugins describes",
    says: "A symbolic link in the place of an address's file is not followed, neither by ADD nor by DEL",
    level: Level::Expected,
    of: Of::That(
        |profile| profile.config.pointer("/ipam/type").is_some_and(|it| it == "host-local"),
        "keep addresses as host-local does",
    ),
    versions: Versions::Newest,
    test: symlink,
};

/// Set-user-id and set-group-id.
const SET_ID: u32 = 0o6000;
/// The right to write of a group.
const GROUP: u32 = 0o020;
/// The same for everybody.
const OTHERS: u32 = 0o002;

fn program(bench: &Bench) -> Verdict {
    let path = bench.case.suite.folder.join(&bench.case.plugin);
    let meta = fs::metadata(&path)
        .map_err(|error| Stop::Untestable(format!("{}: {error}", path.display())))?;
    let mode = meta.mode() & 0o7777;
    // A group of the owner's own is the owner.
    let group = mode & GROUP != 0 && meta.uid() != meta.gid();
    ensure(
        mode & SET_ID == 0 && mode & OTHERS == 0 && !group,
        format!("looked at {}", path.display()),
        "no setuid or setgid bit, no right to write for others than the owner",
        format!("mode {mode:04o}, user {}, group {}", meta.uid(), meta.gid()),
    )
}

fn state(bench: &Bench) -> Verdict {
    bench.added("a")?;
    let mut open = Vec::new();
    for folder in ["/run", "/var/lib/cni", "/etc/cni"] {
        look(Path::new(folder), &mut open);
    }
    ensure(
        open.is_empty(),
        "ADD, then looked at /run, /var/lib/cni and /etc/cni",
        "nothing there that everybody may write to",
        open.join(", "),
    )
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

fn symlink(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let content = format!("{}\r\neth0", container.id);
    let victim = format!("{}/victim", folder("links"));
    file(&victim, &content);
    let fresh = format!("{}/fresh", folder("links"));
    let data = format!("/var/lib/cni/networks/{}", crate::bench::NETWORK);
    bench.host.sh(&format!(
        "mkdir -p {data}; ln -s {victim} {data}/10.1.2.2; ln -s {fresh} {data}/10.1.2.3"
    ));
    let other = bench.container("b");
    // It may take another address, or fail.
    bench.call(&other).add();
    let unharmed = |done: &str| {
        let seen = fs::read_to_string(&victim);
        let done =
            format!("{done}, {data}/10.1.2.2 is a link to {victim}, 10.1.2.3 one to {fresh}");
        ensure(
            seen.as_ref().is_ok_and(|text| *text == content) && !Path::new(&fresh).exists(),
            done,
            "the first stays as it was, the second is not there",
            format!("the first: {seen:?}; the second is there: {}", Path::new(&fresh).exists()),
        )
    };
    unharmed("ADD")?;
    bench.call(&other).del().succeeds()?;
    bench.call(&container).del();
    unharmed("DEL")
}
