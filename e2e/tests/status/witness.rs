//! The calls of a runtime, which scripts in front of the plugins record.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use e2e::Machine;
use serde_json::Value;

/// A directory with a script for each plugin that records the call and its outcome.
#[derive(Debug)]
pub struct Witness {
    /// For the runtime.
    pub folder: PathBuf,
}

/// A recorded call.
#[derive(Debug)]
pub struct Seen {
    /// The name of the plugin.
    pub plugin: String,
    /// CNI_COMMAND
    pub verb: String,
    /// All environment variables that begin with CNI_.
    pub env: String,
    /// The configuration, as the runtime wrote it.
    pub config: Value,
    /// The exit status.
    pub status: u64,
}

impl Witness {
    /// Scripts for all installed plugins, and for one called `last` that only prints the previous
    /// result.
    pub fn new(machine: &Machine) -> Witness {
        let witness = Witness { folder: machine.folder("witness") };
        let installed = fs::read_dir("/opt/cni/bin").unwrap().map(|file| file.unwrap().path());
        for program in installed.chain(["/last".into()]) {
            let name = program.file_name().unwrap().to_str().unwrap();
            let run = match name {
                "last" => "jq '.prevResult // empty'".to_owned(),
                _ => program.display().to_string(),
            };
            let script = witness.folder.join(name);
            // The line is written at once, because several calls may run in parallel.
            let text = format!(
                r#"#!/bin/sh
input=$(cat)
answer=$(printf %s "$input" | {run})
status=$?
line=$(printf %s "$input" | jq -c --arg plugin {name} --arg verb "$CNI_COMMAND" --argjson status $status \
    --arg env "$(env | grep ^CNI_ | sort)" '{{$plugin, $verb, $env, $status, config: .}}')
printf '%s\n' "$line" >>{log}
printf %s "$answer"
exit $status
"#,
                log = witness.log().display(),
            );
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        }
        witness
    }

    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// All calls so far, in the order in which they ended.
    pub fn seen(&self) -> Vec<Seen> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let seen = log.lines().map(|line| {
            let mut call: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| call[key].as_str().unwrap().to_owned();
            Seen {
                plugin: text("plugin"),
                verb: text("verb"),
                env: text("env"),
                status: call["status"].as_u64().unwrap(),
                config: call["config"].take(),
            }
        });
        seen.collect()
    }
}
