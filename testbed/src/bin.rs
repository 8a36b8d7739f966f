//! The binaries under test: the release binaries, which must not be older than their sources.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

/// The directories of the workspace's packages that are compiled into the binaries.
const SOURCES: [&str; 5] = ["libcni", "kernel", "plugins", "ipam", "cnitool"];
/// The directory of Debian's `containernetworking-plugins`, the reference suite.
const REFERENCE: &str = "/usr/lib/cni";

/// The directory of the built binaries: `FERROCNI_BIN`, or `bin` of the workspace.
///
/// # Panics
///
/// If the directory is missing, or a binary is older than the sources: run `scripts/build`.
pub fn bin() -> PathBuf {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    let found = BIN.get_or_init(|| {
        let folder =
            std::env::var_os("FERROCNI_BIN").map_or_else(|| root().join("bin"), Into::into);
        // Absolute, because it becomes a part of CNI_PATH, and plugins run in other working
        // directories.
        let folder = fs::canonicalize(&folder).unwrap_or(folder);
        assert_fresh(&folder, &root());
        folder
    });
    found.clone()
}

/// The built binary `name`.
///
/// # Panics
///
/// As [`bin`], and if the binary is missing.
pub fn binary(name: &str) -> PathBuf {
    in_folder(&bin(), name)
}

/// Copies [`bin`] to `folder`, with a host-local that has the mark of another build in its last
/// line. Plugins then run this file, instead of calling the host-local that is linked into them.
///
/// # Panics
///
/// As [`bin`], or if the directory cannot be made.
pub fn host_local_apart(folder: &Path) -> PathBuf {
    fs::create_dir(folder).expect("make a folder for the suite");
    for file in fs::read_dir(bin()).expect("list the binaries") {
        let file = file.expect("list the binaries").path();
        let name = file.file_name().expect("the name of a binary");
        std::os::unix::fs::symlink(&file, folder.join(name)).expect("link a binary");
    }
    let host_local = folder.join("host-local");
    fs::remove_file(&host_local).expect("remove the link");
    let mut binary = fs::read(binary("host-local")).expect("read host-local");
    binary.extend(b"another build\n");
    fs::write(&host_local, binary).expect("write host-local");
    fs::set_permissions(&host_local, fs::Permissions::from_mode(0o755)).expect("make it run");
    folder.to_owned()
}

/// The directory of the reference suite.
///
/// # Panics
///
/// If it is not installed.
pub fn reference() -> PathBuf {
    let folder = PathBuf::from(REFERENCE);
    assert!(
        folder.join("bridge").is_file(),
        "no reference plugins in {REFERENCE}: apt-get install containernetworking-plugins"
    );
    folder
}

/// The binary `name` in `folder`, which must exist.
pub(crate) fn in_folder(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    assert!(path.is_file(), "{}: no such binary: run scripts/build", path.display());
    path
}

/// Checks that no file in `folder` is older than the sources under `workspace`.
///
/// Only sources that are compiled into the binaries count; tests and examples may be newer.
///
/// # Panics
///
/// If a file is older, or the directory is empty: run `scripts/build`.
pub fn assert_fresh(folder: &Path, workspace: &Path) {
    let (oldest, built) = files(folder)
        .into_iter()
        .min_by_key(|(_, time)| *time)
        .unwrap_or_else(|| panic!("no binaries in {}: run scripts/build", folder.display()));
    let (newest, changed) = sources(workspace)
        .into_iter()
        .max_by_key(|(_, time)| *time)
        .unwrap_or_else(|| panic!("no sources in {}", workspace.display()));
    assert!(
        built >= changed,
        "{} is older than {}: run scripts/build",
        oldest.display(),
        newest.display()
    );
}

/// The workspace of this crate.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate inside a workspace").to_owned()
}

type Stamped = (PathBuf, SystemTime);

/// The regular files directly in `folder`, except hidden ones.
fn files(folder: &Path) -> Vec<Stamped> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !name(path).starts_with('.'))
        .map(stamp)
        .collect()
}

/// The sources of the binaries.
fn sources(workspace: &Path) -> Vec<Stamped> {
    let mut found: Vec<Stamped> = ["Cargo.toml", "Cargo.lock"]
        .map(|file| workspace.join(file))
        .into_iter()
        .filter(|path| path.is_file())
        .map(stamp)
        .collect();
    SOURCES.iter().for_each(|package| collect(&workspace.join(package), &mut found));
    found
}

fn collect(folder: &Path, found: &mut Vec<Stamped>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = name(&path);
        if path.is_dir() && !matches!(name.as_str(), "tests" | "examples" | "benches" | "target") {
            collect(&path, found);
        } else if name == "Cargo.toml" || path.extension().is_some_and(|end| end == "rs") {
            found.push(stamp(path));
        }
    }
}

fn stamp(path: PathBuf) -> Stamped {
    let time = fs::metadata(&path).and_then(|meta| meta.modified());
    let time = time.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, time)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
