//! Ranks that mpirun or srun has started, over MPI.

use crate::error::RankError;
use crate::launch::Launch;
use crate::ranks::Ranks;
use crate::transport::{Arrived, Transport};
use ::mpi::Threading;
use ::mpi::environment::Universe;
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::{Communicator, Destination, Equivalence, Source};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Bytes of one message of MPI; larger ones of ours are cut. It is below the 64 KiB up to which Open MPI sends over TCP without
/// asking the receiver first, with room for its header. An answer would wait behind the data of the other direction.
const PIECE: usize = (1 << 16) - 1024;
/// Looks between which other threads may run, and the pause between later ones.
const LOOKS: u32 = 1000;
const NAP: Duration = Duration::from_micros(20);
/// A tag says what a message is for, twice, and in its last bit whether more pieces follow.
const MORE: i32 = 1;

/// This process as a rank of the job that `launch` started. A rank that is silent for longer than `limit` counts as lost.
///
/// # Errors
/// Where MPI is in use already, or knows fewer ranks than were started.
pub fn mpi(launch: &Launch, limit: Duration) -> Result<Ranks, RankError> {
    let launch = launch.clone();
    Ranks::over(limit, move || Mpi::connect(&launch))
}

struct Mpi {
    world: SimpleCommunicator,
    /// Pieces of messages that are not whole yet.
    begun: HashMap<usize, Vec<u8>>,
    here: VecDeque<Arrived>,
    /// Dropped last: it ends MPI.
    _universe: Universe,
}

impl Mpi {
    fn connect(launch: &Launch) -> Result<Self, RankError> {
        let in_use = || RankError::Start("MPI is in use already in this process".into());
        let (universe, _) = ::mpi::initialize_with_threading(Threading::Funneled).ok_or_else(in_use)?;
        let world = universe.world();
        let known = world.size() as usize;
        if known != launch.size {
            let Launch { by, size, .. } = launch;
            let hint = match *by {
                "srun" => "name the way in which they find each other, such as srun --mpi=pmix",
                _ => "start it with the mpirun of the MPI that it was built with",
            };
            return Err(RankError::Start(format!(
                "{by} started {size} ranks, and MPI knows {known} here; {hint}"
            )));
        }
        Ok(Self { world, begun: HashMap::new(), here: VecDeque::new(), _universe: universe })
    }

    /// Takes the pieces that are here.
    fn look(&mut self) {
        while let Some(found) = self.world.any_process().immediate_matched_probe() {
            let (message, status) = found;
            let (from, tag) = (status.source_rank() as usize, status.tag());
            let mut whole = self.begun.remove(&from).unwrap_or_default();
            let before = whole.len();
            whole.resize(before + status.count(u8::equivalent_datatype()) as usize, 0);
            ::mpi::request::scope(|scope| {
                let mut request = message.immediate_matched_receive_into(scope, &mut whole[before..]);
                let mut pause = Pause::default();
                while let Err(unfinished) = request.test() {
                    request = unfinished;
                    pause.wait();
                }
            });
            match tag {
                tag if tag & MORE > 0 => drop(self.begun.insert(from, whole)),
                tag => self.here.push_back((from, (tag / 2) as u8, whole)),
            }
        }
    }
}

/// Waits between two looks at what is on its way: at first only for threads that want this processor.
#[derive(Default)]
struct Pause(u32);

impl Pause {
    fn wait(&mut self) {
        self.0 += 1;
        match self.0 {
            ..LOOKS => std::thread::yield_now(),
            _ => std::thread::sleep(NAP),
        }
    }
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn send(&mut self, to: usize, channel: u8, blocks: &[&[u8]], arrived: &mut dyn FnMut(Arrived)) {
        let mut pieces: Vec<&[u8]> = blocks.iter().flat_map(|block| block.chunks(PIECE)).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let last = pieces.len() - 1;
        for (i, piece) in pieces.into_iter().enumerate() {
            let tag = 2 * i32::from(channel) + if i < last { MORE } else { 0 };
            // Two ranks may send to each other: each must receive before the other's send ends.
            ::mpi::request::scope(|scope| {
                let to = self.world.process_at_rank(to as i32);
                let mut request = to.immediate_send_with_tag(scope, piece, tag);
                let mut pause = Pause::default();
                while let Err(unfinished) = request.test() {
                    request = unfinished;
                    pause.wait();
                    self.look();
                    self.here.drain(..).for_each(&mut *arrived);
                }
            });
        }
    }

    fn receive(&mut self) -> Option<Arrived> {
        self.look();
        self.here.pop_front()
    }

    fn abort(&mut self, code: i32) {
        self.world.abort(code)
    }
}
