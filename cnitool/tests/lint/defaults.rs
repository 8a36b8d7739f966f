//! Networks that each bring a default route.

use serde_json::{Value, json};

use crate::Bed;

fn network(name: &str, number: usize, more: Value) -> String {
    let mut ipam = json!({ "type": "host-local", "ranges": [
        [{ "subnet": format!("10.{number}.0.0/24") }], [{ "subnet": format!("fd00:{number}::/64") }],
    ] });
    let mut plugin = json!({ "type": "bridge", "bridge": format!("br{number}") });
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "routes" => ipam[key] = value.clone(),
            _ => plugin[key] = value.clone(),
        }
    }
    plugin["ipam"] = ipam;
    json!({ "cniVersion": "1.0.0", "name": name, "plugins": [plugin] }).to_string()
}

/// What lint says of this rule, of networks with these keys.
fn said(keys: &[Value]) -> Vec<String> {
    let bed = Bed::new();
    for (number, more) in keys.iter().enumerate() {
        let name = format!("n{number}");
        bed.write(&format!("net.d/{name}.conflist"), network(&name, number, more.clone()));
    }
    let run = bed.lint(&["--no-host", "--json", "net.d"]);
    assert_eq!(run.status, Some(0), "{}", run.stderr);
    let all: Value = serde_json::from_str(&run.stdout).unwrap();
    let of_rule = all.as_array().unwrap().iter().filter(|it| it["rule"] == "two-default-routes");
    of_rule
        .map(|it| {
            assert_eq!(it["severity"], "note");
            let text = |key: &str| it[key].as_str().unwrap();
            format!("{}: {}; {}", text("path"), text("message"), text("why"))
        })
        .collect()
}

#[test]
fn two_networks_with_a_default_route_are_named_for_each_family() {
    let by_key = json!({ "isGateway": true, "isDefaultGateway": true });
    let by_route = json!({ "isGateway": true, "routes": [{ "dst": "0.0.0.0/0" }] });
    assert_eq!(
        said(&[by_key.clone(), by_route.clone()]),
        ["plugins[0].ipam.routes[0]: the network \"n0\" also has a default route of IPv4; a \
          container on both networks has both routes, and uses the one that was added last"]
    );
    let both = said(&[by_key.clone(), by_key.clone()]);
    assert!(
        both.iter().any(|line| line.contains("of IPv6") && line.contains("splits its connections")),
        "{both:?}"
    );
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn one_default_route_or_one_with_a_priority_is_no_finding() {
    let by_route = json!({ "isGateway": true, "routes": [{ "dst": "0.0.0.0/0" }] });
    assert_eq!(said(&[by_route.clone(), json!({ "isGateway": true })]), [""; 0]);
    let later = json!({ "isGateway": true, "routes": [{ "dst": "0.0.0.0/0", "priority": 100 }] });
    assert_eq!(said(&[by_route.clone(), later]), [""; 0]);
    let other = json!({ "isGateway": true, "routes": [{ "dst": "::/0" }] });
    assert_eq!(said(&[by_route, other]), [""; 0]);
}
