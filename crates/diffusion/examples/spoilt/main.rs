//! What every metric says of real digits of which a share is spoilt, by both judges.
//!
//! `cargo run --release -p duet-diffusion --example spoilt -- 5000`: that many of the embedded training digits stand for
//! samples, beside as many others. They are of one kind, which the held-out digits are not: those were written by others.
use duet_diffusion::eval::{Closeness, halves, two_sample_test};
use duet_diffusion::yardstick::{self, Yardstick};
use duet_diffusion::{Distances, data};

mod spoil;

const SHARES: [f64; 6] = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(1000), |count| count.parse())?;
    let yardstick = Yardstick::of(data::digits()?, None)?;
    let train = &yardstick.splits.train;
    let [reference, samples] =
        halves(train.labels(), 0).map(|half| train.select(&half[..count.min(half.len())]));
    let (reference, _) = yardstick::tensors(&reference)?;
    let (images, asked) = yardstick::tensors(&samples)?;
    let judges = [("judge", Some(yardstick.judge()?)), ("second judge", yardstick.second()?)];
    for (name, judge) in judges.into_iter().filter_map(|(name, judge)| Some((name, judge?))) {
        let real = judge.features(&reference)?;
        println!("{name}, {} digits beside {} others", asked.len(), real.len());
        let columns = SHARES.map(|share| {
            let images = spoil::spoilt(&images, share, 0)?;
            let features = judge.features(&images)?;
            let answers = judge.answers(&images)?;
            let right =
                answers.iter().zip(&asked).filter(|(a, b)| a == b).count() as f64 / asked.len() as f64;
            let test = two_sample_test(&real, &features, 0)?;
            let numbers = Distances::from(Closeness::new(&real, &features)?).numbers();
            let mut column = vec![("class accuracy", right), ("two-sample accuracy", test.accuracy)];
            column.extend(numbers);
            Ok::<_, Box<dyn std::error::Error>>(column)
        });
        let columns = columns.into_iter().collect::<Result<Vec<_>, _>>()?;
        println!("| spoilt |{}", SHARES.map(|share| format!(" {} % |", 100.0 * share)).concat());
        println!("|---|{}", "---|".repeat(SHARES.len()));
        for (i, (metric, _)) in columns[0].iter().enumerate() {
            println!(
                "| {metric} |{}",
                columns.iter().map(|c| format!(" {:.5} |", c[i].1)).collect::<String>()
            );
        }
    }
    Ok(())
}
