//! Runs the plugins of a network, one after the other.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cache::{Cache, Cached};
use super::config::{NetworkConfig, PluginConfig};
use super::request::{AttachmentConfig, Request};
use super::result::{cached_in_version, in_version, of_any_version};
use crate::exec::{Exec, find};
use crate::{AddResult, Attachment, Code, Context, Error, NetworkName, Result, Verb, Version};

/// Runs the plugins of networks.
///
/// Every plugin inherits the environment of this process, including the variables of a trace
/// (`TRACEPARENT`, `TRACESTATE`, `BAGGAGE`). [`Runtime::env`] can set them for one runtime.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Runtime<'fd> {
    /// The folders of the plugins (`CNI_PATH`); the first match is used.
    pub path: Vec<PathBuf>,
    /// The cache of results between ADD and DEL.
    pub cache: Cache,
    /// Additional variables for the plugins. They cannot replace the variables of the specification
    /// (`CNI_...`).
    pub env: Vec<(String, String)>,
    /// The maximum duration of one operation on a network, for all its plugins together. After that
    /// the running plugin is killed.
    pub timeout: Option<Duration>,
    /// When this becomes readable, the running plugin is killed and the operation fails.
    pub cancel: Option<BorrowedFd<'fd>>,
}

impl<'fd> Runtime<'fd> {
    /// A runtime without a time limit.
    pub fn new(path: Vec<PathBuf>, cache: Cache) -> Runtime<'fd> {
        Runtime { path, cache, env: Vec::new(), timeout: None, cancel: None }
    }

    /// ADD: runs the plugins in order, each with the result of the previous one, and caches the
    /// last result.
    ///
    /// Results are read as leniently as the reference reads them. A result without a version has
    /// the version of the list. A result that this version cannot express is passed on as far as
    /// possible ([`AddResult::to_value_lossy`]).
    ///
    /// When a plugin fails, the plugins before it are not rolled back: call [`Runtime::undo`].
    ///
    /// # Errors
    ///
    /// Returns the error of the first plugin that fails, with a message that begins with
    /// `plugin type="..."`, or an error if the result cannot be cached.
    pub fn add(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Result<AddResult> {
        let operation = self.start();
        let mut prev = None;
        for plugin in &list.plugins {
            let request = request(Verb::Add, list, plugin, Some(conf), prev.as_ref());
            prev =
                Some(operation.run(&request, |exec| in_version(exec.run_result()?, list.version))?);
        }
        let result = prev.as_ref().map_or_else(|| Ok(AddResult::default()), of_any_version)?;
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

    /// CHECK: runs the plugins in order, each with the cached result, to verify that the attachment
    /// is still as ADD made it.
    ///
    /// # Errors
    ///
    /// Returns the error of the first plugin that fails; or an error if the configuration is older
    /// than 0.4.0, which has no CHECK, or if the cached result cannot be read.
    pub fn check(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Result<()> {
        if list.version < Version::new(0, 4, 0) {
            let msg = format!(
                "configuration version {:?} does not support the CHECK command",
                list.version.to_string()
            );
            return Err(Error::new(Code::INCOMPATIBLE_VERSION, msg));
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

    /// DEL: runs the plugins in reverse order, each with the cached result if there is one, and
    /// then removes the cache entry. Plugins are called without `prevResult` if the entry cannot be
    /// read.
    ///
    /// If a plugin is missing or cannot be started, the others are still called, so that the
    /// network's interface and address are released.
    ///
    /// Returns warnings: the cache entry that could not be removed although every plugin succeeded.
    ///
    /// # Errors
    ///
    /// Returns the error of the first plugin that fails; the plugins before it in the list are not
    /// called. Or names the missing plugins; all others were called. The attachment then stays in
    /// the cache, so that the call can be repeated.
    pub fn del(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Result<Vec<Error>> {
        self.del_within(&self.start(), list, conf)
    }

    /// As [`Runtime::del`], but all plugins run even if one fails. Call this after an ADD that
    /// failed. Returns warnings, as [`Runtime::del`] does.
    ///
    /// # Errors
    ///
    /// Returns the errors of all plugins, joined.
    pub fn undo(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Result<Vec<Error>> {
        let prev = self.result_for_del(list, conf);
        let operation = self.start();
        let mut errors = Vec::new();
        for plugin in list.plugins.iter().rev() {
            let request = request(Verb::Del, list, plugin, Some(conf), prev.as_ref());
            errors.extend(operation.run(&request, |exec| exec.run()).err());
        }
        join(errors)?;
        Ok(self.forget(list, conf))
    }

    /// STATUS: runs the plugins in order to learn whether an ADD would succeed. Does nothing below
    /// version 1.1.0, in which plugins do not know the verb.
    ///
    /// # Errors
    ///
    /// Returns the error of the first plugin that fails, with [`Code::UNAVAILABLE`] or
    /// [`Code::LIMITED_CONNECTIVITY`].
    pub fn status(&self, list: &NetworkConfig) -> Result<()> {
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

    /// Starts the time limit of one operation.
    pub(super) fn start(&self) -> Operation<'_> {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Operation { runtime: self, deadline }
    }

    pub(super) fn del_within(
        &self,
        operation: &Operation<'_>,
        list: &NetworkConfig,
        conf: &AttachmentConfig,
    ) -> Result<Vec<Error>> {
        let prev = self.result_for_del(list, conf);
        let mut missing = Missing::default();
        for plugin in list.plugins.iter().rev() {
            let request = request(Verb::Del, list, plugin, Some(conf), prev.as_ref());
            match operation.ask(&request) {
                Ok(_) => {}
                Err(NotDone::Missing(error)) => missing.add(plugin, error),
                Err(NotDone::Failed(error)) => return Err(missing.beside(error)),
            }
        }
        missing.into_result(&list.name)?;
        Ok(self.forget(list, conf))
    }

    /// Removes the cache entry of an attachment that all plugins have removed. The plugins need not
    /// be called again after a failure here, so the failure is only a warning.
    fn forget(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Vec<Error> {
        let removed = self.cache.remove(&list.name, &conf.attachment);
        let Attachment { container, ifname } = &conf.attachment;
        let warning =
            removed.err().map(|error| match self.cache.has(&list.name, &conf.attachment) {
                Some(_) => error.line(&format!(
                    "the attachment is removed from {}, only its cache entry remains: remove the \
                     entry by hand",
                    list.name
                )),
                None => error.line(&format!(
                    "all plugins of {} completed DEL of {container}/{ifname}. It is unknown \
                     whether the cache still has an entry",
                    list.name
                )),
            });
        warning.into_iter().collect()
    }

    /// The cached result in the list's version.
    pub(super) fn cached_result(
        &self,
        list: &NetworkConfig,
        conf: &AttachmentConfig,
    ) -> Result<Option<Value>> {
        let read = || {
            let cached = self.cache.get(&list.name, &conf.attachment)?;
            let Some(result) = cached.and_then(|cached| cached.result) else { return Ok(None) };
            cached_in_version(result, list.version).map(Some).context(|| {
                format!(
                    "failed to convert cached result to config version {:?}",
                    list.version.to_string()
                )
            })
        };
        read().context(|| format!("failed to get network {:?} cached result", list.name.as_str()))
    }

    /// The cached result for DEL; `None` if there is none or it cannot be read. DEL is best effort
    /// (spec 1.1.0, section 2): an unreadable entry must not prevent the plugins from cleaning up.
    /// It is removed after they succeed.
    fn result_for_del(&self, list: &NetworkConfig, conf: &AttachmentConfig) -> Option<Value> {
        if list.version < Version::new(0, 4, 0) {
            return None;
        }
        self.cached_result(list, conf).ok().flatten()
    }

    /// The value of `CNI_PATH`.
    pub(super) fn path_list(&self) -> Result<String> {
        let joined = std::env::join_paths(&self.path).ok().and_then(|path| path.into_string().ok());
        joined.ok_or_else(|| {
            Error::new(Code::INVALID_ENVIRONMENT, "CNI_PATH has a folder with `:` or without UTF-8")
        })
    }
}

/// One operation on a network, with its deadline.
pub(super) struct Operation<'a> {
    pub(super) runtime: &'a Runtime<'a>,
    deadline: Option<Instant>,
}

/// Why a plugin did not succeed.
enum NotDone {
    /// The plugin does not exist, or cannot be started.
    Missing(Error),
    Failed(Error),
}

/// The plugins of a network that DEL could not call.
#[derive(Default)]
struct Missing {
    plugins: Vec<String>,
    errors: Vec<Error>,
}

impl Missing {
    fn add(&mut self, plugin: &PluginConfig, error: Error) {
        self.plugins.push(plugin.kind.to_string());
        self.errors.push(error);
    }

    /// The error of an installed plugin, followed by those of the missing ones.
    fn beside(self, error: Error) -> Error {
        self.errors.iter().fold(error, |error, missing| error.line(&missing.to_string()))
    }

    /// Succeeds if every plugin was called.
    fn into_result(self, network: &NetworkName) -> Result<()> {
        let plugins = self.plugins.join(", ");
        join(self.errors).map_err(|error| {
            error.line(&format!(
                "all other plugins of {network} were called. Objects of {plugins} may remain, such \
                 as firewall rules: repeat DEL when {plugins} is installed"
            ))
        })
    }
}

impl Operation<'_> {
    fn env(&self, request: &Request<'_>) -> Result<Vec<(String, String)>> {
        Ok(request.env(self.runtime.env.clone(), &self.runtime.path_list()?))
    }

    /// Runs one plugin and ignores its result.
    fn ask(&self, request: &Request<'_>) -> std::result::Result<(), NotDone> {
        let doing = |error: Error| {
            let what = format!("{} failed ({})", described(request.plugin), spelled(request.verb));
            error.context(what)
        };
        let failed = |error: Error| NotDone::Failed(doing(error));
        let program = find(&request.plugin.kind, &self.runtime.path);
        let program = program.map_err(|error| NotDone::Missing(doing(error)))?;
        let (env, stdin) = (self.env(request).map_err(failed)?, request.stdin());
        let exec = self.exec(&program, &env, &stdin);
        let running = exec.start().map_err(|error| match error.code {
            Code::IO_FAILURE => NotDone::Missing(doing(error)),
            _ => NotDone::Failed(doing(error)),
        })?;
        exec.finish(running).map(drop).map_err(failed)
    }

    /// Runs one plugin. An error names the plugin, and keeps its code and details.
    pub(super) fn run<T>(
        &self,
        request: &Request<'_>,
        run: impl FnOnce(Exec<'_>) -> Result<T>,
    ) -> Result<T> {
        let go = || {
            let program = find(&request.plugin.kind, &self.runtime.path)?;
            let (env, stdin) = (self.env(request)?, request.stdin());
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
    list: &'a NetworkConfig,
    plugin: &'a PluginConfig,
    conf: Option<&'a AttachmentConfig>,
    prev: Option<&'a Value>,
) -> Request<'a> {
    Request { verb, list, plugin, conf, prev, valid: None }
}

/// The plugin's name in errors.
fn described(plugin: &PluginConfig) -> String {
    match &plugin.name {
        None => format!("plugin type={:?}", plugin.kind.as_str()),
        Some(name) => format!("plugin type={:?} name={name:?}", plugin.kind.as_str()),
    }
}

/// The verb as it is spelled in the reference's errors, which operators search for.
fn spelled(verb: Verb) -> String {
    match verb {
        Verb::Del => "delete".to_owned(),
        other => other.as_str().to_lowercase(),
    }
}

/// The maximum number of errors that are shown when many attachments fail for the same reason.
const SHOWN: usize = 10;

/// Joins several errors into one: the code of the first, and the messages up to the maximum.
pub(super) fn join(errors: Vec<Error>) -> Result<()> {
    let rest = errors.len().saturating_sub(SHOWN);
    let mut errors = errors.into_iter().take(SHOWN);
    let Some(mut all) = errors.next() else { return Ok(()) };
    for error in errors {
        all.details = [all.details, error.to_string()].join("\n").trim_start().to_owned();
    }
    Err(if rest == 0 { all } else { all.line(&format!("and {rest} more errors")) })
}
