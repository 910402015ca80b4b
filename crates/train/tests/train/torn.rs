//! A save that fails at any of its operations leaves the previous checkpoint or the new one.
use crate::common::{classes, files, options, saved, trainer, two_sides};
use candle_core::Device;
use duet_schedule::Spacing;
use duet_train::{DataOrder, Disk, RealDisk, TrainError, TrainOptions, Trainer, checkpoint};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The operation is not done, and none after it.
    Abort,
    /// It fails once.
    Error(io::ErrorKind),
    /// Half of the bytes are written, then it fails; like an error elsewhere.
    ShortWrite,
}

/// How to undo an operation that has not been synced.
enum Undo {
    Remove(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// The original place of a folder that was moved instead of being removed.
    Restore {
        from: PathBuf,
        to: PathBuf,
    },
}

impl Undo {
    /// The folder whose sync makes the operation durable.
    fn folder(&self) -> &Path {
        match self {
            Self::Remove(path) | Self::Rename { from: path, .. } | Self::Restore { to: path, .. } => {
                path.parent().unwrap()
            }
        }
    }
}

/// The machine's disk, with a fault at one operation, and a memory of what is not synced.
struct FaultyDisk {
    at: usize,
    fault: Fault,
    done: Cell<usize>,
    undo: RefCell<Vec<Undo>>,
    unsynced: RefCell<Vec<PathBuf>>,
    /// Where removed folders wait.
    bin: tempfile::TempDir,
}

impl FaultyDisk {
    fn new(at: usize, fault: Fault) -> Self {
        let (done, undo, unsynced) = Default::default();
        Self { at, fault, done, undo, unsynced, bin: tempfile::tempdir().unwrap() }
    }

    /// The error that this operation has, if any.
    fn next(&self) -> io::Result<()> {
        let index = self.done.get();
        self.done.set(index + 1);
        match self.fault {
            Fault::Abort if index >= self.at => Err(io::Error::other("the power is gone")),
            Fault::Error(kind) if index == self.at => Err(kind.into()),
            Fault::ShortWrite if index == self.at => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    /// Simulates a power failure: everything that was not synced is lost.
    fn lose_unsynced(&self) {
        for path in self.unsynced.borrow_mut().drain(..).filter(|path| path.exists()) {
            fs::write(path, b"").unwrap();
        }
        for undo in self.undo.borrow_mut().drain(..).rev() {
            match undo {
                Undo::Remove(path) if path.is_dir() => fs::remove_dir_all(path).unwrap(),
                Undo::Remove(path) => fs::remove_file(path).unwrap_or_default(),
                Undo::Rename { from, to } => fs::rename(to, from).unwrap(),
                Undo::Restore { from, to } => fs::rename(from, to).unwrap(),
            }
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        self.undo.borrow_mut().push(Undo::Remove(path.into()));
        RealDisk.create_dir(path)
    }

    fn write_new(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.next() {
            if self.fault == Fault::ShortWrite {
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }
            return Err(error);
        }
        self.undo.borrow_mut().push(Undo::Remove(path.into()));
        self.unsynced.borrow_mut().push(path.into());
        RealDisk.write_new(path, bytes)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        self.unsynced.borrow_mut().retain(|unsynced| unsynced != path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.next()?;
        self.undo.borrow_mut().retain(|undo| undo.folder() != path);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.next()?;
        RealDisk.rename(from, to)?;
        // The records of paths inside the folder move with it.
        let moved = |path: &Path| path.strip_prefix(from).ok().map(|rest| to.join(rest));
        for path in self.unsynced.borrow_mut().iter_mut() {
            *path = moved(path).unwrap_or(path.clone());
        }
        let mut undo = self.undo.borrow_mut();
        for undo in undo.iter_mut() {
            if let Undo::Remove(path) = undo
                && path != from
            {
                *path = moved(path).unwrap_or(path.clone());
            }
        }
        undo.push(Undo::Rename { from: from.into(), to: to.into() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if let Err(error) = self.next() {
            // The power fails in the middle of it.
            if self.fault == Fault::Abort && self.done.get() == self.at + 1 {
                let _ = fs::remove_file(path.join("manifest.json"));
            }
            return Err(error);
        }
        let index = self.done.get();
        let from = self.bin.path().join(index.to_string());
        fs::rename(path, &from)?;
        self.undo.borrow_mut().push(Undo::Restore { from, to: path.into() });
        Ok(())
    }
}

/// A disk without faults that never syncs.
fn sound() -> FaultyDisk {
    FaultyDisk::new(usize::MAX, Fault::Abort)
}

/// The state of the folder before a save.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scene {
    /// An older checkpoint is there, and pruned afterwards.
    Older,
    /// A checkpoint of the same step is there.
    SameStep,
    /// A save of the same step was cut off before.
    Leftovers,
    /// Nothing exists, not even the folder of the checkpoints.
    First,
}

fn train(trainer: &mut Trainer, end: u64) {
    let (dataset, mut order) = (two_sides(7), DataOrder::new(trainer.options().seed, 7));
    while trainer.steps() < end {
        trainer.step_on(&dataset, &mut order).unwrap();
    }
}

type Files = BTreeMap<String, Vec<u8>>;

struct Case {
    scene: Scene,
    before: Trainer,
    after: Trainer,
    /// The checkpoint's bytes before and after the save.
    old: Files,
    new: Files,
}

fn save_on(disk: &dyn Disk, trainer: &Trainer, parent: &Path) -> Result<PathBuf, TrainError> {
    let labels =
        checkpoint::Annotations { classes: &classes(), config: "seed = 7\n", spacing: &Spacing::Trailing };
    let saved = checkpoint::save_on(disk, trainer, labels, parent)?;
    checkpoint::prune_on(disk, parent, trainer.steps(), 1)?;
    Ok(saved)
}

impl Case {
    fn new(scene: Scene) -> Self {
        let small = |seed| TrainOptions { batch: 1, accumulate: 1, seed, ..options() };
        let (mut before, mut after) = (trainer(&small(1)), trainer(&small(2)));
        train(&mut before, if scene == Scene::SameStep { 2 } else { 1 });
        train(&mut after, 2);
        let (old, new) = (saved(&before), saved(&after));
        Self { scene, before, after, old, new }
    }

    /// A folder as the save finds it.
    fn folder(&self) -> tempfile::TempDir {
        let parent = tempfile::tempdir().unwrap();
        if self.scene == Scene::First {
            return parent;
        }
        save_on(&sound(), &self.before, parent.path()).unwrap();
        if self.scene == Scene::Leftovers {
            for name in [".saving-step-000002/unet", ".old-step-000002"] {
                fs::create_dir_all(parent.path().join(name)).unwrap();
            }
            fs::write(parent.path().join(".saving-step-000002/unet/config.json"), "{").unwrap();
        }
        parent
    }

    /// Saves on a disk with a fault. Returns whether the fault was reached.
    fn run(&self, at: usize, fault: Fault, loses: bool) -> bool {
        let place = self.folder();
        // The folder of the checkpoints appears with the first of them, in a run's folder.
        let parent = match self.scene {
            Scene::First => place.path().join("run/checkpoints"),
            _ => place.path().to_path_buf(),
        };
        let parent = parent.as_path();
        let disk = FaultyDisk::new(at, fault);
        let result = save_on(&disk, &self.after, parent);
        if disk.done.get() <= at {
            result.unwrap();
            return false;
        }
        let what = format!("{fault:?} at operation {at} of {:?}, loses {loses}", self.scene);
        // Cleaning up may fail without an error; everything else must be reported.
        if let Err(error) = &result {
            assert!(matches!(error, TrainError::Write { .. }), "{what}: {error}");
            assert!(error.to_string().contains("cannot write"), "{what}: {error}");
        }
        if loses {
            disk.lose_unsynced();
        }
        for (_, folder) in checkpoint::list(parent).unwrap() {
            assert!(folder.join("manifest.json").exists(), "{what}: half a checkpoint under its name");
        }
        if self.scene == Scene::First && result.is_err() {
            // Either the whole new checkpoint or none.
            if let Some(found) = checkpoint::latest(parent).unwrap().0 {
                assert!(files(&found) == self.new, "{what}: a torn checkpoint");
            }
            let again = save_on(&sound(), &self.after, parent);
            let again = again.unwrap_or_else(|error| panic!("{what}: the next save fails: {error}"));
            assert!(files(&again) == self.new, "{what}: the next save");
            return true;
        }
        let (found, damaged) = checkpoint::latest(parent).unwrap();
        let found = found.unwrap_or_else(|| panic!("{what}: no checkpoint left, {damaged:?}"));
        let bytes = files(&found);
        assert!(bytes == self.old || bytes == self.new, "{what}: neither the old checkpoint nor the new");
        if result.is_ok() {
            assert!(bytes == self.new, "{what}: saved, and then lost");
        }
        let mut loaded = trainer(self.after.options());
        checkpoint::load(&mut loaded, &found, &Device::Cpu).unwrap_or_else(|error| panic!("{what}: {error}"));
        let again = save_on(&sound(), &self.after, parent);
        let again = again.unwrap_or_else(|error| panic!("{what}: the next save fails: {error}"));
        assert!(files(&again) == self.new, "{what}: the next save");
        let names: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["step-000002"], "{what}: left behind");
        true
    }
}

#[test]
fn a_save_that_fails_anywhere_leaves_the_old_checkpoint_or_the_new() {
    let faults = [
        Fault::Abort,
        Fault::Error(io::ErrorKind::StorageFull),
        // EIO has no kind of its own.
        Fault::Error(io::ErrorKind::Other),
        Fault::ShortWrite,
    ];
    let mut tried = 0;
    for scene in [Scene::Older, Scene::SameStep, Scene::Leftovers, Scene::First] {
        let case = Case::new(scene);
        for fault in faults {
            for loses in [false, true] {
                let reached = (0..).take_while(|&at| case.run(at, fault, loses)).count();
                assert!(reached > 20, "{scene:?}: a save has more operations than {reached}");
                tried += reached;
            }
        }
    }
    println!("{tried} faults");
}

/// The simulated disk loses what a real one may lose: without syncs, a whole save is gone or empty.
#[test]
fn the_faulty_disk_loses_what_was_not_synced() {
    let parent = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(usize::MAX, Fault::Abort);
    let folder = parent.path().join("a");
    disk.create_dir(&folder).unwrap();
    disk.sync_dir(parent.path()).unwrap();
    let (synced, unsynced) = (folder.join("synced"), folder.join("unsynced"));
    for path in [&synced, &unsynced] {
        disk.write_new(path, b"bytes").unwrap();
    }
    disk.sync_file(&synced).unwrap();
    disk.sync_dir(&folder).unwrap();
    disk.rename(&folder, &parent.path().join("b")).unwrap();
    disk.lose_unsynced();
    assert_eq!(fs::read(&synced).unwrap(), b"bytes", "the rename is lost, the file is not");
    assert_eq!(fs::read(&unsynced).unwrap(), b"", "the name is there, the bytes are not");
}
