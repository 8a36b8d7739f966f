//! The two verbs of ferrocni: PLAN and REPAIR. Only plugins written with this crate know them.

use serde_json::Value;

use super::chain::{Operation, Runtime, request};
use super::config::{NetworkConfig, PluginConfig};
use super::request::{AttachmentConfig, Request};
use crate::{AddResult, Code, Error, PluginType, Preview, Result, Verb, Version, json};

/// The outcome of REPAIR of a chain.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Repaired {
    /// The repairs of each plugin.
    pub done: Vec<(PluginType, Vec<String>)>,
    /// The errors of plugins that do not know the verb, such as plugins of other suites. If there
    /// are any, CHECK was run, and its error is in `failed`.
    pub unasked: Vec<Error>,
    /// The remaining differences.
    pub failed: Option<Error>,
}

impl Repaired {
    /// The outcome of a REPAIR that failed before any repair.
    pub fn failed(error: Error) -> Repaired {
        Repaired { failed: Some(error), ..Repaired::default() }
    }
}

impl Runtime<'_> {
    /// PLAN: predicts what ADD would do, plugin by plugin, each with the predicted result of the
    /// previous one. Changes nothing.
    ///
    /// A plugin that does not know PLAN has an error in its place. The next plugin then gets the
    /// result of the plugin before it, because most chained plugins pass the result on; without any
    /// result, the plugins after it are not called.
    ///
    /// With `is_live`, the attachment is in the cache: its plugins get the cached result, and list
    /// the objects of the attachment.
    ///
    /// # Errors
    ///
    /// Returns an error if ADD would fail, or if no plugin knows PLAN.
    pub fn plan(
        &self,
        list: &NetworkConfig,
        conf: &AttachmentConfig,
        is_live: bool,
    ) -> Result<Vec<(PluginType, Result<Preview>)>> {
        let operation = self.start();
        let (mut previews, mut prev, mut unknown) = (Vec::new(), None, None);
        if is_live {
            prev = self.cached_result(list, conf)?;
        }
        for plugin in &list.plugins {
            let answer = match (&unknown, &prev) {
                (Some(before), None) => Err(without_result(plugin, before)),
                _ => run_plan(
                    &operation,
                    &request(Verb::Plan, list, plugin, Some(conf), prev.as_ref()),
                ),
            };
            let answer = match answer {
                Err(error) if unknown.is_none() && !is_of_others(&error) => return Err(error),
                answer => answer,
            };
            match &answer {
                Ok(preview) if !is_live => {
                    prev = Some(preview.result.to_value_lossy(list.version)?);
                }
                _ => {}
            }
            if answer.as_ref().map_or(true, |preview| !preview.unknown.is_empty()) {
                unknown.get_or_insert_with(|| plugin.kind.clone());
            }
            previews.push((plugin.kind.clone(), answer));
        }
        match previews.iter().all(|(_, answer)| answer.is_err()) {
            true => previews
                .into_iter()
                .find_map(|(_, answer)| answer.err())
                .map_or(Ok(Vec::new()), Err),
            false => Ok(previews),
        }
    }

    /// REPAIR: restores a live attachment as ADD made it, plugin by plugin, and reports the repairs
    /// of each. If a plugin does not know the verb, the others are still called, and then CHECK of
    /// the whole chain reports the remaining differences.
    ///
    /// # Errors
    ///
    /// Returns an error if the cache has no result of the attachment. Differences that could not be
    /// repaired are in [`Repaired::failed`].
    pub fn repair(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Result<Repaired> {
        let prev = self.cached_result(list, conf)?.ok_or_else(|| {
            let attachment = &conf.attachment;
            let who = format!("container {} interface {}", attachment.container, attachment.ifname);
            Error::new(Code::UNKNOWN_CONTAINER, format!("the cache has no result of ADD for {who}"))
                .details("only attachments of this cache can be repaired")
        })?;
        let operation = self.start();
        let mut repaired = Repaired::default();
        for plugin in &list.plugins {
            let request = request(Verb::Repair, list, plugin, Some(conf), Some(&prev));
            let done = operation
                .run(&request, |exec| lines(&exec.run()?))
                .map_err(|error| cannot(error, Verb::Repair, plugin, "repair"));
            match done {
                Ok(done) => repaired.done.push((plugin.kind.clone(), done)),
                Err(error) if is_of_others(&error) => repaired.unasked.push(error),
                Err(error) => {
                    repaired.failed = Some(error);
                    return Ok(repaired);
                }
            }
        }
        if !repaired.unasked.is_empty() {
            repaired.failed = self.check(list, conf).err();
        }
        Ok(repaired)
    }
}

/// Runs PLAN of a plugin.
fn run_plan(operation: &Operation<'_>, request: &Request<'_>) -> Result<Preview> {
    let plugin = request.plugin;
    let answer = operation
        .run(request, |exec| exec.run())
        .map_err(|error| cannot(error, Verb::Plan, plugin, "print its plan"))?;
    json::value(&answer).and_then(|answer| preview(&answer)).map_err(|error| {
        let msg = format!(
            "plugin {} cannot print its plan: its output is not a plan: {error}",
            plugin.kind
        );
        Error::new(UNKNOWN_VERB, msg).details(OURS)
    })
}

/// The error for a plugin that would need the result of a plugin that does not know PLAN.
fn without_result(plugin: &PluginConfig, before: &PluginType) -> Error {
    let msg = format!("plugin {} was not called: the result of {before} is unknown", plugin.kind);
    Error::new(UNKNOWN_VERB, msg)
}

/// Reads the output of PLAN. The result has the version that it names; without one, the newest.
fn preview(answer: &Value) -> Result<Preview> {
    let Some(result) = json::get(answer, "result") else {
        return Err(Error::new(Code::DECODE_FAILURE, "missing field result"));
    };
    let version = match json::get(result, "cniVersion").and_then(Value::as_str) {
        None => Version::CURRENT,
        Some(version) => Version::parse(version)?,
    };
    let result = AddResult::from_json(result, version)?;
    let unknown = json::get(answer, "unknown").and_then(Value::as_str).unwrap_or_default();
    let plan = json::get(answer, "plan").cloned().unwrap_or(Value::Null);
    Ok(Preview { plan, result, unknown: unknown.to_owned() })
}

/// Reads the output of REPAIR: a list of lines. A plugin that prints nothing has ignored the verb.
fn lines(stdout: &[u8]) -> Result<Vec<String>> {
    if stdout.trim_ascii().is_empty() {
        return Err(Error::new(UNKNOWN_VERB, "unknown CNI_COMMAND: it printed nothing"));
    }
    serde_json::from_slice(stdout).map_err(|error| {
        Error::new(Code::DECODE_FAILURE, format!("its output is not a list of strings: {error}"))
    })
}

/// The code of an error for a verb that a plugin does not know.
const UNKNOWN_VERB: Code = Code::INVALID_ENVIRONMENT;

/// The details of such an error.
const OURS: &str = "this verb is ferrocni's own";

/// Whether this is the error of [`cannot`], for a plugin that does not know a verb of this suite.
fn is_of_others(error: &Error) -> bool {
    error.code == UNKNOWN_VERB && error.details == OURS
}

/// Names the plugin that does not know a verb of this suite; returns other errors unchanged.
fn cannot(error: Error, verb: Verb, plugin: &PluginConfig, what: &str) -> Error {
    if error.code != UNKNOWN_VERB || !error.msg.to_lowercase().contains("unknown cni_command") {
        return error;
    }
    let msg = format!("plugin {} cannot {what}: it does not know {}", plugin.kind, verb.as_str());
    Error::new(UNKNOWN_VERB, msg).details(OURS)
}
