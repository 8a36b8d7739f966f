//! Properties of stock nodes: only cgroups of version 2, br_netfilter, VLANs.

use std::fs;
use std::path::Path;

use e2e::{Containerd, Machine, Release};
use serde_json::json;

#[test]
fn pods_on_a_bridge_and_on_a_vlan() {
    let hierarchies = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(hierarchies, "0::/init\n", "cgroups of version 2 alone");
    let machine = Machine::new();
    let outside = machine.outside();
    for (host, link, address) in [(&**machine, "uplink", 1), (&*outside, "eth0", 2)] {
        host.sh(&format!(
            "ip link add link {link} name vlan5 type vlan id 5
             ip addr add 198.51.100.{address}/24 dev vlan5; ip link set vlan5 up"
        ));
    }
    let bridged = json!({ "cniVersion": "1.0.0", "name": "bridged", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
        }
    }]});
    machine.network(bridged);
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::Stable);
    // Packets between the ports of a bridge pass the filters of the machine.
    let bridge_nf = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    assert_eq!(machine.enter(|| fs::read_to_string(bridge_nf)).unwrap(), "1\n");
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    for address in b.addresses() {
        assert!(a.ping(address) && machine.ping(address), "{address}");
    }
    assert!(a.ping(outside.v4) && a.ping(outside.v6), "the outside answers the machine alone");
    let server = b.serve();
    assert!(fs::metadata(format!("/sys/fs/cgroup/pods/b/{}/pids.max", b.id())).is_ok());
    for address in b.addresses() {
        let url = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        let page = server.exec(&["wget", "-qO-", &format!("http://{url}/")]);
        assert_eq!(page, "served by a pod\n", "{address}");
    }

    // containerd detaches a pod from the current network, not from the one that the pod is attached
    // to.
    drop((a, b));
    machine.forget("bridged");
    let on_a_vlan = json!({ "cniVersion": "1.0.0", "name": "vlan", "plugins": [{
        "type": "macvlan", "master": "vlan5",
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "198.51.100.0/24", "rangeStart": "198.51.100.100" }]] }
    }]});
    containerd.network_on(&machine, &on_a_vlan);
    let c = containerd.pod("c");
    let tagged = outside.count("eth0", "vlan id 5 icmp type echo-request", || {
        assert!(c.ping("198.51.100.2"), "{:?} to the outside", c.addresses());
    });
    assert_eq!(tagged, 1);
    drop(c);
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}
