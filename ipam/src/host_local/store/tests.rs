use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use libcni::{ContainerId, IfName};
use tempfile::TempDir;

use super::*;
use crate::host_local::RangeKeys;
use crate::host_local::range::Range;

fn network() -> NetworkName {
    NetworkName::new("pods").unwrap()
}

fn owner(container: &str, ifname: &str) -> Attachment {
    Attachment {
        container: ContainerId::new(container).unwrap(),
        ifname: IfName::new(ifname).unwrap(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn open(dir: &TempDir) -> Reservations {
    Reservations::open(dir.path(), &network(), Instant::now()).unwrap()
}

fn peek<T>(dir: &TempDir, question: impl Fn(&View) -> T) -> T {
    View::peek(dir.path(), &network(), |view| Ok(question(view))).unwrap()
}

/// A directory with these files.
fn with(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("pods");
    fs::create_dir(&folder).unwrap();
    for (name, content) in files {
        fs::write(folder.join(name), content).unwrap();
    }
    (dir, folder)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_reservation_is_a_file_like_the_references() {
    let dir = tempfile::tempdir().unwrap();
    let mut reservations = open(&dir);
    assert!(reservations.reserve(ip("10.1.2.2"), &owner("c1", "eth0")).unwrap());
    assert!(reservations.reserve(ip("2001:db8::2"), &owner("c1", "eth0")).unwrap());
    assert!(!reservations.reserve(ip("10.1.2.2"), &owner("c2", "eth0")).unwrap());
    reservations.set_last(0, ip("10.1.2.9")).unwrap();
    reservations.set_last(0, ip("10.1.2.2")).unwrap();

    let folder = dir.path().join("pods");
    assert_eq!(names(&folder), ["10.1.2.2", "2001:db8::2", "last_reserved_ip.0", "lock"]);
    assert_eq!(fs::read(folder.join("10.1.2.2")).unwrap(), b"c1\r\neth0");
    assert_eq!(fs::read(folder.join("last_reserved_ip.0")).unwrap(), b"10.1.2.2");
    let mode = |name| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("10.1.2.2"), mode("last_reserved_ip.0")), (0o600, 0o600));

    drop(reservations);
    let again = open(&dir);
    assert_eq!(again.of_owner(&owner("c1", "eth0")), [ip("10.1.2.2"), ip("2001:db8::2")]);
    assert_eq!(again.last(0).unwrap(), Some(ip("10.1.2.2")));
}

#[test]
fn owners_are_distinguished_and_old_files_match_by_container() {
    let (dir, folder) = with(&[
        ("10.1.2.2", "c1\r\neth0"),
        ("10.1.2.3", "c1\r\neth1"),
        ("10.1.2.4", " c2\n"),
        ("10.1.2.5", "c1\neth0"),
        ("10.1.2.6", " c3\r\neth0\n"),
    ]);
    let mut reservations = open(&dir);
    let of = |container, ifname| reservations.of_owner(&owner(container, ifname));
    assert_eq!(of("c1", "eth0"), [ip("10.1.2.2")]);
    assert_eq!(of("c1", "eth1"), [ip("10.1.2.3")]);
    assert!(of("c1", "eth2").is_empty());
    assert_eq!(of("c2", "eth7"), [ip("10.1.2.4")]);
    assert_eq!(of("c3", "eth0"), [ip("10.1.2.6")]);
    reservations.release(ip("10.1.2.2")).unwrap();
    reservations.release(ip("10.1.2.2")).unwrap();
    assert!(reservations.of_owner(&owner("c1", "eth0")).is_empty());
    assert!(!folder.join("10.1.2.2").exists() && folder.join("10.1.2.3").exists());
}

#[test]
fn an_empty_file_reserves_nothing() {
    let (dir, folder) = with(&[("10.1.2.2", ""), (".draft", "c9\r\neth0")]);
    let mut reservations = open(&dir);
    assert_eq!(names(&folder), ["10.1.2.2", "lock"]);
    assert_eq!(reservations.holder(ip("10.1.2.2")), None);
    assert_eq!(reservations.all(), [(ip("10.1.2.2"), Holder::Nobody)]);
    assert!(reservations.reserve(ip("10.1.2.2"), &owner("c1", "eth0")).unwrap());
    assert_eq!(fs::read(folder.join("10.1.2.2")).unwrap(), b"c1\r\neth0");
}

#[test]
fn foreign_files_reserve_an_address_but_links_are_never_followed() {
    let (dir, folder) =
        with(&[("notes", "c1\r\neth0"), ("2001:DB8::0", "c1"), ("10.1.2.9", "two words")]);
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "c1\r\neth0").unwrap();
    symlink(&elsewhere, folder.join("10.1.2.3")).unwrap();
    symlink(&elsewhere, folder.join("last_reserved_ip.0")).unwrap();
    fs::create_dir(folder.join("10.1.2.4")).unwrap();

    let mut reservations = open(&dir);
    assert!(reservations.of_owner(&owner("c1", "eth0")).is_empty());
    for taken in ["10.1.2.3", "10.1.2.4", "10.1.2.9"] {
        assert_eq!(reservations.holder(ip(taken)), Some(Holder::Other));
        assert!(!reservations.reserve(ip(taken), &owner("c1", "eth0")).unwrap());
    }
    assert!(reservations.last(0).unwrap_err().msg.contains("last_reserved_ip.0: "));
    reservations.set_last(0, ip("10.1.2.7")).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "c1\r\neth0");
    assert_eq!(reservations.last(0).unwrap(), Some(ip("10.1.2.7")));
}

#[test]
fn a_file_made_behind_our_back_is_not_overwritten() {
    let (dir, folder) = with(&[]);
    let mut reservations = open(&dir);
    fs::write(folder.join("10.1.2.2"), "c2\r\neth0").unwrap();
    assert!(!reservations.reserve(ip("10.1.2.2"), &owner("c1", "eth0")).unwrap());
    assert_eq!(names(&folder), ["10.1.2.2", "lock"]);
    assert_eq!(fs::read_to_string(folder.join("10.1.2.2")).unwrap(), "c2\r\neth0");
}

#[test]
fn only_an_exact_address_counts_as_the_last_one() {
    let (dir, _) =
        with(&[("last_reserved_ip.0", "10.1.2.2\n"), ("last_reserved_ip.1", "10.1.2.2")]);
    peek(&dir, |view| {
        assert_eq!(view.last(0).unwrap(), None);
        assert_eq!(view.last(1).unwrap(), Some(ip("10.1.2.2")));
        assert_eq!(view.last(2).unwrap(), None);
    });
}

#[test]
fn looking_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(peek(&dir, View::all).is_empty());
    assert!(Reservations::open_existing(dir.path(), &network(), Instant::now()).unwrap().is_none());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_next_free_address_is_behind_the_last_one_wherever_that_is() {
    let subnet = "10.1.2.0/29".parse().unwrap();
    let keys = RangeKeys { subnet, range_start: None, range_end: None, gateway: None };
    let set = RangeSet::new(vec![Range::new(&keys).unwrap()]).unwrap();
    let (dir, _) = with(&[("10.1.2.3", "c1\r\neth0"), ("10.1.2.6", "c2\r\neth0")]);
    let mut reservations = open(&dir);
    let next = |reservations: &View, last: &str| {
        reservations.next_free(&set, last.parse().ok()).map(|ip| ip.to_string()).unwrap_or_default()
    };
    assert_eq!(next(&reservations, ""), "10.1.2.2");
    assert_eq!(next(&reservations, "10.1.2.2"), "10.1.2.4");
    assert_eq!(next(&reservations, "10.1.2.5"), "10.1.2.2");
    for taken in ["10.1.2.2", "10.1.2.4"] {
        reservations.reserve(ip(taken), &owner("c3", "eth0")).unwrap();
    }
    assert_eq!(next(&reservations, "10.1.2.5"), "10.1.2.5");
    reservations.reserve(ip("10.1.2.5"), &owner("c3", "eth0")).unwrap();
    assert_eq!(next(&reservations, "10.1.2.5"), "");
}

/// A set of 10.1.2.2 to 10.1.2.6.
fn small_set() -> RangeSet {
    let subnet = "10.1.2.0/29".parse().unwrap();
    let keys = RangeKeys { subnet, range_start: None, range_end: None, gateway: None };
    RangeSet::new(vec![Range::new(&keys).unwrap()]).unwrap()
}

fn index(dir: &TempDir) -> PathBuf {
    dir.path().join(".index/pods")
}

/// The index misses a change that is made without the lock while the plugin holds it, because the
/// plugin's own change comes later.
#[test]
fn a_wrong_index_does_no_harm() {
    let (dir, folder) = with(&[("10.1.2.2", "c1\r\neth0"), ("10.1.2.3", "c2\r\neth0")]);
    let mut reservations = open(&dir);
    assert!(reservations.reserve(ip("10.1.2.4"), &owner("c3", "eth0")).unwrap());
    fs::write(folder.join("10.1.2.5"), "c4\r\neth0").unwrap();
    fs::rename(folder.join("10.1.2.3"), folder.join("10.1.2.6")).unwrap();
    fs::write(folder.join("10.1.2.2"), "c9\r\neth0").unwrap();
    assert!(reservations.reserve(ip("10.9.9.9"), &owner("c8", "eth0")).unwrap());
    drop(reservations);

    // The address is free in the index, but has a file.
    let last = Some(ip("10.1.2.4"));
    let mut reservations = open(&dir);
    assert_eq!(reservations.next_free(&small_set(), last), Some(ip("10.1.2.5")));
    assert!(!reservations.reserve(ip("10.1.2.5"), &owner("c5", "eth0")).unwrap());
    assert_eq!(reservations.next_free(&small_set(), last), Some(ip("10.1.2.3")));
    assert_eq!(reservations.of_owner(&owner("c2", "eth0")), [ip("10.1.2.6")]);
}

#[test]
fn an_address_without_a_matching_file_has_no_holder() {
    let (dir, folder) = with(&[("10.1.2.2", "c1\r\neth0")]);
    drop(open(&dir));
    // A change in place changes neither the directory nor the index.
    fs::write(folder.join("10.1.2.2"), "c9\r\neth0").unwrap();
    let mut reservations = open(&dir);
    let mut held = |name| reservations.ask(|view| Ok(view.of_owner(&owner(name, "eth0")))).unwrap();
    assert!(held("c1").is_empty());
    assert_eq!(held("c9"), [ip("10.1.2.2")]);
}

#[test]
fn a_full_set_is_reported_only_from_the_directory() {
    let (dir, folder) = with(&[]);
    let mut reservations = open(&dir);
    for number in 2..=6 {
        let free = ip(&format!("10.1.2.{number}"));
        reservations.reserve(free, &owner(&format!("c{number}"), "eth0")).unwrap();
    }
    fs::remove_file(folder.join("10.1.2.3")).unwrap();
    reservations.set_last(0, ip("10.1.2.6")).unwrap();
    drop(reservations);
    let mut reservations = open(&dir);
    assert_eq!(reservations.next_free(&small_set(), None), None);
    let free = reservations.ask(|view| Ok(view.next_free(&small_set(), None))).unwrap();
    assert_eq!(free, Some(ip("10.1.2.3")));
    assert_eq!(peek(&dir, |view| view.next_free(&small_set(), None)), free);

    // The index is valid until something is changed.
    reservations.reserve(ip("10.1.2.3"), &owner("c3", "eth0")).unwrap();
    drop(reservations);
    let full =
        |dir: &TempDir| open(dir).ask(|view| Ok(view.next_free(&small_set(), None))).unwrap();
    assert_eq!(full(&dir), None);
    let made = fs::metadata(index(&dir)).unwrap().ino();
    assert_eq!(full(&dir), None);
    assert_eq!(fs::metadata(index(&dir)).unwrap().ino(), made);
}

#[test]
fn an_index_that_could_not_be_written_to_is_not_believed() {
    let (dir, _) = with(&[("10.1.2.2", "c1\r\neth0")]);
    drop(open(&dir));
    let mut reservations = open(&dir);
    // The node of 10.1.2.0/24 cannot be read any more.
    let mut bytes = fs::read(index(&dir)).unwrap();
    let key = [0x40, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x01, 0x0a];
    let node = bytes.windows(key.len()).position(|it| it == key).unwrap();
    bytes[node + 63] ^= 1;
    fs::write(index(&dir), bytes).unwrap();
    assert!(reservations.reserve(ip("10.1.2.3"), &owner("c2", "eth0")).unwrap());
    drop(reservations);
    assert_eq!(open(&dir).of_owner(&owner("c2", "eth0")), [ip("10.1.2.3")]);
}

#[test]
fn a_read_during_a_change_is_repeated() {
    let (dir, _) = with(&[]);
    drop(open(&dir));
    let asked = Cell::new(0);
    let free = peek(&dir, |view| {
        let free = view.next_free(&small_set(), None);
        if asked.replace(asked.get() + 1) == 0 {
            open(&dir).reserve(ip("10.1.2.2"), &owner("c1", "eth0")).unwrap();
        }
        free
    });
    assert_eq!((free, asked.get()), (Some(ip("10.1.2.3")), 2));
}

#[test]
fn nothing_but_the_index_is_beside_the_folders() {
    let (dir, folder) = with(&[("10.1.2.2", "c1\r\neth0")]);
    fs::create_dir(dir.path().join(".index")).unwrap();
    fs::write(dir.path().join(".index/.pods"), "left by a killed one").unwrap();
    drop(open(&dir));
    assert_eq!(names(&dir.path().join(".index")), ["pods"]);
    assert_eq!(fs::metadata(index(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&folder), ["10.1.2.2", "lock"]);

    // The index is removed with the directory.
    fs::remove_dir_all(&folder).unwrap();
    let deadline = Instant::now();
    assert!(Reservations::open_existing(dir.path(), &network(), deadline).unwrap().is_none());
    assert_eq!(names(&dir.path().join(".index")), Vec::<String>::new());
}
