//! What is established stays: same external port, both ways, whichever core serves it.
//!
//! Promised is this, per session and core. A core *has* a session once a packet of it has passed
//! there, and for as long as it runs and does not begin anew (`joining`). The core with the copy has
//! it too
//!
//! - [`COPIED_WITHIN`] after it was established, if all that time the two have been master and
//!   standby, in one epoch, and nothing was wrong with either or between them; or
//! - as soon as the master says that nothing is left to tell, after the two have met.
//!
//! A session must not change its port at a core that has it, nor cease to pass there while the
//! network is calm. At a core that does not have it, it may: unless another core has it with which
//! nothing was wrong for [`ALONE`] when the reign began, for then that one should have served it.

use super::{Checked, ensure};
use crate::traffic::{Passed, Stage, Traffic};
use crate::view::{ShardView, View};
use dataplane::clock::Nanos;
use krononat::membership::Role;
use std::collections::VecDeque;

/// Older than this at a fault is promised: 0.5 ms of gathering, and ways and steps.
pub(super) const COPIED_WITHIN: Nanos = Nanos(5_000_000);

/// Longer than a core waits for another before it serves alone.
const ALONE: Nanos = Nanos(300_000_000);

/// A packet is lost if it has not come within this time.
const LOST_AFTER: Nanos = Nanos(2_000_000);

#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// A bit for each core that has it.
    held: u8,
    settled_at: Option<Nanos>,
}

/// A packet that should come.
struct Try {
    session: usize,
    core: usize,
    at: Nanos,
}

/// What was last seen of the two cores of a shard.
#[derive(Default)]
struct Before {
    incarnations: [u64; 2],
    /// When each was found to have nothing: what comes later may have been sent before.
    emptied_at: [Nanos; 2],
    joining: [bool; 2],
    reign: u64,
    /// They have been master and standby with nothing wrong since they started.
    met: bool,
    /// All was told at this instant, and nothing has been wrong since.
    synced_since: Option<Nanos>,
}

#[derive(Default)]
pub(crate) struct Established {
    kept: Vec<Kept>,
    /// Sessions of each shard that one core has.
    pending: Vec<Vec<usize>>,
    before: Vec<Before>,
    tries: VecDeque<Try>,
    /// When a packet of each session last came to an end.
    came_at: Vec<Nanos>,
}

impl Established {
    pub(crate) fn grow(&mut self, traffic: &Traffic) {
        self.kept.resize(traffic.sessions.len(), Kept::default());
        self.came_at.resize(traffic.sessions.len(), Nanos(0));
    }

    /// Whether a core has an established session of a mapping.
    pub(crate) fn is_held(&self, mapping: usize, core: usize, traffic: &Traffic) -> bool {
        let sessions = &traffic.mappings[mapping].sessions;
        sessions.iter().any(|&session| self.has(session, core))
    }

    pub(crate) fn has(&self, session: usize, core: usize) -> bool {
        let kept = self.kept.get(session).copied().unwrap_or_default();
        kept.settled_at.is_some() && kept.held & 1 << core != 0
    }

    pub(crate) fn came_at(&self, session: usize) -> Nanos {
        self.came_at.get(session).copied().unwrap_or_default()
    }

    /// Since when a session is established, as far as it is known.
    pub(crate) fn settled_at(&self, session: usize) -> Option<Nanos> {
        self.kept.get(session)?.settled_at
    }

    pub(crate) fn forget(&mut self, mapping: usize, traffic: &Traffic) {
        for &session in &traffic.mappings[mapping].sessions {
            if let Some(kept) = self.kept.get_mut(session) {
                *kept = Kept::default();
            }
        }
    }

    /// A packet of an established session has been sent while its shard was calm.
    pub(crate) fn expect(&mut self, session: usize, shard: &ShardView, now: Nanos) {
        if let Some(core) = shard.steered.filter(|_| shard.calm_since.is_some_and(|at| at < now)) {
            self.tries.push_back(Try { session, core, at: now });
        }
    }

    pub(crate) fn step(&mut self, view: &View, traffic: &Traffic) -> Checked {
        self.grow(traffic);
        self.pending.resize(view.shards.len(), Vec::new());
        self.before.resize_with(view.shards.len(), Before::default);
        for (at, shard) in view.shards.iter().enumerate() {
            self.follow(at, shard, traffic, view.now);
            self.copied(at, shard, view.now);
        }
        while self.tries.front().is_some_and(|it| view.now.since(it.at) > LOST_AFTER) {
            let Some(it) = self.tries.pop_front() else { break };
            let shard = &view.shards[traffic.mappings[traffic.sessions[it.session].mapping].shard];
            let calm = shard.steered == Some(it.core)
                && shard.calm_since.is_some_and(|since| since < it.at);
            let is_there = traffic.sessions[it.session].stage == Stage::Established;
            if calm && is_there && self.came_at[it.session] < it.at {
                self.lost(it.session, it.core, view, traffic)?;
            }
        }
        Ok(())
    }

    /// A packet of a session did not pass a core: may that be?
    pub(crate) fn lost(
        &self,
        session: usize,
        core: usize,
        view: &View,
        traffic: &Traffic,
    ) -> Checked {
        let kept = self.kept[session];
        let mapping = traffic.sessions[session].mapping;
        ensure(!self.has(session, core), "established", || {
            format!(
                "session {session} of mapping {mapping} is lost at core {core}, which has it: {kept:?}"
            )
        })?;
        self.should_serve(session, core, view, traffic)
    }

    /// A session that `core` does not have is lost there: is there another that has it, and with
    /// which nothing is wrong?
    fn should_serve(&self, session: usize, core: usize, view: &View, traffic: &Traffic) -> Checked {
        let Some(settled) = self.kept[session].settled_at else { return Ok(()) };
        let shard = &view.shards[traffic.mappings[traffic.sessions[session].mapping].shard];
        let well = |since: Nanos| since + ALONE < shard.reigns_since;
        let young = shard.reigns_since.since(settled) < COPIED_WITHIN;
        let other = shard.cores.into_iter().find(|&it| it != core && self.has(session, it));
        // One that has just been started may be new, but not deaf.
        let reaches = well(view.cores[core].cut_at);
        let blame = other.filter(|&it| well(view.cores[it].troubled_at) && reaches && !young);
        ensure(blame.is_none(), "established", || {
            format!("session {session} is lost at core {core}, though {other:?} has it: {shard:?}")
        })
    }

    /// A core that is new, or begins anew, has nothing.
    fn follow(&mut self, at: usize, shard: &ShardView, traffic: &Traffic, now: Nanos) {
        let before = &mut self.before[at];
        for (side, half) in shard.halves.iter().enumerate() {
            let incarnation = half.map_or(0, |half| half.incarnation);
            let joining = half.is_none_or(|half| half.role == Role::Joining);
            let emptied =
                incarnation != before.incarnations[side] || joining && !before.joining[side];
            (before.incarnations[side], before.joining[side]) = (incarnation, joining);
            if emptied {
                before.emptied_at[side] = now;
                (before.met, before.synced_since) = (false, None);
                let bit = 1 << shard.cores[side];
                self.pending[at].clear();
                for (session, kept) in self.kept.iter_mut().enumerate() {
                    if traffic.mappings[traffic.sessions[session].mapping].shard == at {
                        kept.held &= !bit;
                        self.pending[at].push(session);
                    }
                }
            }
        }
        if before.reign != shard.reign {
            (before.reign, before.synced_since) = (shard.reign, None);
        }
    }

    /// The core with the copy has what it was told.
    fn copied(&mut self, at: usize, shard: &ShardView, now: Nanos) {
        let before = &mut self.before[at];
        let Some((master, standby)) = shard.pair() else {
            before.synced_since = None;
            return;
        };
        let sound = shard.sound_since.is_some();
        before.met |= shard.sound_since.is_some_and(|since| now.since(since) > COPIED_WITHIN);
        if !before.met {
            return;
        }
        let told = master.backlog == 0;
        match (sound, told) {
            (false, _) => before.synced_since = None,
            (true, true) => _ = before.synced_since.get_or_insert(now),
            (true, false) => {}
        }
        let in_time = before.synced_since.is_some();
        let (of_master, of_standby) = (1 << master.core, 1 << standby.core);
        let kept = &mut self.kept;
        self.pending[at].retain(|&session| {
            let it = &mut kept[session];
            let Some(settled) = it.settled_at.filter(|_| it.held & of_master != 0) else {
                return it.settled_at.is_some();
            };
            let copied = told || in_time && now.since(settled) >= COPIED_WITHIN;
            if copied {
                it.held |= of_standby;
            }
            !copied
        });
    }

    pub(crate) fn see(&mut self, it: &Passed, view: &View, traffic: &mut Traffic) -> Checked {
        if !it.outbound && it.end != traffic.mappings[it.mapping].inside {
            return Ok(()); // Whose it is by now is another checker's.
        }
        self.came_at[it.session] = it.at;
        if it.outbound && traffic.mappings[it.mapping].outside != Some(it.end) {
            if let Some(before) = traffic.mappings[it.mapping].outside {
                self.moved(it, before, view, traffic)?;
            }
            traffic.mappings[it.mapping].outside = Some(it.end);
        }
        let stage = traffic.sessions[it.session].stage;
        if stage != Stage::Established {
            return Ok(());
        }
        let kept = &mut self.kept[it.session];
        if kept.settled_at.is_none() {
            kept.settled_at = Some(it.at);
        }
        let side = view.shards[it.shard].cores.iter().position(|&core| core == it.core);
        let emptied_at = self.before.get(it.shard).zip(side).map(|(it, side)| it.emptied_at[side]);
        if kept.held & 1 << it.core == 0 && emptied_at.is_some_and(|emptied| emptied <= it.at) {
            kept.held |= 1 << it.core;
            self.pending[it.shard].push(it.session);
        }
        Ok(())
    }

    /// A mapping has come out with another port.
    fn moved(
        &mut self,
        it: &Passed,
        before: crate::packet::End,
        view: &View,
        traffic: &mut Traffic,
    ) -> Checked {
        ensure(!self.is_held(it.mapping, it.core, traffic), "established", || {
            format!("{it:?} was {before:?}, and the core has it")
        })?;
        for at in 0..traffic.mappings[it.mapping].sessions.len() {
            let session = traffic.mappings[it.mapping].sessions[at];
            self.should_serve(session, it.core, view, traffic)?;
        }
        self.forget(it.mapping, traffic);
        let stage = traffic.sessions[it.session].stage;
        traffic.forget(it.mapping, Some(it.end));
        if stage == Stage::Seen {
            traffic.sessions[it.session].stage = stage;
        }
        Ok(())
    }
}
