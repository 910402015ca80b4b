//! No bytes make a reader of model folders panic, hang, or allocate what they merely claim.
//!
//! 100,000 seeded mutations of small valid files of each kind, under an allocator that counts. It
//! counts for the whole process, so this file has one test.
#[allow(dead_code, reason = "the rest of it is for other tests")]
#[path = "train/common.rs"]
mod common;

use candle_core::Device;
use common::{files, network, options, save, trainer};
use duet_model::{UNetConfig, tensors_from_bytes};
use duet_random::Draws;
use duet_schedule::DiffusersScheduler;
use duet_train::{MANIFEST_FILE, Manifest, TrainOptions};
use peak_alloc::PeakAlloc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MUTATIONS: u64 = 100_000;

/// What is put in place of a number.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "7",
    "1e308",
    "-0.5",
    "null",
    "NaN",
    "-Infinity",
    "4294967296",
    "18446744073709551615",
    "99999999999999999999999999999",
    "[[[[[[[[",
];

/// One to four changes: bits, bytes, ranges removed, doubled or moved, numbers replaced.
fn mutated(sample: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=draws.below(4) {
        let len = bytes.len().max(1);
        let at = draws.below(len as u64) as usize;
        let range = at..(at + draws.below(40) as usize).min(bytes.len());
        match draws.below(8) {
            _ if bytes.is_empty() => bytes.push(b'{'),
            0 | 1 => bytes[at] ^= 1 << draws.below(8),
            2 => bytes[at] = draws.below(256) as u8,
            3 => drop(bytes.drain(range)),
            4 => bytes.truncate(at),
            5 => {
                let part = bytes[range].to_vec();
                let to = draws.below(len as u64) as usize;
                drop(bytes.splice(to..to, part));
            }
            6 => bytes[range].fill(if at.is_multiple_of(2) { 0 } else { 0xff }),
            _ => {
                let digit = |b: &u8| b.is_ascii_digit();
                let Some(first) = bytes[at..].iter().position(digit).map(|i| at + i) else { continue };
                let last = first + bytes[first..].iter().take_while(|b| digit(b)).count();
                let number = NUMBERS[draws.below(NUMBERS.len() as u64) as usize];
                drop(bytes.splice(first..last, number.bytes()));
            }
        }
    }
    bytes
}

/// Reads every mutation; some must be refused, and none may take more than `limit` bytes at once.
fn survives(what: &str, sample: &[u8], limit: usize, read: impl Fn(&[u8]) -> bool) {
    assert!(read(sample), "{what}: the sample is refused");
    let (mut accepted, mut most, mut slowest) = (0, 0, Duration::ZERO);
    let began = Instant::now();
    for index in 0..MUTATIONS {
        let mut draws = Draws::new(0, what, index);
        let bytes = mutated(sample, &mut draws);
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let started = Instant::now();
        accepted += u64::from(read(&bytes));
        let peak = ALLOCATOR.peak_usage().saturating_sub(before);
        assert!(peak <= limit, "{what} {index}: {peak} bytes for {:?}", String::from_utf8_lossy(&bytes));
        most = most.max(peak);
        slowest = slowest.max(started.elapsed());
    }
    println!(
        "{what}: {accepted} accepted, {most} bytes at most, slowest {slowest:?}, all {:?}",
        began.elapsed()
    );
    assert!(accepted < MUTATIONS, "{what}: nothing is refused");
    assert!(slowest < Duration::from_secs(5), "{what}: {slowest:?} for one file");
}

/// Nested so deep that a recursive reader would overflow its stack, and the like.
fn handmade(read: impl Fn(&[u8]) -> bool) {
    for bytes in ["[".repeat(200_000), "{\"a\":".repeat(100_000), "\"".repeat(100_000), " ".repeat(300_000)] {
        assert!(!read(bytes.as_bytes()));
    }
}

#[test]
fn no_file_of_a_model_folder_makes_its_reader_panic_or_allocate_much() {
    const MIB: usize = 1 << 20;
    let place = tempfile::tempdir().unwrap();
    let small = TrainOptions { batch: 1, accumulate: 1, ..options() };
    let checkpoint = files(&save(&trainer(&small), place.path()));

    let text = |read: fn(&str) -> bool| move |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(read);
    let config = network(true).to_json(&serde_json::Map::new()).unwrap();
    let read = text(|text| UNetConfig::from_json(text).is_ok());
    survives("config.json", config.as_bytes(), MIB, read);
    handmade(read);

    // A table of a million betas is allowed, in several forms at once.
    let read = text(|text| DiffusersScheduler::from_json(text).map(|scheduler| scheduler.steps(5)).is_ok());
    let schedulers = [
        r#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 20, "prediction_type": "sample", "trained_betas": null}"#,
        r#"{"_class_name": "DDPMScheduler", "num_train_timesteps": 20, "beta_schedule": "sigmoid", "thresholding": true}"#,
        r#"{"_class_name": "DPMSolverMultistepScheduler", "num_train_timesteps": 20, "lambda_min_clipped": -Infinity, "use_karras_sigmas": true}"#,
        r#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 3, "trained_betas": [0.1, 0.2, 0.3], "_duet_spacing": "karras:7"}"#,
    ];
    for (i, scheduler) in schedulers.iter().enumerate() {
        let written = DiffusersScheduler::from_json(scheduler).unwrap().to_json();
        survives(&format!("scheduler_config.json {i}"), written.as_bytes(), 64 * MIB, read);
    }
    handmade(read);

    let read = text(|text| Manifest::from_json(text).is_ok());
    survives("manifest.json", &checkpoint[MANIFEST_FILE], MIB, read);
    handmade(read);

    let tensors = [("noise", vec![2usize, 3]), ("labels", vec![2]), ("none", vec![0])];
    let tensors = tensors.map(|(name, shape)| {
        (name.to_string(), candle_core::Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap())
    });
    let sample = duet_model::weights_to_bytes(&tensors.into()).unwrap();
    let read = |bytes: &[u8]| tensors_from_bytes(bytes, &Device::Cpu).is_ok();
    survives("safetensors", &sample, MIB, read);
    // A header that claims 2^63 bytes, and a tensor that claims 2^96.
    let claims = |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
    let huge = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,18446744073709551615]}}"#;
    for bytes in [(1u64 << 63).to_le_bytes().to_vec(), claims(huge)] {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let started = Instant::now();
        assert!(!read(&bytes));
        let peak = ALLOCATOR.peak_usage().saturating_sub(before);
        assert!(peak < MIB && started.elapsed() < Duration::from_secs(1), "{peak} bytes");
    }
}
