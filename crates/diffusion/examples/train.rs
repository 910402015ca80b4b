//! From labelled images to a trained run: of the embedded digits, or of a folder with one subfolder a class.
use duet_diffusion::{Device, RunConfig, Session};

fn main() -> duet_diffusion::Result<()> {
    let mut config = RunConfig::preset("digits")?;
    config.data.source = std::env::args().nth(1).unwrap_or("digits".into());
    config.train.steps = 20;
    let images = config.load_data()?;
    let folder = duet_diffusion::find::next(&images.name);
    let mut session = Session::start(config, images, &folder, Device::Cpu)?;
    while !session.is_done() {
        let stepped = session.step()?;
        println!("step {}: loss {:.4}", stepped.report.step, stepped.report.loss);
    }
    println!("trained: {}", session.finish()?.display());
    Ok(())
}
