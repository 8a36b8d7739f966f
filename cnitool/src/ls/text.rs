//! What was seen, for people. What matters most comes last, where it is seen first.

mod pools;

use std::env;
use std::io;
use std::net::IpAddr;

use rustix::termios::tcgetwinsize;

use crate::args::Arguments;
use crate::ls::Look;
use crate::ls::attached::Attached;
use crate::ls::leak::{Leak, Why};
use crate::ls::table::{Cell, Table};
use crate::ls::time::{ago, boot, plural};
use crate::ls::way::Way;
use crate::netns::State;
use crate::tree::{self, Colour, Tree};

/// How many leaks of a sort are named. JSON has all.
const NAMED: usize = 8;

/// How wide prose is at most, and if nobody reads it on a terminal.
const PROSE: usize = 100;

/// The text.
pub fn of(look: &Look, arguments: &Arguments) -> String {
    let (colours, width) = (tree::are_colours_wanted(), terminal_width());
    let mut parts = vec![attachments(&look.attached, arguments, colours, width)];
    if !look.pools.is_empty() {
        parts.push(pools::tree(&look.pools).render(colours));
    }
    parts.push(leaks(&look.leaks).render(colours));
    if !look.ways.is_empty() {
        let width = width.unwrap_or(PROSE).min(PROSE);
        parts.push(Colour::Bold.paint("way out", colours) + "\n" + &ways(&look.ways, width));
    }
    parts.join("\n")
}

/// None if it is no terminal.
fn terminal_width() -> Option<usize> {
    let said = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col.into());
    said.or_else(asked).filter(|width| *width > 0)
}

/// What a table leaves out to be narrower.
struct Shape {
    namespaces: bool,
    links: bool,
    is_stacked: bool,
    pod: usize,
}

const SHAPES: [Shape; 5] = [
    Shape { namespaces: true, links: true, is_stacked: false, pod: usize::MAX },
    Shape { namespaces: false, links: true, is_stacked: false, pod: usize::MAX },
    Shape { namespaces: false, links: true, is_stacked: true, pod: usize::MAX },
    Shape { namespaces: false, links: false, is_stacked: true, pod: usize::MAX },
    Shape { namespaces: false, links: false, is_stacked: true, pod: 20 },
];

fn attachments(
    all: &[Attached],
    arguments: &Arguments,
    colours: bool,
    width: Option<usize>,
) -> String {
    if all.is_empty() {
        return format!(
            "nothing is attached by {}\n",
            arguments.cache_dir.join("results").display()
        );
    }
    let shown: Vec<&Attached> = all.iter().filter(|one| !one.is_loopback()).collect();
    let tables = SHAPES.iter().map(|shape| table(&shown, shape));
    let fits = |table: &Table| width.is_none_or(|width| table.width() <= width);
    let mut narrowest = None;
    for table in tables {
        let is_good = fits(&table);
        narrowest = Some(table);
        if is_good {
            break;
        }
    }
    let mut text = match narrowest {
        Some(table) if !shown.is_empty() => table.render(colours),
        _ => String::new(),
    };
    let loopbacks = all.len() - shown.len();
    if loopbacks > 0 {
        let more = if shown.is_empty() { "" } else { "and " };
        let line = format!("{more}{}", plural(loopbacks, "loopback interface"));
        text += &(Colour::Dim.paint(&line, colours) + "\n");
    }
    text
}

fn table(shown: &[&Attached], shape: &Shape) -> Table {
    let has_pods = shown.iter().any(|one| one.pod.is_some());
    let has_links = shape.links && shown.iter().any(|one| one.link.is_some());
    let mut headings = vec!["NETWORK", "CONTAINER"];
    headings.extend(has_pods.then_some("POD"));
    headings.extend(["IFNAME", "ADDRESSES"]);
    headings.extend(has_links.then_some("HOST LINK"));
    headings.push("NAMESPACE");
    let mut table = Table::new(headings);
    for one in shown {
        let plain = |text: &str| Cell::new(text, Colour::Plain);
        let mut row = vec![plain(&one.network), plain(&short(&one.id.container))];
        if has_pods {
            row.push(plain(&cut(&pod(&one.pod), shape.pod)));
        }
        row.push(plain(&one.id.ifname));
        let addresses = one.addresses.iter().map(|address| address.ip().to_string());
        row.push(match shape.is_stacked {
            true => Cell::lines(addresses, Colour::Plain),
            false => plain(&addresses.collect::<Vec<_>>().join(" ")),
        });
        if has_links {
            row.push(link(one));
        }
        row.push(namespace(one, shape.namespaces));
        table.add(row);
    }
    table
}

fn link(one: &Attached) -> Cell {
    let name = one.link.as_deref().unwrap_or("-");
    match (one.is_link_there, one.state) {
        // It went with its namespace.
        (Some(false), State::Gone) => Cell::new("-", Colour::Plain),
        (Some(false), _) => Cell::new(&format!("{name} is gone"), Colour::Red),
        _ => Cell::new(name, Colour::Plain),
    }
}

fn namespace(one: &Attached, is_full: bool) -> Cell {
    let (word, colour) = match one.state {
        State::There => ("there", Colour::Plain),
        State::Gone => ("gone", Colour::Red),
        State::NoNamespace => ("no namespace", Colour::Red),
        State::Unknown => ("not known", Colour::Plain),
    };
    let name = name_of(&one.netns);
    let text = match (is_full, one.state) {
        (true, State::There) => name.to_owned(),
        (true, _) if !name.is_empty() => format!("{word}: {name}"),
        _ => word.to_owned(),
    };
    Cell::new(&text, colour)
}

/// The name for `ip netns`, if it is where that keeps namespaces; otherwise the path.
fn name_of(path: &str) -> &str {
    let folders = ["/run/netns/", "/var/run/netns/"];
    let name = folders.iter().find_map(|folder| path.strip_prefix(folder));
    name.filter(|name| !name.contains('/')).unwrap_or(path)
}

/// An ID as people write it: of many hex digits at its end, the first twelve.
pub fn short(id: &str) -> String {
    const DIGITS: usize = 12;
    let start = id.trim_end_matches(|c: char| c.is_ascii_hexdigit()).len();
    match id.get(start + DIGITS..) {
        Some(rest) if rest.len() > 4 => id.get(..start + DIGITS).unwrap_or(id).to_owned(),
        _ => id.to_owned(),
    }
}

fn pod(pod: &Option<(String, String)>) -> String {
    pod.as_ref().map_or_else(String::new, |(namespace, name)| format!("{namespace}/{name}"))
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// What looks leaked, by network and reason.
fn leaks(leaks: &[Leak]) -> Tree {
    if leaks.is_empty() {
        return Tree::new("nothing looks leaked", Colour::Plain);
    }
    let mut root = Tree::new("looks leaked", Colour::Bold);
    for group in leaks.chunk_by(|a, b| (&a.network, a.why) == (&b.network, b.why)) {
        let Some(first) = group.first() else { continue };
        let line = format!("{}: {}", first.network, reason(first.why, group.len()));
        let mut branch = Tree { remark: age(group), ..Tree::new(&line, Colour::Yellow) };
        let named = if group.len() <= NAMED + 1 { group.len() } else { NAMED };
        let addresses: Vec<String> = group.iter().take(named).map(addresses).collect();
        let width = addresses.iter().map(String::len).max().unwrap_or_default();
        for (leak, addresses) in group.iter().zip(addresses) {
            let line = format!("{addresses:width$}  {}", whose(leak));
            let remark = remark(leak);
            branch.branches.push(Tree { remark, ..Tree::new(line.trim(), Colour::Plain) });
        }
        if group.len() > named {
            let more = format!("and {} more, which --json names", group.len() - named);
            branch.branches.push(Tree::new(&more, Colour::Dim));
        }
        root.branches.push(branch);
    }
    root
}

fn reason(why: Why, count: usize) -> String {
    let (noun, rest) = match why {
        Why::NamespaceGone => ("attachment", "whose namespace is gone"),
        Why::NoNamespace => ("attachment", "whose namespace's file is no namespace (any more)"),
        Why::LinkGone => ("attachment", "whose host interface is gone"),
        Why::NotInCache => ("reservation", "for a container that is in no cache entry"),
        Why::LinkNotInCache => ("host interface", "of a container that is in no cache entry"),
        Why::Empty => ("empty file", "of an address: a plugin was killed before it wrote"),
    };
    format!("{} {rest}", plural(count, noun))
}

/// That it was there before the machine was started says what happened.
fn age(group: &[Leak]) -> String {
    let Some(boot) = boot() else { return String::new() };
    let old = group.iter().filter(|leak| leak.since.is_some_and(|since| since < boot)).count();
    let when = format!("from before the last boot, {}", ago(boot));
    match (old, group.len()) {
        (0, _) => String::new(),
        (old, all) if old < all => format!("{old} of them {when}"),
        _ => when,
    }
}

fn addresses(leak: &Leak) -> String {
    let addresses = leak.addresses.iter().map(IpAddr::to_string);
    addresses.collect::<Vec<_>>().join(" ")
}

fn whose(leak: &Leak) -> String {
    let link = if leak.why == Why::LinkNotInCache { leak.link.clone() } else { None };
    let id = match leak.ifname.as_str() {
        "" => short(&leak.container),
        ifname => format!("{}/{ifname}", short(&leak.container)),
    };
    let parts = [link.unwrap_or_default(), id, pod(&leak.pod)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
}

fn remark(leak: &Leak) -> String {
    let since = || leak.since.map(ago).unwrap_or_default();
    match (leak.why, &leak.link) {
        (Why::NamespaceGone, Some(link)) => {
            format!("{link} is still there: processes may live in the namespace")
        }
        (Why::NoNamespace, _) => leak.netns.clone(),
        (Why::LinkGone, Some(link)) => link.clone(),
        (Why::NotInCache, _) => format!("reserved {}", since()),
        (Why::Empty, _) => since(),
        _ => String::new(),
    }
}

/// Each command with what it does below it; said once for those that follow each other.
fn ways(ways: &[Way], width: usize) -> String {
    let mut text = String::new();
    for same in ways.chunk_by(|a, b| a.about == b.about) {
        let Some(first) = same.first() else { continue };
        for way in same.iter().filter(|way| !way.command.is_empty()) {
            text += &format!("  {}\n", tree::printable(&way.command));
        }
        let indent = if first.command.is_empty() { "  " } else { "      " };
        text += &wrapped(&tree::printable(&first.about), indent, width);
    }
    text
}

/// Words in lines that are not wider than this, if the words are not.
fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let (mut lines, mut line) = (String::new(), indent.to_owned());
    for word in text.split_whitespace() {
        let is_empty = line.len() == indent.len();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines += &(line + "\n");
            line = indent.to_owned() + word;
        } else {
            line += if is_empty { "" } else { " " };
            line += word;
        }
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_where_they_are_digests() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(short(&id), "0123456789ab");
        assert_eq!(short("cnitool-a145bc1ace582bff43bd"), "cnitool-a145bc1ace58");
        for id in ["c1", "web", "0123456789ab", "a-container-with-a-long-name-of-its-own"] {
            assert_eq!(short(id), id);
        }
    }

    #[test]
    fn prose_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three", "  ", 9), "  one two\n  three\n");
        assert_eq!(wrapped("incomprehensible", "  ", 9), "  incomprehensible\n");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(cut("default/web", 11), "default/web");
        assert_eq!(cut("default/web-0", 11), "default/we…");
        assert_eq!(cut("default/web-0", usize::MAX), "default/web-0");
    }

    #[test]
    fn namespaces_have_the_names_of_ip_netns() {
        assert_eq!(name_of("/var/run/netns/cni-1"), "cni-1");
        assert_eq!(name_of("/run/netns/a/b"), "/run/netns/a/b");
        assert_eq!(name_of("/proc/7/ns/net"), "/proc/7/ns/net");
    }
}
