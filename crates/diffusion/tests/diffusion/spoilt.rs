//! Metrics of real digits of which a share is spoilt.
use crate::spoil::spoilt;
use duet_diffusion::data;
use duet_diffusion::eval::{Closeness, halves, two_sample_test};
use duet_diffusion::yardstick::{self, Yardstick};

/// Each metric worsens from share to share, by either judge. 600 digits are too few for shares of 1 and 2 %, which
/// `examples/spoilt` shows with 5,000.
#[test]
fn metrics_worsen_with_the_share_of_spoilt_digits() {
    let yardstick = Yardstick::of(data::digits().unwrap(), None).unwrap();
    let train = &yardstick.splits.train;
    let [reference, samples] = halves(train.labels(), 0).map(|half| train.select(&half[..600]));
    let (reference, _) = yardstick::tensors(&reference).unwrap();
    let (images, asked) = yardstick::tensors(&samples).unwrap();
    for judge in [yardstick.judge().unwrap(), yardstick.second().unwrap().unwrap()] {
        let real = judge.features(&reference).unwrap();
        let worse = [0.0, 0.1, 0.3, 0.6].map(|share| {
            let images = spoilt(&images, share, 0).unwrap();
            let features = judge.features(&images).unwrap();
            let wrong = judge.answers(&images).unwrap().iter().zip(&asked).filter(|(a, b)| a != b).count();
            let near = Closeness::new(&real, &features).unwrap();
            let told = two_sample_test(&real, &features, 0).unwrap().accuracy;
            let shares = [near.precision, near.density, near.clipped_density, near.clipped_coverage];
            let distances = vec![wrong as f64, told, near.frechet, near.kernel_distance];
            [distances, shares.map(|share| -share).to_vec()].concat()
        });
        for pair in worse.windows(2) {
            for (metric, (less, more)) in pair[0].iter().zip(&pair[1]).enumerate() {
                assert!(less < more, "metric {metric}: {worse:?}");
            }
        }
    }
}
