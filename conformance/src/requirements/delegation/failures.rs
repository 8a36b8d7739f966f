//! A delegate that says no, or is not there.

use serde_json::json;

use crate::bench::{Bench, set};
use crate::ipam;
use crate::requirement::{Judge, Verdict, ensure};

use super::{call, call_since, calls_since, config, refusal, says};
use crate::requirements::results::container;

/// What is there before an ADD that fails, so that what is left of it can be told.
pub(super) struct Before(String);

impl Before {
    /// The state, after another container made what containers share.
    pub(super) fn of(bench: &Bench) -> Before {
        Before(bench.host.state())
    }

    /// There is nothing that was not there before.
    pub(super) fn is_still_all(&self, bench: &Bench, done: &str) -> Verdict {
        let left = testbed::diff(&self.0, &bench.host.state());
        ensure(left.is_empty(), done, "nothing is left: the state as before", left)
    }
}

/// An attachment that went well: what containers share is there.
pub(super) fn settle(bench: &Bench) -> Verdict {
    let first = container(bench, "first");
    call(bench, &first, &config(bench)).add().succeeds().map(drop)
}

pub(super) fn missing(bench: &Bench) -> Verdict {
    settle(bench)?;
    let mut config = config(bench);
    set(&mut config, "ipam", json!({ "type": "kit-is-not-there" }));
    let container = container(bench, "one");
    let before = Before::of(bench);
    let told = call(bench, &container, &config).add().fails()?;
    let text = format!("{} {}", told.msg, told.details);
    ensure(text.contains("kit-is-not-there"), "ADD", "an error that names kit-is-not-there", text)?;
    before.is_still_all(bench, "ADD without its delegate")
}

pub(super) fn path_as_type(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let absolute = format!("{}/{}", ipam::FOLDER, ipam::NAME);
    for name in [absolute.as_str(), "../bin/kit-ipam", "./kit-ipam", "..", "."] {
        let mut config = config(bench);
        set(&mut config, "ipam", json!({ "type": name }));
        for verb in ["ADD", "DEL"] {
            let outcome = call(bench, &container, &config).verb(verb);
            let run = !ipam::seen().is_empty();
            ensure(!run, verb, format!("{name} is not run"), "it was run")?;
            if verb == "ADD" {
                outcome.fails()?;
            }
        }
    }
    Ok(())
}

pub(super) fn add(bench: &Bench) -> Verdict {
    says("ADD", refusal(bench), 1);
    let container = container(bench, "one");
    call(bench, &container, &config(bench)).add().fails().map(drop)
}

pub(super) fn add_tells(bench: &Bench) -> Verdict {
    says("ADD", refusal(bench), 1);
    let container = container(bench, "one");
    let told = call(bench, &container, &config(bench)).add().fails()?;
    let right =
        told.code == 142 && format!("{} {}", told.msg, told.details).contains("the kit says no");
    ensure(right, "ADD", refusal(bench), format!("{told:?}"))
}

pub(super) fn add_is_followed_by_del(bench: &Bench) -> Verdict {
    says("ADD", refusal(bench), 1);
    let container = container(bench, "one");
    call(bench, &container, &config(bench)).add().fails()?;
    call_since(0, "DEL").map(drop)
}

pub(super) fn add_leaves_nothing(bench: &Bench) -> Verdict {
    settle(bench)?;
    let container = container(bench, "one");
    let before = Before::of(bench);
    says("ADD", refusal(bench), 1);
    call(bench, &container, &config(bench)).add().fails()?;
    before.is_still_all(bench, "ADD that the delegate refused")
}

/// The container has an `eth0` already: whenever the plugin finds that out, the address is given back.
pub(super) fn later_failure(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    container.pod.sh("ip link add eth0 type veth peer name other");
    call(bench, &container, &config(bench)).add().fails()?;
    if calls_since(0, "ADD").is_empty() {
        return Ok(());
    }
    call_since(0, "DEL").map(drop)
}

pub(super) fn del(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench));
    call.add().succeeds()?;
    says("DEL", refusal(bench), 1);
    call.del().fails().map(drop)
}

pub(super) fn del_again(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench));
    call.add().succeeds()?;
    says("DEL", refusal(bench), 1);
    call.del();
    says("DEL", "", 0);
    let before = ipam::seen().len();
    call.del().succeeds()?;
    call_since(before, "DEL").map(drop)
}

pub(super) fn check(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench));
    let result = call.add().succeeds()?;
    call.check(&result).succeeds()?;
    says("CHECK", refusal(bench), 1);
    call.check(&result).fails().map(drop)
}

pub(super) fn gc(bench: &Bench) -> Verdict {
    let call = bench.call_with(&config(bench));
    call.gc(&[]).succeeds()?;
    says("GC", refusal(bench), 1);
    call.gc(&[]).fails().map(drop)
}

pub(super) fn status(bench: &Bench) -> Verdict {
    let call = bench.call_with(&config(bench));
    call.status().succeeds()?;
    says("STATUS", refusal(bench), 1);
    call.status().fails().map(drop)
}
