//! The log of what is to be told, and how far the other end has come.
//!
//! Entries are numbered from 0. Those before `acked` are in the copy, those before `sent` have been
//! told; when the copy does not come on, all after `acked` are told again. An entry names a place: by
//! the time it is told, or told again, what is there may be newer, or nothing.

use super::message::ENTRIES_MAX;
use super::{PATIENCE, PATIENCE_MAX};
use crate::connections::Place;
use crate::ports::Slot;
use dataplane::clock::Nanos;

/// Entries of the log: at 100,000 set-ups a second, what a copy that was silent for 160 ms has missed.
const LOG: usize = 16_384;

/// Entries of the log that the walk leaves to changes.
const KEPT: u64 = LOG as u64 / 2;

/// Places whose last entry is remembered, so that one that changes again before it is first told is
/// not entered twice.
const RECENT: usize = 1024;

pub(super) struct Outbox {
    log: Box<[Place]>,
    head: u64,
    sent: u64,
    acked: u64,
    /// Entries before this have been told at least once.
    told: u64,
    /// When the copy last came on, or there was nothing to come on with.
    moved: Nanos,
    patience: Nanos,
    /// The entry at which a copy that has all before it is whole.
    whole: u64,
    recent: Box<[(Place, u64)]>,
}

/// Entries of one message: the number of the first and of the one after the last, and how many of
/// the places between had something to tell, for the first time and again.
pub(super) struct Batch {
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) fresh: u64,
    pub(super) again: u64,
}

const NOWHERE: Place = Place::Record(Slot(u32::MAX));

impl Outbox {
    pub(super) fn new() -> Outbox {
        Outbox {
            log: vec![NOWHERE; LOG].into_boxed_slice(),
            head: 0,
            sent: 0,
            acked: 0,
            told: 0,
            moved: Nanos(0),
            patience: PATIENCE,
            whole: u64::MAX,
            recent: vec![(NOWHERE, 0); RECENT].into_boxed_slice(),
        }
    }

    /// Begins anew with an empty log, for a copy of which nothing is known.
    pub(super) fn reset(&mut self) {
        (self.head, self.sent, self.acked, self.told) = (0, 0, 0, 0);
        (self.whole, self.patience) = (u64::MAX, PATIENCE);
        self.recent.fill((NOWHERE, 0));
    }

    pub(super) fn backlog(&self) -> u64 {
        self.head - self.acked
    }

    pub(super) fn unsent(&self) -> usize {
        (self.head - self.sent) as usize
    }

    pub(super) fn has_room_for_walk(&self) -> bool {
        self.backlog() < KEPT
    }

    /// Enters a place; `false`: the log is full.
    pub(super) fn push(&mut self, place: Place) -> bool {
        let recent = &mut self.recent[bucket(place)];
        if recent.0 == place && recent.1 >= self.told && recent.1 < self.head {
            return true;
        }
        if self.head - self.acked == LOG as u64 {
            return false;
        }
        *recent = (place, self.head);
        self.log[self.head as usize % LOG] = place;
        self.head += 1;
        true
    }

    /// A copy that has all entries up to now is whole.
    pub(super) fn set_whole(&mut self) {
        if self.whole == u64::MAX {
            self.whole = self.head;
        }
    }

    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// The copy has all entries before `upto`.
    pub(super) fn acknowledge(&mut self, upto: u64, now: Nanos) {
        if upto > self.acked && upto <= self.sent.max(self.told) {
            (self.acked, self.moved, self.patience) = (upto, now, PATIENCE);
            self.sent = self.sent.max(upto);
        }
    }

    /// Begins again after the last entry acknowledged, if the copy has not come on for too long.
    pub(super) fn expire(&mut self, now: Nanos) -> bool {
        let waits = self.sent > self.acked && now.since(self.moved) > self.patience;
        if waits {
            (self.sent, self.moved) = (self.acked, now);
            self.patience = Nanos((self.patience.0 * 2).min(PATIENCE_MAX.0));
        }
        waits
    }

    /// Takes the next entries for a message: `tell` tells what is at a place, if anything is.
    pub(super) fn next(&mut self, now: Nanos, mut tell: impl FnMut(Place) -> bool) -> Batch {
        if self.sent == self.acked {
            self.moved = now;
        }
        let (first, mut fresh, mut again) = (self.sent, 0, 0);
        let last = self.head.min(first + ENTRIES_MAX as u64);
        for number in first..last {
            if !tell(self.log[number as usize % LOG]) {
                continue;
            }
            match number < self.told {
                true => again += 1,
                false => fresh += 1,
            }
        }
        self.sent = last;
        self.told = self.told.max(last);
        Batch { first, next: last, fresh, again }
    }
}

fn bucket(place: Place) -> usize {
    match place {
        Place::Record(slot) => slot.0 as usize % RECENT,
        Place::Session(index) => index as usize % RECENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_before_it_is_told_again_is_told() {
        let (mut outbox, place) = (Outbox::new(), Place::Session(7));
        let mut now = Nanos(1);
        assert!(outbox.push(place));
        assert_eq!(outbox.next(now, |_| true).fresh, 1);
        now = now + PATIENCE + Nanos(1);
        assert!(outbox.expire(now), "nothing was heard");
        // It changes, and the answer to what was told first comes late.
        assert!(outbox.push(place));
        outbox.acknowledge(1, now);
        let mut told = Vec::new();
        outbox.next(now, |it| {
            told.push(it);
            true
        });
        assert_eq!(told, [place]);
    }

    #[test]
    fn what_changes_twice_before_it_is_told_is_told_once() {
        let (mut outbox, place) = (Outbox::new(), Place::Session(7));
        assert!(outbox.push(place) && outbox.push(place));
        assert_eq!((outbox.unsent(), outbox.backlog()), (1, 1));
    }
}
