//! ADD, CHECK, DEL and STATUS through a chain: what runs, in which order, with what.

use std::fs;

use libcni::Code;
use serde_json::{Value, json};

use crate::bed::{Bed, attachment, error, list, net, network, pod};

#[test]
fn add_runs_forward_and_hands_each_result_on() {
    let bed = Bed::new();
    let answer = |name: &str| format!(r#"echo '{{"interfaces": [{{"name": "{name}"}}]}}'"#);
    bed.plugin("one", &answer("a"));
    bed.plugin("two", &answer("b"));
    let result = bed.runtime().add(&network("1.0.0", &["one", "two"]), &pod("c1")).unwrap();
    assert_eq!(bed.calls(), ["ADD one c1", "ADD two c1"]);
    assert_eq!(result.interfaces[0].name, "b");
    assert_eq!(
        bed.stdin("one", "ADD"),
        json!({ "type": "one", "name": "net", "cniVersion": "1.0.0" })
    );
    let prev = json!({ "cniVersion": "1.0.0", "interfaces": [{ "name": "a" }] });
    assert_eq!(bed.stdin("two", "ADD")["prevResult"], prev);
}

#[test]
fn plugins_get_the_environment_of_the_specification_and_ours() {
    let bed = Bed::with(&["one"]);
    let mut runtime = bed.runtime();
    runtime.path.push("/nowhere".into());
    runtime.env.push(("TRACEPARENT".to_owned(), "00-1-2-01".to_owned()));
    runtime.env.push(("CNI_COMMAND".to_owned(), "cannot be changed".to_owned()));
    let mut conf = pod("c1");
    conf.args =
        [("IgnoreUnknown", "1"), ("MAC", "02::1")].map(|(k, v)| (k.into(), v.into())).into();
    runtime.add(&network("1.1.0", &["one"]), &conf).unwrap();
    let path = format!("{}:/nowhere", bed.path("bin").display());
    for (name, value) in [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "IgnoreUnknown=1;MAC=02::1"),
        ("CNI_PATH", path.as_str()),
        ("TRACEPARENT", "00-1-2-01"),
        ("CARGO_PKG_NAME", "libcni"),
    ] {
        assert_eq!(bed.env("one", "ADD", name).as_deref(), Some(value), "{name}");
    }
    runtime.status(&network("1.1.0", &["one"])).unwrap();
    for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS"] {
        assert_eq!(bed.env("one", "STATUS", name).as_deref(), Some(""), "{name}");
    }
}

#[test]
fn runtime_config_has_the_declared_capabilities_with_values() {
    let bed = Bed::with(&["one", "two"]);
    let network = list(json!({ "name": "net", "cniVersion": "1.0.0", "plugins": [
        { "type": "one", "Capabilities": { "mac": true, "ips": false, "portMappings": true }, "RuntimeConfig": { "old": 1 } },
        { "type": "two", "runtimeConfig": { "inline": 1 } },
    ] }));
    let mut conf = pod("c1");
    conf.capability_args =
        json!({ "mac": "02::1", "ips": ["10.1.0.9"], "other": 1 }).as_object().cloned().unwrap();
    bed.runtime().add(&network, &conf).unwrap();
    let one = bed.stdin("one", "ADD");
    assert_eq!(one["runtimeConfig"], json!({ "mac": "02::1" }));
    assert!(one.get("RuntimeConfig").is_none() && one.get("Capabilities").is_none(), "{one}");
    assert_eq!(bed.stdin("two", "ADD")["runtimeConfig"], json!({ "inline": 1 }));
}

#[test]
fn del_runs_in_reverse_with_the_cached_result_and_forgets() {
    let bed = Bed::with(&["one", "two"]);
    let (runtime, network) = (bed.runtime(), network("0.4.0", &["one", "two"]));
    runtime.add(&network, &pod("c1")).unwrap();
    bed.calls();
    runtime.del(&network, &pod("c1")).unwrap();
    assert_eq!(bed.calls(), ["DEL two c1", "DEL one c1"]);
    for plugin in ["one", "two"] {
        assert_eq!(bed.stdin(plugin, "DEL")["prevResult"]["ips"][0]["address"], "10.1.0.2/16");
    }
    assert_eq!(bed.cache().get(&net(), &attachment("c1")), Ok(None));
    // Again, as runtimes do: nothing is cached now.
    runtime.del(&network, &pod("c1")).unwrap();
    assert_eq!(bed.calls(), ["DEL two c1", "DEL one c1"]);
    assert!(bed.stdin("one", "DEL").get("prevResult").is_none());
}

#[test]
fn del_below_0_4_0_has_no_result_and_a_damaged_cache_is_dropped() {
    let bed = Bed::with(&["one"]);
    let runtime = bed.runtime();
    let old = network("0.3.1", &["one"]);
    runtime.add(&old, &pod("c1")).unwrap();
    runtime.del(&old, &pod("c1")).unwrap();
    assert!(bed.stdin("one", "DEL").get("prevResult").is_none());
    bed.file("cache/results/net-c1-eth0", "garbage");
    runtime.del(&network("1.0.0", &["one"]), &pod("c1")).unwrap();
    assert!(!bed.cached_file("net-c1-eth0").exists());
}

#[test]
fn a_del_that_fails_stops_and_stays_in_the_cache_and_undo_goes_on() {
    let bed = Bed::with(&["one", "three"]);
    bed.plugin("two", r#"[ "$CNI_COMMAND" = ADD ] && echo '{}' || { echo '{"code": 11, "msg": "busy"}'; exit 1; }"#);
    let (runtime, network) = (bed.runtime(), network("1.0.0", &["one", "two", "three"]));
    runtime.add(&network, &pod("c1")).unwrap();
    bed.calls();
    let refused = error(runtime.del(&network, &pod("c1")));
    assert_eq!(
        (refused.code, &*refused.msg),
        (Code::TRY_AGAIN, r#"plugin type="two" failed (delete): busy"#)
    );
    assert_eq!(bed.calls(), ["DEL three c1", "DEL two c1"]);
    assert!(bed.cached_file("net-c1-eth0").exists());
    assert_eq!(error(runtime.undo(&network, &pod("c1"))), refused);
    assert_eq!(bed.calls(), ["DEL three c1", "DEL two c1", "DEL one c1"]);
}

/// DEL releases what the other plugins hold, above all the address, which the first plugin of a
/// chain has.
#[test]
fn del_goes_on_without_plugins_that_are_missing_and_can_be_repeated() {
    let bed = Bed::with(&["one", "two", "three"]);
    let (runtime, network) = (bed.runtime(), network("1.0.0", &["one", "two", "three"]));
    runtime.add(&network, &pod("c1")).unwrap();
    bed.calls();
    let missing = |damage: &dyn Fn(&std::path::Path), why: &str| {
        damage(&bed.path("bin/two"));
        let said = error(runtime.del(&network, &pod("c1"))).to_string();
        assert!(said.starts_with(r#"plugin type="two" failed (delete): failed to "#), "{said}");
        assert!(said.contains(why), "{said}");
        let rest = "all other plugins of net were called. Objects of two may remain, such as \
                    firewall rules: repeat DEL when two is installed";
        assert!(said.ends_with(rest), "{said}");
        assert_eq!(bed.calls(), ["DEL three c1", "DEL one c1"]);
        assert!(bed.cached_file("net-c1-eth0").exists());
    };
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    missing(&|file| std::fs::set_permissions(file, mode(0o644)).unwrap(), "Permission denied");
    missing(&|file| std::fs::remove_file(file).unwrap(), "install it in one of these folders");
    bed.script("two", "not a shell script");
    missing(&|file| std::fs::write(file, "\u{7f}ELF of another machine").unwrap(), "Exec format");
    bed.plugin("two", "");
    runtime.del(&network, &pod("c1")).unwrap();
    assert_eq!(bed.calls(), ["DEL three c1", "DEL two c1", "DEL one c1"]);
    assert_eq!(bed.stdin("two", "DEL")["prevResult"]["ips"][0]["address"], "10.1.0.2/16");
    assert!(!bed.cached_file("net-c1-eth0").exists());
}

#[test]
fn a_del_that_fails_names_the_missing_plugins_too() {
    let bed = Bed::with(&["one"]);
    bed.plugin("two", r#"[ "$CNI_COMMAND" = ADD ] && echo '{}' || { echo '{"code": 11, "msg": "busy"}'; exit 1; }"#);
    let network = network("1.0.0", &["one", "two", "three"]);
    let refused = error(bed.runtime().del(&network, &pod("c1")));
    assert_eq!(
        (refused.code, &*refused.msg),
        (Code::TRY_AGAIN, r#"plugin type="two" failed (delete): busy"#)
    );
    assert!(refused.details.contains("failed to find plugin \"three\""), "{refused}");
    assert_eq!(bed.calls(), ["DEL two c1"]);
}

#[test]
fn an_add_that_fails_midway_keeps_code_and_details_and_caches_nothing() {
    let bed = Bed::with(&["one", "three"]);
    bed.plugin("two", r#"echo '{"code": 107, "msg": "no", "details": "because"}'; exit 1"#);
    let network = list(json!({ "name": "net", "cniVersion": "1.0.0", "plugins": [
        { "type": "one" }, { "type": "two", "name": "second" }, { "type": "three" },
    ] }));
    let refused = error(bed.runtime().add(&network, &pod("c1")));
    assert_eq!((refused.code, &*refused.details), (Code::new(107), "because"));
    assert_eq!(refused.msg, r#"plugin type="two" name="second" failed (add): no"#);
    assert_eq!(bed.calls(), ["ADD one c1", "ADD two c1"]);
    assert!(!bed.cached_file("net-c1-eth0").exists());
}

#[test]
fn a_plugin_that_is_not_there_is_named_with_the_folders() {
    let bed = Bed::new();
    let said = error(bed.runtime().add(&network("1.0.0", &["none"]), &pod("c1"))).to_string();
    let expected = r#"plugin type="none" failed (add): failed to find plugin "none" in path ["#;
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_result_of_another_version_is_converted_and_unknown_keys_of_the_same_stay() {
    let bed = Bed::new();
    let answer = |json: Value| format!("echo '{json}'");
    bed.plugin("old", &answer(json!({ "cniVersion": "0.2.0", "ip4": { "ip": "10.1.0.2/16" } })));
    bed.plugin("new", &answer(json!({ "CNIVersion": "1.0.0", "ips": [], "vendor": { "x": 1 } })));
    let runtime = bed.runtime();
    let result = runtime.add(&network("1.0.0", &["old", "new"]), &pod("c1")).unwrap();
    assert_eq!(result.ips.len(), 0);
    let prev = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.0.2/16" }] });
    assert_eq!(bed.stdin("new", "ADD")["prevResult"], prev);
    let cached = bed.cache().get(&net(), &attachment("c1")).unwrap().unwrap();
    assert_eq!(
        cached.result,
        Some(json!({ "cniVersion": "1.0.0", "ips": [], "vendor": { "x": 1 } }))
    );
}

#[test]
fn check_needs_0_4_0_and_can_be_disabled() {
    let bed = Bed::with(&["one", "two"]);
    let runtime = bed.runtime();
    let refused = error(runtime.check(&network("0.3.1", &["one"]), &pod("c1")));
    assert_eq!(refused.code, Code::INCOMPATIBLE_VERSION);
    assert!(refused.msg.contains(r#""0.3.1" does not support the CHECK command"#), "{refused}");
    let network = network("0.4.0", &["one", "two"]);
    runtime.add(&network, &pod("c1")).unwrap();
    bed.calls();
    runtime.check(&network, &pod("c1")).unwrap();
    assert_eq!(bed.calls(), ["CHECK one c1", "CHECK two c1"]);
    assert_eq!(bed.stdin("one", "CHECK")["prevResult"], bed.stdin("two", "CHECK")["prevResult"]);
    assert!(bed.stdin("one", "CHECK")["prevResult"].is_object());
    let mut disabled = network.clone();
    disabled.disable_check = true;
    runtime.check(&disabled, &pod("c1")).unwrap();
    assert!(bed.calls().is_empty());
    fs::write(bed.cached_file("net-c1-eth0"), "garbage").unwrap();
    let refused = error(runtime.check(&network, &pod("c1")));
    assert!(refused.msg.starts_with(r#"failed to get network "net" cached result: "#), "{refused}");
}

#[test]
fn status_asks_from_1_1_0_on_and_stops_at_the_first_no() {
    let bed = Bed::with(&["one", "three"]);
    bed.plugin("two", r#"echo '{"code": 50, "msg": "not ready"}'; exit 1"#);
    let runtime = bed.runtime();
    runtime.status(&network("1.0.0", &["two"])).unwrap();
    assert!(bed.calls().is_empty());
    let refused = error(runtime.status(&network("1.1.0", &["one", "two", "three"])));
    assert_eq!(refused.code, Code::UNAVAILABLE);
    assert_eq!(bed.calls(), ["STATUS one", "STATUS two"]);
}
