//! What a configuration must have depends on its location: a file of its own, the folder of a
//! chain, or a Kubernetes object.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{Bed, Run};

const TUNING: &str = r#"{ "type": "tuning", "sysctl": { "net.core.somaxconn": "500" } }"#;
const SHIM: &str = r#"{ "cniVersion": "1.0.0", "name": "multus-cni-network", "type": "multus-shim",
    "auxiliaryCNIChainName": "vendor-cni-chain" }"#;
const PODS: &str = r#"{ "cniVersion": "1.0.0", "name": "pods", "plugins": [
    { "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" } }] }"#;

fn clean(bed: &Bed, args: &[&str], files: &str) {
    let run = bed.lint(&[&["--no-host"], args].concat());
    assert_eq!((run.status, &*run.stdout), (Some(0), files), "{args:?}: {}", run.stderr);
}

/// Runs `cnitool lint` with this standard input.
fn piped(bed: &Bed, text: &str, more: &[&str]) -> Run {
    let mut command = bed.command(&[&["--no-host", "-"], more].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Multus reads them from the folder with the chain's name, beside the file of the cluster's
/// network.
#[test]
fn plugins_of_a_chain_need_no_name_and_no_interface() {
    let bed = Bed::new();
    bed.write("net.d/10-pods.conflist", PODS);
    bed.write("net.d/vendor-cni-chain/10-tuning.conf", TUNING);
    bed.write("net.d/vendor-cni-chain/20-more.conf", TUNING.replace("somaxconn", "optmem_max"));
    clean(&bed, &["net.d/vendor-cni-chain"], "2 files, all clean\n");
    clean(&bed, &["net.d/vendor-cni-chain/10-tuning.conf"], "1 file, clean\n");
    clean(&bed, &["net.d"], "1 file, clean\n");
    // Where the Multus configuration names the chain, `lint` checks the chain too.
    bed.write("net.d/10-pods.conflist", "");
    std::fs::remove_file(bed.path("net.d/10-pods.conflist")).unwrap();
    bed.write("net.d/00-multus.conf", SHIM);
    clean(&bed, &["net.d"], "3 files, all clean\n");
    bed.write(
        "net.d/vendor-cni-chain/20-more.conf",
        TUNING.replace("sysctl\"", "sysctl\": 1, \"type\""),
    );
    let run = bed.lint(&["--no-host", "net.d"]);
    assert!(run.stdout.contains("net.d/vendor-cni-chain/20-more.conf:1:"), "{}", run.stdout);
}

#[test]
fn elsewhere_the_same_files_are_mistakes() {
    let bed = Bed::new();
    bed.write("alone/10-tuning.conf", TUNING);
    bed.write("package.json", r#"{ "name": "something" }"#);
    let run = bed.lint(&["--no-host", "alone"]);
    assert_eq!(run.status, Some(1));
    assert!(run.stdout.contains("\"name\" is missing"), "{}", run.stdout);
    assert!(run.stdout.contains("tuning cannot be the first plugin"), "{}", run.stdout);
}

fn attachment(name: &str, config: &str) -> Value {
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": { "name": name, "namespace": "default" }, "spec": { "config": config },
    })
}

const LAN: &str = r#"{ "cniVersion": "1.0.0", "type": "macvlan", "master": "eth0",
    "ipam": { "type": "host-local", "subnet": "192.168.1.0/24" } }"#;

/// Multus gives the network the name of its object.
#[test]
fn a_network_attachment_definition_needs_no_name() {
    let bed = Bed::new();
    let list =
        format!(r#"{{ "cniVersion": "1.0.0", "plugins": [{LAN}, {{ "type": "tuning" }}] }}"#);
    let list = list.replacen("192.168.1", "192.168.2", 1);
    for (text, files) in [
        (attachment("lan", LAN), "1 file, clean\n"),
        (attachment("lan", &list), "1 file, clean\n"),
        (attachment("on-the-node", ""), "no network configurations\n"),
        (
            json!({ "apiVersion": "v1", "kind": "List", "items": [
                attachment("lan", LAN), attachment("chain", &list), { "kind": "Pod", "spec": {} },
            ] }),
            "2 files, all clean\n",
        ),
    ] {
        bed.write("nad.json", text.to_string());
        clean(&bed, &["nad.json"], files);
        let run = piped(&bed, &text.to_string(), &[]);
        assert_eq!((run.status, &*run.stdout), (Some(0), files), "{}", run.stderr);
    }
}

/// As people write them.
const YAML: &str = r#"# The networks of the cluster.
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: lan
  annotations: {k8s.v1.cni.cncf.io/resourceName: intel.com/x}
spec:
  config: |
    {
      "cniVersion": "1.0.0",
      "type": "macvlan",
      "mastre": "eth0",
      "ipam": { "type": "host-local", "subnet": "192.168.1.0/24" }
    }
---
apiVersion: "k8s.cni.cncf.io/v1"
kind: NetworkAttachmentDefinition
metadata: { name: wan, namespace: edge }
spec:
  config: '{ "cniVersion": "1.0.0", "type": "ptp", "ipam": { "type": "host-local", "subnet": "192.168.2.7/24" } }'
---
apiVersion: v1
kind: Pod
metadata: { name: web }
"#;

#[test]
fn network_attachment_definitions_can_be_yaml() {
    let bed = Bed::new();
    bed.write("nads.yaml", YAML);
    bed.write("folder/nads.yml", YAML);
    bed.write("folder/other.yaml", "kind: Pod\n");
    bed.write("folder/words.yaml", "about: NetworkAttachmentDefinition\n");
    for (run, from) in [
        (bed.lint(&["--no-host", "nads.yaml"]), "nads.yaml"),
        (bed.lint(&["--no-host", "folder"]), "folder/nads.yml"),
        (piped(&bed, YAML, &[]), "standard input"),
    ] {
        assert_eq!(run.status, Some(1), "{from}: {}", run.stdout);
        for said in [
            format!("--> {from}, lan:4:3"),
            "did you mean \"master\"?".to_owned(),
            format!("--> {from}, edge/wan:1:"),
            "192.168.2.7/24 is an address in a subnet".to_owned(),
            "2 files: 1 error, 1 warning".to_owned(),
        ] {
            assert!(run.stdout.contains(&said), "{said}\n{}", run.stdout);
        }
    }
    let right = YAML.replace("mastre", "master").replace("2.7", "2.0");
    bed.write("nads.yaml", &right);
    clean(&bed, &["nads.yaml"], "2 files, all clean\n");
    bed.write("nads.yaml", right.replace("metadata: {", "metadata: [{"));
    let run = bed.lint(&["--no-host", "nads.yaml"]);
    assert_eq!(run.status, Some(1));
    assert!(
        run.stdout.contains("this is not YAML") && run.stdout.contains("--> nads.yaml:19:1"),
        "{}",
        run.stdout
    );
}

#[test]
fn mistakes_in_network_attachment_definitions_are_found_where_they_are() {
    let bed = Bed::new();
    let wrong = LAN.replace("master", "mastre").replace("\"192.168.1.0/24\"", "\"192.168.1.7/24\"");
    let items =
        json!([attachment("lan", LAN), attachment("wrong", &wrong), attachment("text", "macvlan")]);
    let text = json!({ "kind": "List", "items": items }).to_string();
    let run = piped(&bed, &text, &[]);
    assert_eq!(run.status, Some(1));
    for said in [
        "--> standard input, default/wrong:1:",
        "--> standard input, default/wrong:2:47",
        "192.168.1.7/24 is an address in a subnet",
        "did you mean \"master\"?",
        "--> standard input, default/text:1:1",
        // Conflicts are reported by the names of their objects.
        "the network \"lan\" assigns the same addresses",
        "3 files, 1 clean: ",
    ] {
        assert!(run.stdout.contains(said), "{said}\n{}", run.stdout);
    }
    // A name in the configuration replaces the object's, and `lint` checks it.
    let named = LAN.replace("\"type\": \"macvlan\"", "\"name\": \"a/b\", \"type\": \"macvlan\"");
    let list = format!(r#"{{ "cniVersion": "1.0.0", "name": "a/b", "plugins": [{LAN}] }}"#);
    for config in [named, list] {
        let run = piped(&bed, &attachment("lan", &config).to_string(), &[]);
        assert!(run.stdout.contains("cannot be the name of a network"), "{}", run.stdout);
    }
}

#[test]
fn standard_input_can_be_a_network() {
    let bed = Bed::new();
    let single = LAN.replacen("\"type\"", "\"name\": \"lan\", \"type\"", 1);
    for text in [PODS, &single] {
        let run = piped(&bed, text, &[]);
        assert_eq!((run.status, &*run.stdout), (Some(0), "1 file, clean\n"), "{}", run.stderr);
    }
    let run = piped(&bed, &PODS.replace("bridge", "brigde"), &[]);
    assert!(run.stdout.contains("--> standard input:2:15"), "{}", run.stdout);
    let run = piped(&bed, LAN, &[]);
    assert!(run.stdout.contains("\"name\" is missing"), "{}", run.stdout);
    let run = piped(&bed, "", &[]);
    assert_eq!(run.status, Some(1));
    let run = piped(&bed, "{", &["--json"]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(found[0]["file"], "standard input");
}

/// The keys that podman adds to a list.
#[test]
fn podmans_args_are_right() {
    let bed = Bed::new();
    let args = r#""args": { "podman_labels": { "a": "b" }, "podman_options": {} }, "plugins""#;
    bed.write("87-podman.conflist", PODS.replace("\"plugins\"", args));
    clean(&bed, &["87-podman.conflist"], "1 file, clean\n");
    bed.write("87-podman.conflist", PODS.replace("\"plugins\"", "\"args\": 1, \"plugins\""));
    let run = bed.lint(&["--no-host", "87-podman.conflist"]);
    assert!(run.stdout.contains("args: expected an object"), "{}", run.stdout);
}

/// A capability that a plugin does not have is reported, also for a plugin of the reference suite.
#[test]
fn capabilities_that_a_plugin_does_not_have() {
    let bed = Bed::new();
    let with = |plugin: &str| PODS.replace("}] }", &format!("}}, {plugin}] }}"));
    for (plugin, capability, help) in [
        (
            r#"{ "type": "portmap", "capabilities": { "portMappings": true, "snat": true } }"#,
            "portmap has no such capability",
            "it is a key of portmap: write it beside \"type\"",
        ),
        (
            r#"{ "type": "portmap", "capabilities": { "portMappings": true, "aliases": true } }"#,
            "portmap has no such capability",
            "its capabilities: portMappings",
        ),
        (
            r#"{ "type": "bandwidth", "capabilities": { "bandwith": true } }"#,
            "bandwidth has no such capability",
            "did you mean \"bandwidth\"?",
        ),
        (
            r#"{ "type": "firewall", "capabilities": { "mac": true } }"#,
            "firewall has no such capability",
            "remove it: the plugin has none",
        ),
        (
            r#"{ "type": "tuning", "capabilities": { "sysctl": true } }"#,
            "tuning has no such capability",
            "it is a key of tuning",
        ),
    ] {
        bed.write("pods.conflist", with(plugin));
        for path in [&["--no-host"][..], &["--no-host", "--path", "plugins:reference"]] {
            let run = bed.lint(&[path, &["pods.conflist"]].concat());
            for said in [capability, help] {
                assert!(run.stdout.contains(said), "{plugin}: {said}\n{}", run.stdout);
            }
        }
    }
    for plugin in [
        r#"{ "type": "portmap", "capabilities": { "portMappings": true, "snat": false }, "snat": true }"#,
        r#"{ "type": "tuning", "capabilities": { "mac": true } }"#,
        r#"{ "type": "cilium-cni", "capabilities": { "snat": true } }"#,
    ] {
        bed.write("pods.conflist", with(plugin));
        clean(&bed, &["pods.conflist"], "1 file, clean\n");
    }
}
