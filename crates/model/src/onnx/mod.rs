//! The network as an ONNX file, for onnxruntime and everything else that reads the format.

mod file;
mod graph;

use crate::error::ModelError;
use crate::graph::Given;
use crate::unet::UNet;
use candle_core::Result;
use file::{Side, Type};
use graph::{OnnxGraph, Value};
use std::collections::BTreeMap;

/// The names of the inputs and of the output, as optimum names those of diffusers' networks.
const SAMPLE: &str = "sample";
const TIMESTEP: &str = "timestep";
const CLASS_LABELS: &str = "class_labels";
const OUT_SAMPLE: &str = "out_sample";

impl UNet {
    /// The bytes of an ONNX file of the network, with its weights inside: operators of opset 17.
    ///
    /// Its inputs are those of [`UNet::forward`]: `sample` (B, C, H, W) f32, `timestep` (B) f32 and, for a network
    /// with a class embedding, `class_labels` (B) i64. Its output is `out_sample` (B, out_channels, H, W). Batch
    /// and sides are free at each run. A timestep for the `time_embedding_type` learned is cut down to an integer.
    /// `notes` become the model's metadata, as text by name.
    ///
    /// Errors: more than the 2 GiB that the format allows.
    pub fn to_onnx(&self, notes: &BTreeMap<String, String>) -> std::result::Result<Vec<u8>, ModelError> {
        let mut graph = OnnxGraph::default();
        let config = self.config();
        let images = |channels| {
            [Side::Free("batch"), Side::Fixed(channels), Side::Free("height"), Side::Free("width")]
        };
        graph.0.input(SAMPLE, Type::F32, &images(config.in_channels));
        graph.0.input(TIMESTEP, Type::F32, &[Side::Free("batch")]);
        let labels = config.num_class_embeds.map(|_| CLASS_LABELS);
        if let Some(labels) = labels {
            graph.0.input(labels, Type::I64, &[Side::Free("batch")]);
        }
        let x = self.sample(&mut graph)?;
        let y = self.run(&mut graph, Given { x, copies: 1, t: TIMESTEP, labels, augment_labels: None })?;
        graph.0.add_node("Identity", &[&y.name], &[OUT_SAMPLE], &[]);
        graph.0.output(OUT_SAMPLE, Type::F32, &images(config.out_channels));
        graph.0.bytes(notes)
    }

    /// The images that the network gets: those of the input, or 2·x - 1 for `center_input_sample`.
    fn sample(&self, graph: &mut OnnxGraph) -> Result<Value> {
        let mut name = SAMPLE.to_string();
        if self.config().center_input_sample {
            let (two, one) = (graph.number(2.0)?, graph.number(1.0)?);
            name = graph.node("Mul", &[&name, &two]);
            name = graph.node("Sub", &[&name, &one]);
        }
        Ok(Value { name, channels: self.config().in_channels })
    }
}
