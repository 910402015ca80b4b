//! `page`: the studio's page as one file, which computes in the browser, by the crate `studio`, which only a program with
//! the feature of that name has.

use anyhow::Result;
use std::path::PathBuf;

/// Flags of `page`.
#[derive(clap::Args)]
pub struct Args {
    /// The model in the page: a run, a checkpoint, or any model folder
    #[arg(long, value_name = "DIR|latest", default_value = "latest")]
    run: String,
    /// The page
    #[arg(long, value_name = "x.html")]
    out: PathBuf,
    /// What the page calls the model [default: the name of its run]
    #[arg(long)]
    name: Option<String>,
    /// A WebAssembly module of the crate `web` that is built already [default: build it in this clone]
    #[arg(long, value_name = "FILE")]
    engine: Option<PathBuf>,
}

/// Runs the verb.
#[cfg(feature = "studio")]
pub fn run(args: Args) -> Result<()> {
    write::run(args)
}

/// Runs the verb: in a clone, by a program that is built with the feature now.
#[cfg(not(feature = "studio"))]
pub fn run(args: Args) -> Result<()> {
    let Args { run: _, out: _, name: _, engine: _ } = args;
    crate::with_page::run("page")
}

#[cfg(feature = "studio")]
mod write {
    use super::Args;
    use crate::engine;
    use crate::exit::usage;
    use crate::models;
    use crate::report::check_html;
    use crate::terminal::{err, out};
    use anyhow::{Context, Result};
    use candle_core::Device;
    use duet_diffusion::find::RUNS;
    use duet_diffusion::{CHECKPOINTS, ModelFiles, Rounded};
    use duet_studio::Alone;
    use std::io::Write;
    use std::path::{Path, PathBuf};

    /// Larger files are no modules.
    const MAX_ENGINE: u64 = 64 << 20;
    /// Rounded weights may change a grey value by so many levels of 255.
    const LEVELS: f64 = 0.5;
    const SIGN_AND_EXPONENT: u32 = 9;

    pub fn run(args: Args) -> Result<()> {
        let Args { run, out, name, engine } = args;
        check_html(&out)?;
        let model = models::open(&run, &Device::Cpu)?;
        let engine = match engine {
            Some(path) => read_engine(&path)?,
            None => read_engine(&engine::built()?)?,
        };
        err!("looking how far the weights can be rounded");
        let rounded = ModelFiles::rounded(&model, LEVELS)?;
        let note = note_of(&rounded);
        let Rounded { files, weights, .. } = rounded;
        let folder = name.map_or_else(|| name_of(Path::new(&run), &model.folder), Into::into);
        let files = ModelFiles { folder, ..files };
        let page = Alone { files: &files, weights: &weights, engine: &engine, program: "duet", note: &note };
        let html = page.html();
        duet_files::write_whole(&out, |file| file.write_all(html.as_bytes()))
            .with_context(|| format!("cannot write {}", out.display()))?;
        out!("{}: {:.1} MB, from {}", out.display(), html.len() as f64 / 1e6, model.folder.display());
        out!("{note}");
        Ok(())
    }

    fn read_engine(path: &Path) -> Result<Vec<u8>> {
        let bytes =
            duet_files::read(path, MAX_ENGINE).with_context(|| format!("--engine {}", path.display()))?;
        match bytes.starts_with(b"\0asm") {
            true => Ok(bytes),
            false => Err(usage(format!("--engine {}: no WebAssembly module", path.display()))),
        }
    }

    /// The run of a checkpoint, or another model's folder, without where it is on this machine: the page goes to others.
    fn name_of(asked: &Path, folder: &Path) -> PathBuf {
        let name = |path: &Path| path.file_name().map(PathBuf::from);
        let above = |path: &Path| path.parent().and_then(name);
        let is_checkpoint = above(folder).is_some_and(|above| above.as_os_str() == CHECKPOINTS);
        let run = match is_checkpoint {
            true => folder.parent().and_then(Path::parent).unwrap_or(folder),
            false => folder,
        };
        let runs = above(run).filter(|above| above.as_os_str() == RUNS).unwrap_or_default();
        let called = runs.join(name(run).unwrap_or_else(|| "model".into()));
        // A checkpoint that was asked for may not be the newest, which the run's name stands for.
        match name(folder).filter(|step| is_checkpoint && name(asked).as_ref() == Some(step)) {
            Some(step) => called.join(CHECKPOINTS).join(step),
            None => called,
        }
    }

    /// What the page says of its weights.
    fn note_of(rounded: &Rounded) -> String {
        let Rounded { bits, apart, .. } = rounded;
        format!(
            "The weights of the model are rounded to {} bits. In the images that were compared, that changes grey values \
             by at most {apart:.2} of 255.",
            bits + SIGN_AND_EXPONENT
        )
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_page_does_not_say_where_its_model_was() {
            let step = "/home/ada/runs/00001-digits/checkpoints/step-000500";
            for (asked, folder, name) in [
                ("latest", "runs/00001-digits/checkpoints/step-000500", "runs/00001-digits"),
                ("/home/ada/runs/00001-digits", step, "runs/00001-digits"),
                (step, step, "runs/00001-digits/checkpoints/step-000500"),
                ("/home/ada/models/flowers", "/home/ada/models/flowers", "flowers"),
                ("flowers", "flowers", "flowers"),
                ("..", "..", "model"),
            ] {
                assert_eq!(name_of(Path::new(asked), Path::new(folder)), Path::new(name), "{asked}");
            }
        }
    }
}
