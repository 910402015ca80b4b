//! Lists the classes of a data set and how many images each has.
//!
//! `cargo run --release -p duet-data --example classes [-- DIR [IMAGE_SIZE]]`; without a directory
//! it lists the embedded digits.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

use duet_data::{FolderOptions, Splits};

fn main() -> ExitCode {
    match splits().and_then(|splits| Ok(print(&splits, &mut io::stdout().lock())?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn splits() -> Result<Splits, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let Some(dir) = arguments.next().map(PathBuf::from) else {
        return Ok(duet_data::digits()?);
    };
    let image_size = match arguments.next() {
        Some(size) => Some(size.to_string_lossy().parse()?),
        None => None,
    };
    let options = FolderOptions { image_size, channels: None, ..FolderOptions::default() };
    Ok(duet_data::open(&dir, &options)?)
}

fn print(splits: &Splits, out: &mut impl io::Write) -> io::Result<()> {
    let classes = splits.train.classes();
    let (train, test) = (splits.train.class_counts(), splits.test.class_counts());
    let width = classes.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0).max(5);
    writeln!(out, "{}", splits.describe())?;
    writeln!(out, "label  {:width$}  training    test", "class")?;
    for (label, name) in classes.iter().enumerate() {
        writeln!(out, "{label:5}  {name:width$}  {:8}  {:6}", train[label], test[label])?;
    }
    Ok(())
}
