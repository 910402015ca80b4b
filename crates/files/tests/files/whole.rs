//! A file is written whole or not at all, and nothing else is touched.

use duet_files::{write_whole, write_whole_unsynced};
use std::io::{Error, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;

/// Every test begins by locking this, because all tests share the counter in the names of temporary files.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The number of the next temporary file, from the name of the present one.
fn next_count(folder: &Path) -> u64 {
    let mut count = None;
    write_whole_unsynced(&folder.join("probe"), |_| {
        count = names(folder).iter().find_map(|name| {
            let rest = name.strip_prefix(&format!(".probe.{}-", std::process::id()))?;
            rest.strip_suffix(".tmp")?.parse::<u64>().ok()
        });
        Ok(())
    })
    .unwrap();
    std::fs::remove_file(folder.join("probe")).unwrap();
    count.unwrap() + 1
}

#[test]
fn a_written_file_is_whole_and_alone() {
    let _alone = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for text in ["first", "second"] {
        write_whole(&path, |file| file.write_all(text.as_bytes())).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(names(folder.path()), ["file"]);
    }
    let usual = folder.path().join("usual");
    std::fs::write(&usual, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&usual));
}

#[test]
fn a_failing_writer_leaves_nothing_and_the_old_file() {
    let _alone = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let half = |file: &mut std::fs::File| file.write_all(b"ha").and(Err(Error::other("stopped")));
    assert_eq!(write_whole(&path, half).unwrap_err().to_string(), "stopped");
    assert!(names(folder.path()).is_empty());
    std::fs::write(&path, "old").unwrap();
    write_whole_unsynced(&path, half).unwrap_err();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_link_at_the_target_is_replaced_and_not_followed() {
    let _alone = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    let (precious, link) = (folder.path().join("precious"), folder.path().join("link"));
    std::fs::write(&precious, "mine").unwrap();
    symlink(&precious, &link).unwrap();
    write_whole(&link, |file| file.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "new");
}

#[test]
fn links_and_files_at_the_temporary_name_are_passed_over() {
    let _alone = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    let (precious, path) = (folder.path().join("precious"), folder.path().join("file"));
    std::fs::write(&precious, "mine").unwrap();
    let next = next_count(folder.path());
    let temporary =
        |count: u64| folder.path().join(format!(".file.{}-{}.tmp", std::process::id(), next + count));
    symlink(&precious, temporary(0)).unwrap();
    symlink(folder.path().join("absent"), temporary(1)).unwrap();
    std::fs::hard_link(&precious, temporary(2)).unwrap();
    write_whole(&path, |file| file.write_all(b"new")).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
    assert!(!folder.path().join("absent").exists());
    assert!((0..3).all(|count| std::fs::symlink_metadata(temporary(count)).is_ok()));
}

#[test]
fn what_is_no_file_is_named_and_stays() {
    let _alone = ONE_AT_A_TIME.lock();
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("folder");
    std::fs::create_dir(&inner).unwrap();
    let nothing = |_: &mut std::fs::File| Ok(());
    assert!(write_whole(&inner, nothing).unwrap_err().to_string().contains("a folder"));
    assert!(write_whole(Path::new("/dev/null"), nothing).unwrap_err().to_string().contains("a device"));
    assert!(write_whole(Path::new("/.."), nothing).is_err());
    assert_eq!(names(folder.path()), ["folder"]);
}
