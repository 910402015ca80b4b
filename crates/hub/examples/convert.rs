//! Converts MNIST files that are on this machine, as candle-datasets reads them.
//!
//! `cargo run --release -p duet-hub --example convert -- FROM TO`: FROM holds the four unpacked
//! IDX files, TO is made.

use std::error::Error;
use std::path::PathBuf;

use duet_hub::{PixelOrder, PublicSet, convert};

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = folders.as_slice() else {
        return Err("usage: convert FROM TO".into());
    };
    let dataset = candle_datasets::vision::mnist::load_dir(from)?;
    let images = convert(PublicSet::Mnist, PixelOrder::ByRow, &dataset)?;
    images.check_counts()?;
    images.write(to)?;
    println!("{} files in {}", PublicSet::Mnist.file_names().len(), to.display());
    Ok(())
}
