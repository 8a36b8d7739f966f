use libcni::Verb;
use serde_json::{Value, json};

use super::*;
use crate::host_local::tests::call;

fn plugin(config: Value) -> HostLocal {
    libcni::json::from_value(&config).unwrap()
}

fn sets(config: Value) -> Result<Vec<String>> {
    let sets = plugin(config).sets(&call(Verb::Add))?;
    Ok(sets.iter().map(RangeSet::to_string).collect())
}

#[test]
fn sets_come_from_the_runtime_then_the_subnet_then_the_ranges() {
    let config = json!({
        "runtimeConfig": {"ipRanges": [[{"subnet": "10.3.0.0/24"}]]},
        "ipam": {"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9",
            "ranges": [[{"subnet": "10.2.0.0/24"}, {"subnet": "10.2.1.0/24"}], [{"subnet": "2001:db8::/64"}]]},
    });
    let order = [
        "10.3.0.1-10.3.0.254",
        "10.1.0.1-10.1.0.9",
        "10.2.0.1-10.2.0.254,10.2.1.1-10.2.1.254",
        "2001:db8::1-2001:db8::ffff:ffff:ffff:ffff",
    ];
    assert_eq!(sets(config).unwrap(), order);
}

#[test]
fn invalid_configurations_are_refused_with_code_7() {
    let says = |config: Value, msg: &str| {
        let error = sets(config).unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (Code::INVALID_CONFIG, msg));
    };
    let ranges = |ranges: Value| json!({"ipam": {"ranges": ranges}});
    says(json!({}), "IPAM config missing 'ipam' key");
    says(json!({"ipam": {}}), "no IP ranges specified");
    says(json!({"ipam": {"rangeStart": "10.1.2.3"}}), "no IP ranges specified");
    says(ranges(json!([[{"subnet": "10.1.2.0/24"}], []])), "invalid range set 1: empty range set");
    says(
        ranges(json!([[{"subnet": "10.1.2.0/24"}, {"subnet": "2001:db8::/64"}]])),
        "invalid range set 0: mixed address families",
    );
    says(
        ranges(json!([[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.0.0/16"}]])),
        "range set 0 overlaps with 1",
    );
    says(
        json!({"ipam": {"subnet": "10.1.2.0/32"}}),
        "invalid range set 0: Network 10.1.2.0/32 too small to allocate from",
    );
}

#[test]
fn old_versions_have_one_address_per_family() {
    let two = plugin(
        json!({"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.2.2.0/24"}]]}}),
    );
    let both = plugin(
        json!({"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "2001:db8::/64"}]]}}),
    );
    let mut call = call(Verb::Add);
    call.version = Version::new(0, 2, 0);
    let msg = "CNI version 0.2.0 does not support more than 1 address per family";
    assert_eq!(two.sets(&call).unwrap_err().msg, msg);
    assert_eq!(both.sets(&call).unwrap().len(), 2);
    call.version = Version::new(0, 3, 0);
    assert_eq!(two.sets(&call).unwrap().len(), 2);
}

#[test]
fn addresses_and_networks_are_read_as_the_reference_reads_them() {
    let error = |ipam: Value| {
        let error = libcni::json::from_value::<HostLocal>(&json!({"ipam": ipam})).unwrap_err();
        error.msg
    };
    for cidr in ["", "10.1.2.0", "10.1.2.0/255.255.255.0", "10.1.2.0/33", "10.1.2.0/+8", "x/8"] {
        let expected = format!("ipam.subnet: invalid CIDR address: {cidr}");
        assert_eq!(error(json!({"subnet": cidr})), expected);
    }
    let start = json!({"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.01"});
    assert_eq!(error(start), "ipam.rangeStart: invalid IP address: 10.1.2.01");
    assert_eq!(error(json!({"ranges": [[{}]]})), "ipam.ranges[0][0]: missing field `subnet`");

    let mapped = json!({"subnet": "10.1.2.0/24", "rangeStart": "::ffff:10.1.2.7", "gateway": "", "rangeEnd": null});
    assert_eq!(sets(json!({"IPAM": mapped})).unwrap(), ["10.1.2.7-10.1.2.254"]);
}

#[test]
fn requests_come_three_ways_in_order_and_once() {
    let plugin = plugin(json!({
        "args": {"cni": {"ips": ["10.1.2.8", "10.1.2.7/24"]}},
        "runtimeConfig": {"ips": ["2001:db8::8/64", "10.1.2.8/16"]},
    }));
    let mut call = call(Verb::Add);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    call.args = vec![pair("IP", "10.1.2.9"), pair("IgnoreUnknown", "TRUE"), pair("K8S", "x")];
    let requested: Vec<String> =
        plugin.requested(&call).unwrap().iter().map(IpAddr::to_string).collect();
    assert_eq!(requested, ["10.1.2.9", "10.1.2.8", "10.1.2.7", "2001:db8::8"]);

    let says = |args: Vec<(String, String)>, msg: &str| {
        let mut call = call.clone();
        call.args = args;
        let error = plugin.requested(&call).unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (Code::INVALID_ENVIRONMENT, msg));
    };
    says(
        vec![pair("IP", "10.1.2")],
        "ARGS: error parsing value of pair \"IP=10.1.2\": invalid IP address 10.1.2",
    );
    says(vec![pair("A", "B"), pair("C", "D")], r#"ARGS: unknown args ["A=B" "C=D"]"#);
}

#[test]
fn the_data_directory_has_no_dot_dot() {
    let dir = |dir: Value| plugin(json!({"ipam": {"dataDir": dir}})).data_dir();
    assert_eq!(dir(json!("")).unwrap(), Path::new(DATA_DIR));
    assert_eq!(dir(Value::Null).unwrap(), Path::new(DATA_DIR));
    assert_eq!(dir(json!("/run/cni")).unwrap(), Path::new("/run/cni"));
    for bad in ["run/cni", "./run", "/run/../etc", ".."] {
        assert_eq!(dir(json!(bad)).unwrap_err().code, Code::INVALID_CONFIG, "{bad}");
    }
}
