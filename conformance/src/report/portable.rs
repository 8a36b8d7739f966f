//! A report as a file.

use serde_json::Value;

use super::Report;

/// A report as JSON with one case per line, so that `diff` can compare two files.
///
/// # Errors
///
/// If the report cannot be written as JSON.
pub fn text(report: &Report) -> Result<String, String> {
    let value = serde_json::to_value(report).map_err(|error| error.to_string())?;
    let mut keys = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        let value = match value {
            Value::Array(items) if !items.is_empty() => {
                let items: Vec<String> = items.iter().map(|item| format!("    {item}")).collect();
                format!("[\n{}\n  ]", items.join(",\n"))
            }
            other => other.to_string(),
        };
        keys.push(format!("  {}: {value}", Value::from(key.as_str())));
    }
    Ok(format!("{{\n{}\n}}\n", keys.join(",\n")))
}

/// The report without what is specific to this machine: times, the builder of the kernel, and
/// directories, `(path, replacement)`.
///
/// # Errors
///
/// In practice none: the report is written as JSON and read again.
pub fn portable(report: &Report, folders: &[(String, String)]) -> Result<Report, String> {
    let mut value = serde_json::to_value(report).map_err(|error| error.to_string())?;
    // A directory inside another one is replaced first.
    let mut folders = folders.to_vec();
    folders.sort_by_key(|(path, _)| usize::MAX - path.len());
    rename(&mut value, &folders);
    let report: Report = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let timeless = |mut case: super::CaseResult| {
        case.millis = 0;
        case
    };
    // The builder of the kernel follows the number.
    let number = report.machine.kernel.split('-').next().unwrap_or_default().to_owned();
    let machine = super::Machine { kernel: number, ..report.machine };
    Ok(Report {
        seconds: 0.0,
        machine,
        cases: report.cases.into_iter().map(timeless).collect(),
        ..report
    })
}

fn rename(value: &mut Value, folders: &[(String, String)]) {
    match value {
        Value::String(text) => {
            for (path, name) in folders {
                *text = renamed(text, path, name);
            }
            *text = without_temporary(text);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, folders)),
        Value::Object(keys) => keys.values_mut().for_each(|item| rename(item, folders)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Only whole names are replaced: `/opt/cni` is not a part of `/opt/cnitool`.
fn renamed(text: &str, path: &str, name: &str) -> String {
    let mut new = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(path) {
        let goes_on = after.starts_with(|c: char| c.is_alphanumeric() || "-_".contains(c));
        new.push_str(before);
        new.push_str(if goes_on { path } else { name });
        rest = after;
    }
    new + rest
}

/// The generated part of a temporary directory's name differs in each run.
fn without_temporary(text: &str) -> String {
    const MARK: &str = "/.tmp";
    let mut parts = text.split(MARK);
    let mut new = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        new.push_str(MARK);
        new.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    new
}

#[cfg(test)]
mod tests {
    use super::{renamed, without_temporary};

    #[test]
    fn only_whole_names_are_renamed() {
        let text = "/opt/cni/bridge <<< '/opt/cni:/opt/cni-2 /opt/cnitool'";
        let new = renamed(text, "/opt/cni", "mine");
        assert_eq!(new, "mine/bridge <<< 'mine:/opt/cni-2 /opt/cnitool'");
    }

    #[test]
    fn temporary_names_are_alike() {
        assert_eq!(
            without_temporary("/tmp/.tmpAb3xYz/x in /tmp/.tmpQ"),
            "/tmp/.tmp/x in /tmp/.tmp"
        );
    }
}
