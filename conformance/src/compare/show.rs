//! A comparison as text. What all scenarios of a plugin have in common is shown once.

use std::collections::BTreeSet;

use super::{Aspect, Compared, Comparison, Difference, Side};

/// Differences and the scenarios that have them, by place.
type Group<'a> = (BTreeSet<usize>, Vec<&'a Difference>);

/// Shows a comparison as text. `all` also names the scenarios without differences.
pub fn text(comparison: &Comparison, all: bool, coloured: bool) -> String {
    let [a, b] = &comparison.suites;
    let mut text = format!("- only with A, {a}\n+ only with B, {b}\n");
    for (plugin, side) in &comparison.only {
        text.push_str(&format!("{} {plugin} is only in {side:?}\n", side.sign()));
    }
    text.push_str(&supports(comparison));
    let scenarios: Vec<&Compared> = comparison.scenarios.iter().collect();
    for of_plugin in scenarios.chunk_by(|a, b| (&a.plugin, &a.version) == (&b.plugin, &b.version)) {
        plugin(of_plugin, all, &mut text);
    }
    for (heading, list) in
        [("not compared", &comparison.not_compared), ("trouble", &comparison.trouble)]
    {
        if !list.is_empty() {
            text.push('\n');
        }
        for (plugin, scenario, why) in list {
            let scenario = quoted(scenario);
            text.push_str(&format!("{heading}: {plugin}{scenario}: {why}\n"));
        }
    }
    text.push_str(&summary(comparison));
    if !comparison.incomplete.is_empty() {
        text.push_str(&format!("incomplete: {}\n", comparison.incomplete));
    }
    if coloured { in_colour(&text) } else { text }
}

/// The versions that plugins support only in one suite.
fn supports(comparison: &Comparison) -> String {
    let mut alike: Vec<(Side, &Vec<String>, Vec<&str>)> = Vec::new();
    for (plugin, side, versions) in &comparison.supports {
        match alike.iter_mut().find(|(s, v, _)| (s, *v) == (side, versions)) {
            Some((_, _, plugins)) => plugins.push(plugin),
            None => alike.push((*side, versions, vec![plugin])),
        }
    }
    let line = |(side, versions, plugins): &(Side, &Vec<String>, Vec<&str>)| {
        let (versions, plugins) = (versions.join(", "), plugins.join(", "));
        format!("{} {versions} is supported only in {side:?} by {plugins}\n", side.sign())
    };
    alike.iter().map(line).collect()
}

fn quoted(scenario: &str) -> String {
    if scenario.is_empty() { String::new() } else { format!(" \"{scenario}\"") }
}

fn summary(comparison: &Comparison) -> String {
    let scenarios = &comparison.scenarios;
    let same = scenarios.iter().filter(|compared| compared.differences.is_empty()).count();
    let mut plugins: Vec<&str> = scenarios.iter().map(|c| c.plugin.as_str()).collect();
    plugins.dedup();
    let only = |added: [bool; 2]| scenarios.iter().filter(|c| c.added == added).count();
    let mut line = format!(
        "\n{} plugins, {} scenarios: {same} the same, {} differ",
        plugins.len(),
        scenarios.len(),
        scenarios.len() - same
    );
    for (side, count) in [("A", only([true, false])), ("B", only([false, true]))] {
        if count > 0 {
            line.push_str(&format!("; ADD succeeds only with {side} in {count}"));
        }
    }
    for (what, count) in
        [("not compared", comparison.not_compared.len()), ("trouble", comparison.trouble.len())]
    {
        if count > 0 {
            line.push_str(&format!("; {what}: {count}"));
        }
    }
    line + "\n"
}

/// The differences in the scenarios of one plugin in one version.
fn plugin(scenarios: &[&Compared], all: bool, text: &mut String) {
    let Some(first) = scenarios.first() else { return };
    let differing = scenarios.iter().filter(|compared| !compared.differences.is_empty()).count();
    let count = scenarios.len();
    let said = match differing {
        0 => "no differences".to_owned(),
        _ => format!("{differing} of {count} scenarios differ"),
    };
    text.push_str(&format!("\n{} {}: {said}\n", first.plugin, first.version));
    for (where_, differences) in groups(scenarios) {
        text.push_str(&format!("\n  in {}\n", called(&where_, scenarios)));
        show(&differences, text);
    }
    let same: Vec<String> = scenarios
        .iter()
        .filter(|compared| compared.differences.is_empty())
        .map(|compared| format!("\"{}\"", compared.scenario))
        .collect();
    if all && !same.is_empty() && differing > 0 {
        text.push_str(&format!("\n  no differences in {}\n", same.join(", ")));
    }
}

/// The differences, grouped by the scenarios that have them; those of most scenarios come first.
fn groups<'a>(scenarios: &[&'a Compared]) -> Vec<Group<'a>> {
    let mut seen: Vec<(&Difference, BTreeSet<usize>)> = Vec::new();
    for (at, compared) in scenarios.iter().enumerate() {
        for difference in &compared.differences {
            match seen.iter_mut().find(|(known, _)| *known == difference) {
                Some((_, scenarios)) => drop(scenarios.insert(at)),
                None => seen.push((difference, BTreeSet::from([at]))),
            }
        }
    }
    let mut groups: Vec<Group<'a>> = Vec::new();
    for (difference, scenarios) in seen {
        match groups.iter_mut().find(|(known, _)| *known == scenarios) {
            Some((_, differences)) => differences.push(difference),
            None => groups.push((scenarios, vec![difference])),
        }
    }
    groups.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    groups.iter_mut().for_each(|(_, differences)| differences.sort_by_key(|d| d.what));
    groups
}

/// The name of a set of scenarios: the scenarios that it does not contain, if these are fewer.
fn called(set: &BTreeSet<usize>, scenarios: &[&Compared]) -> String {
    let names = |set: &BTreeSet<usize>| {
        let those = scenarios.iter().enumerate().filter(|(at, _)| set.contains(at));
        those
            .map(|(_, compared)| format!("\"{}\"", compared.scenario))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if scenarios.len() == 1 {
        return names(set);
    }
    let all: BTreeSet<usize> = (0..scenarios.len()).collect();
    let succeeds = |at: &usize| scenarios.get(*at).is_some_and(|c| c.added == [true, true]);
    let added: BTreeSet<usize> = all.iter().copied().filter(succeeds).collect();
    let wholes = [
        (&all, format!("all {} scenarios", all.len())),
        (&added, format!("all {} scenarios in which ADD succeeds", added.len())),
    ];
    // The set of which the fewest scenarios are missing.
    let least = wholes
        .into_iter()
        .filter(|(whole, _)| set.is_subset(whole) && 2 * set.len() > whole.len())
        .map(|(whole, name)| (whole.difference(set).copied().collect::<BTreeSet<_>>(), name))
        .min_by_key(|(lacking, _)| lacking.len());
    match least {
        Some((lacking, name)) if lacking.is_empty() => name,
        Some((lacking, name)) if lacking.len() < set.len() => {
            format!("{name}, but not in {}", names(&lacking))
        }
        _ => names(set),
    }
}

fn show(differences: &[&Difference], text: &mut String) {
    let of = |d: &Difference| (d.what, d.place.clone());
    for alike in differences.chunk_by(|a, b| of(a) == of(b)) {
        let Some(first) = alike.first() else { continue };
        let what = match first.what {
            Aspect::Add => "ADD",
            Aspect::StateAfterAdd => "after ADD",
            Aspect::StateAfterBoth => "after ADD and still after DEL",
            Aspect::Check => "CHECK",
            Aspect::Del => "DEL",
            Aspect::StateAfterDel => "after DEL",
        };
        text.push_str(&format!("    {what}, {}\n", first.place));
        for difference in alike {
            let order = if difference.only == Side::Both { "   (in another order)" } else { "" };
            text.push_str(&format!("    {} {}{order}\n", difference.only.sign(), difference.line));
        }
    }
}

/// Red for lines that only A has, green for B.
fn in_colour(text: &str) -> String {
    let colour = |line: &str| match line.trim_start().split_at_checked(2) {
        Some(("- ", _)) => format!("\u{1b}[31m{line}\u{1b}[0m\n"),
        Some(("+ ", _)) => format!("\u{1b}[32m{line}\u{1b}[0m\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(colour).collect()
}
