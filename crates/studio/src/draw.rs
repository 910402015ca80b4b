//! `POST /api/draw`: the images of a drawing, each as soon as it is done.

use crate::answers::Answers;
use crate::asked::Wanted;
use crate::cancel::Cancel;
use crate::refusal::Refusal;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use duet_diffusion::candle_core::Tensor;
use duet_diffusion::sample::Labels;
use duet_diffusion::{Form, Plan, pictures};
use serde_json::{Value, json};

/// Says each thing that is ready; the first one says how many there will be.
pub fn draw(
    answers: &Answers<'_>,
    wanted: &Wanted,
    draft: Option<usize>,
    cancel: &Cancel,
    mut say: impl FnMut(Value),
) -> Result<(), Refusal> {
    answers.with_plan(wanted, cancel, |mut plan| {
        let all = plan.sampling.seeds.len();
        let told = Told::of(&plan);
        let images = draft.unwrap_or(all).clamp(1, all);
        plan.sampling = plan.sampling.of_images(0..images)?;
        let (steps, batch) = (plan.sampling.sampler.steps().len(), plan.sampling.batch);
        say(json!({
            "kind": "begun", "images": images, "steps": steps, "columns": plan.columns,
            "rows": plan.row_names(), "heads": plan.column_names(),
        }));
        let (mut first, mut done) = (0, 0);
        let drawn = plan.draw(|trajectory| {
            cancel.check()?;
            if trajectory.progress().0 == 0 {
                return Ok(());
            }
            done += 1;
            say(json!({"kind": "step", "done": done, "of": steps * images.div_ceil(batch)}));
            if trajectory.is_done() {
                for (k, png) in pngs(&plan, trajectory.x(), first)?.into_iter().enumerate() {
                    say(told.image(&plan, first + k, &png));
                }
                first += batch;
            }
            Ok(())
        })?;
        say(json!({"kind": "done", "summary": plan.summary(), "evaluations": drawn.evaluations}));
        Ok(())
    })
}

/// The files of images (n, C, H, W), of which the first is image `first` of the plan.
fn pngs(plan: &Plan, images: &Tensor, first: usize) -> duet_diffusion::Result<Vec<Vec<u8>>> {
    let files = pictures(images)?.into_iter().enumerate();
    files.map(|(k, picture)| Ok(picture.encode_png_with(&plan.texts(Form::Image(first + k))?))).collect()
}

/// The text of a picture's bytes.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// What images show, in words.
pub struct Told {
    classes: Vec<Option<String>>,
    weights: Vec<f64>,
}

impl Told {
    /// Of all images of the plan.
    pub fn of(plan: &Plan) -> Self {
        let sampling = &plan.sampling;
        let count = sampling.seeds.len();
        let class = |i: usize| sampling.labels.as_ref().map(|labels| class_of(plan, labels, i));
        Self {
            classes: (0..count).map(class).collect(),
            weights: (0..count).map(|i| plan.weight(i)).collect(),
        }
    }

    fn image(&self, plan: &Plan, i: usize, png: &[u8]) -> Value {
        json!({
            "kind": "image", "index": i, "class": self.classes[i], "seed": plan.sampling.seeds[i],
            "weight": self.weights[i], "png": base64(png),
        })
    }

    /// Class and weight of image `i`.
    pub fn of_image(&self, i: usize) -> (Option<&str>, f64) {
        (self.classes[i].as_deref(), self.weights[i])
    }
}

/// A class's name; of a mixture, its parts with their shares.
fn class_of(plan: &Plan, labels: &Labels, i: usize) -> String {
    let name = |label: u32| plan.class_name(label);
    match labels.parts(i) {
        [(label, _)] => name(*label),
        parts => {
            let parts: Vec<String> =
                parts.iter().map(|(label, share)| format!("{}:{share:.2}", name(*label))).collect();
            parts.join("+")
        }
    }
}
