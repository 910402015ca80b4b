//! What samples are measured with: a classifier of the data, and the real images.

use crate::config::RunConfig;
use crate::error::{Result, option, setting};
use crate::model::Model;
use crate::run_folder::CONFIG;
use candle_core::{Device, Tensor};
use duet_data::{Dataset, LabelKind, Splits};
use duet_eval::{
    Bootstrap, Classed, ClippedDensityCoverage, Closeness, ConfidenceInterval, Confusion, CopyCounts,
    DENSITY_COVERAGE_K, Features, Gaussian, KernelDistance, Manifold, Memorisation, PRECISION_RECALL_K,
    TwoSample, clipped_density_coverage, copies, density_coverage, frechet_distance, halves, in_proportion,
    memorisation_beside, nearest, precision_recall, two_sample_test,
};
use duet_judge::{Architecture, Augmentation, Classifier, ClassifierError, TrainingOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Images whose features are taken at once.
const AT_ONCE: usize = 1000;
/// Real images that samples are compared with, at most: distances between all pairs are looked at.
const MOST_HELD_OUT: usize = 10_000;
/// The nearest of fewer held-out images would be all of them.
pub const FEWEST_HELD_OUT: usize =
    if PRECISION_RECALL_K > DENSITY_COVERAGE_K { PRECISION_RECALL_K } else { DENSITY_COVERAGE_K } + 1;
/// Resamples for the intervals.
const RESAMPLES: usize = 200;
/// A sample counts as copied that is closer to a training image than all but this share of its class's
/// held-out images are.
const COPIED: f64 = 0.01;
/// A classifier that is trained for a run's data, in the run's folder; those for other data have the
/// key of their training in their names.
const JUDGE: &str = "judge";
const SECOND_JUDGE: &str = "judge-second";
/// Of the second judge's network and of the draw of its images.
const SECOND_SEED: u64 = 1;
/// Parts of the samples that are compared with half of the held-out images, at most.
const MOST_PARTS: usize = 10;
/// Passes over the data that such a classifier is trained for.
const EPOCHS: u64 = 12;

/// The real images, and the classifier in whose features samples are compared with them.
pub struct Yardstick {
    /// The data.
    pub splits: Splits,
    /// By which things are chosen; none where no classifier can tell these images apart.
    pub judge: Option<Judge>,
    /// The folder of the run, where classifiers are kept.
    run: Option<PathBuf>,
    /// By which nothing is chosen: made where it is first asked for.
    second: OnceLock<Judge>,
    /// The same for all samples, and as expensive as they are.
    honest: OnceLock<HonestDistances>,
}

/// How close the held-out images are to training images, pixel by pixel.
struct HonestDistances {
    /// Of each to the nearest.
    distances: Vec<f64>,
    /// Whether each seems to be a copy; none where the training images are all equal.
    copies: Option<Vec<bool>>,
    classes: Vec<u32>,
}

impl HonestDistances {
    fn of(held_out: &Dataset, training: &Features) -> Result<Self> {
        let (images, classes) = tensors(held_out)?;
        let images = pixels(&images)?;
        let distances = nearest(&images, training)?.iter().map(|near| near.distance).collect();
        Ok(Self { distances, copies: copies(&images, training)?, classes })
    }
}

/// A classifier, and what it sees in the held-out images.
pub struct Judge {
    classifier: Classifier,
    /// Which training images it is fair to hold against it: all for the first judge, which has trained on them, and
    /// for the second those that it has not.
    comparable: Vec<usize>,
    held_out: Features,
    held_out_labels: Vec<u32>,
}

/// What is said of a set of samples.
pub struct Scores {
    /// Classes asked for and seen.
    pub confusion: Confusion,
    /// To the held-out images.
    pub frechet: f64,
    /// Share of samples within the real images' manifold.
    pub precision: f64,
    /// Share of real images within the samples' manifold.
    pub recall: f64,
    /// How many real neighbourhoods hold a sample, in units of what real images have.
    pub density: f64,
    /// Share of real neighbourhoods that hold a sample.
    pub coverage: f64,
    /// The class that each sample is taken for.
    pub answered: Vec<u32>,
}

/// Why drawn images cannot be compared with the held-out ones, if they cannot.
pub fn too_few(data: &Splits) -> Option<String> {
    (data.test.len() < FEWEST_HELD_OUT).then(|| {
        let (name, count) = (&data.name, data.test.len());
        format!(
            "drawn images are compared with held-out ones, of which {name} has {count}; at least \
             {FEWEST_HELD_OUT} are needed"
        )
    })
}

/// Why no classifier can judge these images, if none can.
pub fn no_judge(data: &Splits) -> Option<String> {
    let (name, classes) = (&data.name, present(data).len());
    if classes < 2 {
        return Some(format!("a classifier tells classes apart, and {name} has images of {classes}"));
    }
    let takes = Classifier::takes(data.train.shape(), data.train.classes().len());
    takes.err().map(|error| format!("{name}: {error}"))
}

/// Refuses what has to be scored and cannot be.
///
/// # Errors
/// Of the option that asks for it: `name` in words joined by `-`, and `value`, empty or after a space.
pub fn check(data: &Splits, name: &'static str, value: &str) -> Result<()> {
    match too_few(data).or_else(|| no_judge(data)) {
        Some(reason) => Err(option(name, format!("{value}: {reason}"))),
        None => Ok(()),
    }
}

/// The classes that there are training images of: nothing is learnt of others.
pub fn present(data: &Splits) -> Vec<u32> {
    let counts = data.train.class_counts();
    (0..).zip(counts).filter(|(_, count)| *count > 0).map(|(class, _)| class).collect()
}

/// The classes of a model that there are training images of.
///
/// # Errors
/// Where the model knows another number of classes than the data.
pub fn labels_of(data: &Splits, model: &Model) -> Result<Vec<u32>> {
    let (classes, known) = (data.train.classes().len(), model.classes.len());
    match classes == known {
        true => Ok(present(data)),
        false => {
            Err(setting(format!("the data have {classes} classes, and the model knows {known}; see --data")))
        }
    }
}

/// How many images of each class make `n`.
pub fn each(n: usize, classes: usize) -> usize {
    n.div_ceil(classes.max(1)).max(1)
}

/// Images to draw of each of so many classes, to make `count` and not too few to be scored.
pub fn drawn_each(count: usize, classes: usize) -> usize {
    each(count.max(FEWEST_HELD_OUT), classes).max(2)
}

impl Yardstick {
    /// For the data of a run, to score what the option of this name (words joined by `-`) asks for. A classifier
    /// that has to be trained is kept in the run's folder.
    ///
    /// # Errors
    /// Where the images cannot be read, or nothing can be scored with them.
    pub fn new(run: Option<&Path>, option_name: &'static str) -> Result<Self> {
        let splits = Self::config(run, None, None)?.load_data()?;
        check(&splits, option_name, "")?;
        Self::of(splits, run)
    }

    /// For these images, of which not too few are held out.
    ///
    /// # Errors
    /// Where the classifier cannot be trained.
    pub fn of(splits: Splits, run: Option<&Path>) -> Result<Self> {
        let judge = match no_judge(&splits) {
            None => Some(Judge::new(&splits, run)?),
            Some(_) => None,
        };
        let run = run.map(Path::to_path_buf);
        Ok(Self { splits, judge, run, second: OnceLock::new(), honest: OnceLock::new() })
    }

    /// The judge that reports alone, with which no setting, checkpoint or image is chosen; none where there is no first.
    ///
    /// For the digits it is [`Classifier::second_digits`]. For other data it is a network of another architecture and
    /// seed, trained on a drawn half of each class's training images, and kept in the run's folder.
    ///
    /// # Errors
    /// Where the classifier cannot be trained.
    pub fn second(&self) -> Result<Option<&Judge>> {
        if self.judge.is_none() {
            return Ok(None);
        }
        match self.second.get() {
            Some(second) => Ok(Some(second)),
            None => {
                let found = Judge::second(&self.splits, self.run.as_deref())?;
                Ok(Some(self.second.get_or_init(|| found)))
            }
        }
    }

    /// What the scores depend on besides the samples.
    pub fn key(&self) -> String {
        format!("{} {}", self.splits.train.fingerprint(), self.splits.test.fingerprint())
    }

    /// The classifier, where there has to be one.
    ///
    /// # Errors
    /// Where no classifier can tell these images apart.
    pub fn judge(&self) -> Result<&Judge> {
        let none = || setting(no_judge(&self.splits).unwrap_or_default());
        self.judge.as_ref().ok_or_else(none)
    }

    /// The configuration that says what the data are: the run's, or with other `data`, and where these
    /// have two labels with this one.
    ///
    /// # Errors
    /// Where the run's configuration cannot be read.
    pub fn config(run: Option<&Path>, data: Option<&str>, label: Option<LabelKind>) -> Result<RunConfig> {
        let mut config = match run {
            Some(run) => RunConfig::load(&run.join(CONFIG))?.0,
            None => RunConfig::preset("digits")?,
        };
        if let Some(data) = data {
            config.data.source = data.into();
        }
        config.data.label = label.or(config.data.label);
        Ok(config)
    }

    /// How close samples are to training images, pixel by pixel, beside how close held-out ones of the
    /// class that was asked for are; and how many of either are copies, which is not known where the training images
    /// are all equal.
    ///
    /// # Errors
    /// Where images and classes are not equally many, or a value is not finite.
    pub fn memorisation(&self, images: &Tensor, asked: &[u32]) -> Result<(Memorisation, Option<CopyCounts>)> {
        let train = pixels(&tensors(&self.splits.train)?.0)?;
        let held_out = match self.honest.get() {
            Some(held_out) => held_out,
            None => {
                let found = HonestDistances::of(&at_most(&self.splits.test, MOST_HELD_OUT), &train)?;
                self.honest.get_or_init(|| found)
            }
        };
        let samples = pixels(&images.clamp(-1f32, 1f32)?)?;
        let classed = Classed { features: &samples, classes: asked };
        let found = memorisation_beside(classed, (&held_out.distances, &held_out.classes), &train, COPIED)?;
        let counts = match (copies(&samples, &train)?, &held_out.copies) {
            (Some(copies), Some(real)) => Some(CopyCounts::new((&copies, asked), (real, &held_out.classes))?),
            _ => None,
        };
        Ok((found, counts))
    }
}

impl Judge {
    fn new(splits: &Splits, run: Option<&Path>) -> Result<Self> {
        let classifier = match is_digits(splits)? {
            true => Classifier::digits()?,
            false => trained(&splits.train, splits, (JUDGE, &own_training(TrainingOptions::digits())), run)?,
        };
        Self::of(classifier, (0..splits.train.len()).collect(), splits)
    }

    fn second(splits: &Splits, run: Option<&Path>) -> Result<Self> {
        if is_digits(splits)? {
            return Self::of(Classifier::second_digits()?, (0..splits.train.len()).collect(), splits);
        }
        let [seen, unseen] = halves(splits.train.labels(), SECOND_SEED);
        let options = TrainingOptions {
            architecture: Architecture::Plain,
            seed: SECOND_SEED,
            // As many images in all as the first judge sees.
            epochs: 2 * EPOCHS,
            ..own_training(TrainingOptions::digits())
        };
        let classifier = trained(&splits.train.select(&seen), splits, (SECOND_JUDGE, &options), run)?;
        Self::of(classifier, unseen, splits)
    }

    fn of(classifier: Classifier, comparable: Vec<usize>, splits: &Splits) -> Result<Self> {
        let (images, held_out_labels) = tensors(&at_most(&splits.test, MOST_HELD_OUT))?;
        let held_out = features(&classifier, &images)?;
        Ok(Self { classifier, comparable, held_out, held_out_labels })
    }

    /// The share of the held-out images of a data set that the classifier is right on.
    ///
    /// # Errors
    /// Where they are not of the data's shape.
    pub fn held_out_accuracy(&self, splits: &Splits) -> Result<f64> {
        Ok(self.classifier.accuracy(&at_most(&splits.test, MOST_HELD_OUT))?)
    }

    /// The classifier's features of images (n, C, H, W) in [-1, 1]; values outside count as the ends.
    ///
    /// # Errors
    /// Where they are not of the data's shape, or a value is not finite.
    pub fn features(&self, images: &Tensor) -> Result<Features> {
        features(&self.classifier, &images.clamp(-1f32, 1f32)?)
    }

    /// The class that the classifier takes each image (n, C, H, W) in [-1, 1] for; values outside count as the ends.
    ///
    /// # Errors
    /// Where they are not of the data's shape, or a value is not finite.
    pub fn answers(&self, images: &Tensor) -> Result<Vec<u32>> {
        Ok(self.classifier.classify(&images.clamp(-1f32, 1f32)?)?)
    }

    /// The quick metrics of samples, by their features and by the classes that were asked for.
    ///
    /// # Errors
    /// Where there are too few samples, or they are not of the data's shape and classes.
    pub fn scores(&self, images: &Tensor, samples: &Features, asked: &[u32]) -> Result<Scores> {
        let answered = self.answers(images)?;
        let classes = self.classifier.classes() as u32;
        let real = Manifold::new(&self.held_out, PRECISION_RECALL_K)?;
        let drawn = Manifold::new(samples, PRECISION_RECALL_K)?;
        let pr = precision_recall(&real, &drawn)?;
        let dc = density_coverage(&Manifold::new(&self.held_out, DENSITY_COVERAGE_K)?, samples)?;
        Ok(Scores {
            confusion: Confusion::new(asked, &answered, classes)?,
            frechet: frechet_distance(&Gaussian::fit(&self.held_out)?, &Gaussian::fit(samples)?)?,
            precision: pr.precision,
            recall: pr.recall,
            density: dc.density,
            coverage: dc.coverage,
            answered,
        })
    }

    /// The 95 % interval of the Fréchet distance under other draws of the same samples, as many of each
    /// class.
    ///
    /// Resamples repeat images, which makes the estimate's upward bias larger: the interval is moved
    /// down by what its middle is above the distance itself.
    ///
    /// # Errors
    /// Where there are too few samples, or features and classes are not equally many.
    pub fn frechet_interval(
        &self,
        samples: &Features,
        asked: &[u32],
        frechet: f64,
    ) -> Result<ConfidenceInterval> {
        let held_out = Gaussian::fit(&self.held_out)?;
        let bootstrap = |level: f64| Bootstrap { resamples: RESAMPLES, level, seed: 0 };
        let of = |indices: &[usize]| frechet_distance(&held_out, &Gaussian::fit(&samples.select(indices)?)?);
        let interval = bootstrap(0.95).interval_of_kinds(asked, of)?;
        let above = (interval.low + interval.high) / 2.0 - frechet;
        Ok(ConfidenceInterval { low: (interval.low - above).max(0.0), high: interval.high - above })
    }

    /// The 95 % interval of an accuracy under other draws of the same samples, as many of each class.
    ///
    /// # Errors
    /// Where there are no samples.
    pub fn accuracy_interval(&self, asked: &[u32], answered: &[u32]) -> Result<ConfidenceInterval> {
        let right = |&i: &usize| f64::from(u8::from(asked[i] == answered[i]));
        let of = |indices: &[usize]| Ok(indices.iter().map(right).sum::<f64>() / indices.len() as f64);
        Ok(Bootstrap { resamples: 1000, level: 0.95, seed: 0 }.interval_of_kinds(asked, of)?)
    }

    /// The features of `count` real images of each class of `train`: their distance is what no model has to beat. None
    /// where there are not as many. The first judge has trained on them, and may know them better; of the second's, only
    /// those count that it has not seen.
    ///
    /// # Errors
    /// Those of the classifier.
    pub fn training_features(&self, train: &Dataset, count: usize) -> Result<Option<Features>> {
        let chosen = train.select(&self.comparable).take_per_class(count);
        let classes = train.class_counts().iter().filter(|count| **count > 0).count();
        match chosen.len() < count * classes {
            true => Ok(None),
            false => self.features(&tensors(&chosen)?.0).map(Some),
        }
    }

    /// The Fréchet distance of features to the held-out images.
    ///
    /// # Errors
    /// Where there are fewer than two.
    pub fn frechet(&self, of: &Features) -> Result<f64> {
        Ok(frechet_distance(&Gaussian::fit(&self.held_out)?, &Gaussian::fit(of)?)?)
    }

    /// Samples and held-out images, as many of either, each beside the same other held-out images: (how many, beside how
    /// many, samples, held-out images). None where half of the held-out images are too few.
    ///
    /// The held-out images are cut into two halves with as much of each class, which no judge has trained on. Each half
    /// is once the reference and once the real images that are compared with it. The samples are cut into up to ten
    /// parts of as many, of which the mean is taken.
    ///
    /// # Errors
    /// Where features and classes are not equally many.
    pub fn at_equal_counts(
        &self,
        samples: &Features,
        asked: &[u32],
    ) -> Result<Option<(usize, usize, Closeness, Closeness)>> {
        let parts = halves(&self.held_out_labels, 0);
        let reference = parts[1].len();
        let size = reference.min(samples.len());
        if size < FEWEST_HELD_OUT {
            return Ok(None);
        }
        let half = |i: usize| self.held_out.select(&parts[i][..reference]);
        let references = [half(0)?, half(1)?];
        let (mut real, mut drawn) = (Vec::new(), Vec::new());
        for (i, reference) in references.iter().enumerate() {
            real.push(Closeness::new(reference, &self.held_out.select(&parts[1 - i][..size])?)?);
        }
        let order = in_proportion(asked, 0);
        let all: Vec<&[usize]> = order.chunks_exact(size).take(MOST_PARTS).collect();
        for (i, part) in all.iter().enumerate() {
            let part = samples.select(part)?;
            // One part alone is compared with both halves.
            let with = if all.len() == 1 { 0..2 } else { i % 2..i % 2 + 1 };
            for reference in &references[with] {
                drawn.push(Closeness::new(reference, &part)?);
            }
        }
        let means = Closeness::mean(&drawn).zip(Closeness::mean(&real));
        Ok(means.map(|(drawn, real)| (size, reference, drawn, real)))
    }

    /// Whether a classifier of these features tells held-out images from samples.
    ///
    /// # Errors
    /// Where there are fewer than ten of either.
    pub fn two_sample(&self, samples: &Features) -> Result<TwoSample> {
        Ok(two_sample_test(&self.held_out, samples, 0)?)
    }

    /// Clipped density and coverage beside the held-out images.
    ///
    /// # Errors
    /// Where there are too few samples.
    pub fn clipped(&self, samples: &Features) -> Result<ClippedDensityCoverage> {
        Ok(clipped_density_coverage(&Manifold::new(&self.held_out, DENSITY_COVERAGE_K)?, samples)?)
    }

    /// The Fréchet distance of each class's samples to its held-out images; none of a class with too
    /// few of either.
    pub fn frechet_by_class(&self, samples: &Features, asked: &[u32]) -> Vec<Option<f64>> {
        let of = |class: u32| {
            let real = Gaussian::fit(&self.held_out.of_class(&self.held_out_labels, class).ok()?).ok()?;
            let drawn = Gaussian::fit(&samples.of_class(asked, class).ok()?).ok()?;
            frechet_distance(&real, &drawn).ok()
        };
        (0..self.classifier.classes() as u32).map(of).collect()
    }

    /// The kernel distance to the held-out images, and its 95 % interval under other draws of both.
    ///
    /// # Errors
    /// Where there are fewer than two samples, or features and classes are not equally many.
    pub fn kernel_distance(&self, samples: &Features, asked: &[u32]) -> Result<(f64, ConfidenceInterval)> {
        let found = KernelDistance::new(&self.held_out, samples)?;
        let bootstrap = Bootstrap { resamples: 1000, level: 0.95, seed: 0 };
        Ok((found.value(), found.interval((&self.held_out_labels, asked), bootstrap)?))
    }
}

fn is_digits(splits: &Splits) -> Result<bool> {
    Ok(splits.train.fingerprint() == duet_data::digits()?.train.fingerprint())
}

/// The options of a judge of a run's own data. Which changes leave a class alone is not known of any data: left and
/// right may be classes.
fn own_training(options: TrainingOptions) -> TrainingOptions {
    TrainingOptions { epochs: EPOCHS, augmentation: Augmentation::None, ..options }
}

/// A classifier of these images, trained with these options, from a file of this name in the run's folder if one is of
/// them: the file has the hash of images, labels and options in it.
fn trained(
    data: &Dataset,
    splits: &Splits,
    (name, options): (&str, &TrainingOptions),
    run: Option<&Path>,
) -> Result<Classifier> {
    let key = Classifier::training_key(data, options);
    let names = [format!("{name}.safetensors"), format!("{name}-{}.safetensors", &key[..16])];
    let paths = run.map(|run| names.map(|name| run.join(name)));
    // The first that is not of other data.
    let mut free = None;
    for path in paths.iter().flatten() {
        match kept(path, &key) {
            Kept::This(classifier) => return Ok(*classifier),
            Kept::None => drop(free.get_or_insert(path)),
            Kept::Other => {}
        }
    }
    let (count, epochs) = (data.len(), options.epochs);
    log::info!("training a classifier of {} to judge with, on {count} images", splits.name);
    let classifier = Classifier::train(data, options, |epoch, loss| {
        log::info!("epoch {epoch} of {epochs}: loss {loss:.4}");
    })?;
    let accuracy = classifier.accuracy(&splits.test)?;
    log::info!("it is right on {:.2} % of the held-out images", 100.0 * accuracy);
    if let Some(Err(error)) = free.map(|path| classifier.save_for(path, &key)) {
        log::warn!("the classifier is not kept, so it is trained again next time: {error}");
    }
    Ok(classifier)
}

/// What the file of a classifier has.
enum Kept {
    This(Box<Classifier>),
    /// A classifier of other data.
    Other,
    /// Nothing to keep.
    None,
}

/// The classifier with this key. Whatever else is there does not matter: it can be trained again.
fn kept(path: &Path, key: &str) -> Kept {
    match Classifier::load_for(path, key) {
        Ok(Some(classifier)) => Kept::This(Box::new(classifier)),
        Ok(None) => Kept::Other,
        Err(ClassifierError::Read { cause, .. }) if cause.kind() == ErrorKind::NotFound => Kept::None,
        Err(error) => {
            log::warn!("{error}; the classifier is trained again");
            Kept::None
        }
    }
}

/// A data set, or as many of each class as make about `count`.
fn at_most(data: &Dataset, count: usize) -> Dataset {
    match data.len() <= count {
        true => data.clone(),
        false => data.take_per_class((count / data.classes().len()).max(1)),
    }
}

/// Images (n, C, H, W) in [-1, 1] and labels.
///
/// # Errors
/// Those of candle.
pub fn tensors(data: &Dataset) -> Result<(Tensor, Vec<u32>)> {
    let shape = data.shape();
    let mut values = vec![0f32; data.len() * shape.len()];
    for (i, values) in values.chunks_exact_mut(shape.len()).enumerate() {
        data.image(i, values);
    }
    let dims = (data.len(), shape.channels, shape.height, shape.width);
    Ok((Tensor::from_vec(values, dims, &Device::Cpu)?, data.labels().to_vec()))
}

fn features(classifier: &Classifier, images: &Tensor) -> Result<Features> {
    let count = images.dims()[0];
    let mut values = Vec::with_capacity(count * Classifier::FEATURES);
    for first in (0..count).step_by(AT_ONCE) {
        let part = classifier.features(&images.narrow(0, first, AT_ONCE.min(count - first))?)?;
        values.extend(part.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(Features::new(values, Classifier::FEATURES)?)
}

fn pixels(images: &Tensor) -> Result<Features> {
    let count = images.dims()[0];
    let values = images.flatten_all()?.to_vec1::<f32>()?;
    let dims = values.len() / count.max(1);
    Ok(Features::new(values, dims)?)
}
