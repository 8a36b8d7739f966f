//! Groups cases with the same outcome. A failure of three plugins in four versions is then shown
//! once.

use super::CaseResult;
use crate::case::{CaseOutcome, Verdict};

/// Cases of one requirement with the same outcome.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The first case, whose evidence is shown for all.
    pub first: &'a CaseResult,
    /// The number of all cases.
    pub cases: Vec<&'a CaseResult>,
    similarity: String,
}

/// The cases with that verdict, grouped by outcome.
pub fn groups<'a>(
    cases: impl IntoIterator<Item = &'a CaseResult>,
    verdict: Verdict,
) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for case in cases.into_iter().filter(|case| case.outcome.verdict == verdict) {
        let similarity = similarity(case);
        match groups.iter_mut().find(|group| group.similarity == similarity) {
            Some(group) => group.cases.push(case),
            None => groups.push(Group { first: case, cases: vec![case], similarity }),
        }
    }
    groups
}

impl Group<'_> {
    /// The plugins and versions: "bridge, ptp in 0.4.0, 1.0.0; loopback in 1.0.0".
    pub fn who(&self) -> String {
        let mut plugins: Vec<(&str, Vec<&str>)> = Vec::new();
        for case in &self.cases {
            let (plugin, version) = (case.plugin.as_str(), case.version.as_str());
            match plugins.iter_mut().find(|(name, _)| *name == plugin) {
                Some((_, versions)) if versions.contains(&version) => {}
                Some((_, versions)) => versions.push(version),
                None => plugins.push((plugin, vec![version])),
            }
        }
        let mut alike: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
        for (plugin, versions) in plugins {
            match alike.iter_mut().find(|(_, others)| *others == versions) {
                Some((names, _)) => names.push(plugin),
                None => alike.push((vec![plugin], versions)),
            }
        }
        let text = |(names, versions): &(Vec<&str>, Vec<&str>)| match versions.as_slice() {
            [] | [""] => names.join(", "),
            versions => format!("{} in {}", names.join(", "), versions.join(", ")),
        };
        alike.iter().map(text).collect::<Vec<_>>().join("; ")
    }
}

/// A failure, and the failures of other requirements that follow from it.
#[derive(Debug, Clone)]
pub struct Cause<'a> {
    /// The failure.
    pub group: Group<'a>,
    /// The cases that follow from it.
    pub consequences: Vec<&'a CaseResult>,
}

/// Groups failures by their causes. If a call that must succeed fails in the same way in tests of
/// several requirements, the other failures follow from the first.
pub fn causes<'a>(groups: impl IntoIterator<Item = Group<'a>>) -> Vec<Cause<'a>> {
    let mut causes: Vec<(Option<String>, Cause<'a>)> = Vec::new();
    for group in groups {
        let call = failed_call(group.first);
        let same = causes.iter_mut().find(|(other, _)| call.is_some() && *other == call);
        match same {
            Some((_, cause)) => cause.consequences.extend(group.cases),
            None => causes.push((call, Cause { group, consequences: Vec::new() })),
        }
    }
    causes.into_iter().map(|(_, cause)| cause).collect()
}

/// A key that is equal for calls that fail in the same way, if the finding is about such a call.
fn failed_call(case: &CaseResult) -> Option<String> {
    let finding = case.outcome.finding.as_ref().filter(|finding| finding.expected == "success")?;
    Some(plain(&format!("{} {}", finding.done, finding.seen), &case.plugin))
}

/// A key that is equal for cases with the same outcome.
fn similarity(case: &CaseResult) -> String {
    let CaseOutcome { why, known, .. } = &case.outcome;
    let mut text = why.clone();
    if let Some(finding) = &case.outcome.finding {
        text.push_str(&format!(" {} {} {}", finding.done, finding.expected, finding.seen));
    }
    format!("{} {} {known}", case.requirement, plain(&text, &case.plugin))
}

/// A text without the plugin, the version, and words with digits, such as addresses and generated
/// names.
fn plain(text: &str, plugin: &str) -> String {
    let text = text.replace(plugin, "@");
    let words = text.split(|c: char| !c.is_alphanumeric());
    let plain = words.map(|word| match is_made_up(word) {
        true => "#",
        false => word,
    });
    let mut plain: Vec<&str> = plain.filter(|word| !word.is_empty()).collect();
    plain.dedup();
    plain.join(" ")
}

/// Whether a word is a number, or a part of one such as the "fe" of a MAC address.
fn is_made_up(word: &str) -> bool {
    let hex = word.len() == 2 && word.chars().all(|c| c.is_ascii_hexdigit());
    hex || word.contains(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{causes, groups};
    use crate::case::{CaseOutcome, Verdict};
    use crate::evidence::Finding;
    use crate::report::CaseResult;

    fn case(plugin: &str, version: &str, why: &str) -> CaseResult {
        CaseResult {
            requirement: "S2.ADD.1".to_owned(),
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            part: 0,
            millis: 0,
            outcome: CaseOutcome {
                why: why.to_owned(),
                verdict: Verdict::Untestable,
                ..CaseOutcome::default()
            },
        }
    }

    #[test]
    fn requirements_are_shown_apart_even_if_they_fail_alike() {
        let one = case("bridge", "1.0.0", "the same");
        let other = CaseResult { requirement: "S2.ADD.3".to_owned(), ..one.clone() };
        assert_eq!(groups([&one, &other], Verdict::Untestable).len(), 2);
    }

    #[test]
    fn what_differs_in_names_and_numbers_is_alike() {
        let cases = [
            case("bridge", "0.4.0", "bridge ADD: 0a:ff:00:01:02:03 in 0.4.0"),
            case("bridge", "1.0.0", "bridge ADD: 0a:58:0a:01:02:03 in 1.0.0"),
            case("ptp", "0.4.0", "ptp ADD: be:58:0a:01:02:03 in 0.4.0"),
            case("ptp", "1.0.0", "ptp ADD: be:58:0a:01:02:03 in 1.0.0"),
            case("vlan", "1.0.0", "vlan ADD: be:58:0a:01:02:03 in 1.0.0"),
            case("vlan", "1.1.0", "it hung"),
        ];
        let found = groups(&cases, Verdict::Untestable);
        let who: Vec<String> = found.iter().map(super::Group::who).collect();
        assert_eq!(who, ["bridge, ptp in 0.4.0, 1.0.0; vlan in 1.0.0", "vlan in 1.1.0"]);
    }

    fn failed(requirement: &str, expected: &str, seen: &str) -> CaseResult {
        let finding = Finding {
            done: "mine ADD".to_owned(),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
        };
        let mut case = case("mine", "1.0.0", "");
        case.requirement = requirement.to_owned();
        case.outcome = CaseOutcome {
            verdict: Verdict::Failed,
            finding: Some(finding),
            ..CaseOutcome::default()
        };
        case
    }

    #[test]
    fn a_call_that_fails_in_the_same_way_is_one_cause() {
        let cases = [
            failed("S2.ADD.1", "success", "exit status: 1, no 7"),
            failed("S2.DEL.1", "success", "exit status: 1, no 9"),
            failed("S2.DEL.2", "success", "it hung"),
            failed("S5.IPS.1", "an address", "exit status: 1, no 7"),
        ];
        let found = causes(groups(&cases, Verdict::Failed));
        let of = |cause: &super::Cause<'_>| {
            (cause.group.first.requirement.clone(), cause.consequences.len())
        };
        let found: Vec<_> = found.iter().map(of).collect();
        let expected = [("S2.ADD.1", 1), ("S2.DEL.2", 0), ("S5.IPS.1", 0)];
        assert_eq!(found, expected.map(|(id, count)| (id.to_owned(), count)));
    }
}
