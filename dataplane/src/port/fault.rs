//! A network with known defects, to test whoever claims to notice them.
//!
//! [`Fault`] wraps a port and damages what is sent through it as a [`FaultPlan`] says. Which frames
//! are hit follows from the seed, and [`FaultCounts`] says how many faults were injected, not how
//! many were meant to be: a fault that is impossible for its frame (a port rewrite in an ARP frame,
//! a delay while the delay line is full, a duplicate without a free buffer, a second fault on the
//! same frame) is counted as skipped, and the frame passes unharmed.
//!
//! Frames are conserved: sent + duplicated - dropped = arrived + refused by the wrapped port + held
//! back ([`Fault::held`]). Nothing is damaged on receipt. An empty plan costs one branch per burst.
//! It refuses to know time: delays are measured in frames that pass; [`Fault::flush`] ends them.

mod damage;
mod plan;

use super::dpdk::DpdkError;
use super::{Lanes, Port, PortStats};
use crate::burst::Burst;
use crate::clock::Nanos;
use crate::frame::Frame;
use plan::{Dice, Kind};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::VecDeque;

pub use plan::{FaultPlan, Rate};

/// Most frames held back at once: they are missing in a pool meanwhile.
pub const HELD_MAX: usize = 256;

/// Frames that pass a delayed one where the plan does not say.
const DELAY_FRAMES: u64 = 512;

/// Faults injected so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Frames given to the port to send.
    pub offered: u64,
    /// Those the plan applies to: they have the numbers that [`Rate::Exactly`] speaks of.
    pub eligible: u64,
    /// Frames that vanished.
    pub dropped: u64,
    /// Frames sent twice.
    pub duplicated: u64,
    /// Frames held back for a number of frames.
    pub delayed: u64,
    /// Frames held back until the next one to the same lane.
    pub reordered: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Frames with another source port.
    pub mistranslated: u64,
    /// Frames with another destination.
    pub misdelivered: u64,
    /// Frames sent on another lane.
    pub misrouted: u64,
    /// Planned faults that were not injected, and left their frame unharmed.
    pub skipped: u64,
}

impl FaultCounts {
    /// Faults of all kinds.
    pub fn injected(&self) -> u64 {
        self.dropped
            + self.duplicated
            + self.delayed
            + self.reordered
            + self.corrupted
            + self.mistranslated
            + self.misdelivered
            + self.misrouted
    }
}

struct Held<F> {
    /// Value of `offered` that releases the frame.
    until: u64,
    lane: usize,
    frame: F,
}

/// A port that damages what it sends. A port with a single neighbour goes into [`OneLane`] first.
pub struct Fault<P: Lanes> {
    port: P,
    active: bool,
    only_flows: bool,
    delay_frames: u64,
    dice: Vec<Dice>,
    bits: Xoshiro256PlusPlus,
    counts: FaultCounts,
    /// Delayed frames in order of their release, which is that of their arrival.
    delayed: VecDeque<Held<P::Frame>>,
    overtaken: Option<Held<P::Frame>>,
    out: Burst<P::Frame>,
    out_lane: usize,
    refused: usize,
}

impl<P: Lanes> Fault<P> {
    /// Wraps a port. All memory is allocated here.
    pub fn new(port: P, plan: &FaultPlan) -> Self {
        let delay_frames =
            if plan.delay_frames == 0 { DELAY_FRAMES } else { plan.delay_frames.into() };
        Self {
            port,
            active: !plan.is_empty(),
            only_flows: plan.only_flows,
            delay_frames,
            dice: plan.dice(),
            bits: Xoshiro256PlusPlus::seed_from_u64(!plan.seed),
            counts: FaultCounts::default(),
            delayed: VecDeque::with_capacity(HELD_MAX),
            overtaken: None,
            out: Burst::new(),
            out_lane: 0,
            refused: 0,
        }
    }

    /// Faults injected so far. An empty plan counts nothing, not even what is offered.
    pub fn counts(&self) -> FaultCounts {
        self.counts
    }

    /// Frames held back now.
    pub fn held(&self) -> usize {
        self.delayed.len() + usize::from(self.overtaken.is_some())
    }

    /// Sends every frame that is held back: up to [`HELD_MAX`] and one.
    pub fn flush(&mut self) {
        if let Some(held) = self.overtaken.take() {
            self.queue(held.lane, held.frame);
        }
        while let Some(held) = self.delayed.pop_front() {
            self.queue(held.lane, held.frame);
        }
        self.send();
    }

    /// The wrapped port.
    pub fn inner(&mut self) -> &mut P {
        &mut self.port
    }

    fn pass(&mut self, lane: usize, burst: &mut Burst<P::Frame>) -> usize {
        let offered = burst.len();
        let mut dropped = Burst::new();
        self.refused = 0;
        for mut frame in burst.drain(..) {
            self.counts.offered += 1;
            match self.choose(&mut frame) {
                Some(Kind::Drop) => {
                    self.counts.dropped += 1;
                    dropped.push(frame);
                }
                Some(kind) => self.inject(kind, lane, frame),
                None => self.forward(lane, frame),
            }
            let passed = self.counts.offered;
            while self.delayed.front().is_some_and(|held| held.until <= passed) {
                let Some(held) = self.delayed.pop_front() else { break };
                self.queue(held.lane, held.frame);
            }
        }
        self.send();
        self.port.free(&mut dropped);
        offered.saturating_sub(self.refused)
    }

    /// The fault that hits the frame, if any.
    fn choose(&mut self, frame: &mut P::Frame) -> Option<Kind> {
        if self.only_flows && !damage::is_flow(frame) {
            return None;
        }
        let number = self.counts.eligible;
        self.counts.eligible += 1;
        let mut chosen = None;
        for dice in &mut self.dice {
            if dice.hits(number) {
                match chosen {
                    None => chosen = Some(dice.kind),
                    Some(_) => self.counts.skipped += 1,
                }
            }
        }
        chosen
    }

    fn inject(&mut self, kind: Kind, lane: usize, mut frame: P::Frame) {
        let until = self.counts.offered + self.delay_frames;
        match kind {
            Kind::Delay if self.delayed.len() < HELD_MAX => {
                self.counts.delayed += 1;
                return self.delayed.push_back(Held { until, lane, frame });
            }
            Kind::Reorder if self.overtaken.is_none() => {
                self.counts.reordered += 1;
                self.overtaken = Some(Held { until, lane, frame });
                return;
            }
            Kind::Misroute if self.port.lanes() > 1 => {
                self.counts.misrouted += 1;
                let next = if lane + 1 < self.port.lanes() { lane + 1 } else { 0 };
                return self.queue(next, frame);
            }
            _ => {}
        }
        let count = match kind {
            Kind::Duplicate if self.duplicate(lane, &frame) => &mut self.counts.duplicated,
            Kind::Corrupt if damage::corrupt(&mut frame, self.bits.next_u32()) => {
                &mut self.counts.corrupted
            }
            Kind::Mistranslate if damage::mistranslate(&mut frame) => {
                &mut self.counts.mistranslated
            }
            Kind::Misdeliver if damage::misdeliver(&mut frame) => &mut self.counts.misdelivered,
            _ => &mut self.counts.skipped,
        };
        *count += 1;
        self.forward(lane, frame);
    }

    /// Sends a copy, if there is a buffer for it.
    fn duplicate(&mut self, lane: usize, frame: &P::Frame) -> bool {
        let mut spare = Burst::new();
        self.port.alloc(&mut spare, 1);
        let Some(mut copy) = spare.pop() else { return false };
        copy.set_len(frame.len());
        copy.bytes_mut().copy_from_slice(frame.bytes());
        self.queue(lane, copy);
        true
    }

    /// Sends a frame, and after it the one it overtakes.
    fn forward(&mut self, lane: usize, frame: P::Frame) {
        self.queue(lane, frame);
        if let Some(held) = self.overtaken.take_if(|held| held.lane == lane) {
            self.queue(held.lane, held.frame);
        }
    }

    fn queue(&mut self, lane: usize, frame: P::Frame) {
        if self.out.is_full() || self.out_lane != lane {
            self.send();
            self.out_lane = lane;
        }
        self.out.push(frame);
    }

    fn send(&mut self) {
        if !self.out.is_empty() {
            let wanted = self.out.len();
            self.refused += wanted - self.port.tx_lane(self.out_lane, &mut self.out);
        }
    }
}

impl<P: Lanes> Port for Fault<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.port.attach()
    }

    #[inline]
    fn tick(&mut self, now: Nanos) {
        self.port.tick(now);
    }

    #[inline]
    fn has_carrier(&self) -> bool {
        self.port.has_carrier()
    }

    #[inline]
    fn rx(&mut self, into: &mut Burst<P::Frame>) {
        self.port.rx(into);
    }

    #[inline]
    fn tx(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        self.tx_lane(0, burst)
    }

    #[inline]
    fn alloc(&mut self, into: &mut Burst<P::Frame>, count: usize) {
        self.port.alloc(into, count);
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<P::Frame>) {
        self.port.free(burst);
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.room_lane(0)
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }
}

impl<P: Lanes> Lanes for Fault<P> {
    fn lanes(&self) -> usize {
        self.port.lanes()
    }

    /// A frame that is dropped or held back was accepted: the network lost it, not the sender.
    #[inline]
    fn tx_lane(&mut self, lane: usize, burst: &mut Burst<P::Frame>) -> usize {
        if self.active { self.pass(lane, burst) } else { self.port.tx_lane(lane, burst) }
    }

    #[inline]
    fn room_lane(&mut self, lane: usize) -> usize {
        self.port.room_lane(lane)
    }
}

/// A port with a single neighbour, as a port with one lane.
pub struct OneLane<P>(pub P);

impl<P: Port> Port for OneLane<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.0.attach()
    }

    #[inline]
    fn tick(&mut self, now: Nanos) {
        self.0.tick(now);
    }

    #[inline]
    fn has_carrier(&self) -> bool {
        self.0.has_carrier()
    }

    #[inline]
    fn rx(&mut self, into: &mut Burst<P::Frame>) {
        self.0.rx(into);
    }

    #[inline]
    fn tx(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        self.0.tx(burst)
    }

    #[inline]
    fn alloc(&mut self, into: &mut Burst<P::Frame>, count: usize) {
        self.0.alloc(into, count);
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<P::Frame>) {
        self.0.free(burst);
    }

    #[inline]
    fn room(&mut self) -> usize {
        self.0.room()
    }

    fn stats(&self) -> PortStats {
        self.0.stats()
    }
}

impl<P: Port> Lanes for OneLane<P> {
    fn lanes(&self) -> usize {
        1
    }

    #[inline]
    fn tx_lane(&mut self, _lane: usize, burst: &mut Burst<P::Frame>) -> usize {
        self.0.tx(burst)
    }

    #[inline]
    fn room_lane(&mut self, _lane: usize) -> usize {
        self.0.room()
    }
}
