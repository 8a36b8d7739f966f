//! A finding: the mistake, its position, its effect and its remedy.

use std::collections::BTreeSet;

/// The index that means no file.
const NO_FILE: usize = usize::MAX;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The runtime or a plugin refuses the configuration.
    Error,
    /// The configuration is accepted, but is probably not intended or does harm.
    Warning,
    /// Information.
    Note,
}

impl Severity {
    /// The name of the severity in the output.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A piece of a file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The index of the file.
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

/// A piece of a file, and its JSON path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    pub spot: Spot,
    pub path: String,
}

impl At {
    /// A file as a whole.
    pub fn file(file: usize) -> At {
        At { spot: Spot { file, start: 0, end: 0 }, path: String::new() }
    }

    /// A piece of a file without a path, because it is not JSON.
    pub fn piece(file: usize, start: usize, end: usize) -> At {
        At { spot: Spot { file, start, end }, path: String::new() }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// The rule's name, for programs.
    pub rule: &'static str,
    pub at: At,
    /// The mistake.
    pub what: String,
    /// The text beside the position.
    pub label: String,
    /// Related positions with their texts.
    pub others: Vec<(At, String)>,
    /// The effect.
    pub why: String,
    /// The remedy.
    pub help: String,
    /// The number of findings that this one represents.
    pub count: usize,
    /// The files of these findings, if it represents others than itself.
    pub files: BTreeSet<usize>,
}

impl Problem {
    pub fn error(rule: &'static str, at: &At, what: impl Into<String>) -> Problem {
        Problem::new(Severity::Error, rule, at, what.into())
    }

    pub fn warning(rule: &'static str, at: &At, what: impl Into<String>) -> Problem {
        Problem::new(Severity::Warning, rule, at, what.into())
    }

    pub fn note(rule: &'static str, at: &At, what: impl Into<String>) -> Problem {
        Problem::new(Severity::Note, rule, at, what.into())
    }

    fn new(severity: Severity, rule: &'static str, at: &At, what: String) -> Problem {
        Problem {
            severity,
            rule,
            at: at.clone(),
            what,
            label: String::new(),
            others: Vec::new(),
            why: String::new(),
            help: String::new(),
            count: 1,
            files: BTreeSet::new(),
        }
    }

    /// Adds the number of other objects with the same mistake.
    pub fn and_more(mut self, others: &str) -> Problem {
        self.what = format!("{}; the same is true of {others}", self.what);
        self
    }

    /// Summarizes findings of one kind that are too many to show. Names the file if all are in one
    /// file.
    pub fn standing_for(rest: &[Problem]) -> Option<Problem> {
        let first = rest.first()?;
        let files: BTreeSet<usize> = rest.iter().map(|problem| problem.at.spot.file).collect();
        let (file, place) = match files.len() {
            1 => (first.at.spot.file, "in this file".to_owned()),
            many => (NO_FILE, format!("in {many} files")),
        };
        let what = format!("{} more of this kind ({}) {place}", rest.len(), first.rule);
        let problem = Problem::new(first.severity, first.rule, &At::file(file), what);
        Some(Problem { count: rest.len(), files, ..problem })
    }

    pub fn label(mut self, label: impl Into<String>) -> Problem {
        self.label = label.into();
        self
    }

    pub fn why(mut self, why: impl Into<String>) -> Problem {
        self.why = why.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = help.into();
        self
    }

    /// Adds a related position.
    pub fn also(mut self, at: &At, label: impl Into<String>) -> Problem {
        self.others.push((at.clone(), label.into()));
        self
    }
}
