//! The tree of pools.

use std::net::IpAddr;

use crate::ls::pool::{KnownBy, Pool, RangeUse, SetUse, Tally};
use crate::ls::reserved::Holding;
use crate::ls::time::plural;
use crate::tree::{Colour, Tree};

/// Larger sizes are shown as powers of two.
const READABLE: u128 = 1 << 32;

pub fn tree(pools: &[Pool]) -> Tree {
    let branches = pools.iter().map(of_pool).collect();
    Tree { branches, ..Tree::new("pools", Colour::Bold) }
}

fn of_pool(pool: &Pool) -> Tree {
    let origin = match &pool.known_by {
        KnownBy::File(file) => file.display().to_string(),
        KnownBy::Cache => "not configured, only in the cache".to_owned(),
        KnownBy::Nothing => "not configured".to_owned(),
    };
    let remark = format!("{origin}; {}", pool.folder.display());
    let mut branches: Vec<Tree> = pool.ranges.iter().map(|it| of_range(it, pool)).collect();
    if pool.ranges.is_empty() {
        branches.push(without_ranges(pool));
    } else if pool.elsewhere.taken() > 0 || pool.elsewhere.of(Holding::Empty) > 0 {
        let line = format!("in no range: {} taken", pool.elsewhere.taken());
        branches.push(counted(&line, Colour::Plain, &pool.elsewhere));
    }
    branches.extend(pool.sets.iter().enumerate().filter_map(warning));
    Tree { remark, branches, ..Tree::new(&pool.network, Colour::Cyan) }
}

/// The line for a range set that is full or nearly full.
fn warning((index, set): (usize, &SetUse)) -> Option<Tree> {
    let (taken, all) = (set.taken as u128, set.size());
    let left = all.saturating_sub(taken);
    let line = match left {
        _ if !set.is_nearly_full() => return None,
        0 if set.is_one_range() => return None,
        0 => format!("range set {index} is full: ADD fails until an address is released"),
        _ => format!("range set {index} is nearly full: {} left of {}", size(left), size(all)),
    };
    Some(Tree::new(&line, if left == 0 { Colour::Red } else { Colour::Yellow }))
}

fn of_range(used: &RangeUse, pool: &Pool) -> Tree {
    let RangeUse { range, tally, last, is_past } = used;
    let ends = range.ends().map(|(first, last)| format!("{first}-{last}"));
    let ends = ends.unwrap_or_else(|| range.subnet().to_string());
    let taken = format!("{} of {} taken", tally.taken(), size(range.size()));
    let (full, colour) = match used.is_full() {
        true => (": it is full", Colour::Red),
        false => ("", Colour::Plain),
    };
    let line = format!("{ends}: {taken}{full}{}", last_one(*last));
    let remark = match (is_past, &pool.known_by) {
        (true, KnownBy::File(_)) => "only in the cache: the file now has other ranges",
        _ => "",
    };
    Tree { remark: remark.to_owned(), ..counted(&line, colour, tally) }
}

fn without_ranges(pool: &Pool) -> Tree {
    let last: String = pool.last.iter().map(|last| last_one(Some(*last))).collect();
    let line = format!("{} taken{last}", pool.elsewhere.taken());
    let remark = match &pool.known_by {
        KnownBy::File(_) | KnownBy::Cache => "a plugin or the runtime has the ranges",
        KnownBy::Nothing => "ranges unknown",
    };
    Tree { remark: remark.to_owned(), ..counted(&line, Colour::Plain, &pool.elsewhere) }
}

fn last_one(last: Option<IpAddr>) -> String {
    last.map_or_else(String::new, |last| format!(", last {last}"))
}

/// A line, and below it the numbers of addresses in each abnormal state.
fn counted(line: &str, colour: Colour, tally: &Tally) -> Tree {
    let of = |(state, count): (&Holding, &usize)| {
        let (words, colour) = words(*state, *count)?;
        Some(Tree::new(&words, colour))
    };
    let branches = tally.0.iter().filter_map(of).collect();
    Tree { branches, ..Tree::new(line, colour) }
}

fn words(state: Holding, count: usize) -> Option<(String, Colour)> {
    let container = if count == 1 { "a container" } else { "containers" };
    let file = if count == 1 { "a file" } else { "files" };
    Some(match state {
        Holding::Attached => return None,
        Holding::NamespaceGone => {
            (format!("{count} by {container} whose namespace is gone"), Colour::Yellow)
        }
        Holding::NoNamespace => {
            let words = "whose namespace's path is an ordinary file";
            (format!("{count} by {container} {words}"), Colour::Yellow)
        }
        Holding::NotInCache => {
            (format!("{count} by {container} in no cache entry"), Colour::Yellow)
        }
        Holding::BeingAdded => {
            (format!("{count} reserved a few seconds ago: ADD in progress?"), Colour::Plain)
        }
        Holding::Unnamed => {
            let name = if count == 1 { "names" } else { "name" };
            (format!("{count} by {file} that {name} no container"), Colour::Plain)
        }
        Holding::Empty => (format!("{} more", plural(count, "empty file")), Colour::Yellow),
        Holding::Unknown => (format!("{count} by unknown holders"), Colour::Yellow),
    })
}

/// `253`, or `about 2^64` for 18446744073709551614.
fn size(size: u128) -> String {
    if size <= READABLE {
        return size.to_string();
    }
    let below = size.ilog2();
    let bits = if size >> below.saturating_sub(1) > 2 { below + 1 } else { below };
    format!("about 2^{bits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_sizes_are_powers_of_two() {
        assert_eq!(size(253), "253");
        assert_eq!(size(16_777_214), "16777214");
        assert_eq!(size((1 << 64) - 2), "about 2^64");
        assert_eq!(size((1 << 48) + 5), "about 2^48");
        assert_eq!(size(u128::MAX), "about 2^128");
    }
}
