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
