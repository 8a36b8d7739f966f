//! STATUS of every plugin: if it succeeds, the next ADD works; if it fails, that ADD fails because
//! of the host.
#![cfg(test)]

use serde_json::{Value, json};
use testbed::Node;

/// A fault of a host, and how to repair it.
struct Fault {
    /// Plugins and keys whose ADD fails because of it.
    fails: &'static [(&'static str, &'static str)],
    /// Plugins and keys whose ADD works all the same.
    works: &'static [(&'static str, &'static str)],
    comes: &'static str,
    goes: &'static str,
}

const BRIDGE: &str = "{}";
const GATEWAY: &str = r#"{"isGateway": true}"#;
const BEHIND: &str = r#"{"master": "uplink", "hostRoutes": ["10.96.0.0/12"]}"#;
const MASQUERADE: &str = r#"{"ipMasq": true}"#;
const GUARD: &str = r#"{"macspoofchk": true}"#;
const MACVLAN: &str = r#"{"master": "uplink"}"#;
const ACCESS: &str = r#"{"master": "uplink", "hostAccess": true}"#;

const FAULTS: &[Fault] = &[
        Fault {
            fails: &[],
            works: &[
                ("bridge", BRIDGE),
                ("bridge", MASQUERADE),
                ("bridge", GUARD),
                ("ptp", "{}"),
                ("ptp", MASQUERADE),
                ("macvlan", MACVLAN),
                ("macvlan", ACCESS),
            ],
            comes: "true",
            goes: "true",
        },
        // Another program has the name of our map.
        Fault {
            fails: &[("bridge", MASQUERADE), ("ptp", MASQUERADE)],
            works: &[("bridge", BRIDGE), ("bridge", GUARD), ("ptp", "{}"), ("macvlan", MACVLAN)],
            comes: "nft add table inet ferrocni; nft add set inet ferrocni masq4 \
                '{ type ifname; }'",
            goes: "nft delete table inet ferrocni",
        },
        Fault {
            fails: &[("bridge", GUARD)],
            works: &[("bridge", MASQUERADE), ("ptp", MASQUERADE)],
            comes: "nft add table bridge ferrocni; nft add set bridge ferrocni allowed \
                '{ type inet_service; }'",
            goes: "nft delete table bridge ferrocni",
        },
        Fault {
            fails: &[("bridge", BRIDGE)],
            works: &[("ptp", "{}"), ("macvlan", MACVLAN)],
            comes: "ip link add cni0 type veth peer name other",
            goes: "ip link del cni0",
        },
        Fault {
            fails: &[("bridge", BRIDGE), ("ptp", "{}"), ("macvlan", MACVLAN)],
            works: &[],
            comes: "mkdir -p /var/lib/cni/networks; mount -t tmpfs -o ro none \
                /var/lib/cni/networks",
            goes: "umount /var/lib/cni/networks",
        },
        Fault {
            fails: &[("macvlan", MACVLAN), ("macvlan", ACCESS)],
            works: &[("bridge", BRIDGE), ("ptp", "{}")],
            comes: "ip link set uplink name gone",
            goes: "ip link set gone name uplink",
        },
        // As in an unprivileged container. Networks without forwarding are not affected.
        Fault {
            fails: &[
                ("bridge", GATEWAY),
                ("ptp", "{}"),
                ("macvlan", ACCESS),
                ("macvlan", BEHIND),
            ],
            works: &[("bridge", BRIDGE), ("macvlan", MACVLAN)],
            comes: "sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0; mount --bind \
                -o ro /proc/sys /proc/sys",
            goes: "umount /proc/sys",
        },
        // Transient conditions, or partial ones, do not fail STATUS.
        Fault {
            fails: &[],
            works: &[("macvlan", MACVLAN), ("macvlan", ACCESS), ("bridge", BRIDGE), ("ptp", "{}")],
            comes: "ip link set uplink down",
            goes: "ip link set uplink up; ip addr add 2001:db8:ffff::1/64 dev uplink nodad",
        },
        Fault {
            fails: &[],
            works: &[("bridge", MASQUERADE), ("ptp", MASQUERADE)],
            comes: "ip link add cni0 type bridge; ip link add stray0 type veth peer name stray1; ip link set stray0 master cni0
                nft add table inet ferrocni; ip route add blackhole 10.1.2.128/25",
            goes: "ip link del cni0; ip link del stray0; nft delete table inet ferrocni; ip route \
                del blackhole 10.1.2.128/25",
        },
];

fn config(plugin: &str, keys: &str) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": plugin,
        "ipam": { "type": "host-local", "ranges": [
            [{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]
        ]}
    });
    let keys: Value = serde_json::from_str(keys).unwrap();
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

#[test]
fn status_predicts_whether_add_succeeds() {
    for fault in FAULTS {
        let tried = fault.fails.iter().map(|it| (it, false));
        for ((plugin, keys), works) in tried.chain(fault.works.iter().map(|it| (it, true))) {
            let one = || {
                let node = Node::new();
                let _outside = node.outside();
                node.sh(fault.comes);
                let pod = node.pod("a");
                let what = format!("{plugin} {keys} after {}", fault.comes);
                let config = config(plugin, keys);
                let call = node.plugin(plugin).conf(&config).container("a").netns(&pod);
                let before = node.state();
                let status = call.raw("STATUS");
                testbed::assert_same!(before, node.state(), "{what}");
                let add = call.add();
                if works {
                    status.ok();
                    add.ok();
                    call.status().ok();
                } else {
                    let (code, msg, _) = status.err();
                    assert_eq!(code, 50, "{what}: {msg}");
                    add.err();
                }
                // As soon as the fault is repaired, STATUS and ADD succeed.
                node.sh(fault.goes);
                call.del().ok();
                call.status().ok();
                call.add().ok();
            };
            let done = std::thread::scope(|scope| scope.spawn(one).join());
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

/// STATUS rejects a configuration that every ADD rejects, with a message.
#[test]
fn status_rejects_configurations_that_add_rejects() {
    for (plugin, keys) in [
        ("bridge", r#"{"hairpinMode": true, "promiscMode": true}"#),
        ("bridge", r#"{"vlan": 5000}"#),
        ("bridge", r#"{"disableContainerInterface": true}"#),
        ("bridge", r#"{"ipMasq": true, "ipMasqBackend": "pf"}"#),
        ("ptp", r#"{"ipMasq": true, "ipMasqBeyond": ["everywhere"]}"#),
        ("macvlan", r#"{"master": "uplink", "mode": "zz"}"#),
    ] {
        let one = || {
            let node = Node::new();
            let _outside = node.outside();
            let pod = node.pod("a");
            let config = config(plugin, keys);
            let call = node.plugin(plugin).conf(&config).container("a").netns(&pod);
            let [(status, said, _), (add, msg, _)] = [call.raw("STATUS").err(), call.add().err()];
            assert_eq!((status, said), (7, msg.clone()), "{plugin} {keys}");
            assert_eq!(add, 7, "{plugin} {keys}: {msg}");
        };
        let done = std::thread::scope(|scope| scope.spawn(one).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
