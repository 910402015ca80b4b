//! A zoo of odd image files. Each decodes to the right pixels, or is refused for the right reason. A folder
//! of all of them reports every bad file before any training.

mod jpegs;
mod others;
mod pngs;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{assert_says, directory, open, put};
use duet_data::{BadFile, DataError, FolderOptions, ImageSize, Picture, PixelSlice, Splits};

/// A file of the zoo.
struct Odd {
    name: &'static str,
    bytes: Vec<u8>,
    then: Then,
}

/// The expected result.
enum Then {
    /// A picture of these values, (channels, height, width), each within the tolerance.
    Reads { shape: [usize; 3], values: Vec<u8>, within: u8 },
    /// A reason that contains this.
    Refused(&'static str),
}

fn reads(name: &'static str, bytes: Vec<u8>, shape: [usize; 3], values: &[u8]) -> Odd {
    Odd { name, bytes, then: Then::Reads { shape, values: values.to_vec(), within: 0 } }
}

/// For a JPEG, whose decoders round as they like.
fn reads_nearly(name: &'static str, bytes: Vec<u8>, shape: [usize; 3], values: &[u8]) -> Odd {
    Odd { name, bytes, then: Then::Reads { shape, values: values.to_vec(), within: 2 } }
}

fn refused(name: &'static str, bytes: Vec<u8>, reason: &'static str) -> Odd {
    Odd { name, bytes, then: Then::Refused(reason) }
}

fn zoo() -> Vec<Odd> {
    let zoo: Vec<Odd> = pngs::all().into_iter().chain(jpegs::all()).chain(others::all()).collect();
    let mut names: Vec<&str> = zoo.iter().map(|odd| odd.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), zoo.len(), "two files of the zoo have one name");
    zoo
}

/// The result of `work`, unless it hangs.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(Duration::from_secs(60)).expect("no panic, and an answer within a minute")
}

fn open_in_time(dir: &Path, options: FolderOptions) -> Result<Splits, DataError> {
    let dir = dir.to_path_buf();
    in_time(move || duet_data::open(&dir, &options))
}

/// The reason for which a file is refused when it is the only one.
fn reason_alone(name: &str, bytes: &[u8]) -> Option<String> {
    let dir = directory();
    put(dir.path(), &format!("class/{name}"), bytes);
    match open_in_time(dir.path(), FolderOptions::default()) {
        Ok(_) => None,
        Err(DataError::BadFiles { mut listed, unlisted: 0, .. }) if listed.len() == 1 => {
            listed.pop().map(|bad| bad.reason)
        }
        Err(other) => panic!("{name}: another error than about one file: {other}"),
    }
}

#[test]
fn the_zoo_has_at_least_sixty_files() {
    let zoo = zoo();
    let bad = zoo.iter().filter(|odd| matches!(odd.then, Then::Refused(_))).count();
    println!("{} files, {bad} of them bad", zoo.len());
    assert!(zoo.len() >= 60, "{}", zoo.len());
}

/// What is wrong with how this file, the only one of a folder, is read; nothing for a bad file.
fn read_wrongly(odd: &Odd) -> Option<String> {
    let Then::Reads { shape, values, within } = &odd.then else { return None };
    let dir = directory();
    put(dir.path(), &format!("class/{}", odd.name), &odd.bytes);
    let train = match open_in_time(dir.path(), FolderOptions::default()) {
        Ok(splits) => splits.train,
        Err(e) => return Some(format!("{}: {e}", odd.name)),
    };
    let found = train.shape();
    let found = [found.channels, found.height, found.width];
    if found != *shape {
        return Some(format!("{}: shape {found:?}, not {shape:?}", odd.name));
    }
    let found: Vec<u8> = match train.pixels(0) {
        PixelSlice::Eight(values) => values.to_vec(),
        PixelSlice::Sixteen(values) => {
            values.iter().map(|value| ((u32::from(*value) + 128) / 257) as u8).collect()
        }
    };
    let worst = found.iter().zip(values).map(|(a, b)| a.abs_diff(*b)).max();
    let right = found.len() == values.len() && worst <= Some(*within);
    (!right).then(|| format!("{}: {found:?}, not {values:?}", odd.name))
}

#[test]
fn good_odd_files_read_as_the_expected_pixels() {
    let wrong: Vec<String> = zoo().iter().filter_map(read_wrongly).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with how this file, the only one of a folder, is refused; nothing for a good file.
fn refused_wrongly(odd: &Odd) -> Option<String> {
    let Then::Refused(expected) = odd.then else { return None };
    match reason_alone(odd.name, &odd.bytes) {
        None => Some(format!("{} is accepted", odd.name)),
        Some(reason) if reason.contains(expected) => None,
        Some(reason) => Some(format!("{}: no {expected:?} in {reason:?}", odd.name)),
    }
}

#[test]
fn bad_files_are_refused_for_their_own_reason() {
    let wrong: Vec<String> = zoo().iter().filter_map(refused_wrongly).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn from_memory_the_same_are_read_and_refused() {
    for odd in zoo() {
        let (name, bytes) = (odd.name, odd.bytes);
        let decoded = in_time(move || Picture::decode(&bytes).map_err(|e| e.to_string()));
        match (odd.then, decoded) {
            (Then::Reads { shape, .. }, Ok(picture)) => {
                assert_eq!([picture.channels, picture.height, picture.width], shape, "{name}");
            }
            (Then::Refused(reason), Err(e)) => assert_says(&e, &["cannot be used", reason]),
            // Only the name is wrong with these.
            (Then::Refused(reason), Ok(_)) => assert!(reason.contains("convert it to PNG"), "{name}"),
            (Then::Reads { .. }, Err(e)) => panic!("{name}: {e}"),
        }
    }
}

/// A file as the only member of a zip archive.
fn zipped(odd: &Odd) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file(format!("class/{}", odd.name), options).unwrap();
    std::io::Write::write_all(&mut archive, &odd.bytes).unwrap();
    archive.finish().unwrap().into_inner()
}

#[test]
fn from_an_archive_the_same_are_read_and_refused_for_the_same_reasons() {
    for odd in zoo() {
        let dir = directory();
        put(dir.path(), "set.zip", &zipped(&odd));
        let from_folder = directory();
        put(from_folder.path(), &format!("class/{}", odd.name), &odd.bytes);
        let found = open_in_time(dir.path(), FolderOptions::default());
        match (found, open_in_time(from_folder.path(), FolderOptions::default())) {
            (Ok(zipped), Ok(folder)) => assert_eq!(zipped.train, folder.train, "{}", odd.name),
            (
                Err(DataError::BadFiles { listed: zipped, .. }),
                Err(DataError::BadFiles { listed: folder, .. }),
            ) => {
                assert_eq!(zipped[0].path, dir.path().join("set.zip/class").join(odd.name));
                assert_eq!(zipped[0].reason, folder[0].reason, "{}", odd.name);
            }
            (zipped, folder) => panic!("{}: {zipped:?}, and as a folder {folder:?}", odd.name),
        }
    }
}

/// Every file in one of three class folders, and the bad ones in the order of their paths.
fn fill(dir: &Path, zoo: &[Odd]) -> Vec<BadFile> {
    let mut bad = Vec::new();
    for (i, odd) in zoo.iter().enumerate() {
        let path = put(dir, &format!("{}/{}", ["a", "b", "c"][i % 3], odd.name), &odd.bytes);
        if matches!(odd.then, Then::Refused(_)) {
            let reason = reason_alone(odd.name, &odd.bytes).expect("the file is bad");
            bad.push(BadFile { path, reason });
        }
    }
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    bad
}

#[test]
fn a_folder_of_the_whole_zoo_counts_every_bad_file() {
    let dir = directory();
    let zoo = zoo();
    let bad = fill(dir.path(), &zoo);
    let refusal = open_in_time(dir.path(), FolderOptions::default()).expect_err("bad files are there");
    let message = refusal.to_string();
    let DataError::BadFiles { listed, unlisted, .. } = refusal else {
        panic!("{message}");
    };
    assert_eq!(listed.len() + unlisted, bad.len());
    assert_eq!(listed, bad[..20]);
    assert_says(&message, &[&format!("{} image files cannot be used", bad.len())]);
    assert_says(&message, &[&format!("and {} more", bad.len() - 20)]);
    for bad in &listed {
        assert_says(&message, &[&format!("{}: {}", bad.path.display(), bad.reason)]);
    }

    // One repair after the other shows every file once, and at the end the folder opens.
    let mut seen = Vec::new();
    let options = FolderOptions {
        image_size: Some(ImageSize::square(8).unwrap()),
        channels: None,
        ..FolderOptions::default()
    };
    let splits = loop {
        match open_in_time(dir.path(), options) {
            Ok(splits) => break splits,
            Err(DataError::BadFiles { listed, .. }) => {
                for bad in &listed {
                    fs::remove_file(&bad.path).unwrap();
                }
                seen.extend(listed);
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(seen, bad);
    assert_eq!(splits.train.len() + splits.test.len(), zoo.len() - bad.len());
}

fn small_png() -> Vec<u8> {
    Picture::new(1, 1, 1, vec![7]).unwrap().encode_png()
}

#[test]
fn hidden_files_and_folders_named_as_images_are_no_images() {
    let dir = directory();
    put(dir.path(), "class/fine.png", &small_png());
    put(dir.path(), "class/.hidden.png", b"no image");
    put(dir.path(), "class/._fine.png", b"what macOS leaves");
    put(dir.path(), "class/Thumbs.db", b"what Windows leaves");
    put(dir.path(), "class/folder.png/inside.txt", b"no image");
    assert_eq!(open(dir.path()).unwrap().train.len(), 1);
}

#[test]
fn names_with_spaces_accents_and_scripts_are_kept() {
    let dir = directory();
    let names = [" leading", "emoji 🐈", "ordinary", "trailing ", "ünïcödé", "日本"];
    for name in names {
        put(dir.path(), &format!("{name}/an image – 画像 (1).png"), &small_png());
    }
    let splits = open(dir.path()).unwrap();
    assert_eq!(splits.train.classes(), names);
}

#[cfg(unix)]
mod on_unix {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn make_pipe(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    /// The bad files of a folder, as (name, reason).
    fn bad_files(dir: &Path) -> Vec<(String, String)> {
        match open_in_time(dir, FolderOptions::default()) {
            Err(DataError::BadFiles { listed, unlisted: 0, .. }) => listed
                .into_iter()
                .map(|bad| (bad.path.file_name().unwrap().to_string_lossy().into(), bad.reason))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_regular_file_is_told_and_never_waited_for() {
        let dir = directory();
        put(dir.path(), "class/fine.png", &small_png());
        let class = dir.path().join("class");
        symlink("nowhere.png", class.join("dangling.png")).unwrap();
        symlink("loop-2.png", class.join("loop-1.png")).unwrap();
        symlink("loop-1.png", class.join("loop-2.png")).unwrap();
        symlink("/dev/zero", class.join("zero.png")).unwrap();
        make_pipe(&class.join("pipe.png"));
        let _socket = std::os::unix::net::UnixListener::bind(class.join("socket.png")).unwrap();
        let bad = bad_files(dir.path());
        let expected = [
            ("dangling.png", "No such file"),
            ("loop-1.png", "symbolic links"),
            ("loop-2.png", "symbolic links"),
            ("pipe.png", "a pipe"),
            ("socket.png", "a socket"),
            ("zero.png", "a device"),
        ];
        assert_eq!(bad.len(), expected.len(), "{bad:?}");
        for ((name, reason), (expected_name, part)) in bad.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert_says(reason, &[part]);
        }
    }

    #[test]
    fn pipes_in_place_of_lists_and_batches_are_never_waited_for() {
        for list in ["classes.txt", "batches.meta.txt"] {
            let dir = directory();
            for i in 1..=5 {
                put(dir.path(), &format!("data_batch_{i}.bin"), &[0; 3073]);
            }
            put(dir.path(), "test_batch.bin", &[0; 3073]);
            make_pipe(&dir.path().join(list));
            let refusal = open_in_time(dir.path(), FolderOptions::default()).unwrap_err();
            assert_says(&refusal.to_string(), &[list, "not a file but a pipe"]);
        }
        let dir = directory();
        put(dir.path(), "test_batch.bin", &[0; 3073]);
        make_pipe(&dir.path().join("data_batch_1.bin"));
        let refusal = open_in_time(dir.path(), FolderOptions::default()).unwrap_err();
        assert_says(&refusal.to_string(), &["missing data_batch_1.bin"]);
    }

    #[test]
    fn what_may_not_be_read_is_told() {
        let dir = directory();
        let path = put(dir.path(), "class/locked.png", &small_png());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(&path).is_ok() {
            eprintln!("NOT TESTED: root reads whatever it likes; run this test as another user");
            return;
        }
        let bad = bad_files(dir.path());
        assert_eq!((bad.len(), bad[0].0.as_str()), (1, "locked.png"));
        assert_says(&bad[0].1, &["Permission denied"]);

        fs::set_permissions(dir.path().join("class"), fs::Permissions::from_mode(0o000)).unwrap();
        let refusal = open(dir.path()).unwrap_err().to_string();
        fs::set_permissions(dir.path().join("class"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_says(&refusal, &["cannot read", "class", "Permission denied"]);
    }

    #[test]
    fn class_names_that_differ_by_case_are_refused() {
        let dir = directory();
        put(dir.path(), "ÉTÉ/1.png", &small_png());
        put(dir.path(), "été/1.png", &small_png());
        if fs::read_dir(dir.path()).unwrap().count() < 2 {
            eprintln!("NOT TESTED: this file system does not tell case");
            return;
        }
        let refusal = open(dir.path()).unwrap_err().to_string();
        assert_says(&refusal, &["ÉTÉ", "été", "case alone"]);
    }

    #[test]
    fn line_ends_in_names_neither_break_a_message_nor_a_class() {
        let dir = directory();
        put(dir.path(), "two\nlines/fine.png", &small_png());
        assert_eq!(open(dir.path()).unwrap().train.classes(), ["two\nlines"]);
        put(dir.path(), "two\nlines/bad\n\u{1b}[2J.png", b"");
        let message = open(dir.path()).unwrap_err().to_string();
        assert_says(&message, &["two\\nlines/bad\\n\\u{1b}[2J.png: the file is empty"]);
        assert_eq!(message.lines().count(), 2, "{message}");
    }

    #[test]
    fn names_that_are_not_utf8_are_read_as_files_and_refused_as_classes() {
        let dir = directory();
        let class = dir.path().join("class");
        fs::create_dir(&class).unwrap();
        let name = std::ffi::OsStr::from_bytes(b"caf\xe9.png");
        if fs::write(class.join(name), small_png()).is_err() {
            eprintln!("NOT TESTED: this file system has no such names");
            return;
        }
        assert_eq!(open(dir.path()).unwrap().train.len(), 1);
        fs::rename(&class, dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"))).unwrap();
        assert_says(&open(dir.path()).unwrap_err().to_string(), &["not UTF-8", "rename"]);
    }
}
