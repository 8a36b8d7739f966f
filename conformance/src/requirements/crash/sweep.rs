//! Goes through the system calls of a plugin, and kills it before each.

use std::collections::VecDeque;
use std::thread;
use std::time::Instant;

use super::host::Host;
use super::report::{Left, text};
use crate::bench::{Bench, Called, Container};
use crate::requirement::{Judge, Stop, Verdict, failed, seen};
use crate::trace::{Kill, Killed, Way};

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The call that is killed.
    pub verb: &'static str,
    /// What comes then.
    pub then: Then,
    /// At every which call.
    pub step: usize,
}

/// What comes after the killed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// DEL.
    Del,
    /// DEL, then ADD of the same container, which must work, and DEL.
    DelAndAdd,
    /// GC.
    Gc,
}

/// What is still to do, and what was seen so far.
#[derive(Debug, Default)]
struct Sweep {
    /// How many calls there are; 0 as long as nobody knows.
    calls: usize,
    todo: VecDeque<Kill>,
    tried: usize,
    /// Of these, those where the plugin was killed alone.
    alone: usize,
    /// Of these, those where the plugin ended before it came that far.
    short: usize,
    left: Vec<Left>,
    notes: Vec<String>,
    /// The calls after the first kill that left something.
    evidence: Vec<Called>,
    failed: Option<Stop>,
}

/// After so many points it is looked whether the living container still works.
const LOOK: usize = 25;

/// Tests a plan, at the points of this part.
pub fn run(bench: &Bench, plan: Plan) -> Verdict {
    let started = Instant::now();
    let mut sweep = Sweep::default();
    let mut hosts = 0;
    loop {
        // A host of its own, because what was left is not to be held against the next points.
        let (case, profile) = (bench.case.clone(), bench.profile.clone());
        let session = thread::scope(|scope| {
            let sweep = &mut sweep;
            scope.spawn(move || session(Bench::new(case, profile), plan, sweep)).join()
        });
        if session.is_err() {
            crate::bench::broken("a host for the crash kit failed");
        }
        hosts += 1;
        if let Some(stop) = sweep.failed.take() {
            sweep.evidence.drain(..).for_each(|call| bench.adopt(call));
            return Err(stop);
        }
        if sweep.todo.is_empty() {
            break;
        }
    }
    let every = bench.case.crash_every.max(1) * plan.step;
    let (part, parts) = bench.case.part;
    bench.note(format!(
        "killed at {} points, {} of {} calls, part {} of {parts}; {} more with the plugin killed alone; {} ended before; {hosts} hosts; {:.0} ms each",
        sweep.tried - sweep.alone,
        if every == 1 { "each".to_owned() } else { format!("every {every}th") },
        sweep.calls,
        part + 1,
        sweep.alone,
        sweep.short,
        started.elapsed().as_secs_f64() * 1000.0 / sweep.tried.max(1) as f64,
    ));
    sweep.notes.iter().for_each(|note| bench.note(note));
    if sweep.left.is_empty() {
        return Ok(());
    }
    sweep.evidence.drain(..).for_each(|call| bench.adopt(call));
    let count = sweep.left.len();
    let then = match plan.then {
        Then::Del => "DEL",
        Then::DelAndAdd => "DEL, ADD and DEL",
        Then::Gc => "GC",
    };
    let done = format!("{} killed before each system call, then {then}", plan.verb);
    let expected = "success, and nothing left that an undisturbed ADD and DEL do not leave";
    let seen = format!("{count} of {} points: {}", sweep.tried, text(sweep.left));
    Err(failed(done, expected, seen))
}

/// Goes on with the sweep on a host, until something is left there that does not go.
fn session(bench: Bench, plan: Plan, sweep: &mut Sweep) {
    let host = match Host::new(bench, plan) {
        Ok(host) => host,
        Err(stop) => return sweep.failed = Some(stop),
    };
    if let Err(stop) = on(&host, plan, sweep) {
        sweep.evidence = host.bench.evidence().0;
        sweep.failed = Some(stop);
    }
    // Each host says the same of itself.
    if sweep.notes.is_empty() {
        sweep.notes = host.bench.evidence().1;
    }
}

fn on(host: &Host, plan: Plan, sweep: &mut Sweep) -> Verdict {
    if sweep.calls == 0 {
        sweep.calls = count(host, plan)?;
        let every = host.bench.case.crash_every.max(1) * plan.step;
        let (part, parts) = host.bench.case.part;
        let points = (1..=sweep.calls).step_by(every).skip(part).step_by(parts.max(1));
        sweep.todo = points.map(|number| Kill { number, way: Way::Everything }).collect();
    }
    while let Some(at) = sweep.todo.pop_front() {
        // In turn, but not in step with the parts; and the same for both ways.
        let gone = plan.then == Then::Gc || (host.both && (at.number / 3).is_multiple_of(2));
        let (killed, mut what) = point(host, plan, at, gone)?;
        sweep.tried += 1;
        sweep.alone += usize::from(at.way == Way::Alone);
        sweep.short += usize::from(killed.is_none());
        if at.way == Way::Everything && killed.as_ref().is_some_and(|killed| killed.others) {
            sweep.todo.push_front(Kill { way: Way::Alone, ..at });
        }
        let look = sweep.tried.is_multiple_of(LOOK) || sweep.todo.is_empty();
        if look && !host.lives() {
            what.push("the other container no longer reaches its gateway".to_owned());
        }
        if what.is_empty() {
            continue;
        }
        if sweep.left.is_empty() {
            sweep.evidence = host.bench.evidence().0;
        }
        sweep.left.push(Left { killed, way: at.way, gone, what });
        // Often the same container takes it along the next time.
        if host.undisturbed(plan, gone).is_err() || !host.differences().is_empty() {
            return Ok(());
        }
    }
    Ok(())
}

/// How many calls a whole one makes.
fn count(host: &Host, plan: Plan) -> Result<usize, Stop> {
    // The one that stays is not for GC, which does not know its namespace.
    let gone = plan.then == Then::Gc;
    let container = host.container(gone);
    let call = host.bench.call(&container);
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
        host.bench.kill(&container);
    }
    Ok(if plan.verb == "ADD" { add } else { del })
}

/// Kills the plugin at one point. Returns where, and what is not as it should be then.
fn point(
    host: &Host,
    plan: Plan,
    at: Kill,
    gone: bool,
) -> Result<(Option<Killed>, Vec<String>), Stop> {
    let container = host.container(gone);
    let call = host.bench.call(&container);
    if plan.verb == "DEL" {
        call.add().succeeds()?;
    }
    let traced = host.traced(&call, plan.verb, Some(at));
    let mut what = host.orphans();
    if traced.hung {
        what.push(format!("{} hung, and was ended", plan.verb));
    }
    if gone {
        host.bench.kill(&container);
    }
    let cleaned = match plan.then {
        Then::Gc => host.gc(),
        Then::Del | Then::DelAndAdd => host.del(&container, gone),
    };
    if cleaned.succeeds().is_err() {
        what.push(format!("{} fails: {}", cleaned.call, seen(&cleaned)));
    }
    if plan.then == Then::DelAndAdd {
        what.extend(again(host, &container, gone));
    }
    what.extend(host.differences());
    Ok((traced.killed, what))
}

/// The same container once more: what does not work.
fn again(host: &Host, container: &Container, gone: bool) -> Vec<String> {
    let again = match gone {
        // The runtime makes a new namespace.
        true => Container { id: container.id.clone(), ..host.container(true) },
        false => container.clone(),
    };
    let added = host.bench.call(&again).add();
    let mut what = match added.succeeds() {
        Err(_) => vec![format!("{} again fails: {}", added.call, seen(&added))],
        Ok(result) if !host.reaches(&again, &result) => {
            vec!["added again, it does not reach its gateway".to_owned()]
        }
        Ok(_) => Vec::new(),
    };
    let deleted = host.del(&again, false);
    if deleted.succeeds().is_err() {
        what.push(format!("{} fails: {}", deleted.call, seen(&deleted)));
    }
    if gone {
        host.bench.kill(&again);
    }
    what
}
