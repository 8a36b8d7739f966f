//! A network's folder, in the reference's layout, reached through its descriptor.
//!
//! | file | content |
//! |---|---|
//! | an address, as in `10.1.2.5` or `2001:db8::5` | the container ID, CR LF, the interface name; or, by old versions, the ID alone |
//! | `last_reserved_ip.0`, `.1`, ... | the address that was last handed out of the first, second, ... range set |
//! | `lock` | nothing; whoever changes something here holds `flock(2)` on it |
//! | `.draft` | what is being written, complete before it gets one of the names above |
//!
//! Other files are left alone.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use libcni::{Attachment, Context, Result};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::Errno;

use crate::host_local::holder::Holder;

/// What is being written.
const DRAFT: &str = ".draft";

/// The most that is read of a file: an ID and a name are far shorter.
const MAX_BYTES: usize = 4096;

/// How much of the folder is read at a time.
const LISTING: usize = 64 << 10;

/// How long before now the folder's time is set to. No time that the kernel stamps later equals it, also on file systems
/// that keep seconds only, or even ones.
const AGO: Duration = Duration::from_secs(3);

/// A network's folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    dir: File,
}

/// Which folder, and when it was last changed: device, inode, and the times of the last change of its content and of
/// its inode, in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub [u64; 6]);

impl Folder {
    /// Opens the folder at `path`.
    pub fn open(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::DIRECTORY.bits() as i32;
        let dir = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        Ok(Folder { path: path.to_owned(), dir })
    }

    /// Who holds an address, by its file; none if there is no file.
    ///
    /// What cannot be read, or is no file, is [`Holder::Other`]'s.
    pub fn holder(&self, ip: IpAddr) -> Option<Holder> {
        self.look(ip).map(|holder| holder.unwrap_or(Holder::Other))
    }

    /// As [`Folder::holder`], but says why a file cannot be read.
    fn look(&self, ip: IpAddr) -> Option<io::Result<Holder>> {
        match self.read(&ip.to_string()) {
            Ok(content) => Some(Ok(Holder::parse(&content))),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Calls `each` for every address that has a file.
    ///
    /// In the order of the inodes: where they have to come from a disk, that is many times faster than the folder's order.
    pub fn scan(&self, mut each: impl FnMut(IpAddr, &Holder)) -> io::Result<()> {
        self.visit(|ip, holder| each(ip, &holder.unwrap_or(Holder::Other)))
    }

    /// As [`Folder::scan`], but says why a file cannot be read.
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

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the file of an address was written.
    pub fn written(&self, ip: IpAddr) -> io::Result<SystemTime> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.dir, ip.to_string(), flags, Mode::empty())?;
        File::from(file).metadata()?.modified()
    }

    /// What has the name of an address: inode, address, whether it may be a file.
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

    /// Removes what a plugin that was killed may have left.
    pub fn clean(&self) -> Result<()> {
        self.remove(DRAFT)
    }

    /// Reserves an address. False if it has a file already, even one made without the lock.
    pub fn reserve(&self, ip: IpAddr, owner: &Attachment) -> Result<bool> {
        let name = ip.to_string();
        self.draft(&Holder::content(owner))?;
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

    /// Removes an address's file. That it is gone already is no error.
    pub fn release(&self, ip: IpAddr) -> Result<()> {
        self.remove(&ip.to_string())
    }

    /// The address that was last handed out of a range set.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        let name = last_name(set);
        match self.read(&name) {
            Ok(text) => Ok(String::from_utf8(text).ok().and_then(|text| text.parse().ok())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("read {}", self.path_of(&name))),
        }
    }

    /// Remembers what was last handed out of a range set.
    ///
    /// A file that is at most as long is overwritten in place: one small write is done whole or not at all if the plugin
    /// is killed. Otherwise another file takes its place.
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

    /// Opens a file to write to, if it is one of this folder alone and no longer than `length`.
    fn as_short(&self, name: &str, length: usize) -> Option<File> {
        let file = self.at(name, OFlags::WRONLY).ok()?;
        let meta = file.metadata().ok()?;
        (meta.is_file() && meta.nlink() == 1 && meta.len() <= length as u64).then_some(file)
    }

    /// What tells whether anything was added to or removed from the folder in the meantime.
    pub fn stamp(&self) -> io::Result<Stamp> {
        Ok(Stamp::of(&self.dir.metadata()?))
    }

    /// Gives the folder a time of last change that no later change leaves as it is.
    pub fn set_stamp(&self) -> io::Result<Stamp> {
        let time = SystemTime::now() - AGO;
        self.dir.set_modified(time)?;
        let seen = self.dir.metadata()?;
        // File systems may drop digits. A time that is later is of somebody's change since.
        match seen.modified()? <= time {
            true => Ok(Stamp::of(&seen)),
            false => Err(ErrorKind::ResourceBusy.into()),
        }
    }

    /// Reads a file, following no symlink and waiting for no FIFO.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut file = self.at(name, OFlags::RDONLY)?;
        let mut content = vec![0; MAX_BYTES];
        let length = file.read(&mut content)?;
        content.truncate(length);
        // A FIFO and some devices look empty.
        if content.is_empty() && !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(content)
    }

    fn at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd: OwnedFd = fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(File::from(fd))
    }

    /// A complete file under a name that means nothing to anybody, to be given its name in one step.
    fn draft(&self, content: &str) -> Result<()> {
        let make = || self.at(DRAFT, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL);
        let made = match make() {
            // Left by a killed plugin. It may be the same file as an address's, so it is not written to.
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

    /// Gives the draft a name that nothing has.
    fn name_draft(&self, name: &str) -> io::Result<()> {
        let only_new = RenameFlags::NOREPLACE;
        match fs::renameat_with(&self.dir, DRAFT, &self.dir, name, only_new) {
            // Some file systems cannot.
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
        // Times before 1970 keep their bits.
        let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
        let [mtime, mtime_nsec, ctime, ctime_nsec] = times.map(i64::cast_unsigned);
        Stamp([it.dev(), it.ino(), mtime, mtime_nsec, ctime, ctime_nsec])
    }
}

/// The address a file stands for: the name has to be the one we would give, for one address has one file.
fn address(name: &str) -> Option<IpAddr> {
    let ip: IpAddr = name.parse().ok()?;
    (ip.to_canonical().to_string() == name).then_some(ip)
}

fn last_name(set: usize) -> String {
    format!("last_reserved_ip.{set}")
}
