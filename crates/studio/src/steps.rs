//! `POST /api/steps`: what the two artists see in each step of an image.

use crate::answers::{Answers, check_index};
use crate::asked::Wanted;
use crate::cancel::Cancel;
use crate::draw::{Told, base64};
use crate::limits;
use crate::refusal::Refusal;
use duet_diffusion::candle_core::Tensor;
use duet_diffusion::sample::{Seen, Views};
use duet_diffusion::{Form, pictures};
use serde_json::{Value, json};

/// The steps of image `index` of the drawing, and the image.
pub fn steps(
    answers: &Answers<'_>,
    wanted: &Wanted,
    index: usize,
    cancel: &Cancel,
) -> Result<Value, Refusal> {
    answers.with_plan(wanted, cancel, |mut plan| {
        check_index(&plan, index)?;
        let count = plan.sampling.sampler.steps().len();
        if count > limits::SHOWN_STEPS {
            let error = format!("steps {count}: at most {} are shown one by one", limits::SHOWN_STEPS);
            return Err(Refusal::beyond(error).of("steps"));
        }
        let told = Told::of(&plan);
        plan.sampling = plan.sampling.only(index)?;
        let mut steps = Vec::new();
        let drawn = plan.sampling.draw_seen(|_, seen| {
            cancel.check()?;
            if let Some(seen) = seen {
                steps.push(step(seen)?);
            }
            Ok(())
        })?;
        let image = pictures(&drawn.images)?[0].encode_png_with(&plan.texts(Form::Image(index))?);
        let (class, weight) = told.of_image(index);
        let (seed, image) = (plan.sampling.seeds[0], base64(&image));
        Ok(json!({"class": class, "seed": seed, "weight": weight, "steps": steps, "image": image}))
    })
}

fn step(seen: &Seen) -> duet_diffusion::Result<Value> {
    let Views { given, free } = seen.views(0)?;
    let difference = match (&given, &free) {
        (Some(given), Some(free)) => Some(((given - free)? / 2.0)?),
        _ => None,
    };
    let one = |image: &Tensor| png(&image.unsqueeze(0)?);
    Ok(json!({
        "timestep": seen.place.timestep, "sigma": seen.place.sigma(), "alpha_bar": seen.place.alpha_bar,
        "guided": difference.is_some(), "x": png(&seen.x)?, "x0": png(&seen.x0)?,
        "given": given.as_ref().map(one).transpose()?, "free": free.as_ref().map(one).transpose()?,
        "difference": difference.as_ref().map(one).transpose()?,
    }))
}

/// The first image of (n, C, H, W) as the text of a PNG.
fn png(images: &Tensor) -> duet_diffusion::Result<String> {
    Ok(base64(&pictures(images)?[0].encode_png()))
}
