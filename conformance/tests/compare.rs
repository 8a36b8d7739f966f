//! `cni-conformance compare`: a suite does not differ from itself, and differences are shown.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One scenario of `ptp` keeps the test quick.
const CONFIG: &str =
    r#"{ "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" } }"#;

fn compare(a: &Path, b: &Path, config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cni-conformance"))
        .arg("compare")
        .args([Path::new("--a"), a, Path::new("--b"), b, Path::new("--config"), config])
        .args(["--plugins", "ptp"])
        .output()
        .unwrap()
}

#[track_caller]
fn ended(output: &Output, status: i32) -> String {
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{shown}\n{complaint}");
    shown
}

#[test]
fn a_suite_does_not_differ_from_itself() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    fs::write(&config, CONFIG).unwrap();
    let suite = testbed::reference();
    let shown = ended(&compare(&suite, &suite, &config), 0);
    assert!(shown.contains("1 scenarios: 1 the same, 0 differ"), "{shown}");
}

#[test]
fn another_mtu_is_shown_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    fs::write(&config, CONFIG).unwrap();
    let suite = testbed::reference();
    let changed = folder.path().join("changed");
    fs::create_dir(&changed).unwrap();
    fs::copy(suite.join("host-local"), changed.join("host-local")).unwrap();
    // The same plugin with a key that the configuration does not have.
    let real = suite.join("ptp");
    let wrapper = format!("#!/bin/sh\nsed 's/^{{/{{\"mtu\":1400,/' | {}\n", real.display());
    fs::write(changed.join("ptp"), wrapper).unwrap();
    fs::set_permissions(changed.join("ptp"), fs::Permissions::from_mode(0o755)).unwrap();
    let shown = ended(&compare(&suite, &changed, &config), 1);
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    for line in [
        "- link eth0 .. mtu 1500",
        "+ link eth0 .. mtu 1400",
        "- link <host-end-of-each> .. mtu 1500",
        "+ link <host-end-of-each> .. mtu 1400",
    ] {
        assert!(lines.contains(&line), "{line}\n{shown}");
    }
    let differing = lines.iter().filter(|line| line.starts_with("- ") || line.starts_with("+ "));
    // Two more lines name the suites.
    assert_eq!(differing.count(), 4 + 2, "{shown}");
}

#[test]
fn a_plugin_that_only_one_suite_has_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    fs::write(&config, CONFIG).unwrap();
    let suite = testbed::reference();
    fs::copy(suite.join("host-local"), folder.path().join("host-local")).unwrap();
    let shown = ended(&compare(&suite, folder.path(), &config), 1);
    assert!(shown.contains("- ptp is only in A"), "{shown}");
}

#[test]
fn a_comparison_that_a_signal_ends_shows_the_scenarios_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let [config, json] = ["config.json", "out.json"].map(|name| folder.path().join(name));
    // The hosts of the plugins have a disk of their own, but the machine's /dev.
    let marks = tempfile::tempdir_in("/dev/shm").unwrap();
    let called = marks.path().join("called");
    let profile = format!(
        r#"{{ "config": {CONFIG}, "variants": [{{ "name": "slow", "config": {{ "name": "slow" , "mtu": 1401 }} }}] }}"#
    );
    fs::write(&config, profile).unwrap();
    let suite = testbed::reference();
    let slow = folder.path().join("slow");
    fs::create_dir(&slow).unwrap();
    fs::copy(suite.join("host-local"), slow.join("host-local")).unwrap();
    // Hangs in the second scenario.
    let script = format!(
        "#!/bin/sh\nIN=$(cat)\ncase $IN in *1401*) touch {}; while :; do sleep 1; done;; esac\n\
         printf %s \"$IN\" | {}\n",
        called.display(),
        suite.join("ptp").display()
    );
    fs::write(slow.join("ptp"), script).unwrap();
    fs::set_permissions(slow.join("ptp"), fs::Permissions::from_mode(0o755)).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_cni-conformance"))
        .arg("compare")
        .args([Path::new("--a"), &suite, Path::new("--b"), &slow, Path::new("--config"), &config])
        .args(["--plugins", "ptp", "--jobs", "1", "--json"])
        .arg(&json)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !called.exists() {
        assert!(Instant::now() < deadline, "the plugin was not called");
        thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let shown = ended(&child.wait_with_output().unwrap(), 130);
    assert!(shown.contains("1 scenarios: 1 the same, 0 differ"), "{shown}");
    let why = "the comparison was ended by SIGINT after 1 of 2 scenarios";
    assert!(shown.contains(&format!("incomplete: {why}")), "{shown}");
    assert!(fs::read_to_string(json).unwrap().contains(why));
}
