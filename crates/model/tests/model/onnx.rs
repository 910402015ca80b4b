//! The network as an ONNX file: what is in it, what is refused, and what onnxruntime computes with it.
use crate::networks::{networks, plain, strings};
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::{Init, VarBuilder, var_builder::SimpleBackend};
use duet_model::{Purpose, UNet, UNetConfig, load_folder};
use duet_random::Draws;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;

const CPU: Device = Device::Cpu;
/// Configurations that are drawn for the comparison with onnxruntime.
const DRAWN: u64 = 60;

fn to_onnx(unet: &UNet) -> Vec<u8> {
    unet.to_onnx(&BTreeMap::new()).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_file_holds_every_parameter_by_name_and_its_notes() {
    for (what, config) in every_network() {
        let (unet, parameters) = UNet::seeded(&config, 0, &CPU).unwrap();
        let notes = BTreeMap::from([("a note".to_string(), "what it says".to_string())]);
        let bytes = unet.to_onnx(&notes).unwrap();
        assert!(bytes == unet.to_onnx(&notes).unwrap(), "{what}: the bytes are a function of the network");
        for (name, var) in parameters.iter() {
            assert!(contains(&bytes, name.as_bytes()), "{what}: {name}");
            let values: Vec<f32> = var.flatten_all().unwrap().to_vec1().unwrap();
            let values: Vec<u8> = values.into_iter().take(16).flat_map(f32::to_le_bytes).collect();
            assert!(contains(&bytes, &values), "{what}: the values of {name}");
        }
        for text in ["sample", "timestep", "out_sample", "Duet", "a note", "what it says"] {
            assert!(contains(&bytes, text.as_bytes()), "{what}: {text}");
        }
        let has_classes = config.num_class_embeds.is_some();
        assert_eq!(contains(&bytes, b"class_labels"), has_classes, "{what}");
    }
}

/// Augment labels are for training alone.
#[test]
fn a_network_that_was_told_of_augmentations_is_written_without_their_layer() {
    let (without, _) = UNet::seeded(&plain(), 0, &CPU).unwrap();
    let (told, _) = UNet::seeded_with_augment_labels(&plain(), 5, 0, &CPU).unwrap();
    assert!(to_onnx(&told) == to_onnx(&without));
}

/// Views of a single value in place of parameters.
struct OneValue;

impl SimpleBackend for OneValue {
    fn get(&self, s: Shape, _: &str, _: Init, dtype: DType, dev: &Device) -> candle_core::Result<Tensor> {
        Tensor::zeros((), dtype, dev)?.broadcast_as(s)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name} was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

#[test]
fn a_network_above_two_gigabytes_is_refused_before_its_values_are_read() {
    let config = UNetConfig { block_out_channels: vec![64, 8192], norm_num_groups: 4, ..plain() };
    let builder = VarBuilder::from_backend(Box::new(OneValue), DType::F32, CPU);
    let unet = UNet::new(&config, builder).unwrap();
    let error = unet.to_onnx(&BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("at most 2147483647") && error.contains("bytes"), "{error}");
}

/// The networks of the other tests, and those with what an ONNX file writes in nodes of its own.
fn every_network() -> Vec<(String, UNetConfig)> {
    let learned = UNetConfig {
        time_embedding_type: "learned".into(),
        num_train_timesteps: Some(1000),
        num_class_embeds: None,
        ..plain()
    };
    let kinds = ["silu", "relu", "gelu", "mish"].map(|name| {
        let residual = UNetConfig {
            act_fn: name.into(),
            resnet_time_scale_shift: "scale_shift".into(),
            downsample_type: "resnet".into(),
            upsample_type: "resnet".into(),
            ..plain()
        };
        (format!("scale, shift and {name}"), residual)
    });
    let one_channel = UNetConfig { block_out_channels: vec![1, 3], norm_num_groups: 1, ..plain() };
    let more = [
        ("fourier", UNetConfig { time_embedding_type: "fourier".into(), ..plain() }),
        ("learned", learned),
        ("one channel", UNetConfig { attention_head_dim: Some(1), ..one_channel }),
        (
            "residual samplers",
            UNetConfig {
                down_block_types: strings(&["ResnetDownsampleBlock2D", "DownBlock2D"]),
                up_block_types: strings(&["UpBlock2D", "ResnetUpsampleBlock2D"]),
                out_channels: 3,
                dropout: 0.5,
                ..plain()
            },
        ),
    ];
    let named = |(name, config): (&str, UNetConfig)| (name.to_string(), config);
    networks().into_iter().chain(more).map(named).chain(kinds).collect()
}

/// A configuration in which every key may have every value that is computed, as `benches/make_references.py` draws
/// them.
fn drawn_network(index: u64) -> UNetConfig {
    let mut draws = Draws::new(0, "onnx test network", index);
    let mut below = |n: usize| draws.below(n as u64) as usize;
    let (levels, groups) = (1 + below(3), 1 + below(4));
    let widths: Vec<usize> = (0..levels).map(|_| groups * (2 + below(5)) * (1 + below(2))).collect();
    let mut blocks = |kinds: [&str; 3]| (0..levels).map(|_| kinds[below(3)].to_string()).collect();
    UNetConfig {
        down_block_types: blocks(["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"]),
        up_block_types: blocks(["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"]),
        in_channels: 1 + below(4),
        out_channels: 1 + below(4),
        layers_per_block: 1 + below(3),
        norm_num_groups: groups,
        norm_eps: [1e-6, 1e-5, 1e-2][below(3)],
        downsample_type: ["conv", "resnet"][below(2)].into(),
        upsample_type: ["conv", "resnet"][below(2)].into(),
        downsample_padding: below(2),
        resnet_time_scale_shift: ["default", "scale_shift"][below(2)].into(),
        act_fn: ["silu", "swish", "mish", "gelu", "relu"][below(5)].into(),
        center_input_sample: below(3) == 0,
        mid_block_type: (below(3) > 0).then(|| "UNetMidBlock2D".into()),
        add_attention: below(2) == 0,
        mid_block_scale_factor: [1.0, 0.5, 2f64.sqrt()][below(3)],
        attention_head_dim: [None, Some(1), Some(2), widths.iter().min().copied()][below(4)],
        attn_norm_num_groups: [None, Some(1), Some(groups)][below(3)],
        time_embedding_type: ["positional", "fourier", "learned"][below(3)].into(),
        num_train_timesteps: Some(1000),
        time_embedding_dim: [None, Some(7), Some(32)][below(3)],
        flip_sin_to_cos: below(2) == 0,
        freq_shift: if widths[0] >= 4 { [0.0, 1.0, 0.5][below(3)] } else { 0.0 },
        num_class_embeds: [None, Some(1), Some(6)][below(3)],
        block_out_channels: widths,
        ..UNetConfig::diffusers_defaults()
    }
}

/// A new network. Norms begin with ones and zeros, so every parameter is moved.
fn moved(config: &UNetConfig) -> UNet {
    let (unet, parameters) = UNet::seeded(config, 0, &CPU).unwrap();
    for (name, var) in parameters.iter() {
        let mut noise = vec![0f32; var.elem_count()];
        Draws::new(0, name, 0).fill_normal(&mut noise);
        let noise = (Tensor::from_vec(noise, var.shape(), &CPU).unwrap() * 0.1).unwrap();
        var.set(&(var.as_tensor().detach() + noise).unwrap()).unwrap();
    }
    unet
}

/// One network with inputs, and outputs that it should have.
struct Case {
    unet: UNet,
    io: HashMap<String, Tensor>,
}

impl Case {
    /// Inputs of these sizes, and what this crate computes.
    fn drawn(unet: UNet, images: usize, (height, width): (usize, usize)) -> Self {
        let config = unet.config();
        let shape = (images, config.in_channels, height, width);
        let mut values = vec![0f32; images * config.in_channels * height * width];
        Draws::new(0, "onnx test", 0).fill_normal(&mut values);
        let x = Tensor::from_vec(values, shape, &CPU).unwrap();
        let last = config.num_train_timesteps.unwrap_or(1000) as u32 - 1;
        let t: Vec<u32> = (0..images as u32).map(|i| last - i * 97 % last).collect();
        let t = Tensor::new(t, &CPU).unwrap();
        let row = |rows: usize| (0..images as u32).map(|i| i % rows as u32).collect::<Vec<_>>();
        let labels = config.num_class_embeds.map(|rows| Tensor::new(row(rows), &CPU).unwrap());
        let snapshot = unet.snapshot(Purpose::Prediction).unwrap();
        let out = snapshot.predict(&x, &t, labels.as_ref()).unwrap();
        let io = [Some(("x", x)), Some(("t", t)), labels.map(|l| ("labels", l)), Some(("out", out))];
        Self { io: io.into_iter().flatten().map(|(name, t)| (name.to_string(), t)).collect(), unet }
    }

    fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.onnx")), to_onnx(&self.unet)).unwrap();
        let number = |(name, t): (&String, &Tensor)| {
            let kind = if name == "labels" { DType::I64 } else { DType::F32 };
            (name.clone(), t.to_dtype(kind).unwrap())
        };
        let inputs = ["x", "t", "labels", "out"];
        let io: HashMap<_, _> =
            self.io.iter().filter(|(name, _)| inputs.contains(&name.as_str())).map(number).collect();
        candle_core::safetensors::save(&io, folder.join(format!("{name}.safetensors"))).unwrap();
    }
}

/// Every network of the references with torch's output, and other networks and sizes with this crate's.
#[test]
fn onnxruntime_computes_the_same() {
    let Some(python) = std::env::var_os("DUET_ONNXRUNTIME") else {
        return println!("skipped: DUET_ONNXRUNTIME names no Python that has onnxruntime, onnx and numpy");
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("tests/references")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let io = candle_core::safetensors::load(path.join("io.safetensors"), &CPU).unwrap();
        let open = || load_folder(&path, &CPU).unwrap().unet;
        Case { unet: open(), io }.write(folder.path(), &format!("{name} by torch"));
        Case::drawn(open(), 1, (8, 24)).write(folder.path(), &format!("{name}, a rectangle"));
        count += 1;
    }
    assert!(count >= 9, "{count} references");
    for (name, config) in every_network() {
        Case::drawn(moved(&config), 5, (12, 20)).write(folder.path(), &name);
        Case::drawn(moved(&config), 1, (4, 4)).write(folder.path(), &format!("{name}, the smallest"));
    }
    for index in 0..DRAWN {
        let unet = moved(&drawn_network(index));
        Case::drawn(unet, 3, (8, 12)).write(folder.path(), &format!("drawn {index}"));
    }
    let script = root.join("../../benches/compare_onnx.py");
    let status = Command::new(python).arg(script).arg("networks").arg(folder.path()).status().unwrap();
    assert!(status.success(), "{status}");
}
