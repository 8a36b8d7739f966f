//! GC of many attachments: it removes all that are not listed, and listed ones continue to work.
//! This also holds for concurrent GCs, concurrent ADDs, and after a GC that was killed half way.
#![cfg(test)]

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

/// A network with a subnet and a bridge of its own; as macvlan over `uplink`, which has the
/// gateway's address.
fn network(kind: &str, name: &str, subnet: u8) -> Value {
    let ranges = json!([[{ "subnet": format!("10.1.{subnet}.0/24") }]]);
    let ipam = json!({ "type": "host-local", "ranges": ranges });
    let mut config = json!({ "cniVersion": "1.1.0", "name": name, "type": kind, "ipam": ipam });
    let keys = match kind {
        "bridge" => {
            json!({ "bridge": name, "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true })
        }
        _ => json!({ "master": "uplink" }),
    };
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    let plugin = config["type"].as_str().unwrap();
    node.plugin(plugin).conf(config).container(pod.name()).netns(pod)
}

fn gc(node: &Node, config: &Value, valid: &[&Pod]) -> Cni {
    let list = valid.iter().map(|pod| json!({ "containerID": pod.name(), "ifname": "eth0" }));
    let plugin = config["type"].as_str().unwrap();
    let list = Value::Array(list.collect());
    node.plugin(plugin).conf(config).key("cni.dev/valid-attachments", list)
}

fn pods(node: &Node, name: &str, count: usize) -> Vec<Pod> {
    (0..count).map(|index| node.pod(&format!("{name}{index}"))).collect()
}

/// Whether nothing that names a pod is left, on the host or as an address: their names have a
/// common prefix.
fn is_clean_of(node: &Node, name: &str) -> bool {
    let seen = node.sh("ip link; nft list ruleset; grep -r . /var/lib/cni || true");
    !seen.contains(&format!("/{name}")) && !seen.contains(&format!(":{name}"))
}

#[test]
fn of_two_networks_only_the_valid_ones_of_one_are_left() {
    let node = Node::new();
    let (one, two) = (network("bridge", "br2", 2), network("bridge", "br3", 3));
    let (stale, kept, others) =
        (pods(&node, "old", 50), pods(&node, "new", 5), pods(&node, "far", 5));
    for (config, pods) in [(&one, &stale), (&one, &kept), (&two, &others)] {
        pods.iter().for_each(|pod| drop(call(&node, config, pod).add().ok()));
    }
    gc(&node, &one, &kept.iter().collect::<Vec<_>>()).gc().ok();
    assert!(is_clean_of(&node, "old"), "{}", node.state());
    assert!(stale.iter().all(|pod| !pod.sh("ip link").contains("eth0")));
    for (pods, gateway) in [(&kept, "10.1.2.1"), (&others, "10.1.3.1")] {
        for pod in pods {
            assert!(pod.ping(gateway), "{}", pod.name());
        }
    }
    let links = node.sh("ip -o link");
    assert_eq!(links.matches("veth").count(), 10, "{links}");
}

#[test]
fn links_inside_many_containers_go_and_the_valid_ones_stay() {
    let node = Node::new();
    node.outside();
    let (one, two) = (network("macvlan", "lan2", 2), network("macvlan", "lan3", 3));
    let (stale, kept, others) =
        (pods(&node, "old", 40), pods(&node, "new", 5), pods(&node, "far", 5));
    for (config, pods) in [(&one, &stale), (&one, &kept), (&two, &others)] {
        pods.iter().for_each(|pod| drop(call(&node, config, pod).add().ok()));
    }
    gc(&node, &one, &kept.iter().collect::<Vec<_>>()).gc().ok();
    assert!(is_clean_of(&node, "old"), "{}", node.state());
    let has_link = |pod: &Pod| pod.sh("ip link").contains("eth0");
    assert!(!stale.iter().any(has_link));
    assert!(kept.iter().chain(&others).all(has_link));
    // The next valid container pings the address of this one.
    let address = kept[0].sh("ip -4 -o addr show eth0");
    let address = address.split_whitespace().nth(3).unwrap().split('/').next().unwrap();
    assert!(kept[1].ping(address), "{address}");
}

/// Several GCs and DELs remove the stale attachments, while other attachments are added.
#[test]
fn several_at_once_while_others_come() {
    let node = Node::new();
    let config = network("bridge", "br2", 2);
    let (stale, coming) = (pods(&node, "old", 24), pods(&node, "new", 8));
    stale.iter().for_each(|pod| drop(call(&node, &config, pod).add().ok()));
    let valid: Vec<&Pod> = coming.iter().collect();
    let mut calls: Vec<(&str, Cni)> = Vec::new();
    calls.extend(coming.iter().map(|pod| ("ADD", call(&node, &config, pod))));
    calls.extend((0..4).map(|_| ("GC", gc(&node, &config, &valid))));
    calls.extend(stale.iter().step_by(3).map(|pod| ("DEL", call(&node, &config, pod))));
    thread::scope(|scope| {
        for (verb, call) in calls {
            scope.spawn(move || drop(call.raw(verb).ok()));
        }
    });
    assert!(is_clean_of(&node, "old"), "{}", node.state());
    for pod in &coming {
        assert!(pod.ping("10.1.2.1"), "{}", pod.name());
    }
    gc(&node, &config, &[]).gc().ok();
    assert!(is_clean_of(&node, "new"), "{}", node.state());
}

/// A DEL is delayed before each of its requests in turn, and meanwhile a GC removes the objects
/// that the DEL is about to remove.
#[test]
fn a_del_overtaken_by_a_gc_anywhere_succeeds() {
    let node = Node::new();
    let (config, pod) = (network("bridge", "br2", 2), node.pod("old"));
    for when in 1.. {
        call(&node, &config, &pod).add().ok();
        let inject = format!("inject=sendto:delay_enter=300000:when={when}");
        let strace =
            ["strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=sendto", "-e", &inject];
        let del = call(&node, &config, &pod).under(&strace);
        thread::scope(|scope| {
            let del = scope.spawn(|| del.raw("DEL").ok());
            thread::sleep(Duration::from_millis(150));
            gc(&node, &config, &[]).gc().ok();
            del.join().unwrap();
        });
        assert!(is_clean_of(&node, "old"), "held up before request {when}: {}", node.state());
        if !node.sh("cat /run/trace").contains("(DELAYED)") {
            println!("DEL was overtaken at {} points", when - 1);
            assert!(when > 3, "it was never overtaken");
            return;
        }
    }
}

/// A link has no alias between the requests that make it and name it. GC leaves it to the running
/// ADD.
#[test]
fn a_link_that_an_add_has_just_made_is_left_to_it() {
    for kind in ["bridge", "macvlan"] {
        thread::scope(|scope| scope.spawn(|| overtaken_add(kind)).join().unwrap());
    }
}

fn overtaken_add(kind: &str) {
    let node = Node::new();
    node.outside();
    let (config, pod, first) = (network(kind, "pods", 2), node.pod("new"), node.pod("first"));
    call(&node, &config, &first).add().ok();
    let add = call(&node, &config, &pod);
    let strace = |options: &[&str]| {
        let all = [&["strace", "-f", "-qq", "-e", "trace=sendto"], options].concat();
        add.clone().under(&all)
    };
    // The request that makes the container's link.
    strace(&["-s", "4096", "-o", "/run/trace"]).raw("ADD").ok();
    add.del().ok();
    let trace = node.sh("cat /run/trace");
    let link = if kind == "bridge" { "veth" } else { kind };
    let makes = |line: &str| {
        let parts = ["RTM_NEWLINK", "NLM_F_CREATE", link];
        parts.iter().all(|part| line.contains(part))
    };
    let sent: Vec<&str> = trace.lines().filter(|line| line.contains("sendto(")).collect();
    let when = sent.iter().position(|line| makes(line)).expect(&trace) + 1;
    let inject = format!("inject=sendto:delay_exit=1500000:when={when}");
    let slow = strace(&["-o", "/dev/null", "-e", &inject]);
    let is_nameless = || {
        let links = match kind {
            "bridge" => node.sh("ip -o link show master pods"),
            _ => pod.sh("ip -o link show"),
        };
        let mut links = links.lines().filter(|line| !line.contains(": lo:"));
        links.any(|line| !line.contains("alias ferrocni"))
    };
    thread::scope(|scope| {
        let slow = scope.spawn(move || slow.raw("ADD"));
        while !is_nameless() {
            assert!(!slow.is_finished(), "the link was never seen without an alias: {trace}");
        }
        gc(&node, &config, &[&first]).gc().ok();
        slow.join().unwrap().ok();
    });
    assert!(pod.sh("ip link").contains("eth0"), "{kind}");
    gc(&node, &config, &[&first]).gc().ok();
    assert!(!pod.sh("ip link").contains("eth0"), "{kind}: GC leaves it for ever");
}

/// Kills GC at one call after the other until it completes. The next GC, or the DELs, finish the
/// removal.
fn killed(kind: &str, calls: &str) {
    let node = Node::new();
    if kind == "macvlan" {
        node.outside();
    }
    let config = network(kind, "pods", 2);
    let (stale, kept) = (pods(&node, "old", 4), node.pod("new"));
    call(&node, &config, &kept).add().ok();
    let lasting = || {
        let state = node.state();
        let is_lasting = |line: &&str| !line.contains("last_reserved_ip");
        state.split_inclusive('\n').filter(is_lasting).collect::<String>()
    };
    let before = lasting();
    for when in 1.. {
        stale.iter().for_each(|pod| drop(call(&node, &config, pod).add().ok()));
        if kind == "bridge" {
            // As if the ADD had been killed before it could set the alias.
            let result = call(&node, &config, &stale[0]).ifname("eth1").add().ok();
            let link = result["interfaces"][1]["name"].as_str().unwrap();
            node.run(&["ip", "link", "set", link, "alias", ""]);
        }
        let (trace, inject) =
            (format!("trace={calls}"), format!("inject={calls}:signal=KILL:when={when}"));
        let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let is_done = gc(&node, &config, &[&kept]).under(&strace).raw("GC").status.success();
        if when % 3 == 0 {
            for pod in &stale {
                let del = call(&node, &config, pod).unset("CNI_NETNS");
                del.clone().ifname("eth1").del().ok();
                del.del().ok();
            }
        } else {
            gc(&node, &config, &[&kept]).gc().ok();
        }
        assert_same!(before, lasting(), "{kind}: GC killed at {calls} no. {when}");
        assert!(stale.iter().all(|pod| !pod.sh("ip link").contains("eth0")), "{calls} no. {when}");
        if is_done {
            println!("{kind}: GC was killed at {calls} at {} points", when - 1);
            assert!(when > 2, "it was never killed");
            return;
        }
    }
}

#[test]
fn killed_before_any_request_the_next_finishes() {
    killed("bridge", "sendto");
}

#[test]
fn killed_among_containers_the_next_finishes() {
    killed("macvlan", "sendto");
}

#[test]
fn killed_before_a_thread_starts_the_next_finishes() {
    killed("macvlan", "clone3,clone,fork,vfork");
}
