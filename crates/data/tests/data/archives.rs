//! Archives as their own tools wrote them (`archives/make_archives.py`), and damaged or hostile ones.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use crate::common::{Bytes, assert_says, directory, gzip, idx_images, idx_labels, open, put, refusal};
use duet_data::{FolderOptions, Picture, Splits, from_bytes};
use zip::ZipArchive;

fn written(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/archives").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(written(name)).unwrap()
}

/// Everything that is compared of a set: not its name, and not what was said.
fn content(splits: Splits) -> (String, String, usize) {
    (splits.train.fingerprint(), splits.test.fingerprint(), splits.test.len())
}

/// Unpacks a zip archive that the test trusts.
fn unpack(name: &str, to: &Path) {
    let mut archive = ZipArchive::new(Cursor::new(bytes(name))).unwrap();
    for i in 0..archive.len() {
        let mut member = archive.by_index(i).unwrap();
        let name = member.name().unwrap().into_owned();
        if !member.is_dir() {
            let mut content = Vec::new();
            member.read_to_end(&mut content).unwrap();
            put(to, &name, &content);
        }
    }
}

#[test]
fn a_zipped_folder_is_the_unpacked_folder() {
    for (name, inside) in [
        ("classes.zip", "photos"),
        ("splits.zip", ""),
        ("zip64.zip", "a/b"),
        ("flat.zip", ""),
        ("scripts.zip", ""),
        ("edm.zip", ""),
        ("edm-named.zip", ""),
    ] {
        let dir = directory();
        unpack(name, dir.path());
        let (zipped, unpacked) = (open(&written(name)).unwrap(), open(&dir.path().join(inside)).unwrap());
        assert_eq!(zipped.name, name.trim_end_matches(".zip"));
        assert_eq!(zipped.train.classes(), unpacked.train.classes(), "{name}");
        assert_eq!(content(zipped), content(unpacked), "{name}");
    }
}

#[test]
fn an_archive_is_the_same_as_zip_tar_and_gzipped_tar() {
    let expected = content(open(&written("classes.zip")).unwrap());
    for name in ["classes.tar", "classes.tar.gz"] {
        assert_eq!(content(open(&written(name)).unwrap()), expected, "{name}");
    }
    let expected = content(open(&written("splits.zip")).unwrap());
    for name in ["long-gnu.tar", "long-pax.tar", "special.tar", "link.zip"] {
        assert_eq!(content(open(&written(name)).unwrap()), expected, "{name}");
    }
}

/// The first pixel of image i is 10 i, and its class is i % 3.
fn assert_classes_of_three(splits: &Splits, images: usize) {
    let mut seen = Vec::new();
    for split in [&splits.train, &splits.test] {
        for i in 0..split.len() {
            let image = usize::from(split.bytes(i)[0]) / 10;
            assert_eq!(split.label(i) as usize, image % 3);
            seen.push(image);
        }
    }
    seen.sort();
    assert_eq!(seen, (0..images).collect::<Vec<_>>());
}

#[test]
fn edms_zip_has_the_labels_of_its_list_and_names_from_classes_txt() {
    let splits = open(&written("edm.zip")).unwrap();
    assert_classes_of_three(&splits, 15);
    assert_eq!(splits.train.classes(), ["0", "1", "2"]);
    assert!(splits.test.class_counts().iter().all(|&count| count > 0));
    assert_says(&splits.left_out.join("\n"), &["EDM's set", "dataset.json"]);
    assert_eq!(open(&written("edm-named.zip")).unwrap().train.classes(), ["red", "green", "blue"]);
    // A list beside the archive serves one without a list.
    let dir = directory();
    put(dir.path(), "set.zip", &bytes("edm.zip"));
    put(dir.path(), "classes.txt", b"x\ny\nz\nw\n");
    assert_eq!(open(dir.path()).unwrap().train.classes(), ["x", "y", "z", "w"]);
    put(dir.path(), "classes.txt", b"x\ny\n");
    assert_says(&refusal(dir.path()), &["classes.txt", "2 names", "go to 2"]);
}

#[test]
fn an_unpacked_set_of_edm_is_no_folder_of_classes() {
    let dir = directory();
    unpack("edm.zip", dir.path());
    assert_classes_of_three(&open(dir.path()).unwrap(), 15);
    // A file of this name may be about something else.
    put(dir.path(), "dataset.json", b"{\"title\": \"photos\"}");
    assert_eq!(open(dir.path()).unwrap().train.classes(), ["00000"]);
    put(dir.path(), "dataset.json", b"{\"labels\": [");
    assert_says(&refusal(dir.path()), &["dataset.json", "no list of labels"]);
}

#[test]
fn webdatasets_shards_are_read_alone_and_together() {
    for name in ["shard.tar", "shard.tar.gz"] {
        let splits = open(&written(name)).unwrap();
        assert_classes_of_three(&splits, 12);
        assert_eq!((splits.name.as_str(), splits.train.classes().len()), ("shard", 3));
        assert_says(&splits.left_out.join("\n"), &["1 shard of webdataset", ".cls", "name its folder"]);
    }
    let splits = open(&written("shards")).unwrap();
    assert_eq!((splits.train.len(), splits.test.len(), splits.name.as_str()), (12, 3, "shards"));
    assert_classes_of_three(&splits, 15);
    assert_says(&splits.left_out.join("\n"), &["3 shards of webdataset"]);
    let json = open(&written("json.tar")).unwrap();
    assert_eq!((json.train.len() + json.test.len(), json.train.classes().len()), (6, 2));
}

#[test]
fn the_split_of_a_shard_is_said_by_its_name_or_by_its_folder() {
    let dir = directory();
    let shard = |name: &str| drop(put(dir.path(), name, &bytes("shards/toy-test-000000.tar")));
    shard("a-train-0.tar");
    shard("a-val-0.tar");
    let splits = open(dir.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (3, 3));
    shard("a-test-0.tar");
    shard("extra.tar");
    put(dir.path(), "classes.txt", b"x\ny\nz\n");
    let splits = open(dir.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len(), splits.train.classes()[2].as_str()), (3, 3, "z"));
    assert_says(
        &splits.left_out.join("\n"),
        &["3 images of the shards to validate", "extra.tar is left out"],
    );
    fs::remove_file(dir.path().join("a-train-0.tar")).unwrap();
    fs::remove_file(dir.path().join("extra.tar")).unwrap();
    assert_says(&refusal(dir.path()), &["none to train on"]);

    let dir = directory();
    put(dir.path(), "train/0.tar", &bytes("shards/toy-train-000000.tar"));
    put(dir.path(), "train/1.tar", &bytes("shards/toy-train-000001.tar"));
    put(dir.path(), "val/0.tar", &bytes("shards/toy-test-000000.tar"));
    let splits = open(dir.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (12, 3));
}

#[test]
fn an_archive_is_recognised_by_its_content() {
    let dir = directory();
    for name in ["classes.zip", "classes.tar", "classes.tar.gz"] {
        for called in ["photos", "photos.dat", "photos.zip", "photos.tar"] {
            let path = put(dir.path(), called, &bytes(name));
            assert_eq!(content(open(&path).unwrap()), content(open(&written(name)).unwrap()), "{name}");
            fs::remove_file(path).unwrap();
        }
    }
    let other = |start: &[u8]| [start, &[7; 600]].concat();
    for (name, bytes, says) in [
        ("a.zip", b"<html>".to_vec(), "neither a zip nor a tar"),
        ("a.zip", Vec::new(), "neither a zip nor a tar"),
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "git lfs pull"),
        ("a.tgz", gzip(b"no archive"), "neither a zip nor a tar"),
        ("a.7z", other(b"7z\xbc\xaf\x27\x1c"), "7z"),
        ("a.rar", other(b"Rar!\x1a\x07\x01\x00"), "RAR"),
        ("a.tar.xz", other(b"\xfd7zXZ\0"), "XZ"),
        ("a.tar.zst", other(b"\x28\xb5\x2f\xfd"), "Zstandard"),
        ("a.tar.bz2", other(b"BZh9"), "bzip2"),
        ("a", other(b"BZh9"), "bzip2"),
        ("a", b"text".to_vec(), "is a file and not a directory"),
    ] {
        let path = put(dir.path(), name, &bytes);
        assert_says(&refusal(&path), &[name, says]);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn an_archive_that_is_named_is_read_and_not_what_lies_beside_it() {
    let dir = directory();
    let path = put(dir.path(), "classes.zip", &bytes("classes.zip"));
    put(dir.path(), "x.npy", b"no array");
    put(dir.path(), "cat/1.png", &Picture::new(1, 1, 1, vec![7]).unwrap().encode_png());
    for part in ["train", "t10k"] {
        put(dir.path(), &format!("{part}-images-idx3-ubyte"), &idx_images(1, 1, 1, &[3]));
        put(dir.path(), &format!("{part}-labels-idx1-ubyte"), &idx_labels(&[3]));
    }
    assert_eq!(content(open(&path).unwrap()), content(open(&written("classes.zip")).unwrap()));
    let beside = open(dir.path()).unwrap();
    assert_eq!(beside.train.len(), 1);
    assert_says(&beside.left_out.join("\n"), &["classes.zip beside the images is left out"]);
}

#[test]
fn the_only_archive_of_a_folder_is_its_set_and_of_several_one_is_to_be_named() {
    let dir = directory();
    put(dir.path(), "README.md", b"");
    put(dir.path(), "classes.zip", &bytes("classes.zip"));
    assert_eq!(open(dir.path()).unwrap().name, "classes");
    put(dir.path(), "splits.zip", &bytes("splits.zip"));
    assert_says(&refusal(dir.path()), &["2 archives", "classes.zip, splits.zip", "name the archive itself"]);
    fs::remove_file(dir.path().join("splits.zip")).unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    assert_says(&refusal(dir.path()), &["archive beside other things, classes.zip"]);
}

#[test]
fn what_is_wrong_with_an_archive_is_said_with_the_member() {
    for (name, says) in [
        ("absolute.zip", &["/etc/2.png", "absolute path"][..]),
        ("absolute.tar", &["/etc/2.png", "absolute path"]),
        ("leaves.zip", &["a/../../2.png", "leaves the archive"]),
        ("leaves.tar", &["../2.png", "leaves the archive"]),
        ("twice.zip", &["twice.zip", "\"a/2.png\" twice"]),
        ("twice.tar", &["twice.tar/a/1.png", "two members"]),
        ("encrypted.zip", &["encrypted.zip/train/", ".png", "is encrypted", "password"]),
        ("lzma.zip", &["train/a/1.png", "LZMA"]),
        ("nested.zip", &["holds another, classes.zip", "name classes.zip"]),
        ("tables.zip", &["train.csv", "is not read inside one", "unpack it"]),
        ("edm-null.zip", &["dataset.json", "no labels"]),
        ("edm-half.zip", &["img00000001.png", "no whole number"]),
        ("edm-negative.zip", &["img00000000.png", "label -1"]),
        ("edm-fewer.zip", &["1 image without a label", "img00000014.png"]),
        ("edm-more.zip", &["00000/img00000099.png is no image there"]),
        ("edm-twice.zip", &["00000/img00000000.png has two labels"]),
        ("unlabelled.tar", &["unlabelled.tar/000001.png", "no 000001.cls"]),
        ("word.tar", &["word.tar/000001.cls", "\"cat\" is no class number"]),
        ("negative.tar", &["000001.cls", "-1 is no class number"]),
        ("large.tar", &["000001.cls", "10000 is no class number"]),
        ("imageless.tar", &["000001.cls", "no image"]),
        ("again.tar", &["again.tar/000000.", "two members"]),
    ] {
        assert_says(&refusal(&written(name)), says);
    }
}

#[test]
fn links_and_devices_are_left_out_with_a_sentence() {
    let said = |name: &str| open(&written(name)).unwrap().left_out.join("\n");
    assert_says(&said("special.tar"), &["4 members", "links, devices", "a/link.png"]);
    assert_says(&said("link.zip"), &["1 member", "links are not followed", "train/a/3.png"]);
}

#[test]
fn an_archive_that_is_cut_anywhere_is_refused() {
    let dir = directory();
    let is_read = |name: &str, bytes: &[u8]| open(&put(dir.path(), name, bytes)).is_ok();
    for name in ["splits.zip", "shard.tar.gz"] {
        let whole = bytes(name);
        assert!(is_read(name, &whole));
        (0..whole.len())
            .step_by(5)
            .for_each(|end| assert!(!is_read(name, &whole[..end]), "{name} cut at {end}"));
    }
    let name = "shards/toy-test-000000.tar";
    let whole = bytes(name);
    // Behind the last member is one block of zeros or more.
    let end = 512 + whole.iter().rposition(|&byte| byte != 0).unwrap().next_multiple_of(512);
    for at in (0..end).step_by(100).chain((0..end).step_by(512)) {
        assert!(!is_read("x.tar", &whole[..at]), "{name} cut at {at} of {end}");
    }
    assert!(is_read("x.tar", &whole[..end]));
    let joined = [&whole[..], &whole[..]].concat();
    let said = open(&put(dir.path(), "x.tar", &joined)).unwrap().left_out.join("\n");
    assert_says(&said, &["what follows the end of", "joined"]);
}

#[test]
fn a_damaged_image_of_an_archive_is_told_with_its_member() {
    let dir = directory();
    let mut damaged = bytes("splits.zip");
    // The first member is stored: its data begin behind its name.
    let at = damaged.windows(4).position(|start| start == b"IHDR").unwrap();
    damaged[at + 20] ^= 0x55;
    let message = refusal(&put(dir.path(), "x.zip", &damaged));
    assert_says(&message, &["1 image file cannot be used", "x.zip/train/a/1.png"]);
}

/// The offsets of the headers of members in the archive and in its directory.
fn headers(zip: &[u8]) -> (Vec<usize>, Vec<usize>) {
    let all = |magic: &[u8]| (0..zip.len() - 4).filter(|&at| &zip[at..at + 4] == magic).collect();
    (all(b"PK\x03\x04"), all(b"PK\x01\x02"))
}

#[test]
fn names_are_utf_8_though_no_flag_says_so_and_may_have_the_slashes_of_windows() {
    let dir = directory();
    let mut plain = bytes("scripts.zip");
    let (local, central) = headers(&plain);
    local.iter().for_each(|at| plain[at + 7] &= !8);
    central.iter().for_each(|at| plain[at + 9] &= !8);
    assert!(plain != bytes("scripts.zip"));
    let splits = open(&put(dir.path(), "x.zip", &plain)).unwrap();
    assert_eq!(splits.train.classes(), ["größe", "日本"]);

    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let png = Picture::new(1, 1, 1, vec![7]).unwrap().encode_png();
    for name in ["photos\\cat\\1.png", "photos\\dog\\1.png"] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&png).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    assert_eq!(open(&put(dir.path(), "x.zip", &bytes)).unwrap().train.classes(), ["cat", "dog"]);
}

#[test]
fn no_byte_of_a_name_reaches_a_terminal_as_it_is() {
    let dir = directory();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["a/\u{1b}[31m.png", "a/2.png", "b/\u{7}.gif"] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(b"no image").unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    let message = refusal(&put(dir.path(), "x.zip", &bytes));
    assert_says(&message, &["3 image files", "\\u{1b}[31m.png"]);
    assert!(!message.chars().any(|c| c.is_control() && c != '\n'), "{message:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_an_archive_is_not_waited_for() {
    let dir = directory();
    for name in ["x.zip", "x-train-0.tar", "pipe"] {
        let path = dir.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_says(&refusal(&path), &[name, if name == "pipe" { "not a directory" } else { "a pipe" }]);
    }
    assert_says(&refusal(&written("no-such.zip")), &["no-such.zip", "No such file"]);
}

#[test]
fn the_limits_of_a_set_hold_for_what_an_archive_claims() {
    let options = |max_bytes| FolderOptions { max_bytes, ..FolderOptions::default() };
    for name in ["classes.zip", "classes.tar.gz"] {
        // What shards keep in memory counts together: these have 895 bytes each.
        let dir = directory();
        (0..3).for_each(|i| drop(put(dir.path(), &format!("{i}.tar.gz"), &bytes("shard.tar.gz"))));
        let read = |max_bytes| duet_data::open(dir.path(), &options(max_bytes)).map_err(|e| e.to_string());
        assert!(read(3 * 895).is_ok());
        assert_says(&read(3 * 895 - 1).unwrap_err(), &["2.tar.gz", "is said to have", "--max-gigabytes"]);
        let read =
            |max_bytes| duet_data::open(&written(name), &options(max_bytes)).map_err(|e| e.to_string());
        assert!(read(1 << 20).is_ok());
        assert_says(&read(70).unwrap_err(), &[name, "is said to have", "--max-gigabytes"]);
    }
    let read =
        |max_bytes| duet_data::open(&written("classes.tar"), &options(max_bytes)).map_err(|e| e.to_string());
    assert_says(&read(70).unwrap_err(), &["17 images", "--max-gigabytes"]);
}

#[test]
fn archives_in_memory_are_read_as_those_in_files() {
    for name in ["classes.zip", "classes.tar", "classes.tar.gz", "edm.zip", "shard.tar"] {
        let from_memory = from_bytes::archive(&bytes(name), &FolderOptions::default()).unwrap();
        assert_eq!(content(from_memory), content(open(&written(name)).unwrap()), "{name}");
    }
}
