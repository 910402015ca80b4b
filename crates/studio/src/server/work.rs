//! The one thread that computes, and what waits for it.

use crate::cancel::Cancel;
use crate::limits;
use crate::refusal::Refusal;
use http::StatusCode;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard};

/// Cancels the work when whoever waits for it is gone.
#[derive(Debug)]
pub struct Waits(pub Cancel);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

struct Job {
    client: Option<String>,
    cancel: Cancel,
    work: Box<dyn FnOnce(&Cancel) + Send>,
}

/// Jobs in the order they came.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: Option<(Option<String>, Cancel)>,
    closed: bool,
}

impl Queue {
    /// Adds work. What the same client asked for before is cancelled; work without a client stands for itself.
    pub fn push(
        &self,
        client: Option<String>,
        work: impl FnOnce(&Cancel) + Send + 'static,
    ) -> Result<Waits, Refusal> {
        let mut state = self.lock();
        if client.is_some() {
            let of_waiting = state.waiting.iter().map(|job| (&job.client, &job.cancel));
            let of_running = state.running.iter().map(|(client, cancel)| (client, cancel));
            of_waiting
                .chain(of_running)
                .filter(|(known, _)| **known == client)
                .for_each(|(_, cancel)| cancel.cancel());
        }
        state.waiting.retain(|job| !job.cancel.is_cancelled());
        if state.waiting.len() >= limits::QUEUE || state.closed {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{} drawings are waiting, and no more may; try again", limits::QUEUE),
            ));
        }
        let cancel = Cancel::default();
        state.waiting.push_back(Job { client, cancel: cancel.clone(), work: Box::new(work) });
        self.changed.notify_one();
        Ok(Waits(cancel))
    }

    /// Does the work until the queue is closed.
    pub fn work(&self) {
        while let Some(job) = self.next() {
            let Job { cancel, work, .. } = job;
            // The panic is printed, and the receiver of its answer sees that none comes.
            let _ = catch_unwind(AssertUnwindSafe(|| work(&cancel)));
            self.lock().running = None;
        }
    }

    /// Cancels everything, and takes no more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.running.iter().for_each(|(_, cancel)| cancel.cancel());
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            match state.waiting.pop_front() {
                Some(job) if job.cancel.is_cancelled() => {}
                Some(job) => {
                    state.running = Some((job.client.clone(), job.cancel.clone()));
                    return Some(job);
                }
                None => state = self.changed.wait(state).unwrap_or_else(|held| held.into_inner()),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|held| held.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_newer_request_of_a_client_takes_the_place_of_its_older_ones_alone() {
        let queue = Queue::default();
        let (sender, receiver) = mpsc::channel();
        let push = |client: Option<&str>, name: &'static str| {
            let sender = sender.clone();
            queue.push(client.map(String::from), move |_| sender.send(name).unwrap()).unwrap()
        };
        let kept = [
            push(Some("a"), "a1"),
            push(Some("b"), "b1"),
            push(None, "x"),
            push(None, "y"),
            push(Some("a"), "a2"),
        ];
        assert_eq!(kept.each_ref().map(|waits| waits.0.is_cancelled()), [true, false, false, false, false]);
        let _last = push(None, "last");
        std::thread::scope(|scope| {
            scope.spawn(|| queue.work());
            let done: Vec<&str> = receiver.iter().take(5).collect();
            assert_eq!(done, ["b1", "x", "y", "a2", "last"]);
            queue.close();
        });
    }

    #[test]
    fn the_queue_is_limited_and_what_nobody_waits_for_leaves_it() {
        let queue = Queue::default();
        let mut waits: Vec<Waits> = (0..limits::QUEUE).map(|_| queue.push(None, |_| {}).unwrap()).collect();
        let refusal = queue.push(None, |_| {}).unwrap_err();
        assert!(refusal.status == 503 && refusal.error.contains("16 drawings"), "{refusal:?}");
        waits.pop();
        queue.push(None, |_| {}).unwrap();
    }

    #[test]
    fn work_that_panics_ends_itself_alone() {
        let queue = Queue::default();
        let (sender, receiver) = mpsc::channel();
        let _first = queue.push(None, |_| panic!("as the test asks")).unwrap();
        let _second = queue.push(None, move |_| sender.send(1).unwrap()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| queue.work());
            assert_eq!(receiver.recv(), Ok(1));
            queue.close();
        });
    }
}
