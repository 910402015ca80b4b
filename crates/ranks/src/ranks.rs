//! Messages between ranks, with a thread beside the work that carries them and listens for signs of life.

use crate::error::RankError;
use crate::spread;
use crate::transport::{Arrived, Local, Transport};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The ranks of a job as one of them sees them. Copies stand for the same rank.
///
/// Every call that waits ends with an error where another rank fails or is silent for too long, and never hangs.
#[derive(Clone)]
pub struct Ranks(Arc<Inner>);

struct Inner {
    rank: usize,
    size: usize,
    limit: Duration,
    shared: Arc<Shared>,
    out: Mutex<Option<Sender<Out>>>,
    carrier: Mutex<Option<JoinHandle<()>>>,
}

/// What the work and the thread that carries its messages have in common.
struct Shared {
    here: Mutex<Here>,
    changed: Condvar,
    /// How many calls wait for a message.
    waiting: AtomicUsize,
    sent: AtomicU64,
    messages: AtomicU64,
    waited: AtomicU64,
}

struct Here {
    messages: HashMap<(usize, Channel), VecDeque<Vec<u8>>>,
    /// How many messages of each rank have come.
    heard: Vec<u64>,
    failed: Option<RankError>,
}

enum Out {
    Message { to: usize, channel: Channel, blocks: Vec<Block> },
    Abort(i32),
}

/// A part of a message that is sent from where it is.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Bytes(Arc<Vec<u8>>),
    /// Some of these values, as the processor has them: little-endian on all processors that the feature `mpi` is built for.
    Values(Arc<Vec<f32>>, Range<usize>),
}

#[cfg(all(feature = "mpi", target_endian = "big"))]
compile_error!("ranks send values as the processor has them, and expect them little-endian");

impl Block {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Values(values, range) => bytemuck::cast_slice(&values[range.clone()]),
        }
    }
}

/// What a message is for: messages of one channel and sender are received in the order in which they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Channel {
    /// What rank 0 asks of the others.
    Order = 0,
    /// What they answer.
    Answer = 1,
    /// Terms of a sum.
    Sum = 2,
    /// The result of a sum.
    Total = 3,
    /// That a rank lives.
    Beat = 4,
    /// That a rank has failed.
    Fail = 5,
    /// Work that rank 0 hands out.
    Work = 6,
}

const CHANNELS: [Channel; 7] = [
    Channel::Order,
    Channel::Answer,
    Channel::Sum,
    Channel::Total,
    Channel::Beat,
    Channel::Fail,
    Channel::Work,
];

/// What a rank has sent, and how long its work has waited for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of messages that this rank has sent.
    pub bytes: u64,
    /// Messages that it has sent.
    pub messages: u64,
    /// For how long its work has waited for messages.
    pub waited: Duration,
}

/// Between two looks for messages: while work waits for one that is due, while none waits, and after a long wait.
const SOON: Duration = Duration::from_micros(20);
const LATER: Duration = Duration::from_micros(500);
const CALM: Duration = Duration::from_millis(1);
/// A wait that is longer takes no more of a processor that others may use.
const LONG: Duration = Duration::from_millis(200);
/// Between two looks of waiting work at who is silent.
const LOOK: Duration = Duration::from_millis(100);
/// Between two signs of life, at most.
const BEAT: Duration = Duration::from_secs(1);

impl Ranks {
    /// The one rank of a process that works alone.
    pub fn alone() -> Self {
        Self(Arc::new(Inner {
            rank: 0,
            size: 1,
            limit: Duration::MAX,
            shared: Arc::new(Shared::new(1)),
            out: Mutex::new(None),
            carrier: Mutex::new(None),
        }))
    }

    /// So many ranks of one process, for threads of it. A rank that is silent for longer than `limit` counts as lost.
    pub fn local(size: usize, limit: Duration) -> Vec<Self> {
        let transports = Local::connected(size).into_iter();
        let joined = transports.map(|transport| Self::over(limit, move || Ok(transport)));
        joined.map(|joined| joined.expect("a transport that is made has no error")).collect()
    }

    /// A rank over a transport, which is made on the thread that uses it.
    ///
    /// # Errors
    /// Those of `connect`.
    pub fn over<T: Transport>(
        limit: Duration,
        connect: impl FnOnce() -> Result<T, RankError> + Send + 'static,
    ) -> Result<Self, RankError> {
        let (out, outgoing) = mpsc::channel();
        let (ready, made) = mpsc::channel();
        let carrier = thread::Builder::new().name("ranks".into()).spawn(move || {
            let transport = match connect() {
                Ok(transport) => transport,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let shared = Arc::new(Shared::new(transport.size()));
            let place = (transport.rank(), transport.size(), shared.clone());
            if ready.send(Ok(place)).is_ok() {
                Carrier { transport, shared, outgoing, beat: (limit / 5).min(BEAT) }.run();
            }
        });
        let started = |cause| RankError::Start(format!("cannot start the thread of the messages: {cause}"));
        let carrier = carrier.map_err(started)?;
        let ended = |_| RankError::Start("the connection to the other ranks ended at its start".into());
        let (rank, size, shared) = made.recv().map_err(ended)??;
        let (out, carrier) = (Mutex::new(Some(out)), Mutex::new(Some(carrier)));
        Ok(Self(Arc::new(Inner { rank, size, limit, shared, out, carrier })))
    }

    /// This rank's number, from 0.
    pub fn rank(&self) -> usize {
        self.0.rank
    }

    /// The number of ranks.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// What this rank has sent and waited for so far.
    pub fn traffic(&self) -> Traffic {
        let Shared { sent, messages, waited, .. } = &*self.0.shared;
        Traffic {
            bytes: sent.load(Relaxed),
            messages: messages.load(Relaxed),
            waited: Duration::from_nanos(waited.load(Relaxed)),
        }
    }

    /// Sends a message, and does not wait for its arrival. One to a rank that is gone goes nowhere.
    pub fn send(&self, to: usize, channel: Channel, bytes: Vec<u8>) {
        self.send_blocks(to, channel, vec![Block::Bytes(Arc::new(bytes))]);
    }

    /// Sends blocks as one message.
    pub(crate) fn send_blocks(&self, to: usize, channel: Channel, blocks: Vec<Block>) {
        self.carry(Out::Message { to, channel, blocks });
    }

    fn carry(&self, out: Out) {
        if let Some(sender) = &*lock(&self.0.out) {
            let _ = sender.send(out);
        }
        if let Some(carrier) = &*lock(&self.0.carrier) {
            carrier.thread().unpark();
        }
    }

    /// Waits for the next message of a rank.
    ///
    /// # Errors
    /// A rank that is lost or has failed.
    pub fn receive(&self, from: usize, channel: Channel) -> Result<Vec<u8>, RankError> {
        Ok(self.wait(|here| Some((from, here.next(from, channel)?)))?.1)
    }

    /// Waits for the next message of any other rank.
    ///
    /// # Errors
    /// A rank that is lost or has failed.
    pub fn receive_any(&self, channel: Channel) -> Result<(usize, Vec<u8>), RankError> {
        self.wait(|here| here.next_of_any(channel))
    }

    /// The next message of any other rank, if one is here.
    ///
    /// # Errors
    /// A rank that has failed.
    pub fn receive_now(&self, channel: Channel) -> Result<Option<(usize, Vec<u8>)>, RankError> {
        let mut here = lock(&self.0.shared.here);
        if let Some(failed) = &here.failed {
            return Err(failed.clone());
        }
        Ok(here.next_of_any(channel))
    }

    fn wait<T>(&self, mut find: impl FnMut(&mut Here) -> Option<T>) -> Result<T, RankError> {
        let shared = &self.0.shared;
        let mut here = lock(&shared.here);
        let (started, mut looked) = (Instant::now(), Instant::now());
        let mut silence = Silence { heard: here.heard.clone(), times: vec![Duration::ZERO; self.size()] };
        shared.waiting.fetch_add(1, Relaxed);
        let found = loop {
            if let Some(found) = find(&mut here) {
                break Ok(found);
            }
            if let Some(failed) = &here.failed {
                break Err(failed.clone());
            }
            silence.go_on(&here.heard, looked.elapsed());
            looked = Instant::now();
            if let Some(rank) = self.lost(&silence) {
                break Err(RankError::Lost { rank, seconds: self.0.limit.as_secs() });
            }
            let next = shared.changed.wait_timeout(here, LOOK);
            here = next.unwrap_or_else(|held| held.into_inner()).0;
        };
        shared.waiting.fetch_sub(1, Relaxed);
        shared.waited.fetch_add(started.elapsed().as_nanos() as u64, Relaxed);
        found
    }

    /// A rank that this one listens for and has not heard of for too long. Rank 0 listens for all, the others for it.
    fn lost(&self, silence: &Silence) -> Option<usize> {
        let listened = if self.rank() == 0 { 1..self.size() } else { 0..1 };
        listened.into_iter().find(|&rank| silence.times[rank] > self.0.limit)
    }

    /// Sends rank 0's bytes to all, along a binary tree; every rank calls it, and gets them.
    ///
    /// # Errors
    /// A rank that is lost or has failed.
    pub fn broadcast(&self, channel: Channel, bytes: Option<Vec<u8>>) -> Result<Arc<Vec<u8>>, RankError> {
        let bytes = match spread::parent(self.rank()) {
            None => bytes.unwrap_or_default(),
            Some(parent) => self.receive(parent, channel)?,
        };
        let bytes = Arc::new(bytes);
        for child in spread::children(self.rank(), self.size()) {
            self.send_blocks(child, channel, vec![Block::Bytes(bytes.clone())]);
        }
        Ok(bytes)
    }

    /// Brings every rank's bytes to rank 0, in the order of the ranks; the others get none.
    ///
    /// # Errors
    /// A rank that is lost or has failed.
    pub fn gather(&self, bytes: Vec<u8>) -> Result<Option<Vec<Vec<u8>>>, RankError> {
        if self.rank() > 0 {
            self.send(0, Channel::Answer, bytes);
            return Ok(None);
        }
        let others = (1..self.size()).map(|rank| self.receive(rank, Channel::Answer));
        std::iter::once(Ok(bytes)).chain(others).collect::<Result<_, _>>().map(Some)
    }

    /// Tells all ranks that this one ends with an error: what they wait for ends with [`RankError::Failed`].
    pub fn fail(&self, code: u8, message: &str) {
        let bytes = [&[code], message.as_bytes()].concat();
        for to in (0..self.size()).filter(|&to| to != self.rank()) {
            self.send(to, Channel::Fail, bytes.clone());
        }
    }

    /// Ends the processes of all ranks at once, also of those that hear nothing. It may return before they end.
    pub fn abort(&self, code: u8) {
        self.carry(Out::Abort(code.into()));
    }

    /// Sends what is to be sent, and leaves the job. Whether that was done within the limit.
    pub fn leave(&self) -> bool {
        lock(&self.0.out).take();
        let Some(carrier) = lock(&self.0.carrier).take() else { return true };
        carrier.thread().unpark();
        let started = Instant::now();
        while !carrier.is_finished() {
            if started.elapsed() > self.0.limit {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        carrier.join().is_ok()
    }
}

impl std::fmt::Debug for Ranks {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread ends when nobody can send any more.
        lock(&self.out).take();
        if let Some(carrier) = lock(&self.carrier).take() {
            carrier.thread().unpark();
        }
    }
}

impl Shared {
    fn new(size: usize) -> Self {
        let here = Here { messages: HashMap::new(), heard: vec![0; size], failed: None };
        Self {
            here: Mutex::new(here),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }
    }

    fn arrived(&self, (from, channel, message): Arrived) {
        let mut here = lock(&self.here);
        here.heard[from] += 1;
        match CHANNELS.get(channel as usize) {
            Some(Channel::Beat) => return,
            Some(Channel::Fail) => {
                let code = message.first().copied().unwrap_or(1);
                let text = String::from_utf8_lossy(message.get(1..).unwrap_or_default()).into_owned();
                here.failed.get_or_insert(RankError::Failed { rank: from, code, message: text });
            }
            Some(&channel) => here.messages.entry((from, channel)).or_default().push_back(message),
            None => {
                let reason = "a message of no known kind".into();
                here.failed.get_or_insert(RankError::Message { rank: from, reason });
            }
        }
        drop(here);
        self.changed.notify_all();
    }
}

/// For how long each rank has said nothing while somebody waited.
struct Silence {
    heard: Vec<u64>,
    times: Vec<Duration>,
}

impl Silence {
    /// Time that this process was stopped itself does not count.
    fn go_on(&mut self, heard: &[u64], time: Duration) {
        for (rank, &now) in heard.iter().enumerate() {
            match now == self.heard[rank] {
                true => self.times[rank] += time.min(2 * LOOK),
                false => self.times[rank] = Duration::ZERO,
            }
        }
        self.heard.copy_from_slice(heard);
    }
}

impl Here {
    fn next(&mut self, from: usize, channel: Channel) -> Option<Vec<u8>> {
        self.messages.get_mut(&(from, channel))?.pop_front()
    }

    fn next_of_any(&mut self, channel: Channel) -> Option<(usize, Vec<u8>)> {
        (0..self.heard.len()).find_map(|from| Some((from, self.next(from, channel)?)))
    }
}

/// The thread that carries messages.
struct Carrier<T> {
    transport: T,
    shared: Arc<Shared>,
    outgoing: Receiver<Out>,
    beat: Duration,
}

impl<T: Transport> Carrier<T> {
    fn run(mut self) {
        let (mut beaten, mut last): (Option<Instant>, _) = (None, Instant::now());
        loop {
            let mut moved = false;
            loop {
                match self.outgoing.try_recv() {
                    Ok(Out::Message { to, channel, blocks }) => {
                        moved = true;
                        let blocks: Vec<&[u8]> = blocks.iter().map(Block::bytes).collect();
                        self.send(to, channel, &blocks);
                    }
                    Ok(Out::Abort(code)) => self.transport.abort(code),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            while let Some(message) = self.transport.receive() {
                moved = true;
                self.shared.arrived(message);
            }
            if beaten.is_none_or(|beaten| beaten.elapsed() > self.beat) {
                beaten = Some(Instant::now());
                let to = if self.transport.rank() == 0 { 1..self.transport.size() } else { 0..1 };
                to.for_each(|to| self.send(to, Channel::Beat, &[]));
            }
            if moved {
                last = Instant::now();
                continue;
            }
            thread::park_timeout(match self.shared.waiting.load(Relaxed) {
                _ if last.elapsed() > LONG => CALM,
                0 => LATER,
                _ => SOON,
            });
        }
    }

    fn send(&mut self, to: usize, channel: Channel, blocks: &[&[u8]]) {
        if channel != Channel::Beat {
            let bytes = blocks.iter().map(|block| block.len() as u64).sum();
            self.shared.sent.fetch_add(bytes, Relaxed);
            self.shared.messages.fetch_add(1, Relaxed);
        }
        let shared = &self.shared;
        self.transport.send(to, channel as u8, blocks, &mut |message| shared.arrived(message));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|held| held.into_inner())
}
