//! Kills a plugin before each of its system calls in turn.

use std::collections::VecDeque;
use std::thread;
use std::time::Instant;

use super::host::Host;
use super::plan::{FollowUp, Plan};
use super::report::{Leftover, text};
use crate::evidence::{RecordedCall, describe};
use crate::fixture::{Container, Fixture};
use crate::trace::{Kill, KillScope, Killed};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, failed};

/// The progress of a crash test.
#[derive(Debug, Default)]
struct Sweep {
    /// The number of system calls; 0 while it is unknown.
    calls: usize,
    todo: VecDeque<Kill>,
    tried: usize,
    /// The number of these with only the plugin killed.
    alone: usize,
    /// The number of these where the plugin exited before the point.
    short: usize,
    left: Vec<Leftover>,
    notes: Vec<String>,
    /// The calls after the first kill that left something behind.
    evidence: Vec<RecordedCall>,
    failed: Option<NotPassed>,
}

/// After this number of points the living container is tested.
const LOOK: usize = 25;

/// Tests a plan at the points of this part.
pub fn run(fixture: &Fixture, plan: Plan) -> TestResult {
    let started = Instant::now();
    let mut sweep = Sweep::default();
    let mut hosts = 0;
    loop {
        // A new host for each session, because what one point leaves behind would affect the next
        // ones.
        let (case, profile) = (fixture.case.clone(), fixture.profile.clone());
        let session = thread::scope(|scope| {
            let sweep = &mut sweep;
            scope.spawn(move || session(Fixture::new(case, profile), plan, sweep)).join()
        });
        if session.is_err() {
            crate::isolation::broken("the thread of a host for crash tests failed");
        }
        hosts += 1;
        if let Some(stop) = sweep.failed.take() {
            sweep.evidence.drain(..).for_each(|call| fixture.keep_call(call));
            return Err(stop);
        }
        if sweep.todo.is_empty() {
            break;
        }
    }
    let every = fixture.case.crash_every.max(1) * plan.step;
    let (part, parts) = fixture.case.part;
    fixture.note(format!(
        "killed at {} points, {} of {} calls, part {} of {parts}; {} more with only the plugin \
         killed; {} exited before the point; {hosts} hosts; {:.0} ms each",
        sweep.tried - sweep.alone,
        if every == 1 { "each".to_owned() } else { format!("every {every}th") },
        sweep.calls,
        part + 1,
        sweep.alone,
        sweep.short,
        started.elapsed().as_secs_f64() * 1000.0 / sweep.tried.max(1) as f64,
    ));
    sweep.notes.iter().for_each(|note| fixture.note(note));
    if sweep.left.is_empty() {
        return Ok(());
    }
    sweep.evidence.drain(..).for_each(|call| fixture.keep_call(call));
    let count = sweep.left.len();
    let then = match plan.then {
        FollowUp::Del => "DEL",
        FollowUp::DelAndAdd => "DEL, ADD and DEL",
        FollowUp::Gc => "GC",
    };
    let done = format!("{} killed before each system call, then {then}", plan.verb);
    let expected = "success, and nothing left beyond what an undisturbed ADD and DEL leave";
    let seen = format!("{count} of {} points: {}", sweep.tried, text(sweep.left));
    Err(failed(done, expected, seen))
}

/// Continues on a host until a point leaves something behind that cannot be removed.
fn session(fixture: Fixture, plan: Plan, sweep: &mut Sweep) {
    let host = match Host::new(fixture, plan) {
        Ok(host) => host,
        Err(stop) => return sweep.failed = Some(stop),
    };
    if let Err(stop) = on(&host, plan, sweep) {
        sweep.evidence = host.fixture.evidence().0;
        sweep.failed = Some(stop);
    }
    // The notes are the same for each host.
    if sweep.notes.is_empty() {
        sweep.notes = host.fixture.evidence().1;
    }
}

fn on(host: &Host, plan: Plan, sweep: &mut Sweep) -> TestResult {
    if sweep.calls == 0 {
        sweep.calls = count(host, plan)?;
        let every = host.fixture.case.crash_every.max(1) * plan.step;
        let (part, parts) = host.fixture.case.part;
        let points = (1..=sweep.calls).step_by(every).skip(part).step_by(parts.max(1));
        sweep.todo = points.map(|number| Kill { number, scope: KillScope::Everything }).collect();
    }
    while let Some(at) = sweep.todo.pop_front() {
        // Alternates independently of the parts; the same for both scopes.
        let gone = plan.then == FollowUp::Gc || (host.both && (at.number / 3).is_multiple_of(2));
        let (killed, mut what) = point(host, plan, at, gone)?;
        sweep.tried += 1;
        sweep.alone += usize::from(at.scope == KillScope::Alone);
        sweep.short += usize::from(killed.is_none());
        if at.scope == KillScope::Everything && killed.as_ref().is_some_and(|killed| killed.others)
        {
            sweep.todo.push_front(Kill { scope: KillScope::Alone, ..at });
        }
        let look = sweep.tried.is_multiple_of(LOOK) || sweep.todo.is_empty();
        if look && !host.lives() {
            what.push("the other container no longer reaches its gateway".to_owned());
        }
        if what.is_empty() {
            continue;
        }
        if sweep.left.is_empty() {
            sweep.evidence = host.fixture.evidence().0;
        }
        sweep.left.push(Leftover { killed, scope: at.scope, gone, what });
        // The next round with the same container often removes what was left.
        if host.undisturbed(plan, gone).is_err() || !host.differences().is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

/// The number of system calls of an undisturbed call.
fn count(host: &Host, plan: Plan) -> Result<usize, NotPassed> {
    // GC does not know the namespace of the permanent container.
    let gone = plan.then == FollowUp::Gc;
    let container = host.container(gone);
    let call = host.fixture.call(&container);
    let whole = |verb| {
        let traced = host.traced(&call, verb, None);
        match traced.status {
            Some(0) => Ok(traced.calls),
            status => Err(failed(
                format!("{verb}, watched by ptrace"),
                "success, as otherwise",
                format!("exit status {status:?}: {}{}", traced.stdout, traced.stderr),
            )),
        }
    };
    let (add, del) = (whole("ADD")?, whole("DEL")?);
    if gone {
        host.fixture.delete_namespace(&container);
    }
    Ok(if plan.verb == "ADD" { add } else { del })
}

/// Kills the plugin at one point. Returns the point, and the differences afterwards.
fn point(
    host: &Host,
    plan: Plan,
    at: Kill,
    gone: bool,
) -> Result<(Option<Killed>, Vec<String>), NotPassed> {
    let container = host.container(gone);
    let call = host.fixture.call(&container);
    if plan.verb == "DEL" {
        call.attach()?;
    }
    let traced = host.traced(&call, plan.verb, Some(at));
    let mut what = host.orphans();
    if traced.hung {
        what.push(format!("{} hung and was killed", plan.verb));
    }
    if gone {
        host.fixture.delete_namespace(&container);
    }
    let cleaned = match plan.then {
        FollowUp::Gc => host.gc(),
        FollowUp::Del | FollowUp::DelAndAdd => host.del(&container, gone),
    };
    if cleaned.succeeds().is_err() {
        what.push(format!("{} fails: {}", cleaned.call, describe(&cleaned)));
    }
    if plan.then == FollowUp::DelAndAdd {
        what.extend(again(host, &container, gone));
    }
    what.extend(host.differences());
    Ok((traced.killed, what))
}

/// Adds the same container again, and returns what does not work.
fn again(host: &Host, container: &Container, gone: bool) -> Vec<String> {
    let again = match gone {
        // The runtime makes a new namespace.
        true => Container { id: container.id.clone(), ..host.container(true) },
        false => container.clone(),
    };
    let added = host.fixture.call(&again).add();
    let mut what = match added.succeeds() {
        Err(_) => vec![format!("{} again fails: {}", added.call, describe(&added))],
        Ok(result) if !host.reaches(&again, &result) => {
            vec!["added again, it does not reach its gateway".to_owned()]
        }
        Ok(_) => Vec::new(),
    };
    let deleted = host.del(&again, false);
    if deleted.succeeds().is_err() {
        what.push(format!("{} fails: {}", deleted.call, describe(&deleted)));
    }
    if gone {
        host.fixture.delete_namespace(&again);
    }
    what
}
