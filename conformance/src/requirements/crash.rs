//! A plugin that is killed at any point leaves nothing behind for good.
//!
//! The plugin is killed before each of its system calls in turn, with all that it started and, where that makes a
//! difference, alone too. Then comes what a runtime does next, and the machine must be as it is after an ADD and a
//! DEL that nobody disturbed, while another container of the same network is there all the time.

mod host;
mod report;
mod sweep;
mod usual;

use crate::bench::Bench;
use crate::requirement::{Level, Of, Requirement, Verdict, Versions};
use sweep::{Plan, Then};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "CRASH.ADD.1",
        source: "CNI 1.1.0, section 2, DEL",
        says: "after an ADD that was killed, DEL succeeds and leaves nothing of it, also without the namespace",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: add_then_del,
    },
    Requirement {
        id: "CRASH.ADD.2",
        source: "CNI 1.1.0, section 2, ADD and DEL",
        says: "after an ADD that was killed, and a DEL, the container can be added again and works",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: add_then_del_and_add,
    },
    Requirement {
        id: "CRASH.ADD.3",
        source: "CNI 1.1.0, section 2, GC",
        says: "after an ADD that was killed, GC leaves nothing of it if its attachment is not a valid one",
        level: Level::Should,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: add_then_gc,
    },
    Requirement {
        id: "CRASH.DEL.1",
        source: "CNI 1.1.0, section 2, DEL",
        says: "after a DEL that was killed, DEL succeeds and leaves nothing, also without the namespace",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: del_then_del,
    },
    Requirement {
        id: "CRASH.DEL.2",
        source: "CNI 1.1.0, section 2, GC",
        says: "after a DEL that was killed, GC leaves nothing if the attachment is not a valid one",
        level: Level::Should,
        of: Of::All,
        versions: Versions::From("1.1.0"),
        test: del_then_gc,
    },
];

/// The second ADD is tried at every which point only: it takes as long as the rest.
const SAMPLED: usize = 5;

fn add_then_del(bench: &Bench) -> Verdict {
    sweep::run(bench, Plan { verb: "ADD", then: Then::Del, step: 1 })
}

fn add_then_del_and_add(bench: &Bench) -> Verdict {
    sweep::run(bench, Plan { verb: "ADD", then: Then::DelAndAdd, step: SAMPLED })
}

fn add_then_gc(bench: &Bench) -> Verdict {
    sweep::run(bench, Plan { verb: "ADD", then: Then::Gc, step: 1 })
}

fn del_then_del(bench: &Bench) -> Verdict {
    sweep::run(bench, Plan { verb: "DEL", then: Then::Del, step: 1 })
}

fn del_then_gc(bench: &Bench) -> Verdict {
    sweep::run(bench, Plan { verb: "DEL", then: Then::Gc, step: 1 })
}
