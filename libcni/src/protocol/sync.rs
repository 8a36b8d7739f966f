//! `NAME sync [FILE]`: SYNC by hand, or by whatever watches a file that the configuration names.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::process::ExitCode;

use serde_json::Value;

use super::document::{Document, read_config_from};
use super::{asked, dispatch, warn};
use crate::env::Env;
use crate::{Code, Context, Error, Manual, Result, Verbs, Version, json};

/// Brings the host in line with the configuration in the file, or on stdin, and gives the text
/// that lists the repairs. Errors go to stderr as plain text.
pub(super) fn sync<V: Verbs>(arguments: &[String], env: &Env) -> (String, ExitCode) {
    match done::<V>(arguments, env) {
        Ok(changes) if changes.is_empty() => ("nothing to change\n".to_owned(), ExitCode::SUCCESS),
        Ok(changes) => {
            let lines = changes.iter().map(|change| format!("repaired: {change}\n"));
            (lines.collect(), ExitCode::SUCCESS)
        }
        Err(error) => {
            warn(&format!("{} sync: {}", V::MANUAL.name, error.msg));
            error.details.lines().for_each(|line| warn(&format!("  {line}")));
            (String::new(), ExitCode::FAILURE)
        }
    }
}

fn done<V: Verbs>(arguments: &[String], env: &Env) -> Result<Vec<String>> {
    let read = || match arguments {
        [] => read_config_from(&mut io::stdin().lock(), "stdin"),
        [file] if !file.starts_with('-') => {
            let mut open = File::open(file).context(|| format!("cannot open {file}"))?;
            read_config_from(&mut open, file)
        }
        _ => Err(Error::new(Code::INVALID_ENVIRONMENT, "give at most one file")
            .details(format!("usage: {} sync [FILE]", V::MANUAL.name))),
    };
    let spoken = Cell::new(Version::CURRENT);
    let config = || own_config(read()?, &V::MANUAL);
    let Some((plugin, call)) = asked::<V>("SYNC", env, config, &spoken)? else {
        return Ok(Vec::new());
    };
    let said = dispatch(&plugin, &call)?;
    serde_json::from_str(&said).map_err(|error| Error::internal(error.to_string()))
}

/// The plugin's own configuration: the one given, or the part that is about it of a list.
fn own_config(document: Document, manual: &Manual) -> Result<Document> {
    let config = &document.value;
    let is_own = |config: &Value| {
        json::get(config, "type").and_then(Value::as_str).is_some_and(|kind| kind == manual.name)
    };
    let Some(Value::Array(plugins)) = json::get(config, "plugins") else {
        return match is_own(config) {
            true => Ok(document),
            false => Err(no_part(manual)),
        };
    };
    let mut own =
        plugins.iter().find(|plugin| is_own(plugin)).cloned().ok_or_else(|| no_part(manual))?;
    // What a runtime puts in.
    for key in ["name", "cniVersion"] {
        if let (Some(value), Value::Object(own)) = (json::get(config, key), &mut own) {
            own.insert(key.to_owned(), value.clone());
        }
    }
    Ok(own.into())
}

fn no_part(manual: &Manual) -> Error {
    Error::config(format!("the configuration has no plugin of type {}", manual.name))
}
