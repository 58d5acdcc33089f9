//! When a session sends: intervals, polls about them, jitter, and a limit on what comes between.

use super::Settings;
use crate::clock::Nanos;
use crate::wire::bfd::State;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::SplitMix64;
use std::num::NonZeroU8;

/// Packets beside the schedule that may follow each other without a pause: what a session needs to
/// come up, go down and come up again, with a poll answered at each step.
const EXTRA_BURST: u64 = 8;

/// A pair of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intervals {
    /// Least interval between packets we send.
    pub(super) tx: Nanos,
    /// Least interval between packets we receive.
    pub(super) rx: Nanos,
}

impl Intervals {
    /// What packets say in a state: not less than a second for sending until Up (§6.8.3).
    pub(super) fn advertised(settings: &Settings, state: State) -> Intervals {
        let floor = if state == State::Up { Nanos(0) } else { Nanos::SECOND };
        Intervals { tx: settings.min_tx.max(floor), rx: settings.min_rx }
    }
}

/// A poll sequence (§6.5): every packet asks until one answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poll {
    /// None.
    Idle,
    /// To be asked in the next packet.
    Requested,
    /// Asked.
    Sent,
    /// Asked, but about what is out of date: to be asked again after the answer.
    Outdated,
}

impl Poll {
    pub(super) fn is_active(self) -> bool {
        self != Poll::Idle
    }

    /// Something changed that the other end must confirm.
    pub(super) fn request(&mut self) {
        *self = match *self {
            Poll::Idle | Poll::Requested => Poll::Requested,
            Poll::Sent | Poll::Outdated => Poll::Outdated,
        };
    }

    /// A packet with P, if there is cause, went out.
    pub(super) fn sent(&mut self) {
        if *self == Poll::Requested {
            *self = Poll::Sent;
        }
    }

    /// A packet with F came; whether it ends the sequence.
    pub(super) fn answered(&mut self) -> bool {
        let ends = *self == Poll::Sent;
        *self = match *self {
            Poll::Sent => Poll::Idle,
            Poll::Outdated => Poll::Requested,
            unasked => unasked,
        };
        ends
    }
}

/// The periodic packets.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    sent_at: Option<Nanos>,
    /// Part of the interval to wait after the last packet, in thousandths.
    share: u64,
    random: SplitMix64,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Schedule {
        Schedule { sent_at: None, share: 0, random: SplitMix64::seed_from_u64(seed) }
    }

    /// When the next packet is due at an interval. Since it counts from the last packet, a shorter
    /// interval holds at once, as §6.8.3 demands.
    pub(super) fn next(&self, interval: Nanos) -> Nanos {
        let wait = Nanos(interval.0 * self.share / 1000);
        self.sent_at.map_or(Nanos(0), |sent_at| sent_at + wait)
    }

    /// A packet went out: throws the dice for the next wait, 75 to 100 % of the interval, or to
    /// 90 % where a single loss is death (§6.8.7).
    pub(super) fn sent(&mut self, now: Nanos, multiplier: NonZeroU8) {
        let width = if multiplier.get() == 1 { 150 } else { 250 };
        self.sent_at = Some(now);
        self.share = 750 + (((self.random.next_u64() >> 32) * width) >> 32);
    }
}

/// A limit on packets beside the schedule: one per interval, [`EXTRA_BURST`] of them in advance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limit {
    /// When all that was sent would have been sent at one per interval.
    paid_until: Nanos,
}

impl Limit {
    /// When the next one may go.
    pub(super) fn free_at(self, interval: Nanos) -> Nanos {
        self.paid_until.since(Nanos(interval.0 * (EXTRA_BURST - 1)))
    }

    /// One goes.
    pub(super) fn count(&mut self, now: Nanos, interval: Nanos) {
        self.paid_until = self.paid_until.max(now) + interval;
    }
}
