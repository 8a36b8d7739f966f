//! `cnitool lint`: configurations with mistakes that operators make, and ones without.
#![cfg(test)]

mod agree;
mod bytes;
mod clean;
mod command;
mod corpus;
mod defaults;
mod host;
mod many;

mod places;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A folder to lint in. `plugins` in it has ours, `reference` the reference suite's; so messages
/// name no other folders.
#[derive(Debug)]
pub struct Bed(TempDir);

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bed {
    #[allow(clippy::new_without_default, reason = "it makes files")]
    pub fn new() -> Bed {
        let bed = Bed(TempDir::new().unwrap());
        symlink(testbed::bin(), bed.path("plugins")).unwrap();
        symlink(testbed::reference(), bed.path("reference")).unwrap();
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, in a folder if its name has one.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `cnitool lint` in the folder, with none of our environment's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        command.arg("lint").args(args).current_dir(self.0.path());
        for variable in ["NETCONFPATH", "CNI_PATH", "COLUMNS", "NO_COLOR"] {
            command.env_remove(variable);
        }
        command
    }

    pub fn lint(&self, args: &[&str]) -> Run {
        run(&mut self.command(args))
    }
}

pub fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The folder of this test's files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

/// The files and folders of a folder, in the order of their names.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    paths.sort();
    paths
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Copies a file or a folder.
pub fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir(to).unwrap();
        entries(from).iter().for_each(|entry| copy(entry, &to.join(name(entry))));
    } else {
        fs::copy(from, to).unwrap();
    }
}
