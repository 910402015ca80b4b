//! From labelled images in memory to a trained run, and from that run to a picture.
use duet_diffusion::data::{Dataset, Shape, Splits};
use duet_diffusion::{Device, Drawing, Plan, RunConfig, Session};

/// Image `i`: bright at the left or at the right, and which of the two.
fn half(i: usize, values: &mut [f32]) -> u32 {
    let side = i % 2;
    values.iter_mut().enumerate().for_each(|(p, v)| *v = if p % 8 / 4 == side { 0.8 } else { -0.8 });
    side as u32
}

fn main() -> duet_diffusion::Result<()> {
    let (shape, classes) = (Shape { channels: 1, height: 8, width: 8 }, vec!["left".into(), "right".into()]);
    let of = |count| Dataset::from_fn(shape, classes.clone(), count, half);
    let mut config = RunConfig::preset("digits")?;
    config.train.steps = 20;
    let folder = duet_diffusion::find::next("halves");
    let mut session = Session::start(config, Splits::new("halves", of(80)?, of(20)?)?, &folder, Device::Cpu)?;
    while !session.is_done() {
        println!("loss {:.4}", session.step()?.report.loss);
    }
    let model = session.model()?;
    let plan = Plan::new(&Drawing::default(), &model, 64, &Device::Cpu)?;
    plan.grid(&plan.draw(|_| Ok(()))?.images)?.write_png("halves.png")?;
    println!("trained: {}", session.finish()?.display());
    Ok(())
}
