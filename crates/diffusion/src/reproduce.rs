//! Draws a picture again from what it says of itself.

use crate::draw;
use crate::drawing::Drawing;
use crate::error::{Error, Result};
use crate::inputs::read_picture;
use crate::model::Model;
use crate::note::{Form, Note};
use crate::plan::{FRAME_MS, Frames, Plan};
use crate::settings::STEPS;
use crate::sweep::{Axes, Opened};
use candle_core::Device;
use duet_data::encode_apng;
use std::path::Path;

/// Images in one pass; they do not depend on it.
const BATCH: usize = 64;

/// A picture, drawn again.
pub struct Reproduced {
    /// What its file would be now.
    pub bytes: Vec<u8>,
    /// The model that drew it.
    pub run: String,
    picture: std::path::PathBuf,
}

/// Draws a PNG of Duet again, by the model that it names or by `run`. One that takes more than `most`
/// evaluations of the network is refused: a stranger's may ask for any number.
///
/// # Errors
/// Where the picture does not say how it was made, or its model or files are not there or others, and
/// [`Error::TooMuchWork`].
pub fn reproduce(picture: &Path, run: Option<&str>, most: u64, device: &Device) -> Result<Reproduced> {
    let (note, texts) = Note::read(picture)?;
    let mut drawing = note.drawing.clone();
    if note.from_picture {
        let folder = picture.parent().unwrap_or(Path::new(""));
        drawing.run = folder.join(&drawing.run).display().to_string();
    }
    if let Some(run) = run {
        drawing.run = run.into();
    }
    if note.from_picture && !Path::new(&drawing.run).exists() {
        return Err(Error::NotReproduced {
            picture: picture.into(),
            reason: format!(
                "drawn by {}, which is not there; of a run's checkpoints only the newest are kept",
                drawing.run
            ),
        });
    }
    let work = Work { most, left: most };
    let mut again = Again { image: picture, device, texts, opened: Opened::default(), work };
    let bytes = again.draw(&note, &drawing)?;
    Ok(Reproduced { bytes, run: drawing.run, picture: picture.into() })
}

impl Reproduced {
    /// Holds it against the picture's file.
    ///
    /// # Errors
    /// [`Error::NotReproduced`] where a byte differs.
    pub fn check(&self) -> Result<()> {
        match self.bytes == read_picture(&self.picture)? {
            true => Ok(()),
            false => Err(Error::NotReproduced {
                picture: self.picture.clone(),
                reason: "what is drawn now differs from it: another version of Duet, or another machine"
                    .into(),
            }),
        }
    }
}

struct Again<'a> {
    image: &'a Path,
    device: &'a Device,
    texts: Vec<(String, String)>,
    opened: Opened,
    work: Work,
}

/// Evaluations of the network that may still be asked for.
struct Work {
    most: u64,
    left: u64,
}

impl Work {
    /// Takes the product of these numbers.
    fn take(&mut self, numbers: &[usize]) -> Result<()> {
        let wanted = numbers.iter().fold(1u64, |product, &number| product.saturating_mul(number as u64));
        match self.left.checked_sub(wanted) {
            Some(left) => self.left = left,
            None => {
                return Err(Error::TooMuchWork { most: self.most });
            }
        }
        Ok(())
    }

    /// Takes what finding an image's noise asks for, which is done before anything is drawn.
    fn take_inversion(&mut self, drawing: &Drawing) -> Result<()> {
        // Cheaper than making a plan of them: no class has fewer images than there are seeds.
        let (seeds, most) = (drawing.seeds.to_vec().len(), self.most);
        Work { most, left: most }.take(&[seeds, drawing.guidance.len().max(1)])?;
        self.take(&[drawing.invert.unwrap_or(0), drawing.steps.unwrap_or(STEPS)])
    }

    /// Takes what drawing `images` of the plan asks for.
    fn take_images(&mut self, images: usize, plan: &Plan) -> Result<()> {
        self.take(&[images, plan.sampling.sampler.steps().len()])
    }
}

impl Again<'_> {
    /// The file's bytes, drawn by what `drawing` names.
    fn draw(&mut self, note: &Note, drawing: &Drawing) -> Result<Vec<u8>> {
        let texts: Vec<(&str, String)> =
            self.texts.iter().map(|(keyword, text)| (keyword.as_str(), text.clone())).collect();
        if let Form::Sweep { rows, columns } = &note.form {
            note.check(&Model::open(&drawing.run, self.device)?)?;
            let axes = Axes::new(rows, columns.as_deref(), drawing)?;
            // A cell has one image at the least.
            Work { ..self.work }.take(&[axes.count(), drawing.steps.unwrap_or(1)])?;
            let mut pictures = Vec::new();
            for cell in axes.cells(drawing)? {
                let model = self.opened.of(&cell, self.device, None)?;
                self.work.take_inversion(&cell)?;
                let plan = Plan::new(&cell, model, BATCH, self.device)?;
                self.work.take_images(plan.sampling.seeds.len(), &plan)?;
                pictures.push(plan.grid(&plan.draw(|_| Ok(()))?.images)?);
            }
            return Ok(axes.sheet(pictures)?.encode_png_with(&texts));
        }
        let model = self.opened.of(drawing, self.device, None)?;
        note.check(model)?;
        self.work.take_inversion(drawing)?;
        let mut plan = Plan::new(drawing, model, BATCH, self.device)?;
        let images = plan.sampling.seeds.len();
        self.work.take_images(if let Form::Image(_) = note.form { 1 } else { images }, &plan)?;
        Ok(match note.form {
            Form::Animation => {
                let mut frames = Frames::default();
                plan.draw(|trajectory| frames.note(trajectory))?;
                encode_apng(&frames.pictures(&plan)?, FRAME_MS, &texts)?
            }
            Form::Image(i) => {
                if i >= plan.sampling.seeds.len() {
                    return Err(Error::NotReproduced {
                        picture: self.image.into(),
                        reason: format!("names image {i} of {}", plan.sampling.seeds.len()),
                    });
                }
                plan.sampling = plan.sampling.only(i)?;
                draw::pictures(&plan.draw(|_| Ok(()))?.images)?[0].encode_png_with(&texts)
            }
            _ => plan.grid(&plan.draw(|_| Ok(()))?.images)?.encode_png_with(&texts),
        })
    }
}
