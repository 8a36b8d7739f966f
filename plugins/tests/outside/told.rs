//! PLAN, STATUS and lint report beforehand what ADD rejects because of the host; and no remedy cuts
//! off a container.

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same, binary};

/// A network whose gateway is the bridge `cni0`.
fn network(name: &str, subnet: &str, keys: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.1.0", "name": name, "type": "bridge", "isGateway": true,
        "ipam": { "type": "host-local", "subnet": subnet } });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("bridge").conf(config).netns(pod).container(pod.name())
}

/// The output of lint for one configuration.
fn lint(config: &Value) -> String {
    std::fs::create_dir_all("/run/net.d").unwrap();
    std::fs::write("/run/net.d/one.conf", config.to_string()).unwrap();
    let mut command = std::process::Command::new(binary("cnitool"));
    command.args(["lint", "--path"]).arg(testbed::bin()).arg("/run/net.d/one.conf");
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// The state of the node, without the directories of host-local, which an ADD changes before it is
/// rejected.
fn state(node: &Node) -> String {
    let state = node.state();
    let lines = state.lines().filter(|line| !line.contains("/var/lib/cni/networks"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Checks that PLAN, STATUS and ADD all fail with this message and these details, and change
/// nothing.
#[track_caller]
fn all_refuse(node: &Node, call: &Cni, msg: &str) -> String {
    let before = state(node);
    let mut said = String::new();
    for verb in ["PLAN", "STATUS", "ADD"] {
        let outcome = call.raw(verb);
        let (_, found, details) = outcome.err();
        assert!(found.contains(msg), "{outcome}");
        assert_same!(before, state(node), "after {outcome}");
        assert!(said.is_empty() || said == details, "{said} is not {details}");
        said = details;
    }
    said
}

#[test]
fn two_networks_on_one_bridge() {
    let node = Node::new();
    let [a, b] = ["a", "b"].map(|name| node.pod(name));
    let blue = network("blue", "10.1.2.0/24", json!({}));
    let red = network("red", "10.1.3.0/24", json!({}));
    call(&node, &blue, &a).add().ok();
    let advice = all_refuse(
        &node,
        &call(&node, &red, &b),
        "\"cni0\" already has an IP address different from 10.1.3.1/24: 10.1.2.1/24",
    );
    assert_eq!(
        advice,
        "10.1.2.1/24 is in use on cni0, by 1 container of the network \"blue\". Give this network \
         another \"bridge\", or the subnet and the gateway that cni0 has."
    );
    let text = lint(&red);
    assert!(text.contains("1 container of the network \"blue\""), "{text}");
    assert!(!text.contains("ip address del") && !text.contains("forceAddress"), "{text}");
    // The pod of the first network still exists, and each remedy that is named works.
    assert!(a.ping("10.1.2.1"));
    let other = network("red", "10.1.3.0/24", json!({ "bridge": "cni1" }));
    call(&node, &other, &b).status().ok();
    call(&node, &other, &b).add().ok();
    assert!(a.ping("10.1.2.1") && b.ping("10.1.3.1"));
    call(&node, &other, &b).del().ok();
    let same = network(
        "red",
        "10.1.2.0/24",
        json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.128" } }),
    );
    call(&node, &same, &b).add().ok();
    assert!(a.ping("10.1.2.1") && b.ping("10.1.2.1"));
    // `forceAddress` would cut the first one off, and lint reports that.
    let forced = network("red", "10.1.3.0/24", json!({ "forceAddress": true }));
    let text = lint(&forced);
    assert!(text.contains("\"forceAddress\" removes 10.1.2.1/24 from cni0"), "{text}");
}

#[test]
fn a_subnet_that_was_changed_under_live_containers() {
    let node = Node::new();
    let [a, b] = ["a", "b"].map(|name| node.pod(name));
    let old = network("blue", "10.1.2.0/24", json!({}));
    let new = network("blue", "10.1.3.0/24", json!({}));
    call(&node, &old, &a).add().ok();
    let advice = all_refuse(&node, &call(&node, &new, &b), "already has an IP address different");
    assert!(advice.contains("by 1 container of this network. Go back to the subnet"), "{advice}");
    call(&node, &old, &a).del().ok();
    // Now no container uses it, and the remedy works.
    let advice = all_refuse(&node, &call(&node, &new, &b), "already has an IP address different");
    assert!(advice.contains("(ip address del 10.1.2.1/24 dev cni0)"), "{advice}");
    node.sh("ip address del 10.1.2.1/24 dev cni0");
    call(&node, &new, &b).status().ok();
    call(&node, &new, &b).add().ok();
}

#[test]
fn ports_of_others_are_not_cut_off_either() {
    let node = Node::new();
    let b = node.pod("b");
    node.sh("ip link add cni0 type bridge; ip addr add 10.1.2.1/24 dev cni0; ip link set cni0 up
        ip link add tap0 type veth peer name tap1; ip link set tap0 master cni0 up");
    let red = network("red", "10.1.3.0/24", json!({}));
    let advice = all_refuse(&node, &call(&node, &red, &b), "already has an IP address different");
    assert!(advice.contains("by 1 port of unknown owners. Give this network another"), "{advice}");
}

#[test]
fn two_gateways_of_ipv4_for_one_bridge() {
    let node = Node::new();
    let a = node.pod("a");
    let ipam = json!({ "type": "host-local",
        "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "10.1.3.0/24" }], [{ "subnet": "fd00::/64" }]] });
    let config = network("blue", "", json!({ "ipam": ipam }));
    call(&node, &config, &a).add().err();
    node.sh("rm -rf /var/lib/cni/networks; ip link del cni0 2>/dev/null || true");
    for verb in ["PLAN", "STATUS", "ADD"] {
        let outcome = call(&node, &config, &a).raw(verb);
        let (code, msg, _) = outcome.err();
        let what = "cni0 cannot be the gateway 10.1.2.1/24 and 10.1.3.1/24 at once";
        assert!(code == 7 && msg.contains(what), "{outcome}");
    }
    assert!(!node.sh("ip link").contains("cni0"), "nothing was made");
    let text = lint(&config);
    assert!(
        text.contains("the bridge cannot be the gateway of 10.1.2.0/24 and of 10.1.3.0/24"),
        "{text}"
    );
    // A bridge that is no container's gateway needs none.
    let mut plain = config;
    plain["isGateway"] = false.into();
    call(&node, &plain, &a).add().ok();
}

#[test]
fn vlans_on_a_kernel_that_does_not_filter_them() {
    let node = Node::new();
    let a = node.pod("a");
    let config = network("blue", "10.1.2.0/24", json!({ "vlan": 100 }));
    let made = node.try_run(&["ip", "link", "add", "try", "type", "bridge", "vlan_filtering", "1"]);
    let call = call(&node, &config, &a);
    if made.status.success() {
        node.sh("ip link del try");
        call.status().ok();
        call.raw("PLAN").ok();
        return call.add().ok().is_object().then_some(()).unwrap();
    }
    let advice = all_refuse(
        &node,
        &call,
        "create the bridge cni0: the bridges of this kernel do not filter VLANs",
    );
    assert!(advice.contains("CONFIG_BRIDGE_VLAN_FILTERING"), "{advice}");
    assert!(lint(&config).contains("do not filter VLANs"), "{}", lint(&config));
    node.sh("ip link add cni0 type bridge");
    let what = "enable VLAN filtering of cni0: the bridges of this kernel do not filter VLANs";
    all_refuse(&node, &call, what);
}

/// Kernels without bridges are rare. Here the kernel's answers to the plugin are replaced, from
/// some request on, by the answer of such a kernel.
#[test]
fn a_kernel_without_bridges() {
    let node = Node::new();
    let a = node.pod("a");
    let call = call(&node, &network("blue", "10.1.2.0/24", json!({})), &a);
    for verb in ["STATUS", "PLAN", "ADD"] {
        let mut said = (1..=12).map(|from| {
            // If the kernel does not answer, an address stays reserved until DEL.
            node.sh("rm -rf /var/lib/cni/networks");
            let inject = format!("inject=sendto:error=EOPNOTSUPP:when={from}+");
            let strace = ["strace", "-f", "-o", "/dev/null", "-e", "trace=sendto", "-e", &inject];
            call.clone().under(&strace).raw(verb).stdout
        });
        let said = said.find(|said| said.contains("this kernel does not support bridges"));
        let said = said.unwrap_or_else(|| panic!("{verb} does not say it"));
        assert!(said.contains("modprobe bridge"), "{verb} says {said}");
    }
    assert!(!state(&node).contains("cni0"), "{}", state(&node));
}
