use libcni::Verb;
use serde_json::{Value, json};

use super::*;

/// A call about container `c1`, interface `eth0` of network `pods`.
pub fn call(verb: Verb) -> Call {
    let valid: [Attachment; 0] = [];
    let config =
        json!({ "cniVersion": "1.1.0", "name": "pods", "cni.dev/valid-attachments": valid });
    let mut call = Call::new(verb, config, Some(attachment("c1", "eth0"))).unwrap();
    call.deadline = std::time::Instant::now();
    call
}

fn attachment(container: &str, ifname: &str) -> Attachment {
    Attachment::new(container, ifname).unwrap()
}

/// A configuration with one range set of one subnet, whose files are in `dir`.
fn plugin(dir: &tempfile::TempDir, subnet: &str) -> HostLocal {
    let ipam = json!({"subnet": subnet, "dataDir": dir.path()});
    libcni::json::from_value(&json!({ "ipam": ipam })).unwrap()
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("../host_local.rs"),
        &schemars::schema_for!(HostLocal).to_value(),
        HostLocal::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/host-local.schema.json"),
    );
}

#[test]
fn a_failed_add_releases_only_its_own_reservations() {
    let dir = tempfile::tempdir().unwrap();
    let config = json!({"ipam": {"dataDir": dir.path(), "ranges":
        [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.3.0/24"}]]}});
    let plugin: HostLocal = libcni::json::from_value(&config).unwrap();
    let call = call(Verb::Add);
    plugin.add(&call).unwrap();
    let error = plugin.add(&call).unwrap_err();
    let msg = "failed to allocate for range 0: 10.1.2.2 has been allocated to c1, duplicate \
               allocation is not allowed";
    assert_eq!(error.msg, msg);
    let held = || View::peek(dir.path(), &call.network, |view| Ok(view.all().len())).unwrap();
    assert_eq!(held(), 2);

    // A directory is in the place of the counter of the second set.
    let counter = dir.path().join("pods/last_reserved_ip.1");
    std::fs::remove_file(&counter).unwrap();
    std::fs::create_dir(&counter).unwrap();
    let mut other = call.clone();
    other.attachment = Some(attachment("c2", "eth0"));
    plugin.add(&other).unwrap_err();
    assert_eq!(held(), 2);
    assert!(!dir.path().join("pods/.draft").exists());
}

#[test]
fn check_names_missing_reservations_and_repair_restores_them() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(&dir, "10.1.2.0/24");
    let mut call = call(Verb::Add);
    let result = plugin.add(&call).unwrap();
    call.prev = Some(result);
    plugin.check(&call).unwrap();
    assert_eq!(plugin.repair(&call).unwrap(), Vec::<String>::new());

    let pods = dir.path().join("pods");
    std::fs::rename(pods.join("10.1.2.2"), pods.join("10.1.2.3")).unwrap();
    let error = plugin.check(&call).unwrap_err();
    assert_eq!(error.msg, "host-local: Failed to find address added by container c1");
    assert_eq!(error.details, "10.1.2.2 is not reserved");
    assert_eq!(plugin.repair(&call).unwrap(), ["reserved 10.1.2.2"]);
    plugin.check(&call).unwrap();

    std::fs::write(pods.join("10.1.2.2"), "c7\r\neth1").unwrap();
    let error = plugin.check(&call).unwrap_err();
    assert_eq!(error.details, "10.1.2.2 is reserved for eth1 of container c7");
    assert_eq!(plugin.repair(&call).unwrap_err().msg, error.details);
}

#[test]
fn gc_keeps_valid_and_foreign_reservations() {
    let dir = tempfile::tempdir().unwrap();
    let pods = dir.path().join("pods");
    std::fs::create_dir(&pods).unwrap();
    let files = [
        ("10.1.2.2", "c1\r\neth0"),
        ("10.1.2.3", "c1\r\neth1"),
        ("10.1.2.4", "c2\r\neth0"),
        ("10.1.2.5", "c1"),
        ("10.1.2.6", "c2"),
        ("10.1.2.7", ""),
        ("10.1.2.8", "set aside by hand"),
        ("10.9.9.9", "c2\r\neth0"),
        ("notes", "c2\r\neth0"),
    ];
    for (name, content) in files {
        std::fs::write(pods.join(name), content).unwrap();
    }
    let mut call = call(Verb::Gc);
    call.valid = vec![attachment("c1", "eth0")];
    call.attachment = None;
    plugin(&dir, "10.1.2.0/24").gc(&call).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&pods)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["10.1.2.2", "10.1.2.5", "10.1.2.8", "lock", "notes"]);
}

#[test]
fn status_reports_a_full_set_on_request_and_an_impossible_folder() {
    let dir = tempfile::tempdir().unwrap();
    let call = call(Verb::Status);
    let plugin = |when_full: Value| {
        let ipam =
            json!({"subnet": "10.1.2.0/30", "dataDir": dir.path(), "statusWhenFull": when_full});
        libcni::json::from_value::<HostLocal>(&json!({ "ipam": ipam })).unwrap()
    };
    let asked = plugin(json!("unavailable"));
    asked.status(&call).unwrap();
    asked.add(&call).unwrap();
    for when_full in [Value::Null, json!("available")] {
        plugin(when_full).status(&call).unwrap();
    }
    let error = asked.status(&call).unwrap_err();
    assert_eq!(error.code, Code::UNAVAILABLE);
    assert_eq!(
        error.msg,
        "network pods, range set 0 (10.1.2.1-10.1.2.2): all 1 addresses are taken"
    );
    assert!(error.details.starts_with("Run \"cnitool ls pods\" to see who holds them"), "{error}");
    // DEL and GC release what ADD made before the mistake.
    for wrong in [json!("full"), json!("Available"), json!(true)] {
        let plugin = plugin(wrong.clone());
        for error in [plugin.status(&call).unwrap_err(), plugin.add(&call).unwrap_err()] {
            assert_eq!(error.msg, format!("unknown statusWhenFull {wrong}"));
            assert_eq!(error.code, Code::INVALID_CONFIG);
        }
        plugin.gc(&call).unwrap();
    }

    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let config = json!({"ipam": {"subnet": "10.1.2.0/24", "dataDir": file}});
    let plugin: HostLocal = libcni::json::from_value(&config).unwrap();
    let error = plugin.status(&call).unwrap_err();
    assert_eq!(error.code, Code::UNAVAILABLE);
    assert!(error.msg.ends_with("/file: not a directory"), "{error}");
}

#[test]
fn status_does_without_ranges_where_the_runtime_gives_them() {
    let status = |capabilities: Value| {
        let config = json!({"capabilities": capabilities, "ipam": {"dataDir": "/tmp"}});
        libcni::json::from_value::<HostLocal>(&config).unwrap().status(&call(Verb::Status))
    };
    status(json!({"ipRanges": true})).unwrap();
    assert_eq!(status(json!({})).unwrap_err().msg, "no IP ranges specified");
}

#[test]
fn a_preview_predicts_add_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(&dir, "10.1.2.0/24");
    let preview = plugin.preview(&call(Verb::Plan)).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(plugin.add(&call(Verb::Add)).unwrap(), preview.result);
    assert!(preview.plan.is_null());
}

#[test]
fn del_and_check_make_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = plugin(&dir, "10.1.2.0/24");
    plugin.del(&call(Verb::Del)).unwrap();
    plugin.gc(&call(Verb::Gc)).unwrap();
    plugin.check(&call(Verb::Check)).unwrap_err();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
