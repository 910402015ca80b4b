//! Why a server does not start or go on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Errors of a server. What is wrong with a request is answered to who asks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing can listen there.
    #[error("cannot listen at {address}: {cause}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// More than this machine could get in, and nothing keeps them out.
    #[error(
        "listen {0}: everybody who reaches this machine over the network could draw with its models, see its runs and stop \
         its trainings, so a token is needed: choose one of at least {least} letters and digits, give it as token, and give \
         it to those alone who may; what is sent is not encrypted",
        least = crate::limits::TOKEN
    )]
    NoToken(IpAddr),
    /// A token that is easily guessed, or that no address can hold.
    #[error(
        "token: at least {least} characters are needed, of letters, digits, - and _",
        least = crate::limits::TOKEN
    )]
    Token,
    /// The model that the page should begin with is not there.
    #[error("{0}")]
    Model(String),
    /// The folder of runs is not there.
    #[error("runs {}: there is no such folder", .0.display())]
    Runs(PathBuf),
    /// The system gives no threads or timers.
    #[error("the server cannot run: {0}")]
    Runtime(io::Error),
}
