//! The verbs of a plugin that is a plan, seen from outside.

mod notes;

use notes::Network;
use serde_json::{Value, json};

const ADDRESS: &str = r#"{"cniVersion": "1.1.0", "ips": [{"address": "10.1.2.3/24", "gateway": "10.1.2.1"}],
    "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.1.2.1"], "search": ["a"]}}"#;

#[test]
fn add_check_del_and_nothing_is_left() {
    let network = Network::new().ipam_says(ADDRESS).added();
    assert_eq!(network.notes(), [("c1:eth0".to_owned(), "hello\n10.1.2.3/24\n".to_owned())]);
    let result = &network.config["prevResult"];
    assert_eq!(result["ips"][0]["interface"], 0);
    assert_eq!(result["interfaces"][0], json!({"name": "eth0", "sandbox": "/run/netns/none"}));
    assert_eq!(network.call("CHECK").ok(), "");
    assert_eq!(network.call("DEL").ok(), "");
    assert_eq!(network.notes(), []);
    assert_eq!(network.call("DEL").ok(), "");
    assert_eq!(network.ipam_commands(), "ADD CHECK DEL DEL");
}

#[test]
fn the_result_is_answered_in_kind() {
    let old = r#"{"ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1"}}"#;
    let network = Network::new().ipam_says(old).with("cniVersion", "0.2.0");
    let expected = json!({"cniVersion": "0.2.0", "dns": {},
        "ip4": {"ip": "10.1.2.3/24", "gateway": "10.1.2.1"}});
    assert_eq!(serde_json::from_str::<Value>(network.call("ADD").ok()).unwrap(), expected);
}

#[test]
fn an_ipam_result_without_a_version_has_that_of_the_configuration() {
    for version in ["", r#""cniVersion": "","#, r#""cniVersion": null,"#, r#""cniVersion": 1,"#] {
        let said = format!(r#"{{{version} "ips": [{{"address": "10.1.2.3/24"}}]}}"#);
        let network = Network::new().ipam_says(&said).added();
        assert_eq!(network.config["prevResult"]["ips"][0]["address"], "10.1.2.3/24", "{said}");
    }
    let other = r#"{"cniVersion": "0.2.0", "ips": [{"address": "10.1.2.3/24"}]}"#;
    assert!(Network::new().ipam_says(other).call("ADD").err().1.contains("result type supports"));
}

#[test]
fn the_configurations_dns_replaces_that_of_ipam() {
    let dns = |config: Value| {
        let network = Network::new().ipam_says(ADDRESS).with("dns", config).added();
        network.config["prevResult"]["dns"].clone()
    };
    assert_eq!(dns(json!({})), json!({"nameservers": ["10.1.2.1"], "search": ["a"]}));
    assert_eq!(dns(json!({"domain": ""})), json!({"nameservers": ["10.1.2.1"], "search": ["a"]}));
    assert_eq!(dns(json!({"domain": "b"})), json!({"domain": "b"}));
    assert_eq!(dns(json!({"SEARCH": []})), Value::Null);
}

#[test]
fn check_names_each_damage_and_repair_undoes_it() {
    let network = Network::new().ipam_says(ADDRESS).added();
    assert_eq!(network.call("REPAIR").ok(), "[]");
    std::fs::write(network.notes_folder().join("c1:eth0"), "bye").unwrap();
    let (code, msg, details) = network.call("CHECK").err();
    assert_eq!(
        (code, msg.as_str()),
        (999, "eth0 of container c1 on pods: 1 difference from what ADD made")
    );
    let path = network.notes_folder().join("c1:eth0");
    assert_eq!(
        details,
        format!("{} says \"bye\" instead of \"hello\\n10.1.2.3/24\\n\"", path.display())
    );
    let repaired: Vec<String> = serde_json::from_str(network.call("REPAIR").ok()).unwrap();
    assert_eq!(repaired, [details]);
    network.call("CHECK").ok();
}

#[test]
fn check_needs_a_prev_result_of_this_container() {
    let network = Network::new();
    network.call("CHECK").is_error(7, "Required prevResult missing");
    let other =
        json!({"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/other"}]});
    let (code, msg, _) = network.with("prevResult", other).call("CHECK").err();
    assert_eq!(code, 7);
    assert!(msg.contains("/other") && msg.contains("/run/netns/none"), "{msg}");
}

#[test]
fn only_the_addresses_of_the_attachment_are_compared() {
    let mut network = Network::new().ipam_says(ADDRESS).added();
    // A plugin later in the chain may have added these.
    let mut add = |list: &str, item: Value| {
        network.config["prevResult"][list].as_array_mut().unwrap().push(item);
    };
    add("interfaces", json!({"name": "cni0"}));
    add("interfaces", json!({"name": "eth1", "sandbox": "/run/netns/none"}));
    add("ips", json!({"address": "10.1.2.1/24", "interface": 1}));
    add("ips", json!({"address": "10.9.9.9/24", "interface": 2}));
    network.call("CHECK").ok();
}

#[test]
fn del_needs_neither_result_nor_namespace() {
    let network = Network::new();
    network.call("ADD").ok();
    network.call_with("DEL", &[("CNI_NETNS", "")], &network.config.to_string()).ok();
    assert_eq!(network.notes(), []);
}

#[test]
fn del_keeps_the_address_while_something_uses_it() {
    let network = Network::new().ipam_says(ADDRESS);
    // A folder in the note's place cannot be removed as a file, not even by root.
    std::fs::create_dir_all(network.notes_folder().join("c1:eth0")).unwrap();
    let (_, msg, _) = network.call("DEL").err();
    assert!(msg.starts_with("remove "), "{msg}");
    assert_eq!(network.ipam_commands(), "");
}

#[test]
fn a_failing_add_releases_the_address_and_reports_the_first_error() {
    let network = Network::new().ipam(&format!(
        "case $CNI_COMMAND in ADD) echo '{ADDRESS}';; DEL) echo broken >&2; exit 1;; esac"
    ));
    std::fs::create_dir_all(network.notes_folder().join("c1:eth0")).unwrap();
    let (code, msg, details) = network.call("ADD").err();
    assert_eq!(code, 5);
    assert!(msg.starts_with("make ") && msg.contains("File exists"), "{msg}");
    assert!(details.contains("broken"), "{details}");
    assert_eq!(network.ipam_commands(), "ADD DEL");
}

#[test]
fn adding_twice_fails_and_leaves_the_first_alone() {
    let network = Network::new();
    network.call("ADD").ok();
    let before = network.notes();
    let (_, msg, _) = network.call("ADD").err();
    assert!(msg.contains("File exists"), "{msg}");
    assert_eq!(network.notes(), before);
}

#[test]
fn a_result_that_the_version_cannot_express_fails_before_any_change() {
    let network = Network::new().with("cniVersion", "0.2.0");
    let (_, msg, _) = network.call("ADD").err();
    assert!(msg.ends_with("cannot convert: no valid IP addresses"), "{msg}");
    assert_eq!(network.notes(), []);
}

#[test]
fn the_error_of_an_ipam_plugin_passes_unchanged() {
    let error = r#"{"code": 11, "msg": "pool is locked", "details": "by pid 7"}"#;
    let network = Network::new().ipam(&format!("echo '{error}'; exit 1"));
    for verb in ["ADD", "DEL", "STATUS"] {
        let answer = network.call(verb).err();
        assert_eq!(answer, (11, "pool is locked".to_owned(), "by pid 7".to_owned()), "{verb}");
    }
    assert_eq!(network.notes(), []);
}

#[test]
fn an_ipam_plugin_that_lies_is_found_out_and_its_address_released() {
    let lies = [
        ("", "EOF"),
        ("null", "missing IP config"),
        ("hello", "did not answer with JSON"),
        ("[]", "invalid type: sequence"),
        (r#"{"cniVersion": "1.1.0"}"#, "missing IP config"),
        (r#"{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8"}}"#, "result type supports"),
        (r#"{"ips": [{"address": "0.0.0.0/0"}]}"#, "no address for a container"),
        (r#"{"ips": [{"address": "224.0.0.5/4"}]}"#, "no address for a container"),
        (r#"{"ips": [{"address": "10.0.0.5"}]}"#, "invalid CIDR address: 10.0.0.5"),
        (
            r#"{"ips": [{"address": "10.0.0.5/8", "gateway": "fd00::1"}]}"#,
            "gateway of another family",
        ),
        (r#"{"ips": [{"address": "10.0.0.5/8"}, {"address": "10.0.0.5/8"}]}"#, "twice"),
    ];
    for (answer, expected) in lies {
        let network = Network::new().ipam_says(answer);
        let (_, msg, _) = network.call("ADD").err();
        assert!(msg.contains(expected), "{answer}: {msg}");
        assert_eq!(network.ipam_commands(), "ADD DEL", "{answer}");
        assert_eq!(network.notes(), [], "{answer}");
    }
}

#[test]
fn an_ipam_plugin_that_hangs_is_killed_in_time() {
    let network = Network::new().ipam("exec sleep 1000");
    let config = network.config.to_string();
    let (code, msg, _) = network.call_with("ADD", &[("FERROCNI_TIMEOUT", "0.3")], &config).err();
    assert_eq!(code, 11);
    assert!(msg.contains("did not finish in time"), "{msg}");
    assert_eq!(network.notes(), []);
}

#[test]
fn the_ipam_type_is_a_name_that_has_to_be_found() {
    let of = |name: &str| Network::new().with("ipam", json!({"type": name})).call("ADD").err();
    assert!(of("../fake").1.ends_with("invalid plugin name: ../fake"));
    assert!(of("absent").1.contains("failed to find plugin \"absent\" in path"));
    let shape = Network::new().with("ipam", json!("fake")).call("ADD").err();
    assert_eq!(shape.0, 6);
    assert!(shape.1.contains("ipam: invalid type"), "{}", shape.1);
}

#[test]
fn gc_removes_attachments_that_neither_key_lists() {
    let valid = |container: &str| json!([{"containerID": container, "ifname": "eth0"}]);
    let network = Network::new()
        .ipam_says(ADDRESS)
        .with("cni.dev/valid-attachments", valid("c1"))
        .with("cni.dev/attachments", valid("c2"));
    for container in ["c1", "c2", "c3"] {
        let env = [("CNI_CONTAINERID", container)];
        network.call_with("ADD", &env, &network.config.to_string()).ok();
    }
    assert_eq!(network.call("GC").ok(), "");
    let names: Vec<String> = network.notes().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["c1:eth0", "c2:eth0"]);
    assert_eq!(network.ipam_commands(), "ADD ADD ADD GC");
}

#[test]
fn gc_without_a_list_removes_nothing_and_with_an_empty_one_everything() {
    let network = Network::new();
    network.call("ADD").ok();
    let answer = network.call("GC");
    assert_eq!(answer.ok(), "");
    assert!(answer.stderr.contains("nothing was removed"));
    assert_eq!(network.notes().len(), 1);
    let network = network.with("cni.dev/valid-attachments", json!([]));
    network.call("GC").ok();
    assert_eq!(network.notes(), []);
}

#[test]
fn malformed_valid_attachments_are_an_error_and_remove_nothing() {
    for list in [json!({}), json!([1]), json!([{"containerID": "../x", "ifname": "eth0"}])] {
        let network = Network::new();
        network.call("ADD").ok();
        let network = network.with("cni.dev/valid-attachments", list.clone());
        assert_eq!(network.call("GC").err().0, 6, "{list}");
        assert_eq!(network.notes().len(), 1);
    }
}

#[test]
fn verbs_that_an_ipam_plugin_does_not_know_are_no_objection() {
    let unknown = r#"{"code": 4, "msg": "unknown CNI_COMMAND: X"}"#;
    let network = Network::new()
        .ipam(&format!(
            "test $CNI_COMMAND = ADD && exec echo '{ADDRESS}'; echo '{unknown}'; exit 1"
        ))
        .with("cni.dev/valid-attachments", json!([]));
    // It is planned without the addresses, and that is said.
    let preview: Value = serde_json::from_str(network.call("PLAN").ok()).unwrap();
    let unknown = preview["unknown"].as_str().unwrap();
    assert!(unknown.contains("does not know PLAN"), "{unknown}");
    let network = network.added();
    for verb in ["STATUS", "REPAIR", "GC"] {
        network.call(verb).ok();
    }
}

#[test]
fn plan_shows_everything_and_makes_nothing() {
    let preview = format!(r#"{{"plan": null, "result": {ADDRESS}}}"#);
    let network = Network::new().ipam(&format!("echo '{preview}'"));
    let env = [("CNI_NETNS", "")];
    let answer = network.call_with("PLAN", &env, &network.config.to_string());
    let answer: Value = serde_json::from_str(answer.ok()).unwrap();
    assert_eq!(answer["plan"]["text"], "hello\n10.1.2.3/24\n");
    assert_eq!(answer["result"]["ips"][0]["address"], "10.1.2.3/24");
    assert_eq!((network.ipam_commands().as_str(), network.notes().len()), ("PLAN", 0));
}
