use libcni::{Attachment, ContainerId, IfName};
use serde_json::json;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network() -> NetworkName {
    NetworkName::new("pods").unwrap()
}

#[test]
fn a_pool_has_the_addresses_that_host_local_assigns() {
    let ranges =
        json!([[{ "subnet": "10.1.2.0/29" }], [{ "subnet": "fd00::/64", "rangeEnd": "fd00::ff" }]]);
    let ipam = json!({ "TYPE": "host-local", "dataDir": "/var/tmp/pool", "ranges": ranges });
    let conf = PoolConf::of(&json!({ "type": "bridge", "ipam": ipam })).unwrap().unwrap();
    assert_eq!(conf.data_dir, Path::new("/var/tmp/pool"));
    let shown: Vec<String> = conf.sets.iter().map(RangeSet::to_string).collect();
    assert_eq!(shown, ["10.1.2.1-10.1.2.6", "fd00::1-fd00::ff"]);
    let range = &conf.sets[0].ranges()[0];
    assert_eq!((range.size(), range.subnet().to_string().as_str()), (5, "10.1.2.0/29"));
    assert_eq!(range.ends(), Some((ip("10.1.2.2"), ip("10.1.2.6"))));
}

#[test]
fn other_plugins_addresses_are_no_pool_of_ours() {
    for config in [
        json!({ "type": "portmap" }),
        json!({ "type": "bridge", "ipam": {} }),
        json!({ "type": "bridge", "ipam": { "type": "dhcp" } }),
        json!({ "type": "bridge", "ipam": { "type": "static", "ranges": "of another kind" } }),
    ] {
        assert_eq!(PoolConf::of(&config), Ok(None), "{config}");
    }
    // The runtime will provide the ranges.
    let config = json!({ "capabilities": { "ipRanges": true }, "ipam": { "type": "host-local" } });
    let conf = PoolConf::of(&config).unwrap().unwrap();
    assert_eq!((conf.sets, conf.data_dir.to_str()), (Vec::new(), Some(PoolConf::DATA_DIR)));
    let bad = json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.3/24" } });
    assert!(PoolConf::of(&bad).unwrap_err().to_string().contains("host bits set"));
}

#[test]
fn an_entry_that_is_not_a_networks_directory_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["pods", "other", ".index", "no network"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("file"), "").unwrap();
    let networks = networks_in(dir.path()).unwrap();
    assert_eq!(networks.iter().map(|it| it.as_str()).collect::<Vec<_>>(), ["other", "pods"]);
    assert!(networks_in(&dir.path().join("missing")).unwrap().is_empty());
    assert!(networks_in(&dir.path().join("file")).is_err());
}

#[test]
fn reservations_are_read_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Reserved::read(dir.path(), &network()).unwrap().is_none());
    let folder = dir.path().join("pods");
    fs::create_dir(&folder).unwrap();
    for (name, content) in [
        ("10.1.2.10", "c1\r\neth0"),
        ("10.1.2.9", "c2"),
        ("10.1.2.11", ""),
        ("last_reserved_ip.0", "10.1.2.11"),
        (".draft", "c9\r\neth0"),
        ("lock", ""),
    ] {
        fs::write(folder.join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("10.1.2.9", folder.join("10.1.2.12")).unwrap();
    fs::create_dir(folder.join("10.1.2.13")).unwrap();
    let count = || fs::read_dir(&folder).unwrap().count() + fs::read_dir(&dir).unwrap().count();
    let before = count();
    let reserved = Reserved::read(dir.path(), &network()).unwrap().unwrap();
    assert_eq!(count(), before);
    let container = |id| ContainerId::new(id).unwrap();
    let c1 = Attachment { container: container("c1"), ifname: IfName::new("eth0").unwrap() };
    let found: Vec<(IpAddr, Option<&Holder>)> =
        reserved.addresses.iter().map(|(ip, holder)| (*ip, holder.as_ref().ok())).collect();
    let expected = [
        (ip("10.1.2.9"), Some(&Holder::Container(container("c2")))),
        (ip("10.1.2.10"), Some(&Holder::Attachment(c1))),
        (ip("10.1.2.11"), Some(&Holder::Nobody)),
        (ip("10.1.2.12"), Some(&Holder::Other)),
        (ip("10.1.2.13"), Some(&Holder::Other)),
    ];
    assert_eq!(found, expected);
    assert_eq!(reserved.last(0), Ok(Some(ip("10.1.2.11"))));
    assert_eq!(reserved.last(1), Ok(None));
    let written = fs::metadata(folder.join("10.1.2.9")).unwrap().modified().unwrap();
    assert_eq!(reserved.since(ip("10.1.2.9")), Some(written));
    assert_eq!(reserved.since(ip("10.1.2.99")), None);
    assert_eq!(reserved.path(), folder);
}
