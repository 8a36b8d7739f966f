//! The index: what the files of a network's folder say, so that nobody has to read all of them.
//!
//! It is a file of its own beside the networks' folders, `<dataDir>/.index/<network>`: the reference reads every file of a
//! network's folder, and no network's name starts with a dot. The folder remains the truth. The index is a cache, made anew
//! from the folder whenever there is any doubt about it, and anybody may delete it at any time.
//!
//! # When it is believed
//!
//! Its header names the folder (device and inode), the boot, and the times of the folder's last change. After a change of our
//! own, still under the lock, we set the folder's time of last change to one that lies a little in the past, and then write
//! the header with it. Whatever anybody adds to the folder or removes from it later, with the lock or without, gives the
//! folder the time of that moment, which is another one, however coarse the kernel's clock is. And nobody can set the time of
//! the inode's change back, which the header has too. So:
//!
//! - a change by the reference plugin or by hand is seen, and the index made anew;
//! - of a plugin that is killed, the change of the folder is there first and the header last: in between they do not match;
//! - after a power loss, when some of the index's pages may be older than the folder, it is another boot.
//!
//! # What may be wrong all the same
//!
//! What somebody does without the lock while we hold it is not seen, since our own change comes after; nor is a file whose
//! content is changed in place. So nothing that does harm follows from the index alone:
//!
//! - an address is reserved by a file that must not be there yet; if it is there, the index is made anew;
//! - an address is released after its file was read and names the owner; if it does not, the index is made anew;
//! - "no address is left" is said only by an index that was made from the folder as it is now;
//! - GC reads the folder, and CHECK and REPAIR the files of the addresses they are asked about.
//!
//! # What is in it
//!
//! A header, and a hash table ([`table`]) with two sorts of entries: the addresses of an owner ([`owners`]), and a tree of
//! bits that says which addresses are taken ([`taken`]). A call reads and writes a handful of entries.

#[path = "index/owners.rs"]
mod owners;
#[path = "index/table.rs"]
mod table;
#[path = "index/taken.rs"]
mod taken;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use libcni::NetworkName;
use rustix::fs::OFlags;

use crate::host_local::folder::Stamp;
pub use owners::Held;
pub use table::Table;
use table::{HEADER, check};

/// What an index starts with. Another format starts with something else.
const MAGIC: u64 = u64::from_be_bytes(*b"hl-index");

/// The keys of the header's check value.
const KEYS: [u64; 2] = [MAGIC, MAGIC];

/// How many words the header has.
const WORDS: usize = HEADER / 8;

/// How much is written to a new index at a time; what is all zero is left out.
const PIECE: usize = 64 << 10;

/// An index.
#[derive(Debug)]
pub struct Index {
    /// What it says.
    pub table: Table,
    /// Whether it was made from the folder as it is now, and not from what was done to it.
    pub from_folder: bool,
    /// Counts the headers that were written, so that two are never the same.
    number: u64,
    /// Which boot this is, if the kernel says so.
    boot: Option<[u64; 2]>,
}

/// What the first bytes of an index say.
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
    /// An empty one, in memory.
    pub fn new() -> Index {
        Index { table: Table::new(), from_folder: true, number: 0, boot: boot().ok() }
    }

    /// The index for the folder as it is now; none if there is no such, or any doubt about it.
    pub fn load(at: &Location, now: &Stamp, writable: bool) -> Option<Index> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(flags)
            .open(&at.file)
            .ok()?;
        let header = Header::read(&file)?;
        let boot = boot().ok()?;
        if header.folder != *now || header.boot != boot {
            return None;
        }
        let mut table = Table::in_file(file, header.homes, header.used, header.keys)?;
        table.old_form = header.old_form;
        let Header { from_folder, number, .. } = header;
        Some(Index { table, from_folder, number, boot: Some(boot) })
    }

    /// Whether nobody has written to it since it was loaded, as far as it tells itself.
    pub fn is_unchanged(&self) -> bool {
        let header = self.table.file().and_then(Header::read);
        header.is_some_and(|header| header.number == self.number)
    }

    /// Writes what is in memory only, and last the header. From now on the index is believed if the folder has this stamp.
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

    /// None if there is none, or not this format's.
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

/// Where a network's index is.
#[derive(Debug)]
pub struct Location {
    folder: PathBuf,
    file: PathBuf,
    draft: PathBuf,
}

impl Location {
    /// That of a network whose folder is in `dir`.
    pub fn of(dir: &Path, network: &NetworkName) -> Location {
        let folder = dir.join(".index");
        let (file, draft) = (folder.join(network.as_str()), folder.join(format!(".{network}")));
        Location { folder, file, draft }
    }

    /// Removes the index, of a network whose folder is gone.
    pub fn remove(&self) {
        for file in [&self.file, &self.draft] {
            fs::remove_file(file).ok();
        }
    }

    /// Puts another file in the place of the index.
    fn replace(&self, header: &[u8], bytes: &[u8]) -> io::Result<()> {
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
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).create(&self.folder)?;
                options.open(&self.draft)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&self.draft)?;
                options.open(&self.draft)
            }
            made => made,
        }
    }
}

/// Which boot this is. It is an UUID.
fn boot() -> io::Result<[u64; 2]> {
    let mut text = [0; 36];
    File::open("/proc/sys/kernel/random/boot_id")?.read_exact(&mut text)?;
    let digits = String::from_utf8_lossy(&text).replace('-', "");
    let id = u128::from_str_radix(&digits, 16).map_err(|_| ErrorKind::InvalidData)?;
    Ok([id as u64, (id >> 64) as u64])
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
