//! The benchmark stays valid: each case runs, the floor makes what the plugins make, and the
//! committed results are consistent. The test asserts no durations, but the numbers of system
//! calls.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use bench::call::{self, Container};
use bench::case::{Case, Verb};
use bench::cases::CASES;
use bench::contestant::{Contestant, FLOOR};
use bench::job::Step;
use bench::measure::{self, Turns};
use bench::results::{Results, Row};
use bench::sandboxes::{self, Sandboxes};
use bench::stage;
use bench::svg;
use indicatif::ProgressBar;
use testbed::Node;

fn ours() -> Contestant {
    Contestant::ours(testbed::bin())
}

fn floor() -> Contestant {
    Contestant::floor(PathBuf::from(env!("CARGO_BIN_EXE_floor")))
}

fn case(id: &str) -> &'static Case {
    CASES.iter().find(|case| case.id == id).unwrap()
}

fn measured(case: &'static Case, who: &[Contestant]) -> Vec<Row> {
    let launch = Path::new(env!("CARGO_BIN_EXE_launch"));
    let rows = measure::measure(case, who, launch, &Turns::One, &ProgressBar::hidden());
    rows.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn each_case_runs() {
    let (who, usual) = ([ours(), floor()], |case: &&Case| !case.lab);
    for case in CASES.iter().filter(usual) {
        let rows = measured(case, &who);
        assert!(!rows.is_empty(), "{}: nothing was measured", case.id);
        for row in rows {
            let found = row.ours().unwrap_or_else(|| panic!("{}: nothing of ours", case.id));
            assert!(found.median > 0.0 && found.cpu > 0.0 && found.rss > 500, "{row:?}");
            let has_floor = case.floor.is_some() && row.verb != "CHECK";
            assert_eq!(row.of(FLOOR).is_some(), has_floor, "{row:?}");
        }
    }
}

#[test]
fn the_reference_runs_too() {
    let reference = Contestant::peer(&format!("reference={}", testbed::reference().display()));
    let who = [ours(), reference.unwrap()];
    for id in ["version", "bridge-masq", "chain", "host-local-1000"] {
        for row in measured(case(id), &who) {
            let theirs = row.of("reference").unwrap_or_else(|| panic!("{row:?}"));
            assert!(theirs.syscalls > Some(100), "{row:?}");
            assert!(row.ratios["reference"] > 0.0);
        }
    }
}

#[test]
fn calls_make_few_system_calls() {
    let rows = measured(case("bridge"), &[ours(), floor()]);
    for (row, most) in rows.iter().zip([200, 200, 160]) {
        let syscalls = row.ours().unwrap().syscalls.unwrap();
        assert!((30..most).contains(&syscalls), "{} makes {syscalls} system calls", row.verb);
    }
    let floor = rows[0].of(FLOOR).unwrap();
    assert!(floor.syscalls < Some(120) && floor.execs == Some(1), "{floor:?}");
}

/// Runs the programs of a call in the node of this thread.
fn run(steps: Vec<Step>) -> String {
    let mut printed = String::new();
    for step in steps {
        let (program, arguments) = step.command.split_first().unwrap();
        let conf = format!("/run/testbed/{}", step.stdin.len());
        std::fs::write(&conf, &step.stdin).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(step.env.iter().filter_map(|e| e.split_once('=')));
        let output = command.stdin(std::fs::File::open(&conf).unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}{errors}");
        printed = said;
    }
    printed
}

/// The state of the kernel after ADD and after DEL, without files and without what differs in each
/// run.
fn states(case: &'static Case, who: Contestant) -> [String; 2] {
    thread::spawn(move || {
        let node = Node::new();
        let outside = case.id.ends_with("-masq").then(|| node.outside());
        let pod = node.pod("c0");
        stage::prepare(&node, case, &who, 0);
        let mut container = Container::new(0, pod.path());
        container.result = run(call::steps(case, &who, Verb::Add, &container));
        let state = || {
            let state = node.state();
            testbed::normalise(state.split("== files").next().unwrap_or_default())
        };
        let added = state();
        if !["loopback", "macvlan"].contains(&case.id) {
            assert!(pod.ping("10.88.0.1"), "{}, {}: its gateway", case.id, who.label);
        }
        if let Some(outside) = outside {
            assert!(pod.ping(outside.v4), "{}, {}: beyond its host", case.id, who.label);
        }
        run(call::steps(case, &who, Verb::Del, &container));
        [added, state()]
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn the_floor_makes_the_same_objects_as_the_plugins() {
    for id in ["bridge", "bridge-masq", "ptp", "ptp-masq", "macvlan", "loopback"] {
        let [ours, floor] = [ours(), floor()].map(|who| states(case(id), who));
        testbed::assert_same!(ours[0], floor[0], "{id}: ADD of ours (-) and of the floor (+)");
        testbed::assert_same!(ours[1], floor[1], "{id}: DEL of ours (-) and of the floor (+)");
    }
}

#[test]
fn the_picture_shows_the_results() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let results: Results = serde_json::from_str(&read("results.json")).unwrap();
    assert!(
        svg::picture(&results) == read("results.svg"),
        "bench/results.svg is not what bench/results.json gives: run scripts/bench --report"
    );
    for row in &results.rows {
        assert!(CASES.iter().any(|case| case.id == row.case), "no such case: {}", row.case);
    }
    let under_containerd = Sandboxes::read(folder).unwrap().unwrap();
    assert!(
        sandboxes::picture(&under_containerd) == read("containerd.svg"),
        "bench/containerd.svg is not what bench/containerd.json gives: run scripts/bench --report"
    );
}
