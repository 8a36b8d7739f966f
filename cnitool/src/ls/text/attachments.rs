//! The table of attachments.

use crate::args::Arguments;
use crate::ls::attached::Attached;
use crate::ls::table::{Cell, Table};
use crate::ls::time::plural;
use crate::netns::State;
use crate::tree::Colour;

/// The layout of a table. Narrower ones leave out columns or details.
struct Shape {
    namespaces: bool,
    links: bool,
    is_stacked: bool,
    pod: usize,
}

const SHAPES: [Shape; 6] = [
    Shape { namespaces: true, links: true, is_stacked: false, pod: usize::MAX },
    Shape { namespaces: false, links: true, is_stacked: false, pod: usize::MAX },
    Shape { namespaces: false, links: false, is_stacked: false, pod: usize::MAX },
    Shape { namespaces: false, links: false, is_stacked: true, pod: usize::MAX },
    Shape { namespaces: false, links: false, is_stacked: true, pod: 20 },
    Shape { namespaces: false, links: false, is_stacked: true, pod: 10 },
];

pub fn of(all: &[Attached], arguments: &Arguments, colours: bool, width: Option<usize>) -> String {
    if all.is_empty() {
        return format!("no attachments in {}\n", arguments.cache_dir.join("results").display());
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
    let has_links = shape.links && shown.iter().any(|one| has_link(one));
    let mut headings = vec!["NETWORK", "CONTAINER"];
    headings.extend(has_pods.then_some("POD"));
    headings.extend(["IFNAME", "ADDRESSES"]);
    headings.extend(has_links.then_some("HOST LINK"));
    headings.push("NETNS");
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

/// Whether to show the link. If the namespace no longer exists, a missing link was deleted with it
/// and is not shown.
fn has_link(one: &Attached) -> bool {
    one.link.is_some() && (one.is_link_there != Some(false) || one.state != State::Gone)
}

fn link(one: &Attached) -> Cell {
    let name = one.link.as_deref().filter(|_| has_link(one)).unwrap_or("-");
    match has_link(one) && one.is_link_there == Some(false) {
        true => Cell::new(&format!("{name} is gone"), Colour::Red),
        false => Cell::new(name, Colour::Plain),
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

/// The name for `ip netns`, if the path is in its folder; otherwise the path.
fn name_of(path: &str) -> &str {
    let folders = ["/run/netns/", "/var/run/netns/"];
    let name = folders.iter().find_map(|folder| path.strip_prefix(folder));
    name.filter(|name| !name.contains('/')).unwrap_or(path)
}

/// Shortens an ID as other tools do: to the first twelve of its final hex digits.
pub fn short(id: &str) -> String {
    const DIGITS: usize = 12;
    let start = id.trim_end_matches(|c: char| c.is_ascii_hexdigit()).len();
    match id.get(start + DIGITS..) {
        Some(rest) if rest.len() > 4 => id.get(..start + DIGITS).unwrap_or(id).to_owned(),
        _ => id.to_owned(),
    }
}

pub fn pod(pod: &Option<(String, String)>) -> String {
    pod.as_ref().map_or_else(String::new, |(namespace, name)| format!("{namespace}/{name}"))
}

/// Shortens a text to its end, where the names of a deployment's pods differ.
fn cut(text: &str, most: usize) -> String {
    match text.chars().count().checked_sub(most) {
        None | Some(0) => text.to_owned(),
        Some(more) => std::iter::once('…').chain(text.chars().skip(more + 1)).collect(),
    }
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
    fn long_texts_are_shortened() {
        assert_eq!(cut("default/web", 11), "default/web");
        assert_eq!(cut("default/web-0", 10), "…ult/web-0");
        assert_eq!(cut("default/web-0", usize::MAX), "default/web-0");
    }

    #[test]
    fn namespaces_have_the_names_of_ip_netns() {
        assert_eq!(name_of("/var/run/netns/cni-1"), "cni-1");
        assert_eq!(name_of("/run/netns/a/b"), "/run/netns/a/b");
        assert_eq!(name_of("/proc/7/ns/net"), "/proc/7/ns/net");
    }
}
