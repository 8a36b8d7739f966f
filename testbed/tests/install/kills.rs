//! Kills the script before each of its changes. At any time there must be a complete plugin under
//! each name, and from there the script must be able to continue to the new binaries and to roll
//! back to the old ones.

use super::*;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};

use testbed::Node;

/// bash reads this before the script. It counts the steps, and sends itself SIGNAL before the step
/// KILL_AT.
const KILLER: &str = r#"
set -T; steps=0
trap 'case $BASH_COMMAND in
    mv\ * | cp\ * | ln\ * | rm\ * | mkdir\ * | chmod\ * | sync\ * | :*) ((++steps != KILL_AT)) || kill -$SIGNAL $$ ;;
esac' DEBUG
"#;

/// A plugin that prints its version of the suite.
fn version(number: usize) -> String {
    format!(r#"echo '{{"supportedVersions": ["{number}"]}}'"#)
}

impl Machine {
    /// Version 2 is installed over version 1, and version 3 is ready, with one more plugin. All of
    /// it is in memory, because so many runs of the script would wait for the disk for a long time.
    fn with_history(_node: &Node) -> Machine {
        let machine = Machine::empty_in(Path::new("/run"));
        machine.script("opt", "bridge", &version(1));
        machine.script("new", "bridge", &version(2));
        machine.script("new", "ptp", &version(2));
        let (ok, said) = machine.install(&[]);
        assert!(ok, "{said}");
        for plugin in ["bridge", "ptp", "loopback"] {
            machine.script("new", plugin, &version(3));
        }
        fs::write(machine.path("killer"), KILLER).unwrap();
        machine
    }

    /// A copy of it, with modification times, modes and links.
    fn copy(&self) -> Machine {
        let copy = Machine { folder: tempfile::tempdir_in("/run").unwrap() };
        let from = self.folder.path().join(".");
        let (ok, said) = run(Command::new("cp").arg("-a").arg(from).arg(copy.folder.path()));
        assert!(ok, "{said}");
        copy
    }

    /// The version of each plugin.
    fn versions(&self) -> Vec<(String, usize)> {
        let names = self.installed().into_iter().map(|entry| entry.name);
        let plugins = names.filter(|name| !name.starts_with('.'));
        let version_of = |name: String| {
            let said = Command::new(self.path("opt").join(&name)).output().unwrap().stdout;
            let number = (1..=3).find(|number| {
                said == format!("{{\"supportedVersions\": [\"{number}\"]}}\n").as_bytes()
            });
            (name, number.unwrap())
        };
        plugins.map(version_of).collect()
    }

    /// Kills the script before its `step`. Returns false if the script ended before.
    fn kill(&self, options: &[&str], step: usize) -> bool {
        let status = self.signal("KILL", options, step);
        assert!(status.success() || status.signal() == Some(9), "{status}");
        !status.success()
    }

    fn signal(&self, signal: &str, options: &[&str], step: usize) -> ExitStatus {
        let mut command = self.command(options);
        command.env("BASH_ENV", self.path("killer"));
        command.env("KILL_AT", step.to_string()).env("SIGNAL", signal);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    }
}

fn suite(versions: &[(&str, usize)]) -> Vec<(String, usize)> {
    versions.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect()
}

/// The versions of [`Machine::with_history`].
fn first() -> Vec<(String, usize)> {
    suite(&[("bridge", 1)])
}
fn second() -> Vec<(String, usize)> {
    suite(&[("bridge", 2), ("ptp", 2)])
}
fn third() -> Vec<(String, usize)> {
    suite(&[("bridge", 3), ("loopback", 3), ("ptp", 3)])
}

/// Kills the script at each of its steps, each time on a new machine, and returns the number of
/// steps. The last argument of `go_on` is whether the script had begun to change files.
fn at_each_step(options: &[&str], go_on: impl Fn(&Machine, usize, bool)) -> usize {
    let node = Node::new();
    let history = Machine::with_history(&node);
    for step in 1.. {
        let machine = history.copy();
        if !machine.kill(options, step) {
            return step - 1;
        }
        let versions = machine.versions();
        assert!(versions.iter().any(|(name, _)| name == "bridge"), "step {step}: {versions:?}");
        let names: Vec<_> = machine.installed().into_iter().map(|entry| entry.name).collect();
        let begun = [".ferrocni-new", ".ferrocni-unfinished"];
        go_on(&machine, step, names.iter().any(|name| begun.contains(&&**name)));
    }
    unreachable!("there are not so many steps")
}

impl Machine {
    /// The script's own leftovers, except the backup for a rollback.
    fn litter(&self) -> Vec<String> {
        let names = self.installed().into_iter().map(|entry| entry.name);
        let hidden = names.filter(|name| name.starts_with('.') && name != ".ferrocni-previous");
        hidden.collect()
    }

    /// Asserts that the script continues to the new version, and that a rollback leads back to
    /// `before`.
    fn assert_goes_on(&self, step: usize, before: &[Vec<(String, usize)>]) {
        let (ok, said) = self.install(&[]);
        assert!(ok, "step {step}: {said}");
        assert_eq!(self.versions(), third(), "step {step}: {said}");
        assert!(self.litter().is_empty(), "step {step}: {:?}", self.litter());
        let said = self.roll_back();
        assert!(before.contains(&self.versions()), "step {step}: {:?}: {said}", self.versions());
        assert!(self.litter().is_empty(), "step {step}: {:?}", self.litter());
    }
}

#[test]
fn an_install_that_was_killed_can_be_undone_and_can_go_on() {
    let steps = at_each_step(&[], |machine, step, begun| {
        machine.copy().assert_goes_on(step, &[second()]);
        let said = machine.roll_back();
        let back = if begun { second() } else { first() };
        assert_eq!(machine.versions(), back, "step {step}: {said}");
        // A second rollback leads to the version before that, unless the script was at its end,
        // where it deletes that version.
        if machine.path("opt/.ferrocni-previous").exists() {
            machine.roll_back();
            assert_eq!(machine.versions(), first(), "step {step}: {said}");
        }
        assert!(machine.litter().is_empty(), "step {step}: {:?}", machine.litter());
    });
    assert!(steps > 15, "only {steps} steps were found");
}

#[test]
fn a_rollback_that_was_killed_can_go_on_and_can_be_installed_over() {
    let steps = at_each_step(&["--rollback"], |machine, step, begun| {
        // Some plugins may already be of the older version.
        machine.copy().assert_goes_on(step, &[first(), machine.versions()]);
        let said = machine.roll_back();
        if begun && machine.versions() == second() {
            // The script had changed nothing yet.
            machine.roll_back();
        }
        assert_eq!(machine.versions(), first(), "step {step}: {said}");
        assert!(machine.litter().is_empty(), "step {step}: {:?}", machine.litter());
    });
    assert!(steps > 4, "only {steps} steps were found");
}

#[test]
fn an_interrupted_install_rolls_back() {
    let node = Node::new();
    let history = Machine::with_history(&node);
    for step in 1.. {
        let machine = history.copy();
        if machine.signal("TERM", &[], step).success() {
            assert!(step > 15, "only {step} steps were found");
            return;
        }
        // At its very end there is nothing left to roll back.
        let versions = machine.versions();
        assert!(versions == second() || versions == third(), "step {step}: {versions:?}");
        if versions == second() {
            assert!(machine.litter().is_empty(), "step {step}: {:?}", machine.litter());
            machine.roll_back();
            assert_eq!(machine.versions(), first(), "step {step}");
        }
    }
}
