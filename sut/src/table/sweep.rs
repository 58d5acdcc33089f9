//! Expiry: the table is walked a few buckets at a time, and only what is due is looked at.

use super::Cuckoo;
use super::hash::Hash;
use super::layout::{Timed, lanes};
use dataplane::cpu;

/// What becomes of an entry whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The connection is over.
    Remove,
    /// It was used meanwhile: look again at this tick.
    Keep(u16),
}

/// Buckets asked for ahead of the one at work.
const AHEAD: u32 = 8;

impl<B: Timed> Cuckoo<B> {
    /// Visits the next `buckets` buckets (one round at most) and asks `expired` about each entry
    /// whose expiry is at or before tick `now`; its record need not be touched otherwise. Returns
    /// the number of entries removed.
    ///
    /// On the way, guests whose home has room again go home.
    ///
    /// Ticks are compared the nearer way round: an expiry lies less than 32,768 ticks ahead, and a
    /// round must be done before a due entry is that far behind.
    pub fn sweep(
        &mut self,
        now: u16,
        buckets: usize,
        mut expired: impl FnMut(u32) -> Verdict,
    ) -> usize {
        let before = self.len;
        let count = self.places.buckets();
        for _ in 0..buckets.min(count as usize) {
            let at = self.cursor;
            self.cursor = if at + 1 == count { 0 } else { at + 1 };
            self.approach(at);
            self.expire(at, now, &mut expired);
            for lane in lanes(self.buckets[at as usize].guests()) {
                self.moves().send_home(at, lane);
            }
        }
        before - self.len
    }

    /// Asks `expired` about the due entries of the two buckets of `hash`, as a sweep does, so that
    /// an insert finds their lanes free: reuse at the moment of need, without a walk. The second
    /// bucket is visited only where the first has nothing to give. Returns the number removed.
    pub fn reclaim(
        &mut self,
        hash: Hash,
        now: u16,
        mut expired: impl FnMut(u32) -> Verdict,
    ) -> usize {
        match self.expire(hash.home, now, &mut expired) {
            0 => self.expire(self.places.other(hash.home, hash.tag), now, &mut expired),
            removed => removed,
        }
    }

    /// Asks about the due entries of one bucket: how many were removed.
    #[inline]
    fn expire(&mut self, at: u32, now: u16, expired: &mut impl FnMut(u32) -> Verdict) -> usize {
        let before = self.len;
        for lane in lanes(self.buckets[at as usize].due(now)) {
            let bucket = &mut self.buckets[at as usize];
            match expired(bucket.slot(lane)) {
                Verdict::Remove => self.vacate(at, lane),
                Verdict::Keep(expiry) => bucket.set_expiry(lane, expiry),
            }
        }
        before - self.len
    }

    /// Asks for what the visits after that of bucket `at` will touch: lines ahead, and the homes of
    /// the guests in one that has come.
    #[inline]
    fn approach(&self, at: u32) {
        let buckets = &*self.buckets;
        if let Some(far) = buckets.get((at + 2 * AHEAD) as usize) {
            cpu::prefetch(far);
        }
        if let Some(near) = buckets.get((at + AHEAD) as usize) {
            for lane in lanes(near.guests()) {
                let home = self.places.other(at + AHEAD, near.tag(lane));
                cpu::prefetch(&buckets[home as usize]);
            }
        }
    }
}
