//! Running the plugins of a network, one after the other.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cache::{Cache, Cached};
use super::conf::{NetworkList, PluginConf};
use super::request::{Request, RuntimeConf};
use crate::exec::{Exec, find};
use crate::{AddResult, Context, Error, Result, Verb, Version, code, json};

/// Runs the plugins of networks.
///
/// The environment of this process is handed on to every plugin, `TRACEPARENT`, `TRACESTATE` and `BAGGAGE` of a trace
/// included; [`Runtime::env`] can set them for one runtime.
#[derive(Debug, Clone)]
pub struct Runtime<'fd> {
    /// The folders that hold the plugins, the first match wins (`CNI_PATH`).
    pub path: Vec<PathBuf>,
    /// Where results are kept between ADD and DEL.
    pub cache: Cache,
    /// More variables for the plugins. The specification's own (`CNI_...`) cannot be changed here.
    pub env: Vec<(String, String)>,
    /// How long one operation on a network, all its plugins together, may take. Then the running plugin is killed.
    pub timeout: Option<Duration>,
    /// When this becomes readable, the running plugin is killed and the operation fails.
    pub cancel: Option<BorrowedFd<'fd>>,
}

impl<'fd> Runtime<'fd> {
    /// A runtime without a time limit.
    pub fn new(path: Vec<PathBuf>, cache: Cache) -> Runtime<'fd> {
        Runtime { path, cache, env: Vec::new(), timeout: None, cancel: None }
    }

    /// ADD: runs the plugins in order, each with the result of the one before, and keeps the last result.
    ///
    /// When a plugin fails, those before it are not undone: [`Runtime::undo`] does that.
    ///
    /// # Errors
    ///
    /// The first plugin's error, its message beginning with `plugin type="..."`; or the result could not be kept.
    pub fn add(&self, list: &NetworkList, conf: &RuntimeConf) -> Result<AddResult> {
        let operation = self.start();
        let mut prev = None;
        for plugin in &list.plugins {
            let request = request(Verb::Add, list, plugin, Some(conf), prev.as_ref());
            prev =
                Some(operation.run(&request, |exec| in_version(exec.run_json()?, list.version))?);
        }
        let result = typed(prev.as_ref(), list.version)?;
        let cached = Cached {
            network: list.name.clone(),
            conf: conf.clone(),
            config: list.as_bytes().to_vec(),
            result: prev,
        };
        let doing = || format!("failed to set network {:?} cached result", list.name.as_str());
        self.cache.put(&cached).context(doing)?;
        Ok(result)
    }

    /// CHECK: asks the plugins in order, each with the cached result, whether everything is as ADD left it.
    ///
    /// # Errors
    ///
    /// The first plugin's error; a configuration older than 0.4.0, which has no CHECK; a cached result that cannot be
    /// read.
    pub fn check(&self, list: &NetworkList, conf: &RuntimeConf) -> Result<()> {
        if list.version < Version::new(0, 4, 0) {
            let msg = format!(
                "configuration version {:?} does not support the CHECK command",
                list.version.to_string()
            );
            return Err(Error::new(code::INCOMPATIBLE_VERSION, msg));
        }
        if list.disable_check {
            return Ok(());
        }
        let prev = self.cached_result(list, conf)?;
        let operation = self.start();
        for plugin in &list.plugins {
            let request = request(Verb::Check, list, plugin, Some(conf), prev.as_ref());
            operation.run(&request, |exec| exec.run())?;
        }
        Ok(())
    }

    /// DEL: runs the plugins in reverse order, each with the cached result if there is one, and forgets the
    /// attachment. It works without a cached result; one that cannot be read is forgotten.
    ///
    /// # Errors
    ///
    /// The first plugin's error: the plugins before it were not asked, and the attachment stays in the cache, so that
    /// the call can be repeated.
    pub fn del(&self, list: &NetworkList, conf: &RuntimeConf) -> Result<()> {
        self.del_within(&self.start(), list, conf)
    }

    /// As [`Runtime::del`], but a plugin that fails does not keep the others from cleaning up. This is what to call
    /// after an ADD that failed.
    ///
    /// # Errors
    ///
    /// Every plugin's error, joined.
    pub fn undo(&self, list: &NetworkList, conf: &RuntimeConf) -> Result<()> {
        let prev = self.result_for_del(list, conf)?;
        let operation = self.start();
        let mut errors = Vec::new();
        for plugin in list.plugins.iter().rev() {
            let request = request(Verb::Del, list, plugin, Some(conf), prev.as_ref());
            errors.extend(operation.run(&request, |exec| exec.run()).err());
        }
        join(errors)?;
        self.cache.remove(&list.name, &conf.attachment)
    }

    /// STATUS: asks the plugins in order whether an ADD could be served. Below version 1.1.0 there is nobody to ask.
    ///
    /// # Errors
    ///
    /// The first plugin's error, with [`code::UNAVAILABLE`] or [`code::LIMITED_CONNECTIVITY`].
    pub fn status(&self, list: &NetworkList) -> Result<()> {
        if list.version < Version::new(1, 1, 0) {
            return Ok(());
        }
        let operation = self.start();
        for plugin in &list.plugins {
            let request = request(Verb::Status, list, plugin, None, None);
            operation.run(&request, |exec| exec.run())?;
        }
        Ok(())
    }

    /// The clock of one operation starts.
    pub(super) fn start(&self) -> Operation<'_> {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Operation { runtime: self, deadline }
    }

    pub(super) fn del_within(
        &self,
        operation: &Operation<'_>,
        list: &NetworkList,
        conf: &RuntimeConf,
    ) -> Result<()> {
        let prev = self.result_for_del(list, conf)?;
        for plugin in list.plugins.iter().rev() {
            let request = request(Verb::Del, list, plugin, Some(conf), prev.as_ref());
            operation.run(&request, |exec| exec.run())?;
        }
        self.cache.remove(&list.name, &conf.attachment)
    }

    /// The cached result in the list's version.
    pub(super) fn cached_result(
        &self,
        list: &NetworkList,
        conf: &RuntimeConf,
    ) -> Result<Option<Value>> {
        let read = || {
            let cached = self.cache.get(&list.name, &conf.attachment)?;
            let Some(result) = cached.and_then(|cached| cached.result) else { return Ok(None) };
            in_version(result, list.version).map(Some).context(|| {
                format!(
                    "failed to convert cached result to config version {:?}",
                    list.version.to_string()
                )
            })
        };
        read().context(|| format!("failed to get network {:?} cached result", list.name.as_str()))
    }

    fn result_for_del(&self, list: &NetworkList, conf: &RuntimeConf) -> Result<Option<Value>> {
        if list.version < Version::new(0, 4, 0) {
            return Ok(None);
        }
        match self.cached_result(list, conf) {
            Ok(result) => Ok(result),
            // DEL has to work without a result, and this file will not get better.
            Err(_) => self.cache.remove(&list.name, &conf.attachment).map(|()| None),
        }
    }

    /// The folders as `CNI_PATH` says them.
    pub(super) fn path_list(&self) -> Result<String> {
        let joined = std::env::join_paths(&self.path).ok().and_then(|path| path.into_string().ok());
        joined.ok_or_else(|| {
            Error::new(code::INVALID_ENVIRONMENT, "CNI_PATH has a folder with `:` or without UTF-8")
        })
    }
}

/// One operation on a network, with its deadline.
pub(super) struct Operation<'a> {
    pub(super) runtime: &'a Runtime<'a>,
    deadline: Option<Instant>,
}

impl Operation<'_> {
    /// Runs one plugin. Errors say which plugin it was and keep its code and details.
    pub(super) fn run<T>(
        &self,
        request: &Request<'_>,
        run: impl FnOnce(Exec<'_>) -> Result<T>,
    ) -> Result<T> {
        let go = || {
            let program = find(&request.plugin.kind, &self.runtime.path)?;
            let (env, stdin) = (request.env(self.runtime)?, request.stdin());
            run(self.exec(&program, &env, &stdin))
        };
        go().context(|| format!("{} failed ({})", described(request.plugin), spelled(request.verb)))
    }

    pub(super) fn exec<'a>(
        &'a self,
        program: &'a std::path::Path,
        env: &'a [(String, String)],
        stdin: &'a [u8],
    ) -> Exec<'a> {
        Exec { program, env, stdin, deadline: self.deadline, cancel: self.runtime.cancel }
    }
}

pub(super) fn request<'a>(
    verb: Verb,
    list: &'a NetworkList,
    plugin: &'a PluginConf,
    conf: Option<&'a RuntimeConf>,
    prev: Option<&'a Value>,
) -> Request<'a> {
    Request { verb, list, plugin, conf, prev, valid: None }
}

/// The plugin as errors name it.
fn described(plugin: &PluginConf) -> String {
    match &plugin.name {
        None => format!("plugin type={:?}", plugin.kind.as_str()),
        Some(name) => format!("plugin type={:?} name={name:?}", plugin.kind.as_str()),
    }
}

/// The verb as the reference's errors spell it, which people search for.
fn spelled(verb: Verb) -> String {
    match verb {
        Verb::Del => "delete".to_owned(),
        other => other.as_str().to_lowercase(),
    }
}

/// A result in the version of the list: as the plugin printed it where that is the version already, so that nothing
/// is lost of what this crate does not know.
fn in_version(mut result: Value, version: Version) -> Result<Value> {
    let own = match json::get(&result, "cniVersion").and_then(Value::as_str) {
        None | Some("") => version,
        Some(own) => Version::parse(own)?,
    };
    let decoded = AddResult::from_json(&result, own)?;
    if own == version {
        if let Some(object) = result.as_object_mut() {
            object.retain(|key, _| !key.eq_ignore_ascii_case("cniVersion"));
            object.insert("cniVersion".to_owned(), Value::String(version.to_string()));
        }
        return Ok(result);
    }
    decoded.to_value(version)
}

fn typed(result: Option<&Value>, version: Version) -> Result<AddResult> {
    result.map_or_else(|| Ok(AddResult::default()), |result| AddResult::from_json(result, version))
}

/// Several errors as one: the first one's code, every message.
pub(super) fn join(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(mut all) = errors.next() else { return Ok(()) };
    for error in errors {
        all.details = [all.details, error.to_string()].join("\n").trim_start().to_owned();
    }
    Err(all)
}
