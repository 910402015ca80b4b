//! The runs and models that may be named. No other path is opened.

use crate::refusal::Refusal;
use duet_diffusion::find::{BEST, LATEST};
use duet_diffusion::train::checkpoint;
use duet_diffusion::{CHECKPOINTS, CONFIG};
use std::path::{Path, PathBuf};

/// Where runs are, and the model that was named beside them.
pub struct Places {
    runs: PathBuf,
    named: Option<String>,
}

/// A run or a model folder, under the name that `duet sample --run` takes too.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    pub name: String,
    pub path: PathBuf,
}

impl Places {
    pub fn new(runs: PathBuf, named: Option<String>) -> Self {
        Self { runs, named: named.filter(|name| name != LATEST) }
    }

    /// Every run of the folder, newest first: by the numbers that names begin with, and those without behind.
    pub fn runs(&self) -> Vec<Place> {
        let entries = std::fs::read_dir(&self.runs).into_iter().flatten().flatten();
        // A link is not followed: it may lead anywhere.
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let number = |name: &str| name.split('-').next().and_then(|number| number.parse::<u64>().ok());
        names.sort_by(|a, b| (number(b), b).cmp(&(number(a), a)));
        let place = |name: String| Place {
            path: self.runs.join(&name),
            name: self.runs.join(&name).display().to_string(),
        };
        names.into_iter().map(place).filter(|place| is_run(&place.path)).collect()
    }

    /// Every run, and the model that was named where it is none of them.
    pub fn all(&self) -> Vec<Place> {
        let mut all = self.runs();
        if let Some(name) = self.named.as_ref().filter(|name| !all.iter().any(|place| is_at(place, name))) {
            all.insert(0, Place { name: name.clone(), path: name.into() });
        }
        all
    }

    /// What the program was started with, or else the newest run that has a whole model.
    pub fn chosen(&self) -> Option<Place> {
        let all = self.all();
        match &self.named {
            Some(name) => all.into_iter().find(|place| is_at(place, name)),
            None => all.into_iter().find(|place| has_model(&place.path)),
        }
    }

    /// The run of this name.
    pub fn run(&self, name: &str) -> Result<PathBuf, Refusal> {
        let place = self.all().into_iter().find(|place| place.name == name && is_run(&place.path));
        place.map(|place| place.path).ok_or_else(|| absent(name))
    }

    /// The path of a model: a run, `best` of one or a checkpoint in one, the model that was named, or the chosen one for
    /// `latest`.
    pub fn model(&self, name: &str) -> Result<PathBuf, Refusal> {
        if name == LATEST {
            let none = || Refusal::absent("there is no run with a whole checkpoint yet").of("run");
            return Ok(self.chosen().ok_or_else(none)?.path);
        }
        let within = |place: Place| match name.strip_prefix(&place.name)?.strip_prefix(['/', '\\']) {
            None if name == place.name => Some(place.path),
            Some(BEST) => Some(place.path.join(BEST)),
            Some(rest) => {
                let step = rest.strip_prefix(CHECKPOINTS)?.strip_prefix(['/', '\\'])?;
                Some(place.path.join(CHECKPOINTS).join(is_step(step).then_some(step)?))
            }
            None => None,
        };
        self.all().into_iter().find_map(within).ok_or_else(|| absent(name).of("run"))
    }

    /// Refuses a model to guide with that is neither a checkpoint beside another nor one that may be named.
    pub fn check_guide(&self, name: &str) -> Result<(), Refusal> {
        if is_step(name) {
            return Ok(());
        }
        self.model(name).map(drop).map_err(|refusal| refusal.of("guide-with"))
    }
}

fn absent(name: &str) -> Refusal {
    Refusal::absent(format!("{name}: there is no such run or model here now"))
}

fn is_at(place: &Place, name: &str) -> bool {
    let whole = |path: &Path| std::fs::canonicalize(path).ok();
    place.name == name || whole(&place.path).is_some_and(|path| Some(path) == whole(Path::new(name)))
}

/// `step-` and a number.
fn is_step(name: &str) -> bool {
    let digits = name.strip_prefix("step-").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a folder is a run's, with a configuration of its own and no link to one elsewhere.
pub fn is_run(folder: &Path) -> bool {
    is_own_file(&folder.join(CONFIG))
}

/// Whether there is a file, and no link to one elsewhere.
pub fn is_own_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| data.is_file())
}

/// The checkpoints of a run by their steps, oldest first.
pub fn checkpoints(run: &Path) -> Vec<(u64, PathBuf)> {
    checkpoint::list(&run.join(CHECKPOINTS)).unwrap_or_default()
}

/// The newest checkpoint of a run, whole or not.
pub fn newest_checkpoint(run: &Path) -> Option<(u64, PathBuf)> {
    checkpoints(run).pop()
}

/// Whether a run has a checkpoint whose network is whole.
fn has_model(run: &Path) -> bool {
    checkpoint::latest_model(&run.join(CHECKPOINTS)).is_ok_and(|(found, _)| found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(folders: &[&str]) -> (tempfile::TempDir, Places) {
        let dir = tempfile::tempdir().unwrap();
        for folder in folders {
            let run = dir.path().join("runs").join(folder);
            std::fs::create_dir_all(run.join("checkpoints/step-000010")).unwrap();
            std::fs::write(run.join(CONFIG), "").unwrap();
        }
        let places = Places::new(dir.path().join("runs"), None);
        (dir, places)
    }

    #[test]
    fn runs_are_listed_newest_first_by_number() {
        let (dir, places) = places(&["00002-b", "00010-a", "mine", "9-c"]);
        std::fs::create_dir(dir.path().join("runs/00099-no-run")).unwrap();
        let names: Vec<String> = places
            .runs()
            .iter()
            .map(|place| place.path.file_name().unwrap().to_string_lossy().into())
            .collect();
        assert_eq!(names, ["00010-a", "9-c", "00002-b", "mine"]);
    }

    #[test]
    fn no_name_leads_out_of_the_runs() {
        let (dir, places) = places(&["00001-a"]);
        let run = dir.path().join("runs/00001-a").display().to_string();
        std::fs::create_dir_all(dir.path().join("secret/checkpoints/step-000010")).unwrap();
        std::fs::write(dir.path().join("secret").join(CONFIG), "").unwrap();
        assert!(places.model(&run).is_ok() && places.run(&run).is_ok());
        assert!(places.model(&format!("{run}/best")).is_ok());
        assert!(places.model(&format!("{run}/checkpoints/step-000010")).is_ok());
        let secret = dir.path().join("secret").display().to_string();
        for name in [
            secret.clone(),
            format!("{run}/../../secret"),
            format!("{run}/checkpoints/../../../secret"),
            format!("{run}/checkpoints/step-1/../../../../secret"),
            format!("{run}/checkpoints/step-"),
            format!("{run}/"),
            format!("{run}x"),
            String::new(),
            "/".into(),
            "..".into(),
            "/etc/passwd".into(),
        ] {
            assert_eq!(places.model(&name).unwrap_err().status.as_u16(), 404, "{name}");
            assert_eq!(places.run(&name).unwrap_err().status.as_u16(), 404, "{name}");
            assert_eq!(
                places.check_guide(&name).unwrap_err().option.as_deref(),
                Some("guide-with"),
                "{name}"
            );
        }
        assert!(places.check_guide("step-000010").is_ok());
        assert!(places.check_guide("step-000010/../../..").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_no_run() {
        let (dir, places) = places(&["00001-a"]);
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        std::fs::write(dir.path().join("elsewhere").join(CONFIG), "").unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("runs/00002-b")).unwrap();
        assert_eq!(places.runs().len(), 1);
    }

    #[test]
    fn a_model_elsewhere_is_named_by_the_program_alone() {
        let (dir, _) = places(&["00001-a"]);
        let elsewhere = dir.path().join("elsewhere").display().to_string();
        let places = Places::new(dir.path().join("runs"), Some(elsewhere.clone()));
        assert_eq!(places.chosen().unwrap().name, elsewhere);
        assert_eq!(places.model(&elsewhere), Ok(PathBuf::from(&elsewhere)));
        assert_eq!(places.all().len(), 2);
    }
}
