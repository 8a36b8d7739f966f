use proptest::prelude::*;
use serde_json::json;

use serde_json::Value;

use super::*;
use crate::{Code, Error, SUPPORTED, Version};

fn example() -> AddResult {
    let value = json!({
        "interfaces": [
            {"name": "cni0", "mac": "aa:00:00:00:00:01"},
            {"name": "eth0", "mac": "aa:00:00:00:00:02", "mtu": 1400, "sandbox": "/run/netns/a", "pciID": "0:1"}
        ],
        "ips": [
            {"address": "10.1.2.3/24", "gateway": "10.1.2.1", "interface": 0},
            {"address": "fd00::3/64", "interface": 1}
        ],
        "routes": [
            {"dst": "0.0.0.0/0", "gw": "10.1.2.1", "mtu": 1300, "advmss": 1260, "priority": 5, "table": 0, "scope": 0},
            {"dst": "fd01::/64"}
        ],
        "dns": {"nameservers": ["10.1.2.1"], "domain": "a", "search": ["b"], "options": ["c"]}
    });
    AddResult::from_json(&value, Version::CURRENT).unwrap()
}

#[test]
fn printed_in_the_shape_of_each_family() {
    insta::assert_snapshot!("0.2.0", example().to_json(Version::new(0, 2, 0)).unwrap());
    insta::assert_snapshot!("0.4.0", example().to_json(Version::new(0, 4, 0)).unwrap());
    insta::assert_snapshot!("1.1.0", example().to_json(Version::new(1, 1, 0)).unwrap());
}

#[test]
fn empty_dns_is_printed_before_1_0_only() {
    let mut result = example();
    result.dns = Dns::default();
    for version in SUPPORTED {
        let printed = result.to_json(version).unwrap();
        assert_eq!(printed.contains("\"dns\": {}"), version < Version::new(1, 0, 0), "{version}");
    }
}

#[test]
fn the_oldest_versions_cannot_express_a_result_without_addresses() {
    let result = AddResult { ips: Vec::new(), ..example() };
    let error = result.to_json(Version::new(0, 1, 0)).unwrap_err();
    assert_eq!(error.msg, "cannot convert: no valid IP addresses");
    assert!(result.to_json(Version::new(0, 3, 0)).is_ok());
}

fn wrong(value: Value, version: &str) -> Error {
    AddResult::from_json(&value, Version::parse(version).unwrap()).unwrap_err()
}

#[test]
fn a_result_of_another_family_is_refused() {
    let error = wrong(json!({"cniVersion": "0.2.0"}), "1.1.0");
    assert_eq!(error.code, Code::DECODE_FAILURE);
    assert_eq!(
        error.msg,
        "result type supports [1.0.0 1.1.0] but unmarshalled CNIVersion is \"0.2.0\""
    );
    wrong(json!({"cniVersion": ""}), "1.0.0");
    wrong(json!({"CNIVERSION": "9.9.9"}), "1.0.0");
    wrong(json!({"cniVersion": 1}), "1.0.0");
    wrong(json!({"cniVersion": "1.0.0"}), "0.4.0");
    let same = json!({"cniVersion": "1.0.0"});
    assert_eq!(AddResult::from_json(&same, Version::CURRENT).unwrap(), AddResult::default());
    assert_eq!(wrong(json!({}), "0.5.0").msg, "unsupported CNI result version \"0.5.0\"");
}

#[test]
fn invalid_addresses_are_refused_and_named() {
    let error = wrong(json!({"ips": [{"address": "10.1.2.03/24"}]}), "1.1.0");
    assert_eq!(error.msg, "ips[0].address: invalid CIDR address: 10.1.2.03/24");
    let error = wrong(json!({"ips": [{"address": "10.1.2.3/24", "interface": -1}]}), "1.1.0");
    assert!(error.msg.starts_with("ips[0].interface: invalid value: integer `-1`"), "{error}");
    let error = wrong(json!({"ip4": {"ip": "fd00::1/64"}}), "0.2.0");
    assert_eq!(error.msg, "ip4.ip: fd00::1/64 is of the other address family");
}

#[test]
fn an_interface_out_of_range_is_let_pass_and_an_empty_gateway_is_none() {
    let value = json!({"ips": [{"address": "10.1.2.3/24", "interface": 7, "gateway": ""}]});
    let result = AddResult::from_json(&value, Version::CURRENT).unwrap();
    assert_eq!((result.ips[0].interface, result.ips[0].gateway), (Some(7), None));
}

#[test]
fn mapped_addresses_are_printed_as_ipv4() {
    let value = json!({"ips": [{"address": "::ffff:10.1.2.3/120", "gateway": "::ffff:10.1.2.1"}]});
    let printed = AddResult::from_json(&value, Version::CURRENT).unwrap();
    let printed = printed.to_json(Version::new(0, 2, 0)).unwrap();
    assert!(printed.contains("\"10.1.2.3/24\"") && printed.contains("\"10.1.2.1\""), "{printed}");
}

prop_compose! {
    fn network()(v6: bool, bits: u128, prefix in 0u8..=32) -> IpNetwork {
        let low = u32::try_from(bits & 0xffff_ffff).unwrap();
        // Not a mapped address: those come back as IPv4.
        let high = std::net::Ipv6Addr::from_bits(bits | 1 << 120);
        let address = if v6 { IpAddr::from(high) } else { std::net::Ipv4Addr::from_bits(low).into() };
        IpNetwork::new(address, prefix).unwrap()
    }
}

prop_compose! {
    fn ip_config()(address in network(), gateway in option(network()), interface in option(0usize..9)) -> IpConfig {
        IpConfig { address, gateway: gateway.map(|network| network.ip()), interface }
    }
}

prop_compose! {
    fn route()(dst in network(), gw in option(network()), mtu: u32, priority: u32, table: Option<u32>, scope: Option<u8>)
        -> Route {
        Route { mtu, priority, table, scope, ..Route::new(dst, gw.map(|network| network.ip())) }
    }
}

prop_compose! {
    fn interface()(name in "[a-z]{1,9}", mac in "[a-f:]{0,9}", sandbox in "[/a-z]{0,9}") -> Interface {
        Interface { name, mac, sandbox, ..Interface::default() }
    }
}

prop_compose! {
    fn result()(
        interfaces in proptest::collection::vec(interface(), 0..3),
        ips in proptest::collection::vec(ip_config(), 0..4),
        routes in proptest::collection::vec(route(), 0..4),
        domain in "[<>&a-z]{0,5}",
    ) -> AddResult {
        AddResult { interfaces, ips, routes, dns: Dns { domain, ..Dns::default() } }
    }
}

fn option<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(of)
}

fn again(result: &AddResult, version: Version) -> AddResult {
    let printed = result.to_json(version).unwrap();
    let value = serde_json::from_str(&printed).unwrap();
    assert_eq!(result.to_value(version).unwrap(), value, "printed and handed on are the same");
    AddResult::from_json(&value, version).unwrap()
}

proptest! {
    #[test]
    fn a_result_survives_the_families_with_lists(mut result in result(), mtu: u32) {
        prop_assert_eq!(&again(&result, Version::new(0, 3, 0)), &result);
        prop_assert_eq!(&again(&result, Version::new(0, 4, 0)), &result);
        prop_assert_eq!(&again(&result, Version::new(1, 0, 0)), &result);
        // What only the newest version can say.
        let without = result.clone();
        result.interfaces.iter_mut().for_each(|interface| interface.mtu = mtu);
        prop_assert_eq!(&again(&result, Version::new(1, 0, 0)), &without);
        prop_assert_eq!(&again(&result, Version::new(1, 1, 0)), &result);
    }

    #[test]
    fn the_oldest_family_keeps_one_address_of_each_kind_with_its_routes(result in result()) {
        prop_assume!(!result.ips.is_empty());
        let kept = again(&result, Version::new(0, 2, 0));
        prop_assert_eq!(&again(&kept, Version::new(0, 1, 0)), &kept);
        prop_assert_eq!(kept.dns, result.dns);
        for is_v4 in [true, false] {
            let first = |ips: &[IpConfig]| ips.iter().find(|ip| ip.address.is_ipv4() == is_v4).map(|ip| ip.address);
            prop_assert_eq!(first(&kept.ips), first(&result.ips));
            let count = |routes: &[Route]| routes.iter().filter(|route| route.dst.is_ipv4() == is_v4).count();
            let expected = if first(&result.ips).is_some() { count(&result.routes) } else { 0 };
            prop_assert_eq!(count(&kept.routes), expected);
        }
    }

    #[test]
    fn no_document_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9/.]{0,60}") {
        if let Ok(value) = serde_json::from_str(&text) {
            for version in SUPPORTED {
                AddResult::from_json(&value, version).ok();
            }
        }
    }
}
