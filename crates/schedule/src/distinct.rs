//! Moves timesteps that rounding made equal.

/// Makes N timesteps strictly falling and moves each as little as possible.
///
/// `timesteps` is not empty, never rises, and has at most T values, all in 0..T-1. The same holds for the
/// result. A list that already falls strictly stays as it is. The first and the last value stay if the
/// others fit between them. Among all strictly falling lists with these ends, the result has the smallest
/// largest move. It is the mean of two lists, kept between the ends: one list only lowers values, the other
/// only raises them (the L∞ isotonic regression; Ubhaya 1974).
pub(crate) fn strictly_falling(timesteps: &[usize]) -> Vec<usize> {
    let last = timesteps.len() - 1;
    let top = timesteps[0].max(last);
    let bottom = timesteps[last].min(top - last);

    // Lower each value that is not below its predecessor; raise each that is not above its successor.
    let mut lowered: Vec<i64> = timesteps.iter().map(|&t| t as i64).collect();
    let mut raised = lowered.clone();
    for i in 1..=last {
        lowered[i] = lowered[i].min(lowered[i - 1] - 1);
    }
    for i in (0..last).rev() {
        raised[i] = raised[i].max(raised[i + 1] + 1);
    }

    // Both lists fall strictly. Their sum falls by at least two, and half of it by at least one. The bounds
    // fall by one.
    let between = |i: usize| {
        let mean = (lowered[i] + raised[i]).div_euclid(2);
        mean.clamp((bottom + last - i) as i64, (top - i) as i64) as usize
    };
    (0..=last).map(between).collect()
}

#[cfg(test)]
mod tests {
    use super::strictly_falling;
    use proptest::prelude::*;

    /// Every strictly falling list of `count` values below `limit`.
    fn all_falling(count: usize, limit: usize) -> Vec<Vec<usize>> {
        if count == 0 {
            return vec![vec![]];
        }
        let longer = |first: usize| {
            all_falling(count - 1, first).into_iter().map(move |rest| [vec![first], rest].concat())
        };
        (count - 1..limit).flat_map(longer).collect()
    }

    fn largest_move(a: &[usize], b: &[usize]) -> usize {
        a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn no_other_falling_list_with_the_same_ends_moves_less(
            timesteps in (1_usize..9).prop_flat_map(|limit| {
                (Just(limit), proptest::collection::vec(0..limit, 1..=limit))
            }),
        ) {
            let (limit, mut wanted) = timesteps;
            wanted.sort_by(|a, b| b.cmp(a));
            let found = strictly_falling(&wanted);
            let last = wanted.len() - 1;
            prop_assert_eq!(found.len(), wanted.len());
            prop_assert!(found[0] < limit);
            prop_assert!(found.windows(2).all(|pair| pair[0] > pair[1]));
            if wanted[0] - wanted[last] >= last {
                prop_assert_eq!((found[0], found[last]), (wanted[0], wanted[last]));
            }
            let least = all_falling(wanted.len(), limit)
                .iter()
                .filter(|other| (other[0], other[last]) == (found[0], found[last]))
                .map(|other| largest_move(other, &wanted))
                .min();
            prop_assert_eq!(Some(largest_move(&found, &wanted)), least);
        }
    }
}
