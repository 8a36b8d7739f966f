//! The lock of a network's directory: `flock(2)` on its file `lock`, which the reference uses too.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use libcni::{Code, Context, Error, Result, file};
use rustix::fs::{Access, OFlags, access};

/// The stack size of the waiting thread.
const STACK: usize = 64 << 10;

/// Waits for the lock of `folder`, which is released when the file is closed. `None` if the
/// directory does not exist.
///
/// It fails a little before `deadline`, when the caller may kill this plugin, so that the caller
/// gets the reason.
///
/// If another process removes and recreates the lock file during the wait, the old lock is void,
/// and the new one is taken.
pub fn take(folder: &Path, deadline: Instant) -> Result<Option<File>> {
    let path = folder.join("lock");
    let start = Instant::now();
    let left = deadline.saturating_duration_since(start);
    let limit = left - left / 10;
    loop {
        let file = match open(&path) {
            // No reservation can exist in a directory whose name is too long for the file system.
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) =>
            {
                return Ok(None);
            }
            file => file.context(|| format!("open the lock {}", path.display()))?,
        };
        file::regular(&file).context(|| format!("open the lock {}", path.display()))?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(TryLockError::WouldBlock) => wait(file, &path, limit, start)?,
            Err(TryLockError::Error(error)) => {
                return Err(error).context(|| format!("lock {}", path.display()));
            }
        };
        if is_at(&file, &path).context(|| format!("look at the lock {}", path.display()))? {
            return Ok(Some(file));
        }
    }
}

/// Checks that the lock of `folder` could be taken, as far as possible without creating it. Does
/// not wait for its holder.
///
/// # Errors
///
/// Returns the reason why it could not be taken.
pub fn usable(folder: &Path) -> Result<()> {
    let path = folder.join("lock");
    match fs::symlink_metadata(&path) {
        Ok(lock) if lock.is_file() => {
            let can = Access::READ_OK | Access::WRITE_OK;
            access(&path, can).map_err(io::Error::from)
        }
        Ok(_) => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
    .context(|| format!("open the lock {}", path.display()))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(0o750)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
}

/// `flock` has no timeout, so another thread waits in it, and this thread waits for that one. A
/// polling process would sleep most of the time that the lock is free.
///
/// The other thread owns the file: if it gets the lock after the timeout, it closes the file, which
/// releases the lock.
fn wait(file: File, path: &Path, limit: Duration, start: Instant) -> Result<File> {
    let left = limit.saturating_sub(start.elapsed());
    if left.is_zero() {
        return Err(timed_out(inode(&file), path, limit));
    }
    let of_lock = inode(&file);
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::Builder::new().stack_size(STACK).spawn(move || {
        let locked = loop {
            match file.lock() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => break done,
            }
        };
        sender.send(locked.map(|()| file)).ok();
    });
    let waiter = waiter.context(|| format!("start a thread to wait for {}", path.display()))?;
    let Ok(locked) = receiver.recv_timeout(left) else {
        return Err(timed_out(of_lock, path, limit));
    };
    waiter.join().ok();
    locked.context(|| format!("lock {}", path.display()))
}

fn inode(file: &File) -> Option<u64> {
    Some(file.metadata().ok()?.ino())
}

fn timed_out(inode: Option<u64>, path: &Path, limit: Duration) -> Error {
    let msg = format!("timed out after {limit:?} waiting for the lock {}", path.display());
    let error = Error::new(Code::TRY_AGAIN, msg);
    match inode.and_then(holder) {
        Some(holder) => error.details(format!("it is held by {holder}")),
        None => error,
    }
}

/// Whether `path` still refers to this file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that holds the lock, from `/proc/locks` (`proc_locks(5)`), if known.
fn holder(inode: u64) -> Option<String> {
    let pid = holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)?;
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => Some(format!("process {pid} ({})", name.trim())),
        Err(_) => Some(format!("process {pid}")),
    }
}

/// Finds a line like `2: FLOCK ADVISORY WRITE 708 00:13:1234 0 EOF`. Only the inode is compared: on
/// some file systems the device differs from that of `stat(2)`.
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
        let held = take(folder.path(), Instant::now()).unwrap().unwrap();
        let error = take(folder.path(), Instant::now()).unwrap_err();
        assert_eq!(error.code, Code::TRY_AGAIN);
        assert!(error.msg.starts_with("timed out after 0ns waiting for the lock /"), "{error}");
        assert!(error.details.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        take(folder.path(), Instant::now()).unwrap().unwrap();
    }

    #[test]
    fn a_lock_that_was_made_anew_is_taken_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let old = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&old, &path).unwrap());
        let new = take(folder.path(), Instant::now()).unwrap().unwrap();
        assert!(is_at(&new, &path).unwrap() && !is_at(&old, &path).unwrap());
    }

    #[test]
    fn a_lock_file_that_is_recreated_during_the_wait_is_locked_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = take(folder.path(), Instant::now()).unwrap().unwrap();
        let soon = Instant::now() + Duration::from_secs(20);
        let taken = thread::scope(|scope| {
            let waiter = scope.spawn(|| take(folder.path(), soon).unwrap().unwrap());
            // The thread has opened the old file by then, or opens the new one. In both cases it
            // gets the new lock.
            thread::sleep(Duration::from_millis(50));
            fs::remove_file(&path).unwrap();
            drop(open(&path).unwrap());
            drop(held);
            waiter.join().unwrap()
        });
        assert!(is_at(&taken, &path).unwrap());
    }

    #[test]
    fn a_waiter_that_gave_up_does_not_get_the_lock_later() {
        let folder = tempfile::tempdir().unwrap();
        let held = take(folder.path(), Instant::now()).unwrap().unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(take(folder.path(), soon).unwrap_err().code, Code::TRY_AGAIN);
        drop(held);
        let later = || Instant::now() + Duration::from_secs(20);
        for _ in 0..100 {
            take(folder.path(), later()).unwrap().unwrap();
        }
    }

    #[test]
    fn one_at_a_time_has_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let inside = std::sync::Mutex::new(());
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = take(folder.path(), deadline).unwrap().unwrap();
                        let alone = inside.try_lock().unwrap();
                        thread::yield_now();
                        drop(alone);
                        drop(lock);
                    }
                });
            }
        });
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
