//! The differences between two suites in a scenario, without those that also exist between two runs
//! of one suite.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use testbed::diff;

use super::part::{Aspect, CONTAINERS, Observation, Part};

/// The placeholder for a word that differs in each run.
const VARIES: &str = "<varies>";
/// The placeholder for words that both suites have.
const SAME: &str = "..";
/// Words in the lines of a state that give a meaning to the word after them.
const WITH_VALUE: [&str; 24] = [
    "mtu",
    "mac",
    "qdisc",
    "master",
    "alias",
    "mode",
    "id",
    "local",
    "remote",
    "table",
    "protocol",
    "brd",
    "peer",
    "scope",
    "label",
    "dev",
    "via",
    "metric",
    "prefsrc",
    "addr_gen_mode",
    "vlan_filtering",
    "src",
    "priority",
    "rate",
];

/// A line that only one suite shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Difference {
    /// The aspect that is compared.
    pub what: Aspect,
    /// The place.
    pub place: String,
    /// The suite with the line.
    pub only: Side,
    /// The line. `..` in it is a placeholder for words that both suites have.
    pub line: String,
    /// The corresponding line of the other suite, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// One of the two suites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// The first suite.
    A,
    /// The second suite.
    B,
    /// Both suites have the line, in another order.
    Both,
}

impl Side {
    /// The sign in a unified diff.
    pub fn sign(self) -> char {
        match self {
            Side::A => '-',
            Side::B => '+',
            Side::Both => '~',
        }
    }
}

/// The differences between `a` and `b`, each observed in one or two runs. What differs between two
/// runs of one suite is not compared.
pub fn between(a: &[Observation], b: &[Observation]) -> Vec<Difference> {
    let (Some(first), Some(second)) = (a.first(), b.first()) else { return Vec::new() };
    let mut found = Vec::new();
    for (what, place) in parts(first, second) {
        let of = |seen: &[Observation]| -> Vec<Vec<String>> {
            seen.iter().map(|seen| lines(seen, what, &place)).collect()
        };
        let ((mut ours, unsteady_a), (mut theirs, unsteady_b)) = (steady(&of(a)), steady(&of(b)));
        ours.retain(|line| !unsteady_b.contains(line));
        theirs.retain(|line| !unsteady_a.contains(line));
        let changed = changed(&ours, &theirs).into_iter();
        found.extend(changed.map(|(only, line, instead)| Difference {
            what,
            place: place.clone(),
            only,
            line,
            instead,
        }));
    }
    after_both(each_container(found))
}

/// Removes differences that only follow from an ADD that failed with one suite.
pub fn without_consequences(
    found: Vec<Difference>,
    a: &Observation,
    b: &Observation,
) -> Vec<Difference> {
    if a.added == b.added {
        return found;
    }
    let is_cause = |difference: &Difference| match difference.what {
        Aspect::Add => {
            difference.line.starts_with("succeeds")
                || difference.line.starts_with("fails")
                || difference.line.starts_with("hangs")
        }
        Aspect::Del | Aspect::StateAfterDel => true,
        _ => false,
    };
    found
        .into_iter()
        .filter(is_cause)
        .map(|mut difference| {
            if difference.what == Aspect::StateAfterBoth {
                difference.what = Aspect::StateAfterDel;
            }
            difference
        })
        .collect()
}

/// The parts of both observations, in order.
fn parts(a: &Observation, b: &Observation) -> Vec<(Aspect, String)> {
    let mut parts: Vec<(Aspect, String)> = Vec::new();
    for Part { what, place, .. } in a.parts.iter().chain(&b.parts) {
        if !parts.contains(&(*what, place.clone())) {
            parts.push((*what, place.clone()));
        }
    }
    parts.sort_by_key(|(what, _)| *what);
    parts
}

fn lines(seen: &Observation, what: Aspect, place: &str) -> Vec<String> {
    let mut parts = seen.parts.iter().filter(|part| part.what == what && part.place == place);
    parts.next().map(|part| part.lines.clone()).unwrap_or_default()
}

/// The lines of the first run, with varying words replaced, and without the lines that another run
/// does not have. These are returned, too.
fn steady(runs: &[Vec<String>]) -> (Vec<String>, HashSet<String>) {
    let first = runs.first().cloned().unwrap_or_default();
    let Some(second) = runs.get(1) else { return (first, HashSet::new()) };
    let (mut gone, mut new) = only_in(&first, second);
    let (mut steady, mut unsteady) = (Vec::new(), HashSet::new());
    for line in first {
        let Some(at) = gone.iter().position(|other| *other == line) else {
            steady.push(line);
            continue;
        };
        gone.remove(at);
        let like = new.iter().position(|other| marked(&line, other).is_some());
        match like {
            Some(at) => steady.extend(marked(&line, &new.remove(at))),
            None => drop(unsteady.insert(line)),
        }
    }
    unsteady.extend(new);
    (steady, unsteady)
}

/// A line with the words replaced that differ in the other line, if at least half of the words are
/// equal.
fn marked(line: &str, other: &str) -> Option<String> {
    let (words, others): (Vec<_>, Vec<_>) = (line.split(' ').collect(), other.split(' ').collect());
    let same = words.iter().zip(&others).filter(|(a, b)| a == b).count();
    let marks = words.iter().zip(&others).map(|(a, b)| if a == b { *a } else { VARIES });
    (words.len() == others.len() && 2 * same >= words.len() && words.first() == others.first())
        .then(|| marks.collect::<Vec<_>>().join(" "))
}

/// The lines that only one of two lists has.
fn only_in(a: &[String], b: &[String]) -> (Vec<String>, Vec<String>) {
    let text = diff(&a.join("\n"), &b.join("\n"));
    let with = |sign: &str| {
        text.lines().filter_map(|line| line.strip_prefix(sign)).map(str::to_owned).collect()
    };
    (with("- "), with("+ "))
}

/// The differences between two lists of lines. For lines on the same object only the differing
/// words are shown.
fn changed(a: &[String], b: &[String]) -> Vec<(Side, String, Option<String>)> {
    let text = diff(&a.join("\n"), &b.join("\n"));
    let signed: Vec<(Side, &str)> = text
        .lines()
        .filter_map(|line| match line.split_at_checked(2)? {
            ("- ", rest) => Some((Side::A, rest)),
            ("+ ", rest) => Some((Side::B, rest)),
            _ => None,
        })
        .collect();
    let mut found: Vec<(Side, String, Option<String>)> = Vec::new();
    let mut told: HashSet<usize> = HashSet::new();
    for (at, (side, line)) in signed.iter().enumerate() {
        if told.contains(&at) {
            continue;
        }
        let mut others = signed.iter().enumerate().filter(|(other, (theirs, text))| {
            theirs != side
                && !told.contains(other)
                && (text == line || about(text).is_some() && about(text) == about(line))
        });
        let partner = others.next();
        let alone = others.next().is_none()
            && signed
                .iter()
                .filter(|(theirs, text)| theirs == side && about(text) == about(line))
                .count()
                == 1;
        match partner {
            Some((other, (_, text))) if text == line => {
                told.insert(other);
                found.push((Side::Both, (*line).to_owned(), None));
            }
            Some((other, (_, text))) if alone => {
                told.insert(other);
                let (mine, theirs) = match side {
                    Side::B => (*text, *line),
                    _ => (*line, *text),
                };
                let (mine, theirs) = (differing(mine, theirs), differing(theirs, mine));
                let only = |side, words: Option<String>, other: &Option<String>| {
                    words.map(|words| (side, words, other.clone()))
                };
                found.extend(only(Side::A, mine.clone(), &theirs));
                found.extend(only(Side::B, theirs, &mine));
            }
            _ => found.push((*side, (*line).to_owned(), None)),
        }
    }
    found
}

/// The object of a line: its first words. [`None`] for firewall rules, which have no object.
fn about(line: &str) -> Option<Vec<&str>> {
    let count = match line.split(' ').next()? {
        "link" | "neigh" | "sysctl" | "queue" => 2,
        "route" => 2,
        "-6" => 3,
        "addr" => 4,
        "succeeds" | "fails" | "hangs" => return Some(vec!["ending"]),
        "file" | "dir" => return Some(line.split_whitespace().skip(2).take(1).collect()),
        _ if line.contains(" = ") => 1,
        _ => return None,
    };
    Some(line.split(' ').take(count).collect())
}

/// The object of the line, and the words that the other line does not have.
fn differing(line: &str, other: &str) -> Option<String> {
    let count = about(line).map_or(0, |words| words.len());
    let in_words = ["link", "neigh", "route", "-6", "addr", "queue"];
    if !in_words.contains(&line.split(' ').next().unwrap_or_default()) {
        return Some(line.to_owned());
    }
    let (words, others) = (phrases(line, count), phrases(other, count));
    let mut rest = others.clone();
    let own: Vec<&String> = words
        .iter()
        .filter(|word| match rest.iter().position(|other| other == *word) {
            Some(at) => {
                rest.remove(at);
                false
            }
            None => true,
        })
        .collect();
    let about = line.split(' ').take(count).collect::<Vec<_>>().join(" ");
    let own = own.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ");
    match own.is_empty() {
        true => None,
        false => Some(format!("{about} {SAME} {own}")),
    }
}

/// The words after the first `count`, each with its value.
fn phrases(line: &str, count: usize) -> Vec<String> {
    let mut words = line.split(' ').skip(count);
    let mut phrases = Vec::new();
    while let Some(word) = words.next() {
        let value = if WITH_VALUE.contains(&word) { words.next() } else { None };
        phrases.push(value.map_or_else(|| word.to_owned(), |value| format!("{word} {value}")));
    }
    phrases
}

/// Merges differences that are equal for all containers.
fn each_container(found: Vec<Difference>) -> Vec<Difference> {
    let to_each = |text: &str, name: &str| {
        text.replace(&format!("-of-{name}>"), "-of-each>")
            .replace(&format!("container {name}"), "each container")
    };
    let general = |difference: &Difference| {
        let mut general = difference.clone();
        for name in CONTAINERS {
            general.line = to_each(&general.line, name);
            general.instead = general.instead.map(|line| to_each(&line, name));
            general.place = to_each(&general.place, name);
        }
        general
    };
    let mut merged: Vec<Difference> = Vec::new();
    for difference in &found {
        let general_form = general(difference);
        let alike: HashSet<&Difference> =
            found.iter().filter(|other| general(other) == general_form).collect();
        let one = if alike.len() == CONTAINERS.len() { general_form } else { difference.clone() };
        if one == *difference || !merged.contains(&one) {
            merged.push(one);
        }
    }
    merged
}

/// Merges differences that are equal after ADD and after DEL.
fn after_both(found: Vec<Difference>) -> Vec<Difference> {
    let at = |difference: &Difference, what: Aspect| {
        found.contains(&Difference { what, ..difference.clone() })
    };
    let mut merged: Vec<Difference> = Vec::new();
    for difference in &found {
        let mut one = difference.clone();
        match one.what {
            Aspect::StateAfterAdd if at(difference, Aspect::StateAfterDel) => {
                one.what = Aspect::StateAfterBoth
            }
            Aspect::StateAfterDel if at(difference, Aspect::StateAfterAdd) => continue,
            _ => {}
        }
        merged.push(one);
    }
    merged.sort_by_key(|difference| difference.what);
    merged
}
