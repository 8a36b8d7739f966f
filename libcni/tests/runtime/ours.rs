//! PLAN and REPAIR through a chain.

use libcni::code;
use serde_json::json;

use crate::bed::{Bed, error, network, pod};

#[test]
fn a_plan_goes_through_the_chain_with_predicted_results() {
    let bed = Bed::new();
    bed.plugin(
        "one",
        r#"echo '{"plan": {"steps": []}, "result": {"ips": [{"address": "10.1.0.2/16"}]}}'"#,
    );
    bed.plugin("two", r#"echo '{"result": {}}'"#);
    let previews = bed.runtime().plan(&network("0.4.0", &["one", "two"]), &pod("c1")).unwrap();
    let [(one, first), (two, second)] = previews.as_slice() else { panic!("{previews:?}") };
    assert_eq!((one.as_str(), two.as_str()), ("one", "two"));
    assert_eq!(first.plan, json!({ "steps": [] }));
    assert!(second.plan.is_null());
    assert_eq!(bed.calls(), ["PLAN one c1", "PLAN two c1"]);
    let prev = json!({ "cniVersion": "0.4.0", "dns": {}, "ips": [{ "version": "4", "address": "10.1.0.2/16" }] });
    assert_eq!(bed.stdin("two", "PLAN")["prevResult"], prev);
    assert!(!bed.path("cache").exists());
}

#[test]
fn a_plugin_that_cannot_tell_its_plan_is_named() {
    let bed = Bed::new();
    bed.plugin(
        "foreign",
        r#"echo "{\"code\": 4, \"msg\": \"unknown CNI_COMMAND: $CNI_COMMAND\"}"; exit 1"#,
    );
    let network = network("1.0.0", &["foreign"]);
    let refused = error(bed.runtime().plan(&network, &pod("c1")));
    assert_eq!(refused.code, code::INVALID_ENVIRONMENT);
    assert_eq!(refused.msg, "plugin foreign cannot tell its plan: it does not know PLAN");
}

#[test]
fn a_repair_needs_a_cached_result_and_says_what_was_done() {
    let bed = Bed::new();
    let body = r#"case $CNI_COMMAND in ADD) echo '{}';; REPAIR) echo '["put back eth0"]';; esac"#;
    bed.plugin("one", body);
    bed.plugin("two", r#"[ $CNI_COMMAND = ADD ] && echo '{}' || echo '[]'"#);
    let (runtime, network) = (bed.runtime(), network("1.0.0", &["one", "two"]));
    let refused = error(runtime.repair(&network, &pod("c1")));
    assert_eq!(refused.code, code::UNKNOWN_CONTAINER);
    runtime.add(&network, &pod("c1")).unwrap();
    let done = runtime.repair(&network, &pod("c1")).unwrap();
    let done: Vec<_> =
        done.iter().map(|(kind, lines)| format!("{kind}: {}", lines.join(" "))).collect();
    assert_eq!(done, ["one: put back eth0", "two: "]);
    assert_eq!(bed.stdin("two", "REPAIR")["prevResult"], json!({ "cniVersion": "1.0.0" }));
}
