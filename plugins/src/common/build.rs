//! Finds out which build a binary belongs to.
//!
//! `scripts/build` appends the same line, which names the build, to every binary of a build. A file
//! with the same last line as this process contains the same code, so this process can call that
//! plugin without running the file. A file of another version or another project, a stripped file
//! and a script end differently, and are run.

use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// The beginning of the line; a SHA-256 in hexadecimal follows.
const BEGINNING: &[u8] = b"\nferrocni build ";
const LENGTH: usize = BEGINNING.len() + 64 + 1;

/// Whether a file is from the same build as this process, and is executable.
pub(crate) fn is_of_this(program: &Path) -> bool {
    let theirs = last_line(program);
    theirs.is_some() && theirs == last_line(Path::new("/proc/self/exe"))
}

/// The line, if the file has one and is executable. Running any other file reports its own error.
fn last_line(program: &Path) -> Option<[u8; LENGTH]> {
    let file = libcni::file::open(program).ok()?;
    let about = file.metadata().ok()?;
    let start = about.len().checked_sub(u64::try_from(LENGTH).ok()?)?;
    let mut line = [0; LENGTH];
    file.read_exact_at(&mut line, start).ok()?;
    let is_executable = about.mode() & 0o111 != 0;
    (is_executable && line.starts_with(BEGINNING) && line.ends_with(b"\n")).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_not_built_by_the_script_has_no_build() {
        assert_eq!(last_line(Path::new("/proc/self/exe")), None);
        assert!(!is_of_this(&std::env::current_exe().unwrap()));
        assert!(!is_of_this(Path::new("/nonexistent")));
    }
}
