//! Every option's text: a written value is read back equal, and a text of no option is an error.
use duet_sample::{
    Apg, Ends, GuidanceInterval, History, Interpolation, NoiseInterval, Plain, PredictionPair, Rescale, Rule,
    SampleError, Seeds, Strength, Terms, WeightSchedule, ZeroStar,
};
use duet_schedule::{BetaSchedule, NoiseSchedule, Steps};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Debug, Display};
use std::str::FromStr;

trait Value: Display + FromStr<Err = SampleError> + PartialEq + Debug + Serialize + DeserializeOwned {}
impl<T: Display + FromStr<Err = SampleError> + PartialEq + Debug + Serialize + DeserializeOwned> Value for T {}

/// The value's text is read as the value, alone and in JSON.
fn value_to_text_to_value<T: Value>(value: &T) -> Result<(), TestCaseError> {
    let text = value.to_string();
    match text.parse::<T>() {
        Ok(read) => prop_assert_eq!(&read, value, "{}", text),
        Err(error) => prop_assert!(false, "{}: {}", text, error),
    }
    let json = serde_json::to_string(value).unwrap();
    prop_assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{}", json);
    Ok(())
}

/// If the text can be read, the value's text is read as the same value and written as itself.
fn text_to_value_to_text<T: Value>(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<T>() {
        Err(error) => prop_assert!(!error.to_string().is_empty()),
        Ok(value) => {
            value_to_text_to_value(&value)?;
            let written = value.to_string();
            prop_assert_eq!(written.parse::<T>().unwrap().to_string(), written);
        }
    }
    Ok(())
}

/// Words of all options, numbers of all kinds, and separators, in any order.
fn almost_a_text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "constant",
        "linear",
        "cosine",
        "all",
        "plain",
        "zero-star",
        "apg",
        "custom",
        "seeds",
        "classes",
        "0",
        "1",
        "2",
        "7",
        "100t",
        "800t",
        "0t",
        "t",
        "-1",
        "0.5",
        "0.3",
        "3",
        "5",
        "1000",
        "1001",
        "1000000",
        "1e308",
        "1e-320",
        "nan",
        "inf",
        "-inf",
        "-0",
        "",
        " ",
        "18446744073709551615",
        "18446744073709551616",
        "\u{1f980}",
    ]);
    let marks = prop::sample::select(vec![":", ":", ":", ",", ",", "-", "-", " ", ""]);
    prop::collection::vec((words, marks), 0..8).prop_map(|parts| {
        let text: String = parts.iter().flat_map(|(word, mark)| [*word, *mark]).collect();
        text.trim_end_matches([':', ',', '-']).to_string()
    })
}

fn weights() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..10.0f64, Just(0.0), Just(1.0), 1e-300..1e300]
}

fn noise_intervals() -> impl Strategy<Value = NoiseInterval> {
    (weights(), prop_oneof![1e-9..100.0, Just(f64::INFINITY)])
        .prop_map(|(low, more)| NoiseInterval::new(low, low * 2.0 + more).unwrap())
}

fn intervals() -> impl Strategy<Value = GuidanceInterval> {
    prop_oneof![
        Just(GuidanceInterval::All),
        noise_intervals().prop_map(GuidanceInterval::Levels),
        any::<[usize; 2]>()
            .prop_map(|[a, b]| GuidanceInterval::Timesteps { first: a.min(b), last: a.max(b) }),
    ]
}

fn histories() -> impl Strategy<Value = History> {
    let levels = prop_oneof![noise_intervals(), Just(NoiseInterval::new(0.5, 3.0).unwrap())];
    (weights(), levels).prop_map(|(weight, levels)| History::new(weight, levels).unwrap())
}

fn rules() -> impl Strategy<Value = Rule> {
    let eta = prop_oneof![0.0..=1.0, Just(0.0)];
    let norm = prop_oneof![1e-9..100.0, Just(f64::INFINITY)];
    let momentum = prop_oneof![-1.0..=1.0, Just(-0.5), Just(0.0)];
    prop_oneof![
        Just(Plain.into()),
        Just(ZeroStar.into()),
        (eta, norm, momentum).prop_map(|(eta, norm, momentum)| Apg::new(eta, norm, momentum).unwrap().into()),
    ]
}

fn schedules() -> impl Strategy<Value = WeightSchedule> {
    prop_oneof![
        Just(WeightSchedule::Constant),
        Just(WeightSchedule::Linear),
        Just(WeightSchedule::Cosine),
        prop::collection::vec(prop_oneof![-1e3..1e3, -1e300..1e300, Just(0.0)], 1..9)
            .prop_map(WeightSchedule::List),
    ]
}

fn seeds() -> impl Strategy<Value = Seeds> {
    prop::collection::vec((0..u64::MAX - 100_000, prop_oneof![Just(0), 0..100_000u64]), 1..9).prop_map(
        |ranges| Seeds::new(ranges.into_iter().map(|(first, more)| first..=first + more).collect()).unwrap(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same(
        interval in intervals(),
        history in histories(),
        rule in rules(),
        schedule in schedules(),
        seeds in seeds(),
        count in 2..=1000usize,
        share in 1e-9..=1.0f64,
    ) {
        value_to_text_to_value(&interval)?;
        value_to_text_to_value(&history)?;
        value_to_text_to_value(&rule)?;
        value_to_text_to_value(&schedule)?;
        value_to_text_to_value(&seeds)?;
        value_to_text_to_value(&Interpolation::new(Ends::Seeds, count).unwrap())?;
        value_to_text_to_value(&Interpolation::new(Ends::Classes, count).unwrap())?;
        value_to_text_to_value(&Strength::new(share).unwrap())?;
        value_to_text_to_value(&Rescale::new(share).unwrap())?;
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_written(text in prop_oneof![almost_a_text(), any::<String>()]) {
        text_to_value_to_text::<GuidanceInterval>(&text)?;
        text_to_value_to_text::<History>(&text)?;
        text_to_value_to_text::<Rule>(&text)?;
        text_to_value_to_text::<WeightSchedule>(&text)?;
        text_to_value_to_text::<Seeds>(&text)?;
        text_to_value_to_text::<Interpolation>(&text)?;
        text_to_value_to_text::<Strength>(&text)?;
        text_to_value_to_text::<Rescale>(&text)?;
    }
}

/// Texts that come back unchanged, texts that are refused, and the words of the error after the text.
#[track_caller]
fn texts<T: Value>(kept: &[&str], refused: &[&str], expected: &str) {
    for text in kept {
        assert_eq!(text.parse::<T>().unwrap_or_else(|error| panic!("{error}")).to_string(), *text);
    }
    for text in refused {
        let error = text.parse::<T>().unwrap_err().to_string();
        assert_eq!(error, format!("{text}: {expected}"));
    }
}

#[test]
fn options_are_written_as_people_write_them() {
    texts::<WeightSchedule>(
        &["constant", "linear", "cosine", "2", "-1,2", "1,1.5,3"],
        &["up", "", "1,", "nan", "1,inf", "linear:2"],
        "constant, linear, cosine, or a number for each step",
    );
    texts::<GuidanceInterval>(
        &["all", "0.2:5", "0:inf", "100t:800t", "5t:5t"],
        &["5", "", "5:", "100t:800", "t:8t", "-1t:5t", "a:b", "1:2:3"],
        "two noise levels such as 0.2:5, or timesteps 100t:800t",
    );
    texts::<GuidanceInterval>(&[], &["5:1"], "interval 5 to 1: must be 0 <= low < high");
    texts::<GuidanceInterval>(&[], &["9t:2t"], "interval of timesteps 9 to 2: must rise");
    texts::<History>(
        &["0", "0.5", "0.5:0.3:3"],
        &["much", "", "1:2", "1:2:3:4"],
        "WEIGHT or WEIGHT:LOW:HIGH, WEIGHT 0 or more, LOW and HIGH noise levels",
    );
    texts::<History>(&[], &["-1"], "history -1: must be 0 or more");
    texts::<History>(&[], &["1:3:0.3"], "interval 3 to 0.3: must be 0 <= low < high");
    texts::<Rule>(
        &["plain", "zero-star", "apg", "apg:0.3", "apg:0:2", "apg:0:2:0", "apg:1:inf:1"],
        &[
            "",
            "cfg",
            "plain:1",
            "apg:",
            "apg:7",
            "apg:0:0",
            "apg:0:nan",
            "apg:0:1:2",
            "apg:0:1:0:0",
            "custom:mine",
        ],
        "plain, zero-star, apg or apg:ETA[:NORM[:MOMENTUM]] with ETA 0 to 1, NORM above 0 and MOMENTUM -1 to 1",
    );
    texts::<Seeds>(
        &["0-7,100", "5", "3,3,1-2", "18446744073709551615"],
        &["5-3", "", "x", "-1", "1-", "1-2-3", "18446744073709551616"],
        "use numbers and rising ranges, such as 0-7,100",
    );
    texts::<Seeds>(
        &["0-999999"],
        &["0-1000000", "0-18446744073709551615", "0-999999,7"],
        "at most 1000000 at once",
    );
    texts::<Interpolation>(
        &["seeds:2", "classes:1000"],
        &["seeds", "seeds:1", "classes:1001", "images:5", "seeds:x", "seeds:-1"],
        "seeds:N or classes:N, N from 2 to 1000",
    );
    texts::<Strength>(&["0.5", "1"], &["0", "1.1", "-1", "nan", "x", ""], "above 0 and at most 1");
    texts::<Rescale>(&["0", "0.7", "1"], &["2", "-0.1", "nan", "x"], "must be 0 to 1");
}

#[test]
fn seeds_are_drawn_in_the_order_in_which_they_are_named() {
    let seeds = "0-2, 100 ,1".parse::<Seeds>().unwrap();
    assert_eq!((seeds.to_vec(), seeds.to_string()), (vec![0, 1, 2, 100, 1], "0-2,100,1".to_string()));
    // Of a list, the part that is wrong is named.
    assert!("0-2,9-8,1".parse::<Seeds>().unwrap_err().to_string().starts_with("9-8: "));
    assert!(Seeds::new(Vec::new()).is_err() && Seeds::new(vec![0..=1_000_000]).is_err());
    #[expect(clippy::reversed_empty_ranges, reason = "it is refused")]
    let falling = Seeds::new(vec![3..=2]);
    assert_eq!(falling.unwrap_err().to_string(), "seeds 3-2: a range must rise");
}

#[test]
fn timesteps_become_noise_levels_once_the_schedule_is_known() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    let interval = |text: &str| text.parse::<GuidanceInterval>().unwrap().noise_interval(&schedule);
    assert_eq!(interval("all").unwrap(), NoiseInterval::default());
    assert_eq!(interval("0.2:5").unwrap(), NoiseInterval::new(0.2, 5.0).unwrap());
    assert_eq!(interval("100t:800t").unwrap(), NoiseInterval::of_timesteps(100, 800, &schedule).unwrap());
    assert!(interval("100t:1000t").unwrap_err().to_string().contains("100 to 1000"));
    let falling = GuidanceInterval::Timesteps { first: 5, last: 4 };
    assert!(falling.noise_interval(&schedule).unwrap_err().to_string().contains("5 to 4"));
}

#[test]
fn a_strength_keeps_its_share_of_the_steps() {
    let schedule = NoiseSchedule::new(&BetaSchedule::Linear, 1000).unwrap();
    let steps = Steps::new(&schedule, &[900, 700, 500, 300, 100]).unwrap();
    for (share, kept) in [(1e-7, 1), (0.5, 3), (0.6, 3), (1.0, 5)] {
        assert_eq!(Strength::new(share).unwrap().kept(&steps).len(), kept, "{share}");
    }
    assert_eq!(Strength::ALL.kept(&steps), steps);
}

#[test]
fn an_interpolation_has_both_its_ends() {
    assert_eq!(Interpolation::new(Ends::Seeds, 5).unwrap().shares(), [0.0, 0.25, 0.5, 0.75, 1.0]);
    assert!(Interpolation::new(Ends::Seeds, 1).is_err() && Interpolation::new(Ends::Classes, 1001).is_err());
}

#[test]
fn numbers_stay_numbers_in_json() {
    assert_eq!(serde_json::to_string(&Strength::new(0.5).unwrap()).unwrap(), "0.5");
    assert_eq!(serde_json::to_string(&Rescale::default()).unwrap(), "0.0");
    assert!(serde_json::from_str::<Strength>("0").unwrap_err().to_string().contains("above 0"));
    assert!(serde_json::from_str::<Rescale>("2").unwrap_err().to_string().contains("0 to 1"));
    assert_eq!(serde_json::to_string(&Rule::from(Apg::PAPER)).unwrap(), "\"apg\"");
    assert_eq!(serde_json::to_string(&"0-7".parse::<Seeds>().unwrap()).unwrap(), "\"0-7\"");
}

#[test]
fn a_list_of_weights_is_as_long_as_the_steps_are_many() {
    let list: WeightSchedule = "1,2".parse().unwrap();
    assert!(list.check_count(2).is_ok() && WeightSchedule::Linear.check_count(9).is_ok());
    let error = list.check_count(9).unwrap_err().to_string();
    assert_eq!(error, "2 weights for 9 steps; one for each is needed");
}

/// It can be shown and compared, and nothing reads it back as another rule.
#[test]
fn a_rule_of_ones_own_has_a_name() {
    let rule = |name| Rule::custom(name, Terms::V, |pair: PredictionPair<'_>| Ok(pair.free.clone()));
    assert_eq!(rule("mine"), rule("mine"));
    assert!(rule("mine") != rule("another") && rule("plain") != Plain.into());
    assert_eq!(rule("plain").to_string(), "custom:plain");
    assert_eq!(format!("{:?}", rule("mine")), "Custom(Custom { name: \"mine\", terms: V })");
    assert!(rule("plain").to_string().parse::<Rule>().is_err());
}
