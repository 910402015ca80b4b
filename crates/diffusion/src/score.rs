//! The quick metrics of a model: images of every class, drawn and measured at once.

use crate::drawing::Drawing;
use crate::error::{Result, setting};
use crate::eval_file::CopiedShares;
use crate::metrics::Score;
use crate::model::Model;
use crate::plan::Plan;
use crate::yardstick::{self, Yardstick, drawn_each};
use candle_core::{Device, Tensor};

/// Of `count` images, the same number of every class with training images from seed 0 on, `batch` at once.
///
/// # Errors
/// Where the data have no judge or other classes than the model, and as [`Plan::new`].
pub fn score(
    drawing: &Drawing,
    model: &Model,
    yardstick: &Yardstick,
    (count, batch): (usize, usize),
    device: &Device,
) -> Result<Score> {
    let (images, asked) = drawn(drawing, model, yardstick, (count, batch), device)?;
    of_images(yardstick, &images, &asked)
}

/// The same, and how much of the images is training images again.
///
/// # Errors
/// As [`score`].
pub(crate) fn score_and_copies(
    drawing: &Drawing,
    model: &Model,
    yardstick: &Yardstick,
    size: (usize, usize),
    device: &Device,
) -> Result<(Score, CopiedShares)> {
    let (images, asked) = drawn(drawing, model, yardstick, size, device)?;
    let score = of_images(yardstick, &images, &asked)?;
    let (found, counts) = yardstick.memorisation(&images, &asked)?;
    let names = yardstick.splits.train.classes();
    Ok((score, CopiedShares::of(&found, counts.as_ref(), names)))
}

/// Images of every class with training images, and the class of each.
fn drawn(
    drawing: &Drawing,
    model: &Model,
    yardstick: &Yardstick,
    (count, batch): (usize, usize),
    device: &Device,
) -> Result<(Tensor, Vec<u32>)> {
    let labels = yardstick::labels_of(&yardstick.splits, model)?;
    let each = drawn_each(count, labels.len());
    let (plan, asked) = planned(drawing, (model, &labels, each), batch, device)?;
    Ok((plan.draw_images(|_| Ok(()))?.images, asked))
}

fn of_images(yardstick: &Yardstick, images: &Tensor, asked: &[u32]) -> Result<Score> {
    let judge = yardstick.judge()?;
    let scores = judge.scores(images, &judge.features(images)?, asked)?;
    Ok(Score {
        accuracy: scores.confusion.accuracy(),
        frechet: scores.frechet,
        precision: scores.precision,
        recall: scores.recall,
        density: scores.density,
        coverage: scores.coverage,
    })
}

/// What is drawn to be measured, `each` images of every class in `labels`, and the class of each image.
///
/// # Errors
/// Where the drawing makes other images than one for each class and seed, and as [`Plan::new`].
pub(crate) fn planned<'a>(
    drawing: &Drawing,
    (model, labels, each): (&'a Model, &[u32], usize),
    batch: usize,
    device: &'a Device,
) -> Result<(Plan<'a>, Vec<u32>)> {
    let drawing = drawing.of_classes(labels, &model.classes, each)?;
    let plan = Plan::new(&drawing, model, batch, device)?;
    let asked: Vec<u32> = labels.iter().flat_map(|&class| std::iter::repeat_n(class, each)).collect();
    match plan.sampling.seeds.len() == asked.len() {
        true => Ok((plan, asked)),
        false => Err(setting(
            "one image for each class and seed is measured: several weights of --guidance, --interpolate and \
             --invert draw others",
        )),
    }
}
