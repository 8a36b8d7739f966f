//! The state of a host and its containers as lines that can be understood without their context.

use serde_json::Value;
use testbed::Pod;

use super::names::Names;
use super::part::{Aspect, CONTAINERS, Part};
use crate::fixture::Fixture;

/// Kinds of lines whose order has no meaning: they are sorted again after names are replaced.
const SORTED: [&str; 13] = [
    "link ",
    "vlan ",
    "addr ",
    "route ",
    "-6 route ",
    "neigh ",
    "rule ",
    "-6 rule ",
    "sysctl ",
    "qdisc ",
    "filter ",
    "file ",
    "dir ",
];
/// The nf_tables tables of iptables, which `iptables-save` shows better.
const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// The current state.
pub fn of(fixture: &Fixture, names: &Names, what: Aspect) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for line in fixture.host.state().lines() {
        match (line.strip_prefix("== "), parts.last_mut()) {
            (Some(heading), _) => {
                let place = match heading {
                    "node" => "host".to_owned(),
                    container if CONTAINERS.contains(&container) => {
                        format!("container {container}")
                    }
                    other => other.to_owned(),
                };
                parts.push(Part { what, place, lines: Vec::new() });
            }
            (None, Some(part)) => part.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    let containers =
        CONTAINERS.map(|name| (format!("container {name}"), format!("/run/netns/{name}")));
    for part in &mut parts {
        part.lines = with_context(&part.lines);
        let path = containers.iter().find(|(place, _)| *place == part.place).map(|(_, path)| path);
        if path.is_some() || part.place == "host" {
            part.lines.extend(queues(&fixture.host, path.map(String::as_str)));
        }
        part.lines = part.lines.iter().map(|line| names.hide_all(line)).collect();
        sort(&mut part.lines);
    }
    parts
}

/// Sorts consecutive lines of the same kind.
fn sort(lines: &mut [String]) {
    let kind = |line: &String| SORTED.iter().find(|start| line.starts_with(**start));
    for run in lines.chunk_by_mut(|a, b| kind(a).is_some() && kind(a) == kind(b)) {
        if run.first().and_then(kind).is_some() {
            run.sort();
        }
    }
}

/// Queueing disciplines, except the default ones, with their filters, and unusual lengths of
/// transmit queues.
fn queues(host: &Pod, namespace: Option<&str>) -> Vec<String> {
    let run = |command: &[&str]| {
        let enter = namespace.map(|path| format!("--net={path}"));
        let mut words: Vec<&str> =
            enter.iter().flat_map(|enter| ["nsenter", enter, "--"]).collect();
        words.extend(command);
        host.try_run(&words).stdout
    };
    let mut lines: Vec<String> = Vec::new();
    let listed = run(&["tc", "qdisc", "show"]);
    for line in listed.lines().filter(|line| !line.contains(" noqueue ")) {
        lines.push(without(line, "refcnt"));
        let dev = line.split(" dev ").nth(1).and_then(|rest| rest.split(' ').next());
        if let (Some(dev), true) =
            (dev, line.starts_with("qdisc ingress") || line.contains("clsact"))
        {
            let filters = run(&["tc", "filter", "show", "dev", dev, "ingress"]);
            let filters = filters.split_whitespace().collect::<Vec<_>>().join(" ");
            lines.push(format!("filter of {dev}: {filters}"));
        }
    }
    let links: Vec<Value> = serde_json::from_str(&run(&["ip", "-j", "link"])).unwrap_or_default();
    for link in links.iter().filter(|link| link.get("txqlen").is_some_and(|length| length != 1000))
    {
        let text = |key: &str| link.get(key).map(Value::to_string).unwrap_or_default();
        lines.push(format!(
            "qdisc queue of {} {}",
            text("ifname").trim_matches('"'),
            text("txqlen")
        ));
    }
    lines
}

/// A line without a word and its value.
fn without(line: &str, word: &str) -> String {
    let mut words = line.split_whitespace();
    let mut kept = Vec::new();
    while let Some(next) = words.next() {
        match next == word {
            true => drop(words.next()),
            false => kept.push(next),
        }
    }
    kept.join(" ")
}

/// Adds its table and chain to each line of a firewall rule.
fn with_context(lines: &[String]) -> Vec<String> {
    let mut new = Vec::new();
    // The position: table and chain of nf_tables, and table of which iptables.
    let mut nft: Vec<&str> = Vec::new();
    let (mut iptables, mut table) = (None, "");
    let managed = managed(lines);
    for line in lines {
        let bare = line.trim_start_matches('\t');
        let depth = line.len() - bare.len();
        if let Some(tool) = line.strip_suffix("-save:") {
            (iptables, table) = (Some(tool), "");
        } else if let Some(tool) = iptables {
            match (line.strip_prefix('*'), line.strip_prefix(':')) {
                (Some(name), _) => table = name,
                (None, Some(chain)) => new.push(chain_of(tool, table, chain)),
                (None, None) if line == "COMMIT" => {}
                (None, None) => new.push(format!("{tool} -t {table} {line}")),
            }
        } else if line.starts_with("table ") || depth > 0 {
            nft.truncate(depth);
            if bare == "}" {
                continue;
            }
            let opened = bare.strip_suffix(" {");
            let whole = nft.iter().copied().chain([opened.unwrap_or(bare)]).collect::<Vec<_>>();
            let managed = whole.first().is_some_and(|table| managed.contains(&(*table).to_owned()));
            if !managed {
                new.push(format!("nft {}", whole.join(": ")));
            }
            nft.extend(opened);
        } else if line != "}" {
            new.push(line.clone());
        }
    }
    new
}

/// The nf_tables tables that the listing of iptables shows.
fn managed(lines: &[String]) -> Vec<String> {
    let mut managed = Vec::new();
    for (tool, family) in [("iptables-nft-save:", "ip"), ("ip6tables-nft-save:", "ip6")] {
        let listed = lines.iter().skip_while(|line| *line != tool).skip(1);
        let listed = listed.take_while(|line| !line.ends_with("-save:"));
        let tables = listed.filter_map(|line| line.strip_prefix('*'));
        let tables = tables.filter(|table| OF_IPTABLES.contains(table));
        managed.extend(tables.map(|table| format!("table {family} {table}")));
    }
    managed
}

/// A chain, and its policy if it has one.
fn chain_of(tool: &str, table: &str, chain: &str) -> String {
    match chain.strip_suffix(" -") {
        Some(name) => format!("{tool} -t {table} -N {name}"),
        None => format!("{tool} -t {table} -P {chain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{sort, with_context, without};

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_rule_says_its_table_and_chain() {
        let listed = lines(
            "link lo\ntable inet t {\n\tcomment \"x\"\n\tchain c {\n\t\tip saddr 10.1.2.2 masquerade\n\t}\n}\n\
             table ip nat {\n\tchain OUTPUT {\n\t\txt match\n\t}\n}\niptables-nft-save:\n*nat\n:OUTPUT ACCEPT\n:MINE -\n\
             -A OUTPUT -j MINE\nCOMMIT",
        );
        let expected = lines(
            "link lo\nnft table inet t\nnft table inet t: comment \"x\"\nnft table inet t: chain c\n\
             nft table inet t: chain c: ip saddr 10.1.2.2 masquerade\niptables-nft -t nat -P OUTPUT ACCEPT\n\
             iptables-nft -t nat -N MINE\niptables-nft -t nat -A OUTPUT -j MINE",
        );
        assert_eq!(with_context(&listed), expected);
    }

    #[test]
    fn rules_keep_their_order_and_other_lines_are_sorted() {
        let mut listed = lines("addr b\naddr a\nnft z\nnft y");
        sort(&mut listed);
        assert_eq!(listed, lines("addr a\naddr b\nnft z\nnft y"));
    }

    #[test]
    fn counts_of_references_are_left_out() {
        assert_eq!(
            without("qdisc tbf 1: root refcnt 2 rate 8Mbit", "refcnt"),
            "qdisc tbf 1: root rate 8Mbit"
        );
    }
}
