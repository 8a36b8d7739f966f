//! The same configuration and the same calls, by the reference suite and by ours, each on a node of
//! its own. Results must be equal, and the kernel's state too, but for names and MAC addresses and
//! for what `docs/differences.md` lists.

use crate::{Node, normalise};
use serde_json::{Value, json};

/// What is different on purpose; each has its line in `docs/differences.md`.
fn is_intended(line: &str) -> bool {
    // These plugins announce more, also for containers without IPv6, and do not wait for duplicate
    // address detection.
    let announced = line.contains("sysctl ")
        && ["arp_notify", "ndisc_notify", "accept_dad"].iter().any(|key| line.contains(key));
    // A gateway in a VLAN is in that alone, and deaf to router advertisements.
    let gateway =
        ["- vlan <veth> vlan 1", "+ sysctl net/ipv6/conf/cbr0.100/accept_ra = 0"].contains(&line);
    announced || gateway
}

/// Both suites' results and states after ADD, and after DEL.
struct Seen {
    result: String,
    added: String,
    deleted: String,
}

fn run(reference: bool, plugin: &'static str, config: Value, args: &'static str) -> Seen {
    std::thread::spawn(move || {
        let node = Node::new();
        let (a, b) = (node.pod("a"), node.pod("b"));
        if plugin == "macvlan" {
            node.outside();
            node.sh("ip route add default via 192.0.2.2");
        }
        // Two containers on one bridge cannot have the same MAC address with ours
        // (`docs/differences.md`).
        let other_mac = args.replace("MAC=02:00:5e:10:00:01", "MAC=02:00:5e:10:00:02");
        let call = |pod, args: &str| {
            let call = node.plugin(plugin).conf(&config).args(args).netns(pod);
            if reference { call.suite(crate::reference()) } else { call }
        };
        let (first, second) =
            (call(&a, args).container("c1"), call(&b, &other_mac).container("c2"));
        let results = [first.add(), second.add()];
        let result = anonymous(&results.iter().map(shown).collect::<Vec<_>>().join("\n"));
        let added = state(&node);
        for (call, outcome) in [(first, &results[0]), (second, &results[1])] {
            if outcome.status.success() {
                call.prev(&outcome.json()).del().ok();
            }
        }
        Seen { result, added, deleted: state(&node) }
    })
    .join()
    .unwrap()
}

fn shown(outcome: &crate::Outcome) -> String {
    if !outcome.status.success() {
        return "an error".to_owned();
    }
    let mut result = outcome.json();
    // Version 1.1.1 of the reference prints an empty `dns` in every version, later ones only below
    // 1.0.0.
    if result["cniVersion"] == "1.0.0" && result["dns"] == json!({}) {
        result.as_object_mut().unwrap().remove("dns");
    }
    serde_json::to_string_pretty(&result).unwrap()
}

/// Without MAC addresses and random names, not even which of the MACs are the same: the reference's
/// bridges take those of their ports.
fn anonymous(text: &str) -> String {
    without_numbers(&normalise(text), "<mac")
}

/// `<mac>` for `<mac7>`.
fn without_numbers(text: &str, of: &str) -> String {
    let digits = |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    let mut parts = text.split(of);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + of + &digits(part))
}

/// The state without the firewall's rules (those are compared by packets, in `bridge.rs`), and
/// without what `docs/differences.md` says of names, MAC addresses, file modes and duplicate
/// address detection.
fn state(node: &Node) -> String {
    const FIREWALL: [&str; 9] =
        ["table ", "\t", "}", "iptables", "ip6tables", "*", ":", "-A ", "COMMIT"];
    // Which name is which depends on their order, and theirs are random.
    let text = without_numbers(&anonymous(&node.state()), "<veth");
    let lines = text.lines().filter(|line| !FIREWALL.iter().any(|start| line.starts_with(start)));
    let alike = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let alias = words.iter().position(|word| *word == "alias");
        let is_alias = |at: usize| alias.is_some_and(|alias| at == alias || at == alias + 1);
        let kept = words.iter().enumerate().filter(|(at, _)| !is_alias(*at)).map(|(_, word)| *word);
        let line = kept.collect::<Vec<_>>().join(" ");
        let flags = [" nodad", " noprefixroute", " onlink"];
        let line = flags
            .iter()
            .fold(line, |line, flag| line.replace(flag, ""))
            .replace("file 0644 ", "file 0600 ");
        if line.starts_with("link cbr0 ") {
            line.replace("00:00:00:00:00:00", "<mac>")
        } else {
            line
        }
    };
    lines.map(alike).collect::<Vec<_>>().join("\n")
}

/// Calls a plugin of the reference suite and ours with the same configuration.
///
/// # Panics
///
/// If their results or the kernel's states differ in what `docs/differences.md` does not list.
#[track_caller]
pub fn assert_same_as_reference(plugin: &'static str, config: Value, args: &'static str) {
    let theirs = run(true, plugin, config.clone(), args);
    let ours = run(false, plugin, config.clone(), args);
    let about = format!("{plugin} with {config}");
    let result = crate::diff(&theirs.result, &ours.result);
    assert!(result.is_empty(), "{about}: the result\n{result}");
    for (when, theirs, ours) in
        [("ADD", &theirs.added, &ours.added), ("DEL", &theirs.deleted, &ours.deleted)]
    {
        let differences = crate::diff(theirs, ours);
        let unexplained: Vec<_> = differences
            .lines()
            .filter(|line| (line.starts_with('-') || line.starts_with('+')) && !is_intended(line))
            .collect();
        assert!(unexplained.is_empty(), "{about}: the state after {when}\n{differences}");
    }
}
