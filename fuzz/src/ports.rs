//! The same core as a worker on a port, joined to us by an in-memory link: what a frame goes through
//! in a run. Its buffers are used again and again, and keep what they held.

use crate::bench::{config, pipeline};
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, CAPACITY, Frame};
use dataplane::port::Port;
use dataplane::port::link::{Link, pair};
use dataplane::run::Load;
use dataplane::worker::{Busy, Worker};
use krononat::config::Filtering;
use krononat::worker::{Counters, Krononat};
use std::sync::Arc;

/// Buffers of both pools.
pub const BUFFERS: usize = 128;

/// A worker and the other end of its link.
pub struct Wired<'a> {
    outside: Link<'a>,
    worker: Krononat<Link<'a>>,
    counters: Arc<Counters>,
    handed_in: u64,
}

impl<'a> Wired<'a> {
    /// A worker without connections, with the buffers of `arena`: [`BUFFERS`].
    pub fn new(arena: &'a mut Arena, filtering: Filtering) -> Wired<'a> {
        let (outside, inside) = pair(arena, 64);
        let counters = Arc::new(Counters::default());
        let worker = Krononat::new(inside, pipeline(&config(filtering)), counters.clone());
        Wired { outside, worker, counters, handed_in: 0 }
    }

    /// What is sent of up to 32 frames that arrive together, in order.
    ///
    /// # Panics
    /// When a frame is neither sent nor freed.
    pub fn burst(&mut self, frames: &[Vec<u8>], now: Nanos) -> Vec<Vec<u8>> {
        let mut burst = Burst::new();
        self.outside.alloc(&mut burst, frames.len());
        assert_eq!(burst.len(), frames.len(), "every buffer came home");
        for (frame, bytes) in burst.iter_mut().zip(frames) {
            let len = bytes.len().min(CAPACITY);
            frame.set_len(len);
            frame.bytes_mut().copy_from_slice(&bytes[..len]);
        }
        assert_eq!(self.outside.tx(&mut burst), frames.len(), "room on the link");
        self.handed_in += frames.len() as u64;
        // A port hands out in one step what it took in the one before.
        self.worker.step(now);
        assert_eq!(self.worker.step(now), Busy(frames.len() as u32));
        assert_eq!(self.worker.step(now), Busy(0));
        let sent = self.receive();
        assert!(self.outside.pooled() >= BUFFERS / 2 - BURST, "sent, freed or held");
        sent
    }

    /// What has come: up to two bursts, of which one was held.
    fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        for _ in 0..3 {
            let mut burst = Burst::new();
            self.outside.rx(&mut burst);
            sent.extend(burst.iter().map(|frame| frame.bytes().to_vec()));
            self.outside.free(&mut burst);
        }
        sent
    }

    /// Waits until nothing can be held any longer.
    ///
    /// # Panics
    /// When a buffer has not come home.
    pub fn finish(mut self, now: Nanos) {
        self.worker.housekeeping(now + Nanos(1_000_000_000), &Load::default());
        assert_eq!(self.outside.pooled(), BUFFERS / 2, "a buffer is lost");
    }

    /// What a worker does between bursts.
    ///
    /// # Panics
    /// When its counters do not add up.
    pub fn chores(&mut self, now: Nanos) {
        self.worker.housekeeping(now, &Load::default());
        let tally = self.counters.read();
        assert_eq!((tally.received, tally.refused), (self.handed_in, 0));
        let done = tally.forwarded + tally.dropped.iter().sum::<u64>();
        assert!((done..=done + BURST as u64).contains(&tally.received), "and some are held");
    }

    /// The totals of its counters: sent and dropped.
    pub fn totals(&self) -> [u64; 2] {
        let tally = self.counters.read();
        [tally.forwarded, tally.dropped.iter().sum()]
    }
}
