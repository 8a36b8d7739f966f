//! Counts system calls with `strace`.

use std::cell::Cell;
use std::fs;

use crate::job::Step;

/// The numbers of system calls of a call, in all its processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All system calls.
    pub all: usize,
    /// Those that execute a program, including the first.
    pub execs: usize,
}

/// The output of strace.
pub struct Files {
    count: Cell<usize>,
}

/// The file of the output.
const FILES: &str = "/run/testbed/trace";

impl Files {
    /// No counts.
    pub fn new() -> Files {
        Files { count: Cell::new(0) }
    }

    /// Runs a program under strace.
    pub fn trace(&self, step: &mut Step) {
        let file = format!("{FILES}.{}", self.count.replace(self.count.get() + 1));
        let strace = ["/usr/bin/strace", "-f", "-qq", "-s", "0", "-o", &file, "--"];
        step.command.splice(0..0, strace.map(str::to_owned));
    }

    /// Counts the system calls in the output.
    pub fn count(&self) -> Calls {
        let mut calls = Calls::default();
        for number in 0..self.count.get() {
            let text = fs::read(format!("{FILES}.{number}")).unwrap_or_default();
            let one = count(&String::from_utf8_lossy(&text));
            calls = Calls { all: calls.all + one.all, execs: calls.execs + one.execs };
        }
        calls
    }
}

/// Counts the calls in the output of strace: `PID NAME(..`. Other lines are signals, exits, and
/// continued calls.
fn count(text: &str) -> Calls {
    let mut calls = Calls::default();
    for line in text.lines() {
        let what = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        if !what.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            continue;
        }
        calls.all += 1;
        // A failed search along PATH is not an execution.
        calls.execs += usize::from(what.starts_with("execve(") && !what.contains(" = -1"));
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_once() {
        let text = "17 execve(\"\"..., [], 0x7ffc /* 0 vars */) = 0\n17 futex(0x1, FUTEX_WAIT <unfinished ...>\n\
                    18 execve(\"\"..., []) = -1 ENOENT (No such file or directory)\n17 <... futex resumed>) = 0\n\
                    17 --- SIGURG {si_signo=SIGURG} ---\n17 +++ exited with 0 +++\n";
        assert_eq!(count(text), Calls { all: 3, execs: 1 });
    }
}
