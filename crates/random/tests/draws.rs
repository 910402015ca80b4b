//! The streams never change: runs resume and images repeat across versions.
use duet_random::Draws;
use proptest::prelude::*;

#[test]
fn values_are_fixed_across_versions() {
    let mut draws = Draws::new(1, "test", 2);
    assert_eq!([draws.normal(), draws.normal(), draws.normal()], NORMALS);
    assert_eq!(draws.below(1000), BELOW);
    assert_eq!(draws.permutation(6), ORDER);
}

const NORMALS: [f64; 3] = [-1.3724889950942063, -1.9794725007191165, -0.7286027782191611];
const BELOW: u64 = 702;
const ORDER: [u32; 6] = [5, 0, 1, 3, 2, 4];

#[test]
fn normals_have_unit_moments() {
    let n = 200_000;
    let mut draws = Draws::new(3, "moments", 0);
    let values: Vec<f64> = (0..n).map(|_| draws.normal()).collect();
    let moment = |k: i32| values.iter().map(|v| v.powi(k)).sum::<f64>() / n as f64;
    assert!(moment(1).abs() < 0.01, "mean {}", moment(1));
    assert!((moment(2) - 1.0).abs() < 0.015, "variance {}", moment(2));
    assert!((moment(4) - 3.0).abs() < 0.1, "fourth moment {}", moment(4));
}

#[test]
fn neighbouring_streams_are_uncorrelated() {
    let n = 100_000;
    let pairs: f64 =
        (0..n).map(|i| Draws::new(0, "a", i).normal() * Draws::new(0, "a", i + 1).normal()).sum::<f64>()
            / n as f64;
    assert!(pairs.abs() < 0.015, "correlation {pairs}");
}

proptest! {
    #[test]
    fn a_permutation_holds_each_index_once(seed: u64, index: u64, n in 0u32..200) {
        let mut order = Draws::new(seed, "order", index).permutation(n);
        order.sort_unstable();
        prop_assert!(order.iter().copied().eq(0..n));
    }

    #[test]
    fn uniform_stays_in_range(seed: u64, n in 1u64..1_000_000) {
        let mut draws = Draws::new(seed, "range", n);
        let u = draws.uniform();
        prop_assert!((0.0..1.0).contains(&u));
        prop_assert!(draws.below(n) < n);
    }
}
