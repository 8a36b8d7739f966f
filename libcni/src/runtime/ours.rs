//! The two verbs that are ours: PLAN and REPAIR. Only plugins written with this crate know them.

use serde_json::Value;

use super::chain::{Runtime, request};
use super::conf::{NetworkList, PluginConf};
use super::request::RuntimeConf;
use crate::{AddResult, Context, Error, PluginType, Preview, Result, Verb, Version, code, json};

impl Runtime<'_> {
    /// PLAN: what ADD would do, plugin by plugin, each with the predicted result of the one before. Nothing is touched.
    ///
    /// # Errors
    ///
    /// Why ADD could not do it; or which plugin cannot tell, because it does not know this verb.
    pub fn plan(
        &self,
        list: &NetworkList,
        conf: &RuntimeConf,
    ) -> Result<Vec<(PluginType, Preview)>> {
        let operation = self.start();
        let mut previews = Vec::new();
        let mut prev = None;
        for plugin in &list.plugins {
            let request = request(Verb::Plan, list, plugin, Some(conf), prev.as_ref());
            let answer = operation
                .run(&request, |exec| exec.run_json())
                .map_err(|error| cannot(error, Verb::Plan, plugin, "tell its plan"))?;
            let preview =
                preview(&answer).context(|| format!("plugin {} printed no plan", plugin.kind))?;
            prev = Some(preview.result.to_value(list.version)?);
            previews.push((plugin.kind.clone(), preview));
        }
        Ok(previews)
    }

    /// REPAIR: makes a live attachment what ADD left, plugin by plugin, and says what each had to do.
    ///
    /// # Errors
    ///
    /// What could not be repaired; there is no cached result of the attachment; or which plugin cannot repair,
    /// because it does not know this verb.
    pub fn repair(
        &self,
        list: &NetworkList,
        conf: &RuntimeConf,
    ) -> Result<Vec<(PluginType, Vec<String>)>> {
        let prev = self.cached_result(list, conf)?.ok_or_else(|| {
            let attachment = &conf.attachment;
            let who = format!("container {} interface {}", attachment.container, attachment.ifname);
            Error::new(code::UNKNOWN_CONTAINER, format!("no result of ADD is known for {who}"))
                .details("only what was added through this cache can be repaired")
        })?;
        let operation = self.start();
        let mut repairs = Vec::new();
        for plugin in &list.plugins {
            let request = request(Verb::Repair, list, plugin, Some(conf), Some(&prev));
            let done = operation
                .run(&request, |exec| lines(&exec.run()?))
                .map_err(|error| cannot(error, Verb::Repair, plugin, "repair"))?;
            repairs.push((plugin.kind.clone(), done));
        }
        Ok(repairs)
    }
}

/// What PLAN printed. Its result is in the version it says; without one, in the newest.
fn preview(answer: &Value) -> Result<Preview> {
    let Some(result) = json::get(answer, "result") else {
        return Err(Error::new(code::DECODE_FAILURE, "missing field result"));
    };
    let version = match json::get(result, "cniVersion").and_then(Value::as_str) {
        None => Version::CURRENT,
        Some(version) => Version::parse(version)?,
    };
    let result = AddResult::from_json(result, version)?;
    Ok(Preview { plan: json::get(answer, "plan").cloned().unwrap_or(Value::Null), result })
}

/// What REPAIR printed: a list of lines; nothing, if there was nothing to do.
fn lines(stdout: &[u8]) -> Result<Vec<String>> {
    if stdout.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(stdout).map_err(|error| {
        Error::new(code::DECODE_FAILURE, format!("its answer is not a list of texts: {error}"))
    })
}

/// Says which plugin does not know a verb of ours; other errors stay.
fn cannot(error: Error, verb: Verb, plugin: &PluginConf, what: &str) -> Error {
    if error.code != code::INVALID_ENVIRONMENT
        || !error.msg.to_lowercase().contains("unknown cni_command")
    {
        return error;
    }
    let msg = format!("plugin {} cannot {what}: it does not know {}", plugin.kind, verb.as_str());
    Error::new(error.code, msg).details("this verb is ferrocni's own")
}
