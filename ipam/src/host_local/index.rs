//! The index: the content of the files in a network's directory, which saves reading all of them.
//!
//! It is a file beside the networks' directories, `<dataDir>/.index/<network>`: the reference reads
//! every file of a network's directory, and no network name starts with a dot. The directory is
//! authoritative. The index is a cache, which is rebuilt from the directory whenever it may be
//! wrong. It may be deleted at any time.
//!
//! # When it is valid
//!
//! Its header contains the directory's device and inode, the boot ID, and the times of the
//! directory's last change. After its own change, still under the lock, the plugin sets the
//! directory's modification time to one a little in the past, and then writes the header with it.
//! Any later addition to or removal from the directory, with or without the lock, sets the
//! modification time to that moment, which differs, however coarse the kernel's clock is. The
//! header also has the change time of the inode, which no program can set back. So:
//!
//! - a change by the reference plugin or by hand is detected, and the index is rebuilt;
//! - a plugin changes the directory first and the header last, so if it is killed in between, they
//!   do not match;
//! - after a power loss, when some pages of the index may be older than the directory, the boot ID
//!   differs.
//!
//! # When it may still be wrong
//!
//! A change that another program makes without the lock while a plugin holds it is not detected,
//! because the plugin's own change comes later; neither is a file whose content is changed in
//! place. So no harmful action relies on the index alone:
//!
//! - an address is reserved by creating a file that must not exist yet; if it exists, the index is
//!   rebuilt;
//! - an address is released only after its file was read and names the owner; if it does not, the
//!   index is rebuilt;
//! - "no address is left" is reported only from an index that was rebuilt from the current
//!   directory;
//! - GC reads the directory, and CHECK and REPAIR read the files of the requested addresses.
//!
//! # Contents
//!
//! A header, and a hash table ([`table`]) with two kinds of entries: the addresses of an owner
//! ([`owners`]), and a tree of bits for the reserved addresses ([`taken`]). A call reads and writes
//! a handful of entries.

mod owners;
mod table;
mod taken;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use libcni::NetworkName;
use rustix::fs::OFlags;
use rustix::process::geteuid;

use crate::host_local::folder::Stamp;
pub use owners::Held;
pub use table::Table;
use table::{HEADER, check};

/// The first bytes of an index. Another format starts with other bytes.
const MAGIC: u64 = u64::from_be_bytes(*b"hl-index");

/// The keys of the header's checksum.
const KEYS: [u64; 2] = [MAGIC, MAGIC];

/// The number of words in the header.
const WORDS: usize = HEADER / 8;

/// The number of bytes written to a new index at a time; blocks of zeros are skipped.
const PIECE: usize = 64 << 10;

/// An index.
#[derive(Debug)]
pub struct Index {
    /// Its entries.
    pub table: Table,
    /// Whether it was rebuilt from the current directory, rather than updated along with changes.
    pub from_folder: bool,
    /// The number of headers written, so that no two headers are equal.
    number: u64,
    /// The boot ID, if the kernel provides it.
    boot: Option<[u64; 2]>,
}

/// The header of an index.
struct Header {
    homes: u64,
    used: u64,
    keys: [u64; 2],
    number: u64,
    from_folder: bool,
    old_form: bool,
    boot: [u64; 2],
    folder: Stamp,
}

impl Index {
    /// An empty index in memory.
    pub fn new() -> Index {
        Index { table: Table::new(), from_folder: true, number: 0, boot: boot().ok() }
    }

    /// Loads the index of the current directory; `None` if it does not exist or may be wrong.
    pub fn load(at: &Location, now: &Stamp, writable: bool) -> Option<Index> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(flags)
            .open(&at.file)
            .ok()?;
        // In a world-writable directory the file may belong to another user, and have any content.
        let about = file.metadata().ok()?;
        if !about.is_file() || about.uid() != geteuid().as_raw() || about.nlink() != 1 {
            return None;
        }
        let header = Header::read(&file)?;
        let boot = boot().ok()?;
        if header.folder != *now || header.boot != boot {
            return None;
        }
        let mut table = Table::in_file(file, header.homes, header.used, header.keys)?;
        if table.length() != about.len() {
            return None;
        }
        table.old_form = header.old_form;
        let Header { from_folder, number, .. } = header;
        Some(Index { table, from_folder, number, boot: Some(boot) })
    }

    /// Whether no process has written to it since it was loaded, by the number in its header.
    pub fn is_unchanged(&self) -> bool {
        let header = self.table.file().and_then(Header::read);
        header.is_some_and(|header| header.number == self.number)
    }

    /// Writes the entries that are only in memory, and the header last. From then on the index is
    /// valid while the directory has this stamp.
    pub fn save(&mut self, at: &Location, folder: &Stamp) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        let header = Header {
            homes: self.table.homes,
            used: self.table.used,
            keys: self.table.keys,
            number: self.number,
            from_folder: self.from_folder,
            old_form: self.table.old_form,
            boot: self.boot.ok_or(ErrorKind::Unsupported)?,
            folder: *folder,
        };
        let header = header.bytes();
        match self.table.file() {
            Some(file) => file.write_all_at(header.as_flattened(), 0),
            None => at.replace(header.as_flattened(), self.table.bytes()),
        }
    }
}

impl Header {
    fn bytes(&self) -> [[u8; 8]; WORDS] {
        let ([key, other_key], [boot, more_boot]) = (self.keys, self.boot);
        let Stamp([device, inode, mtime, mtime_nsec, ctime, ctime_nsec]) = self.folder;
        let flags = u64::from(self.from_folder) | u64::from(self.old_form) << 1;
        let (homes, used, number) = (self.homes, self.used, self.number);
        let words = [
            MAGIC, homes, used, key, other_key, number, flags, boot, more_boot, device, inode,
            mtime, mtime_nsec, ctime, ctime_nsec,
        ];
        let mut bytes = [[0; 8]; WORDS];
        for (place, word) in bytes.iter_mut().zip(words.into_iter().chain([check(KEYS, words)])) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Reads the header; `None` if it is missing or has another format.
    fn read(file: &File) -> Option<Header> {
        let mut bytes = [[0; 8]; WORDS];
        file.read_exact_at(bytes.as_flattened_mut(), 0).ok()?;
        let [words @ .., found] = bytes.map(u64::from_le_bytes);
        let [magic, homes, used, key, other_key, number, flags, boot, more_boot, folder @ ..] =
            words;
        let is_ours = magic == MAGIC && found == check(KEYS, words);
        is_ours.then_some(Header {
            homes,
            used,
            keys: [key, other_key],
            number,
            from_folder: flags & 1 != 0,
            old_form: flags & 2 != 0,
            boot: [boot, more_boot],
            folder: Stamp(folder),
        })
    }
}

/// The location of a network's index.
#[derive(Debug)]
pub struct Location {
    folder: PathBuf,
    file: PathBuf,
    draft: PathBuf,
}

impl Location {
    /// The location for a network whose directory is in `dir`.
    pub fn of(dir: &Path, network: &NetworkName) -> Location {
        let folder = dir.join(".index");
        let (file, draft) = (folder.join(network.as_str()), folder.join(format!(".{network}")));
        Location { folder, file, draft }
    }

    /// Removes the index of a network whose directory no longer exists.
    pub fn remove(&self) {
        if !self.is_ours() {
            return;
        }
        for file in [&self.file, &self.draft] {
            fs::remove_file(file).ok();
        }
    }

    /// Whether the plugin made the directory of indexes. It must not write through a symbolic link,
    /// or into another user's directory.
    fn is_ours(&self) -> bool {
        let about = fs::symlink_metadata(&self.folder);
        about.is_ok_and(|about| about.is_dir() && about.uid() == geteuid().as_raw())
    }

    /// Replaces the index by a new file.
    fn replace(&self, header: &[u8], bytes: &[u8]) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && self.is_ours() => {}
            made => made?,
        }
        let done = self.write(header, bytes).and_then(|()| fs::rename(&self.draft, &self.file));
        if done.is_err() {
            self.remove();
        }
        done
    }

    fn write(&self, header: &[u8], bytes: &[u8]) -> io::Result<()> {
        let file = self.create()?;
        file.set_len(bytes.len() as u64)?;
        for (piece, at) in bytes.chunks(PIECE).zip((0..).step_by(PIECE)) {
            if piece.iter().any(|byte| *byte != 0) {
                file.write_all_at(piece, at)?;
            }
        }
        file.write_all_at(header, 0)
    }

    fn create(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        match options.open(&self.draft) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&self.draft)?;
                options.open(&self.draft)
            }
            made => made,
        }
    }
}

/// The boot ID, a UUID.
fn boot() -> io::Result<[u64; 2]> {
    let mut text = [0; 36];
    File::open("/proc/sys/kernel/random/boot_id")?.read_exact(&mut text)?;
    let digits = String::from_utf8_lossy(&text).replace('-', "");
    let id = u128::from_str_radix(&digits, 16).map_err(|_| ErrorKind::InvalidData)?;
    Ok([id as u64, (id >> 64) as u64])
}

#[cfg(test)]
mod tests;
