//! The command itself: what it looks at, what it prints, how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::Bed;

const GOOD: &str = r#"{ "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" } }"#;

#[test]
fn the_configuration_folder_is_looked_at_unless_something_else_is_named() {
    let bed = Bed::new();
    bed.write("net.d/10-pods.conf", GOOD);
    bed.write("other/20-more.conf", GOOD.replace("bridge", "brigde"));
    let run = |args: &[&str]| {
        let mut command = bed.command(args);
        command.env("NETCONFPATH", "net.d").env("CNI_PATH", "plugins").arg("--no-host");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&[]), (Some(0), "1 file, clean\n".to_owned()));
    let (status, text) = run(&["--conf-dir", "other"]);
    assert!(status == Some(1) && text.contains("other/20-more.conf:1:"), "{text}");
    assert_eq!(run(&["other/20-more.conf", "net.d"]).0, Some(1));
    assert_eq!(run(&["net.d/10-pods.conf"]), (Some(0), "1 file, clean\n".to_owned()));
    fs::remove_file(bed.path("net.d/10-pods.conf")).unwrap();
    assert_eq!(run(&[]), (Some(0), "no network configurations\n".to_owned()));
}

#[test]
fn unreadable_paths_are_errors() {
    let bed = Bed::new();
    let run = bed.lint(&["nowhere"]);
    assert_eq!((run.status, &*run.stdout), (Some(1), ""));
    assert!(run.stderr.contains("read nowhere: No such file"), "{}", run.stderr);
    let run = bed.lint(&["--all"]);
    assert!(run.stderr.starts_with("cnitool: lint: --all"), "{}", run.stderr);
    let output = bed.command(&[]).arg("--help").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("--no-host"));
}

#[test]
fn warnings_count_if_it_is_strict() {
    let bed = Bed::new();
    bed.write(
        "pods.conf",
        GOOD.replace("\"type\": \"bridge\"", "\"type\": \"bridge\", \"mut\": 1400"),
    );
    assert_eq!(bed.lint(&["--no-host", "pods.conf"]).status, Some(0));
    assert_eq!(bed.lint(&["--no-host", "--strict", "pods.conf"]).status, Some(1));
}

#[test]
fn programs_get_json() {
    let bed = Bed::new();
    bed.write(
        "pods.conf",
        GOOD.replace("\"type\": \"bridge\"", "\"type\": \"bridge\",\n \"mut\": 1400"),
    );
    let run = bed.lint(&["--no-host", "--json", "pods.conf"]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = serde_json::json!([{
        "severity": "warning", "rule": "unknown-key", "file": "pods.conf", "line": 2, "column": 2, "endLine": 2,
        "endColumn": 7, "path": "mut", "message": "bridge does not know this key here", "label": "did you mean \"mtu\"?",
        "why": "unknown keys are ignored without an error",
        "help": "mtu: The largest packet, in bytes, of the veth pair, and of the bridge when it \
         is made. 0 leaves it to the kernel.",
        "related": []
    }]);
    assert_eq!(found, expected);
    bed.write("pods.conf", GOOD);
    assert_eq!(bed.lint(&["--no-host", "--json", "pods.conf"]).stdout, "[]\n");
}

/// Without `--path`, a machine that has no plugins can look at the files of one that has.
#[test]
fn plugins_are_not_looked_for_without_the_host() {
    let bed = Bed::new();
    bed.write("pods.conf", GOOD);
    assert_eq!(bed.lint(&["--no-host", "pods.conf"]).stdout, "1 file, clean\n");
    let run = bed.lint(&["--no-host", "--path", "nowhere", "pods.conf"]);
    assert!(run.stdout.contains("searched in nowhere (no such folder)"), "{}", run.stdout);
    bed.write("pods.conf", GOOD.replace("bridge", "brigde"));
    let run = bed.lint(&["--no-host", "pods.conf"]);
    assert!(run.stdout.contains("did you mean \"bridge\"?"), "{}", run.stdout);
}

fn script(bed: &Bed, name: &str, body: &str) {
    bed.write(&format!("own/{name}"), format!("#!/bin/sh\n{body}\n"));
    fs::set_permissions(bed.path(&format!("own/{name}")), fs::Permissions::from_mode(0o755))
        .unwrap();
}

/// Plugins of others: what they say of themselves is believed, and no verb is tried that they may
/// not know.
#[test]
fn plugins_speak_for_themselves() {
    const VERSIONS: &str = r#"echo "$CNI_COMMAND $1" >>own/log
        [ "$CNI_COMMAND" = VERSION ] && echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}' && exit"#;
    let bed = Bed::new();
    script(
        &bed,
        "mine",
        &format!("{VERSIONS}\n[ \"$1\" = --schema ] && cat own/schema && exit\nexit 1"),
    );
    bed.write(
        "own/schema",
        r#"{ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
             "properties": { "speed": { "type": "integer", "maximum": 9 } } }"#,
    );
    let mine = r#"{ "cniVersion": "1.0.0", "name": "n", "type": "mine", "spede": 3, "speed": 10 }"#;
    bed.write("mine.conf", mine);
    let run = bed.lint(&["--no-host", "--path", "own", "mine.conf"]);
    assert!(run.stdout.contains("did you mean \"speed\"?"), "{}", run.stdout);
    assert!(run.stdout.contains("10 is out of range"), "{}", run.stdout);
    assert_eq!(fs::read_to_string(bed.path("own/log")).unwrap(), "VERSION \n --schema\n");

    // Schemas that are none, and plugins that print something else.
    for schema in ["{}", "[]", "nonsense", "{ \"type\": \"object\" }"] {
        bed.write("own/schema", schema);
        let run = bed.lint(&["--no-host", "--path", "own", "mine.conf"]);
        assert_eq!(run.stdout, "1 file, clean\n", "{schema}");
    }
    script(&bed, "mine", "echo nonsense");
    let run = bed.lint(&["--no-host", "--path", "own", "mine.conf"]);
    assert!(run.stdout.contains("mine does not report its versions"), "{}", run.stdout);
    fs::set_permissions(bed.path("own/mine"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = bed.lint(&["--no-host", "--path", "own", "mine.conf"]);
    assert!(run.stdout.contains("own/mine: it is not executable"), "{}", run.stdout);
    assert!(run.stdout.contains("chmod 755 own/mine"), "{}", run.stdout);
}

/// Where the reference suite's plugins are installed, keys of ours do nothing.
#[test]
fn keys_of_ours_in_front_of_plugins_of_others() {
    let bed = Bed::new();
    bed.write(
        "lan.conf",
        GOOD.replace("\"type\": \"bridge\"", "\"type\": \"macvlan\", \"hostAccess\": true"),
    );
    assert_eq!(bed.lint(&["--no-host", "--path", "plugins", "lan.conf"]).stdout, "1 file, clean\n");
    let run = bed.lint(&["--no-host", "--path", "reference", "lan.conf"]);
    assert!(
        run.stdout.contains("hostAccess: this macvlan does not know this key"),
        "{}",
        run.stdout
    );
    let twice =
        GOOD.replace("\"type\": \"bridge\"", "\"type\": \"bridge\", \"isDefaultGateway\": true");
    let twice = twice.replace("0/24\"", "0/24\", \"routes\": [{ \"dst\": \"0.0.0.0/0\" }]");
    bed.write("lan.conf", twice);
    assert_eq!(bed.lint(&["--no-host", "--path", "plugins", "lan.conf"]).stdout, "1 file, clean\n");
    let run = bed.lint(&["--no-host", "--path", "reference", "lan.conf"]);
    assert!(run.stdout.contains("isDefaultGateway already adds this route"), "{}", run.stdout);
}
