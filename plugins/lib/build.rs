//! Which build a binary is of.
//!
//! `scripts/build` ends every binary with the same line, which names all that it built together. Who has the same last line
//! as this process does, in another file, what this process would do: a plugin of that file may be called here instead. A
//! file of another version, somebody else's, a stripped one and a script in its place have another end, and are run.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// How the line begins; then comes a SHA-256 in hexadecimal.
const BEGINNING: &[u8] = b"\nferrocni build ";
const LENGTH: usize = BEGINNING.len() + 64 + 1;

/// Whether a file is of the build that this process is of, and could be run.
pub(crate) fn is_of_this(program: &Path) -> bool {
    let theirs = last_line(program);
    theirs.is_some() && theirs == last_line(Path::new("/proc/self/exe"))
}

/// The line, if there is one and the file may be executed. Whatever else is there is for others to complain about.
fn last_line(program: &Path) -> Option<[u8; LENGTH]> {
    let file = File::open(program).ok()?;
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
    fn what_was_not_built_by_the_script_is_of_no_build() {
        assert_eq!(last_line(Path::new("/proc/self/exe")), None);
        assert!(!is_of_this(&std::env::current_exe().unwrap()));
        assert!(!is_of_this(Path::new("/nonexistent")));
    }
}
