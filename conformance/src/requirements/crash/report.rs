//! Summarises the points at which a kill left something behind.

use crate::trace::{KillScope, Killed};

/// A point at which a kill left something behind.
#[derive(Debug, Clone)]
pub struct Leftover {
    /// The point; [`None`] if the plugin exited before it.
    pub killed: Option<Killed>,
    /// What was killed.
    pub scope: KillScope,
    /// Whether the namespace was deleted before the clean-up.
    pub gone: bool,
    /// The objects that were left, missing or changed, or the call that failed.
    pub what: Vec<String>,
}

/// The number of kinds of points that are shown.
const SHOWN: usize = 30;
/// The number of objects that are shown for one point.
const THINGS: usize = 4;
const LENGTH: usize = 240;

/// All points; those that left the same kind of object are merged.
pub fn text(mut left: Vec<Leftover>) -> String {
    left.sort_by_key(|point| (point.scope, point.killed.as_ref().map(|killed| killed.number)));
    let mut groups: Vec<(Vec<String>, Vec<Leftover>)> = Vec::new();
    for point in left {
        let kind: Vec<String> = point.what.iter().map(|what| without_numbers(what)).collect();
        let same = groups.iter_mut().find(|(other, points)| {
            *other == kind && points.first().is_some_and(|first| first.scope == point.scope)
        });
        match same {
            Some((_, points)) => points.push(point),
            None => groups.push((kind, vec![point])),
        }
    }
    let more = groups.len().saturating_sub(SHOWN);
    let mut lines: Vec<String> =
        groups.iter().take(SHOWN).map(|(_, points)| group(points)).collect();
    if more > 0 {
        lines.push(format!("and {more} other kinds of points"));
    }
    lines.join("\n            ")
}

fn group(points: &[Leftover]) -> String {
    let Some(first) = points.first() else { return String::new() };
    let numbers: Vec<usize> =
        points.iter().filter_map(|p| p.killed.as_ref().map(|killed| killed.number)).collect();
    let place = match &first.killed {
        Some(killed) => {
            let call = match points.len() {
                1 => killed.call.clone(),
                _ => format!("{} and others", killed.call),
            };
            format!("before {call} (no. {}, {})", ranges(&numbers), killed.program)
        }
        None => "although it had exited before".to_owned(),
    };
    let scope = match first.scope {
        KillScope::Alone => ", only the plugin killed",
        KillScope::Everything => "",
    };
    let gone = if points.iter().all(|point| point.gone) { ", namespace deleted" } else { "" };
    format!("{place}{scope}{gone}: {}", some(&first.what))
}

/// The first few of many objects.
pub fn some(things: &[String]) -> String {
    let mut shown: Vec<String> = things.iter().take(THINGS).map(|thing| short(thing)).collect();
    if things.len() > THINGS {
        shown.push(format!("{} more", things.len() - THINGS));
    }
    shown.join("; ")
}

/// Formats ordered numbers as `3, 5-9`.
fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            Some((_, last)) if *last == *number => {}
            _ => ranges.push((*number, *number)),
        }
    }
    let range = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// Names and addresses differ between points; the kind of object does not.
fn without_numbers(text: &str) -> String {
    let is_v6 = |word: &&str| word.contains("::");
    let words = text.split_whitespace();
    let words: Vec<&str> = words.map(|word| if is_v6(&word) { "::" } else { word }).collect();
    let normal = testbed::normalise(&words.join(" "));
    let mut kind = String::new();
    for c in normal.chars() {
        match c.is_ascii_digit() {
            true if kind.ends_with('#') => {}
            true => kind.push('#'),
            false => kind.push(c),
        }
    }
    kind
}

fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}..", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{Leftover, ranges, text};
    use crate::trace::{KillScope, Killed};

    #[test]
    fn points_that_left_the_same_are_one_line() {
        let point = |number, scope, what: &str| Leftover {
            killed: Some(Killed {
                number,
                call: "fsync".to_owned(),
                program: "ipam".to_owned(),
                others: true,
            }),
            scope,
            gone: false,
            what: vec![what.to_owned()],
        };
        let all = vec![
            point(4, KillScope::Everything, "left file /x/10.1.2.4"),
            point(3, KillScope::Everything, "left file /x/10.1.2.3"),
            point(3, KillScope::Alone, "left file /x/10.1.2.5"),
        ];
        assert_eq!(
            text(all),
            "before fsync and others (no. 3-4, ipam): left file /x/10.1.2.3\n            \
             before fsync (no. 3, ipam), only the plugin killed: left file /x/10.1.2.5"
        );
    }

    #[test]
    fn numbers_side_by_side_are_a_range() {
        assert_eq!(ranges(&[1, 3, 4, 5, 9]), "1, 3-5, 9");
    }
}
