//! Quantiles of a list.

/// The value at position q · (n - 1) of n ≥ 1 values in rising order, interpolated linearly; q from 0 to 1.
/// It is numpy's default, and definition 7 of Hyndman & Fan (1996).
pub(crate) fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The value below which a further value of the same kind falls with probability q. It is at position q ·
/// (n + 1) of n ≥ 1 values in rising order, counted from 1; outside the list, it is the first or the last
/// value. It is definition 6 of Hyndman & Fan (1996).
pub(crate) fn quantile_of_others(sorted: &[f64], q: f64) -> f64 {
    let last = (sorted.len() - 1) as f64;
    let place = (q * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, last);
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// The values in rising order.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}
