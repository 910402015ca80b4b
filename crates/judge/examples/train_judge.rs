//! Makes the weights of the embedded classifier.
//!
//! cargo run --release -p duet-judge --example train_judge -- --out crates/judge/weights/digits.safetensors
use anyhow::Result;
use clap::Parser;
use duet_data::Dataset;
use duet_judge::{Augmentation, Classifier, TrainingOptions};
use std::path::PathBuf;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Trains a classifier on the 10,000 embedded digits and tests it on the 2,000 held-out ones.
#[derive(Parser)]
struct Arguments {
    /// The weights' file
    #[arg(long)]
    out: Option<PathBuf>,
    /// Trains on four fifths of the training images and tests on this one of the fifths, 0 to 4:
    /// for choosing options without a look at the held-out digits
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..5))]
    fold: Option<u32>,
    #[arg(long, default_value_t = TrainingOptions::digits().epochs)]
    epochs: u64,
    #[arg(long, default_value_t = TrainingOptions::digits().batch)]
    batch: usize,
    #[arg(long, default_value_t = TrainingOptions::digits().learning_rate)]
    learning_rate: f64,
    #[arg(long, default_value_t = TrainingOptions::digits().weight_decay)]
    weight_decay: f64,
    #[arg(long, default_value_t = TrainingOptions::digits().label_smoothing)]
    label_smoothing: f64,
    #[arg(long, default_value_t = TrainingOptions::digits().ema_decay)]
    ema_decay: f64,
    #[arg(long, default_value_t = TrainingOptions::digits().seed)]
    seed: u64,
    /// Trains on the images as they are
    #[arg(long)]
    plain: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let options = TrainingOptions {
        epochs: arguments.epochs,
        batch: arguments.batch,
        learning_rate: arguments.learning_rate,
        weight_decay: arguments.weight_decay,
        label_smoothing: arguments.label_smoothing,
        ema_decay: arguments.ema_decay,
        augmentation: if arguments.plain { Augmentation::None } else { Augmentation::Digits },
        seed: arguments.seed,
    };
    let digits = duet_data::digits()?;
    let (train, test) = match arguments.fold {
        Some(fold) => {
            (part(&digits.train, |i| i / 10 % 5 != fold)?, part(&digits.train, |i| i / 10 % 5 == fold)?)
        }
        None => (digits.train, digits.test),
    };
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
fn part(data: &Dataset, chosen: impl Fn(u32) -> bool) -> Result<Dataset> {
    let indices: Vec<usize> = (0..data.len()).filter(|&i| chosen(i as u32)).collect();
    let pixels = indices.iter().filter_map(|&i| data.pixels(i).bytes()).flatten().copied().collect();
    let labels = indices.iter().map(|&i| data.label(i)).collect();
    Ok(Dataset::new(data.shape(), pixels, labels, data.classes().to_vec())?)
}
