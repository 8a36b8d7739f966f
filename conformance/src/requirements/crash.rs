//! A plugin that is killed at any point must not leave anything behind permanently.
//!
//! The kit kills the plugin before each of its system calls in turn, with all processes that it
//! started and, if there are any, also alone. Then it makes the calls that a runtime makes next.
//! Afterwards the machine must be as it is after an undisturbed ADD and DEL. Another container of
//! the same network exists all the time.

mod baseline;
mod host;
mod plan;
mod report;
mod sweep;

use crate::fixture::Fixture;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::TestResult;
use plan::{FollowUp, Plan};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CRASH.ADD.1",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "After an ADD that was killed, DEL should succeed and leave nothing of it, with \
            and without the namespace",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: add_then_del,
    },
    Requirement {
        id: "CRASH.ADD.2",
        source: "CNI 1.1.0, section 2, ADD and DEL",
        statement: "After an ADD that was killed and a DEL, ADD of the same container should \
            succeed and the container should be reachable",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: add_then_del_and_add,
    },
    Requirement {
        id: "CRASH.ADD.3",
        source: "CNI 1.1.0, section 2, GC",
        statement: "After an ADD that was killed, GC should leave nothing of it if its attachment \
            is not valid",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: add_then_gc,
    },
    Requirement {
        id: "CRASH.DEL.1",
        source: "CNI 1.1.0, section 2, DEL",
        statement: "After a DEL that was killed, DEL should succeed and leave nothing behind, with \
            and without the namespace",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: del_then_del,
    },
    Requirement {
        id: "CRASH.DEL.2",
        source: "CNI 1.1.0, section 2, GC",
        statement: "After a DEL that was killed, GC should leave nothing behind if the attachment \
            is not valid",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.1.0"),
        test: del_then_gc,
    },
];

/// The second ADD takes as long as everything else, so fewer points are tested with it.
const SAMPLED: usize = 5;

fn add_then_del(fixture: &Fixture) -> TestResult {
    sweep::run(fixture, Plan { verb: "ADD", then: FollowUp::Del, step: 1 })
}

fn add_then_del_and_add(fixture: &Fixture) -> TestResult {
    sweep::run(fixture, Plan { verb: "ADD", then: FollowUp::DelAndAdd, step: SAMPLED })
}

fn add_then_gc(fixture: &Fixture) -> TestResult {
    sweep::run(fixture, Plan { verb: "ADD", then: FollowUp::Gc, step: 1 })
}

fn del_then_del(fixture: &Fixture) -> TestResult {
    sweep::run(fixture, Plan { verb: "DEL", then: FollowUp::Del, step: 1 })
}

fn del_then_gc(fixture: &Fixture) -> TestResult {
    sweep::run(fixture, Plan { verb: "DEL", then: FollowUp::Gc, step: 1 })
}
