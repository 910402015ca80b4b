//! `scheduler_config.json`: a written configuration is read back equal, and unknown keys and values are
//! refused by name.

use duet_schedule::{
    BetaSchedule, Clip, Ddpm, DiffusersScheduler, NoiseSchedule, Prediction, ScheduleError, Solver, Spacing,
    ThirdOrder, Variance,
};
use serde_json::{Value, json};

/// A configuration as diffusers 0.42.1 saves it.
fn saved() -> Value {
    json!({
        "_class_name": "DDIMScheduler",
        "_diffusers_version": "0.42.1",
        "_use_default_values": ["thresholding"],
        "beta_end": 0.02,
        "beta_schedule": "squaredcos_cap_v2",
        "beta_start": 0.0001,
        "clip_sample": true,
        "clip_sample_range": 1.0,
        "dynamic_thresholding_ratio": 0.995,
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": true,
        "sample_max_value": 1.0,
        "set_alpha_to_one": true,
        "steps_offset": 0,
        "thresholding": false,
        "timestep_spacing": "trailing",
        "trained_betas": null
    })
}

fn with(key: &str, value: Value) -> Result<DiffusersScheduler, ScheduleError> {
    let mut config = saved();
    config[key] = value;
    DiffusersScheduler::from_json(&config.to_string())
}

fn refusal(key: &str, value: Value) -> String {
    with(key, value).unwrap_err().to_string()
}

#[test]
fn a_saved_configuration_is_understood() {
    let config = DiffusersScheduler::from_json(&saved().to_string()).unwrap();
    let cosine = NoiseSchedule::new(&BetaSchedule::Cosine, 1000).unwrap();
    assert_eq!(config.noise_schedule(), Ok(cosine.with_zero_terminal_snr()));
    assert_eq!(config.prediction(), Ok(Prediction::V));
    assert_eq!(config.spacing(), Ok(Spacing::Trailing));
    assert_eq!(config.clip_range(), Some(1.0));
}

#[test]
fn missing_keys_have_the_defaults_of_diffusers() {
    let config = DiffusersScheduler::from_json(r#"{"_class_name": "DDIMScheduler"}"#).unwrap();
    assert_eq!(config.noise_schedule(), NoiseSchedule::new(&BetaSchedule::Linear, 1000));
    assert_eq!(config.prediction(), Ok(Prediction::Epsilon));
    assert_eq!(config.spacing(), Ok(Spacing::Leading { offset: 0 }));
    assert_eq!(config.clip_range(), Some(1.0));
}

#[test]
fn the_json_has_the_keys_of_diffusers_in_its_order() {
    let config = DiffusersScheduler::new(&BetaSchedule::Cosine, true, 1000, Prediction::V).unwrap();
    let written = config.with_spacing(&Spacing::Trailing).unwrap().to_json();
    let mut expected = saved();
    expected.as_object_mut().unwrap().shift_remove("_use_default_values");
    assert_eq!(written, serde_json::to_string_pretty(&expected).unwrap());
}

#[test]
fn every_schedule_comes_back_bit_for_bit() {
    let betas = (0..50).map(|t| 0.1 / (f64::from(t) + 3.0)).collect();
    let kinds = [
        (BetaSchedule::Linear, 1000),
        (BetaSchedule::ScaledLinear, 700),
        (BetaSchedule::Cosine, 1000),
        (BetaSchedule::Sigmoid, 1000),
        (BetaSchedule::Betas(betas), 50),
    ];
    for (kind, timesteps) in kinds {
        for zero_snr in [false, true] {
            let plain = NoiseSchedule::new(&kind, timesteps).unwrap();
            let expected = if zero_snr { plain.with_zero_terminal_snr() } else { plain };
            let written = DiffusersScheduler::new(&kind, zero_snr, timesteps, Prediction::V).unwrap();
            let read = DiffusersScheduler::from_json(&written.to_json()).unwrap();
            assert_eq!(read.noise_schedule(), Ok(expected));
            assert_eq!(read, written);
        }
    }
}

#[test]
fn own_betas_are_written_once_and_called_so() {
    let betas = BetaSchedule::Betas(vec![0.1, 0.2, 0.4]);
    let scheduler = DiffusersScheduler::new(&betas, false, 3, Prediction::V).unwrap();
    let json: Value = serde_json::from_str(&scheduler.to_json()).unwrap();
    assert_eq!((&json["_duet_schedule"], &json["trained_betas"]), (&json!("betas"), &json!([0.1, 0.2, 0.4])));
}

#[test]
fn sigmoid_is_written_as_betas_that_say_where_they_came_from() {
    let config = DiffusersScheduler::new(&BetaSchedule::Sigmoid, true, 1000, Prediction::V).unwrap();
    let json: Value = serde_json::from_str(&config.to_json()).unwrap();
    assert_eq!(json["_duet_schedule"], "sigmoid");
    assert_eq!(json["trained_betas"].as_array().unwrap().len(), 1000);
    assert_eq!(json["trained_betas"][999], 0.999);
    assert_eq!(json["rescale_betas_zero_snr"], true);
}

#[test]
fn spacing_clipping_and_beta_range_come_back() {
    let config = DiffusersScheduler::new(&BetaSchedule::Linear, false, 100, Prediction::X0).unwrap();
    for name in ["leading", "leading:1", "trailing", "linspace", "karras:7", "sigmoid:5.5", "99,50,0"] {
        let spacing: Spacing = name.parse().unwrap();
        let written = config.clone().with_spacing(&spacing).unwrap().to_json();
        assert_eq!(DiffusersScheduler::from_json(&written).unwrap().spacing(), Ok(spacing));
    }
    for range in [None, Some(1.0), Some(2.5)] {
        let written = config.clone().with_clip_range(range).unwrap().to_json();
        assert_eq!(DiffusersScheduler::from_json(&written).unwrap().clip_range(), range);
    }
    let written = config.with_beta_range(1e-3, 0.2).unwrap().to_json();
    let expected = NoiseSchedule::with_beta_range(&BetaSchedule::Linear, 100, 1e-3, 0.2);
    assert_eq!(DiffusersScheduler::from_json(&written).unwrap().noise_schedule(), expected);
}

#[test]
fn what_cannot_be_sampled_is_not_written() {
    let config = |kind, zero_snr| DiffusersScheduler::new(&kind, zero_snr, 100, Prediction::Epsilon);
    assert_eq!(config(BetaSchedule::Cosine, true), Err(ScheduleError::EpsilonAtZeroSnr));
    assert!(DiffusersScheduler::new(&BetaSchedule::Sigmoid, false, usize::MAX, Prediction::V).is_err());
    let config = config(BetaSchedule::Cosine, false).unwrap();
    assert!(config.clone().with_clip_range(Some(f64::NAN)).is_err());
    assert!(config.clone().with_clip_range(Some(0.0)).is_err());
    assert!(config.clone().with_spacing(&Spacing::Karras { rho: f64::NAN }).is_err());
    assert!(config.clone().with_spacing(&Spacing::List(vec![100])).is_err());
    assert!(config.with_spacing(&Spacing::Leading { offset: 100 }).is_err());
}

#[test]
fn other_schedulers_are_refused() {
    for class in [json!("PNDMScheduler"), json!("EulerDiscreteScheduler"), json!(3), json!(null)] {
        let error = refusal("_class_name", class.clone());
        assert!(error.contains(&class.to_string()) && error.contains("DDIMScheduler"), "{error}");
    }
    assert!(DiffusersScheduler::from_json("{}").is_err());
}

#[test]
fn unknown_keys_are_refused_by_name_but_for_hidden_ones() {
    assert!(refusal("skip_prk", json!(true)).contains("skip_prk"));
    assert!(refusal("_duet_future", json!(1)).contains("_duet_future"));
    assert!(with("_anything", json!([1, 2])).is_ok());
}

#[test]
fn values_of_the_wrong_type_are_refused_by_key() {
    for (key, value) in [
        ("beta_start", json!("small")),
        ("clip_sample", json!(1)),
        ("clip_sample_range", json!(null)),
        ("num_train_timesteps", json!(-1)),
        ("num_train_timesteps", json!(1e3)),
        ("steps_offset", json!(0.5)),
        ("timestep_spacing", json!(3)),
        ("trained_betas", json!({})),
        ("trained_betas", json!([0.1, "a"])),
        ("_duet_spacing", json!("karras:-1")),
    ] {
        let error = refusal(key, value);
        assert!(error.contains(key), "{error}");
    }
    for text in ["", "[]", "null", "{", "{\"_class_name\": \"DDIMScheduler\"} x", &"[".repeat(100_000)] {
        assert!(matches!(DiffusersScheduler::from_json(text), Err(ScheduleError::Json(_))));
    }
}

#[test]
fn values_that_are_not_supported_are_refused_by_key_and_value() {
    for (key, value) in [
        ("beta_schedule", json!("sigmoid")),
        ("beta_schedule", json!("laplace")),
        ("timestep_spacing", json!("karras")),
    ] {
        let error = refusal(key, value.clone());
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        assert!(error.contains(&format!("{key} = {value} ")), "{error}");
    }
    assert!(refusal("prediction_type", json!("flow")).contains("flow"));
    assert!(refusal("prediction_type", json!("epsilon")).contains("zero terminal SNR"));
}

/// A configuration as diffusers saves it, with Python's word for minus infinity.
const DPM: &str = r#"{
  "_class_name": "DPMSolverMultistepScheduler",
  "_diffusers_version": "0.42.1",
  "algorithm_type": "dpmsolver++",
  "beta_end": 0.02,
  "beta_schedule": "linear",
  "beta_start": 0.0001,
  "dynamic_thresholding_ratio": 0.995,
  "euler_at_final": false,
  "final_sigmas_type": "zero",
  "flow_shift": 1.0,
  "lambda_min_clipped": -Infinity,
  "lower_order_final": true,
  "num_train_timesteps": 1000,
  "prediction_type": "epsilon",
  "rescale_betas_zero_snr": false,
  "sample_max_value": 1.0,
  "solver_order": 2,
  "solver_type": "midpoint",
  "steps_offset": 0,
  "thresholding": false,
  "time_shift_type": "exponential",
  "timestep_spacing": "linspace",
  "trained_betas": null,
  "use_beta_sigmas": false,
  "use_dynamic_shifting": false,
  "use_exponential_sigmas": false,
  "use_flow_sigmas": false,
  "use_karras_sigmas": false,
  "use_lu_lambdas": false,
  "variance_type": null
}"#;

#[test]
fn the_other_schedulers_are_written_as_they_were_read() {
    assert_eq!(DiffusersScheduler::from_json(DPM).unwrap().to_json(), DPM);
    let clipped = DPM.replace("-Infinity", "-5.1");
    assert_eq!(DiffusersScheduler::from_json(&clipped).unwrap().to_json(), clipped);
    let ddpm =
        r#"{"_class_name": "DDPMScheduler", "variance_type": "fixed_large", "beta_schedule": "sigmoid"}"#;
    let read = DiffusersScheduler::from_json(ddpm).unwrap();
    assert_eq!(read.solver(), Ok(Ddpm { variance: Variance::Large }.into()));
    assert_eq!(DiffusersScheduler::from_json(&read.to_json()), Ok(read));
}

#[test]
fn what_a_dpm_solver_cannot_do_is_refused_by_key_and_value() {
    for (key, from, to) in [
        ("algorithm_type", "\"dpmsolver++\"", "\"dpmsolver--\""),
        ("solver_type", "\"midpoint\"", "\"bh3\""),
        ("solver_order", "2", "4"),
        ("solver_order", "2", "0"),
        ("use_beta_sigmas", "false", "true"),
        ("use_flow_sigmas", "false", "true"),
        ("use_dynamic_shifting", "false", "true"),
        ("variance_type", "null", "\"learned_range\""),
        ("final_sigmas_type", "\"zero\"", "\"sigma_max\""),
        ("lambda_min_clipped", "-Infinity", "\"low\""),
        ("prediction_type", "\"epsilon\"", "\"flow_prediction\""),
        ("timestep_spacing", "\"linspace\"", "\"karras\""),
    ] {
        let (from, to) = (format!("\"{key}\": {from}"), format!("\"{key}\": {to}"));
        assert!(DPM.contains(&from));
        let error = DiffusersScheduler::from_json(&DPM.replace(&from, &to)).unwrap_err().to_string();
        assert!(error.contains(key) || error.contains("flow_prediction"), "{error}");
    }
    let noise = DPM.replace("dpmsolver++", "dpmsolver");
    assert!(DiffusersScheduler::from_json(&noise).unwrap_err().to_string().contains("sigma_min"));
}

#[test]
fn a_folder_of_order_three_is_drawn_as_diffusers_draws_it() {
    let third = DPM.replace("\"solver_order\": 2", "\"solver_order\": 3");
    let scheduler = DiffusersScheduler::from_json(&third).unwrap();
    let Ok(Solver::DpmSolver(settings)) = scheduler.solver() else { panic!("{:?}", scheduler.solver()) };
    assert_eq!((settings.order, settings.third_order), (3, ThirdOrder::Diffusers));
}

/// Every rule gives N steps between levels that never fall, for every N that it supports.
#[test]
fn a_dpm_solver_takes_as_many_steps_as_it_is_asked() {
    for spacing in ["linspace", "leading", "trailing", "karras"] {
        for zero_snr in [false, true] {
            let text = match spacing {
                "karras" => DPM.replace("\"use_karras_sigmas\": false", "\"use_karras_sigmas\": true"),
                other => DPM.replace("linspace", other),
            };
            let text = text.replace("\"epsilon\"", "\"sample\"").replace("1000", "60");
            let text = text.replace("_zero_snr\": false", &format!("_zero_snr\": {zero_snr}"));
            let scheduler = DiffusersScheduler::from_json(&text).unwrap();
            for n in 1..=60 {
                let steps = scheduler.steps(n).unwrap();
                assert_eq!((steps.len(), steps.alpha_bars()[n]), (n, 1.0), "{spacing}");
                assert!(steps.alpha_bars().is_sorted() && steps.timesteps().iter().all(|&t| t < 60));
            }
            assert!(scheduler.steps(0).is_err() && scheduler.steps(61).is_err());
        }
    }
}

#[test]
fn thresholding_and_the_last_alpha_are_understood() {
    let config = with("thresholding", json!(true)).unwrap();
    assert_eq!(config.clip(), Clip::Dynamic { ratio: 0.995, max: 1.0 });
    assert_eq!(with("clip_sample", json!(false)).unwrap().clip(), Clip::No);
    let config = with("set_alpha_to_one", json!(false)).unwrap();
    let schedule = config.noise_schedule().unwrap();
    assert_eq!(config.steps(10).unwrap().alpha_bars()[10], schedule.alpha_bar(0));
    assert_eq!(with("set_alpha_to_one", json!(true)).unwrap().steps(10).unwrap().alpha_bars()[10], 1.0);
}

#[test]
fn values_out_of_range_are_refused() {
    for (key, value) in [
        ("sample_max_value", json!(0)),
        ("dynamic_thresholding_ratio", json!(1.5)),
        ("clip_sample_range", json!(0)),
        ("clip_sample_range", json!(-1)),
        ("num_train_timesteps", json!(0)),
        ("num_train_timesteps", json!(1_000_000_000_000_000_000_u64)),
        ("steps_offset", json!(1_000_000_000_000_000_000_u64)),
        ("trained_betas", json!([])),
        ("trained_betas", json!([0.1])),
        ("trained_betas", json!(vec![1.5; 1000])),
        ("trained_betas", json!(vec![0.0; 1000])),
        ("trained_betas", json!(vec![0.5; 1000])),
    ] {
        let timestep_spacing = if key == "steps_offset" { "leading" } else { "trailing" };
        let mut config = saved();
        config["timestep_spacing"] = json!(timestep_spacing);
        config[key] = value.clone();
        assert!(DiffusersScheduler::from_json(&config.to_string()).is_err(), "{key} = {value}");
    }
}

/// When `from_config` exchanges a scheduler, diffusers keeps these keys and ignores them.
#[test]
fn keys_that_a_scheduler_before_left_are_ignored_by_name() {
    for (class, left) in [
        ("DDIMScheduler", "variance_type"),
        ("DPMSolverMultistepScheduler", "clip_sample"),
        ("DDPMScheduler", "set_alpha_to_one"),
        ("DDIMScheduler", "skip_prk_steps"),
    ] {
        let alone = format!("{{\"_class_name\": \"{class}\"}}");
        let text = format!("{{\"_class_name\": \"{class}\", \"{left}\": null}}");
        let (scheduler, ignored) = DiffusersScheduler::from_json_with_ignored(&text).unwrap();
        assert_eq!(scheduler, DiffusersScheduler::from_json(&alone).unwrap());
        assert_eq!(ignored, [left]);
        assert!(!scheduler.to_json().contains(left));
    }
}
