//! Whether one share is larger than another by more than chance: Fisher's exact test.

/// So many of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Those that count.
    pub count: usize,
    /// All.
    pub of: usize,
}

impl Share {
    /// The share, 0 of none.
    pub fn value(self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }

    pub(crate) fn add(&mut self, counts: bool) {
        self.count += usize::from(counts);
        self.of += 1;
    }
}

/// The one-sided p-value of Fisher's exact test (1935): the probability of `a.count` or more in the first set, given
/// how many there are in both together, if both sets are of one kind. 1 where either set is empty.
///
/// It is exact for small counts and for none at all, where a normal approximation is not.
pub fn fisher_greater(a: Share, b: Share) -> f64 {
    let (total, drawn) = (a.of + b.of, a.count + b.count);
    if a.of == 0 || b.of == 0 {
        return 1.0;
    }
    // ln n!
    let mut factorials = vec![0.0f64; total + 1];
    (1..=total).for_each(|n| factorials[n] = factorials[n - 1] + (n as f64).ln());
    let choose = |n: usize, k: usize| factorials[n] - factorials[k] - factorials[n - k];
    // The hypergeometric distribution: k of the first set among `drawn` of all.
    let probability = |k: usize| (choose(a.of, k) + choose(b.of, drawn - k) - choose(total, drawn)).exp();
    let least = a.count.max(drawn.saturating_sub(b.of));
    (least..=drawn.min(a.of)).map(probability).sum::<f64>().min(1.0)
}
