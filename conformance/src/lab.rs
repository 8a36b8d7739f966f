//! Runs cases in a lab: a command that runs another command as root on a kernel that supports more
//! kinds of links. That command sees this machine's files at their paths, and the lab keeps what it
//! writes to the directory `$LAB_OUT`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::case::CaseOutcome;
use crate::report::{CaseResult, Report};
use crate::timeout::FACTOR_VARIABLE;

/// The path of the lab's command in a checkout of ferrocni.
const USUAL: &str = "scripts/lab";
/// The slowdown of an emulated processor.
const SLOWER: &str = "10";
/// The time limit for one case, in seconds, in addition to the start of the lab.
const SECONDS_PER_CASE: usize = 20;
/// The time limit for the start of the lab, in seconds.
const START: usize = 300;

/// A command that runs another command in the lab.
#[derive(Debug, Clone)]
pub struct Lab {
    command: Vec<String>,
}

impl Lab {
    /// The lab with that command. If it is empty, the lab of the nearest checkout, in the current
    /// directory or above it.
    ///
    /// # Errors
    ///
    /// If there is no such checkout.
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
                "--lab: {USUAL} is neither in {} nor above it. Run this in a checkout of ferrocni, or set --lab=COMMAND. \
                 COMMAND must run the command that follows it as root on a kernel with all kinds of links, see this \
                 machine's files, and keep what is written to the directory $LAB_OUT",
                here.display()
            )
        })?;
        Ok(Lab { command: vec![found.display().to_string()] })
    }

    /// Runs the cases again that this kernel could not run because it does not support a kind of
    /// link. `arguments` are those of `run`, without the plugins. The lab's messages go to standard
    /// error.
    ///
    /// # Errors
    ///
    /// If the lab fails.
    pub fn fill(&self, report: &mut Report, arguments: &[String]) -> Result<(), String> {
        let lacking = |case: &&mut CaseResult| case.outcome.lacking;
        let mut lacking: Vec<&mut CaseResult> = report.cases.iter_mut().filter(lacking).collect();
        let mut plugins: Vec<String> = lacking.iter().map(|case| case.plugin.clone()).collect();
        plugins.dedup();
        if plugins.is_empty() {
            return Ok(());
        }
        let (count, lab) = (lacking.len(), self.command.join(" "));
        eprintln!("{lab} runs {count} cases of {}", plugins.join(", "));
        let started = Instant::now();
        let again = self.run(&plugins, arguments, count)?;
        report.seconds += started.elapsed().as_secs_f64();
        report.failed_trials.extend(again.failed_trials.iter().cloned());
        for case in &mut lacking {
            let same = |other: &&CaseResult| {
                (&other.plugin, &other.requirement, &other.version, other.part)
                    == (&case.plugin, &case.requirement, &case.version, case.part)
            };
            if let Some(other) = again.cases.iter().find(same) {
                let lab = again.machine.kernel.clone();
                (case.millis, case.outcome) =
                    (other.millis, CaseOutcome { lab, ..other.outcome.clone() });
            }
        }
        Ok(())
    }

    /// Runs the kit in the lab and reads its report.
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
            [("LAB_TIMEOUT", seconds.to_string()), (FACTOR_VARIABLE, SLOWER.to_owned())]
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

/// The path of a file in the lab.
///
/// # Errors
///
/// If the file does not exist.
pub fn absolute(file: &PathBuf) -> Result<String, String> {
    let path = fs::canonicalize(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(path.display().to_string())
}
