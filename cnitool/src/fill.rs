//! When a pool is full enough for a warning.

/// The threshold in percent.
const PERCENT: u128 = 90;

/// Whether an operator should know how full a range set is. For a set of fewer than ten addresses
/// that is so only when it is full.
pub fn is_nearly_full(taken: u128, size: u128) -> bool {
    size > 0 && taken.saturating_mul(100) >= size.saturating_mul(PERCENT)
}

#[cfg(test)]
mod tests {
    use super::is_nearly_full;

    #[test]
    fn it_begins_with_nine_tenths() {
        assert!(!is_nearly_full(0, 0) && !is_nearly_full(227, 253) && is_nearly_full(228, 253));
        assert!(!is_nearly_full(8, 9) && is_nearly_full(9, 9) && is_nearly_full(9, 10));
        assert!(!is_nearly_full(300, u128::MAX));
    }
}
