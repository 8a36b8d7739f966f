//! The main loop of a plugin: from the environment and stdin to a [`Call`], and from the answer to
//! stdout.
//!
//! The order of the checks, their codes and texts are those of the reference suite, because
//! runtimes and their tests know them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::{self, Env};
use crate::{
    AddResult, Attachment, Call, Code, ContainerId, Context, Dns, Error, IfName, Manual,
    NetworkName, Result, SUPPORTED, Verb, Verbs, Version, args, help, json, output, text,
};
use document::{Document, network_of, read_config};

/// The body of a plugin's `main`: serves the one call this process was started for.
///
/// Without `CNI_COMMAND` it describes the plugin, and supports `--help`, `--schema` and
/// `--version`.
pub fn run<V: Verbs>() -> ExitCode {
    let spoken = Cell::new(Version::CURRENT);
    let served = output::survive_file_size_limit()
        .context(|| "block the signal of the file size limit")
        .map_err(Failure::from)
        .and_then(|()| serve::<V>(&spoken));
    match served {
        Ok(status) => status,
        Err(Failure::Unanswered(error)) => {
            warn(&error.to_string());
            ExitCode::FAILURE
        }
        Err(Failure::Cni(error)) => {
            if let Err(why) = write(&text_of(&error, spoken.get())) {
                warn(&error.line(&why.to_string()).to_string());
            }
            ExitCode::FAILURE
        }
    }
}

/// Why a call failed.
enum Failure {
    /// The error is the answer.
    Cni(Error),
    /// The answer could not be written, so writing this error would fail too.
    Unanswered(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Cni(error)
    }
}

/// A plugin that is a part of this process, and is called as its binary would be: by a verb and a
/// configuration, with this process's environment. See
/// [`Executor::built_in`](crate::Executor::built_in).
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn(fn(&str, &Value, Instant) -> Result<String>);

impl BuiltIn {
    /// The plugin `V`.
    pub const fn new<V: Verbs>() -> BuiltIn {
        BuiltIn(|verb, config, deadline| {
            let env = Env { until: Some(deadline), ..Env::read()? };
            let spoken = Cell::new(Version::CURRENT);
            let asked = asked::<V>(verb, &env, || Ok(config.clone().into()), &spoken)?;
            asked.map_or_else(|| Ok(String::new()), |(plugin, call)| dispatch(&plugin, &call))
        })
    }

    /// What its binary would print, run with this process's environment but for `CNI_COMMAND`.
    pub(crate) fn call(self, verb: &str, config: &Value, deadline: Instant) -> Result<String> {
        (self.0)(verb, config, deadline)
    }
}

/// Writes the answer.
fn write(answer: &str) -> Result<()> {
    output::write(answer).context(|| "cannot write the answer")
}

/// An error as it is printed (spec, "Error").
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(rename = "cniVersion")]
    version: String,
    #[serde(flatten)]
    error: &'a Error,
}

fn text_of(error: &Error, spoken: Version) -> String {
    let printed = Printed { version: spoken.to_string(), error };
    json::pretty(&printed).unwrap_or_else(|error| error.to_string())
}

/// Writes a message to stderr. A closed stderr is not an error.
pub(crate) fn warn(text: &str) {
    writeln!(io::stderr(), "{}", text::lines(text)).ok();
}

/// Serves a call from reading to writing. `spoken` becomes the version of the configuration as soon
/// as it is known.
fn serve<V: Verbs>(spoken: &Cell<Version>) -> Result<ExitCode, Failure> {
    let env = Env::read()?;
    let options = env::command_line();
    let (answer, status) = match (env.command.as_deref(), options.split_first()) {
        (Some("VERSION"), _) => {
            let asked = version::asked_for(&V::MANUAL);
            (version::answer(&V::MANUAL, asked), ExitCode::SUCCESS)
        }
        (Some(command), _) => {
            return call::<V>(command, &env, spoken).map(|()| ExitCode::SUCCESS);
        }
        (None, Some((word, rest))) if word == "sync" && !V::MANUAL.sync.is_empty() => {
            sync::sync::<V>(rest, &env)
        }
        (None, Some((option, _))) => (by_hand(&V::MANUAL, option)?, ExitCode::SUCCESS),
        (None, None) => {
            warn(help::about(&V::MANUAL).trim_end());
            return Ok(ExitCode::SUCCESS);
        }
    };
    write(&answer).map_err(Failure::Unanswered)?;
    Ok(status)
}

/// Serves a verb that comes with a configuration. If the result of ADD cannot be written, the
/// attachment is removed again, because the runtime could neither use nor find it.
fn call<V: Verbs>(command: &str, env: &Env, spoken: &Cell<Version>) -> Result<(), Failure> {
    if command == Verb::Add.as_str() && output::is_closed() {
        let msg = "standard output is closed, so that the result of ADD would be lost";
        return Err(Failure::Unanswered(
            Error::new(Code::IO_FAILURE, msg)
                .details("Give the plugin a pipe or a file to write to."),
        ));
    }
    let Some((plugin, call)) = asked::<V>(command, env, read_config, spoken)? else {
        return Ok(());
    };
    let answer = dispatch(&plugin, &call)?;
    write(&answer).map_err(|error| {
        Failure::Unanswered(match call.verb {
            Verb::Add => undo(&plugin, &call, error),
            _ => error,
        })
    })
}

fn by_hand(manual: &Manual, option: &str) -> Result<String> {
    match option {
        "--help" | "-h" => Ok(help::help(manual)),
        "--schema" => Ok(format!("{}\n", manual.schema.trim_end())),
        "--version" | "-V" => Ok(help::version(manual)),
        other => Err(Error::new(Code::INVALID_ENVIRONMENT, format!("unknown option {other}"))
            .details(format!("try: {} --help", manual.name))),
    }
}

/// The configuration's version, if the plugin speaks it.
fn spoken_in(config: &Value, supported: &[Version]) -> Option<Version> {
    let text = json::get(config, "cniVersion")?.as_str()?;
    supported.iter().find(|version| version.to_string() == text).copied()
}

/// What to serve: the plugin with its configuration, and the call; `None` if there is nothing to
/// do.
fn asked<V: Verbs>(
    command: &str,
    env: &Env,
    mut config: impl FnMut() -> Result<Document>,
    spoken: &Cell<Version>,
) -> Result<Option<(V, Call)>> {
    let Some(call) = call_of(command, env, V::MANUAL.versions, &mut config, spoken)? else {
        return Ok(None);
    };
    let plugin = read_keys(&call.config, call.verb, V::NEEDED, env)?;
    Ok(Some((plugin, call)))
}

/// Reads a configuration. DEL and GC ignore keys that they cannot read, except the `needed` ones,
/// and report them: a mistake made after ADD must not block the removal.
fn read_keys<T: DeserializeOwned>(
    config: &Value,
    verb: Verb,
    needed: &[&str],
    env: &Env,
) -> Result<T> {
    let context = || "failed to load netconf";
    if !verb.removes() {
        return json::from_value(config).context(context);
    }
    let read = json::from_value_without_mistakes(config, needed);
    let (read, mistakes) = read.context(context).map_err(|error| {
        let verb = verb.as_str();
        error.line(&format!("{verb} requires this key: restore its value"))
    })?;
    // The call that started this one has reported it.
    for mistake in mistakes.iter().filter(|_| env.until.is_none()) {
        warn(&text::line(&format!("{} ignores a key: {mistake}", verb.as_str())));
    }
    Ok(read)
}

/// The call, checked; none if there is nothing to do. The configuration is read when it is certain
/// that one is needed.
fn call_of(
    command: &str,
    env: &Env,
    versions: &[Version],
    config: &mut dyn FnMut() -> Result<Document>,
    spoken: &Cell<Version>,
) -> Result<Option<Call>> {
    let attachment = attachment_of(command, env)?;
    let document = config()?;
    spoken.set(spoken_in(&document.value, versions).unwrap_or(Version::CURRENT));
    let network = network_of(&document.value)?;
    let verb = Verb::parse(command)?;
    checked((verb, network, attachment), document, versions, env)
}

/// The call, its configuration checked by the rules for all plugins.
fn checked(
    (verb, network, attachment): (Verb, NetworkName, Option<Attachment>),
    Document { value: config, text }: Document,
    versions: &[Version],
    env: &Env,
) -> Result<Option<Call>> {
    let version = version_of(&config, verb, versions)?;
    let netns = netns_of(verb, env)?;
    let common: Common = read_keys(&config, verb, Common::NEEDED, env)?;
    if verb == Verb::Gc && common.valid_attachments.is_none() && common.attachments.is_none() {
        // Without a list nothing is known to be stale; "none are valid" would be an empty one.
        warn("GC without cni.dev/valid-attachments: nothing was removed");
        return Ok(None);
    }
    let lists = [common.valid_attachments, common.attachments];
    Ok(Some(Call {
        verb,
        version,
        network,
        attachment,
        netns,
        args: args::parse(env.args.as_deref().unwrap_or_default()),
        path: env.folders(),
        prev: previous_of(&config, verb, version)?,
        valid: lists.into_iter().flatten().flatten().collect(),
        config,
        text,
        deadline: match env.deadline() {
            Err(error) if verb.removes() => {
                warn(&error.to_string());
                env::default_deadline()
            }
            deadline => deadline?,
        },
    }))
}

impl Call {
    /// A call as the protocol makes it for this configuration, for tests: of `attachment` if the
    /// verb is about one, without a namespace, arguments and folders of plugins. These are fields
    /// to set.
    ///
    /// ```
    /// use libcni::{Attachment, Call, Verb};
    ///
    /// let config = serde_json::json!({ "cniVersion": "1.1.0", "name": "pods", "type": "demo" });
    /// let call = Call::new(Verb::Add, config, Some(Attachment::new("c1", "eth0")?))?;
    /// assert_eq!(call.network.as_str(), "pods");
    /// # Ok::<(), libcni::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What the protocol finds wrong with the configuration. For GC, the configuration must have a
    /// list of valid attachments.
    pub fn new(verb: Verb, config: Value, attachment: Option<Attachment>) -> Result<Call> {
        let network = network_of(&config)?;
        checked((verb, network, attachment), config.into(), &SUPPORTED, &Env::default())?
            .ok_or_else(|| Error::config("GC needs cni.dev/valid-attachments"))
    }
}

/// The verbs and what they print.
fn dispatch<V: Verbs>(plugin: &V, call: &Call) -> Result<String> {
    let nothing = |()| String::new();
    match call.verb {
        Verb::Add => add(plugin, call),
        Verb::Check => plugin.check(call).map(nothing),
        Verb::Del => plugin.del(call).map(nothing),
        Verb::Gc => plugin.gc(call).map(nothing),
        Verb::Status => plugin.status(call).map(nothing),
        Verb::Plan => json::pretty(&plugin.preview(call)?),
        Verb::Repair => json::pretty(&plugin.repair(call)?),
        Verb::Sync => json::pretty(&plugin.sync(call)?),
        Verb::Version => Ok(version::answer(&V::MANUAL, call.version)),
    }
}

/// ADD. If the result cannot be expressed in the version, nothing is left behind.
fn add<V: Verbs>(plugin: &V, call: &Call) -> Result<String> {
    let result = plugin.add(call)?;
    result.to_json(call.version).map_err(|error| undo(plugin, call, error))
}

/// The time that an undo gets at least.
const UNDO: Duration = Duration::from_secs(10);

/// Undoes a successful ADD because of `error`.
fn undo<V: Verbs>(plugin: &V, call: &Call, error: Error) -> Error {
    // ADD may have used up its time. That must not keep the address from being released.
    let deadline = call.deadline.max(Instant::now() + UNDO);
    match plugin.del(&Call { verb: Verb::Del, deadline, ..call.clone() }) {
        Ok(()) => error,
        Err(also) => error.line(&format!("undoing ADD failed too: {also}")),
    }
}

/// An error with a variable of the environment, which it must name (spec, "Error", code 4).
fn of(variable: &str, value: &str, mut error: Error) -> Error {
    let value = text::excerpt(value);
    if error.details == value {
        error.details.clear();
    }
    error.line(&format!("{variable}=\"{value}\""))
}

/// Which variables a verb needs, in the order in which they are checked and reported.
fn attachment_of(command: &str, env: &Env) -> Result<Option<Attachment>> {
    let needs = |verbs: &[&str]| verbs.contains(&command);
    let about_one = needs(&["ADD", "CHECK", "DEL", "PLAN", "REPAIR"]);
    let mut missing = Vec::new();
    let mut take = |needed: bool, name: &'static str, value: &Option<String>| {
        if needed && value.is_none() {
            missing.push(name);
        }
        value.clone().filter(|_| needed)
    };
    // A malformed value is reported at once, before what else is missing.
    let container = take(about_one, "CNI_CONTAINERID", &env.container);
    let container = container
        .map(|id| ContainerId::new(id.as_str()).map_err(|error| of("CNI_CONTAINERID", &id, error)))
        .transpose()?;
    take(needs(&["ADD", "CHECK", "REPAIR"]), "CNI_NETNS", &env.netns);
    let ifname = take(about_one, "CNI_IFNAME", &env.ifname);
    let ifname = ifname
        .map(|name| IfName::new(name.as_str()).map_err(|error| of("CNI_IFNAME", &name, error)))
        .transpose()?;
    take(about_one || needs(&["GC", "STATUS"]), "CNI_PATH", &env.path);
    if !missing.is_empty() {
        let msg = format!("required env variables [{}] missing", missing.join(","));
        return Err(Error::new(Code::INVALID_ENVIRONMENT, msg));
    }
    Ok(container.zip(ifname).map(|(container, ifname)| Attachment { container, ifname }))
}

/// The configuration's version, if the plugin speaks it and it has the verb.
fn version_of(config: &Value, verb: Verb, supported: &[Version]) -> Result<Version> {
    let text = match json::get(config, "cniVersion") {
        None => "",
        Some(Value::String(text)) => text,
        Some(other) => {
            let msg = format!("decoding version from network config: {other} is not a string");
            return Err(Error::new(Code::DECODE_FAILURE, msg));
        }
    };
    let incompatible = |msg: String| Error::new(Code::INCOMPATIBLE_VERSION, msg);
    let needs = match verb {
        Verb::Check | Verb::Repair => Some(Version::new(0, 4, 0)),
        Verb::Gc | Verb::Status => Some(Version::new(1, 1, 0)),
        Verb::Add | Verb::Del | Verb::Version | Verb::Plan | Verb::Sync => None,
    };
    if let Some(needs) = needs {
        let (version, verb) = (Version::parse(text)?, verb.as_str());
        if version < needs {
            return Err(incompatible(format!("config version does not allow {verb}")));
        }
        if !supported.iter().any(|supported| *supported >= version) {
            return Err(incompatible(format!("plugin version does not allow {verb}")));
        }
    }
    let text = if text.is_empty() { "0.1.0" } else { text };
    // Versions are names here: 1.1 is not 1.1.0.
    supported.iter().find(|version| version.to_string() == text).copied().ok_or_else(|| {
        let all: Vec<String> = supported.iter().map(|version| format!("\"{version}\"")).collect();
        incompatible("incompatible CNI versions".to_owned())
            .details(format!("config is {text:?}, plugin supports [{}]", all.join(" ")))
    })
}

/// The container's namespace. Refuses the namespace of this process, which is the host's: a
/// container's interface there could cut off the host. The executor handles a path that cannot be
/// read.
///
/// DEL goes on as if no namespace were given. A path such as /proc/PID/ns/net may lead to the
/// host's own namespace by now, because the process ID was used again.
fn netns_of(verb: Verb, env: &Env) -> Result<Option<String>> {
    let Some(netns) = &env.netns else { return Ok(None) };
    if env.own_netns_allowed || !matches!(verb, Verb::Add | Verb::Del | Verb::Plan | Verb::Repair) {
        return Ok(Some(netns.clone()));
    }
    let identity = |path: &str| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    match (identity(netns), identity("/proc/self/ns/net")) {
        (Ok(container), Ok(own)) if container == own && verb == Verb::Del => {
            if env.until.is_none() {
                warn(&format!(
                    "CNI_NETNS={netns} is the host's own network namespace: DEL looks for no \
                     interface in it"
                ));
            }
            Ok(None)
        }
        (Ok(container), Ok(own)) if container == own => {
            let msg = "plugin's netns and netns from CNI_NETNS should not be the same";
            Err(Error::new(Code::INVALID_NETNS, msg).details(format!(
                "CNI_NETNS is {netns}; CNI_NETNS_OVERRIDE=1 allows it if it is meant"
            )))
        }
        _ => Ok(Some(netns.clone())),
    }
}

/// What every configuration may have. Decoded for all plugins, so that a wrong type is an error in
/// each of them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Common {
    #[serde(rename = "dns")]
    _dns: Dns,
    #[serde(rename = "ipam")]
    _ipam: Ipam,
    #[serde(rename = "capabilities")]
    _capabilities: BTreeMap<String, bool>,
    #[serde(rename = "cni.dev/valid-attachments")]
    valid_attachments: Option<Vec<Attachment>>,
    #[serde(rename = "cni.dev/attachments")]
    attachments: Option<Vec<Attachment>>,
}

impl Common {
    /// GC must not treat a list that it cannot read as an empty one.
    const NEEDED: &[&str] = &["cni.dev/valid-attachments", "cni.dev/attachments"];
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ipam {
    #[serde(rename = "type")]
    _type: String,
}

/// `prevResult`; an empty one is none.
fn previous_of(config: &Value, verb: Verb, version: Version) -> Result<Option<AddResult>> {
    let prev = match json::get(config, "prevResult") {
        None => return Ok(None),
        Some(Value::Object(prev)) if prev.is_empty() => return Ok(None),
        Some(prev) => AddResult::from_json(prev, version),
    };
    match prev.context(|| "could not parse prevResult") {
        Ok(prev) => Ok(Some(prev)),
        // What the attachment owns is known without it; a broken cache must not keep it from being
        // removed.
        Err(error) if verb.removes() => {
            warn(&format!("going on without prevResult: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

mod document;
mod example;
mod sync;
#[cfg(test)]
mod tests;
mod version;
