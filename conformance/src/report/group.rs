//! Groups cases with the same outcome. A failure of three plugins in four versions is then shown
//! once.

use super::CaseResult;
use crate::case::Verdict;

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

/// A key that is equal for cases with the same outcome: their text without the plugin, the version,
/// and words with digits, such as addresses and generated names.
fn similarity(case: &CaseResult) -> String {
    let mut text = format!("{} {}", case.requirement, case.outcome.why);
    if let Some(finding) = &case.outcome.finding {
        text.push_str(&format!(" {} {} {}", finding.done, finding.expected, finding.seen));
    }
    let text = text.replace(&case.plugin, "@");
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
    use super::groups;
    use crate::case::{CaseOutcome, Verdict};
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
}
