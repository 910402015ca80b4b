//! A set's directory is made as a whole or not at all.

use std::fs;
use std::path::Path;

use duet_hub::{HubError, ImageSet, PixelOrder, PublicSet, check_vacant, convert};

fn small() -> ImageSet {
    let dataset = crate::support::dataset(PublicSet::Mnist, 3, 2);
    convert(PublicSet::Mnist, PixelOrder::ByRow, &dataset).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_new_directory_gets_the_files_and_its_parent_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b");
    check_vacant(&dir).unwrap();
    small().write(&dir).unwrap();
    let mut expected = PublicSet::Mnist.file_names();
    expected.sort();
    assert_eq!(names(&dir), expected);
    assert_eq!(names(&folder.path().join("a")), ["b"]);
}

#[test]
fn an_empty_directory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("empty");
    fs::create_dir(&dir).unwrap();
    small().write(&dir).unwrap();
    assert_eq!(names(&dir).len(), 5);
    assert_eq!(names(folder.path()), ["empty"]);
}

#[test]
fn what_is_there_already_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("full");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(".hidden"), "mine").unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    for (path, what) in [(&dir, "exists and is not empty"), (&file, "exists and is not a directory")] {
        for error in [check_vacant(path).unwrap_err(), small().write(path).unwrap_err()] {
            assert!(matches!(error, HubError::Occupied { .. }));
            assert!(error.to_string().contains(what), "{error}");
        }
    }
    assert_eq!(names(&dir), [".hidden"]);
    assert_eq!(names(folder.path()), ["file", "full"]);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "mine").unwrap();
    let error = small().write(&folder.path().join("file/set")).unwrap_err();
    assert!(matches!(error, HubError::Write { .. }), "{error}");
    assert_eq!(names(folder.path()), ["file"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_permissions_are_the_usual_ones() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let usual = folder.path().join("usual");
    fs::create_dir(&usual).unwrap();
    let link = folder.path().join("link");
    symlink(&usual, &link).unwrap();
    small().write(&link).unwrap();
    assert_eq!(names(&usual).len(), 5);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());

    let made = folder.path().join("made");
    small().write(&made).unwrap();
    let plain = folder.path().join("plain");
    fs::create_dir(&plain).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&made), mode(&plain));

    let dangling = folder.path().join("dangling");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    assert!(check_vacant(&dangling).unwrap_err().to_string().contains("is a link to nothing"));
}
