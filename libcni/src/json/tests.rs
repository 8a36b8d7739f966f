use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Net {
    is_gateway: bool,
    mtu: u16,
    vlan: Option<u16>,
    ipam: Ipam,
    capabilities: BTreeMap<String, bool>,
    free: Value,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Ipam {
    ranges: Vec<Vec<Range>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    subnet: ipnetwork::IpNetwork,
    range_start: Option<std::net::IpAddr>,
}

#[test]
fn keys_match_in_any_case_at_every_level() {
    let value = json!({"ISGATEWAY": true, "Mtu": 9, "VLAN": 4, "Ipam": {"RANGES": [[{"Subnet": "10.0.0.0/8",
        "rangestart": "10.0.0.5"}]]}});
    let net: Net = from_value(&value).unwrap();
    assert!(net.is_gateway);
    assert_eq!((net.mtu, net.vlan), (9, Some(4)));
    assert_eq!(net.ipam.ranges[0][0].range_start, Some("10.0.0.5".parse().unwrap()));
}

#[test]
fn the_exact_key_is_preferred_and_null_is_absent() {
    let net: Net = from_value(&json!({"MTU": 1, "mtu": 2, "Mtu": 3, "ipam": null})).unwrap();
    assert_eq!(net.mtu, 2);
    let net: Net = from_value(&json!({"mtu": null, "vlan": null, "other": [1]})).unwrap();
    assert_eq!(net, Net::default());
}

#[test]
fn keys_of_maps_and_free_values_stay_as_they_are() {
    let net: Net =
        from_value(&json!({"capabilities": {"portMappings": true}, "free": {"MTU": [null]}}))
            .unwrap();
    assert!(net.capabilities.contains_key("portMappings"));
    assert_eq!(net.free, json!({"MTU": [null]}));
}

#[test]
fn errors_name_the_key() {
    let wrong = |value: Value| from_value::<Net>(&value).unwrap_err().msg;
    assert_eq!(wrong(json!({"MTU": -1})), "mtu: invalid value: integer `-1`, expected u16");
    assert_eq!(wrong(json!({"mtu": 1.5})), "mtu: invalid type: floating point `1.5`, expected u16");
    assert_eq!(
        wrong(json!({"ipam": {"ranges": [[{"subnet": "10.0.0.0/8"}, {"subnet": 3}]]}})),
        "ipam.ranges[0][1].subnet: invalid type: integer `3`, expected a string"
    );
    assert_eq!(wrong(json!({"ipam": []})), "ipam: invalid type: sequence, expected struct Ipam");
    assert_eq!(
        wrong(json!({"ipam": {"ranges": [[{}]]}})),
        "ipam.ranges[0][0]: missing field `subnet`"
    );
    assert_eq!(wrong(json!("x")), "invalid type: string \"x\", expected struct Net");
}

#[test]
fn a_key_that_does_not_fit_counts_as_absent() {
    let read = |value: Value| from_value_without_mistakes::<Net>(&value, &["ipam.dataDir"]);
    let (net, mistakes) = read(json!({"MTU": -5, "mtu": "x", "vlan": 4, "ipam": {"Ranges": 7},
        "capabilities": {"mac": 1, "ips": true}}))
    .unwrap();
    assert_eq!((net.mtu, net.vlan, net.ipam), (0, Some(4), Ipam::default()));
    assert_eq!(net.capabilities.keys().collect::<Vec<_>>(), ["ips"]);
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    assert!(mistakes[0].starts_with("mtu: ") && mistakes[1].starts_with("ipam.ranges: "));
    assert!(mistakes[2].starts_with("capabilities.mac: "), "{mistakes:?}");
    // A mistake inside a list discards the list; a value that should be an object is discarded
    // whole.
    let (net, mistakes) = read(json!({"ipam": {"ranges": [[{"subnet": 3}]]}})).unwrap();
    assert_eq!((net.ipam, mistakes.len()), (Ipam::default(), 1));
    assert_eq!(read(json!({"ipam": 5, "mtu": 9})).unwrap().0.mtu, 9);
    let many: Value = (0..1000).map(|n| (n.to_string(), json!(n))).collect();
    let (net, mistakes) = read(json!({"capabilities": many, "mtu": 9})).unwrap();
    assert!(net.capabilities.is_empty() && net.mtu == 9 && mistakes.len() < 20);
    assert!(read(json!("x")).is_err());
}

#[test]
fn a_key_that_is_needed_is_an_error() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        #[serde(rename = "dataDir")]
        _dir: String,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Outer {
        #[serde(rename = "ipam")]
        _ipam: Inner,
    }
    let wrong = json!({"IPAM": {"datadir": 5}});
    let error = from_value_without_mistakes::<Outer>(&wrong, &["ipam.dataDir"]).unwrap_err();
    assert!(error.msg.starts_with("ipam.dataDir: "), "{error}");
}

#[test]
fn documents_are_bounded_and_whole() {
    let msg = |bytes: &[u8]| {
        let error = parse(bytes).unwrap_err();
        assert_eq!(error.code, Code::DECODE_FAILURE);
        error.msg
    };
    assert!(msg(&vec![b' '; MAX_BYTES + 1]).contains("larger than 8388608 bytes"));
    let objects = vec!["{}"; MAX_OBJECTS].join(",");
    assert!(msg(format!("{{\"a\": [{objects}]}}").as_bytes()).contains("100000 objects"));
    let values = vec!["0"; MAX_VALUES].join(",");
    assert!(msg(format!("{{\"a\": [{values}]}}").as_bytes()).contains("400000 values"));
    let quoted = format!("{{\"a\": \"{}\"}}", "{[,\\\"".repeat(MAX_VALUES));
    assert!(parse(quoted.as_bytes()).is_ok(), "what is in strings does not count");
    assert!(msg(b"").contains("EOF"));
    assert!(msg(b"{\"a\": 1").contains("EOF"));
    assert!(msg(b"{} x").contains("trailing"));
    assert!(msg(b"{\"\xff\": 1}").contains("utf-8"));
    assert!(msg(b"[1]").contains("found a list"));
    assert!(msg(format!("{}{}", "{\"a\":".repeat(200), "1}").as_bytes()).contains("recursion"));
    assert_eq!(parse(br#"{"a": 1, "a": 2}"#).unwrap(), json!({"a": 2}));
}

#[test]
fn a_type_that_flattens_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Flat {
        #[serde(rename = "mtu")]
        _mtu: u16,
        #[serde(flatten)]
        _ipam: Ipam,
    }
    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(rename = "list")]
        _list: Vec<Flat>,
    }
    let flat = json!({"mtu": 9, "ranges": []});
    let error = from_value::<Flat>(&flat).unwrap_err();
    assert!(error.msg.starts_with("the type has #[serde(flatten)]"), "{error}");
    let error = from_value::<Outer>(&json!({ "list": [flat] })).unwrap_err();
    assert!(error.msg.starts_with("list[0]: the type has #[serde(flatten)]"), "{error}");
    from_value_without_mistakes::<Flat>(&flat, &[]).unwrap_err();
}

#[test]
fn keys_of_maps_may_be_types() {
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Kind {
        PortMappings,
    }
    let map: BTreeMap<Kind, bool> = from_value(&json!({"portMappings": true})).unwrap();
    assert!(map[&Kind::PortMappings]);
    let map: BTreeMap<crate::IfName, u8> = from_value(&json!({"eth0": 1})).unwrap();
    assert_eq!(map.len(), 1);
}

#[test]
fn entries_are_all_of_them_in_their_order() {
    let text = r#"{"SysCtl": {"b": "1", "a": "2", "b": 3}, "other": {"b": 4}, "sysctl": null,
        "sysctl": {"a": "5"}, "deep": {"sysctl": {"c": 6}}}"#;
    let entries = entries(text, "sysctl").unwrap();
    let of = |key: &str, value: Value| (key.to_owned(), value);
    let expected =
        [of("b", json!("1")), of("a", json!("2")), of("b", json!(3)), of("a", json!("5"))];
    assert_eq!(entries, expected);
    for (text, why) in [
        ("[]", "expected an object"),
        (r#"{"sysctl": 5}"#, "expected an object"),
        ("{} x", "trailing"),
    ] {
        let error = super::entries(text, "sysctl").unwrap_err();
        assert!(error.msg.contains(why), "{text}: {error}");
    }
}
