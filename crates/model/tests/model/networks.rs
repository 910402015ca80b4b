//! Small configurations that the tests of several files share.
use duet_model::UNetConfig;

pub fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

pub fn plain() -> UNetConfig {
    UNetConfig {
        in_channels: 2,
        out_channels: 2,
        down_block_types: strings(&["DownBlock2D", "AttnDownBlock2D"]),
        up_block_types: strings(&["AttnUpBlock2D", "UpBlock2D"]),
        block_out_channels: vec![8, 12],
        layers_per_block: 1,
        attention_head_dim: Some(4),
        norm_num_groups: 4,
        num_class_embeds: Some(4),
        ..UNetConfig::diffusers_defaults()
    }
}

/// The same with one level, no middle and no classes.
pub fn one_level(base: UNetConfig) -> UNetConfig {
    UNetConfig {
        down_block_types: strings(&["DownBlock2D"]),
        up_block_types: strings(&["UpBlock2D"]),
        block_out_channels: vec![8],
        mid_block_type: None,
        num_class_embeds: None,
        ..base
    }
}

/// The same with settings that are seldom used.
pub fn odd(base: UNetConfig) -> UNetConfig {
    UNetConfig {
        attention_head_dim: None,
        downsample_padding: 0,
        layers_per_block: 3,
        mid_block_scale_factor: 2.0,
        center_input_sample: true,
        time_embedding_dim: Some(20),
        norm_num_groups: 1,
        ..base
    }
}

/// Networks that differ in everything that a configuration can change.
pub fn networks() -> Vec<(&'static str, UNetConfig)> {
    vec![
        ("plain", plain()),
        ("one level without a middle", one_level(plain())),
        ("odd settings", UNetConfig { flip_sin_to_cos: false, freq_shift: 1.0, ..odd(plain()) }),
        (
            "three levels, odd widths",
            UNetConfig {
                down_block_types: strings(&["DownBlock2D"; 3]),
                up_block_types: strings(&["UpBlock2D"; 3]),
                block_out_channels: vec![6, 10, 18],
                norm_num_groups: 2,
                attn_norm_num_groups: Some(3),
                attention_head_dim: Some(6),
                ..plain()
            },
        ),
    ]
}
