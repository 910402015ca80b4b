//! What the images of a drawing begin with: class, seed, noise and weight of each.

use crate::choice::Choice;
use crate::draw::counted;
use crate::drawing::Drawing;
use crate::error::{Result, option, setting};
use crate::file_names::{self, ClassFiles};
use crate::files::read_tensors;
use crate::inputs::Inputs;
use crate::model::Model;
use crate::settings;
use candle_core::{DType, Device, Tensor};
use duet_data::{DataError, ImageSize, MAX_PIXELS, Raster};
use duet_model::{Purpose, UNetConfig};
use duet_sample::{Ends, Guidance, Interpolation, Inversion, Known, Labels, Networks, Seeds};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

/// Images in a row where nothing says how many.
const COLUMNS: usize = 8;

/// What the trajectories begin with.
pub struct Start {
    /// None for an unconditional network.
    pub labels: Option<Labels>,
    pub seeds: Vec<u64>,
    pub shape: (usize, usize, usize),
    /// For each image another seed and how far its noise is gone towards that one's, or nothing.
    pub towards: Vec<(u64, f64)>,
    /// Instead of the seeds'.
    pub noise: Option<Tensor>,
    /// One for each image, where there are several.
    pub weights: Vec<f64>,
    /// Images in a row of the grid.
    pub columns: usize,
    pub row_names: Vec<String>,
    pub column_names: Vec<String>,
    /// What each image's file is called, without its ending.
    pub stems: Vec<String>,
}

/// One image.
struct Image {
    parts: Option<Vec<(u32, f64)>>,
    seed: u64,
    /// Another seed, and how far its noise is gone towards.
    towards: Option<(u64, f64)>,
    weight: f64,
    stem: String,
}

impl Start {
    /// As the drawing says.
    pub fn new(drawing: &Drawing, model: &Model) -> Result<Self> {
        match &drawing.noise {
            Some(path) => Self::read(path, model),
            None => Self::drawn(drawing, model),
        }
    }

    /// Every class with every weight and every seed, or what is between two of them.
    fn drawn(drawing: &Drawing, model: &Model) -> Result<Self> {
        let Some(size) = model.loaded.unet.config().sample_size else {
            let path = model.loaded.folder.join("config.json");
            return Err(setting(format!(
                "{}: sample_size is null, so the image size is unknown; --noise has one",
                path.display()
            )));
        };
        let seeds = match drawing.invert {
            Some(_) => vec![0],
            None => drawing.seeds.to_vec(),
        };
        let choices = choices(drawing, model)?;
        let (config, (height, width)) = (model.loaded.unet.config(), size.sides());
        check_count(&[
            choices.len(),
            drawing.guidance.len(),
            seeds.len(),
            drawing.interpolate.map_or(1, |between| between.count()),
        ])?;
        let table = match drawing.interpolate {
            None => Table::of_seeds(&choices, &seeds, drawing),
            Some(between) => match between.ends() {
                Ends::Seeds => Table::between_seeds(&choices, &seeds, between, drawing)?,
                Ends::Classes => Table::between_classes(&choices, &seeds, between, drawing)?,
            },
        };
        table.start((config.in_channels, height, width))
    }

    /// As a file says; without seeds in it, 0 to n-1 are those of the noise on the way.
    fn read(path: &Path, model: &Model) -> Result<Self> {
        let config = model.loaded.unet.config();
        let refuse = |cause: String| DataError::Malformed {
            path: path.into(),
            cause,
            fix: "--save-noise writes such files".into(),
        };
        let mut tensors = read_tensors(path, refuse)?;
        let FromFile { noise, labels, seeds } = FromFile::of(&mut tensors, config).map_err(refuse)?;
        if let Some(name) = tensors.keys().next() {
            return Err(refuse(format!("has a tensor {name}; noise, labels and seeds are read")).into());
        }
        let (count, channels, height, width) = noise.dims4()?;
        let files = ClassFiles::new(&model.classes);
        let class = |i: usize| match &labels {
            Some(labels) => format!("class-{}_", files.of_class(labels[i])),
            None => String::new(),
        };
        Ok(Self {
            stems: (0..count).map(|i| format!("{}noise-{i}", class(i))).collect(),
            labels: labels.map(|labels| Labels::new(&labels)),
            seeds,
            shape: (channels, height, width),
            towards: Vec::new(),
            noise: Some(noise),
            weights: Vec::new(),
            columns: count.min(COLUMNS),
            row_names: Vec::new(),
            column_names: Vec::new(),
        })
    }
}

/// The tensors of a noise file.
struct FromFile {
    /// (n, C, H, W).
    noise: Tensor,
    /// None for an unconditional network.
    labels: Option<Vec<u32>>,
    seeds: Vec<u64>,
}

impl FromFile {
    /// Takes them out of the file's, if the network can go on from them.
    fn of(tensors: &mut BTreeMap<String, Tensor>, config: &UNetConfig) -> Result<Self, String> {
        let noise = tensors.remove("noise").ok_or("has no tensor noise")?;
        let &[count, channels, height, width] = noise.dims() else {
            return Err(format!("noise is {:?}, expected (n, C, H, W)", noise.dims()));
        };
        if !noise.dtype().is_float() || channels != config.in_channels || count == 0 {
            let (dims, dtype, inputs) = (noise.dims(), noise.dtype(), config.in_channels);
            return Err(format!(
                "noise is {dims:?} {dtype:?}, expected (n, {inputs}, H, W) F32, n at least 1"
            ));
        }
        config.check_pass(height, width).map_err(|error| error.to_string())?;
        let labels = match (config.num_class_embeds, tensors.remove("labels")) {
            (None, None) => None,
            (None, Some(_)) => return Err("has labels, and the model no classes".into()),
            (Some(_), None) => return Err("has no tensor labels, and the model has classes".into()),
            (Some(rows), Some(labels)) => Some(read_labels(&labels, count, rows)?),
        };
        let seeds = match tensors.remove("seeds") {
            None => (0..count as u64).collect(),
            Some(seeds) => {
                let seeds = read_integers("seeds", &seeds, count)?;
                seeds.into_iter().map(|seed| seed as u64).collect()
            }
        };
        Ok(Self { noise, labels, seeds })
    }
}

fn read_labels(labels: &Tensor, count: usize, rows: usize) -> Result<Vec<u32>, String> {
    let labels = read_integers("labels", labels, count)?;
    match labels.iter().find(|&&label| !(0..rows as i64).contains(&label)) {
        Some(label) => Err(format!("label {label}: the model has {rows} (0-{})", rows - 1)),
        None => Ok(labels.into_iter().map(|label| label as u32).collect()),
    }
}

/// One integer for each of `count` images.
fn read_integers(name: &str, values: &Tensor, count: usize) -> Result<Vec<i64>, String> {
    if values.dims() != [count] || values.dtype() != DType::I64 {
        let (dims, dtype) = (values.dims(), values.dtype());
        return Err(format!("{name} are {dims:?} {dtype:?}, expected [{count}] I64"));
    }
    values.to_vec1().map_err(|error| error.to_string())
}

/// The classes that were asked for; one nameless choice of an unconditional model.
fn choices(drawing: &Drawing, model: &Model) -> Result<Vec<Option<Choice>>> {
    match model.loaded.unet.config().num_class_embeds {
        Some(_) => Ok(drawing.class.choices(&model.classes)?.into_iter().map(Some).collect()),
        None if drawing.class.is_all() => Ok(vec![None]),
        None => {
            Err(option("class", format!(" {}: {} has no classes", drawing.class, model.folder.display())))
        }
    }
}

/// How many images a drawing asks for that begins with seeds.
pub fn count(drawing: &Drawing, model: &Model) -> Result<u64> {
    let choices = choices(drawing, model)?.len();
    let seeds = if drawing.invert.is_some() { 1 } else { drawing.seeds.to_vec().len() };
    let of_classes_and_seeds = match drawing.interpolate {
        None => [choices, seeds],
        Some(between) => match between.ends() {
            Ends::Seeds => [choices, between.count()],
            Ends::Classes => [between.count(), seeds],
        },
    };
    let numbers = of_classes_and_seeds.into_iter().chain([drawing.guidance.len().max(1)]);
    Ok(numbers.fold(1u64, |product, number| product.saturating_mul(number as u64)))
}

/// Refuses more images than are drawn at once: the product of how many there are of each.
fn check_count(numbers: &[usize]) -> Result<()> {
    let count = numbers.iter().try_fold(1u64, |product, &number| product.checked_mul(number as u64));
    match count.is_some_and(|count| count <= Seeds::MOST) {
        true => Ok(()),
        false => Err(setting(format!(
            "classes, weights and seeds ask for more than {} images; draw them in parts",
            Seeds::MOST
        ))),
    }
}

/// The grid, row by row.
struct Table {
    cells: Vec<Image>,
    rows: Vec<String>,
    columns: Vec<String>,
    several_weights: bool,
}

/// Class and weight as words.
fn names(choice: Option<&Choice>, weight: f64, several: bool) -> (String, String) {
    let weight = if several { format!("w {weight}") } else { String::new() };
    let (name, stem) = match choice {
        Some(choice) => (choice.name.as_str(), format!("class-{}_", choice.file_name)),
        None => ("", String::new()),
    };
    let stem = if several { format!("{stem}{}_", weight.replace(' ', "-")) } else { stem };
    (format!("{name} {weight}").trim().to_string(), stem)
}

impl Table {
    fn of_seeds(choices: &[Option<Choice>], seeds: &[u64], drawing: &Drawing) -> Self {
        let several_weights = drawing.guidance.len() > 1;
        let (mut cells, mut rows) = (Vec::new(), Vec::new());
        for choice in choices {
            for &weight in &drawing.guidance {
                let (name, stem) = names(choice.as_ref(), weight, several_weights);
                rows.push(name);
                cells.extend(seeds.iter().map(|&seed| Image {
                    parts: choice.as_ref().map(|choice| choice.parts.clone()),
                    seed,
                    towards: None,
                    weight,
                    stem: match drawing.invert {
                        Some(_) => format!("{stem}inverted"),
                        None => format!("{stem}seed-{seed}"),
                    },
                }));
            }
        }
        let columns = match drawing.invert {
            Some(_) => Vec::new(),
            None => seeds.iter().map(u64::to_string).collect(),
        };
        Self { cells, rows, columns, several_weights }
    }

    fn between_seeds(
        choices: &[Option<Choice>],
        seeds: &[u64],
        between: Interpolation,
        drawing: &Drawing,
    ) -> Result<Self> {
        let &[from, to] = seeds else {
            return Err(option("seeds", format!(" {}: two are needed to go between them", drawing.seeds)));
        };
        let several_weights = drawing.guidance.len() > 1;
        let (mut cells, mut rows) = (Vec::new(), Vec::new());
        for choice in choices {
            for &weight in &drawing.guidance {
                let (name, stem) = names(choice.as_ref(), weight, several_weights);
                rows.push(name);
                cells.extend(shares(between).map(|(k, u)| Image {
                    parts: choice.as_ref().map(|choice| choice.parts.clone()),
                    seed: from,
                    towards: Some((to, u)),
                    weight,
                    stem: format!("{stem}seeds-{from}-{to}_{k:03}"),
                }));
            }
        }
        let columns = shares(between).map(|(_, u)| format!("{u:.2}")).collect();
        Ok(Self { cells, rows, columns, several_weights })
    }

    fn between_classes(
        choices: &[Option<Choice>],
        seeds: &[u64],
        between: Interpolation,
        drawing: &Drawing,
    ) -> Result<Self> {
        let [Some(from), Some(to)] = choices else {
            return Err(option("class", format!(" {}: two are needed to go between them", drawing.class)));
        };
        let several_weights = drawing.guidance.len() > 1;
        let (mut cells, mut rows) = (Vec::new(), Vec::new());
        for &weight in &drawing.guidance {
            for &seed in seeds {
                let (name, stem) = names(None, weight, several_weights);
                rows.push(format!("seed {seed} {name}").trim().to_string());
                cells.extend(shares(between).map(|(k, u)| {
                    let scaled = |choice: &Choice, by: f64| {
                        choice
                            .parts
                            .iter()
                            .map(move |&(label, share)| (label, share * by))
                            .collect::<Vec<_>>()
                    };
                    let parts = [scaled(from, 1.0 - u), scaled(to, u)].concat();
                    // The ends cost one pass, not two.
                    let parts = parts.into_iter().filter(|(_, share)| *share != 0.0).collect();
                    let stem = format!("{stem}seed-{seed}_{k:03}");
                    Image { parts: Some(parts), seed, towards: None, weight, stem }
                }));
            }
        }
        let mut columns: Vec<String> = shares(between).map(|(_, u)| format!("{u:.2}")).collect();
        columns[0].clone_from(&from.name);
        columns[between.count() - 1].clone_from(&to.name);
        Ok(Self { cells, rows, columns, several_weights })
    }

    fn start(self, shape: (usize, usize, usize)) -> Result<Start> {
        let rows = self.rows.len().max(1);
        let cells = self.cells;
        let parts: Option<Vec<Vec<(u32, f64)>>> = cells.iter().map(|cell| cell.parts.clone()).collect();
        let seeds: Vec<u64> = cells.iter().map(|cell| cell.seed).collect();
        let towards = cells.iter().filter_map(|cell| cell.towards).collect();
        Ok(Start {
            labels: parts.map(Labels::mixtures).transpose()?,
            towards,
            noise: None,
            weights: match self.several_weights {
                true => cells.iter().map(|cell| cell.weight).collect(),
                false => Vec::new(),
            },
            columns: seeds.len() / rows,
            seeds,
            shape,
            row_names: self.rows,
            column_names: self.columns,
            stems: file_names::unique(cells.into_iter().map(|cell| cell.stem).collect()),
        })
    }
}

/// Places from 0 to 1, both included.
fn shares(between: Interpolation) -> impl Iterator<Item = (usize, f64)> {
    between.shares().into_iter().enumerate()
}

/// The picture of `--image` for every image, (n, C, H, W) in [-1, 1].
pub fn image(path: &Path, start: &Start, inputs: &Inputs, device: &Device) -> Result<Tensor> {
    let (channels, height, width) = start.shape;
    let values = read_image(path, start.shape, inputs)?.to_unit();
    let values = Tensor::from_vec(values, (1, channels, height, width), device)?;
    Ok(values.repeat((start.seeds.len(), 1, 1, 1))?)
}

/// The image and what of it is drawn anew: where the mask is white.
pub fn known(images: &Tensor, mask: &Path, start: &Start, inputs: &Inputs) -> Result<Known> {
    let (channels, height, width) = start.shape;
    let shares = read_image(mask, (1, height, width), inputs)?.pixels().as_slice().shares();
    let mask = Tensor::from_vec(shares, (1, 1, height, width), images.device())?;
    Ok(Known::new(images.clone(), mask.repeat((start.seeds.len(), channels, 1, 1))?)?)
}

/// An image file, fitted to this shape.
fn read_image(
    path: &Path,
    (channels, height, width): (usize, usize, usize),
    inputs: &Inputs,
) -> Result<Raster> {
    if ![1, 3].contains(&channels) {
        let path = path.display();
        return Err(setting(format!(
            "{path}: the model's images have {channels} channels, and files have 1 or 3"
        )));
    }
    let refuse = |error: DataError| DataError::Malformed {
        path: path.into(),
        cause: error.to_string(),
        fix: "convert it to PNG, or use another".into(),
    };
    let raster = Raster::decode(&inputs.picture(path)?, MAX_PIXELS).map_err(refuse)?;
    Ok(raster.fitted(channels, ImageSize::new(height, width)?)?)
}

/// The noise of which DDIM makes the image (1, C, H, W), and the evaluations that finding it took; `on_step` may end it.
pub fn inverted(
    drawing: &Drawing,
    model: &Model,
    (image, iterations): (&Tensor, usize),
    on_step: &mut dyn FnMut() -> Result<()>,
) -> Result<(Tensor, usize)> {
    let unet = &model.loaded.unet;
    let label = match (&drawing.invert_class, unet.config().num_class_embeds) {
        (_, None) => None,
        (Some(class), _) => Some(class.label("invert-class", &model.classes)?),
        (None, _) => match model.null_label {
            Some(label) => Some(label),
            None => {
                return Err(option("invert", ": the model has no null label, so --invert-class is needed"));
            }
        },
    };
    let labels = label.map(|label| Labels::new(&[label]));
    let network = unet.snapshot(Purpose::Prediction)?;
    let evaluations = Cell::new(0);
    let mut denoise = counted(&network, &evaluations);
    let mut inversion =
        Inversion::new(settings::inverted(drawing, model)?, image.clone(), labels, iterations)?;
    while !inversion.is_done() {
        on_step()?;
        inversion.step(&Guidance::new(1.0, None), Networks { denoise: &mut denoise, guide: None })?;
    }
    Ok((inversion.x().clone(), evaluations.get()))
}
