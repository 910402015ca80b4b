//! `eval`: how good a model's samples are, or anybody's.

use crate::drawing::DrawingArgs;
use crate::exit::usage;
use crate::hardware::Machine;
use crate::models;
use crate::progress::Progress;
use crate::terminal::{err, out};
use anyhow::Result;
use duet_diffusion::data::{DataError, LabelKind};
use duet_diffusion::evaluation::{self, Evaluation, EvaluationDrawing, Samples};
use duet_diffusion::yardstick::{self, Yardstick};
use duet_diffusion::{
    DRAWING_TIME, Denoised, EqualCounts, EvalCount, EvalFile, Frechet, Interval, Judged, Model, RISEN, find,
};
use duet_eval::{Confusion, CopyCount, Memorisation};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `eval`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    drawing: DrawingArgs,
    /// Images to draw, the same number of each class from seed 0 on; --class and --seeds do not count
    /// [default: 10000, or as many as five minutes of drawing give on this machine; a few are timed first]
    #[arg(long, help_heading = "What is measured")]
    n: Option<usize>,
    /// Scores images from elsewhere: tensors `images` (n, C, H, W) in [-1, 1] and `labels` (n) i64
    #[arg(long, help_heading = "What is measured", value_name = "FILE")]
    samples: Option<PathBuf>,
    /// The real images [default: the run's data, or the digits]
    #[arg(long, help_heading = "What is measured", value_name = "digits|DIR|FILE")]
    data: Option<String>,
    /// The label of these that is the class, where images have two [default: the run's, or fine]
    #[arg(long, help_heading = "What is measured", value_name = "fine|coarse", requires = "data")]
    label: Option<LabelKind>,
    /// Held-out images that the model itself classifies, 0 for none
    #[arg(long, help_heading = "What is measured", value_name = "N", default_value_t = 100)]
    classify: usize,
    /// Where eval.json, eval.png and eval-nearest.png go [default: the run's folder, or here where there
    /// is none that can be written]
    #[arg(long, help_heading = "Output", value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// What is measured.
enum Given {
    Samples(Box<Samples>),
    /// Drawings of a model, of these classes.
    Model(Box<Model>, Vec<u32>),
}

/// Runs the verb.
pub fn run(args: Args) -> Result<()> {
    let device = args.machine.start()?;
    let drawing = args.drawing.drawing()?;
    let run = match (&args.samples, drawing.run.as_str()) {
        (Some(_), "latest") => None,
        (_, run) => find::run_of(run)?,
    };
    let out = place(args.out.as_deref(), run.as_deref())?;
    let splits = Yardstick::config(run.as_deref(), args.data.as_deref(), args.label)?.load_data()?;
    if let Some(reason) = yardstick::too_few(&splits) {
        return Err(usage(format!("eval: {reason}")));
    }
    let given = match &args.samples {
        Some(path) => Given::Samples(Box::new(Samples::read(path, &splits)?)),
        None => {
            let model = models::of(&drawing, &device)?;
            let labels = yardstick::labels_of(&splits, &model)?;
            Given::Model(Box::new(model), labels)
        }
    };
    if let Some(reason) = yardstick::no_judge(&splits) {
        err!("warning: {reason}: what needs one is not measured");
    }
    let yardstick = Yardstick::of(splits, run.as_deref())?;
    let (samples, found) = match given {
        Given::Samples(samples) => {
            let found = evaluation::measured(&yardstick, &samples)?;
            (*samples, found)
        }
        Given::Model(model, labels) => {
            let (count, batch) = (args.n.unwrap_or_default(), args.machine.batch);
            let mut draws = EvaluationDrawing {
                drawing: &drawing,
                model: &model,
                labels: &labels,
                count,
                batch,
                device: &device,
            };
            if args.n.is_none() {
                draws.count = counted(&EvalCount::timed(&draws)?);
            }
            let samples = drawn(&draws)?;
            let mut found = evaluation::measured(&yardstick, &samples)?;
            evaluation::of_model(&mut found.file, &model, &yardstick, args.classify)?;
            (samples, found)
        }
    };
    print_table(&samples, &found, &yardstick);
    let [json, sheet, nearest] = evaluation::write(&out, &samples, &found, &yardstick)?;
    out!("{}, {}, {}", json.display(), sheet.display(), nearest.display());
    Ok(())
}

/// How many images are drawn, and why as many.
fn counted(count: &EvalCount) -> usize {
    let EvalCount { images, rate, is_short } = *count;
    let minutes = DRAWING_TIME.as_secs() / 60;
    match is_short {
        true => err!(
            "{images} images: as many as {minutes} minutes give, at {rate:.1} images/s; --n draws another number, and \
             distances of different numbers do not compare"
        ),
        false => err!("{images} images, in about {:.0} s", images as f64 / rate),
    }
    images
}

fn drawn(draws: &EvaluationDrawing) -> Result<Samples> {
    let mut progress = None;
    let samples = Samples::drawn(draws, |Denoised { done, total }| {
        let progress = progress.get_or_insert_with(|| Progress::new(0, total as u64, 1, "denoised img/s"));
        if done > 0 {
            progress.show(done as u64, "");
        }
        Ok(())
    })?;
    if let Some(progress) = progress {
        progress.finish();
    }
    Ok(samples)
}

/// Where the results go. Whether they can be written there is tried before the work.
fn place(wanted: Option<&Path>, run: Option<&Path>) -> Result<PathBuf> {
    let folder = wanted.or(run).unwrap_or(Path::new("."));
    let Err(cause) = try_writing(folder) else { return Ok(folder.into()) };
    if wanted.is_some() || run.is_none() {
        return Err(DataError::Write { path: folder.into(), cause }.into());
    }
    err!(
        "warning: cannot write to {}: {cause}; the results go to this folder, or to --out",
        folder.display()
    );
    try_writing(Path::new(".")).map_err(|cause| DataError::Write { path: ".".into(), cause })?;
    Ok(".".into())
}

fn try_writing(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!(".eval-{}.tmp", std::process::id()));
    let written = duet_files::create_new(&path).and_then(|mut file| file.write_all(&[0; 4096]));
    let removed = std::fs::remove_file(&path);
    written.and(removed)
}

fn line(name: &str, text: String) {
    out!("  {name:<24} {text}");
}

fn print_table(samples: &Samples, found: &Evaluation, yardstick: &Yardstick) {
    let file = &found.file;
    out!("{} samples of {}", samples.asked.len(), samples.source);
    print_judges(file);
    for (name, value) in [
        ("bits per dimension, <=", file.bits_per_dimension),
        ("accuracy as classifier", file.diffusion_classifier_accuracy),
    ] {
        if let Some(value) = value {
            line(name, format!("{value:.4}"));
        }
    }
    let Memorisation { copied_share, expected_share, closer_share, .. } = found.memorisation;
    line(
        "copied",
        format!("{:.2} %  (held-out images: {:.1} %)", 100.0 * copied_share, 100.0 * expected_share),
    );
    if let Some(CopyCount { samples, held_out }) = found.copies.as_ref().map(|copies| copies.all) {
        let more = match found.copies.as_ref().is_some_and(|copies| copies.all.p_value() < RISEN) {
            true => "; more than by chance",
            false => "",
        };
        let (samples, held_out) = (100.0 * samples.value(), 100.0 * held_out.value());
        line("memorised", format!("{samples:.2} %  (held-out images: {held_out:.1} %{more})"));
    }
    line("closer than the median", format!("{:.1} %  (held-out images: 50 %)", 100.0 * closer_share));
    if let Some(confusion) = &found.confusion {
        print_classes(file, confusion, yardstick);
    }
}

/// One of a judge's numbers.
type Number = fn(&Judged) -> Option<f64>;

/// A column for each judge.
fn print_judges(file: &EvalFile) {
    let judges: Vec<&Judged> = std::iter::once(&file.judged).chain(&file.second_judge).collect();
    if file.judged.accuracy.is_none() {
        return;
    }
    let row = |name: &str, cell: &dyn Fn(&Judged) -> Option<String>| {
        let cells: Vec<String> =
            judges.iter().map(|judge| cell(judge).unwrap_or_else(|| "–".into())).collect();
        let last = cells.len() - 1;
        let text = cells.iter().enumerate().map(|(i, text)| match i == last {
            true => text.clone(),
            false => format!("{text:<30}"),
        });
        line(name, text.collect());
    };
    let within = |value: f64, low: f64, high: f64| format!("{value:.4} ({low:.4} to {high:.4})");
    line("", format!("{:<30}{}", "judge", "second judge, reports alone"));
    row("class accuracy", &|judge| {
        let Interval { low, high } = judge.accuracy_interval?;
        Some(format!("{:.2} % ({:.2} to {:.2})", 100.0 * judge.accuracy?, 100.0 * low, 100.0 * high))
    });
    row("  of held-out images", &|judge| Some(format!("{:.2} %", 100.0 * judge.held_out_accuracy?)));
    row("Fréchet distance", &|judge| {
        let Frechet { value, low, high, .. } = judge.frechet.clone()?;
        Some(within(value?, low?, high?))
    });
    row("  of as many training", &|judge| Some(format!("{:.4}", judge.frechet.as_ref()?.floor?)));
    row("kernel distance", &|judge| {
        let Interval { low, high } = judge.kernel_interval?;
        Some(within(judge.kernel_distance?, low, high))
    });
    row("two-sample accuracy", &|judge| {
        let test = judge.two_sample?;
        let (percent, error) = (100.0 * test.accuracy, 100.0 * test.error);
        Some(format!("{percent:.2} ± {error:.2} %, p = {:.2e}", test.p))
    });
    row("  of as many training", &|judge| Some(format!("{:.2} %", 100.0 * judge.two_sample?.floor?)));
    let numbers: [(&str, Number); 6] = [
        ("precision", |judge| judge.precision),
        ("recall", |judge| judge.recall),
        ("density", |judge| judge.density),
        ("coverage", |judge| judge.coverage),
        ("clipped density", |judge| judge.clipped_density),
        ("clipped coverage", |judge| judge.clipped_coverage),
    ];
    for (name, number) in numbers {
        row(name, &|judge| Some(format!("{:.4}", number(judge)?)));
    }
    let Some(EqualCounts { images, reference, drawn, .. }) = file.judged.equal_counts else {
        out!("  half of the held-out images are too few to be compared with as many samples");
        return;
    };
    out!(
        "  {images} samples / {images} real images that no judge was trained on, each beside {reference} other such:"
    );
    for (i, (name, _)) in drawn.numbers().into_iter().enumerate() {
        row(&format!("  {name}"), &|judge| {
            let equal = judge.equal_counts?;
            Some(format!("{:.4} / {:.4}", equal.drawn.numbers()[i].1, equal.real.numbers()[i].1))
        });
    }
}

fn print_classes(file: &EvalFile, confusion: &Confusion, yardstick: &Yardstick) {
    let classes = yardstick.splits.train.classes();
    for (class, name) in classes.iter().enumerate() {
        if let Some(accuracy) = confusion.accuracy_of(class as u32) {
            let distance = file.judged.frechet_by_class.as_ref().and_then(|by_class| *by_class.get(name)?);
            let distance = distance.map_or(String::new(), |distance| format!("  Fréchet {distance:.3}"));
            let memorised =
                file.memorisation.as_ref().and_then(|m| m.memorised_by_class.as_ref()?.get(name).copied());
            let memorised = memorised.filter(|&share| share > 0.0);
            let memorised =
                memorised.map_or(String::new(), |share| format!("  memorised {:.1} %", 100.0 * share));
            line(&format!("  {name}"), format!("{:6.2} %{distance}{memorised}", 100.0 * accuracy));
        }
    }
    let confused = confusion.most_confused();
    let confused = confused.iter().take(5).map(|pair| {
        format!("{} as {}: {}", classes[pair.asked as usize], classes[pair.answered as usize], pair.count)
    });
    let confused = confused.collect::<Vec<_>>().join(", ");
    if !confused.is_empty() {
        line("most often taken", confused);
    }
}
