//! Plans with VLANs, which a kernel without VLAN filtering rejects. The snapshots are those of
//! `plans/`.

use serde_json::json;

use crate::node;
use testbed::plan::{assert_plan, config, plan_of, v4};

#[test]
fn plans_with_vlans() {
    let node = node();
    node.pod("a");
    let trunk = json!([{ "minID": 200, "maxID": 210 }, { "id": 101 }]);
    for (name, keys) in [
        ("vlan_gateway", json!({ "vlan": 100, "isGateway": true, "ipam": v4() })),
        ("vlan_trunk", json!({ "vlanTrunk": trunk })),
        ("vlan_trunk_and_vlan", json!({ "vlanTrunk": trunk, "vlan": 100 })),
        ("preserve_default_vlan", json!({ "vlan": 100, "preserveDefaultVlan": true })),
    ] {
        let mut keys = keys;
        keys["bridge"] = "cbr0".into();
        assert_plan(&format!("bridge_{name}"), "bridge", keys);
    }
}

#[test]
fn vlans_are_found_in_any_spelling() {
    let node = node();
    node.pod("a");
    let plain = json!({ "vlanTrunk": [{ "minID": 5, "maxID": 7 }], "ipam": v4() });
    let odd = json!({ "VlanTrunk": [{ "minid": 5, "MAXID": 7 }], "ipam": v4() });
    let [plain, odd] = [plain, odd].map(|keys| plan_of(&config("bridge", keys), ""));
    assert_eq!(plain, odd);
}
