//! How one core of a shard keeps the other one's copy: in batches, on the packet thread, without
//! waiting for anybody.
//!
//! A [`Link`] is one core's end of the conversation about one shard. What has changed is entered into
//! a log ([`outbox`]) and told in order; the other end says how far it has come ([`message`]). What
//! it misses is told again from there, which costs no buffer: an entry of the log says *where* a
//! connection is held, and what is told is what is there when it is told. A log that overflows, or a
//! copy that starts empty, is made whole by a walk over all connections of the shard, between the
//! changes; the same walk, all the time, tells the copy what packets have prolonged.
//!
//! Every message is sealed with the cluster's key, so that a stranger writes no state; it repeats a
//! number that its receiver has drawn at start, so that nothing recorded earlier can be played back.

pub mod message;
mod outbox;

use crate::connections::{Connections, Copied, Place};
use crate::ports::Slot;
use crate::timer::Tick;
use arrayvec::ArrayVec;
use dataplane::clock::Nanos;
use message::{ENTRIES_MAX, Entry, Head};
use outbox::Outbox;
use std::ops::Range;

/// Longest time that a change waits for others to be told with.
const GATHER: Nanos = Nanos(500_000);

/// How long an entry that was told may be unacknowledged before it is told again; doubled each time
/// that nothing is heard, up to [`PATIENCE_MAX`].
const PATIENCE: Nanos = Nanos(4_000_000);
const PATIENCE_MAX: Nanos = Nanos(256_000_000);

/// Time in which the walk passes over all connections of a shard once its copy is whole.
const ROUND: Nanos = Nanos(20_000_000_000);

/// Ticks a copy outlives what it was told: twice a round of the walk that will prolong it.
pub const SPARE: u16 = (2 * ROUND.0 / crate::timer::TICK_NS) as u16;

/// Places the walk looks at in one step: some 10 µs where all are empty.
const STRIDE: u32 = 1024;

/// What a link has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent and received.
    pub sent: u64,
    /// See [`Counts::sent`].
    pub received: u64,
    /// Bytes of the frames sent.
    pub bytes: u64,
    /// Entries told for the first time, told again, and written into the copy.
    pub told: u64,
    /// See [`Counts::told`].
    pub told_again: u64,
    /// See [`Counts::told`].
    pub restored: u64,
    /// Entries that could not be restored.
    pub not_restored: u64,
    /// Times the log has overflowed.
    pub overflows: u64,
    /// Messages that were older than one received before.
    pub replayed: u64,
}

/// One core's end of the conversation about one shard.
pub struct Link {
    /// Drawn by this core and by the other; zero is unknown.
    mine: u64,
    theirs: u64,
    /// The other core has repeated our number.
    verified: bool,
    /// Number of the last message sent, and of the newest received.
    counter: u64,
    newest: u64,
    /// Number of the last message sent when the conversation began. Who repeats one that is no
    /// newer may have died before.
    began: u64,
    outbox: Outbox,
    walk: Walk,
    /// Number of the entry that the copy here has come to, in the stream of which epoch; and the
    /// entry at which it is whole.
    expected: u64,
    stream: u32,
    whole_at: u64,
    /// Something was received that asks for an answer.
    owes: bool,
    /// Something has happened here that the other core must hear of at once.
    has_news: bool,
    sent_at: Nanos,
    changed_at: Option<Nanos>,
    /// What it has done.
    pub counts: Counts,
}

/// A walk over the places where connections of a shard may be held.
#[derive(Clone, Debug)]
struct Walk {
    slots: Range<u64>,
    at: u64,
    /// It is yet to come to its first end.
    first: bool,
    looked_at: Nanos,
}

impl Walk {
    fn over(slots: Range<u64>) -> Walk {
        Walk { at: slots.start, slots, first: true, looked_at: Nanos(0) }
    }

    fn restart(&mut self) {
        (self.at, self.first) = (self.slots.start, true);
    }
}

/// What came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It is old, or from a conversation that is over.
    Stale,
    /// It is from a core that does not know us yet: true, but what it says may be long past.
    Unproven,
    /// It answers us.
    Fresh,
}

impl Link {
    /// A link about the connections in `slots`, of a core that has drawn `mine`, not zero.
    pub fn new(mine: u64, slots: Range<u64>) -> Link {
        Link {
            mine,
            theirs: 0,
            verified: false,
            counter: 0,
            newest: 0,
            began: 0,
            outbox: Outbox::new(),
            walk: Walk::over(slots),
            expected: 0,
            stream: 0,
            whole_at: u64::MAX,
            owes: false,
            has_news: false,
            sent_at: Nanos(0),
            changed_at: None,
            counts: Counts::default(),
        }
    }

    /// Forgets what was told and heard, under a new number: the copy here is worth nothing.
    pub fn restart(&mut self, mine: u64) {
        (self.mine, self.theirs, self.verified) = (mine, 0, false);
        (self.counter, self.newest, self.began) = (0, 0, 0);
        (self.expected, self.stream, self.whole_at) = (0, 0, u64::MAX);
        (self.owes, self.sent_at, self.changed_at) = (false, Nanos(0), None);
        self.begin();
    }

    /// Begins to tell: this core is master from now on, and the other one is to hear of it at once.
    pub fn begin(&mut self) {
        self.outbox.reset();
        self.walk.restart();
        self.has_news = true;
    }

    /// Whether the copy here is whole.
    pub fn is_whole(&self) -> bool {
        self.expected >= self.whole_at
    }

    /// Entries that are not known to be in the copy.
    pub fn backlog(&self) -> u64 {
        self.outbox.backlog()
    }

    /// Number of the next message: what an answer to it repeats.
    pub fn next_counter(&self) -> u64 {
        self.counter + 1
    }

    /// There is something to say at once, entries or not.
    pub fn has_news(&mut self) {
        self.has_news = true;
    }

    /// Enters a change.
    pub fn note(&mut self, place: Place, now: Nanos) {
        if !self.verified {
            return; // The walk will come to it when somebody listens.
        }
        if self.outbox.push(place) {
            self.changed_at.get_or_insert(now);
        } else {
            self.miss();
        }
    }

    /// A change was missed: the walk must find it.
    pub fn miss(&mut self) {
        if self.verified {
            self.counts.overflows += 1;
            self.walk.restart();
        }
    }

    /// Takes in what a message says about the conversation, in the epoch of this core.
    pub fn receive(&mut self, head: &Head, epoch: u32, now: Nanos) -> Received {
        self.counts.received += 1;
        let answers = head.to == self.mine;
        if head.from == self.theirs && head.counter <= self.newest {
            self.counts.replayed += 1;
            return Received::Stale;
        }
        if head.from != self.theirs {
            // A number once proven is given up only for one that comes with proof as well, and with
            // proof that is newer: an earlier life of the other core has repeated our number too.
            if self.verified && !(answers && head.heard > self.began) {
                return Received::Stale;
            }
            (self.theirs, self.verified, self.expected) = (head.from, false, 0);
            (self.stream, self.whole_at) = (0, u64::MAX);
            self.begin();
        }
        self.newest = head.counter;
        if !answers {
            self.owes = true;
            return Received::Unproven;
        }
        if !self.verified {
            (self.verified, self.owes) = (true, true);
            self.began = self.counter;
            self.begin();
        }
        if head.stream == epoch {
            self.outbox.acknowledge(head.acked, now);
        }
        Received::Fresh
    }

    /// Writes what a master tells into the copy, if it is what comes next. `restore` does the
    /// writing.
    pub fn restore(
        &mut self,
        head: &Head,
        entries: &[Entry],
        mut restore: impl FnMut(&Entry) -> bool,
    ) {
        if self.stream != head.epoch {
            (self.stream, self.expected) = (head.epoch, 0);
        }
        self.whole_at = head.whole;
        self.owes |= head.next > head.first;
        let is_gap = head.first > self.expected;
        if is_gap || head.next <= self.expected {
            return; // What is missing is told again, from where we say we are.
        }
        for entry in entries {
            match restore(entry) {
                true => self.counts.restored += 1,
                false => self.counts.not_restored += 1,
            }
        }
        self.expected = head.next;
    }

    /// Goes on with the walk, as far as the log has room.
    pub fn walk(&mut self, connections: &Connections, now: Nanos) {
        if !self.verified {
            return;
        }
        let spent = now.since(self.walk.looked_at);
        self.walk.looked_at = now;
        let Range { start, end } = self.walk.slots;
        let pooled = u64::from(connections.pooled());
        let all = end - start + pooled;
        let due = all as u128 * u128::from(spent.0) / u128::from(ROUND.0) + 1;
        let due = if self.walk.first { STRIDE } else { due.min(u128::from(STRIDE)) as u32 };
        for _ in 0..due {
            if !self.outbox.has_room_for_walk() {
                return;
            }
            let at = self.walk.at;
            let place = match at < end {
                true => Place::Record(Slot(at as u32)),
                false => Place::Session((at - end) as u32),
            };
            let slot = if at < end + pooled { connections.slot_at(place) } else { None };
            if slot.is_some_and(|slot| self.walk.slots.contains(&u64::from(slot.0))) {
                self.outbox.push(place);
                self.changed_at.get_or_insert(now);
            }
            self.walk.at += 1;
            if self.walk.at >= end + pooled {
                self.walk.at = start;
                if std::mem::take(&mut self.walk.first) {
                    self.outbox.set_whole();
                    return;
                }
            }
        }
    }

    /// Whether there is something to send: entries, an answer, or nothing for a whole `beat`.
    pub fn is_due(&mut self, beat: Nanos, urgent: bool, now: Nanos) -> bool {
        if self.outbox.expire(now) {
            self.changed_at.get_or_insert(now);
        }
        let silent = now.since(self.sent_at);
        let gathered = self.changed_at.is_some_and(|at| urgent || now.since(at) >= GATHER);
        gathered
            || self.has_news
            || self.outbox.unsent() >= ENTRIES_MAX
            || silent >= beat
            || self.owes && (urgent || silent >= GATHER)
    }

    /// The head of the next message, and the entries to put into it.
    pub fn next(
        &mut self,
        connections: &Connections,
        tick: Tick,
        now: Nanos,
        entries: &mut ArrayVec<Copied, ENTRIES_MAX>,
    ) -> Head {
        entries.clear();
        let batch = self.outbox.next(now, |place| match connections.copy(place, tick) {
            Some(copy) => {
                entries.push(copy);
                true
            }
            None => false,
        });
        self.counts.told += batch.fresh;
        self.counts.told_again += batch.again;
        self.counter += 1;
        self.counts.sent += 1;
        (self.sent_at, self.owes, self.has_news) = (now, false, false);
        if self.outbox.unsent() == 0 {
            self.changed_at = None;
        }
        Head {
            from: self.mine,
            to: self.theirs,
            counter: self.counter,
            heard: self.newest,
            first: batch.first,
            next: batch.next,
            acked: self.expected,
            stream: self.stream,
            whole: self.outbox.whole(),
            ..Head::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos(1_000_000);

    fn link(mine: u64) -> Link {
        Link::new(mine, 0..64)
    }

    /// What `from` says next.
    fn said(from: &mut Link) -> Head {
        from.counter += 1;
        let (mine, to, counter, heard) = (from.mine, from.theirs, from.counter, from.newest);
        Head { from: mine, to, counter, heard, ..Head::default() }
    }

    /// The two talk until each has proof of the other; what `b` has said.
    fn meet(a: &mut Link, b: &mut Link) -> Vec<Head> {
        let mut all = Vec::new();
        for _ in 0..3 {
            let (from_a, from_b) = (said(a), said(b));
            b.receive(&from_a, 1, NOW);
            a.receive(&from_b, 1, NOW);
            all.push(from_b);
        }
        assert!(a.verified && b.verified);
        all
    }

    #[test]
    fn what_an_earlier_life_has_said_is_no_proof() {
        let (mut a, mut first, mut second) = (link(1), link(2), link(3));
        let recorded = meet(&mut a, &mut first);
        assert_eq!(a.receive(&said(&mut first), 1, NOW), Received::Fresh);
        meet(&mut a, &mut second);
        for head in recorded {
            assert_eq!(a.receive(&head, 1, NOW), Received::Stale, "{head:?}");
        }
        assert_eq!(a.theirs, second.mine);
        // One that is started again is heard, as soon as it has heard something new.
        let mut third = link(4);
        meet(&mut a, &mut third);
        assert_eq!(a.theirs, third.mine);
    }

    #[test]
    fn a_link_that_begins_anew_takes_no_memory() {
        let mut a = link(1);
        meet(&mut a, &mut link(2));
        let counted = allocation_counter::measure(|| a.restart(5));
        assert_eq!(counted.count_total, 0, "{counted:?}");
        assert!((a.mine, a.theirs, a.verified, a.newest) == (5, 0, false, 0) && !a.is_whole());
    }
}
