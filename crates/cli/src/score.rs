//! The quick metrics of a model: images of every class, drawn and measured at once.

use crate::classify::of_classes;
use crate::drawing::Drawing;
use crate::plan::{Models, Plan};
use crate::yardstick::{self, Yardstick, drawn_each};
use anyhow::Result;
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Named as in tables and files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Share of images that the classifier takes for the class that was asked for.
    pub accuracy: f64,
    /// To the held-out images; too large for few images, and comparable for equally many.
    pub frechet: f64,
    pub precision: f64,
    pub recall: f64,
    pub density: f64,
    pub coverage: f64,
}

impl Score {
    /// Of `count` images, the same number of every class with training images from seed 0 on, `batch` at
    /// once.
    pub fn of(
        drawing: &Drawing,
        models: &Models,
        yardstick: &Yardstick,
        (count, batch): (usize, usize),
        device: &Device,
    ) -> Result<Self> {
        let judge = yardstick.judge()?;
        let labels = yardstick::labels_of(&yardstick.splits, &models.model)?;
        let each = drawn_each(count, labels.len());
        let drawing = of_classes(drawing, &labels, &models.model.classes, each);
        let plan = Plan::new(&drawing, models, batch, device)?;
        let images = plan.draw(|_| Ok(()))?.images;
        let asked: Vec<u32> = labels.into_iter().flat_map(|class| std::iter::repeat_n(class, each)).collect();
        let scores = judge.scores(&images, &judge.features(&images)?, &asked)?;
        Ok(Self {
            accuracy: scores.confusion.accuracy(),
            frechet: scores.frechet,
            precision: scores.precision,
            recall: scores.recall,
            density: scores.density,
            coverage: scores.coverage,
        })
    }
}
