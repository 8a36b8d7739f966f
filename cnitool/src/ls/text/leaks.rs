//! The tree of possible leaks.

use std::net::IpAddr;

use crate::ls::leak::{Leak, Why};
use crate::ls::text::attachments::{pod, short};
use crate::ls::time::{ago, boot, plural};
use crate::tree::{Colour, Tree};

/// The maximum number of leaks that are listed for one reason. JSON has all.
const NAMED: usize = 8;

/// Formats the leaks by network and reason.
pub fn tree(leaks: &[Leak]) -> Tree {
    if leaks.is_empty() {
        return Tree::new("nothing looks leaked", Colour::Plain);
    }
    let mut root = Tree::new("looks leaked", Colour::Bold);
    for group in leaks.chunk_by(|a, b| (&a.network, a.why) == (&b.network, b.why)) {
        let Some(first) = group.first() else { continue };
        let reason = reason(first.why, group.len());
        let line = format!("{}: {reason}{}", first.network, age(group));
        let mut branch = Tree::new(&line, Colour::Yellow);
        let named = if group.len() <= NAMED + 1 { group.len() } else { NAMED };
        let addresses: Vec<String> = group.iter().take(named).map(addresses).collect();
        let width = addresses.iter().map(String::len).max().unwrap_or_default();
        for (leak, addresses) in group.iter().zip(addresses) {
            let line = format!("{addresses:width$}  {}", owner(leak));
            let remark = remark(leak);
            branch.branches.push(Tree { remark, ..Tree::new(line.trim(), Colour::Plain) });
        }
        if group.len() > named {
            let more = format!("and {} more (--json lists all)", group.len() - named);
            branch.branches.push(Tree::new(&more, Colour::Dim));
        }
        root.branches.push(branch);
    }
    root
}

fn reason(why: Why, count: usize) -> String {
    let (noun, rest) = match why {
        Why::NamespaceGone => ("attachment", "whose namespace is gone"),
        Why::NoNamespace => ("attachment", "whose namespace's path is an ordinary file"),
        Why::LinkGone => ("attachment", "whose host interface is gone"),
        Why::NotInCache if count == 1 => ("reservation", "for a container in no cache entry"),
        Why::NotInCache => ("reservation", "for containers in no cache entry"),
        Why::LinkNotInCache if count == 1 => ("host interface", "of a container in no cache entry"),
        Why::LinkNotInCache => ("host interface", "of containers in no cache entry"),
        Why::Empty => ("empty file", "of an address, left by a killed plugin"),
    };
    format!("{} {rest}", plural(count, noun))
}

/// The number of leaks from before the last boot, which is a likely cause.
fn age(group: &[Leak]) -> String {
    let Some(boot) = boot() else { return String::new() };
    let old = group.iter().filter(|leak| leak.since.is_some_and(|since| since < boot)).count();
    let when = format!("from before the last boot ({})", ago(boot));
    match (old, group.len()) {
        (0, _) => String::new(),
        (old, all) if old < all => format!(", {old} of them {when}"),
        _ => format!(", {when}"),
    }
}

fn addresses(leak: &Leak) -> String {
    let addresses = leak.addresses.iter().map(IpAddr::to_string);
    addresses.collect::<Vec<_>>().join(" ")
}

fn owner(leak: &Leak) -> String {
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
            format!("{link} still exists: a process uses the namespace")
        }
        (Why::NoNamespace, _) => leak.netns.clone(),
        (Why::LinkGone, Some(link)) => link.clone(),
        (Why::NotInCache, _) => format!("reserved {}", since()),
        (Why::Empty, _) => since(),
        _ => String::new(),
    }
}
