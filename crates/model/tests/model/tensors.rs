//! safetensors files with false claims, and weights in all forms that diffusers has written.
use candle_core::{DType, Device, Tensor};
use duet_model::{UNet, UNetConfig, load_folder, read_tensors, weights_to_bytes};
use std::collections::BTreeMap;
use std::path::Path;

const CPU: Device = Device::Cpu;

/// A file of this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, bytes).unwrap();
    read_tensors(&path, &CPU).map_err(|error| {
        let error = error.to_string();
        assert!(error.contains("x.safetensors"), "names no file: {error}");
        error
    })
}

fn entry(name: &str, dtype: &str, shape: &str, first: u64, last: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{first},{last}]}}"#)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn numbers_of_each_type_are_read() {
    let header = format!(
        r#"{{"__metadata__":{{"format":"pt"}},{},{},{},{},{}}}"#,
        entry("long", "I64", "[2]", 14, 30),
        entry("half", "F16", "[2]", 0, 4),
        entry("brain", "BF16", "[1]", 4, 6),
        entry("single", "F32", "[1,2,1]", 6, 14),
        entry("none", "F32", "[0,5]", 30, 30),
    );
    let data: Vec<u8> = [
        &[0x00, 0x3c, 0x01, 0x00][..],
        &[0x80, 0xbf],
        &0.1f32.to_le_bytes(),
        &(-2.5f32).to_le_bytes(),
        &7i64.to_le_bytes(),
        &(-1i64).to_le_bytes(),
    ]
    .concat();
    let tensors = read(&file(&header, &data)).unwrap();
    assert_eq!(tensors.len(), 5);
    assert_eq!(values(&tensors["half"]), [1.0, 2f32.powi(-24)], "one, and the smallest half");
    assert_eq!(values(&tensors["brain"]), [-1.0]);
    assert_eq!((values(&tensors["single"]), tensors["single"].dims()), (vec![0.1, -2.5], &[1, 2, 1][..]));
    assert_eq!(tensors["long"].to_vec1::<i64>().unwrap(), [7, -1]);
    assert_eq!(tensors["none"].dims(), [0, 5]);
}

#[test]
fn files_that_lie_are_refused_with_the_reason() {
    let one =
        |dtype: &str, shape: &str, first, last| format!("{{{}}}", entry("a", dtype, shape, first, last));
    let two = |first: (u64, u64), second: (u64, u64)| {
        let entry = |name, (first, last)| entry(name, "F32", "[1]", first, last);
        format!("{{{},{}}}", entry("a", first), entry("b", second))
    };
    let many: Vec<String> = (0..4097).map(|i| entry(&format!("t{i}"), "F32", "[0]", 0, 0)).collect();
    let cases = [
        (file("", &[])[..5].to_vec(), "it has 5 bytes"),
        ((1u64 << 60).to_le_bytes().to_vec(), "its header claims 1152921504606846976 bytes"),
        (file(&" ".repeat((1 << 20) + 1), &[]), "more than 1048576"),
        (file("[]", &[]), "an object with an entry for each tensor"),
        (file("{\"a\":", &[]), "EOF"),
        (file(&one("F32", "[1]", 0, 4), &[0; 3]), "take 4 bytes, it has 3"),
        (file(&one("F32", "[1]", 0, 4), &[0; 5]), "take 4 bytes, it has 5"),
        (file(&one("F32", "[2]", 0, 4), &[0; 4]), "a: bytes 0 to 4 do not hold F32 values of shape [2]"),
        (file(&one("F32", "[1]", 4, 0), &[0; 4]), "a: bytes 4 to 0"),
        (file(&one("F32", "[1]", 4, 8), &[0; 8]), "leave a gap"),
        (
            file(&one("F32", "[4294967296,4294967296,4294967296]", 0, 4), &[0; 4]),
            "do not hold F32 values of shape [4294967296",
        ),
        (file(&one("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4), &[0; 4]), "a: it has 9 dimensions"),
        (file(&one("F64", "[1]", 0, 8), &[0; 8]), "a: its type is F64"),
        (file(&one("F32", "[-1]", 0, 4), &[0; 4]), "invalid value"),
        (file(&two((0, 4), (0, 4)), &[0; 4]), "overlap"),
        (file(&two((0, 4), (2, 6)), &[0; 6]), "overlap"),
        (file(&two((0, 4), (4, 8)).replace("\"b\"", "\"a\""), &[0; 8]), "a comes twice"),
        (file(&format!("{{{}}}", many.join(",")), &[]), "more than 4096 tensors"),
        (file(&one("F32", "[1]", 0, 4), &f32::NAN.to_le_bytes()), "a has a value that is not finite: NaN"),
        (file(&one("F16", "[1]", 0, 2), &[0, 0x7c]), "a has a value that is not finite: inf"),
        (file(&one("BF16", "[1]", 0, 2), &[0x80, 0xff]), "a has a value that is not finite: -inf"),
    ];
    for (bytes, expected) in cases {
        let error = read(&bytes).unwrap_err();
        assert!(error.contains(expected), "expected {expected:?}: {error}");
    }
}

fn network() -> UNetConfig {
    UNetConfig {
        sample_size: None,
        in_channels: 1,
        out_channels: 1,
        block_out_channels: vec![8],
        down_block_types: vec!["AttnDownBlock2D".into()],
        up_block_types: vec!["UpBlock2D".into()],
        norm_num_groups: 4,
        layers_per_block: 1,
        ..UNetConfig::diffusers_defaults()
    }
}

fn save(folder: &Path, tensors: &BTreeMap<String, Tensor>) {
    std::fs::write(folder.join("config.json"), network().to_json(&Default::default()).unwrap()).unwrap();
    let path = folder.join("diffusion_pytorch_model.safetensors");
    std::fs::write(path, weights_to_bytes(tensors).unwrap()).unwrap();
}

#[test]
fn old_names_of_attention_layers_and_half_precision_are_read() {
    let (_, parameters) = UNet::seeded(&network(), 3, &CPU).unwrap();
    let tensors: BTreeMap<String, Tensor> =
        parameters.iter().map(|(name, var)| (name.into(), var.as_tensor().clone())).collect();
    let old = |name: &str| {
        let renamed =
            [("to_q.", "query."), ("to_k.", "key."), ("to_v.", "value."), ("to_out.0.", "proj_attn.")];
        renamed.iter().fold(name.to_string(), |name, (new, old)| name.replace(new, old))
    };
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &tensors.iter().map(|(name, tensor)| (old(name), tensor.clone())).collect());
    let loaded = load_folder(folder.path(), &CPU).unwrap();
    for (name, var) in loaded.parameters.iter() {
        assert_eq!(values(var), values(&tensors[name]), "{name}");
    }
    for dtype in [DType::F16, DType::BF16] {
        let rounded = |tensor: &Tensor| tensor.to_dtype(dtype).unwrap();
        save(folder.path(), &tensors.iter().map(|(name, tensor)| (name.clone(), rounded(tensor))).collect());
        let loaded = load_folder(folder.path(), &CPU).unwrap();
        for (name, var) in loaded.parameters.iter() {
            let expected = values(&rounded(&tensors[name]).to_dtype(DType::F32).unwrap());
            assert_eq!(values(var), expected, "{name}");
        }
    }
    let name = "mid_block.attentions.0.to_q.bias";
    let with = |name: &str, tensor: Tensor| {
        let mut tensors = tensors.clone();
        tensors.insert(name.into(), tensor);
        save(folder.path(), &tensors);
        load_folder(folder.path(), &CPU).unwrap_err().to_string()
    };
    let error = with(&old(name), tensors[name].clone());
    assert!(error.contains("is another name of mid_block.attentions.0.to_q.bias"), "{error}");
    let error = with(name, Tensor::zeros(8, DType::I64, &CPU).unwrap());
    assert!(error.contains("to_q.bias has values of type I64"), "{error}");
}

#[test]
fn weights_in_another_form_say_how_to_save_them() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &BTreeMap::new());
    let weights = folder.path().join("diffusion_pytorch_model.safetensors");
    std::fs::remove_file(&weights).unwrap();
    std::fs::write(weights.with_extension("bin"), "x").unwrap();
    let error = load_folder(folder.path(), &CPU).unwrap_err().to_string();
    assert!(error.contains("safe_serialization=True"), "{error}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 178000\n";
    for name in ["diffusion_pytorch_model.safetensors", "config.json"] {
        std::fs::write(folder.path().join(name), pointer).unwrap();
        let error = load_folder(folder.path(), &CPU).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("git lfs pull"), "{error}");
    }
}

fn seeded() -> BTreeMap<String, Tensor> {
    let (_, parameters) = UNet::seeded(&network(), 3, &CPU).unwrap();
    parameters.iter().map(|(name, var)| (name.into(), var.as_tensor().clone())).collect()
}

fn assert_loads(folder: &Path, tensors: &BTreeMap<String, Tensor>) {
    let loaded = load_folder(folder, &CPU).unwrap();
    assert_eq!(loaded.parameters.len(), tensors.len());
    for (name, var) in loaded.parameters.iter() {
        assert_eq!(values(var), values(&tensors[name]), "{name}");
    }
}

#[test]
fn a_wrappers_prefix_before_every_name_is_taken_off() {
    let (folder, tensors) = (tempfile::tempdir().unwrap(), seeded());
    for prefix in ["_orig_mod.", "module.", "module._orig_mod."] {
        let wrapped = tensors.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone()));
        let mut wrapped: BTreeMap<String, Tensor> = wrapped.collect();
        save(folder.path(), &wrapped);
        assert_loads(folder.path(), &tensors);
        wrapped.insert("alone".into(), Tensor::zeros(1, DType::F32, &CPU).unwrap());
        save(folder.path(), &wrapped);
        assert!(load_folder(folder.path(), &CPU).is_err());
    }
}

#[test]
fn a_single_variant_is_read_and_of_several_none() {
    let (folder, tensors) = (tempfile::tempdir().unwrap(), seeded());
    save(folder.path(), &tensors);
    let usual = folder.path().join("diffusion_pytorch_model.safetensors");
    for variant in ["fp16", "bf16", "non_ema"] {
        let path = usual.with_extension(format!("{variant}.safetensors"));
        std::fs::rename(&usual, &path).unwrap();
        assert_loads(folder.path(), &tensors);
        std::fs::rename(&path, &usual).unwrap();
    }
    for variant in ["fp16", "bf16"] {
        std::fs::copy(&usual, usual.with_extension(format!("{variant}.safetensors"))).unwrap();
    }
    assert_loads(folder.path(), &tensors);
    std::fs::remove_file(&usual).unwrap();
    let error = load_folder(folder.path(), &CPU).unwrap_err().to_string();
    assert!(error.contains("bf16.safetensors and") && error.contains("import FILE"), "{error}");
}

#[test]
fn weights_in_several_files_are_read_by_their_index() {
    let (folder, tensors) = (tempfile::tempdir().unwrap(), seeded());
    save(folder.path(), &BTreeMap::new());
    let usual = folder.path().join("diffusion_pytorch_model.safetensors");
    std::fs::remove_file(&usual).unwrap();
    let name = |i: usize| format!("diffusion_pytorch_model-{:05}-of-00002.safetensors", i % 2 + 1);
    let map: BTreeMap<&String, String> = tensors.keys().enumerate().map(|(i, key)| (key, name(i))).collect();
    for i in 0..2 {
        let part = tensors.iter().filter(|(key, _)| map[key] == name(i));
        let part = part.map(|(key, tensor)| (key.clone(), tensor.clone())).collect();
        std::fs::write(folder.path().join(name(i)), weights_to_bytes(&part).unwrap()).unwrap();
    }
    let index = |map: &BTreeMap<&String, String>| {
        let text = format!("{{\"metadata\": {{}}, \"weight_map\": {}}}", serde_json::to_string(map).unwrap());
        std::fs::write(usual.with_extension("safetensors.index.json"), text).unwrap();
    };
    index(&map);
    assert_loads(folder.path(), &tensors);
    let refused = |wrong: &str, file: &str| {
        let mut map = map.clone();
        let wrong = wrong.to_string();
        map.insert(&wrong, file.into());
        index(&map);
        load_folder(folder.path(), &CPU).unwrap_err().to_string()
    };
    assert!(refused("absent", &name(0)).contains("absent is not in"));
    assert!(refused("conv_in.bias", "../other.safetensors").contains("outside its folder"));
    let other = if map[&"conv_in.bias".to_string()] == name(0) { name(1) } else { name(0) };
    assert!(refused("conv_in.bias", &other).contains("it holds conv_in.bias"));
    let part = duet_model::load_files(&folder.path().join("config.json"), &folder.path().join(name(0)), &CPU);
    assert!(part.unwrap_err().to_string().contains("name their folder"));
}

#[test]
fn an_averages_own_keys_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), &seeded());
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let own = "\"decay\": 0.9999, \"inv_gamma\": 1.0, \"min_decay\": 0.0, \"optimization_step\": 1, \"power\": 0.75, \
               \"update_after_step\": 0, \"use_ema_warmup\": true,";
    std::fs::write(&path, text.replacen('{', &format!("{{ {own}"), 1)).unwrap();
    assert_loads(folder.path(), &seeded());
}

#[test]
fn a_row_of_classes_moves_behind_the_others() {
    let config = UNetConfig { num_class_embeds: Some(4), ..network() };
    let (_, parameters) = UNet::seeded(&config, 3, &CPU).unwrap();
    let rows = || parameters.get("class_embedding.weight").unwrap().to_vec2::<f32>().unwrap();
    let before = rows();
    duet_model::move_class_row(&parameters, 1).unwrap();
    let expected = [0, 2, 3, 1].map(|row| before[row].clone());
    assert_eq!(rows(), expected);
}
