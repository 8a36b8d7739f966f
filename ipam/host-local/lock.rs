//! The lock of a network's folder: `flock(2)` on its file `lock`, which the reference takes too.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use libcni::{Context, Error, Result, code};
use nix::fcntl::OFlag;

/// The longest a call waits for the lock, which is held for about a millisecond per call.
const LONGEST: Duration = Duration::from_secs(30);

/// How long the first and the longest pause between two tries are.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// Waits until the lock of `folder` is ours. It is given back when the file is closed.
///
/// It gives up a little before `deadline`, at which whoever called this plugin may kill it, so that they hear why.
///
/// A lock that somebody removed and made anew while we waited is no lock any more: then the new one is taken.
pub fn take(folder: &Path, deadline: Instant) -> Result<File> {
    let path = folder.join("lock");
    let start = Instant::now();
    let left = deadline.saturating_duration_since(start);
    let limit = LONGEST.min(left - left / 10);
    loop {
        let file = open(&path).context(|| format!("open the lock {}", path.display()))?;
        wait(&file, &path, start, limit)?;
        if is_at(&file, &path).context(|| format!("look at the lock {}", path.display()))? {
            return Ok(file);
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(0o750)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
}

/// `flock` has no deadline of its own, and a thread or signal to end it would cost more than it saves. So this looks
/// again, at growing intervals.
fn wait(file: &File, path: &Path, start: Instant, limit: Duration) -> Result<()> {
    let (mut pause, longest) = PAUSE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).context(|| format!("lock {}", path.display()));
            }
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(timed_out(file, path, limit));
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(longest);
    }
}

fn timed_out(file: &File, path: &Path, limit: Duration) -> Error {
    let msg = format!("timed out after {limit:?} waiting for the lock {}", path.display());
    let error = Error::new(code::TRY_AGAIN, msg);
    match holder(file) {
        Some(holder) => error.details(format!("it is held by {holder}")),
        None => error,
    }
}

/// Whether `path` still leads to this file.
fn is_at(file: &File, path: &Path) -> std::io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that holds the lock, from `/proc/locks` (`proc_locks(5)`), if it can be told.
fn holder(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino();
    let pid = holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)?;
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => Some(format!("process {pid} ({})", name.trim())),
        Err(_) => Some(format!("process {pid}")),
    }
}

/// Finds a line like `2: FLOCK  ADVISORY  WRITE 708 00:13:1234 0 EOF`. The inode alone is compared: the device is shown
/// as another one than `stat(2)`'s on some file systems.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "FLOCK", _, _, pid, at, ..] if at.rsplit(':').next() == Some(&inode.to_string()) => {
            pid.parse().ok()
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_among_waiters_and_others() {
        let locks = "1: POSIX  ADVISORY  READ 5 00:13:77 128 128\n2: FLOCK  ADVISORY  WRITE 708 fd:01:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 709 fd:01:77 0 EOF\n3: FLOCK  ADVISORY  WRITE 9 fd:01:177 0 EOF\n";
        assert_eq!(holder_in(locks, 77), Some(708));
        assert_eq!(holder_in(locks, 177), Some(9));
        assert_eq!(holder_in(locks, 7), None);
    }

    #[test]
    fn waiting_ends_with_the_name_of_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path(), Instant::now()).unwrap();
        let error = take(folder.path(), Instant::now()).unwrap_err();
        assert_eq!(error.code, code::TRY_AGAIN);
        assert!(error.msg.starts_with("timed out after 0ns waiting for the lock /"), "{error}");
        assert!(error.details.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        take(folder.path(), Instant::now()).unwrap();
    }

    #[test]
    fn a_lock_that_was_made_anew_is_taken_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let old = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&old, &path).unwrap());
        let new = take(folder.path(), Instant::now()).unwrap();
        assert!(is_at(&new, &path).unwrap() && !is_at(&old, &path).unwrap());
    }

    #[test]
    fn a_symlink_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("lock")).unwrap();
        let error = take(folder.path(), Instant::now()).unwrap_err();
        assert!(error.msg.contains("/lock: "), "{error}");
        assert!(!elsewhere.exists());
    }
}
