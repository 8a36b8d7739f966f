//! Plans of plugins as text, and the snapshots of them in `plugins/tests/snapshots/`, which the
//! pages of the plugins show.

use insta::Settings;
use serde_json::{Value, json};

use crate::Cni;

/// The configuration of a network, with these keys.
///
/// # Panics
///
/// If the keys are not an object.
pub fn config(plugin: &str, keys: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.1.0", "name": "pods", "type": plugin });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

/// One address of 10.1.2.0/24. The folder is not there: a plan reads reservations and makes none.
pub fn v4() -> Value {
    json!({ "type": "host-local", "dataDir": "/nowhere", "subnet": "10.1.2.0/24" })
}

/// An address of each family.
pub fn dual() -> Value {
    json!({
        "type": "host-local",
        "dataDir": "/nowhere",
        "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
    })
}

/// What PLAN of the built plugin prints, in the namespace `a`.
///
/// # Panics
///
/// If it fails.
pub fn plan_of(config: &Value, args: &str) -> Value {
    let plugin = config["type"].as_str().unwrap();
    Cni::new(plugin).conf(config).env("CNI_NETNS", "/run/netns/a").args(args).raw("PLAN").ok()
}

/// The plan by namespace, as commands; then the result.
///
/// # Panics
///
/// If it is not what PLAN prints.
pub fn show(preview: &Value) -> String {
    let steps = preview["plan"]["steps"].as_array().unwrap();
    let mut text = String::new();
    for place in ["host", "pod"] {
        let here: Vec<&Value> = steps.iter().filter(|step| step["place"] == place).collect();
        if !here.is_empty() {
            text += &format!("{place}\n");
        }
        for step in here {
            let shared = if step["ownership"] == "shared" { "  (shared)" } else { "" };
            for command in step["shown"].as_str().unwrap().split(" && ") {
                text += &format!("  {command}{shared}\n");
            }
        }
    }
    text + &format!("result {:#}\n", preview["result"])
}

/// Compares what PLAN of the built plugin prints with the snapshot `name`.
///
/// # Panics
///
/// If it differs, or PLAN fails.
#[track_caller]
pub fn assert_plan(name: &str, plugin: &str, keys: Value) {
    assert_shown(name, plugin, &keys, &plan_of(&config(plugin, keys.clone()), ""));
}

/// Compares a plan with the snapshot `name`, which shows the configuration above the plan.
///
/// # Panics
///
/// If it differs.
#[track_caller]
pub fn assert_shown(name: &str, plugin: &str, keys: &Value, preview: &Value) {
    let shown = show(preview);
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/tests/snapshots"));
    settings.set_omit_expression(true);
    settings.set_description(format!("{plugin} {keys}"));
    settings.bind(|| insta::assert_snapshot!(name, shown));
}
