//! Distillation: a student of the same network that draws in few steps and needs no guidance.

use crate::config::{DDIM, RunConfig, SampleConfig};
use crate::draw::Sampling;
use crate::drawing::Drawing;
use crate::error::{Result, Within, option, setting};
use crate::find;
use crate::from::{FromConfig, FromWeights};
use crate::model::Model;
use crate::settings;
use candle_core::{Device, Tensor};
use duet_random::Draws;
use duet_sample::{History, Labels};
use duet_schedule::{Prediction, Spacing, Steps};
use duet_train::checkpoint::CONFIG_COPY;
use duet_train::{Distiller, Flip, TrainOptions, Trajectories};
use serde::{Deserialize, Serialize};

/// What a student is taught, in its run's `config.toml`. The teacher is the model that the run begins from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillConfig {
    /// The number of the teacher's trajectories from which the student learns.
    pub trajectories: usize,
    /// How the teacher draws them. Its timesteps contain the student's, and it adds no noise.
    pub teacher: SampleConfig,
}

/// A student that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Distill {
    /// The teacher: a run or a checkpoint.
    pub run: String,
    /// The network's evaluations of each image that the student draws.
    pub steps: usize,
    /// w of the teacher; none for its run's.
    pub guidance: Option<f64>,
    /// How far the teacher extrapolates each step from the previous one; none for its run's.
    pub history: Option<History>,
    /// Evaluations of the teacher's trajectories; none for a multiple of the student's, 12 or more.
    pub teacher_steps: Option<usize>,
    /// The number of trajectories.
    pub trajectories: usize,
    /// What the student predicts.
    pub prediction: Prediction,
    /// Steps of the optimiser.
    pub train_steps: u64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Seed of every random draw; none for the teacher's.
    pub seed: Option<u64>,
}

/// The least number of evaluations of a teacher's trajectory where nobody asks for another.
const TEACHER_STEPS: usize = 12;

impl Distill {
    /// The configuration of the student's run: the teacher's network, data and noise schedule.
    ///
    /// # Errors
    /// Where the teacher is no run's, and where a setting is out of its range.
    pub fn config(&self) -> Result<RunConfig> {
        let folder = find::model_folder(&self.run)?;
        let copy = folder.join(CONFIG_COPY);
        if !copy.is_file() {
            let run = &self.run;
            let problem =
                "has no configuration of a run, which says what it learnt; name a run or a checkpoint";
            return Err(option("run", format!(" {run}: {problem}")));
        }
        let (mut config, _) = RunConfig::load(&copy)?;
        if self.steps == 0 {
            return Err(option("steps", " 0: at least one evaluation is needed"));
        }
        if self.trajectories == 0 {
            return Err(option("trajectories", " 0: at least one is needed"));
        }
        let is_student = config.distill.is_some();
        let steps = self.teacher_steps.unwrap_or(match is_student {
            true => config.sample.steps,
            false => TEACHER_STEPS.div_ceil(self.steps) * self.steps,
        });
        let teacher = SampleConfig {
            guidance: self.guidance.unwrap_or(config.sample.guidance),
            steps,
            sampler: if is_student { config.sample.sampler } else { Some("unipc".parse()?) },
            eta: None,
            spacing: Spacing::Trailing,
            history: self.history.or(config.sample.history),
            ..config.sample
        };
        config.distill = Some(DistillConfig { trajectories: self.trajectories, teacher });
        config.sample = SampleConfig {
            guidance: 1.0,
            steps: self.steps,
            spacing: Spacing::Trailing,
            sampler: Some(DDIM),
            eta: None,
            clip: None,
            interval: None,
            rule: None,
            history: None,
            guidance_schedule: None,
        };
        let model = folder.to_str().ok_or_else(|| setting(format!("{}: no UTF-8", folder.display())))?;
        config.from = Some(FromConfig { model: model.into(), weights: FromWeights::Averaged, hash: None });
        config.diffusion.prediction = self.prediction;
        config.train = TrainOptions {
            seed: self.seed.unwrap_or(config.train.seed),
            steps: self.train_steps,
            learning_rate: self.learning_rate,
            label_dropout: 0.0,
            ema_snapshots: 0,
            balance: false,
            flip: Flip::Off,
            augment: 0.0,
            freeze: Vec::new(),
            ..config.train
        };
        config.save.held_out_images = 0;
        config.save.eval_every = 0;
        Ok(config)
    }
}

/// The lessons of a run that is a student; none of one that learns from images.
pub fn of_run(config: &RunConfig, device: &Device) -> Result<Option<Distiller>> {
    let (Some(distill), Some(from)) = (&config.distill, &config.from) else { return Ok(None) };
    let model = Model::open(&from.model, device).within("[from], the teacher")?;
    let hash = model.hash()?;
    if let Some(noted) = from.hash.as_ref().filter(|noted| **noted != hash) {
        return Err(setting(format!(
            "{}: it is not the teacher that the run began with: its hash is {hash}, not {noted}; put that model back",
            from.model
        )));
    }
    log::info!("draws {} trajectories of {}", distill.trajectories, model.folder.display());
    distiller(config, distill, &model, device, |_| Ok(())).map(Some)
}

/// Images at once.
const BATCH: usize = 64;

/// The trajectories of `model` that the student of this configuration learns from. `on_drawn` hears how many there are.
pub fn distiller(
    config: &RunConfig,
    distill: &DistillConfig,
    model: &Model,
    device: &Device,
    mut on_drawn: impl FnMut(usize) -> Result<()>,
) -> Result<Distiller> {
    let schedule = config.diffusion.noise_schedule()?;
    let timesteps = config.sample.spacing.timesteps(config.sample.steps, &schedule)?;
    let steps = Steps::new(&schedule, &timesteps)?;
    let drawing = settings::resolved(&drawing_of(&distill.teacher), model)?;
    let (guidance, sampler) = (settings::guidance(&drawing, model)?, settings::sampler(&drawing, model)?);
    let visited = sampler.steps().timesteps().to_vec();
    // After how many of the teacher's steps it is where the student's next step begins.
    let places: Option<Vec<usize>> =
        timesteps.iter().map(|t| visited.iter().position(|other| other == t)).collect();
    let places = places.filter(|places| places[0] == 0).ok_or_else(|| {
        setting(format!(
            "the teacher visits the timesteps {visited:?}, and not all of the student's, {timesteps:?}, from the first on"
        ))
    })?;
    if (0..visited.len()).any(|i| sampler.update(i).noise != 0.0) {
        let name = drawing.sampler.map_or_else(String::new, |sampler| sampler.to_string());
        return Err(setting(format!(
            "{name} adds noise on the way, so its trajectories cannot be taught; use unipc, dpmpp-2m, euler or ddim"
        )));
    }
    let unet = model.loaded.unet.config();
    let (height, width) = unet.sample_size.map(|size| size.sides()).ok_or_else(|| {
        setting(format!("{}: sample_size is null, so the image size is unknown", model.folder.display()))
    })?;
    let classes = model.classes.len() as u32;
    let count = distill.trajectories;
    let labels: Option<Vec<u32>> =
        unet.num_class_embeds.map(|_| (0..count as u32).map(|i| i % classes.max(1)).collect());
    let seeds: Vec<u64> = (0..count as u64)
        .map(|i| Draws::new(config.train.seed, "trajectory of a teacher", i).below(u64::MAX))
        .collect();
    let mut states: Vec<Vec<Tensor>> = vec![Vec::new(); places.len() + 1];
    let sampling = Sampling {
        batch: BATCH,
        device,
        ..Sampling::new(
            &model.loaded.unet,
            sampler,
            guidance,
            (labels.as_deref().map(Labels::new), seeds),
            (unet.in_channels, height, width),
        )
    };
    let mut drawn = 0;
    sampling.draw(|trajectory| {
        let (done, all) = trajectory.progress();
        if let Some(level) = places.iter().position(|&place| place == done) {
            states[level].push(trajectory.x().clone());
        } else if done == all {
            states[places.len()].push(trajectory.x().clone());
            drawn += trajectory.x().dim(0)?;
            on_drawn(drawn)?;
        }
        Ok(())
    })?;
    let states = states.iter().map(|parts| Tensor::cat(parts, 0)).collect::<candle_core::Result<_>>()?;
    Ok(Distiller::new(steps, Trajectories { labels, states }, config.train.seed)?)
}

/// A drawing with every setting of a run's.
fn drawing_of(sample: &SampleConfig) -> Drawing {
    let SampleConfig {
        guidance,
        steps,
        spacing,
        sampler,
        eta,
        clip,
        interval,
        rule,
        history,
        guidance_schedule,
    } = sample.clone();
    Drawing {
        guidance: vec![guidance],
        steps: Some(steps),
        spacing: Some(spacing),
        sampler: sampler.or(Some(DDIM)),
        eta,
        clip,
        interval: Some(interval.unwrap_or_default()),
        rule: Some(rule.unwrap_or_default()),
        history: Some(history.unwrap_or_default()),
        guidance_schedule: Some(guidance_schedule.unwrap_or_default()),
        ..Drawing::default()
    }
}
