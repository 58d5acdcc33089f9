//! Expiry: the table is walked a few buckets at a time, and only what is due is looked at.

use super::Table;
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

impl Table {
    /// Visits the next `buckets` buckets (one round at most) and asks `expired` about each entry
    /// whose expiry is at or before tick `now`; its record need not be touched otherwise. Returns
    /// the number of entries removed.
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
            if let Some(next) = self.buckets.get((at + AHEAD) as usize) {
                cpu::prefetch(next);
            }
            let mut due = self.buckets[at as usize].due(now);
            while due != 0 {
                let lane = due.trailing_zeros() as u8;
                due &= due - 1;
                let bucket = &mut self.buckets[at as usize];
                match expired(bucket.slot(lane)) {
                    Verdict::Remove => self.vacate(at, lane),
                    Verdict::Keep(expiry) => bucket.set_expiry(lane, expiry),
                }
            }
        }
        before - self.len
    }
}
