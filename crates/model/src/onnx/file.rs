//! The messages of an ONNX file, `onnx.proto`: nodes, tensors, inputs and the model around them.

use crate::error::ModelError;
use candle_core::{DType, Result, Tensor};
use duet_files::protobuf::Message;
use std::collections::BTreeMap;

/// The version of the format's own structure, and that of its operators. Each onnxruntime since 1.12 reads them.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// The largest message of Protocol Buffers.
const MOST_BYTES: u64 = (1 << 31) - 1;
/// More than the fields of a tensor take beside its name and its values.
const TENSOR_FIELDS: u64 = 64;

/// The numbers that stand for types in the format.
#[derive(Debug, Clone, Copy)]
pub(super) enum Type {
    F32 = 1,
    I64 = 7,
    F64 = 11,
}

/// A setting of a node.
pub(super) enum Attribute<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

impl Attribute<'_> {
    /// AttributeProto
    fn message(&self, name: &str) -> Message {
        const KIND: u64 = 20;
        let message = Message::new().text(1, name);
        match self {
            Self::Float(value) => message.float(2, *value).int(KIND, 1),
            Self::Int(value) => message.int(3, *value).int(KIND, 2),
            Self::Text(value) => message.text(4, value).int(KIND, 3),
            Self::Ints(values) => message.ints(8, values.iter().copied()).int(KIND, 7),
        }
    }
}

/// A length of an input or an output: a number, or the name of one that each run chooses.
pub(super) enum Side {
    Fixed(usize),
    Free(&'static str),
}

/// Values that the file holds.
struct Initializer {
    shape: Vec<usize>,
    values: Tensor,
}

/// A graph, node by node.
#[derive(Default)]
pub(super) struct File {
    /// The fields of GraphProto so far, without the tensors.
    graph: Message,
    nodes: usize,
    /// By name.
    tensors: BTreeMap<String, Initializer>,
}

impl File {
    /// Adds a node with one output, and returns its name. NodeProto.
    pub fn node(&mut self, operator: &str, inputs: &[&str], attributes: &[(&str, Attribute)]) -> String {
        let output = format!("{operator}_{}", self.nodes);
        self.add_node(operator, inputs, &[&output], attributes);
        output
    }

    /// Adds a node with outputs of these names.
    pub fn add_node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) {
        let message = inputs.iter().fold(Message::new(), |message, input| message.text(1, input));
        let message = outputs.iter().fold(message, |message, output| message.text(2, output));
        let message = message.text(3, &format!("{operator}_{}", self.nodes)).text(4, operator);
        let message = attributes
            .iter()
            .fold(message, |message, (name, attribute)| message.message(5, &attribute.message(name)));
        self.nodes += 1;
        self.graph = std::mem::take(&mut self.graph).message(1, &message);
    }

    /// The name again, under which the file holds these values in this shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize], values: &Tensor) -> String {
        let values = Initializer { shape: shape.into(), values: values.clone() };
        self.tensors.entry(name.into()).or_insert(values);
        name.into()
    }

    pub fn input(&mut self, name: &str, kind: Type, sides: &[Side]) {
        self.graph = std::mem::take(&mut self.graph).message(11, &value_info(name, kind, sides));
    }

    pub fn output(&mut self, name: &str, kind: Type, sides: &[Side]) {
        self.graph = std::mem::take(&mut self.graph).message(12, &value_info(name, kind, sides));
    }

    /// The bytes of the file. ModelProto. Errors: more of them than the format allows; the tensors' values are
    /// not read then.
    pub fn bytes(self, notes: &BTreeMap<String, String>) -> std::result::Result<Vec<u8>, ModelError> {
        let opset = Message::new().text(1, "").int(2, OPSET);
        let head = Message::new()
            .int(1, IR_VERSION)
            .text(2, "Duet")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(8, &opset);
        let head = notes
            .iter()
            .fold(head, |head, (key, value)| head.message(14, &Message::new().text(1, key).text(2, value)));
        let graph = self.graph.text(2, "network");
        check_size((head.len() + graph.len()) as u64, &self.tensors)?;
        let mut whole = graph;
        for (name, Initializer { shape, values }) in self.tensors {
            whole = whole.message(5, &tensor(&name, &shape, &values)?);
        }
        Ok(head.message(7, &whole).into_bytes())
    }
}

fn check_size(rest: u64, tensors: &BTreeMap<String, Initializer>) -> std::result::Result<(), ModelError> {
    let bytes = |(name, Initializer { values, .. }): (&String, &Initializer)| {
        (values.elem_count() * values.dtype().size_in_bytes() + name.len()) as u64 + TENSOR_FIELDS
    };
    match rest + tensors.iter().map(bytes).sum::<u64>() {
        bytes if bytes > MOST_BYTES => Err(ModelError::Input(format!(
            "the network takes {bytes} bytes, and an ONNX file with its weights inside holds at most {MOST_BYTES}; \
             write a model folder instead"
        ))),
        _ => Ok(()),
    }
}

/// TensorProto, with the values as little-endian bytes.
fn tensor(name: &str, shape: &[usize], values: &Tensor) -> Result<Message> {
    let values = values.flatten_all()?;
    let (kind, bytes): (Type, Vec<u8>) = match values.dtype() {
        DType::I64 => (Type::I64, values.to_vec1::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect()),
        _ => (Type::F32, values.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect()),
    };
    let sides = shape.iter().map(|&side| side as i64);
    Ok(Message::new().ints(1, sides).int(2, kind as i64).text(8, name).bytes(9, &bytes))
}

/// ValueInfoProto of a tensor.
fn value_info(name: &str, kind: Type, sides: &[Side]) -> Message {
    let shape = sides.iter().fold(Message::new(), |shape, side| {
        let side = match side {
            Side::Fixed(length) => Message::new().int(1, *length as i64),
            Side::Free(name) => Message::new().text(2, name),
        };
        shape.message(1, &side)
    });
    let tensor = Message::new().int(1, kind as i64).message(2, &shape);
    Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
}
