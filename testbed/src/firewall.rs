//! The firewall's state as text: nf_tables, and the rules that iptables keeps elsewhere.

use crate::text::sorted;

/// The rules of `nft`, and of each iptables variant that has any.
pub(crate) fn rulesets(nft: &str, iptables: &[(&str, String)]) -> Vec<String> {
    let mut lines = ruleset(nft);
    for (tool, saved) in iptables {
        let rules = saved.lines().filter(|line| !line.starts_with('#'));
        let rules: Vec<String> = rules.map(without_counters).collect();
        if !rules.is_empty() {
            lines.push(format!("{tool}:"));
            lines.extend(rules);
        }
    }
    lines
}

/// A tracked connection without age, state and counters: `conntrack icmp src=10.1.2.3 dst=10.1.2.1
/// ..`.
pub(crate) fn connection(line: &str) -> String {
    const PROTOCOLS: [&str; 8] =
        ["tcp", "udp", "udplite", "icmp", "icmpv6", "sctp", "gre", "unknown"];
    const SAID: [&str; 6] = ["src=", "dst=", "sport=", "dport=", "type=", "zone="];
    let protocol = line.split_whitespace().find(|word| PROTOCOLS.contains(word));
    let said = |word: &&str| SAID.iter().any(|key| word.starts_with(key));
    let words = line.split_whitespace().filter(said);
    ["conntrack"].into_iter().chain(protocol).chain(words).collect::<Vec<_>>().join(" ")
}

/// `:POSTROUTING ACCEPT [3:180]` without the counters.
fn without_counters(line: &str) -> String {
    match (line.starts_with(':'), line.rsplit_once(" [")) {
        (true, Some((chain, _))) => chain.to_owned(),
        _ => line.to_owned(),
    }
}

/// A ruleset with one line for each element of a set, sorted, because the kernel lists elements in
/// any order.
fn ruleset(listed: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = listed;
    while let Some(start) = rest.find("elements = {") {
        let (before, from) = rest.split_at(start);
        let end = from.find('}').unwrap_or(from.len());
        let (elements, after) = from.split_at(end);
        let elements = elements.trim_start_matches("elements = {");
        lines.extend(before.lines().map(str::to_owned));
        lines.extend(sorted(split_outside_quotes(elements).map(|e| format!("\t\telement {e}"))));
        rest = after.trim_start_matches('}');
    }
    lines.extend(rest.lines().map(str::to_owned));
    lines.retain(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.iter_mut().for_each(|line| *line = line.trim_end().to_owned());
    lines
}

/// The parts between commas outside of quotes.
fn split_outside_quotes(text: &str) -> impl Iterator<Item = String> {
    let mut quoted = false;
    let parts: Vec<String> = text
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|part| !part.is_empty())
        .collect();
    parts.into_iter()
}

#[cfg(test)]
mod tests {
    use super::{connection, ruleset, without_counters};

    #[test]
    fn elements_of_a_set_are_sorted() {
        let listed = "table inet t {\n\tset s {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.9 \
                      comment \"b, c\",\n\t\t\t     10.0.0.1 }\n\t}\n\n}\n";
        assert_eq!(
            ruleset(listed),
            [
                "table inet t {",
                "\tset s {",
                "\t\ttype ipv4_addr",
                "\t\telement 10.0.0.1",
                "\t\telement 10.0.0.9 comment \"b, c\"",
                "\t}",
                "}",
            ]
        );
    }

    #[test]
    fn of_a_connection_age_and_counters_are_left_out() {
        let listed = "ipv4     2 icmp     1 29 src=10.1.2.2 dst=10.1.2.1 type=8 code=0 id=7 \
                      src=10.1.2.1 dst=10.1.2.2 type=0 code=0 id=7 mark=0 zone=0 use=2";
        assert_eq!(
            connection(listed),
            "conntrack icmp src=10.1.2.2 dst=10.1.2.1 type=8 src=10.1.2.1 dst=10.1.2.2 type=0 \
             zone=0"
        );
    }

    #[test]
    fn counters_are_left_out() {
        assert_eq!(without_counters(":INPUT ACCEPT [12:345]"), ":INPUT ACCEPT");
        assert_eq!(without_counters("-A INPUT -j ACCEPT"), "-A INPUT -j ACCEPT");
    }
}
