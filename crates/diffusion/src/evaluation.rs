//! How good samples are: drawn by a model, or anybody's.

use crate::classify;
use crate::draw::{self, seam};
use crate::drawing::Drawing;
use crate::error::{Error, Result};
use crate::eval_file::{CopiedShares, EVAL_FILE, EvalFile, LossAt};
use crate::files::{create_parent, read_tensors, write_atomically};
use crate::job::drawing::Denoised;
use crate::judged::{EqualCounts, Frechet, Judged, TwoSampleTest};
use crate::model::Model;
use crate::note::Form;
use crate::plan::Plan;
use crate::score::planned;
use crate::yardstick::{self, FEWEST_HELD_OUT, Judge, Yardstick, drawn_each, each};
use candle_core::{DType, Device, Tensor};
use duet_data::{Captions, DataError, Picture, Shape, Splits};
use duet_eval::{
    Confusion, CopyCounts, Denoiser, Labelled, Memorisation, bits_per_dimension, denoising_loss,
};
use duet_model::Purpose;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// Real images and samples that a two-sample test needs.
const FEWEST_TWO_SAMPLE: usize = 10;
/// Held-out images for the denoising loss, and timesteps at which it is taken.
const LOSS_IMAGES: usize = 256;
const LOSS_TIMESTEPS: usize = 20;
/// Held-out images for the likelihood, and parts of the schedule.
const BITS_IMAGES: usize = 128;
const BITS_STRATA: usize = 48;
/// Rows that the network is given at once.
const BATCH: usize = 128;
/// Values beyond this are none of images in [-1, 1], whatever drew them.
const FAR_OUTSIDE: f32 = 3.0;
/// More values than this share beyond that are worth a word.
const MUCH_OUTSIDE: f64 = 0.01;
const OUTSIDE: f32 = 1.01;
/// Seeds of each class on the picture sheet, and pairs of nearest images.
const SHOWN: usize = 10;
const PAIRS: usize = 16;

/// What is measured, and how it came to be.
pub struct Samples {
    /// (n, C, H, W) in [-1, 1].
    pub images: Tensor,
    /// The class that each was asked to show.
    pub asked: Vec<u32>,
    /// What drew them, for people.
    pub source: String,
    /// The options that they were drawn with.
    pub settings: Map<String, Value>,
    /// Hash of the model that drew them.
    pub model: Option<String>,
    /// Rows that went through a network, where this process drew them.
    pub evaluations: Option<usize>,
    /// The picture sheet, where it says how it can be made again.
    sheet: Option<Sheet>,
}

/// A picture, and what its file says of it.
type Sheet = (Picture, Vec<(&'static str, String)>);

/// Everything that was measured: for people, and for `eval.json`.
pub struct Evaluation {
    /// The numbers.
    pub file: EvalFile,
    /// Where there is a classifier.
    pub confusion: Option<Confusion>,
    /// How many samples are training images again.
    pub memorisation: Memorisation,
    /// The same by the two nearest distances, where there are two.
    pub copies: Option<CopyCounts>,
}

/// Images of every class in `labels` from seed 0 on, `count` in all, `batch` at once.
pub struct EvaluationDrawing<'a> {
    /// As `sample` has it; classes and seeds do not count.
    pub drawing: &'a Drawing,
    /// The model.
    pub model: &'a Model,
    /// The classes, see [`yardstick::labels_of`].
    pub labels: &'a [u32],
    /// Images in all, at least.
    pub count: usize,
    /// Images at once.
    pub batch: usize,
    /// Where the model is.
    pub device: &'a Device,
}

impl Samples {
    /// Draws them. `on_step` is that of [`Plan::draw_images`].
    ///
    /// # Errors
    /// As [`Plan::new`] and [`Plan::draw_images`], and those of `on_step`.
    pub fn drawn(draws: &EvaluationDrawing, on_step: impl FnMut(Denoised) -> Result<()>) -> Result<Self> {
        let EvaluationDrawing { drawing, model, labels, count, batch, device } = *draws;
        let each = drawn_each(count, labels.len());
        let (plan, asked) = planned(drawing, (model, labels, each), batch, device)?;
        let drawn = plan.draw_images(on_step)?;
        let settings = serde_json::from_value(serde_json::to_value(&plan.drawing)?)?;
        Ok(Self {
            sheet: Some(sheet(&drawn.images, &plan.drawing, (model, labels, each), device)?),
            images: drawn.images,
            evaluations: Some(drawn.evaluations),
            asked,
            source: format!("{}: {}", model.folder.display(), plan.summary()),
            settings,
            model: Some(plan.note.model.clone()),
        })
    }

    /// Images and labels of a file: tensors `images` (n, C, H, W) in [-1, 1] and `labels` (n) i64.
    ///
    /// # Errors
    /// Where they are not of the data's shape and classes, or not in that range.
    pub fn read(path: &Path, splits: &Splits) -> Result<Self> {
        let refuse = |cause: String| DataError::Malformed {
            path: path.into(),
            cause,
            fix: "`sample --out x.safetensors` writes such files".into(),
        };
        let tensors = read_tensors(path, refuse)?;
        let (Some(images), Some(labels)) = (tensors.get("images"), tensors.get("labels")) else {
            return Err(refuse("the tensors images and labels are needed".into()).into());
        };
        check_shapes(images, labels, splits).map_err(refuse)?;
        let classes = splits.train.classes().len() as i64;
        let labels = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
        if let Some(label) = labels.iter().find(|&&label| !(0..classes).contains(&label)) {
            return Err(refuse(format!("label {label}: the data have classes 0 to {}", classes - 1)).into());
        }
        let images = images.to_dtype(DType::F32)?;
        let values = images.flatten_all()?.to_vec1::<f32>()?;
        if let Some(warning) = check_range(&values, splits.train.shape().len()).map_err(refuse)? {
            log::warn!("{}: {warning}", path.display());
        }
        Ok(Self {
            images,
            asked: labels.into_iter().map(|label| label as u32).collect(),
            source: path.display().to_string(),
            settings: Map::from_iter([("samples".to_string(), path.display().to_string().into())]),
            model: None,
            evaluations: None,
            sheet: None,
        })
    }
}

/// The first images of each class, as `sample` would draw them.
fn sheet(
    images: &Tensor,
    drawing: &Drawing,
    (model, labels, each): (&Model, &[u32], usize),
    device: &Device,
) -> Result<Sheet> {
    let shown = each.min(SHOWN);
    let drawing = drawing.of_classes(labels, &model.classes, shown)?;
    let plan = Plan::new(&drawing, model, SHOWN, device)?;
    let rows: Vec<Tensor> = (0..labels.len())
        .map(|row| images.narrow(0, row * each, shown))
        .collect::<candle_core::Result<_>>()?;
    Ok((plan.grid(&Tensor::cat(&rows, 0)?)?, plan.texts(Form::Grid)?))
}

/// What is wrong with the tensors, each thing by itself.
fn check_shapes(images: &Tensor, labels: &Tensor, splits: &Splits) -> Result<(), String> {
    let (shape, got) = (splits.train.shape(), images.dims());
    if !matches!(*got, [_, c, h, w] if (c, h, w) == (shape.channels, shape.height, shape.width)) {
        let Shape { channels, height, width } = shape;
        return Err(format!(
            "images are {got:?}, and those of the data are [n, {channels}, {height}, {width}]"
        ));
    }
    if !images.dtype().is_float() {
        let dtype = images.dtype();
        return Err(format!("images are {dtype:?}: values in [-1, 1] are expected, bytes / 127.5 - 1"));
    }
    if labels.dims() != [got[0]] {
        return Err(format!(
            "labels are {:?} for {} images: one for each is expected",
            labels.dims(),
            got[0]
        ));
    }
    match got[0] < FEWEST_HELD_OUT {
        true => Err(format!("images are {}, and at least {FEWEST_HELD_OUT} can be measured", got[0])),
        false => Ok(()),
    }
}

/// Refuses values that cannot be images in [-1, 1], `each` of them an image; a warning where they look
/// like images of another range.
fn check_range(values: &[f32], each: usize) -> Result<Option<String>, String> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(format!("image {} has a value that is not finite", at / each));
    }
    let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), &v| (low.min(v), high.max(v)));
    if low < -FAR_OUTSIDE || high > FAR_OUTSIDE {
        return Err(format!(
            "values from {low} to {high}, where [-1, 1] is expected: of bytes from 0 to 255 take v / 127.5 - 1"
        ));
    }
    if low >= 0.0 {
        return Ok(Some(format!(
            "no value is negative, they go from {low} to {high}: of images in [0, 1] take 2 v - 1, as \
             [-1, 1] is expected"
        )));
    }
    let outside = values.iter().filter(|value| value.abs() > OUTSIDE).count() as f64 / values.len() as f64;
    Ok((outside > MUCH_OUTSIDE)
        .then(|| format!("{:.1} % of the values are outside [-1, 1] and count as its ends", 100.0 * outside)))
}

/// The metrics of the samples alone.
///
/// # Errors
/// Where there are too few, or values are not finite.
pub fn measured(yardstick: &Yardstick, samples: &Samples) -> Result<Evaluation> {
    let (memorisation, copies) = yardstick.memorisation(&samples.images, &samples.asked)?;
    let classes = yardstick.splits.train.classes();
    let mut file = EvalFile {
        version: Some(1),
        model: samples.model.clone(),
        settings: Some(samples.settings.clone()),
        images: Some(samples.asked.len() as u64),
        classes: Some(classes.to_vec()),
        memorisation: Some(CopiedShares::of(&memorisation, copies.as_ref(), classes)),
        ..EvalFile::default()
    };
    let mut confusion = None;
    if let Some(judge) = &yardstick.judge {
        let (said, seen) = judged(judge, &yardstick.splits, samples)?;
        (file.judged, confusion) = (said, Some(seen));
    }
    if let Some(second) = yardstick.second()? {
        file.second_judge = Some(judged(second, &yardstick.splits, samples)?.0);
    }
    Ok(Evaluation { file, confusion, memorisation, copies })
}

/// What a judge says.
fn judged(judge: &Judge, splits: &Splits, samples: &Samples) -> Result<(Judged, Confusion)> {
    let (classes, asked) = (splits.train.classes(), &samples.asked);
    let features = judge.features(&samples.images)?;
    let scores = judge.scores(&samples.images, &features, asked)?;
    let interval = judge.frechet_interval(&features, asked, scores.frechet)?;
    let drawn = yardstick::present(splits).len();
    let (kernel_distance, kernel_interval) = judge.kernel_distance(&features, asked)?;
    let clipped = judge.clipped(&features)?;
    let equal = judge.at_equal_counts(&features, asked)?;
    let enough = samples.asked.len().min(splits.test.len()) >= FEWEST_TWO_SAMPLE;
    let training = judge.training_features(&splits.train, each(asked.len(), drawn))?;
    let two_sample = match enough {
        true => Some(TwoSampleTest {
            floor: training
                .as_ref()
                .map(|real| Ok::<_, Error>(judge.two_sample(real)?.accuracy))
                .transpose()?,
            ..judge.two_sample(&features)?.into()
        }),
        false => None,
    };
    let numbers = 0..classes.len() as u32;
    let counted = |asked| -> Vec<u64> {
        numbers.clone().map(|answered| scores.confusion.count(asked, answered) as u64).collect()
    };
    let named = |values: Vec<Option<f64>>| Some(classes.iter().cloned().zip(values).collect());
    let accuracies = numbers.clone().map(|class| scores.confusion.accuracy_of(class)).collect();
    let judged = Judged {
        accuracy: Some(scores.confusion.accuracy()),
        accuracy_interval: Some(judge.accuracy_interval(asked, &scores.answered)?.into()),
        held_out_accuracy: Some(judge.held_out_accuracy(splits)?),
        accuracy_by_class: named(accuracies),
        confusion: Some(numbers.clone().map(counted).collect()),
        frechet: Some(Frechet {
            value: Some(scores.frechet),
            low: Some(interval.low),
            high: Some(interval.high),
            floor: training.as_ref().map(|training| judge.frechet(training)).transpose()?,
        }),
        frechet_by_class: named(judge.frechet_by_class(&features, asked)),
        kernel_distance: Some(kernel_distance),
        kernel_interval: Some(kernel_interval.into()),
        two_sample,
        precision: Some(scores.precision),
        recall: Some(scores.recall),
        density: Some(scores.density),
        coverage: Some(scores.coverage),
        clipped_density: Some(clipped.density),
        clipped_coverage: Some(clipped.coverage),
        equal_counts: equal.map(|(images, reference, drawn, real)| EqualCounts {
            images: images as u64,
            reference: reference as u64,
            drawn: drawn.into(),
            real: real.into(),
        }),
    };
    Ok((judged, scores.confusion))
}

/// Adds what the network itself says of held-out images: its loss, a bound of the likelihood, and, of
/// `classify` images, whether it knows their classes.
///
/// # Errors
/// Those of the network.
pub fn of_model(file: &mut EvalFile, model: &Model, yardstick: &Yardstick, classify: usize) -> Result<()> {
    let snapshot = model.loaded.unet.snapshot(Purpose::Prediction)?;
    let schedule = model.scheduler.noise_schedule()?;
    let mut predict = seam(&snapshot);
    let prediction = model.scheduler.prediction()?;
    let mut denoiser = Denoiser { schedule: &schedule, prediction, predict: &mut predict, batch: BATCH };
    let test = &yardstick.splits.test;
    let held_out = |n: usize| yardstick::tensors(&test.take_per_class(each(n, test.classes().len())));
    let (images, labels) = held_out(LOSS_IMAGES)?;
    let data = Labelled { images: &images, labels: Some(&labels) };
    let timesteps: Vec<usize> =
        (0..LOSS_TIMESTEPS).map(|i| (2 * i + 1) * schedule.len() / (2 * LOSS_TIMESTEPS)).collect();
    let losses = denoising_loss(&mut denoiser, data, &timesteps, 0)?;
    let losses = losses.iter().map(|at| LossAt { t: at.t as u64, loss: at.loss });
    file.denoising_loss = Some(losses.collect());
    let (images, labels) = held_out(BITS_IMAGES)?;
    let data = Labelled { images: &images, labels: Some(&labels) };
    let bits = bits_per_dimension(&mut denoiser, data, BITS_STRATA, 0)?;
    (file.bits_per_dimension, file.bits_per_dimension_error) = (Some(bits.total), Some(bits.error));
    if classify > 0 {
        let (images, labels) = held_out(classify)?;
        let found = classify::classified(model, &images)?;
        let confusion = Confusion::new(&labels, &found.classes, model.classes.len() as u32)?;
        file.diffusion_classifier_accuracy = Some(confusion.accuracy());
    }
    Ok(())
}

/// Writes `eval.json`, the picture sheet and the nearest images into a folder; their paths.
///
/// # Errors
/// Where they cannot be written.
pub fn write(
    out: &Path,
    samples: &Samples,
    found: &Evaluation,
    yardstick: &Yardstick,
) -> Result<[PathBuf; 3]> {
    let (json, sheet, nearest) = (out.join(EVAL_FILE), out.join("eval.png"), out.join("eval-nearest.png"));
    create_parent(&json)?;
    let model = samples.model.as_ref().map(|hash| format!(", model {hash}")).unwrap_or_default();
    let texts = [
        ("Software", format!("Duet {}", env!("CARGO_PKG_VERSION"))),
        ("Description", format!("{}{model}", samples.source)),
    ];
    match &samples.sheet {
        Some((picture, texts)) => picture.write_png_with(&sheet, texts)?,
        None => picture_sheet(samples, yardstick)?.write_png_with(&sheet, &texts)?,
    }
    nearest_sheet(samples, found, yardstick)?.write_png_with(&nearest, &texts)?;
    write_atomically(&json, serde_json::to_string_pretty(&found.file)?.as_bytes())?;
    Ok([json, sheet, nearest])
}

/// The first samples of each class, whoever drew them.
fn picture_sheet(samples: &Samples, yardstick: &Yardstick) -> Result<Picture> {
    let pictures = draw::pictures(&samples.images)?;
    let of_class = |class: usize| {
        let of_class = samples.asked.iter().enumerate().filter(|(_, asked)| **asked == class as u32);
        of_class.take(SHOWN).map(|(i, _)| pictures[i].clone()).collect()
    };
    draw::class_sheet(samples.source.clone(), yardstick.splits.train.classes(), SHOWN, of_class)
}

/// The samples that are closest to a training image, above that image.
fn nearest_sheet(samples: &Samples, found: &Evaluation, yardstick: &Yardstick) -> Result<Picture> {
    let train = &yardstick.splits.train;
    let shape = train.shape();
    let pairs: Vec<_> = found.memorisation.pairs.iter().take(PAIRS).collect();
    let mut pictures = Vec::new();
    for pair in &pairs {
        pictures.extend(draw::pictures(&samples.images.narrow(0, pair.sample, 1)?)?);
    }
    for pair in &pairs {
        let mut values = vec![0f32; shape.len()];
        train.image(pair.training, &mut values);
        pictures.push(Picture::from_unit(shape.channels, shape.height, shape.width, &values));
    }
    let captions = Captions {
        title: "The samples that are closest to a training image for their class, and that image".into(),
        rows: vec!["sample".into(), "training".into()],
        columns: pairs.iter().map(|pair| format!("{:.1}", pair.distance)).collect(),
    };
    Ok(Picture::captioned_grid(&pictures, pairs.len(), 2, &captions)?)
}
