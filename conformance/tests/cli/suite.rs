//! A directory of plugins for a test, and the kit that runs with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A plugin that supports only VERSION.
pub const GOOD: &str = r#"echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}'"#;
/// A plugin with an invalid answer that contains harmful characters.
pub const BAD: &str = r#"printf '{"cniVersion": "1.1.0"} \001 <script>alert("x")</script> ]]>'"#;
/// A plugin that never exits; the name of the directory is among its arguments. `MARKS` is
/// the directory of [`Suite::mark`].
pub const HANG: &str = r#"echo >MARKS/called; exec sh -c 'while :; do sleep 1; done' "$0""#;

/// A directory of plugins, and one in which they leave files that the test sees: the kit gives the
/// hosts of the plugins a disk of their own, but the machine's `/dev`.
pub struct Suite(pub TempDir, TempDir);

/// The outcome of a run.
pub struct Run {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Suite {
    pub fn new(plugins: &[(&str, &str)]) -> Suite {
        let suite = Suite(tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let marks = suite.mark("").display().to_string();
        // Readable for other users, too.
        fs::set_permissions(suite.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, script) in plugins {
            let path = suite.file(name);
            let script = script.replace("MARKS/", &marks);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        suite
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file that a plugin leaves as `MARKS/NAME`.
    pub fn mark(&self, name: &str) -> PathBuf {
        self.1.path().join(name)
    }

    /// Runs the requirements on VERSION.
    pub fn version(&self, arguments: &[&str]) -> Run {
        self.run(&[&["--only", "S2.VERSION.1,S2.VERSION.2"], arguments].concat())
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        kit(&[&["run", "--bin-dir", self.0.path().to_str().unwrap()], arguments].concat())
    }

    /// The file of an option, after a run with the good and the bad plugin.
    pub fn written(&self, option: &str) -> String {
        let file = self.file("written");
        let run = self.version(&[option, file.to_str().unwrap()]);
        assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
        fs::read_to_string(file).unwrap()
    }
}

pub fn kit(arguments: &[&str]) -> Run {
    run(command().args(arguments))
}

pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    command.stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
