//! Suggests a known word for an unknown one.

/// The most similar known word, if one is similar enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    // Swapped neighbours count as one mistake: `brdige`.
    let distance = |other: &str| strsim::osa_distance(&lower, &other.to_lowercase());
    let near = known.into_iter().map(|other| (distance(other), other)).min()?;
    let is_near = near.0 * 3 <= word.chars().count().max(3);
    is_near.then_some(near.1)
}

/// `did you mean "bridge"?`, or nothing.
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("did you mean {nearest:?}?"))
}

/// `1 error`, `2 errors`
pub fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_what_is_near_is_meant() {
        let known = ["bridge", "macvlan", "mtu", "isGateway"];
        for (word, meant) in [
            ("brdige", Some("bridge")),
            ("mut", Some("mtu")),
            ("isGatway", Some("isGateway")),
            ("IsDefaultGateway", None),
            ("calico", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
