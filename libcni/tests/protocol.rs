//! What a plugin says to a runtime that gets something wrong, and to a person: codes, texts and
//! their order.

mod notes;

use std::process::Stdio;

use notes::{Network, run};
use serde_json::{Value, json};

/// A call with one thing about its environment changed.
fn with_env(verb: &str, env: &[(&str, &str)]) -> notes::Answer {
    let network = Network::new();
    network.call_with(verb, env, &network.config.to_string())
}

/// ADD with something else on stdin.
fn with_stdin(stdin: &str) -> notes::Answer {
    Network::new().call_with("ADD", &[], stdin)
}

#[test]
fn required_variables_are_reported_together_in_order() {
    let none = [("CNI_CONTAINERID", ""), ("CNI_NETNS", ""), ("CNI_IFNAME", ""), ("CNI_PATH", "")];
    for (verb, missing) in [
        ("ADD", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("CHECK", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("REPAIR", "CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH"),
        ("DEL", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"),
        ("PLAN", "CNI_CONTAINERID,CNI_IFNAME,CNI_PATH"),
        ("GC", "CNI_PATH"),
        ("STATUS", "CNI_PATH"),
    ] {
        let msg = format!("required env variables [{missing}] missing");
        with_env(verb, &none).is_error(4, &msg);
    }
    with_env("ADD", &[("CNI_IFNAME", "")])
        .is_error(4, "required env variables [CNI_IFNAME] missing");
}

#[test]
fn a_malformed_variable_beats_missing_ones() {
    let answer = with_env("ADD", &[("CNI_CONTAINERID", "../../etc"), ("CNI_NETNS", "")]).err();
    let named = "CNI_CONTAINERID=\"../../etc\"".to_owned();
    assert_eq!(answer, (4, "invalid characters in containerID".to_owned(), named));
    let ifname = |name: &str| with_env("DEL", &[("CNI_IFNAME", name)]).err();
    assert_eq!(
        ifname("a-very-long-name"),
        (
            4,
            "interface name is too long".to_owned(),
            "interface name should be less than 16 characters\nCNI_IFNAME=\"a-very-long-name\""
                .to_owned()
        )
    );
    assert_eq!(ifname("..").1, "interface name is . or ..");
    for name in ["a/b", "a:b", "a b", "a\u{2003}b"] {
        assert_eq!(ifname(name).1, "interface name contains / or : or whitespace characters");
    }
    with_env("STATUS", &[("CNI_CONTAINERID", "../x")]).ok();
}

#[test]
fn the_network_needs_a_name_that_is_safe_in_a_path() {
    let named = |name: Value| Network::new().with("name", name).call("ADD");
    named(Value::Null).is_error(7, "missing network name");
    named(json!("")).is_error(7, "missing network name");
    let (code, msg, details) = named(json!("../../etc")).err();
    assert_eq!((code, msg.as_str()), (7, "invalid characters found in network name"));
    assert_eq!(details, "../../etc");
    let (code, msg, _) = named(json!(5)).err();
    assert!(code == 6 && msg.starts_with("error unmarshall network config: "), "{msg}");
}

#[test]
fn stdin_that_is_no_configuration_is_refused() {
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let huge = format!("{{\"name\": \"{}\"}}", "x".repeat(10_000_000));
    for stdin in ["", "{", "{\"name\": \"pods\"", "[]", "null", "5", "{} {}", &deep, &huge] {
        let (code, msg, _) = with_stdin(stdin).err();
        assert_eq!(code, 6, "{msg}");
        assert!(msg.starts_with("error unmarshall network config: "), "{msg}");
    }
    let network = Network::new();
    let mut command = network.command();
    command.envs([("CNI_COMMAND", "STATUS"), ("CNI_PATH", "/x")]);
    let (code, msg, _) = run(command, b"{\"name\": \"\xff\"}").err();
    assert!(code == 6 && msg.contains("utf-8"), "{msg}");
}

#[test]
fn of_duplicate_keys_the_last_wins_and_case_does_not_matter() {
    let stdin =
        r#"{"NAME": "x", "name": "/", "name": "pods", "CniVersion": "1.1.0", "Remark": "hi"}"#;
    let network = Network::new();
    network.call_with("ADD", &[], stdin).ok();
    assert_eq!(network.notes(), [("c1:eth0".to_owned(), "hi\n".to_owned())]);
}

#[test]
fn wrong_types_are_named() {
    let wrong = |key: &str, value: Value| {
        let (code, msg, _) = Network::new().with(key, value).call("ADD").err();
        assert_eq!(code, 6, "{msg}");
        msg
    };
    assert_eq!(
        wrong("remark", json!(5)),
        "failed to load netconf: remark: invalid type: integer `5`, expected a string"
    );
    assert!(wrong("dns", json!({"search": "a"})).contains("dns.search: invalid type"));
    assert!(wrong("capabilities", json!({"mac": 1})).contains("capabilities.mac: invalid type"));
    assert!(wrong("cniVersion", json!(1)).contains("1 is not a string"));
}

#[test]
fn unknown_verbs_are_refused_after_stdin() {
    with_env("add", &[]).is_error(4, "unknown CNI_COMMAND: add");
    let (code, ..) = Network::new().call_with("EXPLODE", &[], "").err();
    assert_eq!(code, 6);
    Network::new().call_with("EXPLODE", &[], "{}").is_error(7, "missing network name");
}

#[test]
fn versions_are_checked_by_verb() {
    let of = |verb: &str, version: &str| Network::new().with("cniVersion", version).call(verb);
    for verb in ["ADD", "DEL"] {
        let (code, msg, details) = of(verb, "9.9.9").err();
        assert_eq!((code, msg.as_str()), (1, "incompatible CNI versions"));
        assert_eq!(
            details,
            "config is \"9.9.9\", plugin supports [\"0.1.0\" \"0.2.0\" \"0.3.0\" \"0.3.1\" \"0.4.0\" \
             \"1.0.0\" \"1.1.0\"]"
        );
    }
    of("CHECK", "0.3.1").is_error(1, "config version does not allow CHECK");
    of("REPAIR", "0.3.1").is_error(1, "config version does not allow REPAIR");
    of("GC", "1.0.0").is_error(1, "config version does not allow GC");
    of("STATUS", "0.4.0").is_error(1, "config version does not allow STATUS");
    of("CHECK", "2.0.0").is_error(1, "plugin version does not allow CHECK");
    of("CHECK", "0.4.1").is_error(1, "incompatible CNI versions");
    assert_eq!(of("CHECK", "1.x").err().0, 6);
    assert_eq!(of("CHECK", "1.0.0.0").err().0, 6);
    of("DEL", "").ok();
}

#[test]
fn version_reads_nothing_and_answers_in_one_line() {
    let network = Network::new();
    let mut command = network.command();
    command.env("CNI_COMMAND", "VERSION");
    let answer = run(command, b"this is not JSON");
    assert_eq!(
        answer.ok(),
        "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\
         \"1.0.0\",\"1.1.0\"]}\n"
    );
}

#[test]
fn a_person_gets_an_explanation() {
    let network = Network::new();
    let by_hand = |args: &[&str]| {
        let mut command = network.command();
        command.args(args);
        run(command, b"")
    };
    let about = by_hand(&[]);
    assert_eq!(about.ok(), "");
    assert!(about.stderr.starts_with("CNI notes plugin v0.3.2\n"), "{}", about.stderr);
    assert!(about.stderr.contains(
        "\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n"
    ));
    assert!(by_hand(&["--help"]).ok().contains("remark  string"));
    let schema: Value = serde_json::from_str(by_hand(&["--schema"]).ok()).unwrap();
    assert_eq!(schema["properties"]["remark"]["type"], "string");
    assert!(by_hand(&["--version"]).ok().contains("1.1.0"));
    by_hand(&["--frobnicate"]).is_error(4, "unknown option --frobnicate");
}

#[test]
fn the_hosts_own_namespace_is_refused_before_anything_is_done() {
    let own = "/proc/self/ns/net";
    let network = Network::new().ipam_says("{}");
    let answer = network.call_with("ADD", &[("CNI_NETNS", own)], &network.config.to_string());
    answer.is_error(8, "plugin's netns and netns from CNI_NETNS should not be the same");
    assert_eq!(network.ipam_commands(), "");
    let meant = [("CNI_NETNS", own), ("CNI_NETNS_OVERRIDE", "True")];
    with_env("ADD", &meant).ok();
}

/// A /proc/PID path may lead to the host's namespace by the time of DEL.
#[test]
fn del_goes_on_without_the_hosts_own_namespace() {
    let network = Network::new().ipam(
        "[ $CNI_COMMAND != DEL ] || echo \"netns=$CNI_NETNS.\" >> \
         $0.log; echo '{\"cniVersion\": \"1.1.0\", \"ips\": [{\"address\": \"10.1.2.3/24\"}]}'",
    );
    let network = network.added();
    let own = [("CNI_NETNS", "/proc/self/ns/net")];
    let answer = network.call_with("DEL", &own, &network.config.to_string());
    assert_eq!(answer.ok(), "");
    assert_eq!(answer.stderr.matches("own network namespace").count(), 1, "{}", answer.stderr);
    assert_eq!(network.notes(), []);
    assert_eq!(network.ipam_commands(), "ADD DEL netns=.");
}

#[test]
fn del_and_gc_ignore_keys_that_cannot_be_read_and_say_so() {
    for verb in ["DEL", "GC"] {
        for (key, value) in [
            ("remark", json!(5)),
            ("dns", json!("x")),
            ("dns", json!({"search": "a"})),
            ("capabilities", json!([])),
            ("capabilities", json!({"mac": 1})),
            ("ipam", json!(5)),
            ("ipam", json!({"type": 5})),
            ("prevResult", json!(5)),
        ] {
            let network = Network::new();
            network.call("ADD").ok();
            let network = network.with("cni.dev/valid-attachments", json!([])).with(key, value);
            let answer = network.call(verb);
            assert_eq!(answer.ok(), "");
            assert!(answer.stderr.contains(key), "{verb} {key}: {}", answer.stderr);
            assert_eq!(network.notes(), [], "{verb} {key}");
        }
    }
}

/// A list that cannot be read does not count as empty.
#[test]
fn gc_with_a_list_that_cannot_be_read_removes_nothing() {
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        for value in [json!(5), json!([{"containerID": "c1"}]), json!([5])] {
            let network = Network::new();
            network.call("ADD").ok();
            let network = network.with(key, value);
            let (code, msg, _) = network.call("GC").err();
            assert_eq!(code, 6);
            assert!(msg.contains(key), "{msg}");
            assert_eq!(network.notes().len(), 1);
        }
    }
}

#[test]
fn cni_args_are_read_only_by_plugins_that_use_them() {
    with_env("ADD", &[("CNI_ARGS", "A=B=C;;K8S_POD_NAME")]).ok();
}

#[test]
fn a_prev_result_of_another_version_or_shape_is_refused_except_by_del() {
    let wrong = [
        json!({"cniVersion": "0.2.0"}),
        json!({"cniVersion": "", "ips": []}),
        json!({"cniVersion": "1.1.0", "ips": 5}),
        json!("x"),
        json!([]),
    ];
    for prev in wrong {
        let network = Network::new().with("prevResult", prev.clone());
        let (code, msg, _) = network.call("ADD").err();
        assert_eq!(code, 6, "{msg}");
        assert!(msg.starts_with("could not parse prevResult: "), "{msg}");
        assert!(network.call("DEL").stderr.contains("could not parse prevResult"), "{prev}");
        network.call("DEL").ok();
    }
    Network::new().with("prevResult", json!({})).call("ADD").ok();
}

#[test]
fn errors_are_printed_as_the_reference_prints_them_and_with_their_version() {
    let answer = with_env("ADD", &[("CNI_CONTAINERID", "<a&b>")]);
    assert_eq!(
        answer.stdout,
        "{\n    \"cniVersion\": \"1.1.0\",\n    \"code\": 4,\n    \
         \"msg\": \"invalid characters in containerID\",\n    \
         \"details\": \"CNI_CONTAINERID=\\\"\\u003ca\\u0026b\\u003e\\\"\"\n}"
    );
}

#[test]
fn an_error_has_the_version_of_the_configuration() {
    let version = |text: &str| {
        let network = Network::new().with("cniVersion", json!(text)).with("prevResult", json!(5));
        let error: Value = serde_json::from_str(&network.call("ADD").stdout).unwrap();
        error["cniVersion"].clone()
    };
    assert_eq!(version("0.4.0"), "0.4.0");
    assert_eq!(version("9.0.0"), "1.1.0");
}

#[test]
fn a_wrong_timeout_is_an_error() {
    with_env("ADD", &[("FERROCNI_TIMEOUT", "soon")])
        .is_error(4, "FERROCNI_TIMEOUT is not a positive number of seconds");
}

#[test]
fn an_add_that_cannot_answer_is_undone() {
    let network =
        Network::new().ipam_says(r#"{"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.2/16"}]}"#);
    let mut command = network.command();
    command.envs([("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")]);
    command.env("CNI_NETNS", "/run/netns/none").env("CNI_PATH", network.bin());
    let config = network.bin().join("config");
    std::fs::write(&config, network.config.to_string()).unwrap();
    command.stdin(std::fs::File::open(config).unwrap());
    command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "cannot write the answer: No space left on device (os error 28)\n");
    assert_eq!((network.notes(), network.ipam_commands().as_str()), (vec![], "ADD DEL"));
}

#[test]
fn an_unread_output_is_a_failure() {
    let network = Network::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = network.command();
    command.env("CNI_COMMAND", "VERSION").stdin(Stdio::null()).stdout(writer);
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("cannot write the answer: Broken pipe"), "{stderr}");
}
