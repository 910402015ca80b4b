//! Every option's text: a written value is read back equal, and a text of no option is an error.
use duet_schedule::{
    BetaSchedule, Clip, Ddim, Ddpm, DpmAlgorithm, DpmSolver, Prediction, ScheduleError, SecondOrder, Solver,
    Spacing, Steps, ThirdOrder, UniPc, UniPcVariant, Update, UpdateTable, Variance,
};
use proptest::prelude::*;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// The value's text is read as the value, alone and through serde's JSON.
fn value_to_text_to_value<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Display + FromStr<Err = ScheduleError> + PartialEq + Debug,
{
    let text = value.to_string();
    let read = text.parse::<T>();
    prop_assert_eq!(read.as_ref(), Ok(value), "{}", text);
    Ok(())
}

/// If the text can be read, the value's text is read as the same value and written as itself.
fn text_to_value_to_text<T>(text: &str) -> Result<bool, TestCaseError>
where
    T: Display + FromStr<Err = ScheduleError> + PartialEq + Debug,
{
    match text.parse::<T>() {
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            Ok(false)
        }
        Ok(value) => {
            value_to_text_to_value(&value)?;
            let written = value.to_string();
            prop_assert_eq!(written.parse::<T>().unwrap().to_string(), written);
            Ok(true)
        }
    }
}

/// Words of all options, numbers of all kinds, and separators, in any order.
fn almost_a_text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "none",
        "static",
        "dynamic",
        "leading",
        "trailing",
        "linspace",
        "karras",
        "sigmoid",
        "linear",
        "cosine",
        "scaled_linear",
        "betas",
        "epsilon",
        "v",
        "x0",
        "sample",
        "ddim",
        "ddpm",
        "euler",
        "heun",
        "unipc",
        "dpmpp-2m",
        "dpmpp-2m-sde",
        "dpm-solver",
        "large",
        "bh1",
        "bh2",
        "corrector",
        "lower-order-final",
        "euler-at-final",
        "dpmsolver++",
        "sde-dpmsolver",
        "midpoint",
        "exact",
        "diffusers",
        "0",
        "1",
        "2",
        "3",
        "4",
        "-1",
        "0.5",
        "1e308",
        "1e-320",
        "nan",
        "inf",
        "-inf",
        "-0",
        "",
        " ",
        "18446744073709551616",
        "\u{1f980}",
    ]);
    let marks = prop::sample::select(vec![":", ":", ":", ",", ",", "-", "+", " ", ""]);
    prop::collection::vec((words, marks), 0..8).prop_map(|parts| {
        let text: String = parts.iter().flat_map(|(word, mark)| [*word, *mark]).collect();
        text.trim_end_matches([':', ',']).to_string()
    })
}

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![1e-300..1e300, Just(1.0), Just(f64::MIN_POSITIVE), 0.0..10.0f64]
        .prop_filter("above 0", |value| *value > 0.0)
}

fn clips() -> impl Strategy<Value = Clip> {
    let max = prop_oneof![positive(), Just(f64::MAX)];
    prop_oneof![
        Just(Clip::No),
        positive().prop_map(|limit| Clip::Static { limit }),
        (prop_oneof![0.0..=1.0, Just(0.995)], max).prop_map(|(ratio, max)| Clip::Dynamic { ratio, max }),
    ]
}

fn spacings() -> impl Strategy<Value = Spacing> {
    prop_oneof![
        (0..1000usize).prop_map(|offset| Spacing::Leading { offset }),
        Just(Spacing::Trailing),
        Just(Spacing::Linspace),
        positive().prop_map(|rho| Spacing::Karras { rho }),
        prop_oneof![positive(), Just(0.0)].prop_map(|sharpness| Spacing::Sigmoid { sharpness }),
        prop::collection::btree_set(any::<usize>(), 1..9)
            .prop_map(|list| Spacing::List(list.into_iter().rev().collect())),
    ]
}

fn schedules() -> impl Strategy<Value = BetaSchedule> {
    prop_oneof![
        prop::sample::select(vec![
            BetaSchedule::Linear,
            BetaSchedule::ScaledLinear,
            BetaSchedule::Cosine,
            BetaSchedule::Sigmoid,
        ]),
        prop::collection::vec(1e-9..1.0f64, 1..9).prop_map(BetaSchedule::Betas),
    ]
}

fn dpm_solvers() -> impl Strategy<Value = Solver> {
    let algorithm = prop::sample::select(vec![
        DpmAlgorithm::DataOde,
        DpmAlgorithm::DataSde,
        DpmAlgorithm::NoiseOde,
        DpmAlgorithm::NoiseSde,
    ]);
    let second = prop::sample::select(vec![SecondOrder::Midpoint, SecondOrder::Heun]);
    let third = prop::sample::select(vec![ThirdOrder::Exact, ThirdOrder::Diffusers]);
    (1..=3usize, algorithm, second, third, any::<[bool; 2]>()).prop_map(
        |(order, algorithm, second_order, third_order, [lower_order_final, euler_at_final])| {
            let order = order.min(algorithm.max_order());
            let settings =
                DpmSolver { order, algorithm, second_order, third_order, lower_order_final, euler_at_final };
            settings.into()
        },
    )
}

fn solvers() -> impl Strategy<Value = Solver> {
    let variant = prop::sample::select(vec![UniPcVariant::Bh1, UniPcVariant::Bh2]);
    prop_oneof![
        prop_oneof![0.0..=1.0, Just(0.0), Just(1.0)].prop_map(|eta| Ddim { eta }.into()),
        prop::sample::select(vec![Variance::Small, Variance::Large])
            .prop_map(|variance| Ddpm { variance }.into()),
        prop::sample::select(Solver::names()).prop_map(|name| name.parse().unwrap()),
        dpm_solvers(),
        (1..=3usize, variant, any::<[bool; 2]>()).prop_map(
            |(order, variant, [corrector, lower_order_final])| {
                UniPc { order, variant, corrector, lower_order_final }.into()
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same(clip in clips(), spacing in spacings(), kind in schedules(), solver in solvers()) {
        value_to_text_to_value(&solver)?;
        prop_assert_eq!(serde_json::from_value::<Solver>(serde_json::to_value(solver).unwrap()).unwrap(), solver);
        value_to_text_to_value(&clip)?;
        value_to_text_to_value(&spacing)?;
        value_to_text_to_value(&kind)?;
        for prediction in [Prediction::Epsilon, Prediction::V, Prediction::X0] {
            value_to_text_to_value(&prediction)?;
        }
        for json in [serde_json::to_value(clip).unwrap(), serde_json::to_value(&spacing).unwrap()] {
            prop_assert!(json.is_string());
        }
        prop_assert_eq!(serde_json::from_value::<Clip>(serde_json::to_value(clip).unwrap()).unwrap(), clip);
        prop_assert_eq!(&serde_json::from_value::<Spacing>(serde_json::to_value(&spacing).unwrap()).unwrap(), &spacing);
        prop_assert_eq!(&serde_json::from_value::<BetaSchedule>(serde_json::to_value(&kind).unwrap()).unwrap(), &kind);
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_written(text in prop_oneof![almost_a_text(), any::<String>()]) {
        text_to_value_to_text::<Clip>(&text)?;
        text_to_value_to_text::<Solver>(&text)?;
        text_to_value_to_text::<Spacing>(&text)?;
        text_to_value_to_text::<BetaSchedule>(&text)?;
        text_to_value_to_text::<Prediction>(&text)?;
    }
}

#[test]
fn a_clip_is_written_as_people_write_it() {
    for text in ["none", "static", "static:0.5", "dynamic", "dynamic:0.9", "dynamic:0.9:1.5"] {
        assert_eq!(text.parse::<Clip>().unwrap().to_string(), text);
    }
    assert_eq!("static:1".parse(), Ok(Clip::Static { limit: 1.0 }));
    assert_eq!("dynamic".parse(), Ok(Clip::Dynamic { ratio: 0.995, max: f64::MAX }));
    for text in [
        "",
        "no",
        "none:",
        "none:1",
        "static:",
        "static:0",
        "static:-1",
        "static:inf",
        "static:nan",
        "static:1:2",
        "dynamic:2",
        "dynamic:-0.1",
        "dynamic:nan",
        "dynamic:0.9:0",
        "dynamic:0.9:inf",
        "dynamic:0.9:1:1",
        "Static",
    ] {
        let error = text.parse::<Clip>().unwrap_err().to_string();
        let expected = "none, static[:LIMIT above 0] or dynamic[:RATIO 0 to 1]";
        assert_eq!(error, format!("{text}: {expected}"));
    }
    assert!(serde_json::from_str::<Clip>("\"static:0\"").unwrap_err().to_string().contains("LIMIT above 0"));
}

#[test]
fn a_clip_out_of_range_is_refused() {
    for limit in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Clip::Static { limit }.checked().unwrap_err().to_string();
        assert_eq!(error, format!("clip limit = {limit} must be positive and finite"));
        assert!(Clip::Dynamic { ratio: 0.5, max: limit }.checked().is_err());
    }
    for ratio in [-0.1, 1.1, f64::NAN] {
        assert!(Clip::Dynamic { ratio, max: 1.0 }.checked().is_err(), "{ratio}");
    }
}

#[test]
fn betas_are_a_list() {
    let betas = BetaSchedule::Betas(vec![0.1, 0.25, 1.0]);
    assert_eq!(betas.to_string(), "betas:0.1,0.25,1");
    for text in ["betas", "betas:", "betas:0", "betas:0.1,", "betas:1,0.1", "betas:nan", "betas:2", "betas:x"]
    {
        assert!(text.parse::<BetaSchedule>().is_err(), "{text}");
    }
}

#[test]
fn a_solver_is_written_by_its_name_or_by_all_that_it_is() {
    assert_eq!(Solver::names(), ["ddim", "ddpm", "euler", "heun", "dpmpp-2m", "dpmpp-2m-sde", "unipc"]);
    let longer = [
        "ddim:0.5",
        "ddpm:large",
        "dpm-solver:3:dpmsolver++:heun:diffusers:lower-order-final:euler-at-final",
        "dpm-solver:2:sde-dpmsolver:midpoint:exact",
        "dpm-solver:1:dpmsolver:midpoint:exact:euler-at-final",
        "unipc:3:bh1",
        "unipc:2:bh2:corrector",
    ];
    for text in Solver::names().into_iter().chain(longer) {
        assert_eq!(text.parse::<Solver>().unwrap().to_string(), text);
    }
    let same = "dpm-solver:2:dpmsolver++:midpoint:exact:lower-order-final:euler-at-final";
    assert_eq!(same.parse(), Ok(Solver::from(DpmSolver::DPMPP_2M)));
    assert_eq!(same.parse::<Solver>().unwrap().name(), "dpm-solver");
    for text in [
        "",
        "plms",
        "ddim:",
        "ddim:x",
        "heun:1",
        "ddpm:small",
        "dpm-solver",
        "dpm-solver:2",
        "unipc:2:bh3",
        "unipc:2:bh2:lower-order-final:corrector",
    ] {
        let error = text.parse::<Solver>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{text}: expected ddim, ddpm, euler, heun, dpmpp-2m, dpmpp-2m-sde or unipc")
        );
    }
    for (text, cause) in [
        ("ddim:2", "eta 2: must be 0 to 1"),
        ("ddim:nan", "eta NaN"),
        ("unipc:4:bh2", "order 4 of UniPC: must be 1 to 3"),
        ("dpm-solver:3:sde-dpmsolver:heun:exact", "order 3 of sde-dpmsolver: must be 1 to 2"),
    ] {
        let error = text.parse::<Solver>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text}: {cause}")), "{text}: {error}");
    }
}

#[test]
fn a_refused_spacing_is_named_with_its_cause() {
    for (text, cause) in [
        ("even", "expected leading[:OFFSET], trailing"),
        ("leading:x", "expected leading[:OFFSET]"),
        ("karras:0", "rho = 0 must be positive and finite"),
        ("sigmoid:-1", "sharpness = -1 must be at least 0"),
        ("1,2", "list of timesteps: 1 is followed by 2"),
    ] {
        let error = text.parse::<Spacing>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text}: {cause}")), "{text}: {error}");
    }
}

#[test]
fn only_ddim_has_an_eta() {
    for name in Solver::names() {
        let solver: Solver = name.parse().unwrap();
        assert_eq!(solver.with_eta(0.0), Ok(solver));
        for eta in [-0.1, 1.1, f64::NAN] {
            assert!(matches!(solver.with_eta(eta), Err(ScheduleError::Eta(_))), "{name} {eta}");
        }
        match name {
            "ddim" => assert_eq!(solver.with_eta(0.5), Ok(Ddim { eta: 0.5 }.into())),
            _ => {
                let error = solver.with_eta(0.5).unwrap_err().to_string();
                assert_eq!(error, format!("eta 0.5: only ddim has it, not {name}"));
            }
        }
    }
    let steps = Steps::from_levels(vec![5], vec![0.5, 1.0]).unwrap();
    assert_eq!(Solver::from(Ddim { eta: 1.5 }).table(steps), Err(ScheduleError::Eta(1.5)));
}

#[test]
fn a_table_that_no_sampler_can_step_by_is_refused() {
    let steps = || Steps::from_levels(vec![5, 3], vec![0.5, 0.7, 1.0]).unwrap();
    let update = |x0: Vec<f64>| Update { x0, ..Update::default() };
    let refused = |updates| UpdateTable::new(steps(), updates).unwrap_err().to_string();
    assert!(UpdateTable::new(steps(), vec![update(vec![1.0]), update(vec![1.0, -0.5])]).is_ok());
    assert!(refused(vec![update(vec![1.0])]).contains("1 of them for 2 steps"));
    assert!(refused(vec![update(vec![1.0]), update(vec![f64::NAN])]).contains("factor NaN in step 1"));
    let noisy = Update { noise: f64::INFINITY, ..update(vec![]) };
    assert!(refused(vec![noisy, update(vec![])]).contains("factor inf in step 0"));
    assert!(
        refused(vec![update(vec![1.0, 1.0]), update(vec![])]).contains("step 0 looks at 2 estimates of 1")
    );
}
