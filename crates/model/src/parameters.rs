//! The trainable parameters of a network, ordered by name.

use crate::config::UNetConfig;
use crate::error::ModelError;
use crate::time_embedding::TIME_PROJ;
use crate::unet::UNet;
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use duet_random::Draws;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Named parameters in the order of their names. They share their values with the network.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
    /// The names of parameters that training does not change: the random frequencies of `fourier`.
    frozen: BTreeSet<String>,
}

/// Trainable parameters by name.
pub type Group<'a> = Vec<(&'a str, &'a Var)>;

impl Parameters {
    /// The parameters by name, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The parameters that training changes, by name, in order.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.iter().filter(|(name, _)| !self.frozen.contains(*name))
    }

    /// The parameter of this name.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// Number of parameter tensors.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// Number of trainable values.
    pub fn count(&self) -> usize {
        self.trainable().map(|(_, var)| var.elem_count()).sum()
    }
}

/// The source of a network's values while it is built.
enum Source {
    /// Each value is drawn by (seed, name).
    Seed(u64),
    /// Each tensor is taken by name. A tensor left over at the end is an error.
    Tensors(BTreeMap<String, Tensor>),
}

/// The store behind a `VarBuilder`. It makes and remembers every parameter that the network asks for.
struct ParameterStore {
    source: Mutex<Source>,
    vars: Mutex<BTreeMap<String, Var>>,
}

impl SimpleBackend for ParameterStore {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let poisoned = || candle_core::Error::Msg("the parameter store was poisoned".into());
        let value = match &mut *self.source.lock().map_err(|_| poisoned())? {
            Source::Seed(seed) => initial_value(*seed, name, &shape, init, device)?.to_dtype(dtype)?,
            Source::Tensors(tensors) => match tensors.remove(name) {
                Some(tensor) if !tensor.dtype().is_float() => {
                    candle_core::bail!("{name} has values of type {:?}, expected F32", tensor.dtype())
                }
                Some(tensor) if tensor.shape() == &shape => tensor.to_device(device)?.to_dtype(dtype)?,
                Some(tensor) => {
                    candle_core::bail!("{name} is {:?}, expected {:?}", tensor.dims(), shape.dims())
                }
                None => candle_core::bail!("{name} is missing"),
            },
        };
        let var = Var::from_tensor(&value)?;
        let tensor = var.as_tensor().clone();
        self.vars.lock().map_err(|_| poisoned())?.insert(name.into(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match self.source.lock().as_deref() {
            Ok(Source::Tensors(tensors)) => tensors.contains_key(name),
            Ok(Source::Seed(_)) => true,
            Err(_) => false,
        }
    }
}

/// A parameter's first value. It depends only on the seed and the name.
fn initial_value(
    seed: u64,
    name: &str,
    shape: &Shape,
    init: Init,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let mut draws = Draws::new(seed, &format!("parameter {name}"), 0);
    let mut draw = || -> candle_core::Result<f64> {
        Ok(match init {
            Init::Const(value) => value,
            Init::Uniform { lo, up } => lo + (up - lo) * draws.uniform(),
            Init::Randn { mean, stdev } => mean + stdev * draws.normal(),
            Init::Kaiming { .. } => candle_core::bail!("{name}: Kaiming initialisation is not used here"),
        })
    };
    let values =
        (0..shape.elem_count()).map(|_| Ok(draw()? as f32)).collect::<candle_core::Result<Vec<f32>>>()?;
    Tensor::from_vec(values, shape, device)
}

impl UNet {
    /// A new network. `seed` and its name fix each parameter. The distributions are those of torch's
    /// layers: uniform in ±1/√fan_in for convolutions and linear layers, standard normal for the class
    /// embedding, ones and zeros for norms.
    ///
    /// Errors: as [`UNetConfig::validate`]; too little memory.
    pub fn seeded(config: &UNetConfig, seed: u64, device: &Device) -> Result<(Self, Parameters), ModelError> {
        build(config, 0, Source::Seed(seed), device)
    }

    /// The same network for training by augmented images: it is also told `count` numbers of each image, the
    /// *augment labels* (Karras et al. 2022, appendix F.2). A linear layer without bias,
    /// `augment_embedding.weight` (E, `count`), takes them to the embedding, beside the class.
    ///
    /// Where the numbers are 0, as in drawing, the layer adds 0. So the other parameters alone are the network
    /// that is saved, drawn from and loaded by diffusers; that leaves nothing out. All of them have the values of
    /// [`UNet::seeded`].
    ///
    /// Errors: as [`UNet::seeded`].
    pub fn seeded_with_augment_labels(
        config: &UNetConfig,
        count: usize,
        seed: u64,
        device: &Device,
    ) -> Result<(Self, Parameters), ModelError> {
        build(config, count, Source::Seed(seed), device)
    }

    /// A network with given parameters. Errors: a missing tensor, one of the wrong shape, one left over
    /// (the error names it); as [`UNetConfig::validate`].
    pub fn from_tensors(
        config: &UNetConfig,
        tensors: BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<(Self, Parameters), ModelError> {
        build(config, 0, Source::Tensors(tensors), device)
    }
}

impl UNetConfig {
    /// The number of values of the network's parameters. It is counted without making them.
    /// Errors: as [`UNetConfig::validate`]; a number that is too large to count.
    pub fn parameter_count(&self) -> Result<u64, ModelError> {
        Ok(without_parameters(self)?.1)
    }
}

/// The network without values, each of whose parameters is a view of one zero, and the number of values that it would
/// have. It can be run over shapes alone.
pub(crate) fn without_parameters(config: &UNetConfig) -> Result<(UNet, u64), ModelError> {
    config.validate()?;
    let counter = Arc::new(Counter::default());
    let shared = Counting(counter.clone());
    let unet = UNet::new(config, VarBuilder::from_backend(Box::new(shared), DType::F32, Device::Cpu))?;
    match counter.load(Ordering::Relaxed) {
        u64::MAX => Err(ModelError::Input("the network has more parameters than can be counted".into())),
        count => Ok((unet, count)),
    }
}

type Counter = AtomicU64;

/// Counts the values that a network asks for, and gives it views of one single value.
struct Counting(Arc<Counter>);

impl SimpleBackend for Counting {
    fn get(&self, s: Shape, _: &str, _: Init, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        let count = s.dims().iter().try_fold(1u64, |product, &side| product.checked_mul(side as u64));
        let sum = self.0.load(Ordering::Relaxed).checked_add(count.unwrap_or(u64::MAX));
        self.0.store(sum.unwrap_or(u64::MAX), Ordering::Relaxed);
        Tensor::zeros((), dtype, dev)?.broadcast_as(s)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

fn build(
    config: &UNetConfig,
    augment_labels: usize,
    source: Source,
    device: &Device,
) -> Result<(UNet, Parameters), ModelError> {
    // Weights from a file are in memory already and fit there.
    if let Source::Seed(_) = source {
        config.check_memory(1)?;
    }
    config.validate()?;
    let loads = matches!(source, Source::Tensors(_));
    let store = Arc::new(ParameterStore { source: Mutex::new(source), vars: Mutex::default() });
    let builder = VarBuilder::from_backend(Box::new(Shared(store.clone())), DType::F32, device.clone());
    let unet =
        UNet::new(config, builder.clone()).and_then(|unet| unet.with_augment_labels(augment_labels, builder));
    let unet = unet.map_err(|error| match without_backtrace(error) {
        candle_core::Error::Msg(message) if loads => ModelError::Weights(message),
        error => error.into(),
    })?;
    if let Ok(Source::Tensors(rest)) = store.source.lock().as_deref()
        && let Some(name) = rest.keys().next()
    {
        return Err(ModelError::Weights(format!("{name} is not part of this network ({} such)", rest.len())));
    }
    let vars = store.vars.lock().map(|mut vars| std::mem::take(&mut *vars)).unwrap_or_default();
    let frozen = (config.time_embedding_type == "fourier").then(|| TIME_PROJ.to_string());
    Ok((unet, Parameters { vars, frozen: frozen.into_iter().collect() }))
}

/// Unwraps the error that candle wraps if backtraces are enabled.
fn without_backtrace(error: candle_core::Error) -> candle_core::Error {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => without_backtrace(*inner),
        error => error,
    }
}

/// Shares the store: the builder owns its backend, but the store is read again after the network is built.
struct Shared(Arc<ParameterStore>);

impl SimpleBackend for Shared {
    fn get(
        &self,
        s: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        dev: &Device,
    ) -> candle_core::Result<Tensor> {
        self.0.get(s, name, init, dtype, dev)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        self.0.get_unchecked(name, dtype, dev)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}
