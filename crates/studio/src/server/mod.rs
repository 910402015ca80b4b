//! Listening, and the threads of the server.

mod door;
mod error;
mod listed;
mod models;
mod patient;
mod places;
mod routes;
mod studio;
mod watched;
mod work;

pub use error::Error;

use crate::limits;
use crate::server::door::Door;
use crate::server::models::Models;
use crate::server::patient::Patient;
use crate::server::places::Places;
use crate::server::routes::router;
use crate::server::studio::Studio;
use crate::server::work::Queue;
use axum::Router;
use duet_diffusion::find::{LATEST, RUNS};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often the server looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);
/// Threads that read files, at most.
const READERS: usize = 4;
/// How long they stay without work.
const READERS_STAY: Duration = Duration::from_secs(1);
/// Bytes of the head of a request.
const HEAD: usize = 64 << 10;

/// What a server serves, and where.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model that the page begins with: `latest`, a run, or any model folder.
    pub run: String,
    /// Where the runs are.
    pub runs: PathBuf,
    /// Where the server listens. Another address than this machine's own needs a token.
    pub listen: IpAddr,
    /// 0 for any that is free.
    pub port: u16,
    /// What everybody has to show.
    pub token: Option<String>,
    /// How the program is called, for commands that a person may type.
    pub program: String,
}

impl Default for Settings {
    /// The runs of this folder, for this machine alone, at any port.
    fn default() -> Self {
        Self {
            run: LATEST.into(),
            runs: RUNS.into(),
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            token: None,
            program: "duet".into(),
        }
    }
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    token: Option<String>,
    studio: Arc<Studio>,
    door: Arc<Door>,
    runtime: Runtime,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the model or the folder of runs is not there, an address beyond this machine comes without a token, or nothing can listen there.
    pub fn bind(settings: Settings) -> Result<Self, Error> {
        let Settings { run, runs, listen, port, token, program } = settings;
        if token.as_ref().is_some_and(|token| !is_token(token)) {
            return Err(Error::Token);
        }
        if !listen.is_loopback() && token.is_none() {
            return Err(Error::NoToken(listen));
        }
        // Before the first training there is no such folder yet.
        if !runs.is_dir() && (runs != Path::new(RUNS) || runs.exists()) {
            return Err(Error::Runs(runs));
        }
        if run != LATEST {
            duet_diffusion::find::model_folder(&run).map_err(|error| Error::Model(error.chain()))?;
        }
        let address = SocketAddr::new(listen, port);
        let failed = |cause| Error::Listen { address, cause };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let studio = Studio {
            places: Places::new(runs, Some(run)),
            models: Models::default(),
            queue: Queue::default(),
            bodies: Arc::new(Semaphore::new(limits::BODIES)),
            program,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS)
            .thread_keep_alive(READERS_STAY)
            .build()
            .map_err(Error::Runtime)?;
        let door = Arc::new(Door::new(address, token.clone()));
        Ok(Self { listener, address, token, studio: Arc::new(studio), door, runtime })
    }

    /// Where a browser finds the page. `THIS-MACHINE` is in the place of the machine's name where the server listens at
    /// all of its addresses.
    pub fn address(&self) -> String {
        match self.address.ip().is_unspecified() {
            true => self.page_at(&format!("THIS-MACHINE:{}", self.address.port())),
            false => self.page_at(&self.address.to_string()),
        }
    }

    /// Where a browser of this machine finds the page.
    pub fn address_here(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        self.page_at(&SocketAddr::new(ip, self.address.port()).to_string())
    }

    fn page_at(&self, host: &str) -> String {
        match &self.token {
            Some(token) => format!("http://{host}/?token={token}"),
            None => format!("http://{host}/"),
        }
    }

    /// Serves until `is_over` says so, which is asked some times a second.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn serve(self, is_over: impl Fn() -> bool) -> Result<(), Error> {
        let Self { listener, studio, door, runtime, .. } = self;
        let app = router(studio.clone(), door);
        let for_worker = studio.clone();
        let worker = std::thread::Builder::new()
            .name("studio".into())
            .spawn(move || for_worker.queue.work())
            .map_err(Error::Runtime)?;
        let served = runtime.block_on(accept(listener, app, is_over));
        studio.queue.close();
        runtime.shutdown_timeout(Duration::from_secs(1));
        // A worker that panicked has said so.
        let _ = worker.join();
        served.map_err(Error::Runtime)
    }
}

/// Characters that an address and a cookie hold as they are.
fn is_token(token: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    token.len() >= limits::TOKEN && token.chars().all(plain)
}

async fn accept(listener: TcpListener, app: Router, is_over: impl Fn() -> bool) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    while !is_over() {
        // Clients beyond the limit wait in the system's queue.
        let Ok(Ok(place)) = tokio::time::timeout(LOOK, places.clone().acquire_owned()).await else {
            continue;
        };
        match tokio::time::timeout(LOOK, listener.accept()).await {
            Ok(Ok((stream, _))) => drop(tokio::spawn(answer(stream, app.clone(), place))),
            // A client that is gone already, or no file handles for now.
            Ok(Err(_)) => tokio::time::sleep(LOOK).await,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Answers the requests of one connection.
async fn answer(stream: TcpStream, app: Router, _place: OwnedSemaphorePermit) {
    // Lines of a drawing go out as they come.
    let _ = stream.set_nodelay(true);
    let stream = Patient::new(stream, limits::WRITE_TIME);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_TIME)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    // A client that vanishes is no fault of the server's.
    let _ = connection.await;
}
