//! What is made of many figures.

/// The value below which `share` of them lie; zero if there are none.
pub(crate) fn quantile<T: Copy + Ord + Default>(sorted: &[T], share: f64) -> T {
    let last = sorted.len().saturating_sub(1) as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into the slice"
    )]
    let index = (last * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// The middle one of a few figures.
pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
