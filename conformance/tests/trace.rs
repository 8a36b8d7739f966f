//! The tracer follows all threads and child processes of a program, and kills it at the requested
//! point.
#![cfg(test)]

use std::process::Command;
use std::time::{Duration, Instant};

use conformance::trace::{Kill, KillScope, OPTION, Traced, run};

const DEADLINE: Duration = Duration::from_secs(20);

fn trace(program: &[&str], at: Option<Kill>) -> Traced {
    within(program, at, DEADLINE)
}

fn within(program: &[&str], at: Option<Kill>, deadline: Duration) -> Traced {
    let mut launcher = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    launcher.arg(OPTION).args(program).env_clear().env("PATH", "/usr/bin:/bin");
    run(launcher, b"read me", at, deadline).unwrap()
}

fn at(number: usize, scope: KillScope) -> Option<Kill> {
    Some(Kill { number, scope })
}

#[test]
fn an_untraced_program_is_not_affected() {
    let traced = trace(&["/bin/sh", "-c", "cat; echo no >&2; exit 7"], None);
    assert_eq!((traced.status, traced.hung), (Some(7), false));
    assert_eq!((&*traced.stdout, &*traced.stderr), ("read me", "no\n"));
    assert_eq!(traced.killed, None);
    assert!(traced.calls > 10, "{}", traced.calls);
}

#[test]
fn a_program_can_be_killed_before_its_first_call_and_before_its_last() {
    let whole = trace(&["/bin/true"], None).calls;
    let first = trace(&["/bin/true"], at(1, KillScope::Everything));
    assert_eq!((first.calls, first.status), (1, None));
    let last = trace(&["/bin/true"], at(whole, KillScope::Alone));
    let killed = last.killed.unwrap();
    assert_eq!((killed.call.as_str(), killed.program.as_str()), ("exit_group", "true"));
    assert!(!killed.others && last.status.is_none());
    let beyond = trace(&["/bin/true"], at(whole + 1, KillScope::Everything));
    assert_eq!((beyond.killed, beyond.status), (None, Some(0)));
}

#[test]
fn the_call_is_the_same_each_time() {
    let whole = trace(&["/bin/true"], None).calls;
    for number in 1..=whole {
        let of = || trace(&["/bin/true"], at(number, KillScope::Everything)).killed.unwrap().call;
        assert_eq!(of(), of(), "no. {number}");
    }
}

#[test]
fn a_call_that_was_not_reached_was_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("made");
    let path = made.to_str().unwrap();
    let whole = trace(&["/bin/mkdir", path], None).calls;
    assert!(made.is_dir());
    let mut was_made = Vec::new();
    for number in 1..=whole {
        let _ = std::fs::remove_dir(&made);
        let killed =
            trace(&["/bin/mkdir", path], at(number, KillScope::Everything)).killed.unwrap();
        was_made.push((killed.call == format!("mkdir {path}"), made.exists()));
    }
    let call = was_made.iter().position(|(is_mkdir, _)| *is_mkdir).expect("mkdir is called");
    let first = was_made.iter().position(|(_, exists)| *exists).unwrap();
    assert_eq!(first, call + 1);
}

#[test]
fn child_processes_are_counted_and_killed_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late");
    let script = format!("(sleep 0.2; : >{}) & wait", path.display());
    let program = ["/bin/sh", "-c", &script];
    let whole = trace(&program, None).calls;
    assert!(path.exists());
    std::fs::remove_file(&path).unwrap();
    // A point at which the child process is running.
    let mut with_children = 0;
    for number in (1..whole).step_by(7) {
        let traced = trace(&program, at(number, KillScope::Everything));
        with_children += usize::from(traced.killed.is_some_and(|killed| killed.others));
        assert!(!is_running(path.to_str().unwrap()), "it went on after no. {number}");
    }
    assert!(with_children > 0);
}

/// Whether a process has this among its arguments.
fn is_running(argument: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let arguments = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline"));
    let mut arguments = processes.filter_map(|entry| arguments(entry).ok());
    arguments.any(|text| String::from_utf8_lossy(&text).contains(argument))
}

#[test]
fn children_of_a_program_that_is_killed_alone_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late");
    let script = format!("(sleep 0.2; : >{}) & wait; echo never", path.display());
    let program = ["/bin/sh", "-c", &script];
    let whole = trace(&program, None).calls;
    std::fs::remove_file(&path).unwrap();
    let began = (1..whole).find_map(|number| {
        let traced = trace(&program, at(number, KillScope::Alone));
        traced.killed.filter(|killed| killed.others).map(|_| traced.stdout)
    });
    assert_eq!(began.expect("there is a child"), "");
    assert!(path.exists());
}

#[test]
fn threads_are_followed() {
    let script = "import threading as t\na = [t.Thread(target=print, args=('x',)) for _ in \
        range(5)]\n[b.start() for b in a]; [b.join() for b in a]";
    let Ok(true) = std::fs::exists("/usr/bin/python3") else { return };
    let traced = trace(&["/usr/bin/python3", "-c", script], None);
    assert_eq!((traced.status, traced.stdout.matches('x').count()), (Some(0), 5));
    for number in (1..traced.calls).step_by(traced.calls / 20) {
        let killed = trace(&["/usr/bin/python3", "-c", script], at(number, KillScope::Alone));
        // The number of system calls of threads depends on which of them waits.
        assert!(!killed.hung && killed.killed.is_none_or(|killed| !killed.others));
    }
}

#[test]
fn a_hanging_program_is_killed() {
    let started = Instant::now();
    let traced =
        within(&["/bin/sh", "-c", "sleep 60 & sleep 60"], None, Duration::from_millis(300));
    assert!(traced.hung && started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_program_that_cannot_be_started_is_an_error() {
    let mut launcher = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    launcher.arg(OPTION).arg("/no/such/program");
    let error = run(launcher, b"", None, DEADLINE).unwrap_err();
    assert!(error.contains("did not become the program"), "{error}");
}
