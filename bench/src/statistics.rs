//! Medians and percentiles.

/// The percentile `part` of `values`; 0 if there are none.
pub fn percentile(values: &[f64], part: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * part).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Rounds to three decimal places, the useful precision.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!([10, 50, 90, 99].map(|part| percentile(&values, part)), [1.0, 3.0, 5.0, 5.0]);
        assert_eq!(percentile(&[], 50), 0.0);
    }
}
