//! The stages of a lookup by tags, on the table's lines alone.

use super::layout::{Tagged, lanes};
use super::place::Places;
use super::{Entry, Hash};
use dataplane::cpu;

/// What the lookups of one burst share.
pub(crate) struct Lines<'a, B> {
    pub(crate) buckets: &'a [B],
    pub(crate) places: &'a Places,
}

impl<B: Tagged> Lines<'_, B> {
    #[inline]
    pub(crate) fn prefetch(&self, hash: Hash) {
        cpu::prefetch(&self.buckets[hash.home as usize]);
    }

    /// The first candidate in the home bucket. Where there is none but the filter speaks of a
    /// guest elsewhere, asks for the line of the secondary bucket.
    #[inline]
    pub(crate) fn peek(&self, hash: Hash) -> Option<Entry> {
        let home = &self.buckets[hash.home as usize];
        let candidate = first(home, hash.home, home.residents_with(hash.tag), |_| true);
        if candidate.is_none() && home.may_be_away(hash.tag) {
            cpu::prefetch(&self.buckets[self.places.other(hash.home, hash.tag) as usize]);
        }
        candidate
    }

    /// The first candidate in the secondary bucket, if the filter of the home bucket allows one.
    #[inline]
    pub(crate) fn peek_away(&self, hash: Hash) -> Option<Entry> {
        self.find_away(hash, |_| true)
    }

    /// The candidate that is accepted, wherever it is.
    #[inline]
    pub(crate) fn find(&self, hash: Hash, mut accept: impl FnMut(Entry) -> bool) -> Option<Entry> {
        let home = &self.buckets[hash.home as usize];
        first(home, hash.home, home.residents_with(hash.tag), &mut accept)
            .or_else(|| self.find_away(hash, accept))
            .map(|entry| self.verified(entry))
    }

    /// A candidate that was accepted, with its slot.
    #[inline]
    pub(crate) fn verified(&self, candidate: Entry) -> Entry {
        let slot = self.buckets[candidate.bucket as usize].slot(candidate.lane);
        Entry { slot, ..candidate }
    }

    #[inline]
    fn find_away(&self, hash: Hash, accept: impl FnMut(Entry) -> bool) -> Option<Entry> {
        if !self.buckets[hash.home as usize].may_be_away(hash.tag) {
            return None;
        }
        let secondary = self.places.other(hash.home, hash.tag);
        let away = &self.buckets[secondary as usize];
        first(away, secondary, away.guests_with(hash.tag), accept)
    }
}

/// The first entry in one of `set` that is accepted.
#[inline]
fn first<B: Tagged>(
    bucket: &B,
    index: u32,
    set: u8,
    mut accept: impl FnMut(Entry) -> bool,
) -> Option<Entry> {
    lanes(set)
        .map(|lane| Entry { bucket: index, lane, slot: bucket.candidate_slot(lane) })
        .find(|&entry| accept(entry))
}
