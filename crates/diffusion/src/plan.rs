//! A drawing made ready: its models, what is asked of them, and how the result is laid out.

use crate::draw::{self, Drawn, Sampling};
use crate::drawing::Drawing;
use crate::error::{Result, option, setting};
use crate::inputs::Inputs;
use crate::model::Model;
use crate::note::{Form, Note};
use crate::preparation::Preparation;
use crate::settings;
use crate::start::{self, Start};
use candle_core::{Device, Tensor};
use duet_data::{Captions, Picture};
use duet_sample::Trajectory;
use std::collections::BTreeMap;

/// How long a frame of an animation is shown, in milliseconds.
pub const FRAME_MS: u16 = 80;
/// White pixels between the two halves of an animation's frame.
const GAP: usize = 8;

/// A drawing, ready to be drawn.
pub struct Plan<'a> {
    /// With what the run says where no flag does.
    pub drawing: Drawing,
    /// Its networks, sampler, guidance and beginnings.
    pub sampling: Sampling<'a>,
    /// What its pictures say of themselves.
    pub note: Note,
    /// Images in a row of the grid.
    pub columns: usize,
    /// What each image's file is called, without its ending.
    pub stems: Vec<String>,
    classes: &'a [String],
    /// Of each image, where there are several.
    weights: Vec<f64>,
    row_names: Vec<String>,
    column_names: Vec<String>,
    /// Evaluations before the first step.
    spent: usize,
    solver: &'static str,
    pub(crate) model: &'a Model,
}

impl<'a> Plan<'a> {
    /// Reads the files that the drawing names, and inverts its image where that is asked for. The drawing's
    /// `run` does not count: `model` draws, `batch` images at once, at least 1.
    ///
    /// # Errors
    /// Where an option is out of its range, does not go with another or with the model ([`crate::Error::Option`] and
    /// its kind), where a file cannot be read, and where the images do not fit into memory.
    pub fn new(drawing: &Drawing, model: &'a Model, batch: usize, device: &'a Device) -> Result<Self> {
        let (inputs, on_step) = (&Inputs::default(), &mut || Ok(()));
        Self::prepared(drawing, model, Preparation { batch, device, inputs, on_step })
    }

    /// The same where pictures may be in memory, and the inversion of an image may be ended.
    ///
    /// # Errors
    /// As [`Plan::new`], and those of `on_step`.
    pub fn prepared(drawing: &Drawing, model: &'a Model, with: Preparation<'a, '_>) -> Result<Self> {
        let Preparation { batch, device, inputs, on_step } = with;
        if batch == 0 {
            return Err(option("batch", " 0: at least one image is needed"));
        }
        drawing.check()?;
        let drawing = settings::resolved(drawing, model)?;
        check_denoiser(model)?;
        if drawing.noise.is_some() && drawing.guidance.len() > 1 {
            return Err(option("guidance", ": several weights go with --seeds, not with --noise"));
        }
        if let (Some(name), None) = (&drawing.guide_with, &model.guide) {
            return Err(option(
                "guide-with",
                format!(" {name}: the model was opened without it; Model::of and Model::with_guide open it"),
            ));
        }
        let guidance = settings::guidance(&drawing, model)?;
        let sampler = settings::sampler(&drawing, model)?;
        let solver = model.scheduler.solver()?.name();
        let start = Start::new(&drawing, model)?;
        check_memory(&start)?;
        let weights = start.weights.clone();
        let guidance = match start.weights.is_empty() {
            true => guidance,
            false => guidance.with_weights(weights.clone()),
        };
        let image =
            drawing.image.as_ref().map(|path| start::image(path, &start, inputs, device)).transpose()?;
        let known = match (&image, &drawing.mask) {
            (Some(image), Some(mask)) => Some(start::known(image, mask, &start, inputs)?),
            _ => None,
        };
        let mut noise = start.noise.map(|noise| noise.to_device(device)).transpose()?;
        let mut spent = 0;
        if let (Some(image), Some(iterations)) = (&image, drawing.invert) {
            let (found, evaluations) =
                start::inverted(&drawing, model, (&image.narrow(0, 0, 1)?, iterations), on_step)?;
            noise = Some(found.repeat((start.seeds.len(), 1, 1, 1))?);
            spent = evaluations;
        }
        let sampling = Sampling {
            guide: model.guide.as_ref().map(|guide| &guide.loaded.unet),
            batch,
            device,
            towards: start.towards,
            noise,
            images: image.filter(|_| drawing.invert.is_none()),
            known,
            ..Sampling::new(&model.loaded.unet, sampler, guidance, (start.labels, start.seeds), start.shape)
        };
        let note = Note::with_inputs(&drawing, model, inputs)?;
        let (columns, stems) = (start.columns, start.stems);
        let (row_names, column_names) = (start.row_names, start.column_names);
        let classes = &model.classes;
        Ok(Self {
            drawing,
            sampling,
            note,
            columns,
            stems,
            classes,
            weights,
            row_names,
            column_names,
            spent,
            solver,
            model,
        })
    }

    /// The drawing with what its preset, or else the model's run, says where no option does.
    ///
    /// # Errors
    /// Where there is no such preset.
    pub fn resolved(drawing: &Drawing, model: &Model) -> Result<Drawing> {
        settings::resolved(drawing, model)
    }

    /// How many images a drawing asks for that begins with seeds. Nothing is made of it yet.
    ///
    /// # Errors
    /// Where a class is none of the model's.
    pub fn count(drawing: &Drawing, model: &Model) -> Result<u64> {
        start::count(drawing, model)
    }

    /// What a row of the grid is called: its class and, where there are several, its weight.
    pub fn row_names(&self) -> &[String] {
        &self.row_names
    }

    /// What a column of the grid is called; none where nothing differs.
    pub fn column_names(&self) -> &[String] {
        &self.column_names
    }

    /// The weight of guidance of image `i`.
    pub fn weight(&self, i: usize) -> f64 {
        self.weights.get(i).or(self.drawing.guidance.first()).copied().unwrap_or(1.0)
    }

    /// The name of a class of the model; of another label, its number.
    pub fn class_name(&self, label: u32) -> String {
        self.classes.get(label as usize).cloned().unwrap_or_else(|| label.to_string())
    }

    /// Draws everything; `on_step` as [`Sampling::draw`] has it. An error of its own ([`crate::Error::caller`]) ends
    /// the drawing and is returned.
    ///
    /// # Errors
    /// As [`Sampling::draw`].
    pub fn draw(&self, on_step: impl FnMut(&Trajectory) -> Result<()>) -> Result<Drawn> {
        let drawn = self.sampling.draw(on_step)?;
        Ok(Drawn { evaluations: drawn.evaluations + self.spent, ..drawn })
    }

    /// A line about the settings.
    pub fn summary(&self) -> String {
        settings::summary(&self.drawing, self.solver)
    }

    /// All images as one picture: `images` (n, C, H, W) in [-1, 1], as many as the plan draws.
    ///
    /// # Errors
    /// Those of candle where they have another shape, and where captions cannot be set.
    pub fn grid(&self, images: &Tensor) -> Result<Picture> {
        self.captioned(images, &self.summary())
    }

    fn captioned(&self, images: &Tensor, title: &str) -> Result<Picture> {
        let captions = match self.drawing.no_captions {
            true => Captions::default(),
            false => Captions {
                title: title.into(),
                rows: self.row_names.clone(),
                columns: self.column_names.clone(),
            },
        };
        let scale = self.drawing.scale.into();
        Ok(Picture::captioned_grid(&draw::pictures(images)?, self.columns, scale, &captions)?)
    }

    /// A file of tensors and, if there are any, of the images' `labels` (n) i64; of a mixture, that of its largest part.
    ///
    /// # Errors
    /// Those of candle.
    pub fn tensors<const N: usize>(&self, tensors: [(&str, Tensor); N]) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::from(tensors.map(|(name, tensor)| (name.to_string(), tensor)));
        if let Some(labels) = &self.sampling.labels {
            let largest = |i: usize| {
                let parts = labels.parts(i).iter();
                parts.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |&(label, _)| i64::from(label))
            };
            let labels: Vec<i64> = (0..labels.len()).map(largest).collect();
            let count = labels.len();
            tensors.insert("labels".into(), Tensor::from_vec(labels, count, &Device::Cpu)?);
        }
        Ok(duet_model::weights_to_bytes(&tensors)?)
    }

    /// What a PNG of this form says of itself, so that [`crate::reproduce`] draws it again.
    ///
    /// # Errors
    /// Where a value cannot be written as JSON.
    pub fn texts(&self, form: Form) -> Result<Vec<(&'static str, String)>> {
        let title = match form {
            Form::Sweep { .. } => "a sweep".into(),
            Form::Image(i) => title_of(&self.stems[i]),
            Form::Grid | Form::Animation => format!("{} images", self.sampling.seeds.len()),
        };
        self.note.texts(form, &title, &self.summary())
    }
}

/// What an image shows, by its file's name without the ending.
pub(crate) fn title_of(stem: &str) -> String {
    stem.replace('_', ", ").replace("class-", "class ").replace("seed-", "seed ")
}

/// The frames of an animation as they come: x_t, and the x̂_0 that the network sees in it.
#[derive(Default)]
pub struct Frames(BTreeMap<usize, (Vec<Tensor>, Vec<Tensor>)>);

impl Frames {
    /// Notes where a batch's trajectory is.
    ///
    /// # Errors
    /// Those of candle.
    pub fn note(&mut self, trajectory: &Trajectory) -> Result<()> {
        let (x, x0) = self.0.entry(trajectory.progress().0).or_default();
        x.push(trajectory.x().to_device(&Device::Cpu)?);
        // Before the first step, nothing is seen: grey.
        x0.push(match trajectory.x0() {
            Some(x0) => x0.to_device(&Device::Cpu)?,
            None => trajectory.x().to_device(&Device::Cpu)?.zeros_like()?,
        });
        Ok(())
    }

    /// One picture for each step: x_t at the left, x̂_0 at the right.
    ///
    /// # Errors
    /// Where the noted images are not those of the plan.
    pub fn pictures(&self, plan: &Plan) -> Result<Vec<Picture>> {
        let timesteps = plan.sampling.sampler.steps().timesteps();
        let frame = |(&step, (x, x0)): (&usize, &(Vec<Tensor>, Vec<Tensor>))| {
            let title = match timesteps.get(step) {
                Some(t) => format!("x at t = {t}"),
                None => "x".into(),
            };
            let noisy = plan.captioned(&Tensor::cat(x, 0)?, &title)?;
            let seen = plan.captioned(&Tensor::cat(x0, 0)?, "x0 as predicted")?;
            Ok(noisy.beside(&seen, GAP)?)
        };
        self.0.iter().map(frame).collect()
    }
}

/// All images are kept until they are written, and their starting noise or the picture they begin
/// with beside them.
fn check_memory(start: &Start) -> Result<()> {
    let (channels, height, width) = start.shape;
    let sides = [start.seeds.len(), channels, height, width, 2 * size_of::<f32>()];
    let bytes = sides.iter().try_fold(1u64, |product, &side| product.checked_mul(side as u64));
    let what = format!("{} images of {channels}×{height}×{width} values", start.seeds.len());
    Ok(duet_model::check_memory(&what, bytes)?)
}

fn check_denoiser(model: &Model) -> Result<()> {
    let config = model.loaded.unet.config();
    if config.in_channels == config.out_channels {
        return Ok(());
    }
    let path = model.loaded.folder.join("config.json");
    Err(setting(format!("{}: in_channels and out_channels differ: not a denoiser", path.display())))
}
