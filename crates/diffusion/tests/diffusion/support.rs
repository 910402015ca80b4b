//! A tiny run that is trained once for all tests.

pub use crate::tiny::{CONFIG, images};
use candle_core::Tensor;
use duet_diffusion::{Device, Drawing, Form, Model, Plan, RunConfig, Session, reproduce};
use std::cell::RefCell;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{LazyLock, Once};
use tempfile::TempDir;

/// A preset with this TOML over it, for these images.
pub fn configured(preset: &str, toml: &str, dir: &Path, images: &Path) -> RunConfig {
    let file = dir.join("tiny.toml");
    std::fs::write(&file, toml).unwrap();
    let source = ("data.source", images.display().to_string().into());
    RunConfig::resolve(preset, Some(&file), vec![source]).unwrap()
}

/// Trains a run to its end in `folder`.
pub fn train(config: RunConfig, folder: &Path) {
    let data = config.load_data().unwrap();
    let mut session = Session::start(config, data, folder, Device::Cpu).unwrap();
    while !session.is_done() {
        session.step().unwrap();
    }
    session.finish().unwrap();
}

/// Removed with cargo's own folder: nothing is dropped at the end of the tests.
static TRAINED: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    let config = configured("digits", CONFIG, &dir, &images(&dir));
    train(config, &dir.join("run"));
    dir.join("run")
});

/// A trained run that no test may change.
pub fn trained() -> &'static Path {
    &TRAINED
}

/// A folder with a trained run, `run`, that a test may change.
pub fn own_run() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    copy(trained(), &run);
    (dir, run)
}

pub fn copy(from: &Path, to: &Path) {
    for (path, bytes) in files(from) {
        let copied = to.join(path);
        std::fs::create_dir_all(copied.parent().unwrap()).unwrap();
        std::fs::write(copied, bytes).unwrap();
    }
}

/// The value of an option's text.
pub fn text<T: FromStr<Err: Debug>>(text: &str) -> Option<T> {
    Some(text.parse().unwrap())
}

/// A drawing of the trained run in five steps.
pub fn drawing(change: impl FnOnce(&mut Drawing)) -> Drawing {
    let run = trained().display().to_string();
    let mut drawing = Drawing { run, steps: Some(5), ..Drawing::default() };
    change(&mut drawing);
    drawing
}

/// Label and values of each image, in order; of a mixture, the label of its largest part.
pub fn drawn(drawing: &Drawing) -> Vec<(u32, Vec<f32>)> {
    drawn_at_once(drawing, 64)
}

/// The same with so many images in one pass.
pub fn drawn_at_once(drawing: &Drawing, batch: usize) -> Vec<(u32, Vec<f32>)> {
    let model = Model::of(drawing, &Device::Cpu).unwrap();
    drawn_by(&model, drawing, batch)
}

/// The same by a model that is open.
pub fn drawn_by(model: &Model, drawing: &Drawing, batch: usize) -> Vec<(u32, Vec<f32>)> {
    let plan = Plan::new(drawing, model, batch, &Device::Cpu).unwrap();
    let images = plan.draw(|_| Ok(())).unwrap().images;
    let labels = plan.sampling.labels.as_ref().unwrap();
    let largest = |i: usize| labels.parts(i).iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    (0..labels.len()).map(largest).zip(rows(&images)).collect()
}

/// The values of each image.
pub fn rows(images: &Tensor) -> Vec<Vec<f32>> {
    images.flatten_from(1).unwrap().to_vec2().unwrap()
}

/// The greatest difference of two images.
pub fn off(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |worst, (a, b)| worst.max((a - b).abs()))
}

/// Draws a grid as `sample` does, into a file.
pub fn draw_grid(drawing: &Drawing, path: &Path) {
    let model = Model::of(drawing, &Device::Cpu).unwrap();
    let plan = Plan::new(drawing, &model, 64, &Device::Cpu).unwrap();
    let images = plan.draw(|_| Ok(())).unwrap().images;
    plan.grid(&images).unwrap().write_png_with(path, &plan.texts(Form::Grid).unwrap()).unwrap();
}

/// Draws a PNG again, which must give the same bytes.
#[track_caller]
pub fn assert_reproduces(picture: &Path) {
    let again =
        reproduce(picture, None, 100_000, &Device::Cpu).unwrap_or_else(|error| panic!("{}", error.chain()));
    again.check().unwrap();
}

/// The refusal's whole text.
#[track_caller]
pub fn refused<T>(result: duet_diffusion::Result<T>) -> String {
    match result {
        Ok(_) => panic!("it is not refused"),
        Err(error) => error.chain(),
    }
}

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged, by the thread that says it.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        SAID.with_borrow_mut(|said| said.push(record.args().to_string()));
    }

    fn flush(&self) {}
}

/// What a function gives, and what it logs on this thread, line by line.
pub fn heard<T>(of: impl FnOnce() -> T) -> (T, String) {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
    SAID.take();
    let given = of();
    (given, SAID.take().join("\n"))
}

/// Every file under `dir` by its path.
pub fn files(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    drop(found.insert(path.strip_prefix(dir).unwrap().into(), std::fs::read(&path).unwrap()))
                }
            }
        }
    }
    found
}
