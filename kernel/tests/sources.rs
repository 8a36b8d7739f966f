//! The hosts whose IP-in-IP packets are dropped. A kernel without a tunnel answers those that pass,
//! which shows the difference.
#![cfg(test)]

mod net;

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use kernel::nft::{Nft, Sources};
use net::Net;

const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

fn networks(list: &[&str]) -> Vec<Ipv4Network> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

/// Limits the sources of a network's tunnel. Returns whether something was missing.
fn limit(
    net: &Net,
    network: &'static str,
    to: Option<Ipv4Addr>,
    except: &[Ipv4Addr],
    from: Option<&[&str]>,
) -> bool {
    let (except, from) = (except.to_vec(), from.map(networks));
    net.enter(move || {
        let sources = Sources { network, to, except: &except, from: from.as_deref() };
        let mut nft = Nft::open().unwrap();
        let changed = nft.limit_sources(sources).unwrap();
        assert_eq!(nft.sources_differences(sources).unwrap(), Vec::<String>::new());
        assert!(!nft.limit_sources(sources).unwrap(), "nothing is written twice");
        changed
    })
}

#[test]
fn each_network_has_one_set_and_its_rules_stand_in_order() {
    let net = Net::new();
    assert!(limit(&net, "more", None, &[Ipv4Addr::new(192, 0, 2, 77)], Some(&["10.0.0.3"])));
    let peers = ["192.0.2.2", "192.0.2.4", "192.0.2.3", "198.51.100.0/24"];
    assert!(limit(&net, "pods", Some(OWN), &[], Some(&peers)));
    assert!(limit(&net, "open", Some(SECOND), &[], None));
    let ruleset = net.ruleset();
    let written = ["elements = ", "ip protocol "];
    let lines = ruleset.lines().map(str::trim);
    let lines: Vec<&str> =
        lines.filter(|line| written.iter().any(|start| line.starts_with(start))).collect();
    let counter = "counter packets 0 bytes 0 drop";
    assert_eq!(
        lines,
        [
            "elements = { 10.0.0.3 }".to_owned(),
            "elements = { 192.0.2.2-192.0.2.4, 198.51.100.0/24 }".to_owned(),
            "ip protocol ipencap ip daddr 192.0.2.9 accept comment \"ferrocni:open\"".to_owned(),
            format!(
                "ip protocol ipencap ip daddr 192.0.2.1 ip saddr != @peers_pods {counter} comment \
                 \"ferrocni:pods\""
            ),
            "ip protocol ipencap ip daddr 192.0.2.1 accept comment \"ferrocni:pods\"".to_owned(),
            format!(
                "ip protocol ipencap ip daddr != 192.0.2.77 ip saddr != @peers_more {counter} \
                 comment \"ferrocni:more\""
            ),
        ]
    );
    // A ruleset that was saved and loaded again is recognised.
    net.feed("nft flush ruleset", "").unwrap();
    net.feed("nft -f -", &ruleset).unwrap();
    assert!(!limit(&net, "pods", Some(OWN), &[], Some(&peers)));
    // Removing one network leaves the others unchanged.
    net.enter(|| Nft::open().unwrap().forget_sources("pods").unwrap());
    let left = net.ruleset();
    assert!(!left.contains("pods") && left.contains("ferrocni:more"), "{left}");
    assert!(!limit(&net, "open", Some(SECOND), &[], None));
}

#[test]
fn differences_are_named_and_repaired() {
    let net = Net::new();
    limit(&net, "pods", Some(OWN), &[], Some(&["192.0.2.2", "198.51.100.0/24"]));
    let differences = |from: &'static [&'static str]| {
        net.enter(move || {
            let from = networks(from);
            let sources =
                Sources { network: "pods", to: Some(OWN), except: &[], from: Some(&from) };
            Nft::open().unwrap().sources_differences(sources).unwrap()
        })
    };
    assert_eq!(
        differences(&["192.0.2.2", "192.0.2.3"]),
        [
            "nf_tables set inet ferrocni peers_pods lacks 192.0.2.2/31",
            "nf_tables set inet ferrocni peers_pods has 192.0.2.2, which is left over",
            "nf_tables set inet ferrocni peers_pods has 198.51.100.0/24, which is left over",
        ]
    );
    assert!(limit(&net, "pods", Some(OWN), &[], Some(&["192.0.2.2", "192.0.2.3"])));
    net.feed("nft flush chain inet ferrocni input", "").unwrap();
    assert_eq!(
        differences(&["192.0.2.2", "192.0.2.3"]),
        [
            "nf_tables chain inet ferrocni input lacks the rule: ip protocol 4 ip daddr 192.0.2.1 \
             ip saddr != @peers_pods counter drop",
            "nf_tables chain inet ferrocni input lacks the rule: ip protocol 4 ip daddr 192.0.2.1 \
             accept",
        ]
    );
    assert!(limit(&net, "pods", Some(OWN), &[], Some(&["192.0.2.2", "192.0.2.3"])));
    // The tunnel gets another address, then none of its own.
    assert!(limit(&net, "pods", Some(SECOND), &[], Some(&["192.0.2.2"])));
    assert!(!net.ruleset().contains("192.0.2.1 "));
    assert!(limit(&net, "pods", None, &[], Some(&[])));
    assert_eq!(net.ruleset().matches("ferrocni:pods").count(), 1);
}

#[test]
fn twenty_thousand_scattered_peers_come_change_and_go() {
    let net = Net::new();
    net.enter(|| {
        let scattered = |count: u32| -> Vec<Ipv4Network> {
            (0..count).map(|at| Ipv4Addr::from(0x0a00_0000 + 2 * at).into()).collect()
        };
        let mut nft = Nft::open().unwrap();
        for count in [20_000, 19_999, 3] {
            let from = scattered(count);
            let sources = Sources { network: "pods", to: None, except: &[], from: Some(&from) };
            assert!(nft.limit_sources(sources).unwrap());
            assert_eq!(nft.sources_differences(sources).unwrap(), Vec::<String>::new());
        }
        let from = scattered(50);
        let sources = Sources { network: "pods", to: None, except: &[], from: Some(&from) };
        let said = nft.sources_differences(sources).unwrap();
        assert_eq!(
            (said.len(), said.last().unwrap().ends_with("has 37 more differences")),
            (11, true)
        );
    });
}
