//! A network that is renamed while its containers live.

use std::fs;

use serde_json::{Value, json};

use super::node::{Live, network};

const OLD: &str = "/etc/cni/net.d/old.conflist";
const NEW: &str = "/etc/cni/net.d/new.conflist";

/// A node with a network `old` that has a container, and is then renamed to `new`.
fn renamed(change: fn(&mut Value)) -> Live {
    let live = Live::new();
    live.remember();
    let mut conf = network("old", 90, "1.1.0");
    live.configure(&conf);
    live.join("old", "c1", &[]);
    fs::remove_file(OLD).unwrap();
    conf["name"] = json!("new");
    change(&mut conf);
    live.configure(&conf);
    live
}

/// What lint says of it on one line each.
fn warnings(live: &Live) -> Vec<String> {
    let run = live.cnitool(&["lint", "--json"]);
    let found: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    let renamed = found.iter().filter(|it| it["rule"] == "renamed");
    renamed
        .map(|it| format!("{}: {}", it["file"].as_str().unwrap(), it["message"].as_str().unwrap()))
        .collect()
}

#[test]
fn lint_warns_of_a_network_that_was_renamed_under_live_containers() {
    super::node::each(
        &[
            ((|_| {}) as fn(&mut Value), "the same addresses, of 10.90.0.0/28"),
            // The bridge has another name.
            (
                |conf| conf["plugins"][0]["bridge"] = json!("new"),
                "the same addresses, of 10.90.0.0/28",
            ),
            (
                |conf| conf["plugins"][0]["ipam"]["subnet"] = json!("10.91.0.0/24"),
                "the same bridge, old",
            ),
            (|conf| conf["plugins"][0]["ipam"] = json!({}), "the same bridge, old"),
        ],
        |(change, shared)| {
            let live = renamed(*change);
            let said = format!(
                "{NEW}: the cache has 1 live attachment of a network \"old\" with {shared}, and \
                 no file configures it"
            );
            assert_eq!(warnings(&live), [said]);
            let run = live.cnitool(&["lint", NEW]);
            assert!(run.stdout.contains("restore the name \"old\" until"), "{}", run.stdout);
            assert!(!live.cnitool(&["lint", "--no-host"]).stdout.contains("live attachment"));
            // The other networks are not renamed ones, although only one file is checked.
            fs::rename(NEW, "/run/new.conflist")
                .unwrap_or_else(|_| drop(live.run(&["mv", NEW, "/run/new.conflist"])));
            let run = live.cnitool(&["lint", "/etc/cni/net.d/others.conflist"]);
            assert!(!run.stdout.contains("live attachment"), "{}", run.stdout);
        },
    );
}

#[test]
fn no_warning_without_shared_resources_or_live_containers() {
    let live = renamed(|conf| {
        conf["plugins"][0]["bridge"] = json!("new");
        conf["plugins"][0]["ipam"]["subnet"] = json!("10.91.0.0/24");
    });
    assert_eq!(warnings(&live), Vec::<String>::new());
    let live = {
        drop(live);
        renamed(|_| {})
    };
    live.run(&["ip", "netns", "del", "c1"]);
    assert_eq!(warnings(&live), Vec::<String>::new());
}

/// The remedy: with the old name restored, DEL finds everything.
#[test]
fn the_old_name_releases_the_attachments_of_a_renamed_network() {
    let live = renamed(|_| {});
    live.cnitool(&["del", "new", "c1", "--container-id", "c1"]);
    assert_eq!(live.reserved("old"), ["10.90.0.2"]);
    live.run(&["mv", NEW, OLD]);
    let conf = fs::read_to_string(OLD).unwrap().replace("\"new\"", "\"old\"");
    fs::write(OLD, conf).unwrap();
    assert_eq!(warnings(&live), Vec::<String>::new());
    live.cnitool(&["del", "old", "c1", "--container-id", "c1"]).ok();
    assert_eq!(live.reserved("old"), Vec::<String>::new());
    live.assert_untouched("the old name");
}

/// If it is too late for that, `ls` prints the remedy.
#[test]
fn the_remedy_of_ls_removes_leaks_of_a_renamed_network() {
    let live = renamed(|_| {});
    live.run(&["ip", "netns", "del", "c1"]);
    live.cnitool(&["del", "new", "c1", "--container-id", "c1"]);
    assert_eq!(live.leaks(), ["namespaceGone c1"]);
    assert!(
        live.cnitool(&["ls", "old"]).stdout.contains("cnitool gc old --conf-dir /run/cnitool/old")
    );
    live.follow_the_remedy();
    assert_eq!(live.reserved("old"), Vec::<String>::new());
    assert!(!fs::exists(OLD).unwrap());
    live.assert_untouched("the old name is gone");
}
