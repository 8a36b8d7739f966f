//! The claim of conformance: the level `must` of an edition, the badge, and a file for others.

use std::fs;

use serde_json::Value;

use crate::suite::{BAD, GOOD, Suite, kit, run};

#[test]
fn only_musts_are_the_claim_and_everything_else_is_advice() {
    // No answer without a configuration: only an expectation of operators.
    let script = r#"IN=$(cat); [ -n "$IN" ] || exit 1
        echo "$IN" | sed 's/}$/, "supportedVersions": ["1.1.0"]}/'"#;
    let suite = Suite::new(&[("bridge", script)]);
    let run = suite.run(&["--only", "S2.VERSION.1,S2.VERSION.3"]);
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("advice  S2.VERSION.3  bridge"), "{}", run.stdout);
    let run = suite.run(&["--only", "S2.VERSION.1,S2.VERSION.3", "--level", "must"]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(": 1 requirement, 1 plugin"), "{}", run.stdout);
    assert!(
        run.stdout.contains("claim: cni-linux-1: 1 of 1 tested musts are met; "),
        "{}",
        run.stdout
    );
    assert!(!run.stdout.contains("the plugins conform"), "most musts were not tested");
}

#[test]
fn a_report_that_leaves_out_requirements_claims_nothing() {
    let suite = Suite::new(&[("bridge", BAD)]);
    let [json, badge] = ["report.json", "badge.svg"].map(|n| suite.file(n).display().to_string());
    suite.version(&["--json", &json, "--badge", &badge]);
    assert!(fs::read_to_string(&badge).unwrap().contains("0 of 2 musts"));
    // Without the failures, and without their requirements.
    let mut report: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(report["edition"], "cni-linux-1");
    report["requirements"].as_array_mut().unwrap().clear();
    report["cases"].as_array_mut().unwrap().clear();
    fs::write(&json, report.to_string()).unwrap();
    let shown = kit(&["report", &json, "--badge", &badge]);
    assert!(
        shown.stdout.contains("claim: cni-linux-1: 0 of 0 tested musts are met; "),
        "{}",
        shown.stdout
    );
    assert!(!shown.stdout.contains("the plugins conform"), "{}", shown.stdout);
    assert!(fs::read_to_string(badge).unwrap().contains("incomplete"));
}

#[test]
fn advice_fails_a_run_only_if_the_user_asks_for_it() {
    let script = r#"IN=$(cat); [ -n "$IN" ] || exit 1
        echo "$IN" | sed 's/}$/, "supportedVersions": ["1.1.0"]}/'"#;
    let suite = Suite::new(&[("bridge", script)]);
    let json = suite.file("report.json").display().to_string();
    // The requirement is named.
    assert_eq!(suite.run(&["--only", "S2.VERSION.3", "--json", &json]).status, Some(1));
    // A level that includes it, or does not.
    let both = ["--only", "S2.VERSION.1,S2.VERSION.3", "--level"];
    assert_eq!(suite.run(&[&both[..], &["all"]].concat()).status, Some(1));
    assert_eq!(suite.run(&[&both[..], &["must"]].concat()).status, Some(0));
    let shown = kit(&["report", &json]);
    assert!(shown.stdout.contains("advice  S2.VERSION.3"), "{}", shown.stdout);
    assert_eq!(shown.status, Some(0), "{}{}", shown.stdout, shown.stderr);
}

#[test]
fn a_report_names_the_files_that_were_tested() {
    let suite = Suite::new(&[("bridge", GOOD)]);
    let json = suite.file("report.json").display().to_string();
    let folder = suite.0.path().display().to_string();
    suite.version(&["--json", &json]);
    let report: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    let digest = report["plugins"][0]["sha256"].as_str().unwrap();
    let sum = run(std::process::Command::new("sha256sum").arg(suite.file("bridge")));
    assert!(sum.stdout.starts_with(digest), "{digest}: {}", sum.stdout);
    assert_eq!(kit(&["report", &json, "--verify", &folder]).status, Some(0));
    let other = Suite::new(&[("bridge", BAD)]);
    let folder = other.0.path().display().to_string();
    let shown = kit(&["report", &json, "--verify", &folder]);
    assert_eq!(shown.status, Some(2));
    assert!(shown.stderr.contains("other plugins than in the report"), "{}", shown.stderr);
    assert!(shown.stderr.contains(digest), "{}", shown.stderr);
}

#[test]
fn a_badge_says_what_was_met() {
    let suite = Suite::new(&[("bridge", GOOD)]);
    let badge = suite.file("badge.svg");
    assert_eq!(suite.version(&["--badge", badge.to_str().unwrap()]).status, Some(0));
    let text = fs::read_to_string(badge).unwrap();
    assert!(text.starts_with("<svg ") && text.contains("2 musts, incomplete"), "{text}");
}
