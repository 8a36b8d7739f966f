//! The built host-local, called as by runtimes and other plugins.
#![cfg(test)]

mod ids;
mod index;
mod kill;
mod net;
mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use net::{Net, OURS, addresses, dual, error};

#[test]
fn the_result_has_the_shape_of_its_version() {
    let routes =
        json!([{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9"}, {"dst": "::/0"}]);
    let ips = |numbers: bool| {
        let mut ips = json!([{"address": "10.1.2.2/24", "gateway": "10.1.2.1"},
            {"address": "2001:db8:1::2/64", "gateway": "2001:db8:1::1"}]);
        if numbers {
            ips[0]["version"] = "4".into();
            ips[1]["version"] = "6".into();
        }
        ips
    };
    for version in ["1.1.0", "1.0.0"] {
        let expected = json!({"cniVersion": version, "ips": ips(false), "routes": routes});
        assert_eq!(dual(version).add(OURS, "c1"), Ok(expected));
    }
    for version in ["0.4.0", "0.3.1", "0.3.0"] {
        let expected =
            json!({"cniVersion": version, "ips": ips(true), "routes": routes, "dns": {}});
        assert_eq!(dual(version).add(OURS, "c1"), Ok(expected));
    }
    for version in ["0.2.0", "0.1.0"] {
        let expected = json!({"cniVersion": version, "dns": {},
            "ip4": {"ip": "10.1.2.2/24", "gateway": "10.1.2.1",
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.0.0/16", "gw": "10.1.2.9"}]},
            "ip6": {"ip": "2001:db8:1::2/64", "gateway": "2001:db8:1::1", "routes": [{"dst": "::/0"}]}});
        assert_eq!(dual(version).add(OURS, "c1"), Ok(expected));
    }
}

#[test]
fn the_files_are_the_references() {
    let net = dual("1.0.0");
    net.add(OURS, "c1").unwrap();
    net.call(OURS, "ADD", "c1 eth1").unwrap();
    let owned = |ifname: &str| format!("600 c1\r\n{ifname}");
    let expected = [
        ("10.1.2.2", owned("eth0")),
        ("10.1.2.3", owned("eth1")),
        ("2001:db8:1::2", owned("eth0")),
        ("2001:db8:1::3", owned("eth1")),
        ("last_reserved_ip.0", "600 10.1.2.3".into()),
        ("last_reserved_ip.1", "600 2001:db8:1::3".into()),
        ("lock", "750 ".into()),
    ];
    assert_eq!(net.files(), expected.map(|(name, it)| (name.to_owned(), it)).into());
    let folder = fs::metadata(net.dir.path().join("pods")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o755);

    net.del(OURS, "c1").unwrap();
    net.del(OURS, "c1").unwrap();
    assert_eq!(net.taken(), ["10.1.2.3", "2001:db8:1::3"]);
}

#[test]
fn a_requested_address_does_not_make_a_second_add_good() {
    let net = Net::of("10.1.2.0/24");
    net.add(OURS, "c1").unwrap();
    let (_, msg) = error(net.call(OURS, "ADD", "c1 eth0 IP=10.1.2.50"));
    assert!(msg.ends_with("duplicate allocation is not allowed"), "{msg}");
    assert_eq!(net.taken(), ["10.1.2.2"]);
}

#[test]
fn of_two_requested_addresses_in_one_set_the_first_is_taken() {
    let net = Net::new(
        json!({"ipam": {"subnet": "10.1.2.0/24"}, "runtimeConfig": {"ips": ["10.1.2.9", "10.1.2.8"]}}),
    );
    for container in ["c1", "c2", "c3", "c4"] {
        let (_, msg) = error(net.add(OURS, container));
        assert_eq!(msg, "failed to allocate all requested IPs: 10.1.2.8");
    }
    assert_eq!(net.taken(), Vec::<String>::new());
}

#[test]
fn a_full_set_is_worth_another_try() {
    let net = Net::of("10.1.2.0/30");
    net.add(OURS, "c1").unwrap();
    let before = net.files();
    let (code, msg) = error(net.add(OURS, "c2"));
    assert_eq!(code, 11);
    assert_eq!(
        msg,
        "failed to allocate for range 0: no IP addresses available in range set: 10.1.2.1-10.1.2.2"
    );
    assert_eq!(net.files(), before);
}

#[test]
fn a_failing_add_changes_no_file() {
    let net = Net::new(
        json!({"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.2.2.0/30"}]]}}),
    );
    net.add(OURS, "c1").unwrap();
    let before = net.files();
    net.add(OURS, "c2").unwrap_err();
    let (_, msg) = error(net.call(OURS, "ADD", "c3 eth0 IP=10.9.9.9"));
    assert_eq!(
        msg,
        "failed to allocate for range 1: no IP addresses available in range set: 10.2.2.1-10.2.2.2"
    );
    net.add(OURS, "c1").unwrap_err();
    assert_eq!(net.files(), before);

    // The reference advances its counters anyway; here failed calls leave no trace.
    let net = Net::of("10.1.2.0/24");
    let (_, msg) = error(net.call(OURS, "ADD", "c1 eth0 IP=10.9.9.9"));
    assert_eq!(msg, "failed to allocate all requested IPs: 10.9.9.9");
    assert_eq!(net.files().into_keys().collect::<Vec<_>>(), ["lock"]);
    let net = Net::new(json!({"ipam": {"subnet": "10.1.2.0/24", "resolvConf": "/nonexistent"}}));
    let (code, msg) = error(net.add(OURS, "c1"));
    assert_eq!(code, 5);
    assert!(msg.starts_with("read resolvConf /nonexistent: "), "{msg}");
    assert_eq!(net.files(), BTreeMap::new());
}

#[test]
fn files_of_old_versions_and_killed_plugins_are_handled() {
    let net = Net::of("10.1.2.0/24");
    net.write("10.1.2.2", "");
    net.write("10.1.2.3", "old");
    net.write(".draft", "c1\r\net");
    assert_eq!(addresses(&net.add(OURS, "c1")), ["10.1.2.2/24"]);
    assert_eq!(net.files()["10.1.2.2"], "600 c1\r\neth0");
    net.del(OURS, "old").unwrap();
    assert_eq!(net.taken(), ["10.1.2.2"]);
    assert!(!net.files().contains_key(".draft"));
}

#[test]
fn gc_releases_reservations_that_are_not_listed() {
    let mut net = Net::of("10.1.2.0/24");
    net.config["cniVersion"] = "1.1.0".into();
    for container in ["c1", "c2", "c3"] {
        net.add(OURS, container).unwrap();
    }
    net.config["cni.dev/valid-attachments"] = json!([{"containerID": "c2", "ifname": "eth0"}]);
    assert_eq!(net.call(OURS, "GC", ""), Ok(Value::Null));
    assert_eq!(net.taken(), ["10.1.2.3"]);
}

/// A full pool fails STATUS only if the configuration asks for it.
#[test]
fn status_reports_full_sets_only_on_request() {
    let mut net = Net::of("10.1.2.0/30");
    net.config["cniVersion"] = "1.1.0".into();
    assert_eq!(net.call(OURS, "STATUS", ""), Ok(Value::Null));
    assert_eq!(net.files(), BTreeMap::new());
    net.add(OURS, "c1").unwrap();
    assert_eq!(net.call(OURS, "STATUS", ""), Ok(Value::Null));
    net.config["ipam"]["statuswhenfull"] = "unavailable".into();
    let msg = "network pods, range set 0 (10.1.2.1-10.1.2.2): all 1 addresses are taken";
    assert_eq!(error(net.call(OURS, "STATUS", "")), (50, msg.to_owned()));
}

/// STATUS fails only if the next ADD fails because of the host, and then that ADD does fail.
#[test]
fn status_predicts_whether_add_succeeds() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("file");
    fs::write(&file, "nameserver 192.0.2.1").unwrap();
    let folder = |net: &Net| net.dir.path().join("pods");
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Net));
    let broken: [Change<'_>; 5] = [
        ("dataDir is a file", &|net| net.config["ipam"]["dataDir"] = file.to_str().unwrap().into()),
        ("the network's folder is a file", &|net| fs::write(folder(net), "").unwrap()),
        ("the lock is a folder", &|net| fs::create_dir_all(folder(net).join("lock")).unwrap()),
        ("the lock is a link", &|net| {
            fs::create_dir(folder(net)).unwrap();
            std::os::unix::fs::symlink(&file, folder(net).join("lock")).unwrap();
        }),
        ("resolvConf is missing", &|net| {
            net.config["ipam"]["resolvConf"] = "/nonexistent/resolv.conf".into();
        }),
    ];
    let fine: [Change<'_>; 3] = [
        ("nothing is there yet", &|_| {}),
        ("the folder is there", &|net| fs::create_dir(folder(net)).unwrap()),
        ("resolvConf is there", &|net| {
            net.config["ipam"]["resolvConf"] = file.to_str().unwrap().into();
        }),
    ];
    for ((what, change), works) in
        broken.iter().map(|it| (it, false)).chain(fine.iter().map(|it| (it, true)))
    {
        let mut net = Net::of("10.1.2.0/24");
        net.config["cniVersion"] = "1.1.0".into();
        change(&mut net);
        let status = net.call(OURS, "STATUS", "");
        let add = net.add(OURS, "c1");
        assert_eq!((status.is_ok(), add.is_ok()), (works, works), "{what}: {status:?} {add:?}");
        assert!(works || error(status.clone()).0 == 50, "{what}: {status:?}");
    }
}

#[test]
fn paths_stay_where_they_belong() {
    let mut net = Net::of("10.1.2.0/24");
    for bad in ["relative/path", "/tmp/../etc/cni"] {
        net.config["ipam"]["dataDir"] = bad.into();
        let msg = "dataDir has to be an absolute path without ..".to_owned();
        assert_eq!(error(net.add(OURS, "c1")), (7, msg));
    }
    let mut net = Net::of("10.1.2.0/24");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::create_dir(net.dir.path().join("pods")).unwrap();
    for name in ["10.1.2.2", "lock"] {
        let link = net.dir.path().join("pods").join(name);
        std::os::unix::fs::symlink(elsewhere.path().join(name), &link).unwrap();
        if name == "10.1.2.2" {
            assert_eq!(addresses(&net.add(OURS, "c1")), ["10.1.2.3/24"]);
            fs::remove_file(net.dir.path().join("pods/lock")).unwrap();
        }
    }
    assert_eq!(error(net.add(OURS, "c2")).0, 5);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    net.config["name"] = "../pods".into();
    assert_eq!(error(net.add(OURS, "c1")).0, 7);
}

#[test]
fn plan_repair_and_check_speak_of_the_same_addresses() {
    let mut net = dual("1.1.0");
    let plan = net.call(OURS, "PLAN", "c1 eth0").unwrap();
    assert_eq!(plan["plan"], Value::Null);
    assert_eq!(net.files(), BTreeMap::new());
    let result = net.add(OURS, "c1").unwrap();
    assert_eq!(plan["result"]["ips"], result["ips"]);

    net.config["prevResult"] = result;
    net.call(OURS, "CHECK", "c1 eth0").unwrap();
    fs::remove_file(net.dir.path().join("pods/2001:db8:1::2")).unwrap();
    let error = net.call(OURS, "CHECK", "c1 eth0").unwrap_err();
    assert_eq!(error["msg"], "host-local: Failed to find address added by container c1");
    assert_eq!(error["details"], "2001:db8:1::2 is not reserved");
    let done = net.call(OURS, "REPAIR", "c1 eth0");
    assert_eq!(done, Ok(json!(["reserved 2001:db8:1::2"])));
    net.call(OURS, "CHECK", "c1 eth0").unwrap();
}

#[test]
fn waiting_for_the_lock_ends_and_names_its_holder() {
    let net = Net::of("10.1.2.0/24");
    net.write("lock", "");
    let lock = fs::File::open(net.dir.path().join("pods/lock")).unwrap();
    lock.lock().unwrap();
    let mut command = Command::new("env");
    command.args(["FERROCNI_TIMEOUT=0.1", OURS]);
    let error = net.call_with(command, "ADD", "c1 eth0", &net.config).unwrap_err();
    assert_eq!(error["code"], 11);
    let holder = format!("it is held by process {}", std::process::id());
    assert!(error["details"].as_str().unwrap().starts_with(&holder), "{error}");
}
