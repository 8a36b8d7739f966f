//! Comparison of texts: the differences between two states, and names that differ in each run.

use std::collections::HashMap;

/// The differing lines, `-` before and `+` after, each below its heading (`== ...`). Empty if there
/// are none.
pub fn diff(before: &str, after: &str) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let shared = shared_lengths(&before, &after);
    let (mut i, mut j) = (0, 0);
    let (mut heading, mut shown) = ("", "");
    let mut text = String::new();
    while i < before.len() || j < after.len() {
        let (sign, line) = match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                heading = if old.starts_with("== ") { old } else { heading };
                (i, j) = (i + 1, j + 1);
                continue;
            }
            (Some(old), new) if new.is_none() || shared[i + 1][j] >= shared[i][j + 1] => {
                i += 1;
                ('-', *old)
            }
            (_, Some(new)) => {
                j += 1;
                ('+', *new)
            }
            _ => unreachable!("one of the texts goes on"),
        };
        if heading != shown {
            text.push_str(&format!("  {heading}\n"));
            shown = heading;
        }
        text.push_str(&format!("{sign} {line}\n"));
    }
    text
}

/// The number of lines that the rests of both texts have in common, in order, from each pair of
/// positions on.
fn shared_lengths(before: &[&str], after: &[&str]) -> Vec<Vec<usize>> {
    let mut shared = vec![vec![0; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            shared[i][j] = match before[i] == after[j] {
                true => shared[i + 1][j + 1] + 1,
                false => shared[i + 1][j].max(shared[i][j + 1]),
            };
        }
    }
    shared
}

/// Replaces names that differ in each run by numbered ones, with the same number for the same name:
/// MAC addresses, host ends of veth pairs (`veth` and hexadecimal digits), names that contain
/// digests (`CNI-` and hexadecimal digits), long container IDs, and link-local IPv6 addresses.
pub fn normalise(text: &str) -> String {
    let mut names = HashMap::new();
    let mut counts = HashMap::new();
    let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.');
    let mut normal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(part_of_word) {
        let (gap, from) = rest.split_at(start);
        let end = from.find(|c| !part_of_word(c)).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        let word = run.trim_end_matches([':', '.']);
        normal.push_str(gap);
        match kind(word) {
            Some(kind) => normal.push_str(names.entry(word.to_owned()).or_insert_with(|| {
                let count = counts.entry(kind).or_insert(0);
                *count += 1;
                format!("<{kind}{count}>")
            })),
            None => normal.push_str(word),
        }
        normal.push_str(&run[word.len()..]);
        rest = after;
    }
    normal + rest
}

/// The kind of a varying name.
fn kind(word: &str) -> Option<&'static str> {
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let mac = |sign: char| {
        let bytes: Vec<&str> = word.split(sign).collect();
        bytes.len() == 6 && bytes.iter().all(|byte| byte.len() == 2 && hex(byte))
    };
    if mac(':') && !matches!(word, "ff:ff:ff:ff:ff:ff" | "00:00:00:00:00:00") {
        return Some("mac");
    }
    if word.strip_prefix("veth").is_some_and(|rest| rest.len() >= 8 && hex(rest)) {
        return Some("veth");
    }
    if word.strip_prefix("CNI-").is_some_and(|rest| rest.len() >= 16 && hex(rest)) {
        return Some("chain");
    }
    if word.starts_with("fe80::") && word.len() > "fe80::".len() {
        return Some("linklocal");
    }
    (word.len() >= 32 && hex(word)).then_some("id")
}

/// The lines in alphabetical order.
pub(crate) fn sorted(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::{diff, normalise};

    #[test]
    fn equal_texts_do_not_differ() {
        assert_eq!(diff("a\nb\n", "a\nb\n"), "");
    }

    #[test]
    fn each_change_is_shown_under_its_heading() {
        let before = "== node\nlink lo\nlink cni0\n== pod a\nlink lo\n";
        let after = "== node\nlink lo\n== pod a\nlink eth0\nlink lo\n";
        assert_eq!(diff(before, after), "  == node\n- link cni0\n  == pod a\n+ link eth0\n");
    }

    #[test]
    fn a_text_that_ends_early_differs_in_all_that_is_missing() {
        assert_eq!(diff("a\nb\nc", "a"), "- b\n- c\n");
        assert_eq!(diff("", "a"), "+ a\n");
    }

    #[test]
    fn varying_values_get_numbers() {
        let text = "veth34619c60@if2: mac 7a:cf:d3:14:52:a8, mac 7a:cf:d3:14:52:a9 again \
                    veth34619c60: fe80::78cf:d3ff:fe14:52a8/64 CNI-9b00b9b7c2795a8a61a6eec1";
        assert_eq!(
            normalise(text),
            "<veth1>@if2: mac <mac1>, mac <mac2> again <veth1>: <linklocal1>/64 <chain1>"
        );
    }

    #[test]
    fn configured_values_stay() {
        let text = "veth0 10.1.2.3/24 fd00:9::2/64 ff:ff:ff:ff:ff:ff deadbeef vethlong-name.";
        assert_eq!(normalise(text), text);
    }
}
