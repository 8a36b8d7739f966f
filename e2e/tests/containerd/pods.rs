//! Pods reach each other, the machine and what is beyond it.

use e2e::{Containerd, Machine, Release};
use serde_json::{Value, json};

fn bridge() -> Value {
    json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
        }
    }]})
}

#[test]
fn over_a_bridge() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(bridge());
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    println!("{:?} {:?}", a.addresses(), b.addresses());
    for address in b.addresses() {
        assert!(a.ping(address), "{address}");
        assert!(machine.ping(address), "{address}");
    }
    assert!(a.ping(outside.v4) && a.ping(outside.v6));
    let (client, _server) = (a.start(&["sleep", "1000000"]), b.serve());
    let page = client.exec(&["wget", "-qO-", &format!("http://{}/", b.addresses()[0])]);
    assert_eq!(page, "served by a pod\n");
    drop((a, b));
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}
