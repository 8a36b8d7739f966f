//! A disk of its own for each host: what a test writes does not reach the machine or another test.
//!
//! Plugins keep state in any directory: `/var/lib/NAME`, `/var/log`, `/tmp`, `/opt`. So the root of
//! a host is an overlay of the machine's root, whose changes are in memory. The file systems that
//! are mounted on the machine are overlaid in the same way. `/proc`, `/sys` and `/dev` stay.

mod changes;
mod mounts;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{chdir, pivot_root};
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// The changes are below this directory while the disk is made. It exists on every machine, and
/// the new root has another file system there.
const STORE: &str = "/proc";
/// The new root while the disk is made.
const ROOT: &str = "/proc/root";
/// Directories with file systems of the kernel, which are not overlaid.
const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Directories that each host has to itself, empty at first.
const OWN: [&str; 3] = ["/run", "/var/lib/cni", "/etc/cni"];

/// The mount namespace of the process before it makes the first disk.
static PRISTINE: OnceLock<File> = OnceLock::new();

/// The disk of a host.
#[derive(Debug, Default)]
pub struct Disk {
    layers: Vec<Layer>,
    /// The directories that are the machine's own.
    shared: Vec<PathBuf>,
    /// Programs and directories of programs, which the host's own directories would hide.
    kept: Vec<(PathBuf, OwnedFd)>,
}

/// An overlay.
#[derive(Debug)]
struct Layer {
    /// The directory that it covers.
    folder: PathBuf,
    /// The directory of the changes. It has no path in the new root.
    upper: File,
}

/// Remembers the mount namespace of this process, from which each disk is made.
///
/// # Errors
///
/// If the namespace cannot be opened.
pub fn remember_machine() -> Result<(), String> {
    let namespace = File::open("/proc/self/ns/mnt").map_err(|error| error.to_string())?;
    // A second call keeps the first namespace.
    let _ = PRISTINE.set(namespace);
    Ok(())
}

impl Disk {
    /// Gives the calling thread, and all that it starts from now on, a disk of its own. `programs`
    /// are files and directories that stay visible; see [`show_programs`](Disk::show_programs).
    ///
    /// # Errors
    ///
    /// If a mount that every kernel allows fails, or if a program is a directory that the host has
    /// to itself.
    pub fn new<'a>(programs: impl IntoIterator<Item = &'a Path>) -> Result<Disk, String> {
        let mut disk = Disk::default();
        let made = disk.make();
        made.map_err(|error| format!("make a file system for the test: {error}"))?;
        let hidden = |path: &&Path| OWN.iter().any(|own| path.starts_with(own));
        for path in programs.into_iter().filter(hidden) {
            if OWN.iter().any(|own| path == Path::new(own)) {
                return Err(format!("programs must not be in {} itself", path.display()));
            }
            let flags = OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE;
            let tree = open_tree(CWD, path, flags);
            let tree = tree.map_err(|error| format!("keep {}: {error}", path.display()))?;
            disk.kept.push((path.to_owned(), tree));
        }
        Ok(disk)
    }

    fn make(&mut self) -> Result<(), String> {
        let text = |error: nix::Error| error.to_string();
        if let Some(machine) = PRISTINE.get() {
            // A thread can change the namespace only if it shares no directory with others.
            unshare(CloneFlags::CLONE_FS).map_err(text)?;
            setns(machine, CloneFlags::CLONE_NEWNS).map_err(text)?;
        }
        unshare(CloneFlags::CLONE_NEWNS).map_err(text)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).map_err(text)?;
        let mounted = mounts::places()?;
        let options = Some("mode=755");
        mount(Some("tmpfs"), STORE, Some("tmpfs"), MsFlags::empty(), options).map_err(text)?;
        fs::create_dir(ROOT).map_err(|error| error.to_string())?;
        if self.overlay(Path::new("/"), Path::new(ROOT)) {
            self.fill(&mounted);
            enter_root().map_err(text)?;
            self.make_own_folders();
        } else {
            self.overlay_each_folder();
            umount2(STORE, MntFlags::MNT_DETACH).map_err(text)?;
        }
        Ok(())
    }

    /// Mounts an overlay of a directory. Returns whether the kernel allows it.
    fn overlay(&mut self, lower: &Path, place: &Path) -> bool {
        let changes = format!("{STORE}/{}", self.layers.len());
        let (upper, work) = (format!("{changes}/upper"), format!("{changes}/work"));
        let made = fs::metadata(lower).and_then(|meta| {
            fs::create_dir_all(&upper)?;
            fs::create_dir_all(&work)?;
            match chown(&upper, Some(meta.uid()), Some(meta.gid())) {
                // An unprivileged user cannot give a directory to a user without an ID here.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::PermissionDenied | ErrorKind::InvalidInput
                    ) => {}
                result => result?,
            }
            fs::set_permissions(&upper, meta.permissions())?;
            File::open(&upper)
        });
        let Ok(seen) = made else { return false };
        let options = format!("lowerdir={},upperdir={upper},workdir={work}", lower.display());
        let kind = Some("overlay");
        let mounted = mount(kind, place, kind, MsFlags::empty(), Some(options.as_str()));
        if mounted.is_ok() {
            self.layers.push(Layer { folder: lower.to_owned(), upper: seen });
        }
        mounted.is_ok()
    }

    /// Mounts in the new root what is mounted on the machine.
    fn fill(&mut self, mounted: &[PathBuf]) {
        for folder in OF_THE_KERNEL.iter().filter(|folder| **folder != STORE) {
            bind(Path::new(folder));
        }
        for place in mounted {
            let is_there = |folders: &[PathBuf]| folders.iter().any(|f| place.starts_with(f));
            if is_there(&self.shared) || OF_THE_KERNEL.iter().any(|of| place.starts_with(of)) {
                continue;
            }
            if !(place.is_dir() && self.overlay(place, &in_root(place))) && bind(place) {
                self.shared.push(place.clone());
            }
        }
    }

    /// Overlays each directory of the root that the kernel allows. An unprivileged user cannot
    /// overlay a directory in which something is mounted.
    fn overlay_each_folder(&mut self) {
        let not_here = |path: &PathBuf| {
            let mut left_out = OF_THE_KERNEL.iter().chain(&OWN);
            left_out.any(|folder| path == Path::new(folder))
        };
        for folder in mounts::folders(Path::new("/")).into_iter().filter(|path| !not_here(path)) {
            if self.overlay(&folder, &folder) {
                continue;
            }
            for part in mounts::folders(&folder) {
                if !self.overlay(&part, &part) {
                    self.shared.push(part);
                }
            }
        }
    }

    /// Makes the directories that each host has to itself, if the machine lacks them. `Node::new`
    /// reports those that cannot be made.
    fn make_own_folders(&self) {
        for own in OWN.map(Path::new) {
            if !self.shared.iter().any(|folder| own.starts_with(folder)) {
                let _ = fs::create_dir_all(own);
            }
        }
    }

    /// Makes the programs visible again that the host's own directories hide.
    ///
    /// # Errors
    ///
    /// If they cannot be mounted.
    pub fn show_programs(&mut self) -> Result<(), String> {
        for (path, tree) in self.kept.drain(..) {
            let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            make_place(&path, &tree).map_err(|error| wrong(&error))?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
            move_mount(tree, "", CWD, &path, flags).map_err(|error| wrong(&error))?;
        }
        Ok(())
    }

    /// The files that were made, changed or removed on this disk, except those in the host's own
    /// directories: sorted lines with the mode and the path.
    pub fn changes(&self) -> Vec<String> {
        let of = |layer: &Layer| changes::of(&layer.upper, &layer.folder);
        let mut lines: Vec<String> = self.layers.iter().flat_map(of).collect();
        lines.sort();
        lines
    }

    /// The directories that are shared with the machine and with other tests, because the kernel
    /// does not allow an overlay.
    pub fn shared(&self) -> &[PathBuf] {
        &self.shared
    }
}

/// Makes what a file or directory can be mounted on.
fn make_place(path: &Path, tree: &OwnedFd) -> std::io::Result<()> {
    if File::from(tree.try_clone()?).metadata()?.is_dir() {
        return fs::create_dir_all(path);
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    File::options().create(true).append(true).open(path).map(drop)
}

/// The path in the new root while the disk is made.
fn in_root(path: &Path) -> PathBuf {
    Path::new(ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

/// Mounts a directory of the machine, with everything below it, in the new root. Returns whether it
/// is possible.
fn bind(path: &Path) -> bool {
    let none = None::<&str>;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(path), &in_root(path), none, flags, none).is_ok()
}

/// Makes the new root the root of this thread.
fn enter_root() -> nix::Result<()> {
    let proc = Some("proc");
    mount(proc, &in_root(Path::new("/proc")), proc, MsFlags::empty(), None::<&str>)?;
    chdir(ROOT)?;
    // The old root is then mounted over the new one, and is the current directory.
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")
}
