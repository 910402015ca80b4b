//! From a model folder to a picture of its images: of the newest run, or of the folder that is named.
use duet_diffusion::{Device, Drawing, Model, Plan};

fn main() -> duet_diffusion::Result<()> {
    let name = std::env::args().nth(1).unwrap_or("latest".into());
    let model = Model::open(&name, &Device::Cpu)?;
    let drawing = Drawing { seeds: "0-3".parse()?, guidance: vec![2.0], ..Drawing::default() };
    let plan = Plan::new(&drawing, &model, 64, &Device::Cpu)?;
    let drawn = plan.draw(|_| Ok(()))?;
    plan.grid(&drawn.images)?.write_png("samples.png")?;
    println!("{}: {} network evaluations", plan.summary(), drawn.evaluations);
    Ok(())
}
