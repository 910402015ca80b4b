//! Prints what the embedded classifier says about held-out digits.
//!
//! `cargo run --release -p duet-judge --example judge`
use candle_core::{Device, Tensor};
use duet_judge::Classifier;

const SHOWN: usize = 10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (digits, classifier) = (duet_data::digits()?.test, Classifier::digits()?);
    let length = digits.shape().len();
    let mut values = vec![0f32; SHOWN * length];
    for (i, image) in values.chunks_mut(length).enumerate() {
        digits.image(i, image);
    }
    let images = Tensor::from_vec(values, (SHOWN, 1, 28, 28), &Device::Cpu)?;
    let probabilities = classifier.probabilities(&images)?.to_vec2::<f32>()?;
    for (i, class) in classifier.classify(&images)?.into_iter().enumerate() {
        let percent = 100.0 * probabilities[i][class as usize];
        println!("a {} is taken for a {class}, with {percent:.0} %", digits.label(i));
    }
    let accuracy = 100.0 * classifier.accuracy(&digits)?;
    println!("right on {accuracy:.2} % of {} images", digits.len());
    Ok(())
}
