//! The trace to which a call belongs.

use crate::fixture::Fixture;
use crate::ipam::{self, IpamCall};
use crate::requirements::results::container;
use crate::requirements::steps::kit_ipam_config;
use crate::verdict::{NotPassed, TestResult, ensure};

use super::call;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACE: [(&str, &str); 3] = [
    ("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("TRACESTATE", "kit=00f067aa0ba902b7"),
    ("BAGGAGE", "kit.pod=web-0"),
];

pub(super) fn trace(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture))
        .with(|cni| TRACE.iter().fold(cni, |cni, (name, value)| cni.env(name, value)));
    let result = call.attach()?;
    // Other requirements test whether these succeed, and call the delegated plugin.
    if fixture.is_from("0.4.0") {
        call.check(&result);
    }
    if fixture.is_from("1.1.0") {
        call.status();
        call.gc(&[(&container.id, "eth0")]);
    }
    call.del();
    let calls = ipam::calls();
    match calls.is_empty() {
        true => Err(NotPassed::NotApplicable("ADD called no delegated plugin".to_owned())),
        false => calls.iter().try_for_each(is_part_of_the_trace),
    }
}

/// A plugin that reports spans of its own replaces the parent, and may add entries.
fn is_part_of_the_trace(seen: &IpamCall) -> TestResult {
    for (name, value) in TRACE {
        let said = seen.var(name).unwrap_or_default();
        let holds = match name {
            "TRACEPARENT" => said.split('-').nth(1) == Some(TRACE_ID),
            _ => said.split(',').any(|entry| entry.trim() == value),
        };
        let expected = format!("the trace of {name}={value} in the delegated plugin's environment");
        ensure(holds, seen.verb(), expected, format!("{name}={said}"))?;
    }
    Ok(())
}
