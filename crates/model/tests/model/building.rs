//! New networks, and refused configurations and inputs.
use crate::networks::{odd, one_level};
use candle_core::{DType, Device, Tensor};
use duet_model::{ModelError, UNet, UNetConfig, load_folder, weights_to_bytes};
use std::collections::BTreeMap;
use std::path::Path;

fn tiny() -> UNetConfig {
    UNetConfig {
        in_channels: 1,
        out_channels: 1,
        down_block_types: vec!["DownBlock2D".into(), "AttnDownBlock2D".into()],
        up_block_types: vec!["AttnUpBlock2D".into(), "UpBlock2D".into()],
        block_out_channels: vec![8, 16],
        layers_per_block: 1,
        norm_num_groups: 4,
        num_class_embeds: Some(4),
        ..UNetConfig::diffusers_defaults()
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn initial_values_depend_on_seed_and_name_alone() {
    let (_, first) = UNet::seeded(&tiny(), 1, &Device::Cpu).unwrap();
    let (_, other_seed) = UNet::seeded(&tiny(), 2, &Device::Cpu).unwrap();
    let deeper = UNetConfig { layers_per_block: 2, ..tiny() };
    let (_, deeper) = UNet::seeded(&deeper, 1, &Device::Cpu).unwrap();
    let name = "down_blocks.0.resnets.0.conv1.weight";
    let value = |p: &duet_model::Parameters| values(p.get(name).unwrap());
    assert_eq!(value(&first), value(&deeper));
    assert_ne!(value(&first), value(&other_seed));
    let names: Vec<_> = first.iter().map(|(name, _)| name.to_string()).collect();
    assert!(names.is_sorted());
    assert_eq!(first.count(), first.iter().map(|(_, v)| v.elem_count()).sum::<usize>());
}

/// torch's layers: U(±1/√fan_in) has standard deviation 1/√(3 fan_in).
#[test]
fn initial_values_have_torchs_distributions() {
    let config = UNetConfig { block_out_channels: vec![32, 64], num_class_embeds: Some(11), ..tiny() };
    let (_, parameters) = UNet::seeded(&config, 0, &Device::Cpu).unwrap();
    let moments = |name: &str| {
        let v = values(parameters.get(name).unwrap());
        let mean = v.iter().sum::<f32>() / v.len() as f32;
        let deviation = (v.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / v.len() as f32).sqrt();
        let largest = v.iter().fold(0f32, |m, v| m.max(v.abs()));
        (mean, deviation, largest)
    };
    let bound = 1.0 / (64f32 * 9.0).sqrt();
    let (mean, deviation, largest) = moments("mid_block.resnets.0.conv1.weight");
    assert!(mean.abs() < 1e-3 && (deviation / (bound / 3f32.sqrt()) - 1.0).abs() < 0.02 && largest <= bound);
    let (mean, deviation, _) = moments("class_embedding.weight");
    assert!(mean.abs() < 0.1 && (deviation - 1.0).abs() < 0.1);
    assert_eq!(moments("mid_block.resnets.0.norm1.weight"), (1.0, 0.0, 1.0));
    assert_eq!(moments("mid_block.resnets.0.norm1.bias"), (0.0, 0.0, 0.0));
}

#[test]
fn a_configuration_survives_its_json() {
    let config = tiny();
    assert_eq!(UNetConfig::from_json(&config.to_json(&Default::default()).unwrap()).unwrap(), config);
}

#[test]
fn what_cannot_be_computed_is_refused_by_key_and_value() {
    let cases = [
        (r#"{"act_fn": "geglu"}"#, "act_fn = \"geglu\""),
        (r#"{"act_fn": null}"#, "act_fn = null"),
        (r#"{"layers_per_block": "two"}"#, "layers_per_block = \"two\""),
        (r#"{"sample_size": [8]}"#, "sample_size = [8]"),
        (r#"{"downsample_padding": 2}"#, "downsample_padding = 2"),
        (r#"{"downsample_type": "fir"}"#, "downsample_type = \"fir\""),
        (r#"{"upsample_type": "fir"}"#, "upsample_type = \"fir\""),
        (r#"{"resnet_time_scale_shift": "ada_group"}"#, "resnet_time_scale_shift = \"ada_group\""),
        (r#"{"time_embedding_type": "rotary"}"#, "time_embedding_type = \"rotary\""),
        (r#"{"time_embedding_type": "learned"}"#, "num_train_timesteps = null"),
        (r#"{"freq_shift": 112}"#, "freq_shift = 112"),
        (r#"{"class_embed_type": "timestep"}"#, "class_embed_type = \"timestep\""),
        (r#"{"mid_block_type": "UNetMidBlock2DCrossAttn"}"#, "mid_block_type = \"UNetMidBlock2DCrossAttn\""),
        (
            r#"{"down_block_types": ["DownBlock2D","KDownBlock2D","DownBlock2D","DownBlock2D"]}"#,
            "KDownBlock2D",
        ),
        (r#"{"norm_eps": -1}"#, "norm_eps = -1"),
        (r#"{"dropout": 1.5}"#, "dropout = 1.5"),
        (r#"{"mid_block_scale_factor": 0}"#, "mid_block_scale_factor = 0"),
        (r#"{"bogus": 1}"#, "bogus"),
        (r#"{"_class_name": "UNet3DModel"}"#, "_class_name = \"UNet3DModel\""),
        (r#"{"norm_num_groups": 5}"#, "norm_num_groups = 5"),
        (r#"{"norm_num_groups": 0}"#, "norm_num_groups = 0"),
        (r#"{"down_block_types": ["DownBlock2D"]}"#, "down_block_types"),
        (r#"{"up_block_types": ["SkipUpBlock2D","UpBlock2D","UpBlock2D","UpBlock2D"]}"#, "SkipUpBlock2D"),
        (r#"{"block_out_channels": []}"#, "block_out_channels = []"),
        (r#"{"block_out_channels": [7,7,7,7]}"#, "norm_num_groups = 32"),
        (r#"{"block_out_channels": [18446744073709551615,2,3,4]}"#, "block_out_channels"),
        (r#"{"attention_head_dim": 0}"#, "attention_head_dim = 0"),
        (r#"{"num_class_embeds": 0}"#, "num_class_embeds = 0"),
        (r#"{"class_embed_type": "identity"}"#, "class_embed_type"),
        (r#"{"sample_size": 20}"#, "multiples of 8"),
        (r#"{"layers_per_block": 0}"#, "layers_per_block = 0"),
        (r#"[1]"#, "not valid"),
    ];
    for (json, expected) in cases {
        let error = UNetConfig::from_json(json).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
    assert!(UNetConfig::from_json(r#"{"_note": 1}"#).is_ok(), "keys with an underscore are dropped");
}

#[test]
fn wrong_weights_are_refused_by_name() {
    let (_, parameters) = UNet::seeded(&tiny(), 0, &Device::Cpu).unwrap();
    let tensors: BTreeMap<_, _> =
        parameters.iter().map(|(n, v)| (n.to_string(), v.as_tensor().clone())).collect();
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        UNet::from_tensors(&tiny(), tensors, &Device::Cpu).unwrap_err().to_string()
    };
    let missing = refused(&|t| drop(t.remove("conv_in.weight")));
    assert!(missing.contains("conv_in.weight is missing"), "{missing}");
    let extra = refused(&|t| drop(t.insert("extra".into(), t["conv_in.bias"].clone())));
    assert!(extra.contains("extra is not part of this network"), "{extra}");
    let zeros = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    let misshapen = refused(&|t| drop(t.insert("conv_in.bias".into(), zeros.clone())));
    assert!(misshapen.contains("conv_in.bias is [3], expected [8]"), "{misshapen}");
}

#[test]
fn a_folder_that_is_not_a_model_says_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = |folder: &Path| load_folder(folder, &Device::Cpu).unwrap_err().to_string();
    assert!(error(folder.path()).contains("config.json"));
    std::fs::write(folder.path().join("config.json"), tiny().to_json(&Default::default()).unwrap()).unwrap();
    assert!(error(folder.path()).contains("diffusion_pytorch_model.safetensors"));
    std::fs::write(folder.path().join(duet_model::WEIGHTS_FILE), b"\xff\xff\xff\xff\xff\xff\xff\x7f{}")
        .unwrap();
    let message = error(folder.path());
    assert!(message.contains("not a safetensors file"), "{message}");
    let (_, parameters) = UNet::seeded(&tiny(), 0, &Device::Cpu).unwrap();
    let mut tensors: BTreeMap<_, _> =
        parameters.iter().map(|(n, v)| (n.to_string(), v.as_tensor().clone())).collect();
    tensors.remove("conv_out.bias");
    std::fs::write(folder.path().join(duet_model::WEIGHTS_FILE), weights_to_bytes(&tensors).unwrap())
        .unwrap();
    let message = error(folder.path());
    assert!(
        message.contains("safetensors: weights do not fit") && message.contains("conv_out.bias is missing"),
        "{message}"
    );
}

#[test]
fn inputs_are_checked_with_names_and_values() {
    let (unet, _) = UNet::seeded(&tiny(), 0, &Device::Cpu).unwrap();
    let x = |channels, side| Tensor::zeros((2, channels, side, side), DType::F32, &Device::Cpu).unwrap();
    let t = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
    let labels = |l: [u32; 2]| Tensor::new(&l, &Device::Cpu).unwrap();
    let error = |r: Result<Tensor, ModelError>| r.unwrap_err().to_string();
    assert!(error(unet.forward(&x(1, 7), &t, Some(&labels([0, 1])))).contains("multiples of 2"));
    assert!(error(unet.forward(&x(3, 8), &t, Some(&labels([0, 1])))).contains("x has 3 channels"));
    assert!(error(unet.forward(&x(1, 8), &t, None)).contains("needs labels"));
    assert!(error(unet.forward(&x(1, 8), &t, Some(&labels([0, 4])))).contains("label 4"));
    assert!(
        error(unet.forward(&x(1, 8), &t.narrow(0, 0, 1).unwrap(), Some(&labels([0, 1]))))
            .contains("t is [1]")
    );
    assert!(unet.forward(&x(1, 8), &t, Some(&labels([3, 0]))).is_ok());
    // Timesteps that an embedding has no code for.
    let with = |kind: &str| {
        let kind = UNetConfig { time_embedding_type: kind.into(), num_train_timesteps: Some(10), ..tiny() };
        UNet::seeded(&kind, 0, &Device::Cpu).unwrap().0
    };
    let at = |unet: &UNet, t: [f32; 2]| {
        unet.forward(&x(1, 8), &Tensor::new(&t, &Device::Cpu).unwrap(), Some(&labels([0, 1])))
    };
    assert!(error(at(&with("fourier"), [1.0, 0.0])).contains("timestep 0"));
    assert!(error(at(&with("learned"), [1.0, 10.0])).contains("timestep 10"));
    assert!(error(at(&with("learned"), [1.0, 1.5])).contains("timestep 1.5"));
    assert!(error(at(&unet, [1.0, f32::NAN])).contains("timestep NaN"));
    assert!(at(&with("learned"), [0.0, 9.0]).is_ok() && at(&with("fourier"), [0.5, 9.0]).is_ok());
}

/// One level, no middle block, one head for all channels, right-and-bottom padding, rectangles.
#[test]
fn unusual_networks_run_and_every_parameter_has_a_finite_gradient() {
    for config in [one_level(tiny()), odd(tiny())] {
        let (unet, parameters) = UNet::seeded(&config, 0, &Device::Cpu).unwrap();
        let x = Tensor::randn(0f32, 1.0, (2, 1, 6, 10), &Device::Cpu).unwrap();
        let t = Tensor::new(&[3u32, 900], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0u32, 3], &Device::Cpu).unwrap();
        let y = unet.forward(&x, &t, config.num_class_embeds.map(|_| &labels)).unwrap();
        assert_eq!(y.dims(), x.dims());
        let grads = y.sqr().unwrap().mean_all().unwrap().backward().unwrap();
        for (name, var) in parameters.iter() {
            let grad = values(grads.get(var).unwrap_or_else(|| panic!("{name} has no gradient")));
            assert!(grad.iter().all(|g| g.is_finite()), "{name}");
        }
    }
}

#[test]
fn parameters_are_counted_without_making_them() {
    let config = UNetConfig { num_class_embeds: Some(3), ..tiny() };
    let (_, parameters) = UNet::seeded(&config, 0, &Device::Cpu).unwrap();
    assert_eq!(config.parameter_count().unwrap(), parameters.count() as u64);
}

#[test]
fn what_does_not_fit_into_memory_is_refused_before_it_is_made() {
    let levels = 16;
    let names = |name: &str| vec![name.to_string(); levels];
    let config = UNetConfig {
        block_out_channels: vec![1 << 16; levels],
        down_block_types: names("DownBlock2D"),
        up_block_types: names("UpBlock2D"),
        sample_size: None,
        norm_num_groups: 32,
        ..tiny()
    };
    let text = UNet::seeded(&config, 0, &Device::Cpu).unwrap_err().to_string();
    assert!(text.contains("parameters takes at least") && text.contains("of memory is free"), "{text}");
    for side in [1usize << 20, 1 << 40, 1 << 62, usize::MAX - 3] {
        for (height, width) in [(side, side), (4, side), (side, 4)] {
            let text = tiny().check_pass(height, width).unwrap_err().to_string();
            assert!(text.contains("no side may be longer"), "{text}");
        }
    }
    let wide = UNetConfig { block_out_channels: vec![1 << 16], ..config };
    let wide = UNetConfig {
        down_block_types: names("DownBlock2D")[..1].into(),
        up_block_types: names("UpBlock2D")[..1].into(),
        ..wide
    };
    let text = wide.check_pass(1 << 14, 1 << 14).unwrap_err().to_string();
    assert!(text.contains("a pass of one image of 16384×16384"), "{text}");
}

#[test]
fn the_nearest_sides_are_those_below_and_above_that_fit() {
    let four_levels = UNetConfig::diffusers_defaults();
    for (height, width, nearest) in [
        (16, 24, vec![(16, 24)]),
        (17, 24, vec![(16, 24), (24, 24)]),
        (30, 41, vec![(24, 40), (32, 48)]),
        (3, 40, vec![(8, 40)]),
        (0, 1, vec![(8, 8)]),
        (20_000, 20, vec![(16_384, 16), (16_384, 24)]),
    ] {
        assert_eq!(four_levels.nearest_sides(height, width), nearest, "{height}x{width}");
        assert!(nearest.iter().all(|&(height, width)| four_levels.check_sides(height, width).is_ok()));
    }
}
