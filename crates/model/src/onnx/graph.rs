//! The network's operations as nodes of an ONNX file.

use super::file::{Attribute, File, Type};
use crate::graph::{Addends, Graph};
use crate::layers::{Conv, Linear, Norm, POINTWISE, WeightAndBias};
use crate::waves::{Kind, Waves};
use candle_core::{Device, Result, Tensor};
use duet_kernels::{Activation, Conv2d};

/// A value of the graph, by its name.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub name: String,
    /// The channels of a feature map (B, C, H, W), or the width of an embedding (B, E).
    pub channels: usize,
}

/// Writes each operation as nodes.
#[derive(Default)]
pub(super) struct OnnxGraph(pub File);

impl OnnxGraph {
    /// A number that stands beside each element.
    pub fn number(&mut self, value: f32) -> Result<String> {
        let tensor = Tensor::from_slice(&[value], (), &Device::Cpu)?;
        Ok(self.0.tensor(&format!("number {value}"), &[], &tensor))
    }

    pub fn node(&mut self, operator: &str, inputs: &[&str]) -> String {
        self.0.node(operator, inputs, &[])
    }

    fn integers(&mut self, values: &[i64]) -> Result<String> {
        let tensor = Tensor::from_slice(values, values.len(), &Device::Cpu)?;
        Ok(self.0.tensor(&format!("integers {values:?}"), &[values.len()], &tensor))
    }

    /// A side of 0 stays as it is, and one of -1 takes what is left.
    fn reshape(&mut self, x: &str, sides: &[i64]) -> Result<String> {
        let sides = self.integers(sides)?;
        Ok(self.node("Reshape", &[x, &sides]))
    }

    fn reshape_like(&mut self, x: &str, other: &str) -> String {
        let sides = self.node("Shape", &[other]);
        self.node("Reshape", &[x, &sides])
    }

    /// The parameter `NAME.weight` or `NAME.bias`, in this shape.
    fn parameter(&mut self, layer: &str, part: &str, shape: &[usize], values: &Tensor) -> String {
        self.0.tensor(&format!("{layer}.{part}"), shape, values)
    }

    /// Convolution whose weights are taken in the shape (O, I, kernel, kernel).
    fn convolution(
        &mut self,
        x: &Value,
        affine: &WeightAndBias,
        options: Conv2d,
        sum: Addends<Value>,
    ) -> Result<Value> {
        let (outputs, inputs) = (affine.weight.dims()[0], affine.weight.dims()[1]);
        let kernel = affine.weight.dims().get(2).copied().unwrap_or(1);
        let weight =
            self.parameter(&affine.name, "weight", &[outputs, inputs, kernel, kernel], &affine.weight);
        let bias = self.parameter(&affine.name, "bias", &[outputs], &affine.bias);
        let (stride, padding) = (options.stride as i64, options.padding);
        let pads = [padding.top, padding.left, padding.bottom, padding.right].map(|side| side as i64);
        let attributes = [
            ("kernel_shape", Attribute::Ints(&[kernel as i64; 2])),
            ("strides", Attribute::Ints(&[stride; 2])),
            ("pads", Attribute::Ints(&pads)),
        ];
        let name = self.0.node("Conv", &[&x.name, &weight, &bias], &attributes);
        self.add_sum(Value { name, channels: outputs }, sum)
    }

    fn add_sum(&mut self, y: Value, sum: Addends<Value>) -> Result<Value> {
        let Value { mut name, channels } = y;
        if let Some(time) = sum.time {
            let time = self.reshape(&time.name, &[0, channels as i64, 1, 1])?;
            name = self.node("Add", &[&name, &time]);
        }
        if let Some(residual) = sum.residual {
            name = self.node("Add", &[&residual.name, &name]);
        }
        if sum.scale != 1.0 {
            let scale = self.number(sum.scale as f32)?;
            name = self.node("Mul", &[&name, &scale]);
        }
        Ok(Value { name, channels })
    }

    /// Timesteps as a column (B, 1).
    fn column(&mut self, t: &str) -> Result<String> {
        self.reshape(t, &[-1, 1])
    }
}

impl Graph for OnnxGraph {
    type X = Value;
    /// The name of an input.
    type Times = str;
    /// The name of an input.
    type Labels = str;

    /// The logarithm is taken in f64: frequencies multiply the error of its last digit.
    fn waves(&mut self, t: &str, waves: &Waves) -> Result<Value> {
        let t = self.column(t)?;
        let phases = match &waves.kind {
            Kind::Positional { frequencies, .. } => {
                let half = frequencies.len();
                let values = Tensor::from_slice(frequencies, half, &Device::Cpu)?;
                let frequencies = self.0.tensor("time_proj.frequencies", &[1, half], &values);
                self.node("Mul", &[&t, &frequencies])
            }
            Kind::Fourier { weight } => {
                let t = self.0.node("Cast", &[&t], &[("to", Attribute::Int(Type::F64 as i64))]);
                let log = self.node("Log", &[&t]);
                let log = self.0.node("Cast", &[&log], &[("to", Attribute::Int(Type::F32 as i64))]);
                let weight = self.0.tensor("time_proj.weight", &[1, weight.elem_count()], weight);
                let phases = self.node("Mul", &[&log, &weight]);
                let turn = self.number(2.0 * std::f32::consts::PI)?;
                self.node("Mul", &[&phases, &turn])
            }
        };
        let (sines, cosines) = (self.node("Sin", &[&phases]), self.node("Cos", &[&phases]));
        let halves = if waves.cosine_first() { [&*cosines, &*sines] } else { [&*sines, &*cosines] };
        let mut name = self.0.node("Concat", &halves, &[("axis", Attribute::Int(1))]);
        if waves.width % 2 == 1 {
            let pads = self.integers(&[0, 0, 0, 1])?;
            name = self.node("Pad", &[&name, &pads]);
        }
        Ok(Value { name, channels: waves.width })
    }

    fn rows_of_times(&mut self, t: &str, name: &str, table: &Tensor) -> Result<Value> {
        let table_name = self.0.tensor(name, table.dims(), table);
        let rows = self.0.node("Cast", &[t], &[("to", Attribute::Int(Type::I64 as i64))]);
        Ok(Value { name: self.node("Gather", &[&table_name, &rows]), channels: table.dims2()?.1 })
    }

    fn conv(&mut self, x: &Value, layer: &Conv, sum: Addends<Value>) -> Result<Value> {
        self.convolution(x, &layer.affine, layer.options, sum)
    }

    fn linear(&mut self, x: &Value, layer: &Linear, sum: Addends<Value>) -> Result<Value> {
        let WeightAndBias { name, weight, bias } = &layer.0;
        let (outputs, inputs) = weight.dims2()?;
        let weight = self.parameter(name, "weight", &[outputs, inputs], weight);
        let bias = self.parameter(name, "bias", &[outputs], bias);
        let name = self.0.node("Gemm", &[&x.name, &weight, &bias], &[("transB", Attribute::Int(1))]);
        self.add_sum(Value { name, channels: outputs }, sum)
    }

    fn pointwise(&mut self, x: &Value, layer: &Linear, sum: Addends<Value>) -> Result<Value> {
        self.convolution(x, &layer.0, POINTWISE, sum)
    }

    /// Instance normalisation of each group, as if its channels were one.
    fn norm(
        &mut self,
        x: &Value,
        layer: &Norm,
        activation: Activation,
        modulation: Option<&Value>,
    ) -> Result<Value> {
        let (groups, channels) = (layer.groups, x.channels);
        let grouped = self.reshape(&x.name, &[0, groups as i64, -1])?;
        let constant = |value: f32| Tensor::full(value, groups, &Device::Cpu);
        let ones = self.0.tensor(&format!("ones {groups}"), &[groups], &constant(1.0)?);
        let zeros = self.0.tensor(&format!("zeros {groups}"), &[groups], &constant(0.0)?);
        let epsilon = Attribute::Float(layer.eps as f32);
        let z = self.0.node("InstanceNormalization", &[&grouped, &ones, &zeros], &[("epsilon", epsilon)]);
        let mut z = self.reshape_like(&z, &x.name);
        let WeightAndBias { name, weight, bias } = &layer.affine;
        let weight = self.parameter(name, "weight", &[channels, 1, 1], weight);
        let bias = self.parameter(name, "bias", &[channels, 1, 1], bias);
        z = self.node("Mul", &[&z, &weight]);
        z = self.node("Add", &[&z, &bias]);
        if let Some(modulation) = modulation {
            let halves = self.reshape(&modulation.name, &[0, 2 * channels as i64, 1, 1])?;
            let (scale, shift) = (format!("{halves} scale"), format!("{halves} shift"));
            self.0.add_node("Split", &[&halves], &[&scale, &shift], &[("axis", Attribute::Int(1))]);
            let one = self.number(1.0)?;
            let scale = self.node("Add", &[&scale, &one]);
            z = self.node("Mul", &[&z, &scale]);
            z = self.node("Add", &[&z, &shift]);
        }
        self.activation(&Value { name: z, channels }, activation)
    }

    fn activation(&mut self, x: &Value, activation: Activation) -> Result<Value> {
        let name = match activation {
            Activation::None => x.name.clone(),
            Activation::Silu => {
                let sigmoid = self.node("Sigmoid", &[&x.name]);
                self.node("Mul", &[&x.name, &sigmoid])
            }
            Activation::Relu => self.node("Relu", &[&x.name]),
            Activation::Gelu => {
                let (root, one, half) =
                    (self.number(std::f32::consts::SQRT_2)?, self.number(1.0)?, self.number(0.5)?);
                let erf = self.node("Div", &[&x.name, &root]);
                let erf = self.node("Erf", &[&erf]);
                let twice = self.node("Add", &[&erf, &one]);
                let twice = self.node("Mul", &[&x.name, &twice]);
                self.node("Mul", &[&twice, &half])
            }
            Activation::Mish => {
                let softplus = self.node("Softplus", &[&x.name]);
                let tanh = self.node("Tanh", &[&softplus]);
                self.node("Mul", &[&x.name, &tanh])
            }
        };
        Ok(Value { name, channels: x.channels })
    }

    fn concat(&mut self, a: &Value, b: &Value) -> Result<Value> {
        let name = self.0.node("Concat", &[&a.name, &b.name], &[("axis", Attribute::Int(1))]);
        Ok(Value { name, channels: a.channels + b.channels })
    }

    fn conv_of_doubled(&mut self, x: &Value, layer: &Conv) -> Result<Value> {
        let doubled = self.double(x)?;
        self.conv(&doubled, layer, Addends::nothing())
    }

    fn double(&mut self, x: &Value) -> Result<Value> {
        let scales = Tensor::new(&[1f32, 1.0, 2.0, 2.0], &Device::Cpu)?;
        let scales = self.0.tensor("doubled sides", &[4], &scales);
        let attributes = [
            ("mode", Attribute::Text("nearest")),
            ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
            ("nearest_mode", Attribute::Text("floor")),
        ];
        // The empty name is that of an input which is left out, a region of interest.
        let name = self.0.node("Resize", &[&x.name, "", &scales], &attributes);
        Ok(Value { name, channels: x.channels })
    }

    fn halve(&mut self, x: &Value) -> Result<Value> {
        let attributes = [("kernel_shape", Attribute::Ints(&[2, 2])), ("strides", Attribute::Ints(&[2, 2]))];
        Ok(Value { name: self.0.node("AveragePool", &[&x.name], &attributes), channels: x.channels })
    }

    fn divide_by_times(&mut self, x: &Value, t: &str) -> Result<Value> {
        let t = self.reshape(t, &[-1, 1, 1, 1])?;
        Ok(Value { name: self.node("Div", &[&x.name, &t]), channels: x.channels })
    }

    fn attention(&mut self, [q, k, v]: [&Value; 3], heads: usize) -> Result<Value> {
        let width = q.channels / heads;
        let sides = [0, heads as i64, width as i64, -1];
        let mut split = |x: &Value| self.reshape(&x.name, &sides);
        let (queries, keys, values) = (split(q)?, split(k)?, split(v)?);
        let transposed = [("perm", Attribute::Ints(&[0, 1, 3, 2]))];
        let scale = self.number((1.0 / (width as f64).sqrt()) as f32)?;
        let queries = self.node("Mul", &[&queries, &scale]);
        let queries = self.0.node("Transpose", &[&queries], &transposed);
        let scores = self.node("MatMul", &[&queries, &keys]);
        let probabilities = self.0.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let probabilities = self.0.node("Transpose", &[&probabilities], &transposed);
        let mixed = self.node("MatMul", &[&values, &probabilities]);
        Ok(Value { name: self.reshape_like(&mixed, &q.name), channels: q.channels })
    }

    fn add_rows(&mut self, x: &Value, name: &str, table: &Tensor, labels: &str) -> Result<Value> {
        let table = self.0.tensor(name, table.dims(), table);
        let rows = self.node("Gather", &[&table, labels]);
        Ok(Value { name: self.node("Add", &[&x.name, &rows]), channels: x.channels })
    }
}
