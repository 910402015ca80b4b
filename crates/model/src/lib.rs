//! The time-embedded residual U-Net of diffusers' `UNet2DModel`, on candle.
//!
//! A [`UNetConfig`] is diffusers' `config.json`. A [`UNet`] computes what `UNet2DModel` computes, and its
//! parameters have the same names and shapes. Python and Rust therefore read the same model folders. Each
//! class is a row of the class embedding. For classifier-free guidance the table has one more row, the
//! *null label*. [`UNet::to_onnx`] writes the network for other programs.
//!
//! ```no_run
//! # fn main() -> Result<(), duet_model::ModelError> {
//! use candle_core::{Device, Tensor};
//! let model = duet_model::load_folder("runs/00001-digits/checkpoints/step-000500".as_ref(), &Device::Cpu)?;
//! let x = Tensor::randn(0f32, 1.0, (1, 1, 28, 28), &Device::Cpu)?;
//! let (t, label) = (Tensor::new(&[999u32], &Device::Cpu)?, Tensor::new(&[3u32], &Device::Cpu)?);
//! let prediction = model.unet.forward(&x, &t, Some(&label))?;
//! # Ok(()) }
//! ```

mod attention;
mod block;
mod chunks;
mod config;
mod error;
mod folder;
mod footprint;
mod graph;
mod layers;
mod memory;
mod onnx;
mod parameters;
mod partial;
mod residual;
mod snapshot;
mod tensors;
mod time_embedding;
mod unet;
mod waves;
mod weights;

pub use chunks::chunks;
pub use config::{SampleSize, UNetConfig};
pub use error::ModelError;
pub use folder::{
    CONFIG_FILE, LoadedModel, load_bytes, load_files, load_folder, read_folder_config, weights_to_bytes,
};
pub use footprint::Footprint;
pub use memory::{Memory, available_memory, check_memory, resident_memory};
pub use parameters::{Group, Parameters};
pub use partial::{PartialGradients, Ready, ValueAndGradients, gradients_of, whole_gradients};
pub use snapshot::{Purpose, Snapshot};
pub use tensors::{read_tensors, tensors_from_bytes};
pub use unet::{AUGMENT_EMBEDDING, NetworkInputs, UNet};
pub use weights::{WEIGHTS_FILE, find_weights, move_class_row};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
