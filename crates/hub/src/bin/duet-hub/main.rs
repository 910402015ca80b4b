//! `duet-hub mnist --out DIR`: downloads a public data set and writes it as its usual files.

mod download;
mod failure;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use duet_hub::{PixelOrder, PublicSet, check_vacant, convert};

use failure::Failure;

/// Downloads a public data set and writes it as the files that `--data DIR` reads.
///
/// MNIST and Fashion-MNIST become gzipped IDX files with a classes.txt, CIFAR-10 its binary
/// batches. The download goes through candle-datasets to huggingface.co (or HF_ENDPOINT) and stays
/// in the cache of Hugging Face's tools, so that a second time needs no network.
///
/// Exit codes: 0 ok, 2 usage, 4 the data is wrong, 6 no network, or the disk.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Which set.
    set: PublicSet,

    /// The directory to make. It may exist if it is empty.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// How long the download may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match fetch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn fetch(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { set, ref out, timeout } = *arguments;
    // Before the download and not only after it.
    check_vacant(out)?;
    eprintln!("getting {set} from {}, or from the cache of earlier downloads", server::name());
    let dataset = download::dataset(set, Duration::from_secs(timeout), out)?;
    let images = convert(set, PixelOrder::of_download(set), &dataset).map_err(Failure::from)?;
    drop(dataset);
    images.check_counts()?;
    images.write(out)?;

    let (channels, rows, columns) = set.shape();
    println!(
        "{set}: {} training and {} test images, {channels}x{rows}x{columns}, {} classes, in {dir}\n\
         train on it with: cargo xtask train --data {dir}",
        images.train().labels.len(),
        images.test().labels.len(),
        set.classes().len(),
        dir = out.display(),
    );
    Ok(())
}
