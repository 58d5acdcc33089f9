//! The connections that a phase asks about: chosen before it, probed in turn, judged after it.
//!
//! Both ends are housekeeping's work. The choice reads a record or a few for each member, some 0.1 µs
//! each, before the common start. Judging comes in pieces, as a phase that validates judges every
//! connection held; the phase ends with the last.

use super::{Generator, Stage};
use crate::config::{Phase, Until};
use crate::sample::strata;
use crate::stamp::{Direction, TrialId};
use crate::verdict::{Loss, Verdict};
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::port::Port;
use rand_core::RngCore;
use std::ops::Range;

/// Connections, or probes, looked at in one piece of judging: well below a millisecond.
const PIECE: usize = 16_384;

/// Most records of a stretch that are read for one that is established.
const TRIES: usize = 64;

/// Mark of a connection whose validating packet the port has refused. A phase that validates has no
/// sample, and so no other marks.
const UNASKED: u16 = u16::MAX;

impl<P: Port> Generator<P> {
    /// Chooses the sample of the phase among established connections, if it has one. Those that the
    /// phase is to close, the oldest, are left out.
    pub(super) fn choose_sample(&mut self, start: Nanos) {
        let Generator { population, trials, phase, plan, rng, sender, .. } = self;
        let Some(sample) = &mut trials[*phase].sample else { return };
        let closed = closed_at_most(&plan.phases[*phase]);
        let first = (population.closing() + closed).min(population.newest());
        let count = population.newest() - first;
        let mut below =
            |bound: u64| ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64;
        let shards = sender.hops.len() as u64;
        for (drawn, stretch) in strata(first, count, shards, sample.size().into(), &mut below) {
            let shards = shards as usize;
            let others = (drawn..stretch.end).step_by(shards).chain(stretch.step_by(shards));
            let mut places = others.take(TRIES).map(|position| population.at(position));
            if let Some(place) = places.find(|place| population.flow(place.slot).is_established()) {
                sample.push(place);
            }
        }
        sample.shuffle(|bound| below(bound as u64) as usize);
        for (place, mark) in sample.members().iter().zip(1..=u16::MAX) {
            population.flows()[place.slot as usize].set_mark(mark);
        }
        sample.begin(start, |place, way| population.flow(place.slot).last_sequence(way));
    }

    /// Whether the phase has a sample.
    #[inline]
    pub(super) fn is_sampled(&self) -> bool {
        self.trials[self.phase].sample.is_some()
    }

    /// Picks the probes that are next, in place of a draw.
    pub(super) fn pick_probes(&mut self) {
        let Generator { population, picks, trials, phase, plan, .. } = self;
        let Some(sample) = &mut trials[*phase].sample else { return };
        if sample.members().is_empty() {
            return;
        }
        while picks.waiting().len() < plan.batch {
            let (place, direction) = sample.next();
            cpu::prefetch_write(population.flow(place.slot));
            picks.push(place, direction);
        }
    }

    /// Notes that the port refused the packets of `refused` picks, counted from the first of a batch,
    /// so that nobody concludes anything from what does not come back.
    #[cold]
    pub(super) fn unask(&mut self, refused: Range<usize>) {
        if !self.validates() {
            return;
        }
        for pick in self.picks.at(refused) {
            self.population.flows()[pick.slot as usize].set_mark(UNASKED);
        }
    }

    /// What is to be judged after the phase: members of its sample, or positions of connections.
    pub(super) fn to_judge(&self) -> Range<u64> {
        match &self.trials[self.phase].sample {
            Some(sample) => 0..sample.members().len() as u64,
            None => self.to_validate(self.plan.phases[self.phase].until),
        }
    }

    /// Judges some more of the connections that the phase asked about; ends it with the last.
    pub(super) fn judge_some(&mut self, now: Nanos) {
        debug_assert_eq!(self.stage, Stage::Judging);
        let trial = &mut self.trials[self.phase];
        if let Some(sample) = &mut trial.sample
            && !sample.settle(PIECE)
        {
            return;
        }
        for _ in 0..PIECE {
            let Some(next) = self.unjudged.next() else { break };
            self.judge_one(next);
        }
        if self.unjudged.is_empty() {
            self.trials[self.phase].end = now;
            self.stage = Stage::Waiting;
            self.ended += 1;
        }
    }

    fn judge_one(&mut self, next: u64) {
        let Generator { population, trials, phase, .. } = self;
        let trial = &mut trials[*phase];
        let slot = match &trial.sample {
            Some(sample) => sample.members()[next as usize].slot,
            None => population.at(next).slot,
        };
        let flow = &mut population.flows()[slot as usize];
        let (verdict, loss) = match &trial.sample {
            Some(sample) => sample.judge(next as usize, trial.stop),
            None if !flow.is_established() => return,
            None if flow.mark() == UNASKED => return flow.set_mark(0),
            None if flow.has_last_arrived(Direction::Down) => (Verdict::Kept, Loss::default()),
            None => (Verdict::Lost, Loss { lost: 1, ..Loss::default() }),
        };
        flow.set_mark(0);
        let remapped = flow.is_remapped_in(TrialId(*phase as u8 + 1));
        let verdict = if remapped { Verdict::Remapped } else { verdict };
        trial.book_verdict(flow, verdict, loss);
    }
}

/// Connections that a phase closes at most.
fn closed_at_most(phase: &Phase) -> u64 {
    match phase.until {
        Until::For(span) if phase.close_per_s > 0.0 => {
            (phase.close_per_s * Nanos(span).as_secs_f64()).ceil() as u64 + 1
        }
        Until::For(_) | Until::Held(_) | Until::Validated => 0,
    }
}
