//! Are samples legible? Judged by the classifier of the embedded digits.
//!
//! cargo run --release -p duet-benches --example legibility -- x.safetensors
use candle_core::{DType, Device, Error, Result, Tensor, bail};
use clap::Parser;
use duet_eval::Classifier;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of digits.
const CLASSES: usize = 10;
/// Height and width of a digit.
const SIDE: usize = 28;
/// Samples count as legible from this share of right classifications.
const LEGIBLE: f64 = 0.9;

/// Says which share of digit samples a classifier takes for the class they were asked for.
///
/// The classifier was trained on the 10,000 embedded digits; its accuracy on the 2,000 held-out
/// ones is printed first. The exit code is 0 if each file is at least 90 % right, 1 if not, and 2
/// for an error.
#[derive(Parser)]
struct Arguments {
    /// Samples, as `cargo xtask sample --out x.safetensors` writes them: `images` (n, 1, 28, 28)
    /// in [-1, 1] and `labels` (n). Without any, only the classifier is tested.
    samples: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match judge(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {}", message(error));
            ExitCode::from(2)
        }
    }
}

/// What went wrong, without the backtraces that candle keeps where they are asked for.
fn message(error: Error) -> String {
    match error {
        Error::WithBacktrace { inner, .. } => message(*inner),
        Error::WithPath { inner, path } => format!("{}: {}", path.display(), message(*inner)),
        error => error.to_string(),
    }
}

fn judge(arguments: &Arguments) -> Result<bool> {
    let digits = duet_data::digits().map_err(Error::wrap)?;
    let classifier = Classifier::digits().map_err(Error::wrap)?;
    let accuracy = classifier.accuracy(&digits.test).map_err(Error::wrap)?;
    println!("the classifier is right on {:.2} % of {} held-out digits", 100.0 * accuracy, digits.test.len());
    let mut all_legible = true;
    for path in &arguments.samples {
        let (images, labels) = read(path).map_err(|error| error.with_path(path))?;
        let score = Score::new(&labels, &classifier.classify(&images).map_err(Error::wrap)?);
        println!("\n{}", path.display());
        score.print();
        all_legible &= score.accuracy() >= LEGIBLE;
    }
    Ok(all_legible)
}

/// Images and labels of a file of samples; values beyond [-1, 1] are clamped, as in a picture.
fn read(path: &Path) -> Result<(Tensor, Vec<u32>)> {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu)?;
    let (Some(images), Some(labels)) = (tensors.get("images"), tensors.get("labels")) else {
        let names: Vec<_> = tensors.keys().collect();
        bail!("expected the tensors images and labels, found {names:?}")
    };
    let n = labels.elem_count();
    if n == 0 || labels.rank() != 1 || images.dims() != [n, 1, SIDE, SIDE] {
        let (images, labels) = (images.dims(), labels.dims());
        bail!("images are {images:?} and labels {labels:?}, expected [n, 1, {SIDE}, {SIDE}] and [n]");
    }
    let images = images.to_dtype(DType::F32)?;
    if images.flatten_all()?.to_vec1::<f32>()?.iter().any(|value| !value.is_finite()) {
        bail!("images hold values that are not finite");
    }
    let labels = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    if let Some(label) = labels.iter().find(|label| !(0..CLASSES as i64).contains(label)) {
        bail!("label {label} is not a digit: this classifier knows classes 0 to {}", CLASSES - 1);
    }
    Ok((images.clamp(-1.0, 1.0)?, labels.into_iter().map(|label| label as u32).collect()))
}

/// How often each class was taken for which.
struct Score {
    images: usize,
    /// Rows are the classes asked for, columns the classifier's answers.
    counts: [[usize; CLASSES]; CLASSES],
}

impl Score {
    fn new(asked: &[u32], answered: &[u32]) -> Self {
        let mut counts = [[0; CLASSES]; CLASSES];
        for (&asked, &answered) in asked.iter().zip(answered) {
            counts[asked as usize][answered as usize] += 1;
        }
        Self { images: asked.len(), counts }
    }

    fn accuracy(&self) -> f64 {
        let right: usize = (0..CLASSES).map(|class| self.counts[class][class]).sum();
        right as f64 / self.images as f64
    }

    fn print(&self) {
        let verdict = if self.accuracy() >= LEGIBLE { "legible" } else { "not legible" };
        let (accuracy, images) = (100.0 * self.accuracy(), self.images);
        println!("{accuracy:.1} % of {images} samples are taken for their class: {verdict}");
        for (class, answers) in self.counts.iter().enumerate() {
            let n: usize = answers.iter().sum();
            if n > 0 {
                println!("  {class}: {:5.1} % of {n}", 100.0 * answers[class] as f64 / n as f64);
            }
        }
        let confusion = |asked: usize, answer: usize| (self.counts[asked][answer], asked, answer);
        let pairs = (0..CLASSES).flat_map(|asked| (0..CLASSES).map(move |answer| (asked, answer)));
        let mut confusions: Vec<_> = pairs.filter(|(a, b)| a != b).map(|(a, b)| confusion(a, b)).collect();
        confusions.retain(|&(count, ..)| count > 0);
        confusions.sort_by_key(|&(count, asked, answer)| (std::cmp::Reverse(count), asked, answer));
        let most: Vec<String> = confusions
            .iter()
            .take(5)
            .map(|(count, asked, answer)| format!("{asked} as {answer}: {count}"))
            .collect();
        if !most.is_empty() {
            println!("  most often confused: {}", most.join(", "));
        }
    }
}
