//! The plain calls before the cases: what is shown if they fail.

use std::fs;

use serde_json::Value;

use crate::suite::{Suite, kit};

/// Supports VERSION in two versions, fails in ADD, and succeeds in everything else.
const NO_ADD: &str = r#"case $CNI_COMMAND in
VERSION) IN=$(cat); echo "${IN:-{\"cniVersion\": \"1.1.0\"\}}" | sed 's/}/, "supportedVersions": ["1.0.0", "1.1.0"]}/';;
ADD) echo '{"code": 100, "msg": "master is missing"}'; exit 1;;
esac"#;

/// ADD has an interface that is always there, and CHECK fails.
const NO_CHECK: &str = r#"case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}';;
ADD) echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "lo", "sandbox": "'"$CNI_NETNS"'"}]}';;
CHECK) echo '{"code": 100, "msg": "no bridge"}'; exit 1;;
esac"#;

fn shown_failures(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("failed  ") && line.contains('.')).count()
}

#[test]
fn a_plugin_that_fails_in_add_gets_one_failure_and_a_remedy() {
    let suite = Suite::new(&[("mine", NO_ADD)]);
    let config = suite.file("mine.json");
    fs::write(&config, r#"{"config": {"type": "mine"}}"#).unwrap();
    let [json, junit, html] = ["json", "junit", "html"].map(|name| suite.file(name));
    let mut arguments = vec!["--config", config.to_str().unwrap()];
    for (option, file) in [("--json", &json), ("--junit", &junit), ("--html", &html)] {
        arguments.extend([option, file.to_str().unwrap()]);
    }
    let run = suite.run(&arguments);
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(shown_failures(&run.stdout), 1, "{}", run.stdout);
    for line in [
        "failed  TRIAL.ADD  mine in 1.0.0, 1.1.0\n",
        "master is missing",
        "  call      CNI_ARGS='' CNI_COMMAND=ADD ",
        " cases did not run\n",
        "  remedy    correct the configuration in the file of --config",
        "not run because ADD fails",
    ] {
        assert!(run.stdout.contains(line), "{line:?} is missing:\n{}", run.stdout);
    }
    let report: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let mut cases = report["cases"].as_array().unwrap().iter();
    let passed = cases.find(|case| case["requirement"] == "S2.VERSION.1").unwrap();
    assert_eq!(passed["verdict"], "passed", "requirements that need no ADD are tested");
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains("TRIAL.ADD in 1.0.0"), "{junit}");
    assert!(fs::read_to_string(html).unwrap().contains("Plain calls that fail"));
}

#[test]
fn a_plugin_that_crashes_is_to_be_corrected_and_not_its_configuration() {
    let crash = NO_ADD.replace("esac", "*) exit 3;; esac").replace("ADD)", "NOTHING)");
    let suite = Suite::new(&[("mine", &crash)]);
    let config = suite.file("mine.json");
    fs::write(&config, r#"{"kind": "interface", "config": {"type": "mine"}}"#).unwrap();
    let run = suite.run(&["--config", config.to_str().unwrap(), "--only", "S2.ADD.1"]);
    let remedy = "  remedy    mine ended without an error object on standard output: correct mine";
    assert!(run.stdout.contains(remedy), "{}{}", run.stdout, run.stderr);
}

#[test]
fn failures_that_follow_from_a_call_that_fails_are_named_below_it() {
    let suite = Suite::new(&[("mine", NO_CHECK)]);
    let config = suite.file("mine.json");
    fs::write(&config, r#"{"config": {"type": "mine"}}"#).unwrap();
    let run =
        suite.run(&["--config", config.to_str().unwrap(), "--only", "S2.CHECK.1,S2.CHECK.12"]);
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(shown_failures(&run.stdout), 1, "{}", run.stdout);
    assert!(run.stdout.contains("failed  TRIAL.CHECK  mine in 1.1.0"), "{}", run.stdout);
    assert!(run.stdout.contains("  follows   "), "{}", run.stdout);
}

#[test]
fn a_profile_whose_setup_fails_is_said_once() {
    let suite = Suite::new(&[("mine", NO_ADD)]);
    let config = suite.file("mine.json");
    fs::write(&config, r#"{"setup": ["ip link set nowhere up"], "config": {"type": "mine"}}"#)
        .unwrap();
    let file = suite.file("report.json");
    let files = ["--config", config.to_str().unwrap(), "--json", file.to_str().unwrap()];
    let run = suite.run(&files);
    assert_eq!(run.status, Some(2), "{}{}", run.stdout, run.stderr);
    let head = "the kit could not test  TRIAL.SETUP  mine in 1.0.0, 1.1.0\n";
    assert!(run.stdout.contains(head), "{}", run.stdout);
    assert!(run.stdout.contains("nowhere"), "{}", run.stdout);
    assert_eq!(kit(&["report", file.to_str().unwrap()]).status, Some(2));
}

/// Accepts only what a correct runtime gives a chained plugin, and a variable of its own.
const CHAINED: &str = r#"IN=$(cat)
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}';;
ADD) [ "$CNI_PATH" = "${0%/*}" ] || { echo '{"code": 100, "msg": "CNI_PATH is a list"}'; exit 1; }
    [ "$MINE" != "" ] || { echo '{"code": 101, "msg": "MINE is not set"}'; exit 1; }
    echo "$IN" | jq -e '.prevResult // halt_error' || exit 1;;
esac"#;

#[test]
fn a_list_says_that_a_plugin_is_chained_and_a_profile_sets_variables() {
    let suite = Suite::new(&[("mine", CHAINED)]);
    let config = suite.file("mine.conflist");
    let run = |text: &str| {
        fs::write(&config, text).unwrap();
        suite.run(&["--config", config.to_str().unwrap(), "--only", "S2.ADD.1,S2.VERSION.1"])
    };
    let of_list = run(r#"{"name": "n", "plugins": [{"type": "bridge"}, {"type": "mine"}]}"#);
    assert!(of_list.stdout.contains("MINE is not set"), "{}{}", of_list.stdout, of_list.stderr);
    let with = run(r#"{"kind": "chained", "env": {"MINE": "1"}, "config": {"type": "mine"}}"#);
    assert_eq!(with.status, Some(0), "{}{}", with.stdout, with.stderr);
}
