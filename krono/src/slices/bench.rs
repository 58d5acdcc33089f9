//! One core of Krononat on a link, and who feeds it, on the same thread.
//!
//! Only the core's own steps and turns are timed. A burst is sent, the core makes a step, what comes
//! back is looked at and freed: a link hands out what it took from its ring in the step before, so
//! two bursts are on their way at any time.

use super::Trouble;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::frame::{Arena, Buffer};
use dataplane::port::Port;
use dataplane::port::link::{Link, pair};
use dataplane::run::{Load, STEPS_PER_TURN};
use dataplane::worker::Worker;
use krononat::config::Config;
use krononat::worker::{Counters, Krononat, pipeline};
use std::sync::Arc;

/// Frames of each ring: enough for the bursts on their way, few enough for the nearest caches.
pub(super) const DEPTH: usize = 128;

/// Virtual time of a step.
const STEP: Nanos = Nanos(1_500);

/// A core and its feeder. Time is an argument of steps, so what is done depends on calls alone.
pub(super) struct Bench<'a> {
    core: Krononat<Link<'a>>,
    feeder: Link<'a>,
    pub(super) counters: Arc<Counters>,
    pub(super) now: Nanos,
    steps: u32,
}

/// The one call that is timed, and that an instruction counter watches by its name.
#[inline(never)]
pub(super) fn measured_step(core: &mut Krononat<Link<'_>>, now: Nanos) -> u32 {
    core.step(now).0
}

/// As [`measured_step`], for housekeeping.
#[inline(never)]
pub(super) fn measured_turn(core: &mut Krononat<Link<'_>>, now: Nanos) {
    core.housekeeping(now, &Load::default());
}

impl<'a> Bench<'a> {
    /// A core of `config`, the one in place `at`.
    pub(super) fn new(
        arena: &'a mut Arena,
        config: &Config,
        at: usize,
    ) -> Result<Bench<'a>, Trouble> {
        let made = pipeline(config, &config.cores[at])?;
        let (port, feeder) = pair(arena, DEPTH);
        let counters = Arc::new(Counters::default());
        let core = Krononat::new(port, made, counters.clone());
        Ok(Bench { core, feeder, counters, now: Nanos(0), steps: 0 })
    }

    /// Sends a burst that `write` fills in and has the core make a step; what that took, in cycles.
    /// It works on the burst sent before.
    #[inline]
    pub(super) fn step(&mut self, mut write: impl FnMut(usize, &mut &mut Buffer)) -> u64 {
        let mut burst = Burst::new();
        self.feeder.alloc(&mut burst, BURST);
        for (at, frame) in burst.iter_mut().enumerate() {
            write(at, frame);
        }
        self.feeder.tx(&mut burst);
        let taken = self.beat();
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_TURN) {
            self.turn(Nanos(0));
        }
        taken
    }

    fn beat(&mut self) -> u64 {
        let start = cpu::cycles();
        measured_step(&mut self.core, self.now);
        let taken = cpu::cycles() - start;
        self.now = self.now + STEP;
        taken
    }

    /// A turn of housekeeping after so much time; what it took, in cycles.
    pub(super) fn turn(&mut self, after: Nanos) -> u64 {
        self.now = self.now + after;
        let start = cpu::cycles();
        measured_turn(&mut self.core, self.now);
        cpu::cycles() - start
    }

    /// Takes back what the core has sent, up to a burst.
    #[inline]
    pub(super) fn collect(&mut self, mut each: impl FnMut(&&mut Buffer)) -> u32 {
        let mut burst = Burst::new();
        self.feeder.rx(&mut burst);
        burst.iter().for_each(&mut each);
        let count = burst.len() as u32;
        self.feeder.free(&mut burst);
        count
    }

    /// Has the core finish what is on its way; frames that came back.
    pub(super) fn settle(&mut self, mut each: impl FnMut(&&mut Buffer)) -> u32 {
        let mut count = 0;
        for _ in 0..4 {
            self.beat();
            count += self.collect(&mut each);
        }
        count
    }
}
