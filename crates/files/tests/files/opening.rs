//! Each kind of thing that can be in the place of a file.

use duet_files::{append, create, create_new, open, read, read_text};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::Command;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_is_named_and_not_waited_for() {
    let folder = folder();
    let path = folder.path().join("pipe");
    pipe(&path);
    for error in [open(&path).err(), create(&path).err(), append(&path).err()] {
        assert!(error.unwrap().to_string().contains("pipe"));
    }
}

#[test]
fn a_device_and_a_folder_are_named() {
    assert!(read(Path::new("/dev/zero"), 10).unwrap_err().to_string().contains("a device"));
    let folder = folder();
    assert!(read(folder.path(), 10).unwrap_err().to_string().contains("a folder"));
    let link = folder.path().join("zero");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    assert!(read(&link, 10).unwrap_err().to_string().contains("a device"));
}

#[test]
fn the_limit_is_on_what_is_read() {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, [7; 100]).unwrap();
    assert_eq!(read(&path, 100).unwrap(), [7; 100]);
    assert_eq!(read(&path, 99).unwrap_err().kind(), ErrorKind::FileTooLarge);
    // The metadata of this file claim that it is empty.
    assert_eq!(read(Path::new("/proc/cpuinfo"), 1).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn text_that_is_none_names_its_first_byte() {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::write(&path, b"abc\xff").unwrap();
    assert_eq!(read_text(&path, 100).unwrap_err().to_string(), "byte 3 is not UTF-8 text");
}

#[test]
fn a_link_is_read_and_never_written_through() {
    let folder = folder();
    let (precious, link) = (folder.path().join("precious"), folder.path().join("link"));
    std::fs::write(&precious, "mine").unwrap();
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    assert_eq!(read(&link, 10).unwrap(), b"mine");
    for error in [create(&link).err(), create_new(&link).err(), append(&link).err()] {
        error.unwrap();
    }
    assert_eq!(std::fs::read(&precious).unwrap(), b"mine");
}

#[test]
fn create_empties_and_append_adds() {
    let folder = folder();
    let path = folder.path().join("file");
    append(&path).unwrap().write_all(b"ab").unwrap();
    append(&path).unwrap().write_all(b"c").unwrap();
    assert_eq!(read(&path, 10).unwrap(), b"abc");
    create(&path).unwrap().write_all(b"d").unwrap();
    assert_eq!(read(&path, 10).unwrap(), b"d");
    assert_eq!(create_new(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[test]
fn a_pointer_of_git_lfs_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n").unwrap();
    let error = duet_files::read(&path, 1000).unwrap_err().to_string();
    assert!(error.contains("git lfs pull"), "{error}");
    assert!(!duet_files::is_lfs_pointer(b"version 1"));
}

/// A sparse file of terabytes costs neither its time nor its memory.
#[test]
fn nothing_is_read_of_a_file_that_says_it_is_too_large() {
    let folder = folder();
    let path = folder.path().join("file");
    std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(read(&path, 1 << 39).unwrap_err().kind(), ErrorKind::FileTooLarge);
}
