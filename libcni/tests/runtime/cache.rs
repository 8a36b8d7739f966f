//! The result cache: files that the reference reads, and files that it wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use libcni::runtime::{AttachmentConfig, Cached};
use libcni::{ContainerId, NetworkName};
use serde_json::json;

use crate::bed::{Bed, attachment, error, list, net, network, pod};

/// A file as the reference writes it: compact, keys in the order of its struct, keys of maps
/// sorted.
const OF_THE_REFERENCE: &str = concat!(
    r#"{"kind":"cniCacheV1","containerId":"c1","config":"eyJuYW1lIjoibmV0IiwiY25pVmVyc2lvbiI6IjEuMC4wIiwicGx1Z2lucyI6W3sidHlwZSI6Im9uZSJ9XX0=","#,
    r#""ifName":"eth0","networkName":"net","netns":"/run/netns/c1","cniArgs":[["IgnoreUnknown","1"],["MAC","02::1"]],"#,
    r#""capabilityArgs":{"mac":"02::1","portMappings":[{"hostPort":80}]},"#,
    r#""result":{"cniVersion":"1.0.0","dns":{},"ips":[{"address":"10.1.0.2/16"}]}}"#
);

fn cached() -> Cached {
    let mut conf = pod("c1");
    conf.args =
        [("IgnoreUnknown", "1"), ("MAC", "02::1")].map(|(k, v)| (k.into(), v.into())).into();
    let capabilities = json!({ "portMappings": [{ "hostPort": 80 }], "mac": "02::1" });
    conf.capability_args = capabilities.as_object().cloned().unwrap();
    let result = json!({ "ips": [{ "address": "10.1.0.2/16" }], "dns": {}, "cniVersion": "1.0.0" });
    let config = br#"{"name":"net","cniVersion":"1.0.0","plugins":[{"type":"one"}]}"#;
    Cached::new(net(), conf, config.to_vec(), Some(result))
}

fn with(network: NetworkName, conf: AttachmentConfig) -> Cached {
    let mut cached = cached();
    (cached.network, cached.conf) = (network, conf);
    cached
}

#[test]
fn files_are_the_references_byte_for_byte() {
    let bed = Bed::new();
    bed.cache().put(&cached()).unwrap();
    let file = bed.cached_file("net-c1-eth0");
    assert_eq!(fs::read_to_string(&file).unwrap(), OF_THE_REFERENCE);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(file), 0o600);
    assert_eq!(mode(bed.path("cache/results")), 0o700);
    assert_eq!(fs::read_dir(bed.path("cache/results")).unwrap().count(), 1);
}

#[test]
fn files_of_the_reference_are_read() {
    let bed = Bed::with(&["one"]);
    bed.file("cache/results/net-c1-eth0", OF_THE_REFERENCE);
    assert_eq!(bed.cache().get(&net(), &attachment("c1")), Ok(Some(cached())));
    assert_eq!(bed.cache().attachments(None), Ok(vec![cached()]));
    let network = list(serde_json::from_slice(&cached().config).unwrap());
    bed.runtime().check(&network, &pod("c1")).unwrap();
    assert_eq!(bed.stdin("one", "CHECK")["prevResult"]["ips"][0]["address"], "10.1.0.2/16");
}

#[test]
fn a_namespace_that_is_not_in_the_file_is_that_of_the_result() {
    let bed = Bed::new();
    let mut file: serde_json::Value = serde_json::from_str(OF_THE_REFERENCE).unwrap();
    file.as_object_mut().unwrap().remove("netns");
    for (interfaces, netns) in [
        (
            json!([{ "name": "eth0" }, { "name": "eth0", "sandbox": "/proc/7/ns/net" }]),
            "/proc/7/ns/net",
        ),
        (json!([{ "name": "eth1", "sandbox": "/run/netns/c1" }]), ""),
        (json!(null), ""),
    ] {
        file["result"]["interfaces"] = interfaces;
        bed.file("cache/results/net-c1-eth0", &file.to_string());
        assert_eq!(bed.cache().attachments(None).unwrap()[0].conf.netns, netns);
    }
}

#[test]
fn a_bare_result_from_before_is_read_and_converted() {
    let bed = Bed::with(&["one"]);
    bed.file(
        "cache/results/net-c1-eth0",
        r#"{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.2/16"}}"#,
    );
    bed.runtime().check(&network("1.0.0", &["one"]), &pod("c1")).unwrap();
    let prev = json!({ "cniVersion": "1.0.0", "ips": [{ "address": "10.1.0.2/16" }] });
    assert_eq!(bed.stdin("one", "CHECK")["prevResult"], prev);
}

#[test]
fn listing_skips_files_that_are_not_attachments() {
    let bed = Bed::new();
    let cache = bed.cache();
    assert_eq!(cache.attachments(None), Ok(Vec::new()));
    for container in ["c2", "c1"] {
        cache.put(&with(net(), pod(container))).unwrap();
    }
    bed.file("cache/results/garbage", "{");
    bed.file("cache/results/legacy", "{}");
    bed.file("cache/results/unnamed", r#"{"kind": "cniCacheV1", "config": ""}"#);
    fs::create_dir(bed.path("cache/results/folder")).unwrap();
    let containers = |of: Option<&ContainerId>| -> Vec<_> {
        let all = cache.attachments(of).unwrap().into_iter();
        all.map(|cached| cached.conf.attachment.container.to_string()).collect()
    };
    assert_eq!(containers(None), ["c1", "c2"]);
    assert_eq!(containers(Some(&ContainerId::new("c2").unwrap())), ["c2"]);
}

#[test]
fn entries_say_why_a_file_is_not_understood() {
    let bed = Bed::new();
    assert_eq!(bed.cache().entries().unwrap().count(), 0);
    bed.file("cache/results/net-c1-eth0", OF_THE_REFERENCE);
    bed.file("cache/results/net-c2-eth0", &OF_THE_REFERENCE[..100]);
    bed.file("cache/results/net-c3-eth0", r#"{"ips": []}"#);
    bed.file("cache/results/.draft-1", "");
    let entries: Vec<_> = bed.cache().entries().unwrap().collect();
    let shown = entries.iter().map(|entry| match &entry.cached {
        Ok(cached) => cached.conf.attachment.container.to_string(),
        Err(error) => error.to_string(),
    });
    let shown: Vec<String> = shown.collect();
    assert_eq!(shown[0], "c1");
    let file = bed.cached_file("net-c2-eth0");
    assert!(shown[1].starts_with(&format!("read {}: EOF while parsing", file.display())));
    assert!(shown[2].ends_with("net-c3-eth0: it does not name its attachment"), "{}", shown[2]);
    assert_eq!((entries.len(), &entries[1].file), (3, &file));
    assert_eq!(entries[1].written, fs::metadata(&file).unwrap().modified().ok());
}

#[test]
fn names_that_meet_in_a_file_name_do_not_take_each_others_result() {
    let bed = Bed::with(&["one"]);
    let cache = bed.cache();
    let theirs = with(NetworkName::new("net-c").unwrap(), pod("1"));
    cache.put(&theirs).unwrap();
    let ours = with(net(), pod("c-1"));
    let refused = error(cache.put(&ours));
    assert!(
        refused.msg.contains(r#"it is the file of network "net-c", container "1""#),
        "{refused}"
    );
    assert!(cache.get(&net(), &attachment("c-1")).is_err());
    bed.runtime().del(&network("1.0.0", &["one"]), &pod("c-1")).unwrap();
    assert_eq!(cache.get(&theirs.network, &attachment("1")), Ok(Some(theirs)));
}

#[test]
fn an_add_whose_result_cannot_be_kept_fails() {
    let bed = Bed::with(&["one"]);
    bed.file("cache", "a file where the folder should be");
    let refused = error(bed.runtime().add(&network("1.0.0", &["one"]), &pod("c1")));
    assert!(refused.msg.starts_with(r#"failed to set network "net" cached result: "#), "{refused}");
    assert_eq!(bed.calls(), ["ADD one c1"]);
}
