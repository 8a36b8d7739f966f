//! The main loop of a plugin: from the environment and stdin to a [`Call`], and from the answer to stdout.
//!
//! The order of the checks, their codes and texts are those of the reference suite, because runtimes and their tests
//! know them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::env::{self, Env};
use crate::{
    AddResult, Attachment, Call, ContainerId, Context, Dns, Error, IfName, Manual, NetworkName,
    Result, Verb, Verbs, Version, args, code, help, json,
};

/// The body of a plugin's `main`: serves the one call this process was started for.
///
/// Without `CNI_COMMAND` it says what the plugin is, and understands `--help`, `--schema` and `--version`.
pub fn run<V: Verbs>() -> ExitCode {
    let spoken = Cell::new(Version::CURRENT);
    match serve::<V>(&spoken) {
        Ok((answer, status)) => print(&answer, status),
        Err(error) => print(&text_of(&error, spoken.get()), ExitCode::FAILURE),
    }
}

/// A plugin that is a part of this process, and is called as its binary would be: by a verb and a configuration, with this
/// process's environment. See [`Executor::built_in`](crate::Executor::built_in).
#[derive(Debug, Clone, Copy)]
pub struct BuiltIn(fn(&str, &Value, Instant) -> Result<String>);

impl BuiltIn {
    /// The plugin `V`.
    pub const fn new<V: Verbs>() -> BuiltIn {
        BuiltIn(|verb, config, deadline| {
            let env = Env { until: Some(deadline), ..Env::read()? };
            answer::<V>(verb, &env, || Ok(config.clone()), &Cell::new(Version::CURRENT))
        })
    }

    /// What its binary would print, run with this process's environment but for `CNI_COMMAND`.
    pub(crate) fn call(self, verb: &str, config: &Value, deadline: Instant) -> Result<String> {
        (self.0)(verb, config, deadline)
    }
}

/// Prints the answer; whoever closed our output early gets a failure for it.
fn print(answer: &str, status: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(answer.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => status,
        Err(error) => {
            warn(&format!("cannot write the answer: {error}"));
            ExitCode::FAILURE
        }
    }
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

/// Says something beside the answer. That nobody listens is no reason to fail.
fn warn(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Everything between reading and printing. `spoken` becomes the version of the configuration, once that is known.
fn serve<V: Verbs>(spoken: &Cell<Version>) -> Result<(String, ExitCode)> {
    let env = Env::read()?;
    let options = env::command_line();
    let answer = match (env.command.as_deref(), options.split_first()) {
        (Some("VERSION"), _) => version::answer(&V::MANUAL, version::asked_for(&V::MANUAL)),
        (Some(command), _) => answer::<V>(command, &env, read_config, spoken)?,
        (None, Some((word, rest))) if word == "sync" && !V::MANUAL.sync.is_empty() => {
            return Ok(sync::sync::<V>(rest, &env));
        }
        (None, Some((option, _))) => by_hand(&V::MANUAL, option)?,
        (None, None) => {
            warn(help::about(&V::MANUAL).trim_end());
            String::new()
        }
    };
    Ok((answer, ExitCode::SUCCESS))
}

fn by_hand(manual: &Manual, option: &str) -> Result<String> {
    match option {
        "--help" | "-h" => Ok(help::help(manual)),
        "--schema" => Ok(format!("{}\n", manual.schema.trim_end())),
        "--version" | "-V" => Ok(help::version(manual)),
        other => Err(Error::new(code::INVALID_ENVIRONMENT, format!("unknown option {other}"))
            .details(format!("try: {} --help", manual.name))),
    }
}

/// The configuration's version, if the plugin speaks it.
fn spoken_in(config: &Value, supported: &[Version]) -> Option<Version> {
    let text = json::get(config, "cniVersion")?.as_str()?;
    supported.iter().find(|version| version.to_string() == text).copied()
}

/// Serves a verb that comes with a configuration.
fn answer<V: Verbs>(
    command: &str,
    env: &Env,
    mut config: impl FnMut() -> Result<Value>,
    spoken: &Cell<Version>,
) -> Result<String> {
    match call_of(command, env, V::MANUAL.versions, &mut config, spoken)? {
        Some(call) => {
            let plugin: V = json::from_value(&call.config).context(|| "failed to load netconf")?;
            dispatch(&plugin, &call)
        }
        None => Ok(String::new()),
    }
}

/// The call, checked; none if there is nothing to do. The configuration is read when it is certain that one is needed.
fn call_of(
    command: &str,
    env: &Env,
    versions: &[Version],
    config: &mut dyn FnMut() -> Result<Value>,
    spoken: &Cell<Version>,
) -> Result<Option<Call>> {
    let attachment = attachment_of(command, env)?;
    let config = config()?;
    spoken.set(spoken_in(&config, versions).unwrap_or(Version::CURRENT));
    let network = network_of(&config)?;
    let verb = Verb::parse(command)?;
    let version = version_of(&config, verb, versions)?;
    guard_own_netns(verb, env)?;
    let common: Common = json::from_value(&config).context(|| "failed to load netconf")?;
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
        netns: env.netns.clone(),
        args: args::parse(env.args.as_deref().unwrap_or_default()),
        path: env.folders(),
        prev: previous_of(&config, verb, version)?,
        valid: lists.into_iter().flatten().flatten().collect(),
        config,
        deadline: env.deadline()?,
    }))
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

/// ADD. A result that cannot be printed is no use to anyone: then nothing is left behind either.
fn add<V: Verbs>(plugin: &V, call: &Call) -> Result<String> {
    let result = plugin.add(call)?;
    result.to_json(call.version).map_err(|error| match plugin.del(call) {
        Ok(()) => error,
        Err(also) => error.line(&format!("undoing ADD failed too: {also}")),
    })
}

/// An error with a variable of the environment, which it must name (spec, "Error", code 4).
fn of(variable: &str, value: &str, mut error: Error) -> Error {
    if error.details == value {
        error.details.clear();
    }
    error.line(&format!("{variable}={value:?}"))
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
        return Err(Error::new(code::INVALID_ENVIRONMENT, msg));
    }
    Ok(container.zip(ifname).map(|(container, ifname)| Attachment { container, ifname }))
}

fn read_config() -> Result<Value> {
    read_config_from(&mut io::stdin().lock(), "stdin")
}

/// Reads a configuration; `source` says where from.
fn read_config_from(input: &mut dyn Read, source: &str) -> Result<Value> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells that it is too much.
    let limit = u64::try_from(json::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    input.take(limit).read_to_end(&mut bytes).context(|| format!("error reading from {source}"))?;
    json::parse(&bytes).context(|| "error unmarshall network config")
}

fn network_of(config: &Value) -> Result<NetworkName> {
    match json::get(config, "name") {
        None => NetworkName::new(""),
        Some(Value::String(name)) => NetworkName::new(name.as_str()),
        Some(other) => {
            let msg = format!("error unmarshall network config: name is {other}, not a string");
            Err(Error::new(code::DECODE_FAILURE, msg))
        }
    }
}

/// The configuration's version, if the plugin speaks it and it has the verb.
fn version_of(config: &Value, verb: Verb, supported: &[Version]) -> Result<Version> {
    let text = match json::get(config, "cniVersion") {
        None => "",
        Some(Value::String(text)) => text,
        Some(other) => {
            let msg = format!("decoding version from network config: {other} is not a string");
            return Err(Error::new(code::DECODE_FAILURE, msg));
        }
    };
    let incompatible = |msg: String| Error::new(code::INCOMPATIBLE_VERSION, msg);
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

/// Refuses to work on the namespace this process is in: that is the host's, and the interface of a container in it is a
/// mistake that locks people out. A path that cannot be looked at is left to the executor.
fn guard_own_netns(verb: Verb, env: &Env) -> Result<()> {
    let Some(netns) = &env.netns else { return Ok(()) };
    if env.own_netns_allowed || !matches!(verb, Verb::Add | Verb::Del | Verb::Repair) {
        return Ok(());
    }
    let identity = |path: &str| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    match (identity(netns), identity("/proc/self/ns/net")) {
        (Ok(container), Ok(own)) if container == own => {
            let msg = "plugin's netns and netns from CNI_NETNS should not be the same";
            Err(Error::new(code::INVALID_NETNS, msg).details(format!(
                "CNI_NETNS is {netns}; CNI_NETNS_OVERRIDE=1 allows it if it is meant"
            )))
        }
        _ => Ok(()),
    }
}

/// What every configuration may have. Decoded for all plugins, so that a wrong type is an error in each of them.
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
        // What the attachment owns is known without it; a broken cache must not keep it from being removed.
        Err(error) if verb == Verb::Del => {
            warn(&format!("going on without prevResult: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

mod sync;
#[cfg(test)]
mod tests;
mod version;
