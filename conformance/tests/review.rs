//! Each failure on the scoreboard has a review: `conformance/scoreboard/review.md` names it.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scoreboard")
}

/// `(suite, requirement)` of each failure in the reports of the scoreboard.
fn failures() -> BTreeSet<(String, String)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let reports = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut failures = BTreeSet::new();
    for path in reports {
        let report: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let suite = report["label"].as_str().unwrap();
        for case in report["cases"].as_array().unwrap() {
            if matches!(case["verdict"].as_str(), Some("failed" | "broken")) {
                let requirement = case["requirement"].as_str().unwrap();
                failures.insert((suite.to_owned(), requirement.to_owned()));
            }
        }
    }
    failures
}

/// `(suites, requirement)` of each row of the tables in the review: the requirements are in the
/// first cell, between backticks, and the suites in the second.
fn reviewed(text: &str) -> Vec<(Vec<String>, String)> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let mut all = Vec::new();
    for cells in cells {
        let [_, requirements, suites, why, ..] = cells.as_slice() else { continue };
        assert!(!why.is_empty(), "a review says why: {requirements}");
        let suites: Vec<String> = suites.split(',').map(|suite| suite.trim().to_owned()).collect();
        for requirement in requirements.split('`').skip(1).step_by(2) {
            all.push((suites.clone(), requirement.to_owned()));
        }
    }
    all
}

/// Whether the name of a suite in the review means this suite: `reference` means all versions.
fn means(name: &str, suite: &str) -> bool {
    suite.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[test]
fn each_failure_has_a_review() {
    let reviewed = reviewed(&fs::read_to_string(folder().join("review.md")).unwrap());
    let missing: Vec<String> = failures()
        .into_iter()
        .filter(|(suite, requirement)| {
            !reviewed.iter().any(|(suites, known)| {
                known == requirement && suites.iter().any(|name| means(name, suite))
            })
        })
        .map(|(suite, requirement)| format!("{suite}: {requirement}"))
        .collect();
    assert!(
        missing.is_empty(),
        "review these failures in conformance/scoreboard/review.md:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_row_names_requirements_and_suites() {
    let rows = reviewed("| `A.1`, `B.2` | reference, mine-1.0 | true: seen |\n| text | no | row |");
    let names = ["reference".to_owned(), "mine-1.0".to_owned()];
    assert_eq!(rows, [(names.to_vec(), "A.1".to_owned()), (names.to_vec(), "B.2".to_owned())]);
    assert!(means("reference", "reference-1.9.1") && means("mine-1.0", "mine-1.0"));
    assert!(!means("reference-1", "reference-1.9.1") && !means("mine", "minefield"));
}
