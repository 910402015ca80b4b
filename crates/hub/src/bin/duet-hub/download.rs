//! candle-datasets' downloads, with an end to waiting for them.

use std::any::Any;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use candle_core::Error;
use candle_datasets::vision::{Dataset, cifar, fashion_mnist, mnist};
use duet_hub::PublicSet;

use crate::failure::Failure;
use crate::server;

/// How long to wait for candle-datasets if the server cannot be reached: enough to read a set
/// from the cache, and more than hf-hub's retries take where each fails at once.
const WITHOUT_NETWORK: Duration = Duration::from_secs(60);

/// How candle-datasets begins the messages of hf-hub's errors.
const OF_DOWNLOAD: &str = "Api error: ";

/// The set as candle-datasets loads it: from the cache of Hugging Face's tools, or downloaded.
///
/// `out` is for the message of a failure alone.
///
/// # Errors
/// No network, a download that fails or takes longer than `limit`, or one that cannot be read.
pub fn dataset(set: PublicSet, limit: Duration, out: &Path) -> Result<Dataset, Failure> {
    let obstacle = server::obstacle();
    let patience = if obstacle.is_some() { limit.min(WITHOUT_NETWORK) } else { limit };

    // A thread of its own, since there is no other way to give up, and since candle-datasets
    // panics where an image cannot be decoded. The end of the program ends it.
    let (sender, receiver) = mpsc::channel();
    let loading = thread::spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(load(set));
    });
    let out = out.to_path_buf();
    match (receiver.recv_timeout(patience), obstacle) {
        (Ok(Ok(dataset)), _) => Ok(dataset),
        (Ok(Err(error)), _) if !is_of_download(&error) => {
            Err(Failure::Damaged { set, cause: error.to_string() })
        }
        (Err(RecvTimeoutError::Disconnected), _) => {
            let cause = loading.join().err().map_or_else(|| "it ended without a word".into(), words);
            Err(Failure::Damaged { set, cause })
        }
        (_, Some(cause)) => Err(Failure::NoNetwork { set, cause, out }),
        (Ok(Err(error)), None) => {
            let cause = error.to_string().trim_start_matches(OF_DOWNLOAD).to_string();
            Err(Failure::Download { set, cause, out })
        }
        (Err(RecvTimeoutError::Timeout), None) => Err(Failure::TooSlow { set, limit, out }),
    }
}

fn load(set: PublicSet) -> candle_core::Result<Dataset> {
    match set {
        PublicSet::Mnist => mnist::load(),
        PublicSet::FashionMnist => fashion_mnist::load(),
        PublicSet::Cifar10 => cifar::load(),
    }
}

/// Whether the error is hf-hub's or the operating system's, and not one about the content.
fn is_of_download(error: &Error) -> bool {
    match error {
        Error::Msg(message) => message.starts_with(OF_DOWNLOAD),
        Error::Io(_) => true,
        Error::WithBacktrace { inner, .. } | Error::WithPath { inner, .. } => is_of_download(inner),
        _ => false,
    }
}

/// What a panic said.
fn words(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => {
            panic.downcast::<&str>().map_or_else(|_| "it panicked".into(), |words| words.to_string())
        }
    }
}
