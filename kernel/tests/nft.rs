//! nf_tables on the real kernel: the output of `nft`, and the effect on packets.
#![cfg(test)]

mod net;

use std::net::IpAddr;
use std::sync::{Arc, Barrier};
use std::thread;

use insta::assert_snapshot;
use ipnetwork::IpNetwork;
use kernel::nft::{IptablesFamily, Job, Nft};
use kernel::{Mac, Owner};
use net::Net;

const ONE: &str = "ferrocni:dbnet/c1/eth0";
const TWO: &str = "ferrocni:dbnet/c2/eth0";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn subnet(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

fn mac(last: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, last])
}

/// Uses nf_tables in `net`.
fn nft<T: Send + 'static>(net: &Net, work: impl FnOnce(&mut Nft) -> T + Send + 'static) -> T {
    net.enter(move || work(&mut Nft::open().unwrap()))
}

fn declare(nft: &mut Nft, job: kernel::Result<Job<'_>>) {
    nft.declare(&job.unwrap()).unwrap();
}

fn masquerade(net: &Net, tag: &'static str, address: &'static str, prefix: u8) -> bool {
    let subnet = IpNetwork::new(ip(address), prefix).unwrap();
    let job = Job::masquerade(tag, ip(address), subnet).unwrap();
    nft(net, move |nft| nft.declare(&job).unwrap())
}

fn differences(net: &Net) -> Vec<String> {
    let job = Job::masquerade(ONE, ip("10.1.2.5"), subnet("10.1.2.0/24")).unwrap();
    nft(net, move |nft| nft.differences(&job).unwrap())
}

fn guard(net: &Net, tag: &'static str, last: u8) -> bool {
    let job = Job::guard(tag, "veth1", mac(last)).unwrap();
    nft(net, move |nft| nft.declare(&job).unwrap())
}

fn both_families(net: &Net) {
    assert!(masquerade(net, ONE, "10.1.2.5", 24));
    assert!(masquerade(net, ONE, "fd00::5", 64));
}

#[test]
fn masquerade_is_one_element_beside_a_shared_skeleton() {
    let net = Net::new();
    both_families(&net);
    assert_snapshot!(net.ruleset(), @r#"
    table inet ferrocni {
    	map masq4 {
    		type ipv4_addr : verdict
    		elements = { 10.1.2.5 comment "ferrocni:dbnet/c1/eth0" : jump masq_10.1.2.0/24 }
    	}

    	map masq6 {
    		type ipv6_addr : verdict
    		elements = { fd00::5 comment "ferrocni:dbnet/c1/eth0" : jump masq_fd00__/64 }
    	}

    	chain postrouting {
    		type nat hook postrouting priority srcnat; policy accept;
    		ip daddr 224.0.0.0/4 return
    		ip6 daddr ff00::/8 return
    		ip saddr vmap @masq4
    		ip6 saddr vmap @masq6
    	}

    	chain masq_10.1.2.0/24 {
    		ip daddr 10.1.2.0/24 return
    		masquerade
    	}

    	chain masq_fd00__/64 {
    		ip6 daddr fd00::/64 return
    		masquerade
    	}
    }
    "#);
}

#[test]
fn repeating_changes_nothing() {
    let net = Net::new();
    both_families(&net);
    let before = net.ruleset();
    assert!(!masquerade(&net, ONE, "10.1.2.5", 24));
    assert!(!masquerade(&net, ONE, "fd00::5", 64));
    assert_eq!(net.ruleset(), before);
    assert_eq!(differences(&net), Vec::<String>::new());
}

#[test]
fn the_output_of_nft_can_be_loaded_again() {
    let net = Net::new();
    both_families(&net);
    for (address, prefix) in [("10.9.9.9", 32), ("fd01::1", 128), ("10.8.8.8", 0), ("fd02::1", 8)] {
        masquerade(&net, ONE, address, prefix);
    }
    guard(&net, ONE, 1);
    let copy = Net::new();
    copy.load(&net.ruleset());
    assert_eq!(copy.ruleset(), net.ruleset());
    assert!(!masquerade(&copy, ONE, "10.1.2.5", 24), "the copy is as good as the original");
    let guarded = guard(&copy, ONE, 1);
    assert!(!guarded, "the copy is as good as the original");
}

#[test]
fn an_address_passes_to_its_new_owner_and_stays_there() {
    let net = Net::new();
    masquerade(&net, ONE, "10.1.2.5", 24);
    assert!(masquerade(&net, TWO, "10.1.2.5", 16));
    let of = |net: &Net| nft(net, |nft| nft.masquerade_of(ip("10.1.2.5")).unwrap());
    assert_eq!(of(&net), Some((subnet("10.1.0.0/16"), TWO.to_owned())));
    // The former owner is deleted late: neither by address nor by tag may it remove what belongs to
    // another owner now.
    let removed = nft(&net, |nft| nft.unmasquerade(ONE, Some(&[ip("10.1.2.5")])).unwrap());
    assert_eq!(removed, 0);
    assert_eq!(nft(&net, |nft| nft.unmasquerade(ONE, None).unwrap()), 0);
    assert_eq!(of(&net), Some((subnet("10.1.0.0/16"), TWO.to_owned())));
}

#[test]
fn removal_needs_no_addresses_and_no_tables() {
    let net = Net::new();
    assert_eq!(nft(&net, |nft| nft.unmasquerade(ONE, None).unwrap()), 0);
    assert_eq!(nft(&net, |nft| nft.unmasquerade(ONE, Some(&[ip("10.1.2.5")])).unwrap()), 0);
    both_families(&net);
    masquerade(&net, TWO, "10.1.2.6", 24);
    let twice = [ip("10.1.2.5"), ip("10.1.2.5")];
    assert_eq!(nft(&net, move |nft| nft.unmasquerade(ONE, Some(&twice)).unwrap()), 1);
    masquerade(&net, ONE, "10.1.2.5", 24);
    assert_eq!(nft(&net, |nft| nft.unmasquerade(ONE, None).unwrap()), 2);
    assert_eq!(nft(&net, |nft| nft.masquerade_of(ip("10.1.2.5")).unwrap()), None);
    assert!(nft(&net, |nft| nft.masquerade_of(ip("10.1.2.6")).unwrap()).is_some());
}

#[test]
fn collection_takes_stale_owners_and_empty_subnets() {
    let net = Net::new();
    both_families(&net);
    masquerade(&net, TWO, "10.1.2.6", 24);
    let removed = nft(&net, |nft| nft.collect_masquerade(|tag| tag == ONE).unwrap());
    assert_eq!(removed, 2);
    assert_snapshot!(net.ruleset(), @r#"
    table inet ferrocni {
    	map masq4 {
    		type ipv4_addr : verdict
    		elements = { 10.1.2.6 comment "ferrocni:dbnet/c2/eth0" : jump masq_10.1.2.0/24 }
    	}

    	map masq6 {
    		type ipv6_addr : verdict
    	}

    	chain postrouting {
    		type nat hook postrouting priority srcnat; policy accept;
    		ip daddr 224.0.0.0/4 return
    		ip6 daddr ff00::/8 return
    		ip saddr vmap @masq4
    		ip6 saddr vmap @masq6
    	}

    	chain masq_10.1.2.0/24 {
    		ip daddr 10.1.2.0/24 return
    		masquerade
    	}
    }
    "#);
}

#[test]
fn collection_takes_more_than_fits_into_one_batch() {
    let net = Net::new();
    let (removed, left) = nft(&net, |nft| {
        for i in 0..200 {
            declare(nft, Job::masquerade(ONE, [10, 1, 2, i].into(), subnet("10.1.2.0/24")));
        }
        declare(nft, Job::masquerade(TWO, ip("10.1.2.201"), subnet("10.1.2.0/24")));
        let removed = nft.collect_masquerade(|tag| tag == ONE).unwrap();
        (removed, nft.masquerade_of(ip("10.1.2.201")).unwrap())
    });
    assert_eq!(removed, 200);
    assert_eq!(left, Some((subnet("10.1.2.0/24"), TWO.to_owned())));
}

#[test]
fn each_damage_is_named_and_mended() {
    let net = Net::new();
    both_families(&net);
    let whole = net.ruleset();
    let mut named = String::new();
    for damage in [
        "nft flush ruleset",
        "nft flush chain inet ferrocni postrouting",
        "nft flush chain inet ferrocni masq_10.1.2.0/24",
        "nft delete element inet ferrocni masq4 { 10.1.2.5 }",
        "nft flush table inet ferrocni",
        "nft insert rule inet ferrocni postrouting counter",
    ] {
        net.run(damage);
        named += &format!("{damage}\n  {}\n", differences(&net).join("\n  "));
        masquerade(&net, ONE, "10.1.2.5", 24);
        masquerade(&net, ONE, "fd00::5", 64);
        assert_eq!(differences(&net), Vec::<String>::new(), "after {damage}");
    }
    net.run("nft delete chain inet ferrocni postrouting");
    masquerade(&net, ONE, "10.1.2.5", 24);
    assert_eq!(sorted(&net.ruleset()), sorted(&whole));
    assert_snapshot!(named, @r#"
    nft flush ruleset
      nf_tables chain inet ferrocni postrouting is missing
      nf_tables chain inet ferrocni masq_10.1.2.0/24 is missing
      10.1.2.5 is not masqueraded
    nft flush chain inet ferrocni postrouting
      nf_tables chain inet ferrocni postrouting lacks the rule: ip daddr 224.0.0.0/4 return
      nf_tables chain inet ferrocni postrouting lacks the rule: ip6 daddr ff00::/8 return
      nf_tables chain inet ferrocni postrouting lacks the rule: ip saddr vmap @masq4
      nf_tables chain inet ferrocni postrouting lacks the rule: ip6 saddr vmap @masq6
    nft flush chain inet ferrocni masq_10.1.2.0/24
      nf_tables chain inet ferrocni masq_10.1.2.0/24 lacks the rule: ip daddr 10.1.2.0/24 return
      nf_tables chain inet ferrocni masq_10.1.2.0/24 lacks the rule: masquerade
    nft delete element inet ferrocni masq4 { 10.1.2.5 }
      10.1.2.5 is not masqueraded
    nft flush table inet ferrocni
      nf_tables chain inet ferrocni postrouting lacks the rule: ip daddr 224.0.0.0/4 return
      nf_tables chain inet ferrocni postrouting lacks the rule: ip6 daddr ff00::/8 return
      nf_tables chain inet ferrocni postrouting lacks the rule: ip saddr vmap @masq4
      nf_tables chain inet ferrocni postrouting lacks the rule: ip6 saddr vmap @masq6
      nf_tables chain inet ferrocni masq_10.1.2.0/24 lacks the rule: ip daddr 10.1.2.0/24 return
      nf_tables chain inet ferrocni masq_10.1.2.0/24 lacks the rule: masquerade
    nft insert rule inet ferrocni postrouting counter
    "#);
}

/// The lines, sorted: a chain that was recreated is listed in another place.
fn sorted(ruleset: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = ruleset.lines().collect();
    lines.sort_unstable();
    lines
}

/// Runs `work` in several threads in `net`, all started together.
fn at_once(net: &Net, threads: u8, work: impl Fn(u8, &mut Nft) + Send + Sync + 'static) {
    net.enter(move || {
        let (start, work) = (Arc::new(Barrier::new(usize::from(threads))), Arc::new(work));
        let workers: Vec<_> = (0..threads)
            .map(|i| {
                let (start, work) = (Arc::clone(&start), Arc::clone(&work));
                thread::spawn(move || {
                    let mut nft = Nft::open().unwrap();
                    start.wait();
                    work(i, &mut nft);
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn sixty_four_at_once_make_one_skeleton() {
    let net = Net::new();
    at_once(&net, 64, |i, nft| {
        let tag = format!("ferrocni:dbnet/c{i}/eth0");
        let (v4, v6) = ([10, 1, 2, i].into(), ip(&format!("fd00::{i:x}")));
        let port = format!("veth{i}");
        let job = Job::masquerade(&tag, v4, subnet("10.1.2.0/24")).unwrap();
        nft.declare(&job).unwrap();
        declare(nft, Job::masquerade(&tag, v6, subnet("fd00::/64")));
        declare(nft, Job::guard(&tag, &port, mac(i)));
        let differences = nft.differences(&job).unwrap();
        assert_eq!(differences, Vec::<String>::new());
        if i % 2 == 0 {
            assert_eq!(nft.unmasquerade(&tag, Some(&[v4, v6])).unwrap(), 2);
            assert_eq!(nft.unguard(&tag, &port).unwrap(), 2);
        }
    });
    let left = net.ruleset();
    assert_eq!(left.matches("comment").count(), 32 * 4, "{left}");
    nft(&net, |nft| {
        nft.collect_masquerade(|_| true).unwrap();
        nft.collect_guards(|_| true).unwrap();
    });
    assert_snapshot!(net.ruleset(), @r#"
    table inet ferrocni {
    	map masq4 {
    		type ipv4_addr : verdict
    	}

    	map masq6 {
    		type ipv6_addr : verdict
    	}

    	chain postrouting {
    		type nat hook postrouting priority srcnat; policy accept;
    		ip daddr 224.0.0.0/4 return
    		ip6 daddr ff00::/8 return
    		ip saddr vmap @masq4
    		ip6 saddr vmap @masq6
    	}
    }
    table bridge ferrocni {
    	set guarded {
    		type ifname
    	}

    	set allowed {
    		type ifname . ether_addr
    	}

    	chain prerouting {
    		type filter hook prerouting priority dstnat; policy accept;
    		iifname . ether saddr @allowed accept
    		iifname @guarded drop
    	}
    }
    "#);
}

#[test]
fn a_removal_keeps_an_element_that_another_attachment_just_took() {
    let net = Net::new();
    for _ in 0..100 {
        masquerade(&net, ONE, "10.1.2.5", 24);
        at_once(&net, 2, |i, nft| match i {
            0 => drop(nft.unmasquerade(ONE, Some(&[ip("10.1.2.5")])).unwrap()),
            _ => declare(nft, Job::masquerade(TWO, ip("10.1.2.5"), subnet("10.1.2.0/24"))),
        });
        let owner = nft(&net, |nft| nft.masquerade_of(ip("10.1.2.5")).unwrap());
        assert_eq!(owner.map(|(_, tag)| tag).as_deref(), Some(TWO));
    }
}

#[test]
fn collections_and_arrivals_at_once() {
    let net = Net::new();
    at_once(&net, 16, |i, nft| {
        for _ in 0..20 {
            // Each thread has its own subnet, whose chain GC may delete at the same time.
            let (tag, address) = (format!("ferrocni:dbnet/c{i}/eth0"), [10, 1, i, 5].into());
            let subnet = IpNetwork::new(address, 24).unwrap();
            declare(nft, Job::masquerade(&tag, address, subnet));
            nft.collect_masquerade(|of| of == tag).unwrap();
        }
    });
    assert!(!net.ruleset().contains("masq_"), "{}", net.ruleset());
}

#[test]
fn a_guard_is_two_elements() {
    let net = Net::new();
    assert!(guard(&net, ONE, 1));
    assert!(!guard(&net, ONE, 1));
    assert_snapshot!(net.ruleset(), @r#"
    table bridge ferrocni {
    	set guarded {
    		type ifname
    		elements = { "veth1" comment "ferrocni:dbnet/c1/eth0" }
    	}

    	set allowed {
    		type ifname . ether_addr
    		elements = { "veth1" . 02:00:00:00:00:01 comment "ferrocni:dbnet/c1/eth0" }
    	}

    	chain prerouting {
    		type filter hook prerouting priority dstnat; policy accept;
    		iifname . ether saddr @allowed accept
    		iifname @guarded drop
    	}
    }
    "#);
}

#[test]
fn a_guard_is_replaced_with_all_its_addresses() {
    let net = Net::new();
    let guard = |tag, last| guard(&net, tag, last);
    let differ = || {
        let job = Job::guard(TWO, "veth1", mac(2)).unwrap();
        nft(&net, move |nft| nft.differences(&job).unwrap())
    };
    let mut named = format!("nothing:\n  {}\n", differ().join("\n  "));
    guard(ONE, 1);
    named += &format!("another:\n  {}\n", differ().join("\n  "));
    assert!(guard(TWO, 2));
    assert_eq!(differ(), Vec::<String>::new());
    net.run("nft flush chain bridge ferrocni prerouting");
    named += &format!("flushed:\n  {}\n", differ().join("\n  "));
    assert_snapshot!(named, @r#"
    nothing:
      nf_tables chain bridge ferrocni prerouting is missing
      port veth1 is not guarded
      port veth1 may not send as 02:00:00:00:00:02
    another:
      port veth1 is guarded for "ferrocni:dbnet/c1/eth0", not "ferrocni:dbnet/c2/eth0"
      port veth1 may not send as 02:00:00:00:00:02
      port veth1 may also send as 02:00:00:00:00:01
    flushed:
      nf_tables chain bridge ferrocni prerouting lacks the rule: iifname . ether saddr @allowed accept
      nf_tables chain bridge ferrocni prerouting lacks the rule: iifname @guarded drop
    "#);
    assert!(guard(TWO, 2));
    assert_eq!(net.ruleset().matches(ONE).count(), 0);
    assert_eq!(nft(&net, |nft| nft.unguard(ONE, "veth1").unwrap()), 0, "it is another's");
    assert_eq!(nft(&net, |nft| nft.unguard(TWO, "veth1").unwrap()), 2);
    assert_eq!(nft(&net, |nft| nft.unguard(TWO, "veth1").unwrap()), 0);
    assert_eq!(nft(&net, |nft| nft.collect_guards(|_| true).unwrap()), 0);
}

#[test]
fn the_reference_suites_rules_go_and_others_stay() {
    let net = Net::new();
    net.load(include_str!("net/reference.nft"));
    let owner = |ifname: &str| Owner {
        network: "unit-test".into(),
        container: "one".into(),
        ifname: ifname.into(),
    };
    let eth0 = owner("eth0");
    assert!(nft(&net, move |nft| nft.remove_reference_leftovers(&eth0).unwrap()));
    assert_snapshot!(net.ruleset(), @r#"
    table inet cni_plugins_masquerade {
    	chain masq_checks {
    		ip saddr 10.1.2.6 ip daddr != 10.1.2.0/24 masquerade comment "6fd94d501e58f0aa-aaaaaaaaaaaaaaaa, net: unit-test, if: eth0, id: two"
    	}

    	chain postrouting {
    		type nat hook postrouting priority srcnat; policy accept;
    		ip daddr 224.0.0.0/4 return
    		ip6 daddr ff00::/8 return
    		goto masq_checks
    	}
    }
    table bridge nat {
    	chain cni-br-iface-two-eth0 {
    		accept comment "macspoofchk-two-eth0"
    	}

    	chain PREROUTING {
    		type filter hook prerouting priority dstnat; policy accept;
    		iifname "veth2" jump cni-br-iface-two-eth0 comment "macspoofchk-two-eth0"
    	}
    }
    "#);
    let eth0 = owner("eth0");
    assert!(!nft(&net, move |nft| nft.remove_reference_leftovers(&eth0).unwrap()));
    let none = Net::new();
    let eth0 = owner("eth0");
    assert!(!nft(&none, move |nft| nft.remove_reference_leftovers(&eth0).unwrap()));
    assert_eq!(none.ruleset(), "");
}

#[test]
fn iptables_chains_are_found_without_running_iptables() {
    let net = Net::new();
    let exists = |family| nft(&net, move |nft| nft.iptables_chain_exists(family, "CNI-1").unwrap());
    assert!(!exists(IptablesFamily::Ipv4));
    net.run("iptables-nft -t nat -N CNI-1");
    assert!(exists(IptablesFamily::Ipv4));
    assert!(!exists(IptablesFamily::Ipv6));
    net.run("ip6tables-nft -t nat -N CNI-1");
    assert!(exists(IptablesFamily::Ipv6));
}

#[test]
fn errors_name_the_object_and_the_reason() {
    let net = Net::new();
    let mut said = Vec::new();
    let declared = |job: kernel::Result<Job<'static>>| {
        let job = job?;
        nft(&net, move |nft| nft.declare(&job))
    };
    said.push(declared(Job::masquerade("a\"b", ip("10.1.2.5"), subnet("10.1.2.0/24"))));
    said.push(declared(Job::masquerade(ONE, ip("fd00::5"), subnet("10.1.2.0/24"))));
    said.push(declared(Job::guard(ONE, "much-too-long-name", mac(1))));
    // A chain of this suite that another program has changed to another type.
    net.load("table inet ferrocni { chain postrouting { counter; }; }");
    said.push(declared(Job::masquerade(ONE, ip("10.1.2.5"), subnet("10.1.2.0/24"))));
    let said: Vec<_> = said.into_iter().map(|result| result.unwrap_err().to_string()).collect();
    assert_snapshot!(said.join("\n"), @r#"
    use "a\"b" as an nf_tables comment: it must have 1 to 127 bytes, no quotes and no control characters
    masquerade fd00::5: its subnet 10.1.2.0/24 is of the other address family
    guard the bridge port "much-too-long-name": this is not a valid interface name
    add nf_tables chain inet ferrocni postrouting: Operation not supported (os error 95)
    "#);
}
