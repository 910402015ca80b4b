//! The algebra of ε, v and x_0 prediction.

use duet_schedule::{BetaSchedule, NoiseSchedule, Prediction, ScheduleError};
use proptest::prelude::*;

const PREDICTIONS: [Prediction; 3] = [Prediction::Epsilon, Prediction::V, Prediction::X0];

/// (x_0, ε) as they follow from x_t and the exact prediction, for given x_0 and ε.
fn recovered(prediction: Prediction, alpha_bar: f64, x0: f64, epsilon: f64) -> (f64, f64) {
    let x = alpha_bar.sqrt() * x0 + (1.0 - alpha_bar).sqrt() * epsilon;
    let (a, b) = prediction.target_coefficients(alpha_bar);
    let p = a * x0 + b * epsilon;
    let (a, b) = prediction.x0_coefficients(alpha_bar);
    let (c, d) = prediction.epsilon_coefficients(alpha_bar);
    (a * x + b * p, c * x + d * p)
}

proptest! {
    #[test]
    fn x0_and_epsilon_come_back_from_an_exact_prediction(
        prediction in proptest::sample::select(PREDICTIONS.to_vec()),
        alpha_bar in 1e-4..0.9999_f64,
        x0 in -3.0..3.0,
        epsilon in -3.0..3.0,
    ) {
        let (found_x0, found_epsilon) = recovered(prediction, alpha_bar, x0, epsilon);
        prop_assert!((found_x0 - x0).abs() < 1e-11 && (found_epsilon - epsilon).abs() < 1e-11);
    }
}

#[test]
fn v_holds_at_both_ends() {
    for alpha_bar in [0.0, 1.0] {
        assert_eq!(recovered(Prediction::V, alpha_bar, 0.7, -1.3), (0.7, -1.3));
    }
    assert_eq!(Prediction::V.target_coefficients(0.0), (-1.0, 0.0));
    assert_eq!(Prediction::V.target_coefficients(1.0), (0.0, 1.0));
}

#[test]
fn x0_holds_at_zero_and_epsilon_at_one() {
    assert_eq!(recovered(Prediction::X0, 0.0, 0.7, -1.3), (0.7, -1.3));
    assert_eq!(recovered(Prediction::Epsilon, 1.0, 0.7, -1.3), (0.7, -1.3));
    assert!(Prediction::Epsilon.x0_coefficients(0.0).0.is_infinite());
    assert!(Prediction::X0.epsilon_coefficients(1.0).0.is_infinite());
}

#[test]
fn epsilon_is_refused_at_zero_snr_warned_of_near_it_and_fine_with_linear() {
    let schedule = |kind| NoiseSchedule::new(&kind, 1000).unwrap();
    for kind in [BetaSchedule::Linear, BetaSchedule::ScaledLinear] {
        assert_eq!(Prediction::Epsilon.check(&schedule(kind)), Ok(None));
    }
    for kind in [BetaSchedule::Cosine, BetaSchedule::Sigmoid] {
        let warning = Prediction::Epsilon.check(&schedule(kind)).unwrap().unwrap();
        assert!(warning.contains("t = 999"), "{warning}");
    }
    let zero = schedule(BetaSchedule::Linear).with_zero_terminal_snr();
    assert_eq!(Prediction::Epsilon.check(&zero), Err(ScheduleError::EpsilonAtZeroSnr));
    for prediction in [Prediction::V, Prediction::X0] {
        assert_eq!(prediction.check(&zero), Ok(None));
        assert_eq!(prediction.check(&schedule(BetaSchedule::Cosine)), Ok(None));
    }
}

/// v = √ᾱ ε - √(1-ᾱ) x_0 from every kind of prediction.
#[test]
fn every_prediction_is_read_as_v_and_back() {
    for prediction in PREDICTIONS {
        for alpha_bar in [1e-4_f64, 0.3, 0.9999] {
            let (x0, epsilon) = (0.7, -1.3);
            let of = |(a, b): (f64, f64)| a * x0 + b * epsilon;
            let x = alpha_bar.sqrt() * x0 + (1.0 - alpha_bar).sqrt() * epsilon;
            let (p, v) = (
                of(prediction.target_coefficients(alpha_bar)),
                of(Prediction::V.target_coefficients(alpha_bar)),
            );
            let mixed = |(of_x, of_p): (f64, f64), p: f64| of_x * x + of_p * p;
            assert!((mixed(prediction.v_coefficients(alpha_bar), p) - v).abs() < 1e-10, "{prediction}");
            assert!((mixed(prediction.of_v_coefficients(alpha_bar), v) - p).abs() < 1e-10, "{prediction}");
        }
    }
}

#[test]
fn a_schedule_that_ends_far_from_noise_is_warned_of_whatever_is_predicted() {
    let small = |timesteps| {
        NoiseSchedule::with_beta_range(&BetaSchedule::ScaledLinear, timesteps, 1e-4, 0.02).unwrap()
    };
    for prediction in PREDICTIONS {
        for timesteps in [100, 250, 500] {
            let warning = prediction.check(&small(timesteps)).unwrap().unwrap();
            assert!(warning.contains(&format!("t = {}", timesteps - 1)) && warning.contains("pure noise"));
        }
        assert_eq!(prediction.check(&small(1000)), Ok(None));
        for timesteps in [100, 250, 500] {
            let scaled = NoiseSchedule::new(&BetaSchedule::ScaledLinear, timesteps).unwrap();
            assert_eq!(prediction.check(&scaled), Ok(None), "{timesteps}");
        }
        let zero = small(100).with_zero_terminal_snr();
        assert!(prediction == Prediction::Epsilon || prediction.check(&zero) == Ok(None));
    }
}

#[test]
fn names_are_read_and_written() {
    for prediction in PREDICTIONS {
        assert_eq!(prediction.to_string().parse(), Ok(prediction));
        assert_eq!(prediction.diffusers_name().parse(), Ok(prediction));
        assert_eq!(serde_json::to_value(prediction).unwrap(), prediction.to_string());
        assert_eq!(
            serde_json::from_value::<Prediction>(prediction.diffusers_name().into()).unwrap(),
            prediction
        );
    }
    assert!("noise".parse::<Prediction>().unwrap_err().to_string().contains("noise"));
}
