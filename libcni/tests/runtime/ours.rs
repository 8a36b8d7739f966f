//! PLAN and REPAIR through a chain.

use libcni::Code;
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
    let previews =
        bed.runtime().plan(&network("0.4.0", &["one", "two"]), &pod("c1"), false).unwrap();
    let [(one, first), (two, second)] = previews.as_slice() else { panic!("{previews:?}") };
    assert_eq!((one.as_str(), two.as_str()), ("one", "two"));
    let [first, second] = [first, second].map(|told| told.as_ref().unwrap());
    assert_eq!(first.plan, json!({ "steps": [] }));
    assert!(second.plan.is_null());
    assert_eq!(bed.calls(), ["PLAN one c1", "PLAN two c1"]);
    let prev = json!({ "cniVersion": "0.4.0", "dns": {}, "ips": [{ "version": "4", "address": "10.1.0.2/16" }] });
    assert_eq!(bed.stdin("two", "PLAN")["prevResult"], prev);
    assert!(!bed.path("cache").exists());
}

#[test]
fn a_plugin_without_the_verb_plan_is_named() {
    let bed = Bed::new();
    bed.plugin(
        "foreign",
        r#"echo "{\"code\": 4, \"msg\": \"unknown CNI_COMMAND: $CNI_COMMAND\"}"; exit 1"#,
    );
    let network = network("1.0.0", &["foreign"]);
    let refused = error(bed.runtime().plan(&network, &pod("c1"), false));
    assert_eq!(refused.code, Code::INVALID_ENVIRONMENT);
    assert_eq!(refused.msg, "plugin foreign cannot print its plan: it does not know PLAN");
}

#[test]
fn repair_needs_a_cached_result_and_reports_its_changes() {
    let bed = Bed::new();
    let body = r#"case $CNI_COMMAND in ADD) echo '{}';; REPAIR) echo '["put back eth0"]';; esac"#;
    bed.plugin("one", body);
    bed.plugin("two", r#"[ $CNI_COMMAND = ADD ] && echo '{}' || echo '[]'"#);
    let (runtime, network) = (bed.runtime(), network("1.0.0", &["one", "two"]));
    let refused = error(runtime.repair(&network, &pod("c1")));
    assert_eq!(refused.code, Code::UNKNOWN_CONTAINER);
    runtime.add(&network, &pod("c1")).unwrap();
    let repaired = runtime.repair(&network, &pod("c1")).unwrap();
    assert!(repaired.unasked.is_empty() && repaired.failed.is_none(), "{repaired:?}");
    let done: Vec<_> =
        repaired.done.iter().map(|(kind, lines)| format!("{kind}: {}", lines.join(" "))).collect();
    assert_eq!(done, ["one: put back eth0", "two: "]);
    assert_eq!(bed.stdin("two", "REPAIR")["prevResult"], json!({ "cniVersion": "1.0.0" }));
}

/// A plugin that answers verbs of the specification, and refuses others as the reference's do.
const FOREIGN: &str = r#"case $CNI_COMMAND in
    ADD) echo '{}' ;;
    CHECK) [ ! -e "$0.wrong" ] || { echo '{"code": 999, "msg": "eth0 is wrong"}'; exit 1; } ;;
    *) echo "{\"code\": 4, \"msg\": \"unknown CNI_COMMAND: $CNI_COMMAND\"}"; exit 1 ;;
esac"#;

const OURS: &str = r#"case $CNI_COMMAND in
    ADD) echo '{}' ;;
    PLAN) echo '{"result": {"ips": [{"address": "10.1.0.2/16"}]}}' ;;
    REPAIR) [ ! -e "$0.wrong" ] || { echo '{"code": 999, "msg": "no"}'; exit 1; }; echo '["set eth0 up"]' ;;
esac"#;

#[test]
fn a_plan_goes_on_behind_a_plugin_that_cannot_tell() {
    let bed = Bed::new();
    for (plugin, body) in [("one", OURS), ("foreign", FOREIGN), ("two", OURS), ("mute", "true")] {
        bed.plugin(plugin, body);
    }
    let told = |plugins: &[&str]| -> Vec<String> {
        let told = bed.runtime().plan(&network("1.0.0", plugins), &pod("c1"), false).unwrap();
        told.into_iter()
            .map(|(_, told)| told.map_or_else(|error| error.msg, |_| "known".into()))
            .collect()
    };
    let unknown = "plugin foreign cannot print its plan: it does not know PLAN";
    assert_eq!(told(&["one", "foreign", "two"]), ["known", unknown, "known"]);
    // The result of the plugin before is most likely what it passes on.
    let prev = &bed.stdin("two", "PLAN")["prevResult"];
    assert_eq!(prev["ips"][0]["address"], "10.1.0.2/16");
    // Without any, the next plugin could not tell either, and is not asked.
    bed.calls();
    let refused = bed.runtime().plan(&network("1.0.0", &["foreign", "two"]), &pod("c1"), false);
    assert_eq!(error(refused).msg, unknown);
    assert_eq!(bed.calls(), ["PLAN foreign c1"]);
    let all = told(&["one", "mute", "foreign"]);
    assert!(
        all[1].starts_with("plugin mute cannot print its plan: its output is not a plan"),
        "{all:?}"
    );
    assert_eq!(all[2], unknown);
    // What is attached has a result.
    let network = network("1.0.0", &["foreign", "two"]);
    bed.runtime().add(&network, &pod("c1")).unwrap();
    let told = bed.runtime().plan(&network, &pod("c1"), true).unwrap();
    assert!(told[0].1.is_err() && told[1].1.is_ok(), "{told:?}");
}

#[test]
fn repair_continues_after_a_plugin_without_it_and_check_reports_the_rest() {
    let bed = Bed::new();
    for (plugin, body) in [("one", OURS), ("foreign", FOREIGN), ("two", OURS)] {
        bed.plugin(plugin, body);
    }
    let (runtime, network) = (bed.runtime(), network("1.0.0", &["one", "foreign", "two"]));
    runtime.add(&network, &pod("c1")).unwrap();
    bed.calls();
    let repair = || {
        let repaired = runtime.repair(&network, &pod("c1")).unwrap();
        let done: Vec<_> = repaired.done.iter().map(|(kind, _)| kind.to_string()).collect();
        let unasked: Vec<_> = repaired.unasked.into_iter().map(|error| error.msg).collect();
        (done, unasked, repaired.failed.map(|error| error.msg))
    };
    let unknown = vec!["plugin foreign cannot repair: it does not know REPAIR".to_owned()];
    let both = vec!["one".to_owned(), "two".to_owned()];
    assert_eq!(repair(), (both.clone(), unknown.clone(), None));
    let asked = ["REPAIR one c1", "REPAIR foreign c1", "REPAIR two c1"];
    let checked = ["CHECK one c1", "CHECK foreign c1", "CHECK two c1"];
    assert_eq!(bed.calls(), [asked, checked].concat());
    let wrong = |plugin: &str| bed.file(&format!("bin/{plugin}.wrong"), "");
    wrong("foreign");
    let left = "plugin type=\"foreign\" failed (check): eth0 is wrong".to_owned();
    assert_eq!(repair(), (both, unknown.clone(), Some(left)));
    // A plugin that fails ends it. What was done before is told.
    wrong("two");
    let left = "plugin type=\"two\" failed (repair): no".to_owned();
    assert_eq!(repair(), (vec!["one".to_owned()], unknown, Some(left)));
}
