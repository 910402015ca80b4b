//! A step towards what a teacher says of states, instead of towards the noise that made them.

use crate::error::TrainError;
use crate::objective::Noised;
use crate::trainer::{StepReport, Trainer};
use candle_core::Tensor;

/// States of which a teacher says what the network's prediction is to mean there.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// x_t, (n, C, H, W).
    pub x: Tensor,
    /// t of each image.
    pub timesteps: Vec<usize>,
    /// The class of each image; none for an unconditional network.
    pub labels: Option<Vec<u32>>,
    /// The x̂_0 that the network's prediction is to mean, (n, C, H, W).
    pub x0: Tensor,
}

impl Trainer {
    /// Takes one step on a lesson of as many images as a step has ([`Trainer::images_per_step`]).
    ///
    /// The loss is the mean over all images of (SNR + 1)·‖x̂_0 - x_0'‖²/(C·H·W), where x̂_0 follows from the
    /// prediction and x_0' is the lesson's. With SNR + 1 = 1/(1-ᾱ) it is the error of v, whatever the network predicts
    /// (Salimans & Ho 2022, section 4). Neither the timesteps' weights nor changes of images count here.
    ///
    /// Errors: as [`Trainer::step`]; another number of images, shapes that differ, a timestep that the schedule has not.
    pub fn step_towards(&mut self, lesson: &Lesson) -> Result<StepReport, TrainError> {
        self.check_lesson(lesson)?;
        let (loss, gradients) =
            self.loss_and_gradients(|range| self.noised_towards(lesson, range.start, range.len()))?;
        self.move_by(loss, gradients, |_| lesson.timesteps.clone())
    }

    /// `count` images of a lesson from the `first` on, as predictions.
    fn noised_towards(&self, lesson: &Lesson, first: usize, count: usize) -> Result<Noised, TrainError> {
        let timesteps = &lesson.timesteps[first..first + count];
        let (x, x0) = (lesson.x.narrow(0, first, count)?, lesson.x0.narrow(0, first, count)?);
        let prediction = self.diffusion().prediction;
        let column = |values: Vec<f32>| Tensor::from_vec(values, (count, 1, 1, 1), x.device());
        let (mut of_x, mut of_x0, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for &t in timesteps {
            let alpha_bar = self.schedule().alpha_bar(t);
            // p = e x + f x_0, so ‖p - p'‖² = f² ‖x̂_0 - x_0'‖².
            let (e, f) = prediction.of_x0_coefficients(alpha_bar);
            of_x.push(e as f32);
            of_x0.push(f as f32);
            weights.push((1.0 / (1.0 - alpha_bar) / (f * f)) as f32);
        }
        let target = (x.broadcast_mul(&column(of_x)?)? + x0.broadcast_mul(&column(of_x0)?)?)?;
        let labels = lesson.labels.as_ref().map(|labels| &labels[first..first + count]);
        Ok(Noised::towards((&x, timesteps), labels, (target, &weights))?)
    }

    fn check_lesson(&self, lesson: &Lesson) -> Result<(), TrainError> {
        let refuse = |message: String| Err(TrainError::Option(message));
        let Lesson { x, timesteps, labels, x0 } = lesson;
        let (count, images) = (self.images_per_step(), x.dims4()?.0);
        let rows = labels.as_ref().map_or(images, Vec::len);
        if [images, timesteps.len(), rows] != [count; 3] || x.dims() != x0.dims() {
            let (x, x0, timesteps) = (x.dims(), x0.dims(), timesteps.len());
            return refuse(format!(
                "a lesson of x {x:?}, x0 {x0:?}, {timesteps} timesteps and {rows} labels, for a step of {count} images"
            ));
        }
        let last = self.schedule().len();
        if let Some(t) = timesteps.iter().find(|&&t| t >= last) {
            return refuse(format!("timestep {t} of a lesson: the schedule has {last}"));
        }
        let rows = self.unet().config().num_class_embeds;
        match (rows, labels) {
            (None, None) => Ok(()),
            (Some(rows), Some(labels)) => match labels.iter().find(|&&label| label as usize >= rows) {
                Some(label) => refuse(format!("label {label} of a lesson: the network has {rows} rows")),
                None => Ok(()),
            },
            (None, Some(_)) => refuse("a lesson with labels, for a network without classes".into()),
            (Some(_), None) => refuse("a lesson without labels, for a network with classes".into()),
        }
    }
}
