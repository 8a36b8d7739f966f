//! Plans that are made in memory: without a namespace, without root, and without built binaries.
//! Plans that need a look at the host (VLANs, macvlan, ipip) are not among them.

use libcni::{Addresses, Call, Verb, Verbs, json as keys};
use serde_json::Value;
use testbed::plan::{assert_shown, config};

use crate::cases;

/// The plan of a configuration for a new container, as PLAN prints it.
fn planned(plugin: &str, given: &Value) -> Value {
    let call = Call::example(Verb::Plan, config(plugin, given.clone())).unwrap();
    let addresses = match call.ipam_type() {
        Some(_) => first_addresses(&call),
        None => call.prev_addresses(),
    };
    serde_json::to_value(ferrocni::plan(plugin, &call, &addresses).unwrap()).unwrap()
}

/// The addresses that host-local assigns first.
fn first_addresses(call: &Call) -> Addresses {
    let pool: ipam::HostLocal = keys::from_value(&call.config).unwrap();
    Addresses(pool.preview(call).unwrap().result)
}

#[test]
fn plans_that_need_no_look_at_the_host() {
    for (name, plugin, keys) in cases::all() {
        assert_shown(&name, plugin, &keys, &planned(plugin, &keys));
    }
}

/// The kernel drops the neighbour entries of a link without a carrier, and it takes note of a lost
/// carrier late.
#[test]
fn neighbour_entries_come_after_their_link_has_a_carrier() {
    let mut entries = 0;
    for (name, plugin, keys) in cases::all() {
        let plan = testbed::plan::show(&planned(plugin, &keys));
        let lines: Vec<&str> = plan.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" nud stale "))
        {
            let link = line.rsplit(' ').next().unwrap();
            let wait = format!("# wait until {link} has a carrier and passes packets");
            assert!(lines[..at].iter().any(|earlier| earlier.starts_with(&wait)), "{name}: {plan}");
            entries += 1;
        }
    }
    assert!(entries > 5, "{entries}");
}
