//! The iptables backend on the real kernel, compared with the reference suite.
#![cfg(test)]

mod net;

use insta::assert_snapshot;
use ipnetwork::IpNetwork;
use kernel::iptables;
use kernel::nft::{IptablesFamily, Nft};
use net::Net;

fn addresses(list: &str) -> Vec<IpNetwork> {
    list.split_whitespace().map(|one| one.parse().unwrap()).collect()
}

fn masquerade(net: &Net, container: &'static str, list: &'static str) -> bool {
    net.enter(move || iptables::masquerade("dbnet", container, &addresses(list)).unwrap())
}

fn missing(net: &Net, container: &'static str, list: &'static str) -> String {
    net.enter(move || iptables::missing("dbnet", container, &addresses(list)).unwrap().join("\n"))
}

fn unmasquerade(net: &Net, container: &'static str, list: Option<&'static str>) -> bool {
    net.enter(move || {
        let list = list.map(addresses);
        iptables::unmasquerade("dbnet", container, list.as_deref()).unwrap()
    })
}

/// The rules of both families, without the built-in chains of iptables.
fn rules(net: &Net) -> String {
    let mut all = String::new();
    for program in ["iptables", "ip6tables"] {
        let list = net.run(&format!("{program} -t nat -S"));
        list.lines().filter(|line| !line.starts_with("-P")).for_each(|line| {
            all += &format!("{program} {line}\n");
        });
    }
    all
}

const BOTH: &str = "10.1.2.5/24 fd00::5/64";

#[test]
fn the_rules_are_the_references() {
    let net = Net::new();
    assert!(masquerade(&net, "c1", BOTH));
    assert_snapshot!(rules(&net), @r#"
    iptables -N CNI-1383eeb27000e215038bb823
    iptables -A POSTROUTING -s 10.1.2.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
    iptables -A CNI-1383eeb27000e215038bb823 -d 10.1.2.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
    iptables -A CNI-1383eeb27000e215038bb823 ! -d 224.0.0.0/4 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j MASQUERADE
    ip6tables -N CNI-1383eeb27000e215038bb823
    ip6tables -A POSTROUTING -s fd00::5/128 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
    ip6tables -A CNI-1383eeb27000e215038bb823 -d fd00::/64 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
    ip6tables -A CNI-1383eeb27000e215038bb823 ! -d ff00::/8 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j MASQUERADE
    "#);
    assert!(!masquerade(&net, "c1", BOTH), "nothing is missing");
    assert_eq!(missing(&net, "c1", BOTH), "");
}

#[test]
fn missing_rules_are_named_and_restored() {
    let net = Net::new();
    assert_snapshot!(missing(&net, "c1", "10.1.2.5/24"), @r#"
    missing: iptables -t nat -N CNI-1383eeb27000e215038bb823
    missing: iptables -t nat -A CNI-1383eeb27000e215038bb823 -d 10.1.2.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
    missing: iptables -t nat -A CNI-1383eeb27000e215038bb823 ! -d 224.0.0.0/4 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j MASQUERADE
    missing: iptables -t nat -A POSTROUTING -s 10.1.2.5/32 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j CNI-1383eeb27000e215038bb823
    "#);
    masquerade(&net, "c1", "10.1.2.5/24");
    let chain = iptables::chain_name("dbnet", "c1");
    net.run(&format!("iptables -t nat -D {chain} 1"));
    assert_snapshot!(missing(&net, "c1", "10.1.2.5/24"), @r#"
    missing: iptables -t nat -I CNI-1383eeb27000e215038bb823 -d 10.1.2.0/24 -m comment --comment "name: \"dbnet\" id: \"c1\"" -j ACCEPT
    "#);
    let whole = {
        let other = Net::new();
        masquerade(&other, "c1", "10.1.2.5/24");
        rules(&other)
    };
    masquerade(&net, "c1", "10.1.2.5/24");
    assert_eq!(rules(&net), whole, "the subnet is accepted before the masquerade again");
}

#[test]
fn interfaces_share_a_chain_until_the_last_is_gone() {
    let net = Net::new();
    masquerade(&net, "c1", "10.1.2.5/24");
    masquerade(&net, "c1", "10.1.2.6/24");
    assert!(unmasquerade(&net, "c1", Some("10.1.2.5/24")));
    assert_eq!(missing(&net, "c1", "10.1.2.6/24"), "", "the other interface keeps its masquerade");
    assert!(unmasquerade(&net, "c1", Some("10.1.2.6/24")));
    assert_eq!(rules(&net), "");
    assert!(!unmasquerade(&net, "c1", Some("10.1.2.6/24")), "gone already");
}

#[test]
fn removal_needs_no_addresses() {
    let net = Net::new();
    masquerade(&net, "c1", BOTH);
    masquerade(&net, "c2", "10.1.2.7/24");
    assert!(unmasquerade(&net, "c1", None));
    assert!(!unmasquerade(&net, "c1", None));
    assert_eq!(missing(&net, "c2", "10.1.2.7/24"), "");
    assert_eq!(rules(&net).matches(&iptables::chain_name("dbnet", "c1")).count(), 0);
}

#[test]
fn collection_takes_stale_containers_of_its_network() {
    let net = Net::new();
    masquerade(&net, "c1", BOTH);
    masquerade(&net, "c2", BOTH);
    net.enter(|| iptables::masquerade("other", "c1", &addresses(BOTH)).unwrap());
    let gone = net.enter(|| iptables::collect("dbnet", |container| container == "c1").unwrap());
    assert_eq!(gone, ["c1"]);
    assert_eq!(missing(&net, "c2", BOTH), "");
    let other = net.enter(|| iptables::missing("other", "c1", &addresses(BOTH)).unwrap());
    assert_eq!(other, Vec::<String>::new());
    assert_eq!(rules(&net).matches(&iptables::chain_name("dbnet", "c1")).count(), 0);
}

#[test]
fn several_at_once_all_succeed() {
    let net = Net::new();
    net.enter(|| {
        let workers: Vec<_> = (0..12u8)
            .map(|i| {
                std::thread::spawn(move || {
                    let address = addresses(&format!("10.1.2.{i}/24"));
                    iptables::masquerade("dbnet", &format!("c{i}"), &address).unwrap();
                    if i % 2 == 0 {
                        iptables::unmasquerade("dbnet", &format!("c{i}"), Some(&address)).unwrap();
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    assert_eq!(rules(&net).matches("-A POSTROUTING").count(), 6);
}

#[test]
fn names_cannot_become_rules() {
    let net = Net::new();
    for name in ["a\n-A POSTROUTING -j ACCEPT", "", "it's"] {
        let error = net.enter(move || {
            iptables::masquerade(name, "c1", &addresses("10.1.2.5/24")).unwrap_err().to_string()
        });
        assert!(error.contains("in an iptables rule"), "{error}");
    }
    let quoted = net.enter(|| {
        let name = "a\" -j ACCEPT \\";
        iptables::masquerade(name, "c1", &addresses("10.1.2.5/24")).unwrap();
        iptables::missing(name, "c1", &addresses("10.1.2.5/24")).unwrap()
    });
    assert_eq!(quoted, Vec::<String>::new(), "it is a comment, whatever it says");
}

/// Runs the reference's bridge plugin for one container in a thread's namespace, with matching IPAM
/// data.
fn reference(node: &Net, pod: &Net, data: &tempfile::TempDir, verb: &'static str, name: &str) {
    let conf = format!(
        r#"{{"cniVersion":"1.0.0","name":"dbnet","type":"bridge","bridge":"br0","isGateway":true,"ipMasq":true,
           "ipam":{{"type":"host-local","dataDir":"{}","ranges":[[{{"subnet":"10.1.2.0/24"}}],[{{"subnet":"fd00::/64"}}]]}}}}"#,
        data.path().display()
    );
    let netns = format!("/proc/{}/task/{}/ns/net", std::process::id(), pod.tid);
    let command = format!(
        "env CNI_COMMAND={verb} CNI_CONTAINERID={name} CNI_IFNAME=eth0 CNI_NETNS={netns} \
         CNI_PATH=/usr/lib/cni /usr/lib/cni/bridge"
    );
    node.feed(&command, &conf).unwrap();
}

#[test]
fn rules_of_the_reference_are_recognised_and_removed() {
    let (node, pod, data) = (Net::new(), Net::new(), tempfile::tempdir().unwrap());
    reference(&node, &pod, &data, "ADD", "c1");
    assert_eq!(missing(&node, "c1", "10.1.2.2/24 fd00::2/64"), "");
    let chain = iptables::chain_name("dbnet", "c1");
    let exists = |family, chain: String| {
        node.enter(move || Nft::open().unwrap().iptables_chain_exists(family, &chain).unwrap())
    };
    assert!(exists(IptablesFamily::Ipv4, chain.clone()));
    assert!(exists(IptablesFamily::Ipv6, chain.clone()));
    assert!(unmasquerade(&node, "c1", None));
    assert_eq!(rules(&node), "");
    assert!(!exists(IptablesFamily::Ipv4, chain));
}

#[test]
fn the_reference_removes_our_rules() {
    let (node, pod, data) = (Net::new(), Net::new(), tempfile::tempdir().unwrap());
    reference(&node, &pod, &data, "ADD", "c1");
    let made = rules(&node);
    unmasquerade(&node, "c1", None);
    masquerade(&node, "c1", "10.1.2.2/24 fd00::2/64");
    assert_eq!(rules(&node), made, "rule for rule");
    reference(&node, &pod, &data, "DEL", "c1");
    assert_eq!(rules(&node), "");
}

#[test]
fn only_masqueraded_pods_reach_beyond_the_node() {
    let (node, pod, outside) = (Net::new(), Net::new(), Net::new());
    for (net, wire, here, there) in [
        (&pod, "pod", "10.1.2.1/24", "10.1.2.5/24"),
        (&outside, "uplink", "192.0.2.2/24", "192.0.2.1/24"),
    ] {
        node.run(&format!(
            "ip link add {wire} type veth peer name eth0 netns {}\nip addr add {here} dev \
             {wire}\nip link set {wire} up",
            net.tid
        ));
        net.run(&format!("ip addr add {there} dev eth0\nip link set eth0 up"));
    }
    node.run("sysctl -qw net.ipv4.ip_forward=1");
    pod.run("ip route add default via 10.1.2.1");
    assert!(pod.misses("192.0.2.1"));
    masquerade(&node, "c1", "10.1.2.5/24");
    assert!(pod.reaches("192.0.2.1"));
    unmasquerade(&node, "c1", Some("10.1.2.5/24"));
    assert!(pod.misses("192.0.2.1"));
}

#[test]
fn a_host_without_iptables_gets_the_remedy() {
    let net = Net::new();
    net.enter(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap());
    net.run("mount --make-rprivate /");
    for folder in ["/usr/sbin", "/sbin", "/usr/local/sbin"] {
        net.run(&format!("mount -t tmpfs none {folder}"));
    }
    let error =
        net.enter(|| iptables::masquerade("dbnet", "c1", &addresses("10.1.2.5/24")).unwrap_err());
    assert_snapshot!(format!("{error}\n{}", error.hint), @r#"
    run iptables-save -t nat: iptables-save is in no directory of PATH, nor in /usr/sbin:/sbin:/usr/local/sbin (No such file or directory (os error 2))
    install iptables, or set "ipMasqBackend": "nftables", which needs no program
    "#);
    assert!(!unmasquerade(&net, "c1", None), "so nothing can be there");
    let gone = net.enter(|| iptables::collect("dbnet", |_| true).unwrap());
    assert_eq!(gone, Vec::<String>::new());
}
