//! The state of the kernel as text, in the notation of `ip`, `bridge` and `nft`. It is sorted and
//! omits what changes by itself, so that two states can be compared line by line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::listing::Listing;
use crate::text::sorted;
use crate::{Pod, firewall};

/// Optional parts of [`Node::state`](crate::Node::state).
///
/// The state never contains what changes by itself or has no meaning: indexes, counters, lifetimes,
/// carrier and the progress of duplicate address detection (but its failure), the table `local`,
/// multicast routes, the three default rules of each namespace, the namespace files in
/// `/run/netns`, lock files in `/run`, and host-local's index, which repeats its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Link-local IPv6 addresses (`fe80::`) and their routes. The kernel adds them a moment after a
    /// link is set up.
    pub link_local: bool,
    /// Neighbours that the kernel learnt, as address, link and MAC address, without their age.
    pub learnt: bool,
    /// Tracked connections, without their age: from `conntrack` or, if the tool is missing, from
    /// the kernel's list.
    pub conntrack: bool,
    /// Mounts beyond those of the node itself.
    pub mounts: bool,
}

/// The settings of each namespace.
const SYSCTLS: [&str; 4] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv6/conf/all/forwarding",
];
/// The settings of links, if they differ from those of new links.
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
/// The directories whose files are shown.
const FOLDERS: [&str; 2] = ["/run", "/var/lib/cni"];
const NOT_SHOWN: [&str; 4] =
    ["/run/netns", "/run/testbed", "/run/xtables.lock", "/var/lib/cni/networks/.index"];
/// Of longer files only the size is shown.
const CONTENT_MAX: usize = 2000;

impl View {
    /// The state of one namespace, with a heading.
    pub(crate) fn of(self, pod: &Pod) -> String {
        let listing = Listing::of(pod, self.conntrack);
        let links = &listing.links;
        let mut lines = sorted(links.iter().map(link));
        lines.extend(sorted(listing.vlans.iter().flat_map(vlans)));
        lines.extend(sorted(listing.qdiscs.iter().filter_map(qdisc)));
        lines.extend(sorted(self.addresses(&listing.addresses)));
        lines.extend(sorted(self.routes(listing.routes)));
        lines.extend(sorted(self.neighbours(listing.neighbours)));
        lines.extend(sorted(rules(&listing.rules)));
        let names: Vec<&str> = links.iter().map(|link| str_of(link, "ifname")).collect();
        lines.extend(pod.enter(|| sysctls(&names)));
        lines.extend(firewall::rulesets(&listing.ruleset, &listing.iptables));
        lines.extend(sorted(listing.conntrack.lines().map(firewall::connection)));
        format!("== {}\n{}\n", pod.name(), lines.join("\n"))
    }

    /// The files of the node, with a heading.
    pub(crate) fn files(self) -> String {
        let mut lines = Vec::new();
        FOLDERS.iter().for_each(|folder| list(Path::new(folder), &mut lines));
        lines.iter().fold("== files\n".to_owned(), |text, line| text + line + "\n")
    }

    /// The mounts in the mount namespace of the calling thread, one per line: directory, type, and
    /// root within the file system.
    pub(crate) fn mounts() -> Vec<String> {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let line = |line: &str| {
            let (mount, source) = line.split_once(" - ")?;
            let (mut mount, kind) = (mount.split(' ').skip(3), source.split(' ').next()?);
            let (root, place) = (mount.next()?, mount.next()?);
            Some(format!("mount {place} {kind} {root}"))
        };
        sorted(table.lines().filter_map(line))
    }

    fn addresses(self, links: &[Value]) -> Vec<String> {
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

    fn routes(self, routes: Vec<Value>) -> Vec<String> {
        let shown = |route: &Value| {
            let dst = str_of(route, "dst");
            str_of(route, "table") != "local"
                && !dst.starts_with("ff00::")
                && (self.link_local || !is_link_local(dst))
        };
        // Only IPv6 routes have a preference.
        let family = |route: &Value| if route["pref"].is_null() { "" } else { "-6 " };
        routes
            .iter()
            .filter(|route| shown(route))
            .map(|route| {
                let words = words(route, &["type", "dst", "via", "dev"]);
                format!("{}route {words}", family(route))
            })
            .collect()
    }

    fn neighbours(self, found: Vec<Value>) -> Vec<String> {
        let (proxies, mut found): (Vec<Value>, Vec<Value>) =
            found.into_iter().partition(|neighbour| neighbour.get("proxy").is_some());
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

/// `vlan veth1a2b 100 PVID Egress Untagged`: the VLANs of a port or of a bridge.
fn vlans(port: &Value) -> Vec<String> {
    let vlans = port["vlans"].as_array().into_iter().flatten();
    let name = str_of(port, "ifname");
    vlans.map(|vlan| format!("vlan {name} {}", words(vlan, &["vlan", "vlanEnd"]))).collect()
}

/// `qdisc tbf dev eth0 parent root rate 125000 ..`, except the default ones of the kernel.
fn qdisc(qdisc: &Value) -> Option<String> {
    let parent = match qdisc["root"] == true {
        true => "root",
        false => str_of(qdisc, "parent"),
    };
    let (kind, dev) = (str_of(qdisc, "kind"), str_of(qdisc, "dev"));
    let options = words(&qdisc["options"], &[]);
    let line = format!("qdisc {kind} dev {dev} parent {parent} {options}");
    // The kernel's default ones have no handle.
    (str_of(qdisc, "handle") != "0:").then(|| line.trim_end().to_owned())
}

/// The properties of a link's kind and of its bridge port that differ from the kernel's defaults.
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

fn rules((v4, v6): &(Vec<Value>, Vec<Value>)) -> Vec<String> {
    let of = |rules: &[Value], prefix: &str| -> Vec<String> {
        let others = rules.iter().filter(|rule| !is_builtin(rule));
        let line = |rule| format!("{prefix}rule {}", words(rule, &["priority", "src", "dst"]));
        others.map(line).collect()
    };
    [of(v4, ""), of(v6, "-6 ")].concat()
}

/// The rules of each new namespace.
fn is_builtin(rule: &Value) -> bool {
    let builtin = [(0, "local"), (32766, "main"), (32767, "default")];
    rule.as_object().is_some_and(|keys| keys.len() == 3)
        && rule["src"] == "all"
        && builtin
            .iter()
            .any(|(priority, table)| rule["priority"] == *priority && rule["table"] == *table)
}

/// The settings in the namespace of the calling thread.
fn sysctls(links: &[&str]) -> Vec<String> {
    let read = |key: &str| {
        fs::read_to_string(format!("/proc/sys/{key}")).map(|text| text.trim().to_owned())
    };
    let all = SYSCTLS.iter().filter_map(|key| Some(format!("sysctl {key} = {}", read(key).ok()?)));
    let mut lines: Vec<String> = all.collect();
    let mut links = links.to_vec();
    links.sort_unstable();
    // Not every key exists for both families.
    let keys = LINK_SYSCTLS.iter().flat_map(|folder| LINK_KEYS.map(|key| (folder, key)));
    let usual: Vec<_> = keys
        .filter_map(|(folder, key)| {
            Some((folder, key, read(&format!("{folder}/default/{key}")).ok()?))
        })
        .collect();
    for link in links {
        for (folder, key, usual) in &usual {
            // A link may not have IPv6.
            let Ok(value) = read(&format!("{folder}/{link}/{key}")) else { continue };
            // The kernel's own exception: `lo` has no duplicate address detection.
            if value != *usual && !(link == "lo" && *key == "accept_dad") {
                lines.push(format!("sysctl {folder}/{link}/{key} = {value}"));
            }
        }
    }
    lines
}

/// Directories and files below `folder`: mode, name, content.
fn list(folder: &Path, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| !NOT_SHOWN.iter().any(|hidden| path == Path::new(hidden)));
    paths.retain(|path| folder != Path::new("/run") || !has_only_a_lock(path));
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

/// Whether a directory contains only an empty file `lock`. Such a file has no state.
fn has_only_a_lock(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut names = entries.map(|entry| entry.unwrap().file_name());
    let is_empty =
        |file: &Path| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    names.next().is_some_and(|name| name == "lock")
        && names.next().is_none()
        && is_empty(&folder.join("lock"))
}

/// The keys of an object as words: `first` as the value alone or as `dev eth0`, then the others by
/// name.
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
    // Only flags that a user set: the carrier changes by itself.
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
