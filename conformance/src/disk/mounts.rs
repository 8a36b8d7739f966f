//! The mounts and directories of the machine.

use std::fs;
use std::path::{Path, PathBuf};

/// The places at which something is mounted below the root, parents first, except the files that
/// hold namespaces.
///
/// # Errors
///
/// If the kernel's list cannot be read.
pub fn places() -> Result<Vec<PathBuf>, String> {
    const TABLE: &str = "/proc/thread-self/mountinfo";
    let table = fs::read_to_string(TABLE).map_err(|error| format!("{TABLE}: {error}"))?;
    let place = |line: &str| {
        let (mount, source) = line.split_once(" - ")?;
        let is_namespace = source.starts_with("nsfs ");
        let place = unescaped(mount.split(' ').nth(4)?);
        (!is_namespace && place != Path::new("/")).then_some(place)
    };
    let mut places: Vec<PathBuf> = table.lines().filter_map(place).collect();
    places.sort();
    places.dedup();
    Ok(places)
}

/// The kernel writes blanks and backslashes as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let text = escapes.iter().fold(text.to_owned(), |text, (code, c)| text.replace(code, c));
    PathBuf::from(text)
}

/// The directories in a directory, without symbolic links, sorted.
pub fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut folders: Vec<PathBuf> = entries.filter(is_folder).map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn a_blank_in_the_place_of_a_mount_is_read() {
        assert_eq!(unescaped("/mnt/my\\040disk\\134"), std::path::Path::new("/mnt/my disk\\"));
    }
}
