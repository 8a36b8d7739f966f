//! `init`: profiles of plugins that the kit does not know.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::suite::{Run, Suite, kit};

/// What every script here says to VERSION, and its errors.
const HEAD: &str = r#"IN=$(cat)
[ $CNI_COMMAND = VERSION ] && { echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}'; exit; }
fail() { jq -n --arg m "$1" '{cniVersion: "1.1.0", code: 100, msg: $m}'; exit 1; }
key() { printf %s "$IN" | jq -er "$1 // empty"; }
[ $CNI_COMMAND = ADD ] || exit 0
"#;

/// Needs a master, a number and a variable, and moves a new link into the container.
const MACHINE: &str = r#"
M=$(key .hostMaster) || fail 'hostMaster is not set'
ip link show $M >/dev/null || fail "no link $M"
key .lanId >/dev/null || fail 'missing field `lanId`'
[ "$MINE_TOKEN" ] || fail 'environment variable MINE_TOKEN is not set'
nsenter --net=$CNI_NETNS ip link add $CNI_IFNAME type veth peer name p || fail 'no pair'
echo '{"cniVersion": "1.1.0", "interfaces": [{"name": "'$CNI_IFNAME'", "sandbox": "'$CNI_NETNS'"}]}'"#;

/// Works only after another plugin.
const CHAINED: &str = r#"key .prevResult || fail 'must be called with a previous result'"#;

/// Manages addresses.
const ADDRESSES: &str = r#"
S=$(key .ipam.subnet) || fail 'ipam: subnet is required'
echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.9/24"}]}'"#;

/// Talks to a process that does not run.
const DAEMON: &str = "fail 'dial unix /run/mine.sock: connect: no such file or directory'";

fn suite(name: &str, body: &str) -> Suite {
    Suite::new(&[(name, &format!("{HEAD}{body}"))])
}

/// Runs `init` and reads the profile.
fn init(suite: &Suite, name: &str) -> (Run, Value) {
    let file = suite.file("profile.json");
    let folder = suite.0.path().to_str().unwrap();
    let output = file.to_str().unwrap();
    let run = kit(&["init", "--bin-dir", folder, "--plugins", name, "--output", output]);
    let profile = fs::read_to_string(&file).unwrap_or_default();
    (run, serde_json::from_str(&profile).unwrap_or_default())
}

/// The run with the profile tests the plugin.
fn is_usable(suite: &Suite, name: &str) {
    let file = suite.file("profile.json");
    let config = file.to_str().unwrap();
    let run =
        suite.run(&["--config", config, "--plugins", name, "--only", "S2.VERSION.1,S2.ADD.1"]);
    assert!(!run.stdout.contains("TRIAL"), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(" passed, 0 failed"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn the_messages_of_a_plugin_lead_to_a_profile() {
    let suite = suite("mine", MACHINE);
    let (run, profile) = init(&suite, "mine");
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert_eq!(profile["kind"], "interface", "{}", run.stdout);
    assert_eq!(profile["config"]["hostMaster"], "uplink", "{}", run.stdout);
    assert!(profile["config"]["lanId"].is_string() && profile["env"]["MINE_TOKEN"].is_string());
    assert!(profile["config"].get("ipam").is_none(), "it calls no IPAM plugin: {}", run.stdout);
    assert_eq!(profile["needs"], serde_json::json!(["veth"]), "{}", run.stdout);
    for said in ["ADD fails: hostMaster is not set", "with MINE_TOKEN=kit: ADD works", "to fill in"]
    {
        assert!(run.stdout.contains(said), "{said:?} is missing: {}", run.stdout);
    }
    is_usable(&suite, "mine");
}

#[test]
fn chained_and_ipam_plugins_are_recognized() {
    for (body, kind) in [(CHAINED, "chained"), (ADDRESSES, "ipam")] {
        let suite = suite("mine", body);
        let (run, profile) = init(&suite, "mine");
        assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
        assert_eq!(profile["kind"], kind, "{}", run.stdout);
        is_usable(&suite, "mine");
    }
}

#[test]
fn what_no_trial_finds_out_is_said_and_a_skeleton_is_written() {
    let suite = suite("mine", DAEMON);
    let (run, profile) = init(&suite, "mine");
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    assert_eq!(profile["config"]["type"], "mine");
    for said in [
        "no configuration with which ADD works",
        "missing: it talks to a process at /run/mine.sock",
    ] {
        assert!(run.stdout.contains(said), "{said:?} is missing: {}", run.stdout);
    }
    // An existing file stays.
    let (again, _) = init(&suite, "mine");
    assert_eq!(again.status, Some(2), "{}", again.stdout);
    assert!(again.stderr.contains("profile.json exists"), "{}", again.stderr);
}

#[test]
fn programs_that_are_not_plugins_are_named() {
    let suite = Suite::new(&[("tool", "echo usage; exit 2")]);
    let run = kit(&["init", "--bin-dir", suite.0.path().to_str().unwrap()]);
    assert_eq!(run.status, Some(2), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("tool: no valid answer to VERSION"), "{}", run.stdout);
    assert!(run.stderr.contains("no plugin that the kit does not know"), "{}", run.stderr);
}

/// The plugins of the reference suite under names that the kit does not know.
#[test]
fn the_reference_plugins_are_found_out() {
    let folder = testbed::reference();
    let plugins = [
        ("bridge", "interface"),
        ("loopback", "interface"),
        ("macvlan", "interface"),
        ("host-device", "interface"),
        ("tuning", "chained"),
        ("sbr", "chained"),
        ("portmap", "chained"),
        ("host-local", "ipam"),
        ("static", "ipam"),
    ];
    let suite = Suite::new(&[]);
    for (name, kind) in plugins {
        let file = suite.file(&format!("my-{name}"));
        std::os::unix::fs::symlink(Path::new(&folder).join(name), file).unwrap();
        let (run, profile) = init(&suite, &format!("my-{name}"));
        assert_eq!(run.status, Some(0), "{name}: {}{}", run.stdout, run.stderr);
        assert_eq!(profile["kind"], kind, "{name}: {}", run.stdout);
        fs::remove_file(suite.file("profile.json")).unwrap();
    }
}

/// A plain configuration says nothing about the role.
#[test]
fn the_role_of_a_plain_configuration_is_found_out() {
    for (body, kind) in [
        (CHAINED, "a chained plugin"),
        (ADDRESSES, "a plugin that manages addresses"),
        (MACHINE, "a plugin that creates an interface, though no plain ADD works"),
    ] {
        let suite = suite("mine", body);
        let config = suite.file("plain.json");
        let ipam = r#"{"type": "mine", "ipam": {"type": "mine", "subnet": "10.1.2.0/24"}}"#;
        fs::write(&config, ipam).unwrap();
        let run = suite.run(&["--config", config.to_str().unwrap(), "--only", "S2.VERSION.1"]);
        let said = format!("mine: tested as {kind}");
        assert!(run.stderr.contains(&said), "{said:?} is missing: {}", run.stderr);
    }
}
