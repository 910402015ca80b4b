//! Every option's text: what is written is read as the same, and what is no option's text is an error.
use duet_schedule::{BetaSchedule, Clip, Prediction, ScheduleError, Spacing};
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

/// The text, if it is read at all, is written as a text of the same value, which is written as itself.
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same(clip in clips(), spacing in spacings(), kind in schedules()) {
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
