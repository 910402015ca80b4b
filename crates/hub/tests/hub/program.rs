//! The program `duet-hub`, with no network but what a test offers on the loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{cache, image, labels};
use candle_datasets::vision;
use duet_data::FolderOptions;
use duet_hub::{PixelOrder, PublicSet, convert};
use tempfile::TempDir;

/// A place for a cache and a data set, and a server's address.
struct Place {
    folder: TempDir,
    endpoint: String,
}

impl Place {
    /// With an address at which nobody listens.
    fn without_network() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Place { folder: tempfile::tempdir().unwrap(), endpoint: format!("http://127.0.0.1:{port}") }
    }

    fn with_server(listener: &TcpListener) -> Self {
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        Place { folder: tempfile::tempdir().unwrap(), endpoint }
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_duet-hub"));
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
            .args(arguments)
            .arg("--out")
            .arg(self.out())
            .env("HF_ENDPOINT", &self.endpoint)
            .env("HF_HUB_CACHE", self.cache())
            .env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap()
    }

    /// The program's last words, after a check of its exit code and that it left no data set.
    fn fail(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(!self.out().exists());
        let others = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(others.filter(|name| name != "cache").count(), 0, "{words}");
        words
    }

    fn succeed(&self, set: &str) -> String {
        let output = self.run(&[set]);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Every image and label of the files is the one that was put into the cache.
fn check(set: PublicSet, dir: &Path) {
    let splits = duet_data::open(dir, &FolderOptions::default()).unwrap();
    let different: Vec<Vec<u8>> = (0..cache::DIFFERENT).map(|i| image(set, i)).collect();
    let (train, test) = set.published_counts();
    for (part, n) in [(&splits.train, train), (&splits.test, test)] {
        assert_eq!(part.len(), n);
        assert_eq!(part.classes(), set.classes());
        assert!(part.labels().iter().zip(labels(n)).all(|(&read, label)| read == u32::from(label)));
        for i in 0..n {
            assert!(part.pixels(i) == different[i % cache::DIFFERENT], "{set}, image {i}");
        }
    }
}

fn fetched_from_the_cache(set: PublicSet, word: &str) -> Place {
    let place = Place::without_network();
    let (train, test) = set.published_counts();
    cache::fill(&place.cache(), set, train, test);
    let words = place.succeed(word);
    assert!(words.starts_with(&format!("{set}: {train} training and {test} test images")), "{words}");
    check(set, &place.out());
    place
}

#[test]
fn mnist_of_the_cache_is_written_without_a_network() {
    fetched_from_the_cache(PublicSet::Mnist, "mnist");
}

#[test]
fn fashion_mnist_of_the_cache_is_written_without_a_network() {
    fetched_from_the_cache(PublicSet::FashionMnist, "fashion-mnist");
}

/// Fails if another version of candle-datasets orders the pixels of its download otherwise: then
/// `PixelOrder::of_download` is what to change.
#[test]
fn cifar10_of_the_cache_is_written_upright() {
    let set = PublicSet::Cifar10;
    let place = fetched_from_the_cache(set, "cifar10");
    // An independent reader of the same files, which turns nothing.
    let again = vision::cifar::load_dir(place.out()).unwrap();
    let again = convert(set, PixelOrder::ByRow, &again).unwrap();
    again.check_counts().unwrap();
    assert!(again.train().pixels[..3072] == image(set, 0));
    assert!(again.test().pixels[3072..6144] == image(set, 1));
    assert!(again.train().labels == labels(50_000));
}

#[test]
fn no_network_is_told_plainly_and_soon() {
    let place = Place::without_network();
    let start = Instant::now();
    let words = place.fail(&["mnist"], 6);
    assert!(start.elapsed() < Duration::from_secs(50), "{:?}", start.elapsed());
    assert!(words.contains("error: cannot download MNIST: no network (127.0.0.1:"), "{words}");
    assert!(words.contains("train-images-idx3-ubyte.gz"), "{words}");
    let train = format!("cargo xtask train --data {}", place.out().display());
    assert!(words.contains(&train), "{words}");
    assert!(!words.contains("panicked"), "{words}");
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_beyond_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::with_server(&listener);
    let start = Instant::now();
    let words = place.fail(&["cifar10", "--timeout", "2"], 6);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(words.contains("cannot download CIFAR-10: it is not done after 2 s"), "{words}");
    assert!(words.contains("--timeout") && words.contains("data_batch_1.bin"), "{words}");
}

#[test]
fn a_server_that_refuses_is_not_taken_for_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::with_server(&listener);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let words = place.fail(&["fashion-mnist"], 6);
    assert!(words.contains("cannot download Fashion-MNIST: Entry not found"), "{words}");
    assert!(!words.contains("no network"), "{words}");
}

#[test]
fn too_few_images_are_wrong_data() {
    let place = Place::without_network();
    cache::fill(&place.cache(), PublicSet::Mnist, 12, 3);
    let words = place.fail(&["mnist"], 4);
    assert!(words.contains("12 training and 3 test images where there are 60000 and 10000"), "{words}");
}

#[test]
fn a_damaged_download_is_wrong_data() {
    let place = Place::without_network();
    for part in ["train", "test"] {
        fs::write(cache::parquet_path(&place.cache(), PublicSet::Mnist, part), "no parquet").unwrap();
    }
    let words = place.fail(&["mnist"], 4);
    assert!(words.contains("the download of MNIST cannot be read: Parquet error"), "{words}");

    cache::fill_with(&place.cache(), PublicSet::Cifar10, b"no image");
    let words = place.fail(&["cifar10"], 4);
    assert!(words.contains("the download of CIFAR-10 cannot be read"), "{words}");
}

#[test]
fn a_directory_with_something_in_it_is_refused_before_any_download() {
    let place = Place::without_network();
    fs::create_dir(place.out()).unwrap();
    fs::write(place.out().join("mine"), "").unwrap();
    let output = place.run(&["mnist"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.starts_with("error: ") && words.contains("is not empty"), "{words}");
}

#[test]
fn other_words_are_a_usage_error() {
    let place = Place::without_network();
    let words = place.fail(&["imagenet"], 2);
    assert!(words.contains("mnist") && words.contains("cifar10"), "{words}");
}
