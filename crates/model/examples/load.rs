//! Loads a model folder, of Duet or diffusers, and asks it for one prediction.
//!
//! cargo run --release -p duet-model --example load -- FOLDER
use candle_core::{DType, Device, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/references/plain");
    let folder = std::env::args().nth(1).unwrap_or(default.into());
    let model = duet_model::load_folder(folder.as_ref(), &Device::Cpu)?;
    let config = model.unet.config();
    println!("{folder}: {} parameters in {} tensors", model.parameters.count(), model.parameters.len());
    println!("channels {:?}, classes {:?}", config.block_out_channels, config.num_class_embeds);

    let (height, width) = config.sample_size.map_or((32, 32), |size| size.sides());
    let x = Tensor::zeros((1, config.in_channels, height, width), DType::F32, &Device::Cpu)?;
    let t = Tensor::new(&[500u32], &Device::Cpu)?;
    let label = Tensor::new(&[0u32], &Device::Cpu)?;
    let prediction = model.unet.forward(&x, &t, config.num_class_embeds.map(|_| &label))?;
    println!(
        "prediction at t = 500: {:?}, mean {}",
        prediction.dims(),
        prediction.mean_all()?.to_scalar::<f32>()?
    );
    Ok(())
}
