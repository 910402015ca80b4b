//! Finds the minimum of (p - 3)² with AdamW: `cargo run --release -p duet-optim --example quadratic`.

use candle_core::{Device, Result, Var};
use duet_optim::{AdamW, AdamWOptions, LearningRate};
use std::collections::BTreeMap;

fn main() -> Result<()> {
    let p = Var::new(&[0f32], &Device::Cpu)?;
    let named = || [("p", &p)].into_iter();
    let options = AdamWOptions { betas: [0.9, 0.99], eps: 1e-8, weight_decay: 0.0 };
    let mut adam = AdamW::new(named(), options)?;
    let rate = LearningRate { peak: 0.3, warmup: 5, steps: 100, last: 0.0 };
    for step in 1..=100 {
        let loss = (p.as_tensor() - 3.0)?.sqr()?.sum_all()?;
        let gradient = loss.backward()?.get(&p).expect("a gradient").clone();
        adam.step(step, named(), &BTreeMap::from([("p".into(), gradient)]), rate.at(step - 1), |_, _| false)?;
    }
    println!("p = {:?}", p.to_vec1::<f32>()?);
    Ok(())
}
