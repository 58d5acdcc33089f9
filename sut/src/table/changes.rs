//! What a replica must hear of: the table is walked a few buckets at a time, and every entry that
//! was added, refreshed or moved since the walk last passed it is told again.
//!
//! The mark of a changed entry is a bit in its bucket's line, set by a store to a line that is being
//! written anyway, so the packet path pays nothing. An entry that a displacement carries over the
//! walk's position is marked in the bucket it comes to and told in the next round: the mark
//! belongs to the entry and not to a bucket.
//!
//! Removals are not told; a replica has the expiry of each entry, and whoever removes one earlier
//! knows it.

use super::Cuckoo;
use super::layout::{Timed, lanes};
use dataplane::cpu;
use std::ops::ControlFlow;

/// Where a walk over the changes of a table is. A table has one mark per entry, so it feeds one
/// walk at a time: a second one would take changes from the first.
#[derive(Clone, Debug)]
pub struct Feed {
    at: u32,
    /// Buckets yet to be told whole.
    whole: u32,
    /// Whether that at hand has been begun.
    begun: bool,
}

/// Buckets asked for ahead of the one at work.
const AHEAD: usize = 8;

impl<B: Timed> Cuckoo<B> {
    /// A walk that tells only what changes, for a replica that has the rest.
    pub fn feed(&self) -> Feed {
        Feed { at: 0, whole: 0, begun: false }
    }

    /// A walk that tells every entry in its first round and then what changes, for a replica that
    /// starts empty while the table is in use.
    pub fn feed_all(&self) -> Feed {
        Feed { at: 0, whole: self.places.buckets(), begun: false }
    }

    /// Visits the next `buckets` buckets (one round at most) and tells `visit` slot and expiry of
    /// each entry that changed. [`ControlFlow::Break`] ends the call before the entry at hand,
    /// which is told first by the next. After [`Cuckoo::buckets`] visits every change made before
    /// the first of them has been told, if its entry did not move meanwhile; then in the next
    /// round. Returns the number of entries told.
    ///
    /// # Panics
    /// On the feed of a larger table.
    pub fn changes(
        &mut self,
        feed: &mut Feed,
        buckets: usize,
        mut visit: impl FnMut(u32, u16) -> ControlFlow<()>,
    ) -> usize {
        let count = self.places.buckets();
        let mut told = 0;
        for _ in 0..buckets.min(count as usize) {
            let at = feed.at as usize;
            if let Some(ahead) = self.buckets.get(at + AHEAD) {
                cpu::prefetch(ahead);
            }
            let bucket = &mut self.buckets[at];
            if feed.whole > 0 && !feed.begun {
                bucket.mark_all();
            }
            feed.begun = true;
            for lane in lanes(bucket.changed()) {
                if visit(bucket.slot(lane), bucket.expiry(lane)).is_break() {
                    return told;
                }
                bucket.clear_changed(lane);
                told += 1;
            }
            feed.at = if feed.at + 1 == count { 0 } else { feed.at + 1 };
            feed.whole = feed.whole.saturating_sub(1);
            feed.begun = false;
        }
        told
    }
}
