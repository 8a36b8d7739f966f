//! Runs the cases, several at a time.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use testbed::Node;

use crate::bench::patient;
use crate::case::{self, Case, Ended, Verdict, Work};
use crate::profile::Profile;
use crate::report::{Judged, Machine, PluginInfo, Report};
use crate::requirement::Requirement;
use crate::requirements;
use crate::suggest;
use crate::suite::{Plugin, Suite};

/// A case that has not ended by then does not end.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The same for a part of a test that kills the plugin again and again.
const LONG_PATIENCE: Duration = Duration::from_secs(3600);

/// What can be done about what the kernel lacks.
pub const TRY_LAB: &str = "; try --lab";

/// What shall be run.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The plugins' folder.
    pub suite: Suite,
    /// What the suite is called in the report.
    pub label: String,
    /// The beginning of a command line that judges the suite again.
    pub command: String,
    /// The plugins by type; all that the kit knows, if empty.
    pub plugins: Vec<String>,
    /// The versions of the specification; all that the plugin speaks, if empty.
    pub versions: Vec<String>,
    /// The beginnings of the ids of requirements; all, if empty.
    pub only: Vec<String>,
    /// Whether plugins are also killed at each of their system calls.
    pub crash: bool,
    /// At every which one of them.
    pub crash_every: usize,
    /// The texts of further profiles.
    pub profiles: Vec<String>,
    /// How many cases run at the same time.
    pub jobs: usize,
}

/// A case, and what is known of it before it runs.
#[derive(Debug, Clone)]
struct Planned {
    case: Case,
    /// Why it need not run: how it ends without.
    ended: Option<Ended>,
}

/// Runs what is selected, with a line of progress on the terminal, if it is one.
///
/// # Errors
///
/// If there is nothing to run, or the kit cannot work on this machine.
pub fn run(selection: &Selection) -> Result<Report, String> {
    let started = Instant::now();
    let described = Profile::parse_all(&selection.profiles)?;
    let given =
        described.iter().map(|(name, (_, profile))| (name.clone(), profile.clone())).collect();
    let mut plugins = selection.suite.plugins(&given)?;
    for name in &selection.plugins {
        if !plugins.iter().any(|plugin| plugin.name == *name) {
            let folder = selection.suite.folder.display();
            let thing = format!("plugin in {folder} that the kit knows");
            let known = plugins.iter().map(|plugin| plugin.name.as_str());
            return Err(suggest::unknown(name, &thing, known, "describe it with --config FILE"));
        }
    }
    for start in &selection.only {
        if !requirements::all().any(|requirement| begins(requirement.id, start)) {
            return Err(requirements::no_such(start));
        }
    }
    plugins
        .retain(|plugin| selection.plugins.is_empty() || selection.plugins.contains(&plugin.name));
    let chosen: Vec<&Requirement> =
        requirements::all().filter(|r| is_chosen(r, selection)).collect();
    let kinds = plugins.iter().flat_map(|plugin| plugin.profile.needs.clone()).collect();
    let lacks = lacks(kinds)?;
    let planned: Vec<Planned> = plugins
        .iter()
        .flat_map(|plugin| chosen.iter().map(move |requirement| (plugin, *requirement)))
        .flat_map(|(plugin, requirement)| {
            plan(
                plugin,
                requirement,
                selection,
                described.get(&plugin.name).map(|(text, _)| text),
                &lacks,
            )
        })
        .collect();
    let cases = run_all(planned, selection.jobs)?;
    let not_judged = match selection.plugins.is_empty() {
        true => selection.suite.not_judged(&given),
        false => Vec::new(),
    };
    Ok(Report {
        label: selection.label.clone(),
        command: selection.command.clone(),
        kit: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::this(),
        seconds: started.elapsed().as_secs_f64(),
        plugins: plugins.iter().map(PluginInfo::of).collect(),
        requirements: chosen.iter().map(|requirement| (*requirement).into()).collect(),
        cases,
        not_judged,
    })
}

fn is_chosen(requirement: &Requirement, selection: &Selection) -> bool {
    match selection.only.as_slice() {
        [] => selection.crash || !requirement.id.starts_with("CRASH."),
        only => only.iter().any(|start| begins(requirement.id, start)),
    }
}

/// Whether an id begins so. `S2.ADD.1` is not also `S2.ADD.10`.
fn begins(id: &str, start: &str) -> bool {
    let same = id.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    let rest = id.get(start.len()..).unwrap_or_default();
    same && (rest.is_empty() || rest.starts_with('.') || start.ends_with('.'))
}

/// The cases of a requirement and a plugin: one for each version.
fn plan(
    plugin: &Plugin,
    requirement: &Requirement,
    selection: &Selection,
    profile: Option<&String>,
    lacks: &BTreeMap<String, String>,
) -> Vec<Planned> {
    let mut versions = plugin.versions.clone();
    versions.retain(|version| match selection.versions.is_empty() {
        // 0.3.0 differs from 0.3.1 in a word of the text only.
        true => version != "0.3.0" || plugin.versions.len() == 1,
        false => selection.versions.contains(version),
    });
    let case = |version: &str, part| Case {
        requirement: requirement.id.to_owned(),
        plugin: plugin.name.clone(),
        version: version.to_owned(),
        suite: selection.suite.clone(),
        profile: profile.cloned(),
        part,
        crash_every: selection.crash_every,
    };
    let without = |verdict, why| Some(Ended { verdict, why, ..Ended::default() });
    if let Err(why) = requirement.is_for(&plugin.profile) {
        return vec![Planned { case: case("", (0, 1)), ended: without(Verdict::Absent, why) }];
    }
    let tested = requirement.versions_of(&versions);
    if tested.is_empty() {
        let why = "is about versions that the plugin does not speak, or that were not asked for"
            .to_owned();
        return vec![Planned { case: case("", (0, 1)), ended: without(Verdict::Absent, why) }];
    }
    let lack = plugin.profile.needs.iter().find_map(|kind| lacks.get_key_value(kind));
    let ended = lack.map(|(kind, why)| Ended {
        verdict: Verdict::Untestable,
        why: why.clone(),
        lacking: kind != "iptables",
        ..Ended::default()
    });
    let parts = if requirement.id.starts_with("CRASH.") { 4 } else { 1 };
    let planned = |version: &String| {
        let parts = (0..parts).map(|part| case(version, (part, parts))).collect::<Vec<_>>();
        parts.into_iter().map(|case| Planned { case, ended: ended.clone() })
    };
    tested.iter().flat_map(planned).collect()
}

/// Runs the cases in processes of their own.
fn run_all(planned: Vec<Planned>, jobs: usize) -> Result<Vec<Judged>, String> {
    let bar = progress(planned.len());
    let count = planned.len();
    // What takes long begins first, so that the end does not wait for it alone.
    let mut order: Vec<(usize, Planned)> = planned.into_iter().enumerate().collect();
    order.sort_by_key(|(_, planned)| !planned.case.requirement.starts_with("CRASH."));
    let queue = Mutex::new(VecDeque::from(order));
    let (sender, receiver) = mpsc::channel();
    let mut judged: Vec<Option<Judged>> = vec![None; count];
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || {
                while let Some((index, planned)) = next(queue) {
                    let _ = sender.send((index, judge(planned)));
                }
            });
        }
        drop(sender);
        let mut failed = 0;
        for (index, case) in receiver {
            failed += usize::from(case.ended.verdict == Verdict::Failed);
            bar.set_message(format!("{failed} failed  {} of {}", case.requirement, case.plugin));
            bar.inc(1);
            if let Some(place) = judged.get_mut(index) {
                *place = Some(case);
            }
        }
    });
    bar.finish_and_clear();
    Ok(judged.into_iter().flatten().collect())
}

/// A line of progress on the terminal, if it is one.
pub fn progress(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}, {elapsed}  {wide_msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    // The time goes on while a long case does.
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn next(queue: &Mutex<VecDeque<(usize, Planned)>>) -> Option<(usize, Planned)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn judge(planned: Planned) -> Judged {
    let started = Instant::now();
    let Planned { case, ended } = planned;
    let ended = ended.unwrap_or_else(|| {
        let patience = match case.requirement.starts_with("CRASH.") {
            true => LONG_PATIENCE,
            false => PATIENCE,
        };
        let answer = Work::Test(case.clone())
            .command()
            .and_then(|command| output(command, patience))
            .and_then(|output| case::answer(&output));
        answer.unwrap_or_else(|why| Ended { why, ..Ended::default() })
    });
    Judged {
        requirement: case.requirement,
        plugin: case.plugin,
        version: case.version,
        part: case.part.0,
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        ended,
    }
}

/// Runs a command for as long as that.
pub fn output(mut command: Command, patience: Duration) -> Result<Output, String> {
    let patience = patient(patience);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("start the kit again: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            let _ = sender.send(bytes);
        });
        receiver
    };
    let stdout = read(stdout.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = read(stderr.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let Ok(stdout) = stdout.recv_timeout(patience) else {
        // Its namespaces end with it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("the case did not end within {} s", patience.as_secs()));
    };
    let stderr = stderr.recv_timeout(patience).unwrap_or_default();
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok(Output { status, stdout, stderr })
}

/// What this kernel cannot do of what the profiles need, and why.
///
/// # Errors
///
/// If no namespaces can be made.
pub fn lacks(mut kinds: Vec<String>) -> Result<BTreeMap<String, String>, String> {
    kinds.sort();
    kinds.dedup();
    let output = output(Work::Abilities(kinds).command()?, PATIENCE)?;
    case::answer(&output)
}

/// Tries to make each kind of link, on a host of its own.
pub fn abilities(kinds: &[String]) -> BTreeMap<String, String> {
    let host = Node::new();
    host.sh("ip link add parent type veth peer name parent-peer");
    let lack = |kind: &String| {
        let command = match kind.as_str() {
            // Their first call also loads what they need.
            "iptables" => "iptables -w -t nat -S && ip6tables -w -t nat -S".to_owned(),
            "bridge-vlan" => "ip link add probe type bridge vlan_filtering 1".to_owned(),
            "veth" => "ip link add probe type veth peer name probe-peer".to_owned(),
            "vlan" => "ip link add probe link parent type vlan id 5".to_owned(),
            "vrf" => "ip link add probe type vrf table 9".to_owned(),
            "ipip" => "ip link add probe type ipip local 192.0.2.1 remote 192.0.2.2".to_owned(),
            "tap" => "ip tuntap add mode tap name probe".to_owned(),
            "macvlan" | "ipvlan" => format!("ip link add probe link parent type {kind}"),
            other => format!("ip link add probe type {other}"),
        };
        let made = host.try_run(&["sh", "-c", &command]);
        host.try_run(&["ip", "link", "del", "probe"]);
        let why = match kind.as_str() {
            "iptables" => format!("iptables does not work here: {}", made.stderr.trim()),
            _ => format!("this kernel makes no {kind}: {}{TRY_LAB}", made.stderr.trim()),
        };
        (!made.status.success()).then(|| (kind.clone(), why))
    };
    kinds.iter().filter_map(lack).collect()
}

/// As many cases at a time as pay: they also wait, for the kernel and for packets.
pub fn default_jobs() -> usize {
    2 * thread::available_parallelism().map_or(1, usize::from)
}

/// An absolute path, because plugins run elsewhere.
///
/// # Errors
///
/// If there is no such folder.
pub fn absolute(folder: &PathBuf) -> Result<PathBuf, String> {
    std::fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
