//! The built static plugin, and the comparison with the reference's.
#![cfg(test)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const OURS: &str = env!("CARGO_BIN_EXE_static");

fn theirs() -> &'static str {
    let path = "/usr/lib/cni/static";
    assert!(Path::new(path).exists(), "{path} is missing: install containernetworking-plugins");
    path
}

/// Runs a verb with `CNI_ARGS`. Returns what was printed; as an error if the call failed.
fn call(binary: &str, verb: &str, args: &str, config: &Value) -> Result<Value, Value> {
    let mut config = config.clone();
    for (key, value) in [("cniVersion", "1.0.0"), ("name", "pods"), ("type", "bridge")] {
        config.as_object_mut().unwrap().entry(key).or_insert(value.into());
    }
    let mut child = Command::new(binary)
        .env_clear()
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", "c1")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_ARGS", args)
        .env("CNI_NETNS", "/run/netns/not-looked-at")
        .env("CNI_PATH", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let mut printed: Value = match output.stdout.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&output.stdout).unwrap(),
    };
    // Go prints an empty `dns` in results of every version.
    if printed["dns"] == json!({}) {
        printed.as_object_mut().unwrap().remove("dns");
    }
    if output.status.success() { Ok(printed) } else { Err(printed) }
}

/// `ipam` with these keys.
fn ipam(keys: Value) -> Value {
    let mut ipam = keys;
    ipam["type"] = "static".into();
    json!({ "ipam": ipam })
}

fn dual() -> Value {
    ipam(json!({
        "addresses": [
            { "address": "10.1.2.5/24", "gateway": "10.1.2.1" },
            { "address": "fd00:1:2::5/64", "gateway": "fd00:1:2::1" }
        ],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "192.168.0.0/16", "gw": "10.1.2.9" }],
        "dns": { "nameservers": ["10.1.2.1"], "domain": "d", "search": ["s"], "options": ["o"] }
    }))
}

/// `dual` with more keys beside `ipam`.
fn with(keys: &Value) -> Value {
    let mut config = dual();
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

/// Configurations with `CNI_ARGS`.
fn table() -> Vec<(Value, &'static str)> {
    let addresses = |list: Value| ipam(json!({ "addresses": list }));
    let mut table = vec![
        (dual(), ""),
        (dual(), "IP=10.9.9.9/16"),
        (dual(), "IP= 10.9.9.9/16 , fd00:9::9/64;GATEWAY=10.9.0.1,fd00:9::1"),
        (dual(), "IP=10.9.9.9/16;GATEWAY=10.8.0.1"),
        (dual(), "GATEWAY=10.1.2.254"),
        (dual(), "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.9.9.9/16"),
        (dual(), "IP=10.9.9.9"),
        (dual(), "IP=10.9.9.9/16;GATEWAY=x"),
        (dual(), "A=B"),
        (addresses(json!([])), ""),
        (ipam(json!({})), ""),
        (json!({}), ""),
        (json!({ "runtimeConfig": { "ips": ["10.1.2.5/24"] } }), ""),
        (addresses(json!([{ "address": "10.1.2.5" }])), ""),
        (addresses(json!([{ "address": "" }])), ""),
        (addresses(json!([{ "address": "10.1.2.5/33" }])), ""),
        (addresses(json!([{ "address": "10.1.2.5/24", "gateway": "x" }])), ""),
        (addresses(json!([{ "address": "10.1.2.5/24" }, { "address": "10.1.3.5/24" }])), ""),
        (ipam(json!({ "addresses": [{ "address": "10.1.2.5/24", "GATEWAY": "10.1.2.1" }] })), ""),
    ];
    let ips = |ips: Value| {
        [json!({ "args": { "cni": { "ips": ips } } }), json!({ "runtimeConfig": { "ips": ips } })]
    };
    let lists = [json!(["10.3.3.3/24", "fd00:3::3/64"]), json!(["10.3.3.3"]), json!([])];
    table.extend(lists.into_iter().flat_map(ips).map(|keys| (with(&keys), "IP=10.9.9.9/16")));
    let both = json!({
        "args": { "cni": { "ips": ["10.3.3.3/24"] } }, "runtimeConfig": { "ips": ["10.4.4.4/24"] }
    });
    table.push((with(&both), ""));
    table
}

#[test]
fn results_and_errors_are_the_references() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        for (mut config, args) in table() {
            config["cniVersion"] = version.into();
            for verb in ["ADD", "DEL"] {
                let [ours, theirs] = [OURS, theirs()].map(|it| call(it, verb, args, &config));
                // Ours may name the key, too.
                let is_same = match (&ours, &theirs) {
                    (Err(ours), Err(theirs)) => {
                        let [ours, theirs] = [ours, theirs].map(|it| it["msg"].as_str().unwrap());
                        ours.ends_with(theirs)
                    }
                    _ => ours == theirs,
                };
                assert!(is_same, "{verb} {args} {config}: {ours:?}, {theirs:?}");
            }
        }
    }
}

#[test]
fn check_compares_gateways() {
    let result = call(OURS, "ADD", "", &dual()).unwrap();
    let check = |change: &dyn Fn(&mut Value)| {
        let mut config = dual();
        config["prevResult"] = result.clone();
        change(&mut config);
        [OURS, theirs()].map(|it| call(it, "CHECK", "", &config))
    };
    assert!(check(&|_| {}).iter().all(Result::is_ok));
    let [ours, theirs] =
        check(&|config| config["prevResult"]["ips"][0]["gateway"] = "10.1.2.7".into());
    assert!(theirs.is_err());
    let msg = "static: Failed to match addr of the configuration: \
               10.1.2.5/24 has the gateway 10.1.2.7";
    assert_eq!(ours.unwrap_err()["msg"], msg);
    // A later plugin may remove an address.
    let removed =
        check(&|config| drop(config["prevResult"]["ips"].as_array_mut().unwrap().remove(0)));
    assert!(removed.iter().all(Result::is_ok));
    let without = check(&|config| drop(config.as_object_mut().unwrap().remove("prevResult")));
    assert!(
        without.iter().all(|it| it.as_ref().unwrap_err()["msg"] == "Required prevResult missing")
    );
}

#[test]
fn an_address_of_two_sources_is_assigned_once() {
    let result = call(OURS, "ADD", "IP=10.1.2.5/24", &dual()).unwrap();
    assert_eq!(result, call(OURS, "ADD", "", &dual()).unwrap());
}

#[test]
fn a_gateway_of_the_other_family_is_an_error() {
    let config = ipam(json!({ "addresses": [{ "address": "10.1.2.5/24", "gateway": "fd00::1" }] }));
    let error = call(OURS, "ADD", "", &config).unwrap_err();
    assert_eq!(
        (&error["code"], &error["msg"]),
        (&json!(7), &json!("the gateway fd00::1 is of another family than 10.1.2.5/24"))
    );
    assert_eq!(call(OURS, "STATUS", "", &with(&json!({ "cniVersion": "1.1.0" }))), Ok(Value::Null));
    let mut config = config;
    config["cniVersion"] = "1.1.0".into();
    assert_eq!(call(OURS, "STATUS", "", &config).unwrap_err()["code"], 50);
    assert_eq!(call(OURS, "DEL", "A=B", &config), Ok(Value::Null));
    assert_eq!(
        call(OURS, "PLAN", "", &dual()).unwrap()["result"]["ips"][0]["address"],
        "10.1.2.5/24"
    );
}
