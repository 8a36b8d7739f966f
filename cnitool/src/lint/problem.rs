//! What is wrong, where, why it matters, and the way out.

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The runtime or a plugin refuses it.
    Error,
    /// It is accepted, and is not what was meant, or does harm.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for it.
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
    /// The file's place among those looked at.
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

/// A piece of a file, and the JSON path that leads to it.
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

    /// A piece of a file that has no path: what is there is no JSON.
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
    /// What is wrong.
    pub what: String,
    /// What is said beside the place itself.
    pub label: String,
    /// Other places that have to do with it.
    pub others: Vec<(At, String)>,
    /// Why it matters.
    pub why: String,
    /// The way out.
    pub help: String,
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
        }
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

    /// With another place that has to do with it.
    pub fn also(mut self, at: &At, label: impl Into<String>) -> Problem {
        self.others.push((at.clone(), label.into()));
        self
    }
}
