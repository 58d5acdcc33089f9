//! The stages of a lookup, on the table's lines alone.

use super::bucket::Bucket;
use super::place::Places;
use super::{Entry, Hash};
use dataplane::cpu;

/// What the lookups of one burst share.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) buckets: &'a [Bucket],
    pub(super) places: &'a Places,
}

impl Lines<'_> {
    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        cpu::prefetch(&self.buckets[hash.home as usize]);
    }

    /// The first candidate in the home bucket. Where there is none but the filter speaks of a
    /// guest elsewhere, asks for the line of the secondary bucket.
    #[inline]
    pub(super) fn peek(&self, hash: Hash) -> Option<Entry> {
        let home = &self.buckets[hash.home as usize];
        let candidate = first(home, hash.home, home.residents(hash.tag), |_| true);
        if candidate.is_none() && home.may_be_away(hash.tag) {
            cpu::prefetch(&self.buckets[self.places.other(hash.home, hash.tag) as usize]);
        }
        candidate
    }

    /// The first candidate in the secondary bucket, if the filter of the home bucket allows one.
    #[inline]
    pub(super) fn peek_away(&self, hash: Hash) -> Option<Entry> {
        self.find_away(hash, |_| true)
    }

    /// The candidate that is accepted, wherever it is.
    #[inline]
    pub(super) fn find(&self, hash: Hash, mut accept: impl FnMut(u32) -> bool) -> Option<Entry> {
        let home = &self.buckets[hash.home as usize];
        first(home, hash.home, home.residents(hash.tag), &mut accept)
            .or_else(|| self.find_away(hash, accept))
    }

    #[inline]
    fn find_away(&self, hash: Hash, accept: impl FnMut(u32) -> bool) -> Option<Entry> {
        if !self.buckets[hash.home as usize].may_be_away(hash.tag) {
            return None;
        }
        let secondary = self.places.other(hash.home, hash.tag);
        let away = &self.buckets[secondary as usize];
        first(away, secondary, away.guests(hash.tag), accept)
    }
}

/// The first of `lanes` whose slot is accepted.
#[inline]
fn first(
    bucket: &Bucket,
    index: u32,
    mut lanes: u8,
    mut accept: impl FnMut(u32) -> bool,
) -> Option<Entry> {
    while lanes != 0 {
        let lane = lanes.trailing_zeros() as u8;
        let slot = bucket.slot(lane);
        if accept(slot) {
            return Some(Entry { bucket: index, lane, slot });
        }
        lanes &= lanes - 1;
    }
    None
}
