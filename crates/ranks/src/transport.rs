//! What carries bytes from rank to rank.

use std::sync::mpsc::{self, Receiver, Sender};

/// A message that has arrived: the rank that sent it, what it is for, and its bytes.
pub type Arrived = (usize, u8, Vec<u8>);

/// Carries messages between the ranks of a job. One thread alone calls it, the one that made it.
///
/// Messages from one rank to another arrive whole and in the order in which they were sent. Their order among senders
/// is free.
pub trait Transport {
    /// This process's number, from 0.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// Sends a message with what it is for: blocks of bytes, one behind the other. What arrives meanwhile is given to
    /// `arrived`.
    fn send(&mut self, to: usize, channel: u8, blocks: &[&[u8]], arrived: &mut dyn FnMut(Arrived));

    /// The next message that is here. It does not wait.
    fn receive(&mut self) -> Option<Arrived>;

    /// Ends all ranks at once, with this exit code.
    fn abort(&mut self, code: i32);
}

/// Ranks that are threads of one process.
pub(crate) struct Local {
    rank: usize,
    to: Vec<Sender<Arrived>>,
    from: Receiver<Arrived>,
}

impl Local {
    /// So many of them, which reach each other.
    pub(crate) fn connected(size: usize) -> Vec<Self> {
        let (to, from): (Vec<_>, Vec<_>) = (0..size).map(|_| mpsc::channel()).unzip();
        let of = |(rank, from)| Self { rank, to: to.clone(), from };
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

    fn send(&mut self, to: usize, channel: u8, blocks: &[&[u8]], _: &mut dyn FnMut(Arrived)) {
        // A rank that has ended hears nothing.
        let _ = self.to[to].send((self.rank, channel, blocks.concat()));
    }

    fn receive(&mut self) -> Option<Arrived> {
        self.from.try_recv().ok()
    }

    fn abort(&mut self, _: i32) {}
}
