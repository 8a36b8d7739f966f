//! A network's directory, in the reference's layout, accessed through its descriptor.
//!
//! | file | content |
//! |---|---|
//! | an address, such as `2001:db8::5` | the container ID, CR LF, the interface name |
//! | `last_reserved_ip.0`, `.1`, ... | the last address assigned from range set 0, 1, ... |
//! | `lock` | nothing; a process that changes the directory holds `flock(2)` on it |
//! | `.draft` | a file being written; it is complete before it gets one of these names |
//!
//! Old versions wrote the container ID alone. Other files are ignored.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use libcni::{Attachment, Code, Context, Error, Result, file};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::Errno;

use crate::host_local::holder::Holder;

/// The name of a file that is being written.
const DRAFT: &str = ".draft";

/// The maximum size of a file in bytes: that of an environment variable with pages of 4 KiB,
/// because container IDs come in one. The specification sets no limit.
const MAX_BYTES: usize = 128 << 10;

/// The number of bytes to read first, nearly always the whole file.
const READING: usize = 4096;

/// The buffer size in bytes for reading the directory.
const LISTING: usize = 64 << 10;

/// The directory's modification time is set this long before now. No later timestamp of the kernel
/// equals it, even on file systems with a resolution of one or two seconds.
const AGO: Duration = Duration::from_secs(3);

/// A network's directory.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    dir: File,
}

/// The identity and the last change of a directory: device, inode, and the times of the last change
/// of its content and of its inode, in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u64; 6]);

impl Folder {
    /// Opens the directory at `path`.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::DIRECTORY.bits() as i32;
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(Folder { path: path.to_owned(), dir })
    }

    /// The holder of an address, from its file; `None` if there is no file.
    ///
    /// The holder of an unreadable file, or of an entry that is not a file, is [`Holder::Other`].
    pub fn holder(&self, ip: IpAddr) -> Option<Holder> {
        self.look(ip).map(|holder| holder.unwrap_or(Holder::Other))
    }

    /// As [`Folder::holder`], but returns the error if a file cannot be read.
    fn look(&self, ip: IpAddr) -> Option<io::Result<Holder>> {
        match self.read(&ip.to_string()) {
            Ok(content) => Some(Ok(Holder::parse(&content))),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Calls `each` for every address that has a file.
    ///
    /// In the order of the inodes: if they must be read from a disk, that is many times faster than
    /// the order of the directory.
    pub fn scan(&self, mut each: impl FnMut(IpAddr, &Holder)) -> io::Result<()> {
        self.visit(|ip, holder| each(ip, &holder.unwrap_or(Holder::Other)))
    }

    /// As [`Folder::scan`], but returns the error if a file cannot be read.
    pub fn visit(&self, mut each: impl FnMut(IpAddr, io::Result<Holder>)) -> io::Result<()> {
        let mut found = self.list()?;
        found.sort_unstable_by_key(|(inode, ..)| *inode);
        for (_, ip, is_file) in found {
            let holder = if is_file { self.look(ip) } else { Some(Ok(Holder::Other)) };
            if let Some(holder) = holder {
                each(ip, holder);
            }
        }
        Ok(())
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The time when the file of an address was written.
    pub fn written(&self, ip: IpAddr) -> io::Result<SystemTime> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.dir, ip.to_string(), flags, Mode::empty())?;
        File::from(file).metadata()?.modified()
    }

    /// The entries named like an address: inode, address, and whether the entry may be a file.
    fn list(&self) -> io::Result<Vec<(u64, IpAddr, bool)>> {
        let dir = self.at(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        let mut buffer = Vec::with_capacity(LISTING);
        let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if let Some(ip) = entry.file_name().to_str().ok().and_then(address) {
                let kind = entry.file_type();
                let is_file = matches!(kind, FileType::RegularFile | FileType::Unknown);
                found.push((entry.ino(), ip, is_file));
            }
        }
        Ok(found)
    }

    /// Removes what a killed plugin may have left.
    pub fn clean(&self) -> Result<()> {
        self.remove(DRAFT)
    }

    /// Reserves an address. Returns false if its file exists already, even if it was made without
    /// the lock.
    pub fn reserve(&self, ip: IpAddr, owner: &Attachment) -> Result<bool> {
        let (name, content) = (ip.to_string(), Holder::content(owner));
        // A reservation that cannot be read back could not be released.
        if content.len() > MAX_BYTES {
            let length = owner.container.len();
            let msg = format!("reserve {ip}: the container ID has {length} characters");
            return Err(Error::new(Code::INVALID_ENVIRONMENT, msg)
                .details(format!("Use one with fewer than {MAX_BYTES}")));
        }
        self.draft(&content)?;
        match self.name_draft(&name) {
            Ok(()) => Ok(true),
            Err(error) => {
                self.remove(DRAFT)?;
                match error.kind() {
                    ErrorKind::AlreadyExists => Ok(false),
                    _ => Err(error).context(|| format!("create {}", self.path_of(&name))),
                }
            }
        }
    }

    /// Removes an address's file. A missing file is not an error.
    pub fn release(&self, ip: IpAddr) -> Result<()> {
        self.remove(&ip.to_string())
    }

    /// The last address assigned from a range set.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        let name = last_name(set);
        match self.read(&name) {
            Ok(text) => Ok(String::from_utf8(text).ok().and_then(|text| text.parse().ok())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("read {}", self.path_of(&name))),
        }
    }

    /// Records the last address assigned from a range set.
    ///
    /// A file no longer than the new content is overwritten in place: if the plugin is killed, one
    /// small write happens completely or not at all. Otherwise a new file replaces it.
    pub fn set_last(&self, set: usize, ip: IpAddr) -> Result<()> {
        let (name, text) = (last_name(set), ip.to_string());
        if let Some(file) = self.as_short(&name, text.len())
            && file.write_all_at(text.as_bytes(), 0).is_ok()
        {
            return Ok(());
        }
        self.draft(&text)?;
        let renamed = fs::renameat(&self.dir, DRAFT, &self.dir, &name);
        if renamed.is_err() {
            self.remove(DRAFT)?;
        }
        renamed.map_err(io::Error::from).context(|| format!("write {}", self.path_of(&name)))
    }

    /// Opens a file for writing, if its only link is in this directory and it is no longer than
    /// `length`.
    fn as_short(&self, name: &str, length: usize) -> Option<File> {
        let file = self.at(name, OFlags::WRONLY).ok()?;
        let meta = file.metadata().ok()?;
        (meta.is_file() && meta.nlink() == 1 && meta.len() <= length as u64).then_some(file)
    }

    /// The stamp by which additions to and removals from the directory are detected.
    pub fn stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&self.dir.metadata()?))
    }

    /// Sets a modification time that every later change of the directory replaces.
    pub fn set_stamp(&self) -> io::Result<Stamp> {
        let time = SystemTime::now() - AGO;
        self.dir.set_modified(time)?;
        let seen = self.dir.metadata()?;
        // File systems may drop digits. A later time comes from a change since.
        match seen.modified()? <= time {
            true => Ok(Stamp::of(&seen)),
            false => Err(ErrorKind::ResourceBusy.into()),
        }
    }

    /// Reads a file, without following a symbolic link or waiting for a FIFO.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut file = self.at(name, OFlags::RDONLY)?;
        let mut content = vec![0; READING];
        let length = match file.read(&mut content) {
            Ok(length) => length,
            // A directory or an empty FIFO cannot be read. Its file type makes a better error.
            Err(error) => return Err(file::regular(&file).err().unwrap_or(error)),
        };
        content.truncate(length);
        if length == READING {
            // If the file is longer than any plugin writes, another program wrote it.
            (&file).take((MAX_BYTES + 1 - READING) as u64).read_to_end(&mut content)?;
            if content.len() > MAX_BYTES {
                return Err(io::Error::other("too long"));
            }
        }
        // A FIFO and some devices look empty.
        if content.is_empty() {
            file::regular(&file)?;
        }
        Ok(content)
    }

    fn at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd: OwnedFd = fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(fd))
    }

    /// Writes a complete file under a name that every program ignores, to be renamed in one step.
    fn draft(&self, content: &str) -> Result<()> {
        let make = || self.at(DRAFT, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL);
        let made = match make() {
            // A killed plugin left it. It may be a hard link to an address's file, so it is not
            // overwritten.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.clean()?;
                make()
            }
            made => made,
        };
        let written = made.and_then(|mut file| file.write_all(content.as_bytes()));
        if let Err(error) = written {
            self.remove(DRAFT)?;
            return Err(error).context(|| format!("write {}", self.path_of(DRAFT)));
        }
        Ok(())
    }

    /// Renames the draft to a name that must not exist.
    fn name_draft(&self, name: &str) -> io::Result<()> {
        let only_new = RenameFlags::NOREPLACE;
        match fs::renameat_with(&self.dir, DRAFT, &self.dir, name, only_new) {
            // Some file systems do not support it.
            Err(Errno::INVAL | Errno::NOSYS) => {
                fs::linkat(&self.dir, DRAFT, &self.dir, name, AtFlags::empty())?;
                Ok(fs::unlinkat(&self.dir, DRAFT, AtFlags::empty())?)
            }
            renamed => Ok(renamed?),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        match fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => {
                Err(io::Error::from(error)).context(|| format!("remove {}", self.path_of(name)))
            }
        }
    }

    fn path_of(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

impl Stamp {
    fn of(it: &Metadata) -> Stamp {
        // Times before 1970 keep their bit pattern.
        let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
        let [mtime, mtime_nsec, ctime, ctime_nsec] = times.map(i64::cast_unsigned);
        Stamp([it.dev(), it.ino(), mtime, mtime_nsec, ctime, ctime_nsec])
    }
}

/// The address of a file name. The name must be in canonical form, because an address has one file.
fn address(name: &str) -> Option<IpAddr> {
    let ip: IpAddr = name.parse().ok()?;
    (ip.to_canonical().to_string() == name).then_some(ip)
}

fn last_name(set: usize) -> String {
    format!("last_reserved_ip.{set}")
}
