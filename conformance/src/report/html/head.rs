//! The head of the page: the counts of each suite, and the plugins and machines.

use std::fmt::Write;

use super::{class, escaped, evidence, standings, untestable_plugins};
use crate::case::Verdict;
use crate::report::{Claim, Count, PluginInfo, Report, RequirementInfo, overall_verdict};
use crate::requirement::Level;

pub(super) fn head(reports: &[Report]) -> String {
    let mut text = "<header>\n<h1>CNI conformance</h1>\n".to_owned();
    text.push_str(
        "<p class=\"lead\">What a plugin must do by the CNI specification, what it should do, and what operators expect \
         of it, tested from outside on a real kernel. Numbers are requirements; one is met if every plugin meets it in \
         every version it supports.</p>\n<div class=\"suites\">\n",
    );
    reports.iter().for_each(|report| text.push_str(&suite(report)));
    text.push_str("</div>\n");
    text.push_str(&plugins(reports));
    text + "</header>\n"
}

fn suite(report: &Report) -> String {
    let count = standings(report, None);
    let parts = [
        (Verdict::Passed, count.passed, "met"),
        (Verdict::Failed, count.failed, "failed"),
        (Verdict::Broken, count.broken, "not tested because of an error in the kit"),
        (Verdict::Untestable, count.untestable, "untestable here"),
        (Verdict::NotApplicable, count.absent, "not asked"),
    ];
    let (mut bar, mut list, mut words) = (String::new(), String::new(), Vec::new());
    for (verdict, number, what) in parts {
        // Zero failures are shown, too.
        if number == 0 && !matches!(verdict, Verdict::Passed | Verdict::Failed) {
            continue;
        }
        let class = if number == 0 { "absent" } else { class(verdict) };
        if number > 0 {
            let _ = write!(bar, "<i class=\"{class}\" style=\"flex: {number}\"></i>");
        }
        let _ = write!(list, "<li class=\"{class}\"><b>{number}</b> {what}</li>");
        words.push(format!("{number} {what}"));
    }
    let mut text = format!(
        "<section class=\"suite\">\n<h2>{}</h2>\n{}<div class=\"bar\" role=\"img\" \
         aria-label=\"{}\">{bar}</div>\n<ul class=\"counts\">{list}</ul>\n",
        escaped(&report.label),
        claim(report),
        words.join(", "),
    );
    text.push_str(&incomplete(report));
    text.push_str(&trials(report));
    let levels = levels(report);
    if !levels.is_empty() {
        let _ = writeln!(text, "<p class=\"soft\">Failed: {levels}</p>");
    }
    let Count { passed, failed, .. } = report.count();
    let user = if report.machine.root { "root" } else { "an unprivileged user" };
    let _ = writeln!(
        text,
        "<p class=\"soft\">{} cases; Linux {}, as {user}; kit {}</p>",
        passed + failed,
        escaped(&report.machine.kernel),
        escaped(&report.kit)
    );
    text + &in_lab(report)
        + &not_judged(report)
        + &untestable(report)
        + &untested(report)
        + "</section>\n"
}

/// The claim of conformance, which most readers look for.
fn claim(report: &Report) -> String {
    let claim = Claim::of(report);
    let class = match () {
        () if claim.holds() => "passed",
        () if claim.failed.is_empty() => "untestable",
        () => "failed",
    };
    format!("<p class=\"claim {class}\">{}</p>\n", escaped(&claim.text()))
}

/// The reason why cases are missing.
fn incomplete(report: &Report) -> String {
    match report.incomplete.as_str() {
        "" => String::new(),
        why => format!("<p class=\"incomplete\"><b>Incomplete</b>: {}.</p>\n", escaped(why)),
    }
}

/// The plain calls that fail.
fn trials(report: &Report) -> String {
    match evidence::trials(report) {
        none if none.is_empty() => none,
        text => format!("<details open><summary>Plain calls that fail</summary>{text}</details>\n"),
    }
}

/// The configurations of profiles that were not tested, with the reasons.
fn untested(report: &Report) -> String {
    let all = report.untested();
    let mut text = String::new();
    for (plugin, variant, why) in &all {
        let _ = write!(
            text,
            "<p><b>{}</b> with \u{201c}{}\u{201d}: {}</p>",
            escaped(plugin),
            escaped(variant),
            escaped(why)
        );
    }
    match all.len() {
        0 => text,
        number => format!(
            "<details><summary>Configurations not tested: {number}</summary>{text}</details>\n"
        ),
    }
}

/// The plugins that could not be tested at all, with the reasons.
fn untestable(report: &Report) -> String {
    let lost = untestable_plugins(report);
    let mut text = String::new();
    for plugin in &lost {
        let mut cases = report.cases.iter().filter(|case| case.plugin == *plugin);
        let why = cases.find(|case| case.outcome.verdict == Verdict::Untestable);
        let why = why.map_or("", |case| case.outcome.why.as_str());
        let _ = write!(text, "<p><b>{}</b>: {}</p>", escaped(plugin), escaped(why));
    }
    match lost.as_slice() {
        [] => text,
        _ => format!(
            "<details><summary>Not testable here: {}</summary>{text}</details>\n",
            escaped(&lost.join(", "))
        ),
    }
}

/// The programs in the directory that were not tested, with the reasons.
fn not_judged(report: &Report) -> String {
    let named = |(name, why): &(String, String)| format!("{} ({})", escaped(name), escaped(why));
    let all: Vec<String> = report.not_judged.iter().map(named).collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("<p class=\"soft\">Not judged: {}.</p>\n", all.join(", ")),
    }
}

/// The number of cases that ran in the lab, and its kernel.
fn in_lab(report: &Report) -> String {
    let in_lab = || report.cases.iter().filter(|case| !case.outcome.lab.is_empty());
    in_lab().next().map_or_else(String::new, |first| {
        format!(
            "<p class=\"soft\">{} of the cases ran in a virtual machine, on Linux {}.</p>\n",
            in_lab().count(),
            escaped(&first.outcome.lab)
        )
    })
}

/// The levels of the failed requirements: "2 must, 1 expected".
fn levels(report: &Report) -> String {
    let number = |level: Level| {
        let failed = |requirement_info: &&RequirementInfo| {
            requirement_info.level == level
                && overall_verdict(report.of(&requirement_info.id)) == Some(Verdict::Failed)
        };
        report.requirements.iter().filter(failed).count()
    };
    let levels = [Level::Must, Level::Should, Level::Expected];
    let levels = levels.map(|level| (number(level), level.name()));
    let some = levels.iter().filter(|(number, _)| *number > 0);
    some.map(|(number, name)| format!("{number} {name}")).collect::<Vec<_>>().join(", ")
}

/// A row for each plugin: the versions that it supports, and the number of requirements that it
/// meets in each suite.
fn plugins(reports: &[Report]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for plugin in reports.iter().flat_map(|report| &report.plugins) {
        if !names.contains(&plugin.name.as_str()) {
            names.push(&plugin.name);
        }
    }
    let mut text = "<details class=\"plugins\"><summary>Plugins, and the versions of CNI they \
        support</summary>\n<div class=\"wide\"><table><thead><tr><th>Plugin</th>"
        .to_owned();
    for report in reports {
        let _ = write!(text, "<th scope=\"col\">{}</th>", escaped(&report.label));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for name in names {
        let _ = write!(text, "<tr><th scope=\"row\">{}</th>", escaped(name));
        for report in reports {
            let plugin = report.plugins.iter().find(|plugin| plugin.name == name);
            let cell = plugin.map_or_else(|| "–".to_owned(), |plugin| standing_of(report, plugin));
            let _ = write!(text, "<td>{cell}</td>");
        }
        text.push_str("</tr>\n");
    }
    text + "</tbody></table></div></details>\n"
}

/// "119 of 120 met" and the versions.
fn standing_of(report: &Report, plugin: &PluginInfo) -> String {
    let count = standings(report, Some(&plugin.name));
    let tested = count.passed + count.failed + count.broken;
    let (class, words) = match (tested, tested - count.passed) {
        (0, _) => ("open", "untestable here".to_owned()),
        (_, 0) => ("", format!("all {tested} met")),
        _ => ("bad", format!("{} of {tested} met", count.passed)),
    };
    let versions = match plugin.versions.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, .., last] => format!("{first} to {last}"),
    };
    format!("<span class=\"{class}\">{words}</span><br><small>{}</small>", escaped(&versions))
}
