//! The claim of conformance: the level `must` of an edition, the badge, and a file for others.

use std::fs;

use serde_json::Value;

use crate::suite::{BAD, GOOD, Suite, kit};

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
fn a_badge_says_what_was_met() {
    let suite = Suite::new(&[("bridge", GOOD)]);
    let badge = suite.file("badge.svg");
    assert_eq!(suite.version(&["--badge", badge.to_str().unwrap()]).status, Some(0));
    let text = fs::read_to_string(badge).unwrap();
    assert!(text.starts_with("<svg ") && text.contains("2 musts, incomplete"), "{text}");
}
