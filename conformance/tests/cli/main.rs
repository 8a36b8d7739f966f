//! The built command, with shell scripts as plugins: its output, its files and its exit status.
#![cfg(test)]

mod allocation;
mod claim;
mod init;
mod known;
mod meta;
mod path;
mod suite;
mod trial;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, geteuid};
use serde_json::Value;

use suite::{BAD, GOOD, HANG, Suite, command, kit, run};

fn good_and_bad() -> Suite {
    Suite::new(&[("bridge", GOOD), ("ptp", BAD)])
}

#[test]
fn a_suite_that_meets_everything_ends_with_0() {
    let run = Suite::new(&[("bridge", GOOD)]).version(&["--label", "mine"]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("mine: 2 requirements, 1 plugin, 2 cases in"), "{}", run.stdout);
    assert!(run.stdout.contains("2 passed, 0 failed"), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1b}'), "colour without a terminal: {}", run.stdout);
    let progress: Vec<&str> = run.stderr.lines().collect();
    assert!(
        progress.len() == 2 && progress[1].starts_with("2 of 2 cases, 0 failed"),
        "{progress:?}"
    );
}

#[test]
fn a_failure_ends_with_1_and_shows_its_evidence() {
    let suite = good_and_bad();
    let run = suite.version(&[]);
    assert_eq!(run.status, Some(1), "{}{}", run.stdout, run.stderr);
    for line in ["failed  S2.VERSION.1  ptp in", "  done      ptp VERSION", "  seen      "] {
        assert!(run.stdout.contains(line), "{line:?} is missing:\n{}", run.stdout);
    }
    let repeat = format!(
        "  repeat    cni-conformance run --bin-dir {} --plugins ptp --only S2.VERSION.1 --spec ",
        suite.0.path().display()
    );
    assert!(run.stdout.contains(&repeat), "{}", run.stdout);
    assert!(!run.stdout.contains('\u{1}'), "control characters of a plugin reach the terminal");
}

#[test]
fn the_command_that_repeats_a_failure_repeats_it() {
    let suite = good_and_bad();
    let first = suite.version(&[]).stdout;
    let line = first.lines().find_map(|line| line.trim().strip_prefix("repeat")).unwrap();
    let words: Vec<&str> = line.split_whitespace().skip(1).collect();
    let again = kit(&words);
    assert_eq!(again.status, Some(1), "{}{}", again.stdout, again.stderr);
    assert!(again.stdout.contains("$ "), "no calls: {}", again.stdout);
    assert!(again.stdout.contains(": 1 requirement, 1 plugin, 1 case"), "{}", again.stdout);
}

#[test]
fn invalid_calls_end_with_status_2_and_a_suggestion() {
    let suite = good_and_bad();
    let no_plugins = Suite::new(&[]);
    for (run, statement) in [
        (suite.run(&["--plugins", "brigde"]), "did you mean bridge?"),
        (suite.run(&["--only", "S2.VERSON.1"]), "did you mean S2.VERSION.1?"),
        (suite.run(&["--spec", "1.1"]), "a similar value exists: '1.1.0'"),
        (suite.run(&["--config", "/nowhere/x.json"]), "/nowhere/x.json"),
        (no_plugins.run(&[]), "--config FILE"),
        (kit(&["run", "--bin-dir", "/nowhere"]), "/nowhere"),
        (kit(&["explain", "S2.VERSION.7"]), "did you mean S2.VERSION."),
        (kit(&["explain", "quite another thing"]), "cni-conformance list"),
        (kit(&["report", "/nowhere/x.json"]), "/nowhere/x.json"),
        (kit(&["reprot"]), "'report'"),
    ] {
        assert_eq!(run.status, Some(2), "{statement}: {}{}", run.stdout, run.stderr);
        assert!(run.stderr.contains(statement), "{statement:?} is missing: {}", run.stderr);
    }
}

/// A profile of a plugin that needs a kind of link which no kernel supports.
fn impossible(suite: &Suite) -> String {
    let file = suite.file("profile.json");
    fs::write(&file, r#"{"needs": ["impossible"], "config": {"type": "bridge"}}"#).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn untestable_requirements_are_reported_and_fail_with_strict() {
    let suite = Suite::new(&[("bridge", GOOD), ("ptp", GOOD)]);
    let profile = impossible(&suite);
    let run = suite.version(&["--config", &profile]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("not testable here  bridge: S2.VERSION.1"), "{}", run.stdout);
    assert!(run.stdout.contains("this kernel makes no impossible"), "{}", run.stdout);
    assert_eq!(suite.version(&["--config", &profile, "--strict"]).status, Some(1));
}

#[test]
fn a_run_that_tests_nothing_ends_with_2_and_says_why() {
    let suite = Suite::new(&[("bridge", GOOD)]);
    let profile = impossible(&suite);
    let run = suite.version(&["--config", &profile]);
    assert_eq!(run.status, Some(2), "{}{}", run.stdout, run.stderr);
    let why = "nothing was tested: bridge: this kernel makes no impossible";
    assert!(run.stderr.contains(why), "{}", run.stderr);
    let run = suite.run(&["--only", "IPAM"]);
    assert_eq!(run.status, Some(2), "{}{}", run.stdout, run.stderr);
    let why = "bridge: applies to plugins that manage addresses (IPAM)";
    assert!(run.stderr.contains(why), "{}", run.stderr);
}

/// A configuration that this kernel does not support is left out; the requirement is met by the
/// others.
#[test]
fn configurations_that_were_not_tested_are_counted_and_named() {
    let suite = Suite::new(&[("bridge", GOOD)]);
    let profile = suite.file("profile.json");
    let variants =
        r#"[{"name": "odd", "needs": ["impossible"]}, {"name": "even", "needs": ["impossible"]}]"#;
    let text = format!(r#"{{"config": {{"type": "bridge"}}, "variants": {variants}}}"#);
    fs::write(&profile, text).unwrap();
    let page = suite.file("page.html");
    let [profile, file] = [&profile, &page].map(|path| path.to_str().unwrap());
    let run = suite.run(&["--only", "LINUX.ADD.12", "--config", profile, "--html", file]);
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
    for said in [
        "not tested  bridge with \"even\", \"odd\"\n  this kernel makes no impossible",
        "0 not testable here, 2 configurations not tested;",
    ] {
        assert!(run.stdout.contains(said), "{said:?} is missing: {}", run.stdout);
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("Not tested <b>1</b>"), "{page}");
    assert!(page.contains("Configurations not tested: 2"), "{page}");
}

#[test]
fn the_page_opens_on_failures_if_there_are_any() {
    let page = good_and_bad().written("--html");
    assert!(page.contains("id=\"only-failed\" checked"), "{page}");
    assert!(!page.contains("id=\"only-all\" checked"), "{page}");
    let suite = Suite::new(&[("bridge", GOOD)]);
    let file = suite.file("page.html");
    assert_eq!(suite.version(&["--html", file.to_str().unwrap()]).status, Some(0));
    let page = fs::read_to_string(file).unwrap();
    assert!(page.contains("id=\"only-all\" checked"), "{page}");
}

#[test]
fn the_junit_file_is_well_formed() {
    let text = good_and_bad().written("--junit");
    assert!(text.contains("<failure message="), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    // Parsed by an independent program.
    let script = "import sys, xml.etree.ElementTree as tree\n\
                  root = tree.parse(sys.stdin).getroot()\n\
                  print(len(root.findall('.//testcase')), len(root.findall('.//failure')))";
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &text).unwrap();
    let read = run(Command::new("python3")
        .args(["-c", script])
        .stdin(fs::File::open(file.path()).unwrap()));
    assert_eq!(read.stdout, "4 2\n", "{}", read.stderr);
}

#[test]
fn the_page_stands_alone_and_runs_nothing_of_a_plugin() {
    let page = good_and_bad().written("--html");
    assert!(page.starts_with("<!DOCTYPE html>"));
    // Only links to the specification lead away.
    let spec = "<a href=\"https://github.com/containernetworking/cni/blob/";
    assert!(page.contains(spec), "no link to the specification");
    let page = page.replace(spec, "");
    for outside in ["http:", "https:", "src=", "@import", "url(", "<link", "<iframe"] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
    assert!(!page.contains("<script>alert"), "a plugin's output is part of the page");
    assert!(page.contains("&lt;script&gt;alert"), "the plugin's output is not shown");
    // Every link has a target.
    for id in page.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(page.contains(&format!("id=\"{id}\"")), "#{id} leads nowhere");
    }
}

#[test]
fn reports_of_several_suites_come_beside_each_other() {
    let (good, bad) = (Suite::new(&[("bridge", GOOD)]), Suite::new(&[("bridge", BAD)]));
    let mut files = Vec::new();
    for (suite, label) in [(&good, "good"), (&bad, "bad")] {
        let file = suite.file("report.json").to_str().unwrap().to_owned();
        suite.version(&["--label", label, "--json", &file, "--portable"]);
        let text = fs::read_to_string(&file).unwrap();
        let folder = suite.0.path().to_str().unwrap();
        assert!(!text.contains(folder) && !text.contains("millis"), "{folder}: {text}");
        let _: Value = serde_json::from_str(&text).unwrap();
        files.push(file);
    }
    let page = good.file("page.html").to_str().unwrap().to_owned();
    let shown = kit(&["report", &files[0], &files[1], "--html", &page]);
    assert_eq!(shown.status, Some(1), "{}{}", shown.stdout, shown.stderr);
    let head = shown.stdout.lines().find(|line| line.starts_with("requirements met")).unwrap();
    assert_eq!(head.split_whitespace().collect::<Vec<_>>(), ["requirements", "met", "good", "bad"]);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("id=\"only-differing\""), "the page does not compare");
    assert_eq!(kit(&["report", &files[0]]).status, Some(0));
}

#[test]
fn a_requirement_is_explained() {
    let run = kit(&["explain", "s2.version.1"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    for part in ["S2.VERSION.1: ", "source ", "level     must", "--only S2.VERSION.1 --verbose"] {
        assert!(run.stdout.contains(part), "{part:?} is missing: {}", run.stdout);
    }
    assert!(kit(&["list"]).stdout.contains("S2.VERSION.1"));
}

#[test]
fn an_ordinary_user_can_judge() {
    let suite = Suite::new(&[("bridge", GOOD)]);
    // A copy, because other users may not be able to read the build directory.
    let copy = suite.file("cni-conformance");
    fs::copy(env!("CARGO_BIN_EXE_cni-conformance"), &copy).unwrap();
    let mut command = match geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
            command
        }
        false => Command::new(&copy),
    };
    let folder = suite.0.path().to_str().unwrap();
    let run = run(command.args(["run", "--bin-dir", folder, "--only", "S2.VERSION.1"]));
    assert_eq!(run.status, Some(0), "{}{}", run.stdout, run.stderr);
}

#[test]
fn ctrl_c_while_a_plugin_is_asked_for_its_versions_leaves_nothing() {
    interrupted(HANG);
}

#[test]
fn ctrl_c_while_a_plugin_is_tested_leaves_nothing() {
    interrupted(&format!("if mkdir MARKS/asked; then {GOOD}; else {HANG}; fi"));
}

#[test]
fn a_run_that_a_limit_ends_reports_its_verdicts() {
    let hangs = format!("if mkdir MARKS/asked; then {GOOD}; else {HANG}; fi");
    let suite = Suite::new(&[("bridge", GOOD), ("ptp", &hangs)]);
    let [json, junit, html] = ["json", "junit", "html"].map(|name| suite.file(name));
    let mut command = command();
    command.args(["run", "--only", "S2.VERSION.1,S2.VERSION.2", "--jobs", "1", "--bin-dir"]);
    command.arg(suite.0.path());
    for (option, file) in [("--json", &json), ("--junit", &junit), ("--html", &html)] {
        command.arg(option).arg(file);
    }
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !suite.mark("called").exists() {
        assert!(Instant::now() < deadline, "the plugin was not called");
        thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(143), "{stdout}");
    let why = "the run was ended by SIGTERM after 2 of 4 cases";
    assert!(stdout.contains(&format!("incomplete: {why}")), "{stdout}");
    assert!(stdout.contains("2 passed, 0 failed"), "{stdout}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("2 of 4 cases, 0 failed"), "{stderr}");
    let report: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(
        (&report["incomplete"], report["cases"].as_array().unwrap().len()),
        (&why.into(), 2)
    );
    let junit = fs::read_to_string(junit).unwrap();
    assert!(junit.contains(&format!("<error message=\"{why}\"/>")), "{junit}");
    let html = fs::read_to_string(html).unwrap();
    assert!(html.contains(&format!("<b>Incomplete</b>: {why}.")), "{html}");
    let shown = kit(&["report", json.to_str().unwrap()]);
    assert_eq!(shown.status, Some(2), "{}{}", shown.stdout, shown.stderr);
    assert!(shown.stdout.contains(why), "{}", shown.stdout);
}

/// Interrupts a run while the plugin hangs, as Ctrl-C does.
fn interrupted(plugin: &str) {
    let suite = Suite::new(&[("ptp", plugin)]);
    let folder = suite.0.path();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut command = command();
    command.args(["run", "--only", "S2.VERSION", "--bin-dir"]).arg(folder);
    let mut child = command.process_group(0).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !suite.mark("called").exists() {
        assert!(Instant::now() < deadline, "the plugin was not called");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(running(folder), "the test does not see the plugin");
    let started = Instant::now();
    killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "{status}");
    // The kit's own time limit for a plugin is five seconds.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    while running(folder) {
        // A busy kernel may take a while to end the processes of a namespace.
        assert!(started.elapsed() < Duration::from_secs(30), "something still runs");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fs::read_to_string("/proc/self/mounts").unwrap(), mounts);
}

/// Whether a process is running whose arguments contain that directory.
fn running(folder: &Path) -> bool {
    let folder = folder.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut processes = processes
        .filter(|entry| entry.file_name().to_string_lossy().chars().all(|c| c.is_ascii_digit()));
    processes.any(|entry| {
        let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(folder)
    })
}

#[test]
fn a_failure_that_comes_from_a_common_library_says_so() {
    let script = "case $CNI_COMMAND in VERSION) cat;; *) echo '{\"code\": 4, \"msg\": \"x\"}'; exit 1;; esac";
    let with = format!("{script}\n# github.com/containernetworking/cni/pkg/skel.PluginMain");
    for (script, is_said) in [(script, false), (with.as_str(), true)] {
        let suite = Suite::new(&[("loopback", script)]);
        let run = suite.run(&["--only", "S2.ERR.2", "--spec", "1.1.0"]);
        assert!(run.stdout.contains("S2.ERR.2  loopback"), "{}{}", run.stdout, run.stderr);
        let said = run.stdout.contains("  library   Go's skel");
        assert_eq!(said, is_said, "{}", run.stdout);
    }
}
