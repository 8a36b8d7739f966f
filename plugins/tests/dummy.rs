//! `dummy`: its plan in memory. Its links need a kernel that has them: `lab/dummy.rs`.
#![cfg(test)]

use libcni::{Addresses, Call, Code, Verb};
use serde_json::{Value, json};
use testbed::Node;

fn call(verb: Verb, ipam: &Value) -> Call {
    Call::example(verb, json!({ "type": "dummy", "ipam": ipam })).unwrap()
}

#[test]
fn the_link_is_made_in_the_container() {
    let addresses: Addresses = {
        let prev = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "10.1.2.2/24" }] });
        let config = json!({ "type": "dummy", "prevResult": prev });
        Call::example(Verb::Check, config).unwrap().prev_addresses()
    };
    let call = call(Verb::Add, &json!({ "type": "host-local" }));
    let planned = ferrocni::plan("dummy", &call, &addresses).unwrap();
    let steps = planned.plan["steps"].as_array().unwrap();
    let shown: Vec<&str> = steps.iter().map(|step| step["shown"].as_str().unwrap()).collect();
    let [first, .., address, up] = shown.as_slice() else { panic!("{shown:?}") };
    assert!(first.starts_with("ip -n POD link add eth0 address "), "{first}");
    assert!(first.ends_with(" type dummy"), "{first}");
    assert_eq!(*address, "ip -n POD address add 10.1.2.2/24 dev eth0");
    assert_eq!(*up, "ip -n POD link set eth0 up");
    assert!(steps.iter().all(|step| step["place"] == "pod" && step["ownership"] == "owned"));
    let interfaces: Vec<_> = planned.result.interfaces.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(
        (interfaces, planned.result.ips.first().unwrap().interface),
        (vec!["eth0"], Some(0))
    );
}

#[test]
fn without_addresses_there_is_nothing_to_make() {
    for verb in [Verb::Add, Verb::Check, Verb::Plan] {
        let error =
            ferrocni::plan("dummy", &call(verb, &Value::Null), &Addresses::default()).unwrap_err();
        assert_eq!(error.msg, "dummy interface requires an IPAM configuration");
        assert_eq!(error.code, Code::INVALID_CONFIG);
    }
    // DEL looks for the link all the same.
    let del = ferrocni::plan("dummy", &call(Verb::Del, &Value::Null), &Addresses::default());
    let first = del.unwrap().plan["steps"][0]["object"]["dummy"]["name"].clone();
    assert_eq!(first, "eth0");
}

#[test]
fn the_program_refuses_it_before_the_namespace_is_opened() {
    let node = Node::new();
    let config = json!({ "cniVersion": "1.1.0", "name": "services", "type": "dummy" });
    let call = node.plugin("dummy").conf(config).env("CNI_NETNS", "/run/netns/none");
    let words = "dummy interface requires an IPAM configuration";
    assert_eq!(call.add().err().1, words);
    assert_eq!(call.status().err().1, words);
    call.del().ok();
    call.key("cni.dev/valid-attachments", json!([])).gc().ok();
}
