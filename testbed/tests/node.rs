//! A node leaves the machine unchanged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use testbed::Node;

#[test]
fn a_node_has_folders_and_links_of_its_own() {
    let links = || fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let run = || fs::metadata("/run").unwrap().dev();
    let (links_before, run_before) = (links(), run());
    thread::spawn(move || {
        let node = Node::new();
        node.sh(
            "ip link add here type veth peer name there; touch /run/x /var/lib/cni/x /etc/cni/x",
        );
        assert!(links().contains("there"));
        assert_ne!(run(), run_before);
    })
    .join()
    .unwrap();
    assert_eq!(links(), links_before);
    for folder in ["/run", "/var/lib/cni", "/etc/cni"] {
        assert!(!fs::exists(format!("{folder}/x")).unwrap(), "{folder}");
    }
}

#[test]
fn folders_missing_on_the_machine_are_made_for_the_node_only() {
    let machine = Node::new();
    // A machine without the directories, made from this one.
    machine.sh("umount /etc/cni /var/lib/cni
        mkdir /run/machine /run/machine/lib /run/machine/etc
        mount --bind /run/machine/lib /var/lib; mount --bind /run/machine/etc /etc");
    drop(machine);
    let node = Node::new();
    node.sh("touch /var/lib/cni/x /etc/cni/x");
    assert!(node.state().contains("file 0644 /var/lib/cni/x"), "{}", node.state());
}

#[test]
#[should_panic(expected = "one node in a test")]
fn a_second_node_on_the_same_thread_is_refused() {
    let _first = Node::new();
    Node::new();
}

#[test]
fn work_in_a_pod_sees_the_pods_links_and_leaves_the_thread_where_it_was() {
    let node = Node::new();
    let pod = node.pod("a");
    pod.sh("ip link add only-here type veth peer name too");
    let links = || fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    assert!(pod.enter(links).contains("only-here"));
    assert!(!links().contains("only-here"));
}

#[test]
fn a_state_taken_twice_is_the_same() {
    let node = Node::new();
    node.outside();
    testbed::assert_same!(node.state(), node.state());
}

#[test]
fn links_of_deleted_namespaces_are_gone_after_the_wait() {
    let node = Node::new();
    for round in 0..3 {
        let pod = node.pod("a");
        for pair in 0..20 {
            node.run(&[
                "ip",
                "link",
                "add",
                &format!("near{pair}"),
                "type",
                "veth",
                "peer",
                "name",
                &format!("far{pair}"),
                "netns",
                "/run/netns/a",
            ]);
        }
        node.delete(&pod);
        assert!(testbed::await_deleted_namespaces(Duration::from_secs(60)), "round {round}");
        let left = node.run(&["ip", "-br", "link", "show", "type", "veth"]);
        assert!(left.is_empty(), "round {round}: {left}");
    }
}
