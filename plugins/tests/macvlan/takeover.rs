//! Each suite manages attachments of the other.

use serde_json::{Value, json};
use testbed::assert_same;

use super::{Lan, config, lasting};

/// The reference's own version of the package may be older than 1.1.0.
fn plain() -> Value {
    config(json!({ "cniVersion": "1.0.0" }))
}

#[test]
fn attachments_of_the_reference_are_checked_repaired_and_removed() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let before = lasting(&lan.node.state());
    let ours = lan.call(&plain(), &pod);
    let theirs = ours.clone().suite(testbed::reference());
    let result = theirs.add().ok();
    let ours = ours.prev(&result);
    ours.raw("REPAIR").ok();
    ours.check().ok();
    pod.sh("ip addr del 192.0.2.100/24 dev eth0");
    let (_, _, details) = ours.check().err();
    assert!(details.contains("192.0.2.100/24 is not on eth0"), "{details}");
    ours.raw("REPAIR").ok();
    assert!(pod.ping(lan.outside.v4) && pod.ping(lan.outside.v6));
    ours.del().ok();
    assert_same!(before, lasting(&lan.node.state()));
    // As from a runtime that has lost the result.
    theirs.add().ok();
    lan.call(&plain(), &pod).del().ok();
    assert_same!(before, lasting(&lan.node.state()));
}

#[test]
fn the_reference_checks_and_removes_our_attachments() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let before = lasting(&lan.node.state());
    let ours = lan.call(&plain(), &pod);
    let result = ours.add().ok();
    let theirs = ours.suite(testbed::reference()).prev(&result);
    theirs.check().ok();
    theirs.del().ok();
    assert_same!(before, lasting(&lan.node.state()));
}
