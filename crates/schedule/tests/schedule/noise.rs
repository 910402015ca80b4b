//! Noise schedules: the shape of ᾱ, the refused tables, and diffusers' values.

use duet_schedule::{
    BETA_END, BETA_START, BetaSchedule, MAX_TIMESTEPS, NoiseSchedule, ScheduleError, beta_range,
};
use proptest::prelude::*;

const KINDS: [BetaSchedule; 4] =
    [BetaSchedule::Linear, BetaSchedule::ScaledLinear, BetaSchedule::Cosine, BetaSchedule::Sigmoid];

fn any_kind() -> impl Strategy<Value = BetaSchedule> {
    proptest::sample::select(KINDS.to_vec())
}

fn falls_strictly_from_below_one(alphas_cumprod: &[f64]) -> bool {
    alphas_cumprod[0] < 1.0 && alphas_cumprod.windows(2).all(|pair| pair[0] > pair[1])
}

proptest! {
    #[test]
    fn alpha_bar_falls_strictly_from_below_one_to_above_zero(kind in any_kind(), timesteps in 1_usize..5000) {
        let schedule = NoiseSchedule::new(&kind, timesteps)?;
        prop_assert_eq!(schedule.len(), timesteps);
        prop_assert!(falls_strictly_from_below_one(schedule.alphas_cumprod()));
        prop_assert!(schedule.alpha_bar(timesteps - 1) > 0.0);
        prop_assert!(!schedule.has_zero_terminal_snr());
    }

    #[test]
    fn zero_terminal_snr_ends_in_exactly_zero_and_keeps_the_first(kind in any_kind(), timesteps in 1_usize..5000) {
        let schedule = NoiseSchedule::new(&kind, timesteps)?;
        let rescaled = schedule.with_zero_terminal_snr();
        prop_assert!(falls_strictly_from_below_one(rescaled.alphas_cumprod()));
        prop_assert_eq!(rescaled.alpha_bar(timesteps - 1), 0.0);
        prop_assert!(rescaled.has_zero_terminal_snr());
        prop_assert!(timesteps == 1 || (rescaled.alpha_bar(0) - schedule.alpha_bar(0)).abs() < 1e-14);
        prop_assert_eq!(&rescaled.with_zero_terminal_snr(), &rescaled);
        prop_assert_eq!(NoiseSchedule::from_alphas_cumprod(rescaled.alphas_cumprod().to_vec())?, rescaled);
    }

    #[test]
    fn own_betas_come_back_from_the_table(betas in proptest::collection::vec(1e-9..0.5, 1..100)) {
        let schedule = NoiseSchedule::new(&BetaSchedule::Betas(betas.clone()), betas.len())?;
        let largest = schedule.betas().iter().zip(&betas).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        prop_assert!(largest < 1e-15);
        let rescaled = schedule.with_zero_terminal_snr();
        prop_assert!(falls_strictly_from_below_one(rescaled.alphas_cumprod()));
        prop_assert_eq!(rescaled.betas()[betas.len() - 1], 1.0);
    }

    #[test]
    fn sigma_and_snr_agree(kind in any_kind(), timesteps in 1_usize..2000) {
        let schedule = NoiseSchedule::new(&kind, timesteps)?;
        for t in 0..timesteps {
            prop_assert!((schedule.snr(t) * schedule.sigma(t).powi(2) - 1.0).abs() < 1e-12);
        }
        prop_assert!((1..timesteps).all(|t| schedule.sigma(t) > schedule.sigma(t - 1)));
    }
}

#[test]
fn tables_are_those_of_diffusers() {
    for (name, values) in crate::references::alphas_cumprod() {
        let (name, zero_snr) = match name.strip_suffix(".zero_snr") {
            Some(name) => (name.to_owned(), true),
            None => (name, false),
        };
        let kind = if name == "squaredcos_cap_v2" { BetaSchedule::Cosine } else { name.parse().unwrap() };
        let plain = NoiseSchedule::new(&kind, 1000).unwrap();
        let schedule = if zero_snr { plain.with_zero_terminal_snr() } else { plain };
        for (t, expected) in values {
            let found = schedule.alpha_bar(t);
            assert!((found - expected).abs() < 1e-6, "{name} at {t}: {found} instead of {expected}");
        }
    }
}

#[test]
fn zero_terminal_snr_has_infinite_sigma_and_no_snr_at_the_end() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap().with_zero_terminal_snr();
    assert_eq!((schedule.sigma(999), schedule.snr(999)), (f64::INFINITY, 0.0));
    assert!(schedule.sigma(998).is_finite());
}

/// The betas are 1e-4 to 0.02 for T = 1000, and for every other T the final noise is the same.
/// Hoogeboom et al. 2023, equation 3: log SNR shifted by a constant; here in units of σ, the root of 1/SNR.
#[test]
fn scaled_snr_is_a_factor_on_every_noise_level() {
    for kind in &KINDS {
        let plain = NoiseSchedule::new(kind, 1000).unwrap();
        for scale in [0.25, 1.0, 4.0] {
            let scaled = plain.with_snr_scale(scale).unwrap();
            for t in 0..1000 {
                let expected = plain.sigma(t) / scale.sqrt();
                assert!((scaled.sigma(t) / expected - 1.0).abs() < 1e-9, "{kind} {scale} {t}");
            }
        }
    }
    let zero = NoiseSchedule::new(&BetaSchedule::Cosine, 100).unwrap().with_zero_terminal_snr();
    assert!(zero.with_snr_scale(0.25).unwrap().has_zero_terminal_snr());
}

#[test]
fn scales_that_are_no_factor_or_leave_the_range_are_refused() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap();
    for scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = schedule.with_snr_scale(scale).unwrap_err().to_string();
        assert!(error.contains("snr_scale") && error.contains("positive, finite"), "{error}");
    }
    for scale in [1e-300, 1e300] {
        assert!(schedule.with_snr_scale(scale).unwrap_err().to_string().contains("alpha_bar"), "{scale}");
    }
}

#[test]
fn the_beta_range_is_scaled_to_the_timesteps_unless_it_is_given() {
    for (timesteps, range) in
        [(10, (0.01, 0.999)), (100, (1e-3, 0.2)), (1000, (1e-4, 0.02)), (4000, (2.5e-5, 0.005))]
    {
        let (first, last) = beta_range(timesteps);
        assert!((first - range.0).abs() < 1e-15 && (last - range.1).abs() < 1e-15, "{timesteps}");
        let betas = NoiseSchedule::new(&BetaSchedule::Linear, timesteps).unwrap().betas();
        assert!((betas[0] - first).abs() < 1e-13 && (betas[timesteps - 1] - last).abs() < 1e-12);
        let last = |kind| NoiseSchedule::new(&kind, timesteps).unwrap().alpha_bar(timesteps - 1);
        assert!(last(BetaSchedule::Linear) < 5e-5 && last(BetaSchedule::ScaledLinear) < 1e-3, "{timesteps}");
    }
    // A given range is used as it is: a folder of diffusers means these values.
    let given = |kind: BetaSchedule, timesteps| {
        let schedule = NoiseSchedule::with_beta_range(&kind, timesteps, BETA_START, BETA_END).unwrap();
        schedule.alpha_bar(timesteps - 1)
    };
    assert!((given(BetaSchedule::Linear, 1) - 0.9999).abs() < 1e-15);
    for (timesteps, alpha_bar) in [(500, 0.027), (250, 0.16), (100, 0.48)] {
        let found = given(BetaSchedule::ScaledLinear, timesteps);
        assert!((found / alpha_bar - 1.0).abs() < 0.03, "{timesteps}: {found}");
    }
}

#[test]
fn long_tables_stay_strict_and_longer_ones_are_refused_before_they_are_made() {
    for kind in [BetaSchedule::Cosine, BetaSchedule::Sigmoid] {
        let schedule = NoiseSchedule::new(&kind, MAX_TIMESTEPS).unwrap();
        assert!(falls_strictly_from_below_one(schedule.alphas_cumprod()));
    }
    for kind in KINDS {
        for timesteps in [0, MAX_TIMESTEPS + 1, 1_000_000_000_000_000_000, usize::MAX] {
            assert_eq!(NoiseSchedule::new(&kind, timesteps), Err(ScheduleError::Timesteps(timesteps)));
        }
    }
}

#[test]
fn betas_too_large_for_so_many_timesteps_are_refused() {
    let error =
        NoiseSchedule::with_beta_range(&BetaSchedule::Linear, 20_000, BETA_START, BETA_END).unwrap_err();
    assert!(matches!(error, ScheduleError::OutOfRange { .. }), "{error}");
}

#[test]
fn bad_betas_are_refused_with_their_place() {
    let refused = |betas: Vec<f64>| {
        let count = betas.len();
        NoiseSchedule::new(&BetaSchedule::Betas(betas), count).unwrap_err().to_string()
    };
    for bad in [0.0, -0.1, 1.0, 1.5, f64::NAN, f64::INFINITY] {
        assert!(refused(vec![0.1, bad, 0.1]).starts_with("beta[1] = "));
    }
    assert!(refused(vec![0.1, 1e-17]).contains("must fall"));
    assert!(NoiseSchedule::new(&BetaSchedule::Betas(vec![0.1, 1.0]), 2).unwrap().has_zero_terminal_snr());
    assert_eq!(
        NoiseSchedule::new(&BetaSchedule::Betas(vec![0.1]), 2),
        Err(ScheduleError::BetaCount { timesteps: 2, betas: 1 })
    );
    for (start, end) in [(0.0, 0.1), (0.1, 1.0), (f64::NAN, 0.1), (-0.1, 0.1)] {
        for kind in [BetaSchedule::Linear, BetaSchedule::ScaledLinear] {
            assert!(NoiseSchedule::with_beta_range(&kind, 10, start, end).is_err());
        }
    }
}

#[test]
fn bad_tables_are_refused_with_their_place() {
    let refused = |table: &[f64]| NoiseSchedule::from_alphas_cumprod(table.to_vec()).unwrap_err().to_string();
    assert!(refused(&[]).contains("not 0"));
    for bad in [1.0, 1.1, -0.1, 0.0, 1e-39, f64::NAN] {
        assert!(refused(&[bad, 0.1]).starts_with("alpha_bar[0] = "));
    }
    assert!(refused(&[0.9, 0.9]).contains("from 0.9 to 0.9 at t = 1"));
    assert!(refused(&[0.5, 0.6]).contains("from 0.5 to 0.6 at t = 1"));
    assert!(NoiseSchedule::from_alphas_cumprod(vec![0.9, 0.0]).unwrap().has_zero_terminal_snr());
}

#[test]
fn names_are_read_and_written() {
    for kind in KINDS {
        assert_eq!(kind.to_string().parse(), Ok(kind.clone()));
        assert_eq!(serde_json::to_value(&kind).unwrap(), kind.to_string());
    }
    let error = "squared".parse::<BetaSchedule>().unwrap_err().to_string();
    assert!(error.contains("squared") && error.contains("scaled_linear"));
}
