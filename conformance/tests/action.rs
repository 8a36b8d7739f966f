//! The GitHub action: its steps run here as GitHub's runner runs them, with an archive from
//! `scripts/package-archives`.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A plugin that supports only VERSION, and needs no configuration.
const PLUGIN: &str = r#"echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}'"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("action")
}

/// A YAML file as JSON.
fn yaml(name: &str) -> Value {
    let script =
        "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1])), default=str))";
    let file = folder().join(name);
    let read = Command::new("/usr/bin/python3").args(["-c", script]).arg(file).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

/// A runner of GitHub, with a suite of one plugin and a release of this kit.
struct Runner(TempDir);

/// The end of a job.
struct Job {
    ok: bool,
    log: String,
    summary: String,
    outputs: BTreeMap<String, String>,
}

impl Runner {
    fn new(plugin: &str) -> Runner {
        let runner = Runner(tempfile::tempdir().unwrap());
        for folder in ["kit", "plugins", "release", "temp"] {
            fs::create_dir(runner.path(folder)).unwrap();
        }
        // Without debug information, which takes seconds to compress.
        let kit = runner.path("kit/cni-conformance");
        let stripped = Command::new("strip")
            .args(["-o".as_ref(), kit.as_os_str(), env!("CARGO_BIN_EXE_cni-conformance").as_ref()])
            .status();
        assert!(stripped.unwrap().success());
        let file = runner.path("plugins/bridge");
        fs::write(&file, format!("#!/bin/sh\n{plugin}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .join("scripts/package-archives");
        let made = Command::new(script)
            .args([runner.path("kit"), runner.path("release")])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the steps with these inputs.
    fn job(&self, inputs: &[(&str, &str)]) -> Job {
        let action = yaml("action.yml");
        let values = values(&action, inputs);
        let mut job =
            Job { ok: true, log: String::new(), summary: String::new(), outputs: BTreeMap::new() };
        for step in action["runs"]["steps"].as_array().unwrap() {
            if step["run"].is_string() && job.ok {
                let ended = self.step(step, &values).output().unwrap();
                job.ok = ended.status.success();
                job.log.push_str(&String::from_utf8_lossy(&ended.stdout));
                job.log.push_str(&String::from_utf8_lossy(&ended.stderr));
            }
        }
        job.summary = fs::read_to_string(self.path("summary")).unwrap_or_default();
        let text = fs::read_to_string(self.path("output")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once('='));
        job.outputs = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        job
    }

    /// A step, as the runner starts it.
    fn step(&self, step: &Value, values: &BTreeMap<String, String>) -> Command {
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c"]);
        bash.arg(step["run"].as_str().unwrap())
            .env("RUNNER_TEMP", self.path("temp"))
            .env("GITHUB_STEP_SUMMARY", self.path("summary"))
            .env("GITHUB_OUTPUT", self.path("output"));
        for (name, value) in step["env"].as_object().unwrap() {
            bash.env(name, replaced(value.as_str().unwrap(), values));
        }
        bash
    }

    /// The inputs of all jobs here.
    fn inputs(&self) -> [String; 2] {
        let url = format!("file://{}", self.path("release").display());
        [self.path("plugins").display().to_string(), url]
    }
}

/// The values of the expressions in the action.
fn values(action: &Value, inputs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut values = BTreeMap::from([
        ("github.action_path".to_owned(), folder().display().to_string()),
        ("github.action_repository".to_owned(), "owner/ferrocni".to_owned()),
    ]);
    for (name, input) in action["inputs"].as_object().unwrap() {
        let given = inputs.iter().find(|(given, _)| given == name).map(|(_, value)| *value);
        let value = given.or_else(|| input["default"].as_str());
        values.insert(format!("inputs.{name}"), value.expect(name).to_owned());
    }
    values
}

/// Text with the value of its expression, if it is one.
fn replaced(text: &str, values: &BTreeMap<String, String>) -> String {
    let Some(name) = text.strip_prefix("${{ ").and_then(|rest| rest.strip_suffix(" }}")) else {
        return text.to_owned();
    };
    values.get(name).unwrap_or_else(|| panic!("{name} is not known")).clone()
}

#[test]
fn the_steps_test_plugins_and_write_a_summary() {
    let runner = Runner::new(PLUGIN);
    let [plugins, url] = &runner.inputs();
    let args = "--only S2.VERSION.1,S2.VERSION.2 --jobs 2";
    let given = [("bin-dir", &plugins[..]), ("url", url), ("label", "my plugins"), ("args", args)];
    let job = runner.job(&given);
    assert!(job.ok, "{}", job.log);
    assert!(
        job.outputs["claim"].starts_with("cni-linux-1: 2 of 2 tested musts are met"),
        "{}",
        job.log
    );
    assert_eq!(job.outputs["status"], "0");
    assert!(job.summary.contains("my plugins: 2 requirements, 1 plugin"), "{}", job.summary);
    let report = Path::new(&job.outputs["report"]);
    for name in ["report.json", "report.html", "junit.xml", "badge.svg", "report.txt"] {
        assert!(fs::metadata(report.join(name)).unwrap().len() > 0, "{name}");
    }
    let shown = Command::new(env!("CARGO_BIN_EXE_cni-conformance"))
        .args(["report", "--verify", plugins])
        .arg(report.join("report.json"))
        .status();
    assert!(shown.unwrap().success());
}

#[test]
fn a_failure_fails_the_job_unless_it_is_known() {
    let runner = Runner::new("exit 1");
    let [plugins, url] = &runner.inputs();
    let given = [("bin-dir", &plugins[..]), ("url", url), ("args", "--only S2.VERSION.1")];
    let job = runner.job(&given);
    assert!(!job.ok && job.outputs["status"] == "1", "{}", job.log);
    assert!(job.summary.contains("failed  S2.VERSION.1"), "{}", job.summary);
    let known = runner.path("known.json");
    fs::write(&known, r#"[{ "requirement": "S2.VERSION.1", "reason": "issue 7" }]"#).unwrap();
    let known = known.display().to_string();
    let job = runner.job(&[&given[..], &[("known", &known)]].concat());
    assert!(job.ok, "{}", job.log);
}

#[test]
fn an_archive_that_is_not_the_released_one_is_refused() {
    let runner = Runner::new(PLUGIN);
    let [plugins, url] = &runner.inputs();
    let given = [("bin-dir", &plugins[..]), ("url", url)];
    let other = "0".repeat(64);
    let job = runner.job(&[&given[..], &[("sha256", &other)]].concat());
    assert!(!job.ok && job.log.contains("not the file that was released"), "{}", job.log);
    assert!(!runner.path("temp/cni-conformance/cni-conformance").exists());
    let job = runner.job(&[&given[..], &[("version", "9.9.9")]].concat());
    assert!(!job.ok && job.log.contains("could not be fetched"), "{}", job.log);
    // The sums are of another archive.
    let sums = runner.path("release/SHA256SUMS");
    let text = fs::read_to_string(&sums).unwrap();
    fs::write(&sums, format!("{other}{}", text.get(64..).unwrap())).unwrap();
    let job = runner.job(&given);
    assert!(!job.ok && job.log.contains("not the file that was released"), "{}", job.log);
    assert!(job.outputs.is_empty(), "the plugins were tested");
}

#[test]
fn the_example_names_inputs_of_the_action() {
    let (action, example) = (yaml("action.yml"), yaml("example.yml"));
    let inputs = action["inputs"].as_object().unwrap();
    let text = fs::read_to_string(folder().join("action.yml")).unwrap();
    for name in inputs.keys() {
        assert!(text.contains(&format!("${{{{ inputs.{name} }}}}")), "{name} has no effect");
    }
    let steps = example["jobs"]["conformance"]["steps"].as_array().unwrap();
    let uses = |step: &&Value| {
        step["uses"].as_str().is_some_and(|uses| uses.contains("/conformance/action@v"))
    };
    let step = steps.iter().find(uses).expect("the example uses the action");
    for name in step["with"].as_object().unwrap().keys() {
        assert!(inputs.contains_key(name), "{name} is no input");
    }
    // The default is the version of this tree, and the example uses its tag.
    assert_eq!(inputs["version"]["default"], env!("CARGO_PKG_VERSION"));
    assert!(step["uses"].as_str().unwrap().ends_with(env!("CARGO_PKG_VERSION")));
}
