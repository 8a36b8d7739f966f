//! Strings that are commands of a shell.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Call, Fixture};
use crate::json::set;
use crate::profile::Kind;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, ensure};

use super::scenes::folder;
use super::sites::{ipv4_only, publishes};

/// In every string of a call.
pub(super) const COMMANDS: Requirement = Requirement {
    id: "GHSA-vchx-5pr6-ffx2",
    source: "GHSA-vchx-5pr6-ffx2 (flannel), its kind",
    statement: "The plugin must not run any string of the configuration or the environment as a \
        command",
    level: Level::Expected,
    applies_to: AppliesTo::All,
    versions: Versions::Newest,
    test: commands,
};

/// The file that a command creates: here, or in the plugin's working directory.
const MARK: &str = "/run/m";
/// Commands that escape from both kinds of quotes. The second one fits into the name of a link.
const COMMANDS_TRIED: [&str; 2] =
    ["x';>/run/m;'$(>/run/m)\";>/run/m;\"\n>/run/m\n#", "';>m;'$(>m)"];

fn commands(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let scene = folder("here");
    let call = |config: &Value| {
        let call = fixture.call_with(config).with(|cni| {
            let cni = cni.container(&container.id).netns(&container.pod).ifname("eth0");
            cni.under(&["env", "-C", &scene])
        });
        match &container.prev {
            Some(prev) => call.with(|cni| cni.prev(prev)),
            None => call,
        }
    };
    let plain = configurations(fixture).swap_remove(0);
    for command in COMMANDS_TRIED {
        let mut known = Vec::new();
        for config in configurations(fixture) {
            let mut places = Vec::new();
            strings(&config, "", &mut places);
            places.retain(|place| !known.contains(place));
            search(&call, &config, &places, command)?;
            known.append(&mut places);
        }
        for name in ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_NETNS", "CNI_ARGS"] {
            let value = match name {
                "CNI_NETNS" => format!("/run/netns/{command}"),
                "CNI_ARGS" => format!("IgnoreUnknown=1;K8S_POD_NAME={command};MAC={command}"),
                _ => command.to_owned(),
            };
            is_not_run(&call(&plain).with(|cni| cni.env(name, value)), name, command)?;
        }
    }
    Ok(())
}

/// Puts the command into all these places at once. If the plugin succeeds, it has read all strings
/// that it reads. Otherwise it may have failed before it read some of them, so each half of the
/// places is tested.
fn search<'a>(
    call: &impl Fn(&Value) -> Call<'a>,
    config: &Value,
    places: &[String],
    command: &str,
) -> TestResult {
    let mut hostile = config.clone();
    for place in places {
        if let Some(value) = hostile.pointer_mut(place) {
            *value = json!(command);
        }
    }
    if places.is_empty() || is_not_run(&call(&hostile), &places.join(", "), command)? {
        return Ok(());
    }
    match places.split_at_checked(places.len() / 2) {
        Some((first, second)) if !first.is_empty() => {
            search(call, config, first, command)?;
            search(call, config, second, command)
        }
        _ => Ok(()),
    }
}

/// Whether ADD succeeded.
fn is_not_run(call: &Call<'_>, place: &str, command: &str) -> Result<bool, NotPassed> {
    let mut added = false;
    for verb in ["ADD", "DEL"] {
        let outcome = call.verb(verb);
        added |= verb == "ADD" && outcome.status.success();
        let marks = [MARK.to_owned(), format!("{}/m", folder("here"))];
        let ran = marks.iter().any(|mark| fs::remove_file(mark).is_ok());
        let done = format!("{verb} with {command:?} at {place}");
        ensure(!ran, done, "nothing is run", "it was run: what it makes was there")?;
    }
    Ok(added)
}

/// The configurations of the profile, with keys that many plugins read and profiles omit.
fn configurations(fixture: &Fixture) -> Vec<Value> {
    let variants = fixture.profile.variants.iter().map(Some);
    let all = [None].into_iter().chain(variants);
    let ipam = ipv4_only(fixture);
    let complete = |config: Value| {
        let mut config = fixture.complete(config);
        // IPAM plugins are tested on their own.
        if fixture.profile.kind == Kind::Interface && config.get("ipam").is_some() {
            set(&mut config, "ipam", ipam.clone());
        }
        for (key, value) in [
            (
                "dns",
                json!({ "nameservers": ["192.0.2.53"], "domain": "a.test", "search": ["a.test"] }),
            ),
            ("args", json!({ "cni": { "mac": "02:00:00:00:00:01" } })),
            ("runtimeConfig", runtime(fixture)),
        ] {
            if config.get(key).is_none() {
                set(&mut config, key, value);
            }
        }
        config
    };
    all.map(|variant| complete(fixture.profile.config_of(variant))).collect()
}

/// The keys that a runtime inserts.
fn runtime(fixture: &Fixture) -> Value {
    match publishes(&fixture.profile) {
        true => json!({ "portMappings": [
            { "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1" }
        ] }),
        false => json!({ "mac": "02:00:00:00:00:01", "ips": ["10.1.2.9/24"] }),
    }
}

/// The places of all strings.
fn strings(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        // The runtime uses these.
        Value::String(_) if ["/cniVersion", "/type"].contains(&place) => {}
        Value::String(_) => found.push(place.to_owned()),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .for_each(|(index, value)| strings(value, &format!("{place}/{index}"), found)),
        Value::Object(keys) => keys.iter().for_each(|(key, value)| {
            // Escaped for a JSON pointer.
            let key = key.replace('~', "~0").replace('/', "~1");
            strings(value, &format!("{place}/{key}"), found);
        }),
        _ => {}
    }
}
