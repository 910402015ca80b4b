//! Adds a thousand numbers on three ranks, and gets the bits of one.

use duet_ranks::{Ranks, Term, TreeSum, shares};
use std::time::Duration;

/// A number of the sum.
struct Number(f32);

impl Term for Number {
    fn add(&mut self, next: Self) {
        self.0 += next.0;
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_le_bytes().into()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.try_into().map_err(|_| format!("{} bytes", bytes.len()))?;
        Ok(Self(f32::from_le_bytes(bytes)))
    }
}

/// What rank 0 gets where so many ranks take part.
fn sum(size: usize) -> f32 {
    let shares = shares(1000, &vec![1; size]);
    let ranks = Ranks::local(size, Duration::from_secs(10));
    let sums = std::thread::scope(|scope| {
        let started = ranks.iter().map(|ranks| {
            let shares = &shares;
            scope.spawn(move || {
                let part = TreeSum::new(1000);
                for i in shares[ranks.rank()].clone() {
                    part.add(i, Number(1.0 / (1.0 + i as f32)), Number::add);
                }
                ranks.sum(part, shares).expect("all ranks answer")
            })
        });
        let started: Vec<_> = started.collect();
        started.into_iter().filter_map(|rank| rank.join().expect("no rank panics")).collect::<Vec<_>>()
    });
    sums[0].0
}

fn main() {
    assert_eq!(sum(1).to_bits(), sum(3).to_bits());
}
