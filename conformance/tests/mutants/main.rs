//! Tests of the kit with defective plugins: each has one defect, and the requirement for it must
//! fail. For the original plugin the same requirement must pass.
#![cfg(test)]

mod addresses;
mod chained;
mod commands;
mod configuration;
mod crash;
mod delegation;
mod kernel;
mod museum;
mod own;
mod packets;
mod protocol;
mod run;
mod stranger;
mod table;
mod unusual;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use run::{folder_with, judge, judge_all};
use table::{Mutant, mutant};
use unusual::{UNUSUAL, Unusual};

/// All defective plugins.
fn mutants() -> impl Iterator<Item = &'static Mutant> {
    let tables = [
        // They take longest.
        crash::MUTANTS,
        table::MUTANTS,
        protocol::MUTANTS,
        configuration::MUTANTS,
        commands::MUTANTS,
        delegation::MUTANTS,
        addresses::MUTANTS,
        kernel::MUTANTS,
        chained::MUTANTS,
        packets::MUTANTS,
        museum::MUTANTS,
    ];
    tables.into_iter().flatten()
}

/// Requirements without a defective plugin, and why no test can run it.
const UNPROVEN: &[(&str, &str)] =
    &[("CVE-2020-10136", "the kernels of the tests have no ipip tunnels")];

/// Other files of tests with defective plugins, which name the requirements in quotes.
const OTHER_TESTS: [&str; 2] =
    [include_str!("../cli/allocation.rs"), include_str!("../cli/meta.rs")];

/// An old version and the newest one.
const VERSIONS: &str = "0.4.0,1.1.0";

/// The number of kits at the same time. Most of their time they wait for the kernel.
const KITS: usize = 6;

/// Does the work for each item, several at the same time.
fn in_parallel<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let queue: Mutex<VecDeque<T>> = Mutex::new(items.collect());
    let next = || queue.lock().unwrap().pop_front();
    let done = || std::iter::from_fn(next).map(&work).collect::<Vec<_>>();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..KITS).map(|_| scope.spawn(done)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// The errors of the kit if it does not detect the defect.
fn missed(mutant: &Mutant) -> Vec<String> {
    let verdicts = judge(folder_with(mutant).path(), mutant);
    let error = |id| {
        let of_it = verdicts.of(id);
        let caught = of_it.contains(&"failed") && !of_it.contains(&"broken");
        let Mutant { name, plugin, .. } = mutant;
        (!caught).then(|| format!("{plugin}, {name}: not caught by {id}: {of_it:?}"))
    };
    mutant.ids().filter_map(error).collect()
}

#[test]
fn every_broken_plugin_is_caught() {
    let missed = in_parallel(mutants(), missed).concat();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// For the author of a defective plugin: shows how it fails. `MUTANTS` is a part of a requirement's
/// ID, or of the name of the defect.
#[test]
#[ignore = "shows the evidence of some mutants"]
fn show() {
    let part = std::env::var("MUTANTS").unwrap_or_default();
    let chosen = mutants().filter(|m| m.caught_by.contains(&part) || m.name.contains(&part));
    for shown in in_parallel(chosen, |mutant| {
        let verdicts = judge(folder_with(mutant).path(), mutant);
        format!("{}, {}\n{verdicts}", mutant.plugin, mutant.name)
    }) {
        println!("{shown}");
    }
}

#[test]
fn every_requirement_has_a_broken_plugin() {
    let all: BTreeSet<&str> = conformance::requirements::ALL.all().map(|r| r.id).collect();
    let unproven = UNPROVEN.iter().map(|(id, _)| *id);
    let strangers = own::MUTANTS.iter().chain(chained::OF_MARK).flat_map(Mutant::ids);
    let named = mutants().flat_map(Mutant::ids).chain(strangers);
    let elsewhere = |id: &&&str| OTHER_TESTS.iter().any(|text| text.contains(&format!("\"{id}\"")));
    let named = named.chain(unproven).chain(all.iter().filter(elsewhere).copied());
    let named: BTreeSet<&str> = named.collect();
    assert_eq!(all.difference(&named).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(named.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// What a real plugin must pass: the requirements that detect a defect in it, and the versions.
#[derive(Debug, Default)]
struct Asked {
    ids: BTreeSet<&'static str>,
    versions: BTreeSet<&'static str>,
}

/// What each real plugin must pass; a plugin is its type, and its text if no suite has it.
fn asked() -> BTreeMap<(&'static str, Option<&'static str>), Asked> {
    let mut all = BTreeMap::<_, Asked>::new();
    for mutant in mutants() {
        let asked = all.entry((mutant.plugin, mutant.real)).or_default();
        asked.ids.extend(mutant.ids());
        asked.versions.extend(mutant.versions.split(','));
    }
    all
}

/// The requirements that this plugin does not pass.
fn not_passed(mutant: &Mutant, Asked { ids, versions }: &Asked) -> Vec<String> {
    let list = |items: &BTreeSet<&str>| items.iter().copied().collect::<Vec<_>>().join(",");
    let plugin = mutant.plugin;
    let folder = folder_with(mutant);
    let verdicts = judge_all(folder.path(), plugin, &list(ids), &list(versions), None);
    let error = |id: &&str| {
        let of_it = verdicts.of(id);
        let passed = of_it.contains(&"passed")
            && of_it.iter().all(|verdict| matches!(*verdict, "passed" | "absent"));
        (!passed).then(|| format!("{plugin}: {id}: {of_it:?}"))
    };
    ids.iter().filter_map(error).collect()
}

#[test]
fn the_unbroken_plugins_pass() {
    let wrong: Vec<String> = asked()
        .iter()
        .flat_map(|((plugin, real), asked)| {
            not_passed(&Mutant { real: *real, ..mutant(plugin, "", "", "") }, asked)
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// Otherwise the requirement would detect the shell script around the plugin. Plugins that no suite
/// has are shell scripts already.
#[test]
fn a_harmless_shell_wrapper_passes() {
    let script = "case $CNI_COMMAND in ADD) result .;; *) error .;; esac";
    let wrong: Vec<String> = asked()
        .iter()
        .filter(|((_, real), _)| real.is_none())
        .flat_map(|((plugin, _), asked)| not_passed(&mutant(plugin, "", "", script), asked))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn nothing_is_said_against_unusual_plugins() {
    let of = |Unusual { plugin, profile, versions, without }: &'static Unusual| {
        let folder = folder_with(plugin);
        without.iter().for_each(|name| fs::remove_file(folder.path().join(name)).unwrap());
        let verdicts =
            judge_all(folder.path(), plugin.plugin, plugin.caught_by, versions, *profile);
        let wrong = |id: &str| {
            let of_it = verdicts.of(id);
            // A requirement that does not apply is not held against the plugin either.
            let is_right = |verdict: &&str| matches!(*verdict, "passed" | "absent");
            let right = !of_it.is_empty() && of_it.iter().all(is_right);
            (!right).then(|| format!("{}: {id}: {of_it:?}", plugin.name))
        };
        plugin.ids().filter_map(wrong).collect::<Vec<_>>()
    };
    let wrong = in_parallel(UNUSUAL.iter(), of).concat();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!Path::new("/var/lib/of-the-kit").exists(), "a plugin wrote to the machine");
}

#[test]
fn no_broken_plugin_is_there_twice() {
    let mut seen = BTreeSet::new();
    let twice =
        mutants().filter(|m| !seen.insert((m.plugin, m.script, m.edits, m.versions, m.mode)));
    let twice: Vec<&str> = twice.map(|mutant| mutant.name).collect();
    assert_eq!(twice, Vec::<&str>::new());
}
