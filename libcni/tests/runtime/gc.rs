//! GC: what is stale goes, and nothing else.

use libcni::Attachment;
use libcni::runtime::Cached;
use libcni::{IfName, NetworkName};
use serde_json::json;

use crate::bed::{Bed, attachment, error, net, network, pod};

/// A bed where c1, c2 and c3 are on `net`, and c1 is on `other`, too.
fn occupied() -> Bed {
    let bed = Bed::with(&["one", "two"]);
    let list = network("1.1.0", &["one", "two"]);
    for container in ["c1", "c2", "c3"] {
        let mut conf = pod(container);
        conf.args = vec![("K8S_POD_NAME".to_owned(), container.to_owned())];
        bed.runtime().add(&list, &conf).unwrap();
    }
    let mut other = list;
    other.name = NetworkName::new("other").unwrap();
    bed.runtime().add(&other, &pod("c1")).unwrap();
    bed.calls();
    bed
}

fn containers(bed: &Bed) -> Vec<String> {
    let all = bed.cache().attachments(None).unwrap().into_iter();
    all.map(|Cached { network, conf, .. }| format!("{network}/{}", conf.attachment.container))
        .collect()
}

#[test]
fn stale_attachments_are_deleted_with_the_arguments_of_their_add() {
    let bed = occupied();
    bed.runtime().gc(&network("1.1.0", &["one", "two"]), &[attachment("c2")]).unwrap();
    let calls = ["DEL two c1", "DEL one c1", "DEL two c3", "DEL one c3", "GC one", "GC two"];
    assert_eq!(bed.calls(), calls);
    assert_eq!(bed.env("one", "DEL", "CNI_NETNS").as_deref(), Some("/run/netns/c3"));
    assert_eq!(bed.env("one", "DEL", "CNI_ARGS").as_deref(), Some("K8S_POD_NAME=c3"));
    assert!(bed.stdin("one", "DEL")["prevResult"].is_object());
    assert_eq!(containers(&bed), ["net/c2", "other/c1"]);
    let valid = json!([{ "containerID": "c2", "ifname": "eth0" }]);
    let stdin = bed.stdin("two", "GC");
    assert_eq!(stdin["cni.dev/valid-attachments"], valid);
    assert_eq!(stdin["cni.dev/attachments"], valid);
    assert_eq!((&stdin["name"], &stdin["cniVersion"]), (&json!("net"), &json!("1.1.0")));
}

#[test]
fn another_interface_of_a_valid_container_is_stale() {
    let bed = occupied();
    let eth1 = Attachment { ifname: IfName::new("eth1").unwrap(), ..attachment("c1") };
    let stale =
        bed.runtime().stale(&network("1.1.0", &["one"]), &[eth1, attachment("c2")]).unwrap();
    let stale: Vec<_> = stale.into_iter().map(|conf| conf.attachment).collect();
    assert_eq!(stale, [attachment("c1"), attachment("c3")]);
}

/// Every attachment fails for the same reason, so only the first errors are shown.
#[test]
fn a_missing_plugin_keeps_no_other_from_cleaning_up() {
    let bed = Bed::with(&["one", "two"]);
    let network = network("1.1.0", &["one", "two"]);
    let many: Vec<_> = (0..12).map(|number| format!("c{number}")).collect();
    many.iter().for_each(|id| drop(bed.runtime().add(&network, &pod(id)).unwrap()));
    bed.calls();
    std::fs::remove_file(bed.path("bin/two")).unwrap();
    let refused = error(bed.runtime().gc(&network, &[])).to_string();
    assert_eq!(refused.matches("failed to find plugin \"two\"").count(), 10, "{refused}");
    assert!(refused.ends_with("\nand 3 more errors"), "{refused}");
    assert_eq!(bed.calls().iter().filter(|call| call.starts_with("DEL one")).count(), 12);
    assert_eq!(containers(&bed).len(), 12);
}

#[test]
fn below_1_1_0_plugins_are_not_asked_but_stale_ones_are_deleted() {
    let bed = occupied();
    bed.runtime().gc(&network("1.0.0", &["one"]), &[]).unwrap();
    assert_eq!(bed.calls(), ["DEL one c1", "DEL one c2", "DEL one c3"]);
    assert_eq!(containers(&bed), ["other/c1"]);
}

#[test]
fn disable_gc_does_nothing() {
    let bed = occupied();
    let mut list = network("1.1.0", &["one", "two"]);
    list.disable_gc = true;
    bed.runtime().gc(&list, &[]).unwrap();
    assert!(bed.calls().is_empty());
    assert_eq!(containers(&bed).len(), 4);
}

#[test]
fn a_failure_does_not_stop_gc() {
    let bed = occupied();
    let body = r#"case "$CNI_COMMAND$CNI_CONTAINERID" in DELc1) m=del;; GC) m=gc;; *) exit 0;; esac
        echo "{\"code\": 11, \"msg\": \"no $m\"}"; exit 1"#;
    bed.plugin("two", body);
    let refused = error(bed.runtime().gc(&network("1.1.0", &["one", "two"]), &[attachment("c2")]));
    assert_eq!(refused.code, libcni::Code::TRY_AGAIN);
    let failed =
        r#"failed to delete stale attachment c1 eth0: plugin type="two" failed (delete): no del"#;
    assert_eq!(refused.msg, failed);
    assert_eq!(refused.details, r#"plugin type="two" failed (gc): no gc"#);
    assert_eq!(bed.calls(), ["DEL two c1", "DEL two c3", "DEL one c3", "GC one", "GC two"]);
    assert!(bed.cache().get(&net(), &attachment("c1")).unwrap().is_some());
}
