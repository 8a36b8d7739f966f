//! DEL and GC with any later configuration: every key of every schema, with invalid values.

use serde_json::{Map, Value, json};
use testbed::{Node, assert_same};

use super::{assert_no_new_neighbours, call, config, lasting, neighbours, on_a_node, used};

/// The keys of a schema, those of objects in the document too: `["ipam", "ranges"]`.
fn keys_of(schema: &Value) -> Vec<Vec<String>> {
    let named = |value: &Value| value["$ref"].as_str().map(|name| name.replace("#", ""));
    let resolve = |value: &Value| -> Value {
        let any = value["anyOf"].as_array().into_iter().flatten();
        let name = named(value).or_else(|| any.filter_map(named).next());
        name.map_or_else(|| value.clone(), |name| schema.pointer(&name).unwrap().clone())
    };
    let properties = |value: &Value| -> Map<String, Value> {
        value["properties"].as_object().cloned().unwrap_or_default()
    };
    let mut keys = Vec::new();
    for (key, value) in properties(schema) {
        keys.push(vec![key.clone()]);
        for (inner, value) in properties(&resolve(&value)) {
            keys.push(vec![key.clone(), inner.clone()]);
            let deepest = properties(&resolve(&value)).into_iter();
            keys.extend(deepest.map(|(deepest, _)| vec![key.clone(), inner.clone(), deepest]));
        }
    }
    keys
}

fn schema(plugin: &str) -> Value {
    let output =
        std::process::Command::new(testbed::binary(plugin)).arg("--schema").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Keys of the protocol.
fn common() -> Vec<Vec<String>> {
    let keys =
        ["dns", "dns.nameservers", "capabilities", "capabilities.mac", "args", "ipam", "ipam.type"];
    keys.map(|key| key.split('.').map(str::to_owned).collect()).to_vec()
}

/// Sets a key, whose parents become objects. Without a value, removes it.
fn set(config: &mut Value, path: &[String], value: Option<&Value>) {
    let (last, parents) = path.split_last().unwrap();
    let mut at = config;
    for parent in parents {
        if !at[parent.as_str()].is_object() {
            at[parent.as_str()] = json!({});
        }
        at = &mut at[parent.as_str()];
    }
    match value {
        Some(value) => at[last.as_str()] = value.clone(),
        None => drop(at.as_object_mut().unwrap().remove(last)),
    }
}

/// All keys of a plugin and of host-local, half of the values by DEL and half by GC.
fn try_keys(kind: &str) {
    let values = [
        Some(json!(-5)),
        Some(json!("sixteen-letters!")),
        Some(json!([{ "odd": [7] }])),
        Some(json!({ "odd": [7] })),
        None,
    ];
    let mut keys = [common(), keys_of(&schema(kind)), keys_of(&schema("host-local"))].concat();
    keys.sort();
    keys.dedup();
    assert!(
        keys.len() > 20 && keys.contains(&vec!["ipam".to_owned(), "ranges".to_owned()]),
        "{keys:?}"
    );
    on_a_node(|node| {
        let config = config(kind, json!({}));
        used(node, &config);
        for (number, (key, value)) in
            keys.iter().flat_map(|key| values.iter().map(move |value| (key, value))).enumerate()
        {
            let by_gc = (number + number / values.len()).is_multiple_of(2);
            try_key(node, &config, key, value.as_ref(), by_gc);
        }
    });
}

fn try_key(node: &Node, config: &Value, key: &[String], value: Option<&Value>, by_gc: bool) {
    let (before, known) = (lasting(node), neighbours(node));
    let pod = node.pod("c");
    let good = call(node, config, &pod);
    let result = good.add().ok();
    let mut later = config.clone();
    set(&mut later, key, value);
    let call = good.clone().conf(&later).prev(&result);
    let list = json!([{ "containerID": "keep", "ifname": "eth0" }]);
    let outcome = match by_gc {
        true => call.key("cni.dev/valid-attachments", list).gc(),
        false => call.del(),
    };
    let what = format!("{}: {value:?}\n{outcome}", key.join("."));
    let is_needed = key == ["ipam", "dataDir"] && value.is_some();
    // Another host may have a plugin with this name.
    let is_unknown = by_gc && key == ["ipam", "type"] && value == Some(&json!("sixteen-letters!"));
    if is_needed || is_unknown {
        let (_, msg, _) = outcome.err();
        let named = if is_needed { "dataDir" } else { "sixteen-letters!" };
        assert!(msg.contains(named), "{what}");
    } else {
        outcome.ok();
    }
    if is_needed {
        let left = node.sh("ip link; nft list ruleset");
        assert!(!pod.sh("ip link").contains("eth0") && !left.contains("pods/c/"), "{what}\n{left}");
        good.del().ok();
    }
    node.delete(&pod);
    assert_same!(before, lasting(node), "{what}");
    assert_no_new_neighbours(&known, node, &what);
}

#[test]
fn whatever_the_keys_of_a_bridge_say() {
    try_keys("bridge");
}

#[test]
fn whatever_the_keys_of_a_routed_veth_pair_are() {
    try_keys("ptp");
}

#[test]
fn whatever_the_keys_of_macvlan_say() {
    try_keys("macvlan");
}

/// DEL reports what it ignores.
#[test]
fn an_ignored_key_is_named_once() {
    let node = Node::new();
    let pod = node.pod("c");
    let config = config("bridge", json!({}));
    call(&node, &config, &pod).add().ok();
    let later = super::config("bridge", json!({ "mtu": -5, "bridge": "sixteen-letters0" }));
    let outcome = call(&node, &later, &pod).del();
    outcome.ok();
    for key in ["mtu", "bridge"] {
        let said = outcome.stderr.matches(&format!("ignores a key: {key}:")).count();
        assert_eq!(said, 1, "{outcome}");
    }
}

/// Without the name DEL cannot find anything.
#[test]
fn missing_keys_are_named() {
    let node = Node::new();
    let pod = node.pod("c");
    let config = config("bridge", json!({}));
    for (key, value, words) in [
        ("name", json!(5), "name is 5, not a string"),
        ("name", json!("../x"), "network name"),
        ("ipam", json!({ "type": "host-local", "dataDir": 5 }), "ipam.dataDir"),
        (
            "ipam",
            json!({ "type": "host-local", "dataDir": "../x" }),
            "dataDir has to be an absolute path",
        ),
    ] {
        let (_, msg, _) = call(&node, &config, &pod).key(key, value).del().err();
        assert!(msg.contains(words), "{msg}");
    }
}

/// The same for host-local as a process of its own, which is how other plugins call it.
#[test]
fn whatever_the_keys_of_host_local_say() {
    let node = Node::new();
    let config = config("bridge", json!({}));
    let mut keys = [common(), keys_of(&schema("host-local"))].concat();
    keys.sort();
    keys.dedup();
    let values = [json!(-5), json!("sixteen-letters!"), json!([{ "odd": [7] }])];
    for (key, value) in keys.iter().flat_map(|key| values.iter().map(move |value| (key, value))) {
        for verb in ["DEL", "GC"] {
            let call = node.plugin("host-local").conf(&config).container("c");
            let call = call.env("CNI_NETNS", "/run/netns/none");
            call.add().ok();
            let mut later = config.clone();
            set(&mut later, key, Some(value));
            let outcome =
                call.clone().conf(&later).key("cni.dev/valid-attachments", json!([])).raw(verb);
            if key == &["ipam", "dataDir"] {
                let (_, msg, _) = outcome.err();
                assert!(msg.contains("dataDir"), "{msg}");
                call.del().ok();
            } else {
                outcome.ok();
            }
            let left = node.sh("ls /var/lib/cni/networks/pods");
            assert!(
                !left.contains("10.1.2.") && !left.contains("fd00:"),
                "{key:?}: {value} {left}"
            );
        }
    }
}
