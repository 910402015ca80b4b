//! What carries bytes from rank to rank.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};

/// Carries messages between the ranks of a job. One thread alone calls it, the one that made it.
///
/// Messages from one rank to another arrive whole and in the order in which they were sent. Their order among senders
/// is free.
pub trait Transport {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// Sends a message. What arrives meanwhile is given to `arrived`.
    fn send(&mut self, to: usize, message: &[u8], arrived: &mut dyn FnMut(usize, Vec<u8>));

    /// The next message that is here, with the rank that sent it. It does not wait.
    fn receive(&mut self) -> Option<(usize, Vec<u8>)>;

    /// Ends all ranks at once, with this exit code.
    fn abort(&mut self, code: i32);
}

/// Ranks that are threads of one process.
pub(crate) struct Local {
    rank: usize,
    to: Vec<Sender<(usize, Vec<u8>)>>,
    from: Receiver<(usize, Vec<u8>)>,
    here: VecDeque<(usize, Vec<u8>)>,
}

impl Local {
    /// So many of them, which reach each other.
    pub(crate) fn connected(size: usize) -> Vec<Self> {
        let (to, from): (Vec<_>, Vec<_>) = (0..size).map(|_| mpsc::channel()).unzip();
        let of = |(rank, from)| Self { rank, to: to.clone(), from, here: VecDeque::new() };
        from.into_iter().enumerate().map(of).collect()
    }
}

impl Transport for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn send(&mut self, to: usize, message: &[u8], _: &mut dyn FnMut(usize, Vec<u8>)) {
        // A rank that has ended hears nothing.
        let _ = self.to[to].send((self.rank, message.to_vec()));
    }

    fn receive(&mut self) -> Option<(usize, Vec<u8>)> {
        self.here.extend(self.from.try_iter());
        self.here.pop_front()
    }

    fn abort(&mut self, _: i32) {}
}
