//! Adds a thousand terms on three ranks, and gets the bits of one.

use duet_ranks::{Addend, Ranks, TreeSum, shares};
use std::time::Duration;

/// What every rank gets where so many take part.
fn sums(size: usize) -> Vec<Addend> {
    let shares = shares(1000, &vec![1; size]);
    let work = |ranks: &Ranks| {
        let part = TreeSum::new(1000);
        for i in shares[ranks.rank()].clone() {
            let term = Addend { number: 1.0, values: vec![1.0 / (1.0 + i as f32), 1e6 / (1.0 + i as f32)] };
            part.add(i, term, Addend::add);
        }
        ranks.sum(part, &shares, 2).expect("all ranks answer").into()
    };
    let ranks = Ranks::local(size, Duration::from_secs(10));
    std::thread::scope(|scope| {
        let started: Vec<_> = ranks.iter().map(|ranks| scope.spawn(|| work(ranks))).collect();
        started.into_iter().map(|rank| rank.join().expect("no rank panics")).collect()
    })
}

fn main() {
    let alone = &sums(1)[0];
    assert!(sums(3).iter().all(|sum| sum == alone));
}
