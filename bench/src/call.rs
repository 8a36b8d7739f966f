//! The programs that run for a call of a case.

use std::path::Path;

use crate::case::{Case, STALE, Variant, Verb};
use crate::contestant::{Contestant, Kind};
use crate::job::Step;

/// The directories of programs such as iptables.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The directory of the only program, for a contestant that must find no other.
pub const ONLY: &str = "/run/testbed/only";
/// The name of the network.
pub const NETWORK: &str = "bench";

/// A container: its number, and the file of its network namespace.
#[derive(Debug, Clone)]
pub struct Container {
    /// The number, from 0.
    pub number: u32,
    /// The network namespace.
    pub netns: String,
    /// The name of its interface.
    pub ifname: String,
    /// The result of its last ADD.
    pub result: String,
}

/// The number of the first container that exists before the measurement.
const FIRST_OTHER: u32 = 10_000;

impl Container {
    /// A container that is measured.
    pub fn new(number: u32, netns: &Path) -> Container {
        let (netns, ifname) = (netns.display().to_string(), "eth0".to_owned());
        Container { number, netns, ifname, result: String::new() }
    }

    /// A container that exists before. All of these are in one network namespace.
    pub fn other(number: u32, netns: &Path) -> Container {
        Container { ifname: format!("eth{number}"), ..Container::new(FIRST_OTHER + number, netns) }
    }

    /// A configuration with the values of this container.
    fn fill(&self, conf: &str) -> String {
        let port = (FIRST_PORT + self.number).to_string();
        conf.replace("{number}", &self.number.to_string())
            .replace("{port}", &port)
            .replace("{address}", &self.address())
    }

    /// An address for its number, in 10.88.0.0/16.
    fn address(&self) -> String {
        let [a, b] = [(self.number + 2) / 256, (self.number + 2) % 256];
        format!("10.88.{a}.{b}")
    }

    /// `CNI_CONTAINERID`
    pub fn id(&self) -> String {
        format!("container{}", self.number)
    }
}

/// The programs of a call, in order; none if the contestant has no such call.
pub fn steps(case: &Case, who: &Contestant, verb: Verb, of: &Container) -> Vec<Step> {
    match &who.kind {
        Kind::Floor(program) if matches!(verb, Verb::Version | Verb::Add | Verb::Del) => {
            vec![floor(case, program, verb, of)]
        }
        Kind::Floor(_) => Vec::new(),
        Kind::Ours(folder) if case.chain.len() > 1 => vec![cnitool(folder, verb, of)],
        Kind::Ours(folder) => chain(case, folder, None, verb, of),
        Kind::Peer { folder, variant, .. } => chain(case, folder, *variant, verb, of),
    }
}

/// Runs a chain as a runtime does: plugins in order, for DEL in reverse, each with the result of
/// the one before.
fn chain(
    case: &Case,
    folder: &Path,
    variant: Option<&Variant>,
    verb: Verb,
    of: &Container,
) -> Vec<Step> {
    let mut plugins: Vec<_> = case.chain.iter().enumerate().collect();
    if verb == Verb::Del {
        plugins.reverse();
    }
    let path = match variant {
        Some(variant) if !variant.tool.is_empty() => format!("PATH={ONLY}"),
        _ => PATH.to_owned(),
    };
    let step = |(place, (plugin, conf)): (usize, &(&str, &str))| {
        let keys = variant.filter(|_| place == 0).map_or("", |variant| variant.keys);
        let more = match conf.contains("prevResult") {
            true => String::new(),
            false => more(verb, of),
        };
        let more = [more, keys.to_owned(), of.fill(conf)];
        let mut env = env(folder, verb, of);
        env.push(path.clone());
        Step {
            command: vec![folder.join(plugin).display().to_string()],
            env,
            stdin: configuration(case.version, plugin, &more),
            hand_on: place > 0 && verb == Verb::Add,
        }
    };
    plugins.into_iter().map(step).collect()
}

/// A plugin's configuration, as the runtime makes it.
fn configuration(version: &str, plugin: &str, more: &[String]) -> String {
    let more: String =
        more.iter().filter(|keys| !keys.is_empty()).map(|keys| format!(", {keys}")).collect();
    format!(r#"{{"cniVersion": "{version}", "name": "{NETWORK}", "type": "{plugin}"{more}}}"#)
}

/// The configuration of a chain, for a runtime.
pub fn list(case: &Case) -> String {
    let plugins: Vec<String> = case
        .chain
        .iter()
        .map(|(plugin, conf)| {
            let conf = if conf.is_empty() { String::new() } else { format!(", {conf}") };
            format!(r#"{{"type": "{plugin}"{conf}}}"#)
        })
        .collect();
    let version = case.version;
    format!(
        r#"{{"cniVersion": "{version}", "name": "{NETWORK}", "plugins": [{}]}}"#,
        plugins.join(", ")
    )
}

/// The keys that the runtime adds for a command.
fn more(verb: Verb, of: &Container) -> String {
    match verb {
        Verb::Check | Verb::Del if !of.result.is_empty() => {
            format!(r#""prevResult": {}"#, of.result)
        }
        Verb::Gc => r#""cni.dev/valid-attachments": []"#.to_owned(),
        _ => String::new(),
    }
}

fn env(folder: &Path, verb: Verb, of: &Container) -> Vec<String> {
    let mut env =
        vec![format!("CNI_COMMAND={}", verb.name()), format!("CNI_PATH={}", folder.display())];
    if !matches!(verb, Verb::Version | Verb::Gc) {
        env.push(format!("CNI_CONTAINERID={}", of.id()));
        env.push(format!("CNI_NETNS={}", of.netns));
        env.push(format!("CNI_IFNAME={}", of.ifname));
    }
    env
}

fn cnitool(folder: &Path, verb: Verb, of: &Container) -> Step {
    Step {
        command: vec![
            folder.join("cnitool").display().to_string(),
            verb.name().to_lowercase(),
            NETWORK.to_owned(),
            of.netns.clone(),
        ],
        env: vec![
            PATH.to_owned(),
            format!("CNI_PATH={}", folder.display()),
            "NETCONFPATH=/etc/cni/net.d".to_owned(),
        ],
        ..Step::default()
    }
}

/// The call of the floor. The addresses derive from the number, in 10.88.0.0/16.
fn floor(case: &Case, program: &Path, verb: Verb, of: &Container) -> Step {
    let mut command = vec![program.display().to_string()];
    let mut words = case.floor.unwrap_or_default().split(' ');
    if let Some(kind) = words.next().filter(|kind| !kind.is_empty() && verb != Verb::Version) {
        let Container { number, netns, .. } = of;
        let id = of.id();
        command.extend([verb.name().to_lowercase(), kind.to_owned(), netns.clone()]);
        command.extend([format!("veth{number:011x}"), (FLOOR_INDEX + number).to_string()]);
        command.extend([format!("{}/16", of.address()), "10.88.0.1".to_owned()]);
        command.push(format!("ferrocni:{NETWORK}/{id}/eth0"));
        command.extend(words.map(str::to_owned));
    }
    Step { command, ..Step::default() }
}

/// The port of the first container.
const FIRST_PORT: u32 = 20_000;
/// The index of the floor's first link.
const FLOOR_INDEX: u32 = 100_000;

/// The number of containers that a case needs.
pub fn containers(case: &Case) -> usize {
    let gc = if case.verbs.contains(&Verb::Gc) { STALE } else { 1 };
    case.bursts.iter().map(|(containers, _)| *containers).max().unwrap_or(gc)
}
