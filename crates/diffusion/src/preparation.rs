//! What a plan is made with, besides the drawing and the model.

use crate::error::Result;
use crate::inputs::Inputs;
use candle_core::Device;

/// How a drawing is made ready.
pub struct Preparation<'a, 'b> {
    /// Images at once, at least 1.
    pub batch: usize,
    /// Where the model is.
    pub device: &'a Device,
    /// Pictures that are not on disk.
    pub inputs: &'b Inputs,
    /// Called before each step on the way from an image to its noise. Its error ends the preparation and is returned.
    pub on_step: &'b mut dyn FnMut() -> Result<()>,
}
