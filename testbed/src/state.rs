//! The kernel's state as text, in the notation of `ip`, `bridge` and `nft`, sorted and without what changes by itself, so
//! that two states compare line by line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::{Pod, firewall};

/// What [`Node::state`](crate::Node::state) shows beyond the usual.
///
/// Never shown, because it comes and goes without anyone's doing or says nothing: indexes, counters, lifetimes, carrier and
/// duplicate address detection (but an address that failed it says so), the table `local`, multicast
/// routes, the three rules every namespace has, the namespace files in `/run/netns`, and iptables' lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Link-local IPv6 addresses (`fe80::`) and their routes too. The kernel makes them a moment after a link goes up.
    pub link_local: bool,
    /// Neighbours the kernel learnt too, as address, link and MAC, without their age.
    pub learnt: bool,
}

/// The settings that are shown of each namespace.
const SYSCTLS: [&str; 4] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv6/conf/all/forwarding",
];
/// The settings that are shown of each link that has another than new links get.
const LINK_SYSCTLS: [&str; 2] = ["net/ipv4/conf", "net/ipv6/conf"];
const LINK_KEYS: [&str; 10] = [
    "accept_dad",
    "accept_ra",
    "arp_filter",
    "arp_notify",
    "disable_ipv6",
    "ndisc_notify",
    "proxy_arp",
    "proxy_ndp",
    "route_localnet",
    "rp_filter",
];
/// The folders whose files are shown.
const FOLDERS: [&str; 2] = ["/run", "/var/lib/cni"];
const NOT_SHOWN: [&str; 3] = ["/run/netns", "/run/testbed", "/run/xtables.lock"];
/// Of longer files only the size is shown.
const CONTENT_MAX: usize = 2000;

impl View {
    /// The state of one namespace, under its heading.
    pub(crate) fn of(self, pod: &Pod) -> String {
        let mut lines: Vec<String> = Vec::new();
        let links = json(pod, &["ip", "-j", "-d", "link"]);
        lines.extend(sorted(links.iter().map(link)));
        if links.iter().any(|link| link["linkinfo"]["info_data"]["vlan_filtering"] == 1) {
            lines.extend(vlans(pod));
        }
        lines.extend(sorted(self.addresses(pod)));
        lines.extend(sorted(self.routes(pod)));
        lines.extend(sorted(self.neighbours(pod)));
        lines.extend(sorted(rules(pod)));
        let names: Vec<&str> = links.iter().map(|link| str_of(link, "ifname")).collect();
        lines.extend(pod.enter(|| sysctls(&names)));
        lines.extend(firewall::rulesets(pod));
        format!("== {}\n{}\n", pod.name(), lines.join("\n"))
    }

    /// The files of the node, under their heading.
    pub(crate) fn files(self) -> String {
        let mut lines = Vec::new();
        FOLDERS.iter().for_each(|folder| list(Path::new(folder), &mut lines));
        lines.iter().fold("== files\n".to_owned(), |text, line| text + line + "\n")
    }

    fn addresses(self, pod: &Pod) -> Vec<String> {
        let links = json(pod, &["ip", "-j", "addr"]);
        let of = |link: &Value| -> Vec<String> {
            let dev = str_of(link, "ifname");
            let addresses = link["addr_info"].as_array().into_iter().flatten();
            addresses
                .filter(|address| self.link_local || !is_link_local(str_of(address, "local")))
                .map(|found| address(dev, found))
                .collect()
        };
        links.iter().flat_map(of).collect()
    }

    fn routes(self, pod: &Pod) -> Vec<String> {
        let family = |flag: &str| json(pod, &["ip", "-j", flag, "route", "show", "table", "all"]);
        let shown = |route: &Value| {
            let dst = str_of(route, "dst");
            str_of(route, "table") != "local"
                && !dst.starts_with("ff00::")
                && (self.link_local || !is_link_local(dst))
        };
        let v6 = family("-6").into_iter().map(|route| (route, "-6 "));
        let routes = family("-4").into_iter().map(|route| (route, "")).chain(v6);
        routes
            .filter(|(route, _)| shown(route))
            .map(|(route, family)| {
                format!("{family}route {}", words(&route, &["type", "dst", "via", "dev"]))
            })
            .collect()
    }

    fn neighbours(self, pod: &Pod) -> Vec<String> {
        let mut found = json(pod, &["ip", "-j", "neigh", "show", "nud", "all"]);
        found.retain(|neighbour| {
            let is = |state: &str| {
                neighbour["state"].as_array().is_some_and(|s| s.contains(&state.into()))
            };
            let known = !neighbour["lladdr"].is_null() && !is("NOARP") && !is("FAILED");
            let shown = is("PERMANENT") || (self.learnt && known);
            shown && (self.link_local || !is_link_local(str_of(neighbour, "dst")))
        });
        let lines = found.into_iter().map(|mut neighbour| {
            let permanent =
                neighbour["state"].as_array().is_some_and(|s| s.contains(&"PERMANENT".into()));
            neighbour["state"] = if permanent { "permanent".into() } else { Value::Null };
            format!("neigh {}", words(&neighbour, &["dst", "dev", "lladdr"]))
        });
        let proxies = json(pod, &["ip", "-j", "neigh", "show", "proxy"]);
        let proxies =
            proxies.iter().map(|proxy| format!("neigh proxy {}", words(proxy, &["dst", "dev"])));
        lines.chain(proxies).collect()
    }
}

/// `link eth0 veth up mtu 1500 mac .. master cni0 hairpin`
fn link(link: &Value) -> String {
    let flags: Vec<&str> =
        link["flags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let info = &link["linkinfo"];
    let mut line = format!("link {}", str_of(link, "ifname"));
    let mut add = |word: &str| {
        line.push(' ');
        line.push_str(word);
    };
    add(info["info_kind"].as_str().unwrap_or_else(|| str_of(link, "link_type")));
    add(if flags.contains(&"UP") { "up" } else { "down" });
    add(&format!("mtu {}", link["mtu"]));
    add(&format!("mac {}", str_of(link, "address")));
    for flag in ["PROMISC", "ALLMULTI", "NOARP"] {
        if flags.contains(&flag) {
            add(&flag.to_lowercase());
        }
    }
    if !["noqueue", "noop"].contains(&str_of(link, "qdisc")) {
        add(&format!("qdisc {}", str_of(link, "qdisc")));
    }
    for key in ["master", "ifalias", "inet6_addr_gen_mode"] {
        match str_of(link, key) {
            "" | "eui64" => {}
            value if key == "ifalias" => add(&format!("alias {value:?}")),
            value => add(&format!("{} {value}", key.trim_start_matches("inet6_"))),
        }
    }
    details(info).iter().for_each(|word| add(word));
    line
}

/// `vlan veth1a2b 100 PVID Egress Untagged`: the VLANs of ports, and of bridges themselves.
fn vlans(pod: &Pod) -> Vec<String> {
    let ports = json(pod, &["bridge", "-j", "-compressvlans", "vlan"]);
    let of = |port: &Value| -> Vec<String> {
        let vlans = port["vlans"].as_array().into_iter().flatten();
        let name = str_of(port, "ifname");
        vlans.map(|vlan| format!("vlan {name} {}", words(vlan, &["vlan", "vlanEnd"]))).collect()
    };
    sorted(ports.iter().flat_map(of))
}

/// Of a link's kind and of its port on a bridge: what is not as the kernel makes it.
fn details(info: &Value) -> Vec<String> {
    let (data, port) = (&info["info_data"], &info["info_slave_data"]);
    let mut words = Vec::new();
    if info["info_kind"] == "bridge" {
        for key in ["vlan_filtering", "stp_state"] {
            if data[key].as_u64().is_some_and(|value| value != 0) {
                words.push(format!("{key} {}", data[key]));
            }
        }
    } else {
        for key in ["mode", "id", "local", "remote", "table", "protocol"] {
            if !data[key].is_null() {
                words.push(format!("{key} {}", plain(&data[key])));
            }
        }
    }
    for key in
        ["hairpin", "isolated", "guard", "root_block", "locked", "proxy_arp", "neigh_suppress"]
    {
        if port[key] == true {
            words.push(key.to_owned());
        }
    }
    for key in ["learning", "flood", "mcast_flood", "bcast_flood"] {
        if port[key] == false {
            words.push(format!("{key} off"));
        }
    }
    words
}

/// `addr 10.1.2.3/24 dev eth0 brd 10.1.2.255 scope global`
fn address(dev: &str, address: &Value) -> String {
    let mut line = format!("addr {}/{} dev {dev}", str_of(address, "local"), address["prefixlen"]);
    for (key, word) in
        [("address", "peer"), ("broadcast", "brd"), ("scope", "scope"), ("label", "label")]
    {
        let value = str_of(address, key);
        if !value.is_empty() && value != dev {
            line.push_str(&format!(" {word} {value}"));
        }
    }
    for flag in
        ["secondary", "noprefixroute", "nodad", "dadfailed", "deprecated", "dynamic", "mngtmpaddr"]
    {
        if address[flag] == true {
            line.push_str(&format!(" {flag}"));
        }
    }
    line
}

fn rules(pod: &Pod) -> Vec<String> {
    let of = |flag: &'static str, prefix: &'static str| {
        json(pod, &["ip", "-j", flag, "rule"])
            .into_iter()
            .filter(|rule| !is_builtin(rule))
            .map(move |rule| format!("{prefix}rule {}", words(&rule, &["priority", "src", "dst"])))
    };
    of("-4", "").chain(of("-6", "-6 ")).collect()
}

/// The rules every namespace has.
fn is_builtin(rule: &Value) -> bool {
    let builtin = [(0, "local"), (32766, "main"), (32767, "default")];
    rule.as_object().is_some_and(|keys| keys.len() == 3)
        && rule["src"] == "all"
        && builtin
            .iter()
            .any(|(priority, table)| rule["priority"] == *priority && rule["table"] == *table)
}

/// The settings of the calling thread's namespace.
fn sysctls(links: &[&str]) -> Vec<String> {
    let read = |key: &str| {
        fs::read_to_string(format!("/proc/sys/{key}")).map(|text| text.trim().to_owned())
    };
    let all = SYSCTLS.iter().filter_map(|key| Some(format!("sysctl {key} = {}", read(key).ok()?)));
    let mut lines: Vec<String> = all.collect();
    let mut links = links.to_vec();
    links.sort_unstable();
    for link in links {
        for (folder, key) in
            LINK_SYSCTLS.iter().flat_map(|folder| LINK_KEYS.map(|key| (folder, key)))
        {
            // Not each key is in both families, and a link may lack IPv6.
            let (Ok(value), Ok(usual)) =
                (read(&format!("{folder}/{link}/{key}")), read(&format!("{folder}/default/{key}")))
            else {
                continue;
            };
            // The kernel's own exceptions: `lo` has no duplicate address detection.
            if value != usual && !(link == "lo" && key == "accept_dad") {
                lines.push(format!("sysctl {folder}/{link}/{key} = {value}"));
            }
        }
    }
    lines
}

/// Folders and files below `folder`: mode, name, content.
fn list(folder: &Path, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !NOT_SHOWN.iter().any(|hidden| path == Path::new(hidden)));
    paths.sort();
    for path in paths {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        let (mode, name) = (meta.permissions().mode() & 0o7777, path.display());
        if meta.is_dir() {
            lines.push(format!("dir  {mode:04o} {name}"));
            list(&path, lines);
        } else if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap_or_default();
            lines.push(format!("symlink {name} -> {}", target.display()));
        } else if meta.is_file() && meta.len() <= CONTENT_MAX as u64 {
            let content = fs::read(&path).unwrap_or_default();
            lines.push(format!("file {mode:04o} {name} {:?}", String::from_utf8_lossy(&content)));
        } else {
            lines.push(format!("file {mode:04o} {name} of {} bytes", meta.len()));
        }
    }
}

/// The keys of an object as words: `first` by value alone or as `dev eth0`, then the others by name.
fn words(object: &Value, first: &[&str]) -> String {
    const VALUE_ALONE: [&str; 3] = ["type", "dst", "priority"];
    const NOTHING_SAID: [&str; 3] = ["pref", "flags", "family"];
    let keys = object.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let mut others: Vec<&str> =
        keys.filter(|key| !first.contains(key) && !NOTHING_SAID.contains(key)).collect();
    others.sort_unstable();
    let mut words = Vec::new();
    for key in first.iter().copied().chain(others) {
        match &object[key] {
            Value::Null => {}
            Value::Array(items) if items.is_empty() => {}
            value if VALUE_ALONE.contains(&key) && first.contains(&key) => words.push(plain(value)),
            value => words.push(format!("{key} {}", plain(value))),
        }
    }
    // Of the flags, only those somebody asked for: a carrier comes and goes.
    let flags = object["flags"].as_array().into_iter().flatten();
    words.extend(flags.filter(|flag| **flag == "onlink").map(plain));
    words.join(" ")
}

/// A value without JSON's quotes and brackets.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(_) => format!("{{{}}}", words(value, &["via", "dev"])),
        other => other.to_string(),
    }
}

fn is_link_local(address: &str) -> bool {
    address.starts_with("fe80:")
}

fn str_of<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// What a tool lists with `-j`. Some print nothing for an empty list, and empty objects for what was filtered.
fn json(pod: &Pod, command: &[&str]) -> Vec<Value> {
    let output = pod.run(command);
    if output.trim().is_empty() {
        return Vec::new();
    }
    let listed = serde_json::from_str::<Vec<Value>>(&output);
    let mut listed =
        listed.unwrap_or_else(|error| panic!("{}: {error}:\n{output}", command.join(" ")));
    listed.retain(|entry| entry.as_object().is_some_and(|keys| !keys.is_empty()));
    listed
}

pub(crate) fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}
