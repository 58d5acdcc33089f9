//! A pause costs the pause and a few milliseconds, and no session.
//!
//! In a world where nothing happens but that cores and router are not run for some milliseconds, and
//! that one core is killed while all is in service, a session that is old enough to be in its copy
//! works again [`PROMPT`] after the last pause is over, and after the killed core could be missed. It
//! is still there in the end.
//!
//! One that wakes within [`ALONE`] of a kill may have to ask the dead, where it has taken over nothing
//! of it yet and so cannot know: twice, if the router has missed it as well ([`IN_VAIN`]).

use super::established::COPIED_WITHIN;
use super::{Checked, ensure};
use crate::traffic::{Stage, Traffic};
use crate::view::View;
use dataplane::clock::Nanos;
use std::collections::VecDeque;

/// A question and its answer, three packets of BFD, and a copy that is made whole again, for a core
/// that was replaced is not announced before.
const PROMPT: Nanos = Nanos(12_000_000);

/// Longer than a core remembers another as one that might answer.
const ALONE: Nanos = Nanos(250_000_000);

/// Two questions that nobody answers.
const IN_VAIN: Nanos = Nanos(50_000_000);

/// A packet is lost if it has not come within this time: it may wait at a core that asks another for
/// twice the detection time, if there is nobody to answer.
const LOST_AFTER: Nanos = Nanos(25_000_000);

/// The router's patience, as the worlds have it.
const DETECTION: Nanos = Nanos(9_900_000);

#[derive(Default)]
pub(crate) struct Prompt {
    /// Sessions that had been established for long at this instant are promised.
    since: Option<Nanos>,
    /// Until when somebody is not run, or is dead and not missed yet.
    troubled_until: Nanos,
    missed_at: Nanos,
    /// Until when a core may not know that another is dead.
    unknown_until: Nanos,
    looked_at: Nanos,
    tries: VecDeque<(usize, Nanos)>,
}

impl Prompt {
    /// From now on it is as promised.
    pub(crate) fn begin(&mut self, now: Nanos) {
        self.since = Some(now);
    }

    /// A core has been killed, of so many.
    pub(crate) fn killed(&mut self, cores: usize, now: Nanos) {
        self.missed_at = now + DETECTION;
        self.unknown_until = now + if cores > 2 { ALONE } else { IN_VAIN };
    }

    /// Somebody is paused at this instant, or nobody. Who does not run misses nobody.
    pub(crate) fn step(&mut self, paused: bool, now: Nanos) {
        let spent = now.since(self.looked_at);
        self.looked_at = now;
        if now < self.missed_at {
            self.missed_at = self.missed_at + if paused { spent } else { Nanos(0) };
            self.troubled_until = now;
        }
        if paused {
            self.troubled_until = now;
        }
    }

    /// Whether a session established at `settled` must be kept.
    pub(crate) fn is_promised(&self, settled: Option<Nanos>) -> bool {
        let old = |since| settled.is_some_and(|settled| settled + COPIED_WITHIN < since);
        self.since.is_some_and(old)
    }

    /// A packet of a session that was established at `settled` is sent.
    pub(crate) fn expect(&mut self, session: usize, settled: Option<Nanos>, now: Nanos) {
        let vain = self.troubled_until < self.unknown_until;
        let within = if vain { IN_VAIN } else { PROMPT };
        if self.is_promised(settled) && self.troubled_until + within < now {
            self.tries.push_back((session, now));
        }
    }

    /// What has not come in time must have met another pause.
    pub(crate) fn settle(
        &mut self,
        came_at: impl Fn(usize) -> Nanos,
        view: &View,
        traffic: &Traffic,
    ) -> Checked {
        while let Some(&(session, at)) = self.tries.front()
            && view.now.since(at) > LOST_AFTER
        {
            self.tries.pop_front();
            let is_open = traffic.sessions[session].stage == Stage::Established;
            let came = came_at(session) >= at || self.troubled_until >= at;
            ensure(came || !is_open, "prompt", || {
                let shard = traffic.mappings[traffic.sessions[session].mapping].shard;
                format!(
                    "session {session} of shard {shard} does not work at {at:?}, all well since {:?}: {}",
                    self.troubled_until,
                    view.shards[shard].outline()
                )
            })?;
        }
        Ok(())
    }
}
