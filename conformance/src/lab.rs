//! What this machine's kernel lacks is judged on another one: by a command that runs another command as root, on a kernel
//! that has it. It sees this machine's files at their paths, and leaves what is written to the folder `$LAB_OUT`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::bench::PATIENCE_FACTOR;
use crate::case::Ended;
use crate::report::{Judged, Report};

/// Where the command is in a folder of ferrocni's source.
const USUAL: &str = "scripts/lab";
/// How much slower an emulated processor may be.
const SLOWER: &str = "10";
/// For how many seconds a case may keep the lab, besides its start.
const SECONDS_PER_CASE: usize = 20;
/// How long the lab may take to start, in seconds.
const START: usize = 300;

/// A lab.
#[derive(Debug, Clone)]
pub struct Lab {
    command: Vec<String>,
}

impl Lab {
    /// The lab with that command; without one, the one that is in this folder or above it.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn find(command: &str) -> Result<Lab, String> {
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if !command.is_empty() {
            return Ok(Lab { command });
        }
        let here =
            env::current_dir().map_err(|error| format!("find the current folder: {error}"))?;
        let found = here.ancestors().map(|folder| folder.join(USUAL)).find(|path| path.is_file());
        let found = found.ok_or_else(|| {
            format!(
                "--lab: no {USUAL} in {} or above it. Run this in a checkout of ferrocni, which has it, or give a command \
                 of your own with --lab=COMMAND: it runs the command that follows it as root on a kernel with all kinds \
                 of links, sees this machine's files, and keeps what is written to the folder $LAB_OUT",
                here.display()
            )
        })?;
        Ok(Lab { command: vec![found.display().to_string()] })
    }

    /// Judges again what ended untestable because the kernel lacks a kind of link. `arguments` are those of `run`, without
    /// the plugins. What the lab says meanwhile goes to standard error.
    ///
    /// # Errors
    ///
    /// If the lab does not work.
    pub fn fill(&self, report: &mut Report, arguments: &[String]) -> Result<(), String> {
        let lacking = |case: &&mut Judged| case.ended.lacking;
        let mut lacking: Vec<&mut Judged> = report.cases.iter_mut().filter(lacking).collect();
        let mut plugins: Vec<String> = lacking.iter().map(|case| case.plugin.clone()).collect();
        plugins.dedup();
        if plugins.is_empty() {
            return Ok(());
        }
        let (count, lab) = (lacking.len(), self.command.join(" "));
        eprintln!("{count} cases of {} are judged by {lab}", plugins.join(", "));
        let started = Instant::now();
        let again = self.run(&plugins, arguments, count)?;
        report.seconds += started.elapsed().as_secs_f64();
        for case in &mut lacking {
            let same = |other: &&Judged| {
                (&other.plugin, &other.requirement, &other.version, other.part)
                    == (&case.plugin, &case.requirement, &case.version, case.part)
            };
            if let Some(other) = again.cases.iter().find(same) {
                let lab = again.machine.kernel.clone();
                (case.millis, case.ended) = (other.millis, Ended { lab, ..other.ended.clone() });
            }
        }
        Ok(())
    }

    /// Runs the kit in the lab, and reads its report.
    fn run(
        &self,
        plugins: &[String],
        arguments: &[String],
        count: usize,
    ) -> Result<Report, String> {
        let lab = self.command.join(" ");
        let out =
            tempfile::tempdir().map_err(|error| format!("make a folder for the lab: {error}"))?;
        let file = out.path().join("report.json");
        let own =
            env::current_exe().map_err(|error| format!("find the kit's own file: {error}"))?;
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().map_or(USUAL, String::as_str));
        command.args(words).arg(own).arg("run").args(arguments);
        command.args(["--plugins", &plugins.join(","), "--json"]).arg(&file);
        command.env("LAB_OUT", out.path());
        let seconds = START + SECONDS_PER_CASE * count;
        for (name, value) in
            [("LAB_TIMEOUT", seconds.to_string()), (PATIENCE_FACTOR, SLOWER.to_owned())]
        {
            if env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| format!("run {lab}: {error}"))?;
        let read = |file: &Path| {
            let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
            serde_json::from_str(&text).map_err(|error| error.to_string())
        };
        read(&file).map_err(|error| {
            let printed = String::from_utf8_lossy(&output.stdout);
            format!("{lab} left no report ({error}): {}\n{}", output.status, printed.trim_end())
        })
    }
}

/// The path of a file as the lab finds it.
///
/// # Errors
///
/// If there is no such file.
pub fn absolute(file: &PathBuf) -> Result<String, String> {
    let path = fs::canonicalize(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(path.display().to_string())
}
