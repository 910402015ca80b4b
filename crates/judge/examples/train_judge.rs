//! Makes the weights of the two embedded classifiers. The second needs the folder of MNIST's four files.
//!
//! cargo run --release -p duet-judge --example train_judge -- --out crates/judge/weights/digits.safetensors
//! cargo run --release -p duet-judge --example train_judge -- --second MNIST_DIR --out crates/judge/weights/second-digits.safetensors
use anyhow::Result;
use clap::Parser;
use duet_data::{Dataset, FolderOptions};
use duet_judge::{Augmentation, Classifier, TrainingOptions};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains a classifier on the 10,000 embedded digits, or the second one on MNIST's other training images, and tests
/// it on the 2,000 held-out digits.
#[derive(Parser)]
struct Arguments {
    /// The weights' file
    #[arg(long)]
    out: Option<PathBuf>,
    /// Trains the second judge, on the training images in this folder of MNIST's files that are not among the
    /// embedded digits
    #[arg(long, value_name = "MNIST_DIR", conflicts_with = "fold")]
    second: Option<PathBuf>,
    /// Trains on four fifths of the training images and tests on this one of the fifths, 0 to 4:
    /// for choosing options without a look at the held-out digits
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..5))]
    fold: Option<u32>,
    #[arg(long)]
    epochs: Option<u64>,
    #[arg(long)]
    batch: Option<usize>,
    #[arg(long)]
    learning_rate: Option<f64>,
    #[arg(long)]
    weight_decay: Option<f64>,
    #[arg(long)]
    label_smoothing: Option<f64>,
    #[arg(long)]
    ema_decay: Option<f64>,
    #[arg(long)]
    seed: Option<u64>,
    /// Trains on the images as they are
    #[arg(long)]
    plain: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let usual = match arguments.second {
        Some(_) => TrainingOptions::second_digits(),
        None => TrainingOptions::digits(),
    };
    let options = TrainingOptions {
        architecture: usual.architecture,
        epochs: arguments.epochs.unwrap_or(usual.epochs),
        batch: arguments.batch.unwrap_or(usual.batch),
        learning_rate: arguments.learning_rate.unwrap_or(usual.learning_rate),
        weight_decay: arguments.weight_decay.unwrap_or(usual.weight_decay),
        label_smoothing: arguments.label_smoothing.unwrap_or(usual.label_smoothing),
        ema_decay: arguments.ema_decay.unwrap_or(usual.ema_decay),
        augmentation: if arguments.plain { Augmentation::None } else { usual.augmentation },
        seed: arguments.seed.unwrap_or(usual.seed),
    };
    let digits = duet_data::digits()?;
    let (train, test) = match (&arguments.second, arguments.fold) {
        (Some(folder), _) => (others(folder)?, digits.test),
        (None, Some(fold)) => {
            (part(&digits.train, |i| i / 10 % 5 != fold), part(&digits.train, |i| i / 10 % 5 == fold))
        }
        (None, None) => (digits.train, digits.test),
    };
    println!("{} images to train on", train.len());
    let start = Instant::now();
    let classifier = Classifier::train(&train, &options, |epoch, loss| {
        let seconds = start.elapsed().as_secs_f64();
        println!("epoch {epoch:2} of {}: loss {loss:.4}, {seconds:.0} s", options.epochs);
    })?;
    let accuracy = 100.0 * classifier.accuracy(&test)?;
    println!("right on {accuracy:.2} % of {} images that it was not trained on", test.len());
    if let Some(path) = arguments.out {
        classifier.save(&path)?;
    }
    Ok(())
}

/// The images whose index is chosen. Classes alternate, so every class has its share.
fn part(data: &Dataset, chosen: impl Fn(u32) -> bool) -> Dataset {
    data.select(&(0..data.len()).filter(|&i| chosen(i as u32)).collect::<Vec<_>>())
}

/// MNIST's training images whose pixels are those of none of the embedded digits, training or held out.
fn others(folder: &Path) -> Result<Dataset> {
    let digits = duet_data::digits()?;
    let known: HashSet<Vec<u8>> = [&digits.train, &digits.test]
        .into_iter()
        .flat_map(|data| (0..data.len()).filter_map(|i| Some(data.pixels(i).bytes()?.to_vec())))
        .collect();
    let all = duet_data::open(folder, &FolderOptions::default())?.train;
    let new = |i: usize| all.pixels(i).bytes().is_some_and(|bytes| !known.contains(bytes));
    Ok(all.select(&(0..all.len()).filter(|&i| new(i)).collect::<Vec<_>>()))
}
