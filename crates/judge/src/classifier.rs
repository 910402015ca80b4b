//! A classifier of images, which judges samples.

use crate::classifier_error::ClassifierError;
use crate::network::{Architecture, ClassifierNetwork, FEATURES, Layout, channels_last};
use crate::weights;
use candle_core::{DType, Device, Tensor};
use duet_data::{Dataset, Shape};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// The number of images that a thread takes at a time. Results do not depend on it.
const CHUNK: usize = 8;

/// A convolutional network that classifies images of one shape.
///
/// It is a small network of one [`Architecture`]. One linear layer turns its 128 features into scores. Its weights have half precision, so that a file is small and gives
/// the same results. Results are f32. They depend only on the image, not on its batch or on the number of
/// threads. Images are (n, C, H, W) f32 in [-1, 1]; a value that is not finite is an error.
pub struct Classifier {
    pub(crate) layout: Layout,
    /// The weights in f32, by name.
    pub(crate) parameters: BTreeMap<String, Tensor>,
    network: ClassifierNetwork,
}

impl std::fmt::Debug for Classifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Classifier").field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl Classifier {
    /// The number of features of an image: 128.
    pub const FEATURES: usize = FEATURES;

    pub(crate) fn new(layout: Layout, parameters: BTreeMap<String, Tensor>) -> Result<Self, ClassifierError> {
        let network = ClassifierNetwork::new(&layout, |name| parameters.get(name), false)?;
        Ok(Self { layout, parameters, network })
    }

    /// Checks that a classifier can take images of this shape and has `classes` classes. Errors: sides
    /// outside 8 to 4096; fewer than two classes.
    pub fn takes(shape: Shape, classes: usize) -> Result<(), ClassifierError> {
        Layout::new(Architecture::Residual, shape, classes).map(drop)
    }

    /// Its network.
    pub fn architecture(&self) -> Architecture {
        self.layout.architecture
    }

    /// The shape of its images.
    pub fn shape(&self) -> Shape {
        self.layout.shape
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.layout.classes
    }

    /// The most probable class of each image, `images` (n, C, H, W). Among equally probable classes it is
    /// the first.
    /// Errors: images of another shape; a value that is not finite.
    pub fn classify(&self, images: &Tensor) -> Result<Vec<u32>, ClassifierError> {
        let logits = self.logits(images)?;
        Ok(logits.chunks_exact(self.classes()).map(largest).collect())
    }

    /// The probabilities (n, classes) of the classes of `images` (n, C, H, W); each row's sum is 1.
    ///
    /// The training labels were smoothed, so that the most probable class stays below 1. Errors: as
    /// [`Classifier::classify`].
    pub fn probabilities(&self, images: &Tensor) -> Result<Tensor, ClassifierError> {
        let mut values = self.logits(images)?;
        let rows = values.len() / self.classes();
        values.chunks_exact_mut(self.classes()).for_each(softmax);
        Ok(Tensor::from_vec(values, (rows, self.classes()), &Device::Cpu)?)
    }

    /// The features (n, 128) of `images` (n, C, H, W): the inputs of the last layer. Errors: as
    /// [`Classifier::classify`].
    pub fn features(&self, images: &Tensor) -> Result<Tensor, ClassifierError> {
        let values = self.in_chunks(images, FEATURES, |features| features)?;
        let rows = values.len() / FEATURES;
        Ok(Tensor::from_vec(values, (rows, FEATURES), &Device::Cpu)?)
    }

    /// The share of a data set's images that are classified correctly; NaN for an empty set. Errors: images
    /// of another shape.
    pub fn accuracy(&self, data: &Dataset) -> Result<f64, ClassifierError> {
        const AT_ONCE: usize = 1000;
        let shape = data.shape();
        let mut right = 0;
        for first in (0..data.len()).step_by(AT_ONCE) {
            let range = first..data.len().min(first + AT_ONCE);
            let mut values = vec![0.0; range.len() * shape.len()];
            for (i, values) in range.clone().zip(values.chunks_exact_mut(shape.len())) {
                data.image(i, values);
            }
            let images = (range.len(), shape.channels, shape.height, shape.width);
            let classes = self.classify(&Tensor::from_vec(values, images, &Device::Cpu)?)?;
            right += classes.iter().zip(&data.labels()[range]).filter(|(a, b)| a == b).count();
        }
        Ok(right as f64 / data.len() as f64)
    }

    /// Reads a classifier that [`Classifier::save`] wrote.
    ///
    /// Errors: a file that cannot be read; more than 64 MiB; not safetensors; a tensor that is missing,
    /// unknown, of another shape or type; a value that is not finite.
    pub fn load(path: &Path) -> Result<Self, ClassifierError> {
        let bytes = weights::read(path)?;
        Self::from_bytes(&bytes).map_err(|error| in_file(path, error))
    }

    /// As [`Classifier::load`], from the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClassifierError> {
        let (layout, parameters) = weights::from_bytes(bytes)?;
        Self::new(layout, parameters)
    }

    /// Writes the weights to a safetensors file, as a whole or not at all. The loaded classifier gives the
    /// same results, and the same file. Errors: a file that cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ClassifierError> {
        weights::write(path, &self.to_bytes()?)
    }

    /// As [`Classifier::save`], for [`Classifier::load_for`]: the file also holds the key of its training,
    /// and a hash of all its content.
    pub fn save_for(&self, path: &Path, key: &str) -> Result<(), ClassifierError> {
        weights::write(path, &weights::to_bytes(&self.layout, &self.parameters, Some(key))?)
    }

    /// Reads a classifier that [`Classifier::save_for`] wrote for the training with this key; none if the
    /// file has another key.
    ///
    /// Errors: as [`Classifier::load`]; a file in which a bit has changed; a file without a key.
    pub fn load_for(path: &Path, key: &str) -> Result<Option<Self>, ClassifierError> {
        let named = |error| in_file(path, error);
        let (layout, parameters, found) = weights::from_keyed_bytes(&weights::read(path)?).map_err(named)?;
        match found {
            Some(found) if found == key => Self::new(layout, parameters).map(Some).map_err(named),
            Some(_) => Ok(None),
            None => Err(named(ClassifierError::Weights("it does not say what it was trained on".into()))),
        }
    }

    /// The bytes of the file that [`Classifier::save`] writes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ClassifierError> {
        weights::to_bytes(&self.layout, &self.parameters, None)
    }

    /// (n, classes)
    fn logits(&self, images: &Tensor) -> Result<Vec<f32>, ClassifierError> {
        self.in_chunks(images, self.classes(), |features| self.network.logits(&features))
    }

    /// Applies `then` to the features (n, 128). It returns `width` values for each image, in the order of
    /// the images.
    fn in_chunks(
        &self,
        images: &Tensor,
        width: usize,
        then: impl Fn(Vec<f32>) -> Vec<f32> + Sync,
    ) -> Result<Vec<f32>, ClassifierError> {
        let shape = self.shape();
        let values = self.values(images)?;
        let mut results = vec![0.0; values.len() / shape.len() * width];
        values.par_chunks(CHUNK * shape.len()).zip(results.par_chunks_mut(CHUNK * width)).for_each(
            |(values, results)| {
                let features = self.network.features(&channels_last(values, shape));
                results.copy_from_slice(&then(features));
            },
        );
        Ok(results)
    }

    /// Checks the images and returns their values.
    fn values(&self, images: &Tensor) -> Result<Vec<f32>, ClassifierError> {
        let Shape { channels, height, width } = self.shape();
        let fits = matches!(*images.dims(), [_, c, h, w] if (c, h, w) == (channels, height, width));
        if !fits || images.dtype() != DType::F32 {
            return Err(ClassifierError::Input(format!(
                "images are {:?} {:?}, this classifier takes [n, {channels}, {height}, {width}] F32",
                images.dims(),
                images.dtype()
            )));
        }
        let values = images.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(i) => Err(ClassifierError::Input(format!(
                "image {} has a value that is not finite: {}",
                i / self.shape().len(),
                values[i]
            ))),
            None => Ok(values),
        }
    }
}

/// Adds the file's path to an error about its bytes.
fn in_file(path: &Path, error: ClassifierError) -> ClassifierError {
    match error {
        ClassifierError::Weights(reason) => ClassifierError::File { path: path.into(), reason },
        error => error,
    }
}

fn largest(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (i, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = i;
        }
    }
    best as u32
}

/// exp(s - max) / Σ exp(s - max), in place.
pub(crate) fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}
