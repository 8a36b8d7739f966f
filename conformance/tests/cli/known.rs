//! Known failures: a baseline, and a list with reasons.

use std::fs;

use crate::suite::{BAD, GOOD, Suite};

#[test]
fn only_new_failures_fail_a_run_with_a_baseline() {
    let suite = Suite::new(&[("bridge", GOOD), ("ptp", BAD)]);
    let [old, junit] = ["old.json", "junit.xml"].map(|n| suite.file(n).display().to_string());
    assert_eq!(suite.version(&["--json", &old]).status, Some(1));
    let run = suite.version(&["--baseline", &old, "--junit", &junit]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("known   S2.VERSION.1  ptp in"), "{}", run.stdout);
    assert!(run.stdout.contains("2 passed, 0 failed, 2 known failures"), "{}", run.stdout);
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<skipped message=\"known failure: fails in the baseline"), "{junit}");
    // Another plugin fails now, and the one of the baseline passes.
    let other = Suite::new(&[("bridge", BAD), ("ptp", GOOD)]);
    let run = other.version(&["--baseline", &old]);
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("failed  S2.VERSION.1  bridge"), "{}", run.stdout);
    assert!(run.stdout.contains("passes now  S2.VERSION.1 of ptp in "), "{}", run.stdout);
}

#[test]
fn a_list_of_known_failures_has_reasons_and_says_what_passes() {
    let suite = Suite::new(&[("bridge", GOOD), ("ptp", BAD)]);
    let file = suite.file("known.json");
    let list = |text: &str| {
        fs::write(&file, text).unwrap();
        suite.version(&["--known", file.to_str().unwrap()])
    };
    let run = list(
        r#"[{"requirement": "S2.VERSION.1", "plugin": "ptp", "reason": "issue 7"},
            {"requirement": "S2.VERSION.2", "reason": "old"}]"#,
    );
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("issue 7"), "{}", run.stdout);
    let run = list(r#"[{"requirement": "S2.VERSION.1", "plugin": "bridge", "reason": "gone"}]"#);
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("passes now  S2.VERSION.1 of bridge (gone)"), "{}", run.stdout);
    for (text, why) in [
        (r#"[{"requirement": "S2.VERSION.1"}]"#, "missing field `reason`"),
        (r#"[{"requirement": "S2.VERSION.1", "reason": " "}]"#, "has no reason"),
        (r#"[{"requirement": "S2.VERSON.1", "reason": "x"}]"#, "did you mean S2.VERSION.1?"),
    ] {
        let run = list(text);
        assert_eq!(run.status, Some(2), "{}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    }
}
