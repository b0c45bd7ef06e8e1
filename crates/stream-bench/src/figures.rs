//! Quantiles of what was measured.

/// The quantile `q` of values in rising order, by the nearest rank; 0 of none.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Values in rising order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values = sorted((1..=200).rev().map(f64::from));
        assert_eq!([0.5, 0.99, 1.0].map(|q| quantile(&values, q)), [100.0, 198.0, 200.0]);
        assert_eq!(quantile(&[7.0], 0.0), 7.0);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
