//! The model card: a README.md that says what a model is and how to load it.

use crate::config::RunConfig;
use crate::drawing::Drawing;
use crate::markdown;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::settings::STEPS;
use std::fmt::Write;
use std::path::Path;

/// What a card tells of.
pub struct Card<'a> {
    pub name: String,
    pub model: &'a Model,
    /// Of the run, where there is one.
    pub config: Option<&'a RunConfig>,
    pub metrics: &'a [Metrics],
    pub data: Option<String>,
    pub data_licence: Option<String>,
    /// The settings that are recommended.
    pub drawing: &'a Drawing,
    /// How the pictures were drawn, where there are any.
    pub pictures: Option<String>,
    pub has_curves: bool,
}

/// Front matter as model hubs read it.
const HEAD: &str = "---
library_name: diffusers
pipeline_tag: unconditional-image-generation
tags:
- diffusers
- class-conditional
- classifier-free-guidance
- duet
---
";

/// The card as Markdown.
pub fn written(card: &Card) -> String {
    let config = card.model.loaded.unet.config();
    let mut text = format!("{HEAD}\n# {}\n\n", markdown::text(&card.name));
    let conditional = if config.num_class_embeds.is_some() { "class-conditional " } else { "" };
    let _ = writeln!(
        text,
        "A {conditional}image diffusion model of {} parameters, trained or converted with Duet; diffusers loads it as \
         it is.\n",
        card.model.loaded.parameters.count()
    );
    if let Some(settings) = &card.pictures {
        let _ = writeln!(
            text,
            "![Samples, a row for each class](samples.png)\n\nSeeds 0 to 7, nothing picked: {}.\n",
            markdown::text(settings)
        );
    }
    network(&mut text, card);
    data(&mut text, card);
    training(&mut text, card);
    usage(&mut text, card);
    text
}

fn network(text: &mut String, card: &Card) {
    let (config, scheduler) = (card.model.loaded.unet.config(), &card.model.scheduler);
    let size = config.sample_size.map_or("H×W".into(), |size| {
        let (height, width) = size.sides();
        format!("{height}×{width}")
    });
    let prediction = scheduler.prediction().map_or_else(|error| error.to_string(), |p| p.to_string());
    let spacing = scheduler.spacing().map_or_else(|error| error.to_string(), |s| s.to_string());
    let _ = writeln!(
        text,
        "## The model\n\n| | |\n|---|---|\n\
         | images | {}×{size}, values in [-1, 1] |\n\
         | network | `UNet2DModel`, channels {:?}, layers a block: {} |\n\
         | prediction | {prediction} |\n\
         | scheduler | `{}`, {spacing} spacing |",
        config.in_channels,
        config.block_out_channels,
        config.layers_per_block,
        scheduler.class_name(),
    );
    if config.num_class_embeds.is_some() {
        let classes: Vec<String> = card.model.classes.iter().map(|name| markdown::text(name)).collect();
        let _ = writeln!(text, "| classes | {} |", classes.join(", "));
        let null = card.model.null_label.map_or("none".into(), |null| null.to_string());
        let _ = writeln!(text, "| null label | {null} |");
    }
    text.push('\n');
}

fn data(text: &mut String, card: &Card) {
    let embedded = card.config.is_some_and(|config| config.data.source == "digits");
    let folder = |config: &RunConfig| {
        let name =
            Path::new(&config.data.source).file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("The training images of the folder {}.", markdown::code(&name))
    };
    let what = match (&card.data, card.config) {
        (Some(what), _) => what.clone(),
        (None, _) if embedded => {
            "10,000 training images of handwritten digits from MNIST (LeCun, Cortes and Burges), 1,000 of each class."
                .into()
        }
        (None, Some(config)) => folder(config),
        (None, None) => "Not recorded.".into(),
    };
    let licence = match &card.data_licence {
        Some(licence) => licence.as_str(),
        None if embedded && card.data.is_none() => {
            "[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)"
        }
        None => "not recorded",
    };
    let _ = writeln!(text, "## Data\n\n{what} Licence of the data: {licence}.\n");
}

fn training(text: &mut String, card: &Card) {
    let Some(config) = card.config else { return };
    text.push_str("## Training\n\n");
    if let Some(last) = card.metrics.last() {
        let held_out = card.metrics.iter().rev().find_map(|metrics| metrics.held_out_loss);
        let held_out = held_out.map_or(String::new(), |loss| format!(", held-out loss {loss:.4}"));
        let _ = writeln!(text, "{} steps{held_out}.\n", last.step);
    }
    if card.has_curves {
        text.push_str("![Losses over the steps](curves.svg)\n\n");
    }
    let mut shared = config.clone();
    // A path of somebody's machine is nobody's business.
    if let Some(name) = Path::new(&config.data.source).file_name() {
        shared.data.source = name.to_string_lossy().into_owned();
    }
    if let Ok(config) = toml::to_string(&shared) {
        let _ = writeln!(text, "{}", markdown::block("toml", &config));
    }
}

fn usage(text: &mut String, card: &Card) {
    let model = card.model;
    let config = model.loaded.unet.config();
    let (height, width) = config.sample_size.map_or((64, 64), |size| size.sides());
    let shape = format!("8, {}, {height}, {width}", config.in_channels);
    let scheduler = model.scheduler.class_name();
    let (steps, guidance) = (card.drawing.steps.unwrap_or(STEPS), card.drawing.guidance[0]);
    let clip = if scheduler == "DDIMScheduler" { ", use_clipped_model_output=True" } else { "" };
    let _ = writeln!(
        text,
        "## Use it\n\nIn Python:\n\n```python\nimport torch\nfrom diffusers import {scheduler}, UNet2DModel\n\n\
         unet = UNet2DModel.from_pretrained(\"FOLDER\", subfolder=\"unet\")\n\
         scheduler = {scheduler}.from_pretrained(\"FOLDER\", subfolder=\"scheduler\")\n\
         scheduler.set_timesteps({steps})"
    );
    let _ = match (config.num_class_embeds, model.null_label) {
        (Some(_), Some(null)) => writeln!(
            text,
            "x, label, null = torch.randn({shape}), torch.full((8,), 0), torch.full((8,), {null})\n\
             with torch.no_grad():\n    for t in scheduler.timesteps:\n        \
             given, free = unet(torch.cat([x, x]), t, torch.cat([label, null])).sample.chunk(2)\n        \
             x = scheduler.step(free + {guidance} * (given - free), t, x{clip}).prev_sample"
        ),
        (classes, _) => {
            let (label, argument) = match classes {
                Some(_) => (", torch.full((8,), 0)", ", label"),
                None => ("", ""),
            };
            let names = if classes.is_some() { "x, label" } else { "x" };
            writeln!(
                text,
                "{names} = torch.randn({shape}){label}\n\
                 with torch.no_grad():\n    for t in scheduler.timesteps:\n        \
                 x = scheduler.step(unet(x, t{argument}).sample, t, x{clip}).prev_sample"
            )
        }
    };
    let class = match (config.num_class_embeds, model.null_label) {
        (Some(_), Some(_)) => " --class @0 --guidance 2",
        (Some(_), None) => " --class @0",
        (None, _) => "",
    };
    let _ = writeln!(
        text,
        "```\n\nIn Rust, `duet_model::load_folder(\"FOLDER\".as_ref(), &Device::Cpu)?` gives the network, and\n\n\
         ```\nduet sample --run FOLDER{class}\n```\n\ndraws with it from the command line."
    );
}
