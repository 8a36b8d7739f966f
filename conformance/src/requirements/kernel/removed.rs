//! After DEL: what ADD made is gone from both sides.

use std::thread;
use std::time::{Duration, Instant};

use testbed::diff;

use super::{added, all_same, round, same};
use crate::bench::{Bench, Container};
use crate::linux::{hurried, hurried_added, lasting, section};
use crate::requirement::{Judge, Stop, Verdict, ensure};

/// How long the kernel may take to end the links of a namespace that is gone.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn container(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    let before = bench.host.state();
    round(bench, &container)?;
    same("ADD, then DEL", "c1", &before, &bench.host.state())
}

pub(super) fn one_of_two(bench: &Bench) -> Verdict {
    let other = hurried(bench, "c2");
    hurried_added(bench, "c1")?;
    let before = bench.host.state();
    round(bench, &other)?;
    all_same("ADD and DEL of c2, while c1 is there", &before, &bench.host.state())
}

pub(super) fn rounds(bench: &Bench) -> Verdict {
    const ROUNDS: usize = 3;
    let named = |id: String, container: &Container| Container { id, ..container.clone() };
    let (one, two) = (hurried(bench, "c1"), hurried(bench, "c2"));
    round(bench, &one)?;
    let before = bench.host.state();
    for number in 0..ROUNDS {
        round(bench, &named(format!("round-{number}"), &one))?;
    }
    // Two that are there at once, of which the first goes first.
    let (one, two) = (named("first".to_owned(), &one), named("second".to_owned(), &two));
    bench.call(&one).add().succeeds()?;
    bench.call(&two).add().succeeds()?;
    bench.call(&one).del().succeeds()?;
    bench.call(&two).del().succeeds()?;
    let done = format!("{} further rounds of ADD and DEL", ROUNDS + 2);
    all_same(&done, &before, &bench.host.state())
}

pub(super) fn without_namespace(bench: &Bench) -> Verdict {
    round(bench, &hurried(bench, "c1"))?;
    let host = || {
        let state = bench.host.state();
        lasting(&format!("{}\n{}", section(&state, "node"), section(&state, "files")))
    };
    let before = host();
    for is_named in [true, false] {
        let (container, _) = hurried_added(bench, if is_named { "c2" } else { "c3" })?;
        bench.kill(&container);
        let call = bench.call(&container);
        let call = if is_named { call } else { call.with(|cni| cni.unset("CNI_NETNS")) };
        call.del().succeeds()?;
        let changes = settled(|| diff(&before, &host()));
        let how = if is_named { "with the path it had" } else { "without CNI_NETNS" };
        let done = format!("ADD, the namespace is deleted, DEL {how}");
        ensure(changes.is_empty(), done, "the host as after an ordinary DEL", changes)?;
    }
    Ok(())
}

/// What differs, once it does not any more, or the kernel had its time.
fn settled(differs: impl Fn() -> String) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let changes = differs();
        if changes.is_empty() || Instant::now() > end {
            return changes;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn variants(bench: &Bench) -> Verdict {
    added::each_variant(bench, |bench, variant| -> Result<(), Stop> {
        if variant.refused {
            return Ok(());
        }
        let first = hurried(bench, "c1");
        let second = Container { id: "second".to_owned(), ..first.clone() };
        let before = bench.host.state();
        if bench.call(&first).add().succeeds().is_err() {
            bench.note("ADD failed, so there is nothing to take away");
            return Ok(());
        }
        bench.call(&first).del().succeeds()?;
        let once = bench.host.state();
        same("ADD, then DEL", "c1", &before, &once)?;
        round(bench, &second)?;
        all_same("a second round of ADD and DEL", &once, &bench.host.state())
    })
}
