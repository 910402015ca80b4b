//! What a new run takes over from another model: weights, rows of classes, channels.

use crate::error::{Result, Within, setting};
use crate::from::{FromConfig, FromWeights};
use crate::model::{Model, load_from, read_model};
use crate::network_config::NetworkConfig;
use candle_core::{Device, Tensor};
use duet_data::Splits;
use duet_random::Draws;
use duet_train::{TrainError, Trainer, checkpoint};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What was taken over, in the run's folder.
pub const TRANSFER: &str = "transfer.json";

/// So many names are told to people; the file has all of them.
const LISTED: usize = 12;

const CLASS_ROWS: &str = "class_embedding.weight";
/// The layers that see an image's channels.
const CONV_IN: &str = "conv_in.weight";
const CONV_OUT: [&str; 2] = ["conv_out.weight", "conv_out.bias"];

/// What a run took over from the model that it began from, what began anew, and what was dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The folder of the model.
    pub model: String,
    /// Of its network, averaged weights and scheduler.
    pub hash: String,
    /// Which of its weights.
    pub weights: FromWeights,
    /// Tensors taken over.
    pub tensors: usize,
    /// Tensors that began with seeded values.
    pub new_tensors: Vec<String>,
    /// Rows of the class embedding.
    pub classes: CarriedClasses,
    /// Channels of the model's images and of these, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<[usize; 2]>,
    /// Height and width of the model's images and of these, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_size: Option<[(usize, usize); 2]>,
}

/// The classes of a model and of the run that began from it, matched by their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedClasses {
    /// In both.
    pub kept: Vec<String>,
    /// In the run alone. They begin around the null label's row, as far from it as the model's classes are, each in a
    /// direction of its own; in a model without a null label, around the mean of its classes. In a model without
    /// classes, they begin at zero.
    pub new: Vec<String>,
    /// In the model alone.
    pub dropped: Vec<String>,
}

impl Transfer {
    /// For people, a line for each kind.
    pub fn describe(&self) -> String {
        // A comma in a name would make two of it.
        let told = |name: &String| if name.contains(',') { format!("{name:?}") } else { name.clone() };
        let joined = |names: &[String]| names.iter().map(told).collect::<Vec<_>>().join(", ");
        let listed = |names: &[String]| match names {
            [] => "none".into(),
            names if names.len() <= LISTED => joined(names),
            names => format!("{} and {} more", joined(&names[..LISTED]), names.len() - LISTED),
        };
        let (model, weights) = (&self.model, self.weights);
        let mut lines =
            vec![format!("begins from {model}, {weights} weights: {} tensors carried over", self.tensors)];
        if !self.new_tensors.is_empty() {
            lines.push(format!("new tensors: {}", listed(&self.new_tensors)));
        }
        let CarriedClasses { kept, new, dropped } = &self.classes;
        lines.push(format!("classes carried over: {}", listed(kept)));
        lines.push(format!("classes that are new: {}", listed(new)));
        lines.push(format!("classes dropped: {}", listed(dropped)));
        if let Some([from, to]) = self.channels {
            lines
                .push(format!("channels: {from} there, {to} here; the first and the last layer are adapted"));
        }
        if let Some([from, to]) = self.image_size {
            lines.push(format!("images: {}x{} there, {}x{} here", from.0, from.1, to.0, to.1));
        }
        lines.join("\n")
    }
}

/// The weights that a run begins from, ready for its network.
pub struct Beginning {
    values: BTreeMap<String, Tensor>,
    /// What was done to them.
    pub transfer: Transfer,
    /// What the network was not trained for.
    pub warnings: Vec<String>,
}

impl Beginning {
    /// The weights of `from` for the network of `trainer`, which is for these images.
    ///
    /// # Errors
    /// Where the model cannot be opened, is not the one whose hash is noted, or does not fit: with the first tensor
    /// and both shapes.
    pub fn new(from: &FromConfig, trainer: &Trainer, data: &Splits, device: &Device) -> Result<Self> {
        let (model, mut values) = read(from, device).in_option("from")?;
        let hash = model.hash()?;
        if let Some(noted) = from.hash.as_ref().filter(|noted| **noted != hash) {
            return Err(setting(format!(
                "{}: it is not the model that the configuration notes: its hash is {hash}, not {noted}; put that model \
                 back, or leave `hash` out of [from]",
                from.model
            )));
        }
        let folder = std::path::absolute(&model.folder).unwrap_or_else(|_| model.folder.clone());
        let noted = folder.to_str().ok_or_else(|| {
            let problem = "a model to begin from needs a path of UTF-8, which is noted";
            setting(format!("{}: {problem}", folder.display()))
        })?;
        let there: BTreeSet<String> = values.keys().cloned().collect();
        let classes = carry_classes(&mut values, &model, data, trainer, device)?;
        let channels = carry_channels(&mut values, &model, data)?;
        check_fit(&values, trainer, &model, data).in_option("from")?;
        let shape = data.train.shape();
        let sides = model.loaded.unet.config().sample_size.map(|size| size.sides());
        let here = (shape.height, shape.width);
        let names = trainer.parameters().iter().map(|(name, _)| name);
        let transfer = Transfer {
            model: noted.into(),
            hash,
            weights: from.weights,
            tensors: there.len(),
            new_tensors: names.filter(|name| !there.contains(*name)).map(Into::into).collect(),
            classes,
            channels,
            image_size: sides.filter(|&there| there != here).map(|there| [there, here]),
        };
        let warnings = differences(&model, trainer)?;
        Ok(Self { values, transfer, warnings })
    }

    /// Sets the weights of a trainer that has taken no step, and their averages.
    ///
    /// # Errors
    /// Where the network is another one.
    pub fn set(&self, trainer: &mut Trainer) -> Result<()> {
        Ok(trainer.begin_from(&self.values)?)
    }
}

/// The model and those of its weights that are asked for, by name.
fn read(from: &FromConfig, device: &Device) -> Result<(Model, BTreeMap<String, Tensor>)> {
    read_model(Path::new(&from.model), |folder| {
        let model = load_from(folder.into(), device)?;
        let values = match from.weights {
            FromWeights::Averaged => {
                let named =
                    |(name, var): (&str, &candle_core::Var)| (name.to_string(), var.as_tensor().clone());
                model.loaded.parameters.iter().map(named).collect()
            }
            FromWeights::Raw => checkpoint::raw_weights(folder, device)?,
        };
        Ok((model, values))
    })
}

/// Where the run asks something else of the network than what it learnt: weights do not tell, so that nothing fails.
fn differences(model: &Model, trainer: &Trainer) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let (learnt, asked) = (model.scheduler.prediction()?, trainer.diffusion().prediction);
    if learnt != asked {
        found.push(format!("the model predicts {learnt}, and this run trains it for {asked}"));
    }
    if model.scheduler.noise_schedule()? != *trainer.schedule() {
        found.push("the noise schedule is not the model's: its timesteps mean other noise".into());
    }
    if NetworkConfig::of(model.loaded.unet.config())? != NetworkConfig::of(trainer.unet().config())? {
        found.push("the network differs from the model's where weights do not show it (see [model])".into());
    }
    Ok(found)
}

/// Puts the rows of the class embedding in the order of the new classes, the null label's last.
fn carry_classes(
    values: &mut BTreeMap<String, Tensor>,
    model: &Model,
    data: &Splits,
    trainer: &Trainer,
    device: &Device,
) -> Result<CarriedClasses> {
    let names = data.train.classes();
    let (kept, new) = names.iter().cloned().partition(|name| model.classes.contains(name));
    let dropped = model.classes.iter().filter(|name| !names.contains(name)).cloned().collect();
    let carried = CarriedClasses { kept, new, dropped };
    let rows: Vec<Vec<f32>> = match values.remove(CLASS_ROWS) {
        Some(table) => table.to_dtype(candle_core::DType::F32)?.to_vec2()?,
        None => {
            // A network without classes begins as it is: nothing is added to its embedding of time.
            if let Some(table) = trainer.parameters().get(CLASS_ROWS) {
                values.insert(CLASS_ROWS.into(), table.as_tensor().zeros_like()?);
            }
            return Ok(carried);
        }
    };
    let width = rows.first().map_or(0, Vec::len);
    // Without label dropout, the null label's row is there and was never trained.
    let known = &rows[..model.classes.len().min(rows.len())];
    let mean = |i: usize| known.iter().map(|row| row[i]).sum::<f32>() / known.len().max(1) as f32;
    let null: Vec<f32> = match model.null_label {
        Some(row) => rows[row as usize].clone(),
        None => (0..width).map(mean).collect(),
    };
    let spread = spread(known, &null);
    let row_of = |name: &String| match model.classes.iter().position(|class| class == name) {
        Some(row) => rows[row].clone(),
        None => {
            let mut draws = Draws::new(trainer.options().seed, &format!("row of the new class {name}"), 0);
            null.iter().map(|value| value + (spread * draws.normal()) as f32).collect()
        }
    };
    let ordered: Vec<f32> = names.iter().map(row_of).chain([null.clone()]).flatten().collect();
    values.insert(CLASS_ROWS.into(), Tensor::from_vec(ordered, (names.len() + 1, width), device)?);
    Ok(carried)
}

/// How far the rows of classes are from the null label's, in each number: the root of the mean square.
fn spread(rows: &[Vec<f32>], null: &[f32]) -> f64 {
    let squares = rows.iter().flat_map(|row| row.iter().zip(null).map(|(a, b)| f64::from(a - b).powi(2)));
    (squares.sum::<f64>() / (rows.len() * null.len()).max(1) as f64).sqrt()
}

/// Adapts the first and the last layer from grey to colour, or from colour to grey: a colour image of equal channels
/// is seen as the grey one, and a grey one is drawn with equal channels.
fn carry_channels(
    values: &mut BTreeMap<String, Tensor>,
    model: &Model,
    data: &Splits,
) -> Result<Option<[usize; 2]>> {
    let (there, here) = (model.loaded.unet.config().in_channels, data.train.shape().channels);
    if there == here {
        return Ok(None);
    }
    // Other numbers have no such meaning; the shapes then tell that they do not fit.
    if (there, here) == (1, 3) || (there, here) == (3, 1) {
        if let Some(value) = values.get_mut(CONV_IN) {
            *value = match here {
                1 => value.sum_keepdim(1)?,
                _ => (value.repeat((1, here, 1, 1))? / here as f64)?,
            };
        }
        for name in CONV_OUT {
            if let Some(value) = values.get_mut(name) {
                *value = match here {
                    1 => value.mean_keepdim(0)?,
                    _ => Tensor::cat(&vec![&*value; here], 0)?,
                };
            }
        }
    }
    Ok(Some([there, here]))
}

/// Refuses weights of another network, by the first tensor in the order of names.
fn check_fit(
    values: &BTreeMap<String, Tensor>,
    trainer: &Trainer,
    model: &Model,
    data: &Splits,
) -> Result<()> {
    let (there, here) = (model.loaded.unet.config().in_channels, data.train.shape().channels);
    let refuse = |difference: String| {
        let fix = match there == here || [there, here] == [1, 3] || [there, here] == [3, 1] {
            true => "without a [model] of one's own, the run takes the model's network".into(),
            false => format!("the model is for images of {there} channels, and these have {here}"),
        };
        let reason = format!("does not fit the run's network: {difference}; {fix}");
        Err(TrainError::Checkpoint { path: model.folder.clone(), reason }.into())
    };
    let parameters = trainer.parameters();
    let drawn = trainer.ema_parameters();
    for (name, var) in drawn.iter() {
        match values.get(name) {
            None => return refuse(format!("{name} is not in the model, {:?} in the run", var.dims())),
            Some(value) if value.dims() != var.dims() => {
                return refuse(format!(
                    "{name} is {:?} in the model, {:?} in the run",
                    value.dims(),
                    var.dims()
                ));
            }
            Some(_) => (),
        }
    }
    match values.iter().find(|(name, _)| parameters.get(name).is_none()) {
        Some((name, value)) => refuse(format!("{name} is {:?} in the model, not in the run", value.dims())),
        None => Ok(()),
    }
}
