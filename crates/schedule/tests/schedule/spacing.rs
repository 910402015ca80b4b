//! Timestep spacings: counts, order, ends, symmetry, limits, and diffusers' values.

use duet_schedule::{BetaSchedule, NoiseSchedule, ScheduleError, Spacing};
use proptest::prelude::*;

fn linear(timesteps: usize) -> NoiseSchedule {
    NoiseSchedule::new(&BetaSchedule::Linear, timesteps).unwrap()
}

/// A positive number of any size.
fn any_size() -> impl Strategy<Value = f64> {
    (-300.0..300.0).prop_map(|exponent| 10_f64.powf(exponent))
}

fn any_rule() -> impl Strategy<Value = Spacing> {
    prop_oneof![
        (0_usize..3).prop_map(|offset| Spacing::Leading { offset }),
        Just(Spacing::Trailing),
        Just(Spacing::Linspace),
        prop_oneof![0.5..20.0, any_size()].prop_map(|rho| Spacing::Karras { rho }),
        prop_oneof![0.0..40.0, any_size()].prop_map(|sharpness| Spacing::Sigmoid { sharpness }),
    ]
}

fn any_schedule(longest: usize) -> impl Strategy<Value = NoiseSchedule> {
    let kinds =
        [BetaSchedule::Linear, BetaSchedule::ScaledLinear, BetaSchedule::Cosine, BetaSchedule::Sigmoid];
    (proptest::sample::select(kinds.to_vec()), 1..=longest, any::<bool>()).prop_map(
        |(kind, timesteps, zero_snr)| {
            let schedule = NoiseSchedule::new(&kind, timesteps).unwrap();
            if zero_snr { schedule.with_zero_terminal_snr() } else { schedule }
        },
    )
}

/// A schedule, and a number of steps that it allows.
fn schedule_and_steps(longest: usize) -> impl Strategy<Value = (NoiseSchedule, usize)> {
    any_schedule(longest).prop_flat_map(|schedule| {
        let timesteps = schedule.len();
        (Just(schedule), prop_oneof![1..=timesteps, Just(timesteps), Just(timesteps.div_ceil(2))])
    })
}

fn assert_claims(spacing: &Spacing, schedule: &NoiseSchedule, n: usize) -> Result<(), TestCaseError> {
    let last = schedule.len() - 1;
    if matches!(spacing, Spacing::Leading { offset } if *offset > last) {
        prop_assert!(spacing.timesteps(n, schedule).is_err());
        return Ok(());
    }
    let timesteps = spacing.timesteps(n, schedule)?;
    prop_assert_eq!(timesteps.len(), n);
    prop_assert!(timesteps[0] <= last);
    prop_assert!(timesteps.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", timesteps);
    if n == 1 || !matches!(spacing, Spacing::Leading { .. }) {
        prop_assert_eq!(timesteps[0], last);
    }
    if n > 1 && matches!(spacing, Spacing::Linspace | Spacing::Karras { .. } | Spacing::Sigmoid { .. }) {
        prop_assert_eq!(timesteps[n - 1], 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_rule_gives_n_strictly_falling_timesteps(
        spacing in any_rule(),
        (schedule, n) in schedule_and_steps(1200),
    ) {
        assert_claims(&spacing, &schedule, n)?;
    }

    #[test]
    fn every_rule_holds_on_small_schedules(spacing in any_rule(), (schedule, n) in schedule_and_steps(8)) {
        assert_claims(&spacing, &schedule, n)?;
    }

    #[test]
    fn more_steps_than_timesteps_are_refused(spacing in any_rule(), schedule in any_schedule(50), more in 1_usize..9) {
        let timesteps = schedule.len();
        for steps in [0, timesteps + more, usize::MAX] {
            prop_assert_eq!(spacing.timesteps(steps, &schedule), Err(ScheduleError::StepCount { steps, timesteps }));
        }
    }

    #[test]
    fn sigmoid_is_symmetric_up_to_rounding(
        sharpness in prop_oneof![0.0..40.0, any_size()],
        (schedule, n) in schedule_and_steps(1200),
    ) {
        prop_assume!(n > 1);
        let timesteps = Spacing::Sigmoid { sharpness }.timesteps(n, &schedule)?;
        for (t, mirrored) in timesteps.iter().zip(timesteps.iter().rev()) {
            prop_assert!((t + mirrored).abs_diff(schedule.len() - 1) <= 1, "{:?}", timesteps);
        }
    }

    #[test]
    fn sigmoid_of_little_sharpness_is_linspace(sharpness in 0.0..1e-3_f64, (schedule, n) in schedule_and_steps(1200)) {
        let linspace = Spacing::Linspace.timesteps(n, &schedule)?;
        let sigmoid = Spacing::Sigmoid { sharpness }.timesteps(n, &schedule)?;
        prop_assert!(sigmoid.iter().zip(&linspace).all(|(a, b)| a.abs_diff(*b) <= 1));
        for sharpness in [0.0, f64::MIN_POSITIVE, 1e-12] {
            prop_assert_eq!(&Spacing::Sigmoid { sharpness }.timesteps(n, &schedule)?, &linspace);
        }
    }

    #[test]
    fn sigmoid_of_great_sharpness_gathers_at_both_ends(half in 1_usize..500, room in 0_usize..500) {
        let schedule = linear(2 * half + room);
        let top = (schedule.len() - half..schedule.len()).rev();
        let expected: Vec<usize> = top.chain((0..half).rev()).collect();
        for sharpness in [1e6, 1e100, f64::MAX] {
            prop_assert_eq!(&Spacing::Sigmoid { sharpness }.timesteps(2 * half, &schedule)?, &expected);
        }
    }

    #[test]
    fn text_is_read_back(spacing in any_rule(), list in proptest::collection::btree_set(0_usize..1000, 1..20)) {
        let list = Spacing::List(list.into_iter().rev().collect());
        for spacing in [spacing, list] {
            prop_assert_eq!(spacing.to_string().parse(), Ok(spacing.clone()));
            let json = serde_json::to_string(&spacing).unwrap();
            prop_assert_eq!(serde_json::from_str::<Spacing>(&json).unwrap(), spacing);
        }
    }
}

#[test]
fn timesteps_are_those_of_diffusers() {
    let schedule = linear(1000);
    for (name, expected) in crate::references::timesteps() {
        let spacing: Spacing = name.parse().unwrap();
        assert_eq!(spacing.timesteps(expected.len(), &schedule).unwrap(), expected, "{name}");
    }
}

#[test]
fn leading_adds_its_offset_and_stays_below_the_end() {
    let leading = Spacing::Leading { offset: 1 };
    assert_eq!(leading.timesteps(4, &linear(1000)).unwrap(), [751, 501, 251, 1]);
    assert_eq!(leading.timesteps(4, &linear(4)).unwrap(), [3, 2, 1, 0]);
    assert!(Spacing::Leading { offset: usize::MAX }.timesteps(1, &linear(4)).is_err());
}

#[test]
fn trailing_gives_thirty_timesteps_for_thirty() {
    let timesteps = Spacing::Trailing.timesteps(30, &linear(1000)).unwrap();
    assert_eq!((timesteps.len(), timesteps[0], timesteps[29]), (30, 999, 32));
}

#[test]
fn sigmoid_is_the_formula_with_logistic_functions() {
    let (n, k) = (12, 5.0);
    let s = |i: usize| 1.0 / (1.0 + (k - 2.0 * k * i as f64 / (n - 1) as f64).exp());
    let t = |i: usize| (999.0 * (s(i) - s(0)) / (s(n - 1) - s(0))).round() as usize;
    let expected: Vec<usize> = (0..n).rev().map(t).collect();
    assert_eq!(Spacing::Sigmoid { sharpness: k }.timesteps(n, &linear(1000)).unwrap(), expected);
}

#[test]
fn sigmoid_is_slow_at_the_ends_and_fast_in_the_middle() {
    let timesteps = Spacing::Sigmoid { sharpness: 5.0 }.timesteps(20, &linear(1000)).unwrap();
    let strides: Vec<usize> = timesteps.windows(2).map(|pair| pair[0] - pair[1]).collect();
    assert!(strides[..10].is_sorted() && strides[9..].is_sorted_by(|a, b| a >= b), "{strides:?}");
}

#[test]
fn karras_takes_the_timestep_nearest_in_log_sigma() {
    let schedule = linear(1000);
    let timesteps = Spacing::Karras { rho: 7.0 }.timesteps(10, &schedule).unwrap();
    let (low, high) = (schedule.sigma(0).powf(1.0 / 7.0), schedule.sigma(999).powf(1.0 / 7.0));
    for (i, t) in timesteps.into_iter().enumerate() {
        let sigma = (high + i as f64 / 9.0 * (low - high)).powi(7);
        let distance = |t: usize| (schedule.sigma(t).ln() - sigma.ln()).abs();
        let nearest = (0..1000).map(distance).fold(f64::INFINITY, f64::min);
        assert!(distance(t) <= nearest + 1e-12);
    }
}

#[test]
fn karras_begins_at_the_end_of_a_zero_snr_schedule() {
    let schedule = linear(1000).with_zero_terminal_snr();
    let timesteps = Spacing::Karras { rho: 7.0 }.timesteps(10, &schedule).unwrap();
    assert_eq!((timesteps[0], timesteps[9]), (999, 0));
}

#[test]
fn one_step_begins_at_the_end() {
    for name in ["leading", "leading:1", "trailing", "linspace", "karras", "sigmoid"] {
        assert_eq!(name.parse::<Spacing>().unwrap().timesteps(1, &linear(1000)), Ok(vec![999]));
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        assert!(Spacing::Karras { rho: bad }.timesteps(1, &linear(10)).is_err());
        assert!(Spacing::Sigmoid { sharpness: bad }.timesteps(1, &linear(10)).is_err());
    }
    assert!(Spacing::Karras { rho: 0.0 }.timesteps(5, &linear(10)).is_err());
}

#[test]
fn lists_are_taken_as_they_are_or_refused() {
    let list = |timesteps: &[usize], n| Spacing::List(timesteps.to_vec()).timesteps(n, &linear(1000));
    assert_eq!(list(&[999, 500, 0], 3), Ok(vec![999, 500, 0]));
    assert_eq!(list(&[7], 1), Ok(vec![7]));
    let refusals: [(&[usize], usize, &str); 5] = [
        (&[], 1, "empty"),
        (&[5, 5], 2, "5 is followed by 5"),
        (&[5, 6], 2, "5 is followed by 6"),
        (&[1000, 5], 2, "1000 is beyond the last timestep, 999"),
        (&[6, 5], 3, "2 timesteps for 3"),
    ];
    for (timesteps, n, reason) in refusals {
        let error = list(timesteps, n).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn bad_text_is_refused() {
    for text in [
        "",
        ",",
        "5,",
        "late",
        "karras:",
        "karras:x",
        "karras:0",
        "karras:nan",
        "karras:inf",
        "sigmoid:-1",
        "sigmoid:nan",
        "trailing:1",
        "linspace:",
        "leading:-1",
        "leading:1.5",
        "0,500",
        "3,3",
        "-1",
        "999,500:1",
    ] {
        assert!(text.parse::<Spacing>().is_err(), "{text:?}");
    }
    assert_eq!("999, 500, 0".parse(), Ok(Spacing::List(vec![999, 500, 0])));
    assert_eq!("karras".parse(), Ok(Spacing::Karras { rho: 7.0 }));
    assert_eq!("leading:1".parse(), Ok(Spacing::Leading { offset: 1 }));
}
