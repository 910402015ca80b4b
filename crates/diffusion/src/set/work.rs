//! A set while it is drawn: which images are there, which are drawn next, and which of those are kept.

use crate::choice::ClassList;
use crate::draw::pictures;
use crate::drawing::Drawing;
use crate::error::{Result, setting};
use crate::file_names::ClassFiles;
use crate::files::{create_folder, remove_files};
use crate::inputs::read_picture;
use crate::job::drawing::{Part, Snapshots, parts};
use crate::job::lead::Job;
use crate::note::{Form, Note};
use crate::plan::{Plan, title_of};
use crate::set::manifest::{Asked, SetClass, SetManifest, share};
use crate::set::place::{Found, Place, SetFormat};
use crate::set::seeds::{ClassSeeds, MOST_DRAWN, ranges};
use crate::yardstick::Yardstick;
use candle_core::{Device, Tensor};
use duet_data::{Contents, DataError, Picture, Shape, save_idx, save_npz, texts_of_png};
use duet_files::is_temporary;
use duet_sample::Seeds;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How far a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetProgress {
    /// Images of the set that are there.
    pub kept: usize,
    /// Images of the whole set.
    pub count: usize,
    /// Images drawn since the work began.
    pub drawn: usize,
}

/// A class of the set.
pub struct Class {
    /// In the model.
    pub number: u32,
    pub name: String,
    pub folder: String,
    /// Images to keep.
    pub count: usize,
    pub seeds: ClassSeeds,
}

/// A set that is being drawn.
pub struct Work<'a> {
    plan: &'a Plan<'a>,
    snapshots: Snapshots<'a>,
    /// All of the model's classes.
    names: &'a [String],
    only_right: Option<&'a Yardstick>,
    asked: Asked,
    classes: Vec<Class>,
    folder: PathBuf,
    /// Images since the work began.
    pub drawn: usize,
}

impl<'a> Work<'a> {
    /// With what is there of the set.
    pub fn new(
        plan: &'a Plan,
        names: &'a [String],
        only_right: Option<&'a Yardstick>,
        (asked, classes): (Asked, Vec<Class>),
        place: &Place,
    ) -> Result<Self> {
        let snapshots = Snapshots::of(plan)?;
        let folder = place.work.clone();
        let mut work = Self { plan, snapshots, names, only_right, asked, classes, folder, drawn: 0 };
        work.look(place)?;
        Ok(work)
    }

    /// Finds out which images are there, and removes what a killed process has left half written.
    fn look(&mut self, place: &Place) -> Result<()> {
        remove_files(&self.folder, is_temporary)?;
        for i in 0..self.classes.len() {
            let folder = self.folder.join(&self.classes[i].folder);
            create_folder(&folder)?;
            remove_files(&folder, is_temporary)?;
            for seed in seeds_in(&folder)? {
                if self.classes[i].seeds.has(seed) && self.is_there(i, seed)? {
                    self.classes[i].seeds.learn(seed, true);
                }
            }
        }
        let Found::Some(manifest) = &place.found else { return Ok(()) };
        for (class, noted) in self.classes.iter_mut().zip(&manifest.classes) {
            let wrong = noted.wrong.iter().flat_map(Seeds::to_vec);
            wrong.for_each(|seed| class.seeds.learn(seed, false));
        }
        Ok(())
    }

    /// Whether the file of an image is that image, whole.
    fn is_there(&self, class: usize, seed: u64) -> Result<bool> {
        let Ok(bytes) = read_picture(&self.file(class, seed)) else { return Ok(false) };
        let texts = texts_of_png(&bytes).unwrap_or_default();
        let expected = self.texts(class, seed)?;
        let same = texts
            .iter()
            .map(|(key, text)| (key.as_str(), text))
            .eq(expected.iter().map(|(k, text)| (*k, text)));
        Ok(same && Picture::decode(&bytes).is_ok())
    }

    fn file(&self, class: usize, seed: u64) -> PathBuf {
        self.folder.join(&self.classes[class].folder).join(format!("{seed}.png"))
    }

    /// What an image says of itself: the same as one that is drawn alone.
    fn texts(&self, class: usize, seed: u64) -> Result<Vec<(&'static str, String)>> {
        let (number, names) = (self.classes[class].number, self.names);
        let (class, stem) = match self.plan.sampling.labels {
            Some(_) => {
                let file = ClassFiles::new(names).of_class(number);
                (ClassList::of(&[number], names), format!("class-{file}_seed-{seed}"))
            }
            None => (ClassList::all(), format!("seed-{seed}")),
        };
        let drawing =
            Drawing { class, seeds: Seeds::new(vec![seed..=seed])?, ..self.plan.note.drawing.clone() };
        let note = Note { drawing, ..self.plan.note.clone() };
        note.texts(Form::Image(0), &title_of(&stem), &self.plan.summary())
    }

    /// How far it is.
    pub fn progress(&self) -> SetProgress {
        let kept = self.classes.iter().map(|class| class.seeds.standing().kept.len()).sum();
        SetProgress { kept, count: self.asked.count as usize, drawn: self.drawn }
    }

    /// Draws the next images and keeps those that are right; whether there was anything to draw.
    pub fn batch(&mut self, on_step: &mut impl FnMut(SetProgress) -> Result<()>) -> Result<bool> {
        let ranks = self.plan.job().map_or(1, Job::size);
        let (batch, mut next) = (ranks * self.plan.sampling.batch, Vec::<(usize, u64)>::new());
        for (i, class) in self.classes.iter().enumerate() {
            let seeds = class.seeds.next(batch - next.len());
            if seeds.is_empty() && next.len() < batch {
                class.refuse_given_up()?;
            }
            next.extend(seeds.into_iter().map(|seed| (i, seed)));
        }
        if next.is_empty() {
            return Ok(false);
        }
        let pictures = self.pictures(&next, on_step)?;
        let right = self.right(&next, &pictures)?;
        for (&(i, seed), is_right) in next.iter().zip(&right) {
            self.classes[i].seeds.learn(seed, *is_right);
        }
        let kept = |class: &Class| -> HashSet<u64> { class.seeds.standing().kept.into_iter().collect() };
        let kept: Vec<_> = self.classes.iter().map(kept).collect();
        for (&(i, seed), picture) in next.iter().zip(&pictures) {
            // More may be right than are missing.
            if kept[i].contains(&seed) {
                picture.write_png_with(self.file(i, seed), &self.texts(i, seed)?)?;
            }
        }
        self.drawn += next.len();
        Ok(true)
    }

    fn pictures(
        &self,
        next: &[(usize, u64)],
        on_step: &mut impl FnMut(SetProgress) -> Result<()>,
    ) -> Result<Vec<Picture>> {
        let all = &self.plan.sampling;
        let numbers: Vec<u32> = next.iter().map(|&(i, _)| self.classes[i].number).collect();
        let labels = all.labels.as_ref().map(|_| numbers);
        let seeds: Vec<u64> = next.iter().map(|&(_, seed)| seed).collect();
        let progress = self.progress();
        let Some(job) = self.plan.job() else {
            let part = Part::Of { labels, seeds };
            let drawn = self.snapshots.draw(self.plan, &part, &mut |_| on_step(progress))?;
            return pictures(&drawn.images);
        };
        let parts = parts(next.len(), job.size(), all.batch).into_iter().map(|range| Part::Of {
            labels: labels.as_ref().map(|labels| labels[range.clone()].to_vec()),
            seeds: seeds[range].to_vec(),
        });
        let plan = (self.plan, &self.snapshots);
        pictures(&job.draw(plan, parts.collect(), &mut |_| on_step(progress))?.images)
    }

    /// Whether the judge takes each picture, as it is written, for its class.
    fn right(&self, next: &[(usize, u64)], pictures: &[Picture]) -> Result<Vec<bool>> {
        let Some(yardstick) = self.only_right else { return Ok(vec![true; next.len()]) };
        let values: Vec<f32> = pictures.iter().flat_map(Picture::to_unit).collect();
        let Picture { channels, height, width, .. } = pictures[0];
        let images = Tensor::from_vec(values, (pictures.len(), channels, height, width), &Device::Cpu)?;
        let answers = yardstick.judge()?.answers(&images)?;
        Ok(next.iter().zip(answers).map(|(&(i, _), answer)| self.classes[i].number == answer).collect())
    }

    /// What came of it so far.
    pub fn manifest(&self, finished: bool) -> Result<SetManifest> {
        let of_folders = self.asked.format == SetFormat::Folder.to_string();
        let classes = self.classes.iter().map(|class| class.noted(self.only_right.is_some(), of_folders));
        Ok(SetManifest::new(self.asked.clone(), classes.collect::<Result<_>>()?, finished))
    }

    /// Writes the files of a set that is no image folder.
    pub fn gather(&self, place: &Place) -> Result<()> {
        let kept: Vec<(usize, u64)> = (self.classes.iter().enumerate())
            .flat_map(|(i, class)| class.seeds.standing().kept.into_iter().map(move |seed| (i, seed)))
            .collect();
        let labels: Vec<u32> = kept.iter().map(|&(i, _)| i as u32).collect();
        let names: Vec<String> = self.classes.iter().map(|class| class.name.clone()).collect();
        let contents = Contents { shape: picture_shape(self.plan), labels: &labels, classes: &names };
        let image = |i: usize| {
            let path = self.file(kept[i].0, kept[i].1);
            let bytes = duet_files::read(&path, u64::MAX).map_err(|cause| DataError::Read { path, cause })?;
            Picture::decode(&bytes)
        };
        match place.format {
            SetFormat::Folder => Ok(()),
            SetFormat::Npz => Ok(save_npz(&place.out, contents, image)?),
            SetFormat::Idx => {
                create_folder(&place.out)?;
                Ok(save_idx(&place.out, contents, image)?)
            }
        }
    }
}

impl Class {
    /// Refuses to go on where too few of the class's images are right.
    fn refuse_given_up(&self) -> Result<()> {
        let standing = self.seeds.standing();
        if standing.is_whole {
            return Ok(());
        }
        let (kept, drawn) = (standing.kept.len(), standing.kept.len() + standing.wrong.len());
        Err(setting(format!(
            "class {}: the judge takes {kept} of {drawn} drawn images for this class, and {} are needed; at most {MOST_DRAWN} \
             are drawn for one that is kept, and of --seeds each once; guide more closely (--guidance), train longer, \
             or leave the class out (--class)",
            self.name, self.count
        )))
    }

    fn noted(&self, judged: bool, of_folders: bool) -> Result<SetClass> {
        let standing = self.seeds.standing();
        let (kept, wrong) = (standing.kept.len() as u64, standing.wrong.len() as u64);
        Ok(SetClass {
            name: self.name.clone(),
            number: self.number,
            folder: Some(self.folder.clone()).filter(|_| of_folders),
            count: self.count as u64,
            drawn: kept + wrong,
            kept,
            accuracy: if judged { share(kept, kept + wrong) } else { None },
            wrong: ranges(&standing.wrong)?,
        })
    }
}

/// The seeds that files of a folder are named for.
fn seeds_in(folder: &Path) -> Result<Vec<u64>> {
    let read = |cause| DataError::Read { path: folder.into(), cause };
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let seed = name.to_str().and_then(|name| name.strip_suffix(".png")?.parse::<u64>().ok());
        seeds.extend(seed);
    }
    Ok(seeds)
}

/// The shape of the pictures of a plan's images.
pub fn picture_shape(plan: &Plan) -> Shape {
    let (channels, height, width) = plan.sampling.shape;
    Shape { channels: if channels == 3 { 3 } else { 1 }, height, width }
}
