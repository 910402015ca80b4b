//! Sets of drawn images, to train or to measure with: a folder of images for each class, or files of arrays.

mod folders;
mod manifest;
mod place;
mod seeds;
mod work;

pub use manifest::{Asked, SetClass, SetManifest};
pub use place::SetFormat;
pub use work::SetProgress;

use crate::choice::ClassList;
use crate::drawing::{Drawing, first_seeds};
use crate::error::{Error, Result, option};
use crate::model::Model;
use crate::plan::Plan;
use crate::yardstick::{self, Yardstick};
use candle_core::Device;
use duet_data::Contents;
use duet_sample::Seeds;
use folders::folder_names;
use place::{Found, Place};
use seeds::ClassSeeds;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use work::{Class, Work, picture_shape};

/// The class of a model without classes.
const NO_CLASS: &str = "images";

/// A set that is asked for. What it is made of depends on all but `batch` and `device`.
pub struct SetDrawing<'a> {
    /// The classes, and how they are drawn. Its seeds do not count.
    pub drawing: &'a Drawing,
    /// The model.
    pub model: &'a Model,
    /// Images in all, spread evenly over the classes; where that does not come out even, the first classes have one
    /// more.
    pub count: usize,
    /// The seeds that each class draws from, in this order; without them from 0 on.
    pub seeds: Option<&'a Seeds>,
    /// Keeps only images that the judge takes for their class.
    pub only_right: Option<&'a Yardstick>,
    /// A folder, or a file of that form.
    pub out: &'a Path,
    /// As [`SetFormat::of`] has it.
    pub format: SetFormat,
    /// Images at once.
    pub batch: usize,
    /// Where the model is.
    pub device: &'a Device,
}

/// A whole set.
pub struct DrawnSet {
    /// What its manifest says.
    pub manifest: SetManifest,
    /// The manifest's file.
    pub path: PathBuf,
    /// Images that were there before.
    pub found: usize,
}

impl SetDrawing<'_> {
    /// Draws what is missing of the set: a set whose work was interrupted goes on, and ends in the same bytes.
    ///
    /// `on_step` sees how far it is, after each step of a batch and after each batch. An error of its own
    /// ([`Error::caller`]) ends the work and is returned; what is drawn by then is kept, but for one batch.
    ///
    /// # Errors
    /// Where options do not go together or with the model, where something else is at the place, where too few images
    /// of a class are right, and as [`Plan::new`].
    pub fn run(&self, mut on_step: impl FnMut(SetProgress) -> Result<()>) -> Result<DrawnSet> {
        let numbers = self.numbers()?;
        let plan = Plan::new(&self.one_of_each(&numbers), self.model, self.batch, self.device)?;
        let classes = self.classes(&numbers, &plan)?;
        let asked = self.asked(&plan)?;
        let mut place = Place::new(self.out, self.format, &asked)?;
        if let Found::All(manifest) = &place.found {
            let (manifest, path) = (manifest.clone(), place.manifest());
            return Ok(DrawnSet { manifest, path, found: self.count });
        }
        let names = &self.model.classes;
        let mut work = Work::new(&plan, names, self.only_right, (asked, classes), &place)?;
        work.manifest(false)?.write(&place.progress())?;
        let found = work.progress().kept;
        on_step(work.progress())?;
        while work.batch(&mut on_step)? {
            work.manifest(false)?.write(&place.progress())?;
            on_step(work.progress())?;
        }
        let manifest = work.manifest(true)?;
        work.gather(&place)?;
        manifest.write(&place.manifest())?;
        place.finish()?;
        Ok(DrawnSet { manifest, path: place.manifest(), found })
    }

    /// The numbers of the classes, in rising order; of a model without classes one.
    fn numbers(&self) -> Result<Vec<u32>> {
        let drawing = self.drawing;
        let begun = [
            ("noise", drawing.noise.is_some()),
            ("image", drawing.image.is_some()),
            ("invert", drawing.invert.is_some()),
            ("interpolate", drawing.interpolate.is_some()),
        ];
        if let Some((other, _)) = begun.into_iter().find(|(_, is_given)| *is_given) {
            return Err(Error::Excludes { name: "count", other });
        }
        if drawing.guidance.len() > 1 {
            return Err(option("guidance", ": a set has one weight; draw a set for each"));
        }
        if self.model.loaded.unet.config().num_class_embeds.is_none() {
            return self.check_count(vec![0]);
        }
        let choices = drawing.class.choices(&self.model.classes)?;
        if choices.iter().any(|choice| choice.parts.len() != 1) {
            let class = &drawing.class;
            return Err(option(
                "class",
                format!(" {class}: a set has no mixtures, as each image has one label"),
            ));
        }
        let mut numbers: Vec<u32> = choices.iter().map(|choice| choice.parts[0].0).collect();
        numbers.sort_unstable();
        if let Some(twice) = numbers.windows(2).find(|pair| pair[0] == pair[1]) {
            let name = &self.model.classes[twice[0] as usize];
            return Err(option("class", format!(" {}: {name} is named twice", drawing.class)));
        }
        self.check_count(numbers)
    }

    /// Refuses a class without images, and more images than there are seeds.
    fn check_count(&self, numbers: Vec<u32>) -> Result<Vec<u32>> {
        let (count, classes) = (self.count, numbers.len());
        if count < classes || count as u64 > Seeds::MOST {
            let most = Seeds::MOST;
            return Err(option(
                "count",
                format!(" {count}: must be {classes} (one of each class) to {most}"),
            ));
        }
        let most = ClassSeeds::new(count.div_ceil(classes), self.seeds, self.only_right.is_some()).most();
        match self.seeds {
            Some(seeds) if most < count.div_ceil(classes) => {
                let each = count.div_ceil(classes);
                Err(option("seeds", format!(" {seeds}: {most} seeds, and each class needs at least {each}")))
            }
            _ => Ok(numbers),
        }
    }

    /// An image of each class, by which all settings are found out and checked.
    fn one_of_each(&self, numbers: &[u32]) -> Drawing {
        let class = match self.model.loaded.unet.config().num_class_embeds {
            Some(_) => ClassList::of(numbers, &self.model.classes),
            None => self.drawing.class.clone(),
        };
        Drawing { class, seeds: first_seeds(1), ..self.drawing.clone() }
    }

    fn classes(&self, numbers: &[u32], plan: &Plan) -> Result<Vec<Class>> {
        let names: Vec<String> = numbers
            .iter()
            .map(|&number| {
                self.model.classes.get(number as usize).map_or(NO_CLASS, String::as_str).to_string()
            })
            .collect();
        let contents = Contents { shape: picture_shape(plan), labels: &[], classes: &names };
        let fits = match self.format {
            SetFormat::Folder => Ok(()),
            SetFormat::Npz => contents.check(),
            SetFormat::Idx => contents.check_idx(),
        };
        fits.map_err(|error| option("format", format!(" {}: {error}", self.format)))?;
        if let Some(yardstick) = self.only_right {
            self.check_judge(yardstick, numbers)?;
        }
        let folders = folder_names(&names);
        let (each, more) = (self.count / numbers.len(), self.count % numbers.len());
        let class = |(label, ((&number, name), folder)): (usize, ((&u32, String), String))| {
            let count = each + usize::from(label < more);
            let seeds = ClassSeeds::new(count, self.seeds, self.only_right.is_some());
            Class { number, name, folder, count, seeds }
        };
        Ok(numbers.iter().zip(names).zip(folders).enumerate().map(class).collect())
    }

    /// Refuses a judge of other classes.
    fn check_judge(&self, yardstick: &Yardstick, numbers: &[u32]) -> Result<()> {
        yardstick.judge()?;
        let known = yardstick::labels_of(&yardstick.splits, self.model)?;
        let names = yardstick.splits.train.classes();
        let differs = self.model.classes != names || numbers.iter().any(|number| !known.contains(number));
        match differs {
            true => Err(option(
                "only-right",
                ": the judge does not know the model's classes, as its data are others",
            )),
            false => Ok(()),
        }
    }

    fn asked(&self, plan: &Plan) -> Result<Asked> {
        let mut settings: Map<String, Value> =
            serde_json::from_value(serde_json::to_value(&plan.note.drawing)?)?;
        settings.retain(|key, value| {
            !value.is_null() && !["seeds", "scale", "no-captions"].contains(&key.as_str())
        });
        Ok(Asked {
            program: plan.note.version.clone(),
            model: plan.note.model.clone(),
            guide: plan.note.guide.clone(),
            settings,
            count: self.count as u64,
            seeds: self.seeds.cloned(),
            format: self.format.to_string(),
            only_right: self.only_right.map(Yardstick::key),
        })
    }
}
