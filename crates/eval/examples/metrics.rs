//! Every metric on drawn features, and how long each takes.
//!
//! `cargo run --release -p duet-eval --example metrics -- 1000 10000 256` for 1000 samples, 10000
//! real images and 256 features.
use duet_eval::*;
use duet_random::Draws;
use std::time::Instant;

fn drawn(index: u64, rows: usize, dims: usize) -> Result<Features, EvalError> {
    let mut values = vec![0f32; rows * dims];
    Draws::new(0, "features", index).fill_normal(&mut values);
    Features::new(values, dims)
}

fn timed<T: std::fmt::Debug>(
    name: &str,
    metric: impl FnOnce() -> Result<T, EvalError>,
) -> Result<T, EvalError> {
    let start = Instant::now();
    let value = metric()?;
    let mut text = format!("{value:?}");
    text.truncate(text.char_indices().nth(110).map_or(text.len(), |(end, _)| end));
    println!("{:7.3} s  {name}: {text}", start.elapsed().as_secs_f64());
    Ok(value)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sizes: Vec<usize> = std::env::args().skip(1).map(|size| size.parse()).collect::<Result<_, _>>()?;
    let (n, m, dims) = match sizes[..] {
        [] => (200, 500, 32),
        [n, m, dims] => (n, m, dims),
        _ => return Err("wanted: numbers of samples, of real images and of features".into()),
    };
    let (samples, real, held_out) = (drawn(0, n, dims)?, drawn(1, m, dims)?, drawn(2, n, dims)?);

    timed("Frechet distance", || frechet_distance(&Gaussian::fit(&real)?, &Gaussian::fit(&samples)?))?;
    let gaussian = Gaussian::fit(&real)?;
    let bootstrap = Bootstrap { resamples: 20, level: 0.9, seed: 0 };
    timed("its interval, of 20 resamples", || {
        bootstrap.interval(n, |i| frechet_distance(&gaussian, &Gaussian::fit(&samples.select(i)?)?))
    })?;
    timed("kernel distance", || kernel_distance(&samples, &real))?;
    timed("precision and recall", || {
        precision_recall(
            &Manifold::new(&real, PRECISION_RECALL_K)?,
            &Manifold::new(&samples, PRECISION_RECALL_K)?,
        )
    })?;
    timed("density and coverage", || density_coverage(&Manifold::new(&real, DENSITY_COVERAGE_K)?, &samples))?;
    let classes = vec![0; n];
    let of = |features| Classed { features, classes: &classes };
    timed("memorisation", || memorisation(of(&samples), of(&held_out), &real, 0.01))?;
    Ok(())
}
