//! `tuning`: its plan in memory, and chains with it on a real kernel.
#![cfg(test)]

use std::fs;

use libcni::{Call, Verb};
use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

const MAC: &str = "02:00:00:00:01:05";
const FOLDER: &str = "/run/cni/tuning";
const FILE: &str = "/run/cni/tuning/a_eth0.json";
const ALLOW_LIST: &str = "/etc/cni/tuning/allowlist.conf";

/// A container that bridge has joined to a network.
struct Chain {
    node: Node,
    pod: Pod,
    bridge: Cni,
    made: Value,
}

fn config(plugin: &str, keys: &Value) -> Value {
    let mut config = json!({ "cniVersion": "1.1.0", "name": "pods", "type": plugin });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

impl Chain {
    fn new() -> Chain {
        let node = Node::new();
        let pod = node.pod("a");
        let (bridge, made) = join(&node, &pod);
        // A folder of files stays.
        fs::create_dir_all(FOLDER).unwrap();
        Chain { node, pod, bridge, made }
    }

    /// A call of tuning after bridge.
    fn tuning(&self, keys: &Value) -> Cni {
        let call = self.node.plugin("tuning").conf(config("tuning", keys)).container("a");
        call.netns(&self.pod).prev(&self.made)
    }

    /// What `ip` says of the interface.
    fn link(&self) -> Value {
        link(&self.pod)
    }

    fn sysctl(&self, key: &str) -> String {
        self.pod.sh(&format!("sysctl -n {key}")).trim().replace('\t', " ")
    }
}

fn join(node: &Node, pod: &Pod) -> (Cni, Value) {
    let ipam = json!({ "type": "host-local", "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]] });
    let keys = json!({ "bridge": "cbr0", "isDefaultGateway": true, "ipam": ipam });
    let call = node.plugin("bridge").conf(config("bridge", &keys)).container(pod.name()).netns(pod);
    let made = call.add().ok();
    (call, made)
}

fn link(pod: &Pod) -> Value {
    let shown: Value = serde_json::from_str(&pod.sh("ip -j -d link show eth0")).unwrap();
    let it = &shown[0];
    let has = |flag: &str| it["flags"].as_array().unwrap().iter().any(|each| each == flag);
    json!({
        "mac": it["address"], "mtu": it["mtu"], "txQLen": it["txqlen"], "promisc": has("PROMISC"),
        "allmulti": has("ALLMULTI"),
    })
}

fn everything() -> Value {
    json!({ "mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 500 })
}

fn planned(verb: Verb, mut config: Value) -> libcni::Result<libcni::Preview> {
    let interfaces =
        json!([{ "name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/a" }]);
    config["type"] = "tuning".into();
    config["prevResult"] = json!({ "cniVersion": "1.1.0", "interfaces": interfaces });
    let call = Call::example(verb, config)?;
    ferrocni::plan("tuning", &call, &call.prev_addresses())
}

fn shown(config: Value) -> Vec<String> {
    let plan = planned(Verb::Add, config).unwrap().plan;
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.map(|step| step["shown"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_plan_has_each_key() {
    let mut keys = everything();
    keys["sysctl"] = json!({ "net.core.somaxconn": "500", "net/ipv4/conf.IFNAME.arp_filter": "1" });
    let link = "ip -n POD link set eth0 allmulticast on address 02:00:00:00:01:05 mtu 1400 \
        promisc on txqueuelen 500";
    assert_eq!(
        shown(keys.clone()),
        [
            "nsenter --net=POD sysctl -w net/core/somaxconn=500",
            "nsenter --net=POD sysctl -w net/ipv4/conf/eth0/arp_filter=1",
            link,
        ]
    );
    let preview = planned(Verb::Add, keys).unwrap();
    let interface = preview.result.interfaces.first().unwrap();
    assert_eq!((interface.mac.as_str(), interface.mtu), (MAC, 1400));
    assert_eq!(shown(json!({ "sysctl": null })), [""; 0]);
    // Keys match in any case, and the runtime's arguments replace those of the configuration.
    let odd = json!({
        "MTU": 1300, "TXQLEN": 10, "SysCtl": { "net.core.somaxconn": "1" }, "Mac": "02:00:00:00:00:07",
        "RuntimeConfig": { "Mac": "02:00:00:00:00:08" },
        "Args": { "CNI": { "Sysctl": { "net.core.somaxconn": "2" }, "Mtu": 1200, "allMulti": false } }
    });
    let link =
        "ip -n POD link set eth0 allmulticast off address 02:00:00:00:00:08 mtu 1200 txqueuelen 10";
    assert_eq!(shown(odd), ["nsenter --net=POD sysctl -w net/core/somaxconn=2", link]);
}

#[test]
fn sysctls_outside_of_net_are_refused() {
    for (key, path) in [
        ("kernel.pid_max", "kernel/pid_max"),
        ("net", "net"),
        ("net.", "net/"),
        ("/kernel/net/x", "/kernel/net/x"),
        ("../kernel.pid_max", "///kernel/pid_max"),
    ] {
        let error = planned(Verb::Add, json!({ "sysctl": { key: "1" } })).unwrap_err();
        assert_eq!(error.msg, format!("invalid net sysctl key: \"{path}\""));
    }
    let key = "net.ipv4.conf.IFNAME/../../../../kernel.pid_max";
    let path = "nsenter --net=POD sysctl -w net/ipv4/conf/eth0/kernel/pid_max=1";
    assert_eq!(shown(json!({ "sysctl": { key: "1" } })), [path]);
}

#[test]
fn add_sets_and_del_restores() {
    let chain = Chain::new();
    let before = (chain.link(), chain.node.state());
    let call = chain.tuning(&everything());
    let result = call.add().ok();
    assert_eq!(chain.link(), everything());
    let own = result["interfaces"].as_array().unwrap();
    let own = own.iter().find(|it| it["name"] == "eth0").unwrap();
    assert_eq!((&own["mac"], &own["mtu"]), (&json!(MAC), &json!(1400)));
    // The file is the reference's.
    let file: Value = serde_json::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    for (key, value) in before.0.as_object().unwrap() {
        assert_eq!(&file[key], value, "{key}");
    }
    for _ in 0..2 {
        // DEL needs no valid configuration.
        call.clone().key("mac", "none").key("sysctl", 7).del().ok();
        assert_eq!(chain.link(), before.0);
        assert_same!(before.1, chain.node.state());
        assert!(!fs::exists(FILE).unwrap());
    }
}

#[test]
fn packets_pass_with_another_mac() {
    let chain = Chain::new();
    let other = chain.node.pod("b");
    join(&chain.node, &other);
    // The host and the other container know the first address.
    let own = ["10.1.2.2", "fd00:1:2::2"];
    assert!(own.iter().all(|ip| other.ping(ip) && chain.node.ping(ip)));
    let call = chain.tuning(&json!({ "mac": MAC, "mtu": 1300 }));
    let result = call.add().ok();
    assert!(own.iter().all(|ip| other.ping(ip) && chain.node.ping(ip)), "after ADD");
    let seen = other.tcp(&chain.pod, "10.1.2.2".parse().unwrap(), 100_000).unwrap();
    assert_eq!(seen.received, 100_000);
    chain.bridge.clone().prev(&result).check().ok();
    call.clone().prev(&result).check().ok();
    call.prev(&result).del().ok();
    assert!(own.iter().all(|ip| other.ping(ip) && chain.node.ping(ip)), "after DEL");
    chain.bridge.check();
}

#[test]
fn check_and_repair_compare_each_key() {
    let chain = Chain::new();
    let mut keys = everything();
    keys["sysctl"] = json!({ "net.ipv4.tcp_rmem": "4096 87380 6291456", "net.ipv4.conf.IFNAME.arp_filter": "1" });
    let call = chain.tuning(&keys);
    let call = call.clone().prev(&call.add().ok());
    call.check().ok();
    assert_eq!(chain.sysctl("net.ipv4.tcp_rmem"), "4096 87380 6291456");
    chain.pod.sh("ip link set eth0 mtu 1300 promisc off allmulticast off txqueuelen 9
        ip link set eth0 address 02:00:00:00:00:01; sysctl -qw net.ipv4.conf.eth0.arp_filter=0");
    let (_, msg, details) = call.check().err();
    assert!(msg.contains("6 differences"), "{msg}\n{details}");
    for difference in [
        "sysctl net/ipv4/conf/eth0/arp_filter is 0 instead of 1",
        "interface eth0: mac is 02:00:00:00:00:01 instead of 02:00:00:00:01:05",
        "interface eth0: mtu is 1300 instead of 1400",
        "interface eth0: promisc is off instead of on",
        "interface eth0: allmulti is off instead of on",
        "interface eth0: txQLen is 9 instead of 500",
    ] {
        assert!(details.contains(difference), "{difference}\n{details}");
    }
    call.raw("REPAIR").ok();
    call.check().ok();
    assert_eq!(chain.link(), everything());
    // The file still has what was before ADD.
    call.del().ok();
    assert_eq!(chain.link()["mtu"], 1500);
    chain.pod.sh("ip link del eth0");
    assert!(call.check().err().2.contains("interface eth0 is gone"));
}

#[test]
fn a_failed_add_restores() {
    let chain = Chain::new();
    let before = (chain.link(), chain.node.state());
    for keys in [
        json!({ "mac": MAC, "promisc": true, "mtu": 70_000 }),
        json!({ "mac": MAC, "sysctl": { "net.ipv4.conf.IFNAME.none": "1" } }),
        json!({ "mac": "01:00:00:00:00:01", "mtu": 1400 }),
    ] {
        chain.tuning(&keys).add().err();
        assert_eq!(chain.link(), before.0);
        assert_same!(before.1, chain.node.state());
        assert!(!fs::exists(FILE).unwrap());
    }
    // The second ADD of an attachment leaves what the first one made, and its file.
    let good = chain.tuning(&json!({ "mtu": 1400 }));
    good.add().ok();
    chain.tuning(&json!({ "mac": MAC, "mtu": 70_000 })).add().err();
    assert_eq!((&chain.link()["mac"], &chain.link()["mtu"]), (&before.0["mac"], &json!(1400)));
    good.del().ok();
    assert_eq!(chain.link(), before.0);
}

#[test]
fn a_failed_add_restores_sysctls() {
    let chain = Chain::new();
    let keys = ["net.ipv4.conf.eth0.arp_filter", "net.ipv4.ip_forward", "net.ipv4.tcp_rmem"];
    let sysctls = || keys.map(|key| chain.sysctl(key));
    let before = sysctls();
    let mut wanted = json!({ "sysctl": {
        "net.ipv4.conf.IFNAME.arp_filter": "1",
        "net.ipv4.ip_forward": "1",
        "net.ipv4.tcp_rmem": "4096 8192 16384",
    } });
    chain.tuning(&wanted).add().ok();
    assert_eq!(sysctls(), ["1", "1", "4096 8192 16384"]);
    keys.iter().zip(&before).for_each(|(key, value)| {
        chain.pod.sh(&format!("sysctl -w '{key}={value}'"));
    });
    // The kernel refuses a setting of the link, after the sysctls.
    wanted["mtu"] = 70_000.into();
    chain.tuning(&wanted).add().err();
    assert_eq!(sysctls(), before);
    // The kernel does not have the last sysctl.
    wanted["mtu"] = 0.into();
    wanted["sysctl"]["net.ipv4.zzz"] = "1".into();
    chain.tuning(&wanted).add().err();
    assert_eq!(sysctls(), before);
}

/// An ADD that is slow to write its file, and other calls of the attachment meanwhile.
#[test]
fn calls_of_one_attachment_exclude_each_other() {
    let delay = "inject=rename:delay_enter=500000";
    let slow = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=rename", "-e", delay];
    let chain = Chain::new();
    let before = chain.link();
    let wait = || while !fs::exists(format!("{FILE}.new")).unwrap() {};
    let first = chain.tuning(&json!({ "mtu": 1400 }));
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| first.clone().under(&slow).add().ok());
        wait();
        chain.tuning(&json!({ "mtu": 1300 })).add().ok();
        adding.join().unwrap();
    });
    assert_eq!(chain.link()["mtu"], 1300);
    first.del().ok();
    assert_eq!(chain.link(), before);
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| first.clone().under(&slow).add().ok());
        wait();
        first.del().ok();
        adding.join().unwrap();
    });
    assert_eq!(chain.link(), before);
    assert!(!fs::exists(FILE).unwrap());
}

#[test]
fn two_entries_in_one_chain() {
    let chain = Chain::new();
    let before = chain.link();
    let first = chain.tuning(&json!({ "mtu": 1400 }));
    let result = first.add().ok();
    let second = chain.tuning(&json!({ "mtu": 1300, "mac": MAC })).prev(&result);
    let result = second.add().ok();
    assert_eq!((&chain.link()["mtu"], &chain.link()["mac"]), (&json!(1300), &json!(MAC)));
    second.prev(&result).del().ok();
    assert_eq!(chain.link(), before);
    first.prev(&result).del().ok();
    assert_eq!(chain.link(), before);
    // bridge's part of the chain is untouched.
    assert!(chain.node.ping("10.1.2.2"));
}

#[test]
fn del_does_not_need_the_namespace() {
    let chain = Chain::new();
    let call = chain.tuning(&json!({ "mtu": 1400 }));
    call.add().ok();
    call.clone().unset("CNI_NETNS").del().ok();
    assert!(!fs::exists(FILE).unwrap());
    call.add().ok();
    chain.node.delete(&chain.pod);
    for _ in 0..2 {
        call.del().ok();
        assert!(!fs::exists(FILE).unwrap());
    }
}

/// The path may lead to another container by the time of DEL.
#[test]
fn another_containers_interface_is_left_alone() {
    let chain = Chain::new();
    let call = chain.tuning(&json!({ "mtu": 1400, "mac": MAC }));
    call.add().ok();
    let other = chain.node.pod("b");
    join(&chain.node, &other);
    other.sh("ip link set eth0 mtu 1350");
    let before = link(&other);
    call.clone().netns(&other).del().ok();
    assert_eq!(link(&other), before);
    assert!(!fs::exists(FILE).unwrap());
    // A new container of the same name, after one that was not deleted.
    call.add().ok();
    chain.node.delete(&chain.pod);
    let new = chain.node.pod("a");
    new.sh("ip link add eth0 mtu 1350 type veth peer name eth1");
    let before = link(&new);
    call.add().ok();
    call.del().ok();
    assert_eq!(link(&new), before);
}

#[test]
fn files_of_the_reference() {
    let chain = Chain::new();
    let before = chain.link();
    fs::write(FILE, format!("{{\n \"mac\": {},\n \"mtu\": 1500\n}}", before["mac"])).unwrap();
    chain.pod.sh(&format!("ip link set eth0 address {MAC} mtu 1400"));
    chain.tuning(&json!({ "mac": MAC, "mtu": 1400 })).del().ok();
    assert_eq!(chain.link(), before);
    assert!(!fs::exists(FILE).unwrap());
    fs::write(FILE, "no JSON").unwrap();
    let folder = json!({ "mtu": 1400, "dataDir": "/run/elsewhere" });
    chain.tuning(&folder).add().ok();
    assert!(fs::exists("/run/elsewhere/a_eth0.json").unwrap());
    chain.tuning(&folder).del().ok();
    assert_eq!(chain.link(), before);
    chain.tuning(&json!({})).del().ok();
    assert!(!fs::exists(FILE).unwrap());
}

#[test]
fn gc_removes_the_files_of_attachments_that_are_gone() {
    let chain = Chain::new();
    let call = chain.tuning(&json!({ "mtu": 1400, "DataDir": "/run/elsewhere" }));
    call.add().ok();
    let file = "/run/elsewhere/a_eth0.json";
    let gc = |valid: Value| call.clone().key("cni.dev/valid-attachments", valid).gc().ok();
    gc(json!([{ "containerID": "a", "ifname": "eth0" }]));
    assert!(fs::exists(file).unwrap());
    gc(json!([{ "containerID": "a", "ifname": "eth1" }]));
    assert!(!fs::exists(file).unwrap());
    assert_eq!(chain.link()["mtu"], 1400);
}

#[test]
fn the_allow_list() {
    let chain = Chain::new();
    let keys = json!({ "sysctl": { "net.ipv4.conf.all.log_martians": "1" } });
    let call = chain.tuning(&keys);
    fs::create_dir_all("/etc/cni/tuning").unwrap();
    fs::write(ALLOW_LIST, "^net\\.core\\.\n\nsomaxconn\n").unwrap();
    let refused = "Sysctl net.ipv4.conf.all.log_martians is not allowed. Only the following \
        sysctls are allowed: [^net\\.core\\. somaxconn]";
    assert_eq!(call.add().err().1, refused);
    assert_eq!(call.raw("PLAN").err().1, refused);
    assert_eq!(call.status().err().1, refused);
    call.check().err();
    call.del().ok();
    fs::write(ALLOW_LIST, "^net\\.ipv4\\.conf\\.all\\.[a-z_]*$").unwrap();
    let result = call.add().ok();
    assert_eq!(chain.sysctl("net.ipv4.conf.all.log_martians"), "1");
    fs::write(ALLOW_LIST, "(").unwrap();
    assert!(call.add().err().1.starts_with(ALLOW_LIST));
    call.prev(&result).check().ok();
}

#[test]
fn values_that_the_reference_refuses() {
    let chain = Chain::new();
    let text = config("tuning", &json!({ "prevResult": chain.made })).to_string();
    let twice = r#""sysctl": { "net.core.somaxconn": "1", "net.core.somaxconn": "2" }"#;
    let call = chain.tuning(&json!({})).stdin(text.replacen('{', &format!("{{{twice},"), 1));
    assert_eq!(call.add().err().1, "duplicated sysctl keys are not allowed");
    call.del().ok();
    let alone = chain.node.plugin("tuning").conf(config("tuning", &json!({}))).container("a");
    assert_eq!(alone.netns(&chain.pod).add().err().1, "Required prevResult missing");
    let call = chain.tuning(&json!({ "mtu": 1400 }));
    call.clone().args("OTHER=1").add().err();
    call.args("MAC=02:00:00:00:00:09;IgnoreUnknown=1;OTHER=1").add().ok();
    assert_eq!(chain.link()["mac"], "02:00:00:00:00:09");
}

/// ADD and DEL are killed at each of their system calls; DEL restores what there was.
#[test]
fn kills_between_the_steps() {
    let chain = Chain::new();
    let before = chain.link();
    let call = chain.tuning(&json!({ "mtu": 1400, "mac": MAC }));
    for calls in ["sendto,sendmsg,write", "openat,rename,unlink"] {
        for verb in ["ADD", "DEL"] {
            let mut killed = 0;
            for when in 1..200 {
                if verb == "DEL" {
                    call.add().ok();
                }
                let inject = format!("inject={calls}:signal=KILL:when={when}");
                let strace = [
                    "strace",
                    "-qq",
                    "-f",
                    "-o",
                    "/dev/null",
                    "-e",
                    &format!("trace={calls}"),
                    "-e",
                    &inject,
                ];
                let is_done = call.clone().under(&strace).raw(verb).status.success();
                call.del().ok();
                assert_eq!(chain.link(), before, "{verb} killed at {calls} no. {when}");
                let left: Vec<_> = fs::read_dir(FOLDER).unwrap().collect();
                assert!(left.is_empty(), "{verb} killed at {calls} no. {when}: {left:?}");
                if is_done {
                    break;
                }
                killed += 1;
            }
            assert!(killed > 1, "{verb} at {calls}");
        }
    }
}
