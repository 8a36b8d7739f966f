//! The lists of all tools for one namespace, in as few processes as possible, because a process
//! costs more than its list.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::Pod;

/// The output of all tools that list a namespace.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Links, with the details of their kinds.
    pub links: Vec<Value>,
    /// Links with their addresses.
    pub addresses: Vec<Value>,
    /// Routes of all tables, IPv4 and IPv6.
    pub routes: Vec<Value>,
    /// Neighbours and proxied addresses.
    pub neighbours: Vec<Value>,
    /// IPv4 and IPv6 rules.
    pub rules: (Vec<Value>, Vec<Value>),
    /// VLANs of bridge ports; empty if no bridge filters VLANs.
    pub vlans: Vec<Value>,
    /// Queueing disciplines.
    pub qdiscs: Vec<Value>,
    /// nf_tables.
    pub ruleset: String,
    /// iptables, by variant.
    pub iptables: Vec<(&'static str, String)>,
    /// Tracked connections, one per line; empty if they are not requested.
    pub conntrack: String,
}

/// IPv4 and IPv6 objects, and IPv4 rules.
const BOTH: &str =
    "addr show\nroute show table all\nneigh show nud all\nneigh show proxy\nrule show\n";
/// Links, and IPv6 rules: a batch has one family, and links have none.
const SIXTH: &str = "link show\nrule show\n";
/// The tables that iptables knows.
const IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

impl Listing {
    /// Lists a namespace. The tools run in parallel.
    pub(crate) fn of(pod: &Pod, conntrack: bool) -> Listing {
        pod.enter(|| list(pod.name(), conntrack))
    }
}

/// Lists the namespace of the calling thread.
fn list(pod: &str, conntrack: bool) -> Listing {
    let both = Tool::start(pod, &["ip", "-j", "-batch", "-"], BOTH);
    let sixth = Tool::start(pod, &["ip", "-j", "-d", "-6", "-batch", "-"], SIXTH);
    let ruleset = Tool::start(pod, &["nft", "-s", "list", "ruleset"], "");
    let qdiscs = Tool::start(pod, &["tc", "-j", "qdisc", "show"], "");
    let mut listing = Listing::default();
    for object in sixth.json() {
        match object["priority"].is_null() {
            true => listing.links.push(object),
            false => listing.rules.1.push(without_details(object)),
        }
    }
    for object in both.json() {
        // An empty list prints nothing, so that only the keys distinguish the lists.
        let list = match &object {
            object if !object["priority"].is_null() => &mut listing.rules.0,
            object if object["dst"].is_null() => &mut listing.addresses,
            object if has(object, "proxy") || has(object, "state") => &mut listing.neighbours,
            _ => &mut listing.routes,
        };
        list.push(object);
    }
    if listing.links.iter().any(|link| link["linkinfo"]["info_data"]["vlan_filtering"] == 1) {
        let vlans = Tool::start(pod, &["bridge", "-j", "-compressvlans", "vlan"], "");
        listing.vlans = vlans.json();
    }
    listing.ruleset = ruleset.output();
    listing.qdiscs = qdiscs.json();
    let saves = iptables(&listing.ruleset)
        .map(|tool| (tool, Tool::start(pod, &[tool], "")))
        .collect::<Vec<_>>();
    listing.iptables = saves.into_iter().map(|(tool, save)| (tool, save.output())).collect();
    if conntrack {
        listing.conntrack = connections(pod);
    }
    listing
}

/// The iptables variants with rules in this namespace. The others print nothing.
fn iptables(ruleset: &str) -> impl Iterator<Item = &'static str> {
    let legacy = |file: &str| {
        let names = fs::read_to_string(format!("/proc/thread-self/net/{file}"));
        names.is_ok_and(|names| !names.trim().is_empty())
    };
    let nft = |family: &str| {
        let is =
            |line: &str| IPTABLES.iter().any(|table| line == format!("table {family} {table} {{"));
        ruleset.lines().any(is)
    };
    let tools = [
        ("iptables-legacy-save", legacy("ip_tables_names")),
        ("ip6tables-legacy-save", legacy("ip6_tables_names")),
        ("iptables-nft-save", nft("ip")),
        ("ip6tables-nft-save", nft("ip6")),
    ];
    // A plugin cannot have used a tool that is missing.
    let there = |tool: &str| Path::new("/usr/sbin").join(tool).exists();
    tools.into_iter().filter(move |(tool, any)| *any && there(tool)).map(|(tool, _)| tool)
}

/// Tracked connections: from the tool, or from the kernel's own list if the tool is missing.
fn connections(pod: &str) -> String {
    match ["/usr/sbin/conntrack", "/sbin/conntrack"].iter().find(|tool| Path::new(tool).exists()) {
        Some(tool) => Tool::start(pod, &[tool, "-L"], "").output(),
        None => fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap_or_default(),
    }
}

/// A rule without the details that `-d` adds to each rule.
fn without_details(mut rule: Value) -> Value {
    let usual = ["kernel", "unspec", "0"];
    if let Some(keys) = rule.as_object_mut() {
        keys.retain(|key, value| {
            key != "protocol" || !value.as_str().is_some_and(|name| usual.contains(&name))
        });
    }
    rule
}

fn has(object: &Value, key: &str) -> bool {
    object.get(key).is_some()
}

/// A running tool.
struct Tool {
    shown: String,
    child: Child,
}

impl Tool {
    /// Starts a tool in the namespace of the calling thread.
    fn start(pod: &str, command: &[&str], stdin: &str) -> Tool {
        let shown = format!("in {pod}: {}", command.join(" "));
        let mut started = Command::new(command[0]);
        started.args(&command[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        started.stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        let started = started.spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!("{shown}: {error}{}", crate::pod::remedy(command[0], &error))
        });
        if let Some(mut pipe) = child.stdin.take() {
            pipe.write_all(stdin.as_bytes()).unwrap_or_else(|error| panic!("{shown}: {error}"));
        }
        Tool { shown, child }
    }

    /// The standard output.
    fn output(self) -> String {
        let Tool { shown, child } = self;
        let output = child.wait_with_output().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{shown}: {}\n{complaint}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The objects in the lists that it printed. Some tools print nothing for an empty list, and
    /// empty objects for filtered entries.
    fn json(self) -> Vec<Value> {
        let shown = self.shown.clone();
        let output = self.output();
        let lists = serde_json::Deserializer::from_str(&output).into_iter::<Vec<Value>>();
        let mut listed = Vec::new();
        for list in lists {
            listed.extend(list.unwrap_or_else(|error| panic!("{shown}: {error}:\n{output}")));
        }
        listed.retain(|entry| entry.as_object().is_some_and(|keys| !keys.is_empty()));
        listed
    }
}
