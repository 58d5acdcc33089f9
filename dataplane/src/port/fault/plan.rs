//! Which frames are hit, decided before the first one is sent.

use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// How often a fault strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// One frame in this many on average, chosen at random.
    OneIn(NonZeroU32),
    /// Just these frames, counted from 0 over those the plan applies to.
    Exactly(Vec<u64>),
}

/// The faults of one port. Which frames are hit follows from the seed, and whether one kind of
/// fault is in the plan does not move the hits of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FaultPlan {
    /// Seed of the random choices.
    pub seed: u64,
    /// Apply the plan only to UDP and TCP over IPv4 without options and unfragmented; everything
    /// else, such as ARP, passes.
    pub only_flows: bool,
    /// Frames that vanish.
    pub drop: Option<Rate>,
    /// Frames that arrive twice.
    pub duplicate: Option<Rate>,
    /// Frames held back while [`FaultPlan::delay_frames`] others pass.
    pub delay: Option<Rate>,
    /// How many frames pass a delayed one; 0 means 512.
    pub delay_frames: u32,
    /// Frames that change places with the next one to the same lane.
    pub reorder: Option<Rate>,
    /// Frames with one bit flipped in their headers or the first 16 bytes of payload.
    pub corrupt: Option<Rate>,
    /// Frames whose source port is another one, with checksums to match: a wrong translation.
    pub mistranslate: Option<Rate>,
    /// Frames for the neighbouring address (XOR 1), with checksums to match: a packet that leaks to
    /// another subscriber.
    pub misdeliver: Option<Rate>,
    /// Frames sent on the next lane: a packet that reaches another core.
    pub misroute: Option<Rate>,
}

/// A kind of fault. Where several hit the same frame, the first in this order is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Drop,
    Duplicate,
    Delay,
    Reorder,
    Corrupt,
    Mistranslate,
    Misdeliver,
    Misroute,
}

impl FaultPlan {
    /// Whether no fault is planned at all.
    pub fn is_empty(&self) -> bool {
        self.kinds().iter().all(|(_, rate)| rate.is_none())
    }

    fn kinds(&self) -> [(Kind, Option<&Rate>); 8] {
        [
            (Kind::Drop, self.drop.as_ref()),
            (Kind::Duplicate, self.duplicate.as_ref()),
            (Kind::Delay, self.delay.as_ref()),
            (Kind::Reorder, self.reorder.as_ref()),
            (Kind::Corrupt, self.corrupt.as_ref()),
            (Kind::Mistranslate, self.mistranslate.as_ref()),
            (Kind::Misdeliver, self.misdeliver.as_ref()),
            (Kind::Misroute, self.misroute.as_ref()),
        ]
    }

    /// Dice for every kind that is in the plan; each rolls a sequence of its own.
    pub(super) fn dice(&self) -> Vec<Dice> {
        let mut sequence = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut dice = Vec::new();
        for (kind, rate) in self.kinds() {
            let rng = sequence.clone();
            sequence.jump();
            let when = match rate {
                None => continue,
                Some(Rate::OneIn(count)) => When::OneIn(u64::from(count.get())),
                Some(Rate::Exactly(numbers)) => {
                    let mut numbers = numbers.clone();
                    // Taken from the back, so the last is the next.
                    numbers.sort_unstable_by(|a, b| b.cmp(a));
                    numbers.dedup();
                    When::Exactly(numbers)
                }
            };
            dice.push(Dice { kind, when, rng });
        }
        dice
    }
}

enum When {
    OneIn(u64),
    Exactly(Vec<u64>),
}

/// Decides for one kind of fault.
pub(super) struct Dice {
    pub(super) kind: Kind,
    when: When,
    rng: Xoshiro256PlusPlus,
}

impl Dice {
    /// Whether frame `number` is hit. Asked once per frame, in order.
    #[inline]
    pub(super) fn hits(&mut self, number: u64) -> bool {
        match &mut self.when {
            When::OneIn(count) => (u64::from(self.rng.next_u32()) * *count) >> 32 == 0,
            When::Exactly(numbers) => numbers.pop_if(|next| *next == number).is_some(),
        }
    }
}
