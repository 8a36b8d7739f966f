//! Suggestions for unknown words.

/// "x: no such thing; did you mean y?", or `otherwise` if no known word is similar.
pub fn unknown<'a>(
    word: &str,
    thing: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: &str,
) -> String {
    let distance = |other: &&str| distance(&word.to_lowercase(), &other.to_lowercase());
    let nearest = known.into_iter().min_by_key(distance);
    let near = nearest.filter(|other| distance(other) * 3 <= word.len().max(3));
    match near {
        Some(other) => format!("{word}: no such {thing}; did you mean {other}?"),
        None => format!("{word}: no such {thing}; {otherwise}"),
    }
}

/// The edit distance between two words.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for (b, above) in to.chars().zip(row.windows(2)) {
            let [diagonal, up] = above else { continue };
            left = (diagonal + usize::from(a != b)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, unknown};

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["bridge", "macvlan"];
        assert!(unknown("brigde", "plugin", known, "").contains("did you mean bridge?"));
        assert!(unknown("calico", "plugin", known, "there are two").ends_with("there are two"));
    }
}
