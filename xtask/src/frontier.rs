//! The frontier of right classes and closeness to real images: every rule, sampler and student in one table and picture.

use crate::chart::{self, Axis, Series, chart};
use anyhow::{Context, Result};
use duet_cli::exit::usage;
use duet_cli::terminal::out;
use duet_diffusion::evaluation::{EvaluationDrawing, Samples};
use duet_diffusion::files::write_atomically;
use duet_diffusion::yardstick::{self, Judge, Yardstick};
use duet_diffusion::{Device, Drawing, Model, find};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What students and samples from elsewhere are called among the curves.
const STUDENTS: &str = "students";
const OTHERS: &str = "others";
/// Images at once.
const BATCH: usize = 64;
/// The points of the picture: benches/frontier.toml, whose keys are those of a picture's settings.
const CURVES: &str = include_str!("../../benches/frontier.toml");

#[derive(clap::Args)]
pub struct Args {
    /// The run whose models are measured
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// A student of it, drawn with its own settings; several times for several
    #[arg(long, value_name = "NAME=DIR")]
    student: Vec<String>,
    /// Samples from elsewhere: tensors `images` and `labels`; several times for several
    #[arg(long, value_name = "NAME=FILE")]
    samples: Vec<String>,
    /// Images of each point
    #[arg(long, default_value_t = 10_000)]
    n: usize,
    #[command(flatten)]
    compute: duet_cli::hardware::Compute,
    /// Folder of frontier.json, frontier.md and frontier.svg. Points that frontier.json has are not measured again
    #[arg(long, value_name = "DIR", default_value = "frontier")]
    out: PathBuf,
}

/// Points that are joined.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Curve {
    name: String,
    /// One setting, of which each value is a point.
    vary: String,
    values: Vec<Value>,
    /// The settings that all points have.
    #[serde(default)]
    set: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Curves {
    curve: Vec<Curve>,
}

/// One measured setting.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Point {
    curve: String,
    label: String,
    /// Hash of what was measured: the model and all of its settings, or the file's name.
    key: String,
    /// The network's evaluations for an image; none for samples from elsewhere.
    evaluations: Option<f64>,
    /// By each judge.
    accuracy: [f64; 2],
    frechet: [f64; 2],
}

/// Everything that is in frontier.json.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Frontier {
    images: usize,
    /// The training images' distance to the held-out ones, by each judge.
    real: [f64; 2],
    points: Vec<Point>,
}

pub fn run(args: Args) -> Result<()> {
    let (students, samples) = (named(&args.student)?, named(&args.samples)?);
    args.compute.start()?;
    let path = args.out.join("frontier.json");
    let mut frontier = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Frontier::default(),
        bytes => {
            let read =
                bytes.map_err(anyhow::Error::from).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
            read.with_context(|| {
                format!("{}: what was measured before; remove it to begin anew", path.display())
            })?
        }
    };
    if frontier.images != args.n {
        frontier = Frontier { images: args.n, ..Frontier::default() };
    }
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let measure = Measure::new(&args)?;
    frontier.real = measure.real(args.n)?;
    let mut points = Vec::new();
    let mut add = |found: Result<Point>, old: &Frontier| -> Result<()> {
        let point = found?;
        out!(
            "{:40} {:24} {:.2} / {:.2} %  {:.4} / {:.3}",
            point.curve,
            point.label,
            100.0 * point.accuracy[0],
            100.0 * point.accuracy[1],
            point.frechet[0],
            point.frechet[1]
        );
        points.push(point);
        // What was measured stays, wherever this ends.
        let left = old.points.iter().filter(|old| points.iter().all(|point| point.key != old.key));
        let points = points.iter().chain(left).cloned().collect();
        let now = Frontier { points, ..*old };
        Ok(write_atomically(&path, format!("{:#}\n", serde_json::to_value(&now)?).as_bytes())?)
    };
    let curves: Curves = toml::from_str(CURVES).context("benches/frontier.toml")?;
    for curve in &curves.curve {
        for value in &curve.values {
            let mut settings = curve.set.clone();
            settings.insert(curve.vary.clone(), value.clone());
            let label = format!("{} {}", curve.vary, shown(value));
            let place = (curve.name.as_str(), label.as_str());
            add(measure.drawn(&args.run, settings, place, &frontier), &frontier)?;
        }
    }
    for (name, run) in students {
        add(measure.drawn(run, Map::new(), (STUDENTS, name), &frontier), &frontier)?;
    }
    for (name, file) in samples {
        add(measure.read(Path::new(file), name), &frontier)?;
    }
    frontier.points = points;
    write_atomically(&path, format!("{:#}\n", serde_json::to_value(&frontier)?).as_bytes())?;
    write_atomically(&args.out.join("frontier.md"), table(&frontier).as_bytes())?;
    write_atomically(&args.out.join("frontier.svg"), picture(&frontier).as_bytes())?;
    out!("frontier.json, frontier.md and frontier.svg in {}", args.out.display());
    Ok(())
}

fn named(flags: &[String]) -> Result<Vec<(&str, &str)>> {
    let usage =
        |flag: &String| usage(format!("{flag}: must be NAME=PLACE, such as 4-steps=runs/00002-student"));
    flags.iter().map(|flag| flag.split_once('=').ok_or_else(|| usage(flag))).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

struct Measure {
    yardstick: Yardstick,
    n: usize,
}

impl Measure {
    fn new(args: &Args) -> Result<Self> {
        let run = find::run_of(&args.run)?;
        let splits = Yardstick::config(run.as_deref(), None, None)?.load_data()?;
        Ok(Self { yardstick: Yardstick::of(splits, run.as_deref())?, n: args.n })
    }

    fn judges(&self) -> Result<[&Judge; 2]> {
        let second = self.yardstick.second()?.context("these images have no second judge")?;
        Ok([self.yardstick.judge()?, second])
    }

    fn real(&self, n: usize) -> Result<[f64; 2]> {
        let train = &self.yardstick.splits.train;
        let classes = train.class_counts().iter().filter(|count| **count > 0).count();
        let most = |judge: &Judge| {
            // As many as there are of each class, at most as many as are drawn.
            let counts = (1..=yardstick::drawn_each(n, classes)).rev();
            counts.step_by(50).find_map(|count| judge.training_features(train, count).transpose())
        };
        let [first, second] = self.judges()?.map(|judge| -> Result<f64> {
            let features = most(judge).context("no real images to compare with")??;
            Ok(judge.frechet(&features)?)
        });
        Ok([first?, second?])
    }

    fn drawn(
        &self,
        run: &str,
        settings: Map<String, Value>,
        (curve, label): (&str, &str),
        known: &Frontier,
    ) -> Result<Point> {
        let mut keys = match serde_json::to_value(Drawing { run: run.into(), ..Drawing::default() })? {
            Value::Object(keys) => keys,
            _ => Map::new(),
        };
        keys.extend(settings);
        let drawing: Drawing = serde_json::from_value(Value::Object(keys.clone()))
            .with_context(|| format!("benches/frontier.toml, {curve}, {label}"))?;
        let model = Model::of(&drawing, &Device::Cpu)?;
        keys.remove("run");
        let key = format!("{} {}", model.hash()?, Value::Object(keys));
        if let Some(point) = known.points.iter().find(|point| point.key == key) {
            return Ok(Point { curve: curve.into(), label: label.into(), ..point.clone() });
        }
        let labels = yardstick::labels_of(&self.yardstick.splits, &model)?;
        let draws = EvaluationDrawing {
            drawing: &drawing,
            model: &model,
            labels: &labels,
            count: self.n,
            batch: BATCH,
            device: &Device::Cpu,
        };
        let samples = Samples::drawn(&draws, |_| Ok(()))?;
        let each = samples.evaluations.map(|all| all as f64 / samples.asked.len() as f64);
        self.point(&samples, (curve, label, key), each)
    }

    fn read(&self, path: &Path, name: &str) -> Result<Point> {
        let samples = Samples::read(path, &self.yardstick.splits)?;
        self.point(&samples, (OTHERS, name, path.display().to_string()), None)
    }

    fn point(
        &self,
        samples: &Samples,
        (curve, label, key): (&str, &str, String),
        evaluations: Option<f64>,
    ) -> Result<Point> {
        let [first, second] = self.judges()?.map(|judge| -> Result<(f64, f64)> {
            let answered = judge.answers(&samples.images)?;
            let right = answered.iter().zip(&samples.asked).filter(|(answer, asked)| answer == asked).count();
            let distance = judge.frechet(&judge.features(&samples.images)?)?;
            Ok((right as f64 / answered.len() as f64, distance))
        });
        let (first, second) = (first?, second?);
        Ok(Point {
            curve: curve.into(),
            label: label.into(),
            key,
            evaluations,
            accuracy: [first.0, second.0],
            frechet: [first.1, second.1],
        })
    }
}

/// The points as a table, each distance as times the training images'.
fn table(frontier: &Frontier) -> String {
    let Frontier { images, real, points } = frontier;
    let mut text = format!(
        "{images} images a row. Accuracy and Fréchet distance by the first judge / by the second, which chose nothing. The\n\
         training images themselves are at {:.4} / {:.3}.\n\n\
         | | | evaluations | accuracy | Fréchet | times real's |\n|---|---|---|---|---|---|\n",
        real[0], real[1]
    );
    let mut last = "";
    for point in points {
        let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.0}"));
        let curve = if point.curve == last { "" } else { &point.curve };
        let _ = writeln!(
            text,
            "| {curve} | {} | {} | {:.2} / {:.2} % | {:.4} / {:.3} | {:.2} / {:.2} |",
            point.label,
            number(point.evaluations),
            100.0 * point.accuracy[0],
            100.0 * point.accuracy[1],
            point.frechet[0],
            point.frechet[1],
            point.frechet[0] / real[0],
            point.frechet[1] / real[1],
        );
        last = &point.curve;
    }
    text
}

/// The second judge's accuracy over its distance, as times the training images'.
fn picture(frontier: &Frontier) -> String {
    let points = &frontier.points;
    let times = |point: &Point| point.frechet[1] / frontier.real[1];
    let wrong = |point: &Point| 1.0 - point.accuracy[1];
    let (nearest, most) = chart::range(points.iter().map(times).chain([1.0, 2.0]));
    let (least, worst) = chart::range(points.iter().map(wrong).chain([0.01]));
    let across = Axis {
        title: "Fréchet distance, times that of the training images",
        ends: (nearest / 1.05, most * 1.1),
        marks: &[1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0],
        written: &|times| times.to_string(),
    };
    // Few errors are at the top.
    let up = Axis {
        title: "taken for their class",
        ends: (worst * 1.2, least.max(1e-4) / 1.2),
        marks: &[0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5],
        written: &|wrong| format!("{:.1} %", 100.0 * (1.0 - wrong)),
    };
    let points_of = |name| points.iter().filter(move |point: &&Point| point.curve == name);
    let names = chart::distinct(points.iter().map(|point| &*point.curve));
    let series = names.into_iter().map(|name| {
        let own = points_of(name);
        let text = |point: &Point| {
            let (right, times) = (100.0 * point.accuracy[1], times(point));
            format!("{name}, {}: {right:.2} %, {times:.2} times", point.label)
        };
        let points =
            own.map(|point| chart::Point { x: times(point), y: wrong(point), text: text(point) }).collect();
        // Only along w and along steps is anything between two points.
        let is_line =
            |point: &&Point| point.label.starts_with("guidance ") || point.label.starts_with("steps ");
        let joined = points_of(name).all(|point| is_line(&point));
        Series { name, joined, points }
    });
    chart(
        "Accuracy over distance, by the judge that chose nothing",
        &across,
        &up,
        &series.collect::<Vec<_>>(),
    )
}
