//! Tests with plugins that are written for the tests: shell scripts, and defects of them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::run::{FUNCTIONS, judge_all};
use super::table::Mutant;
use super::{VERSIONS, in_parallel};

/// A correct plugin, with its profile.
#[derive(Debug, Clone, Copy)]
pub struct Stranger {
    /// The name.
    pub name: &'static str,
    /// The program.
    pub program: &'static str,
    /// The profile.
    pub profile: &'static str,
    /// Its defects. `REFUSE` in a script stands for printing an error.
    pub mutants: &'static [Mutant],
}

/// An error, after a test that is wrong.
const REFUSE: &str = "echo '{\"code\": 100, \"msg\": \"no\"}'; exit 1";

fn write(path: &Path, program: &str) {
    fs::write(path, program).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Stranger {
    /// The error of the kit if it does not detect the defect.
    fn missed(self, mutant: &Mutant) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        write(&real, self.program);
        let script = mutant.script.replace("REFUSE", REFUSE);
        let program = format!("#!/bin/sh\nREAL='{}'\n{FUNCTIONS}{script}\n", real.display());
        write(&folder.path().join(self.name), &program);
        let id = mutant.caught_by;
        let verdicts = judge_all(folder.path(), self.name, id, VERSIONS, Some(self.profile));
        let of_it = verdicts.of(id);
        let caught = of_it.contains(&"failed") && !of_it.contains(&"broken");
        (!caught).then(|| format!("{}: not caught by {id}: {of_it:?}", mutant.name))
    }

    /// The kit must detect each defect.
    pub fn defects_are_caught(self) {
        let missed = in_parallel(self.mutants.iter(), |mutant| self.missed(mutant));
        let missed: Vec<String> = missed.into_iter().flatten().collect();
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }

    /// The correct plugin must meet the requirements that detect the defects.
    pub fn passes(self) {
        let ids: BTreeSet<&str> = self.mutants.iter().map(|mutant| mutant.caught_by).collect();
        let all = ids.iter().copied().collect::<Vec<_>>().join(",");
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join(self.name), self.program);
        let verdicts = judge_all(folder.path(), self.name, &all, VERSIONS, Some(self.profile));
        let wrong = |id: &&str| {
            let of_it = verdicts.of(id);
            let passed = of_it.contains(&"passed")
                && of_it.iter().all(|verdict| matches!(*verdict, "passed" | "absent"));
            (!passed).then(|| format!("{id}: {of_it:?}"))
        };
        let wrong: Vec<String> = ids.iter().filter_map(wrong).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
