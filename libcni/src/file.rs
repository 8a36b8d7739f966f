//! Reads files whose content or path other programs determine: without waiting, and within a limit.
//!
//! A configuration names files, and other programs write them. A FIFO in such a place would block a
//! plugin for ever, and a device or a huge file would fill the memory. So plugins read each of
//! these files through this module.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::sys::stat::makedev;

/// Opens a file for reading. Follows symbolic links.
///
/// # Errors
///
/// Returns an error if it cannot be opened, or is neither a regular file nor `/dev/null`, which is
/// always empty.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = O_NONBLOCK | O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(&file)?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes, as [`open`] opens it.
///
/// ```
/// use std::path::Path;
///
/// let error = libcni::file::read(Path::new("/dev/zero"), 100).unwrap_err();
/// assert_eq!(error.to_string(), "it is a character device, not a regular file");
/// assert!(libcni::file::read(Path::new("/dev/null"), 100).unwrap().is_empty());
/// ```
///
/// # Errors
///
/// Returns an error if it cannot be opened or read, is not a regular file, or is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    whole(open(path)?, limit)
}

/// Reads the rest of an open file of any type, if that is at most `limit` bytes.
///
/// # Errors
///
/// Returns an error if it cannot be read, or is larger.
pub fn whole(file: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Reading one byte more than allowed shows that the file is too large.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => {
            let why = format!("it is larger than {limit} bytes");
            Err(io::Error::new(ErrorKind::FileTooLarge, why))
        }
        false => Ok(bytes),
    }
}

/// Refuses a file that is not a regular file.
///
/// # Errors
///
/// Returns an error that names the type of the file.
pub fn regular(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    let kind = found.file_type();
    let is = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_char_device() && found.rdev() == makedev(1, 3) => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_char_device() => "a character device",
        () if kind.is_block_device() => "a block device",
        () => "something else",
    };
    Err(io::Error::other(format!("it is {is}, not a regular file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_only_so_much() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        let why = |path: &Path, limit| read(path, limit).unwrap_err().to_string();
        assert_eq!(why(&file, 4), "it is larger than 4 bytes");
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(why(&fifo, 4), "it is a FIFO, not a regular file");
        assert_eq!(why(folder.path(), 4), "it is a folder, not a regular file");
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(why(&socket, 4).contains("No such device"), "a socket is not opened");
        assert!(why(&folder.path().join("none"), 4).contains("No such file"));
    }
}
