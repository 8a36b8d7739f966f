//! `cni-conformance init`: writes profiles of plugins that the kit does not know.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use conformance::init;
use conformance::runner::absolute;
use conformance::suite::Suite;

use crate::cli::Init;
use crate::{print, word};

/// Runs the subcommand.
pub fn init(arguments: &Init) -> Result<ExitCode, String> {
    let folder = absolute(&arguments.bin_dir)?;
    let path = arguments.path.iter().map(absolute).collect::<Result<Vec<_>, _>>()?;
    let suite = Suite { folder: folder.clone(), path };
    let names = names(arguments, &suite)?;
    let mut all_work = true;
    let mut count = 0;
    for name in &names {
        let file = arguments.output.clone().unwrap_or_else(|| format!("{name}.json").into());
        if file.exists() {
            let file = file.display();
            return Err(format!("{file} exists: remove it, or name another file with --output"));
        }
        let probed = init::probe(&suite, name, arguments.plugins.contains(name))?;
        print(&probed.text)?;
        if let Some(profile) = probed.profile {
            create(&file, &profile)?;
            print(&written(&suite, &file, name))?;
            all_work &= probed.works;
            count += 1;
        }
    }
    if count == 0 {
        return Err(format!("{}: no plugin that the kit does not know", folder.display()));
    }
    Ok(if all_work { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The programs to probe.
fn names(arguments: &Init, suite: &Suite) -> Result<Vec<String>, String> {
    let folder = suite.folder.display();
    let missing = arguments.plugins.iter().find(|name| !suite.has(name));
    if let Some(name) = missing {
        return Err(format!("{folder}: no program {name}"));
    }
    let names = match arguments.plugins.is_empty() {
        true => init::unknown(suite),
        false => arguments.plugins.clone(),
    };
    match names.as_slice() {
        [] => Err(format!(
            "{folder}: the kit has profiles of all its programs; --plugins NAME makes one anyway"
        )),
        [_, _, ..] if arguments.output.is_some() => {
            Err(format!("--output is for one plugin; name it with --plugins: {}", names.join(", ")))
        }
        _ => Ok(names),
    }
}

fn create(file: &Path, profile: &str) -> Result<(), String> {
    let created = File::create_new(file).and_then(|mut file| file.write_all(profile.as_bytes()));
    created.map_err(|error| format!("{}: {error}", file.display()))
}

/// Where the profile is, and the command that uses it.
fn written(suite: &Suite, file: &Path, name: &str) -> String {
    let path: String =
        suite.path.iter().map(|folder| format!(" --path {}", word(folder))).collect();
    format!(
        "  written: {}\n  next: cni-conformance run --bin-dir {}{path} --config {} --plugins {name}\n\n",
        file.display(),
        word(&suite.folder),
        word(file)
    )
}
