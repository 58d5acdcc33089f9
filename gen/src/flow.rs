//! One connection as its generator core remembers it: 64 bytes, one cache line.
//!
//! The core plays both sides, so one record holds both directions: what was sent, and what arrived
//! in a sliding window of 32 sequence numbers. Addresses and ports follow from the connection's
//! identifier ([`crate::tuple`]); here they stand ready for the header, on both sides of the system
//! under test. A packet older than the window cannot be proven a
//! first arrival and is not counted as one, so that a duplicate never cancels a loss.

use crate::ends::Ends;
use crate::stamp::{Direction, TrialId};
use crate::tuple::Tuple;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Sequence numbers the window of a direction remembers.
pub const WINDOW: u32 = 32;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Never opened since the core started.
    Free = 0,
    /// The first packet is on its way up.
    Opening,
    /// It has arrived and has been answered.
    Answered,
    /// TCP: the answer has arrived, the last packet of the handshake is on its way up.
    Confirmed,
    /// Data may flow.
    Established,
    /// TCP: the subscriber's FIN is on its way.
    Closing,
    /// TCP: the FIN has arrived and has been answered.
    FinAnswered,
    /// Over; still recognised for a while.
    Closed,
    /// Given up after so many attempts to open it.
    Failed,
}

impl State {
    const ALL: [State; 9] = [
        State::Free,
        State::Opening,
        State::Answered,
        State::Confirmed,
        State::Established,
        State::Closing,
        State::FinAnswered,
        State::Closed,
        State::Failed,
    ];

    /// Whether the connection is on its way to [`State::Established`].
    #[inline]
    pub fn is_opening(self) -> bool {
        matches!(self, State::Opening | State::Answered | State::Confirmed)
    }
}

/// What a sequence number says about its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The newest so far.
    First,
    /// Not seen before and older than the newest.
    Reordered,
    /// Seen before.
    Duplicate,
    /// Older than the window: nobody can say.
    Stale,
}

/// The record of one connection.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
pub struct Flow {
    /// Packets sent so far, per direction: the last sequence number used.
    sent: [u32; 2],
    /// Newest sequence number that arrived, per direction.
    newest: [u32; 2],
    /// Bit i: sequence number `newest − i` has arrived.
    seen: [u32; 2],
    /// Ends of packets that go up, between subscriber and system under test.
    inner: Ends,
    /// The same between the system under test and the Internet. The source is learnt from the first
    /// packet that arrives; port 0 is none.
    outer: Ends,
    shard: u16,
    udp: u8,
    state: u8,
    attempts: u8,
    /// Trial in which a packet has arrived with wrong addresses or ports last; 0 is none.
    remapped_in: u8,
    mark: u16,
}

const _: () = assert!(size_of::<Flow>() == 64);

impl Flow {
    /// A connection whose first packet is about to be sent.
    pub fn opening(tuple: &Tuple) -> Flow {
        let server = (tuple.server, tuple.server_port);
        Flow {
            inner: Ends::new((tuple.subscriber, tuple.subscriber_port), server),
            outer: Ends::new((0, 0), server),
            shard: tuple.shard,
            udp: u8::from(tuple.udp),
            state: State::Opening as u8,
            ..Flow::default()
        }
    }

    /// Ends of a packet that the subscriber sends.
    #[inline]
    pub fn inner(&self) -> Ends {
        self.inner
    }

    /// Ends of the same packet as the Internet sees it, once learnt.
    #[inline]
    pub fn outer(&self) -> Ends {
        self.outer
    }

    /// Shard of the system under test that owns the subscriber.
    #[inline]
    pub fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    /// UDP; otherwise TCP.
    #[inline]
    pub fn is_udp(&self) -> bool {
        self.udp != 0
    }

    /// How far it has come.
    #[inline]
    pub fn state(&self) -> State {
        State::ALL[usize::from(self.state)]
    }

    /// Moves it on.
    #[inline]
    pub fn set_state(&mut self, state: State) {
        self.state = state as u8;
    }

    /// Whether data may flow.
    #[inline]
    pub fn is_established(&self) -> bool {
        self.state == State::Established as u8
    }

    /// Counts an attempt to open it; returns how many there were.
    pub fn attempt(&mut self) -> u8 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts
    }

    /// What the phase under way makes of it apart from others; 0 is nothing.
    #[inline]
    pub fn mark(&self) -> u16 {
        self.mark
    }

    /// Marks it.
    #[inline]
    pub fn set_mark(&mut self, mark: u16) {
        self.mark = mark;
    }

    /// Notes that in this trial a packet of it arrived with wrong addresses or ports.
    pub fn note_remapped(&mut self, trial: TrialId) {
        self.remapped_in = trial.0;
    }

    /// Whether one has in this trial, and in none after.
    pub fn is_remapped_in(&self, trial: TrialId) -> bool {
        self.remapped_in == trial.0
    }

    /// Whether the last packet sent this way has arrived.
    pub fn has_last_arrived(&self, direction: Direction) -> bool {
        self.sent[direction as usize] == self.newest[direction as usize]
    }

    /// The sequence number of the next packet to send.
    #[inline]
    pub fn next_sequence(&mut self, direction: Direction) -> u32 {
        let sent = &mut self.sent[direction as usize];
        *sent = sent.wrapping_add(1);
        *sent
    }

    /// The last sequence number sent.
    #[inline]
    pub fn last_sequence(&self, direction: Direction) -> u32 {
        self.sent[direction as usize]
    }

    /// Holds a packet that came up against the translation learnt; the first one is learnt. Source
    /// port 0 never agrees.
    #[inline]
    pub fn agree(&mut self, ends: Ends) -> bool {
        let known = self.outer;
        if known.source().1 != 0 {
            return ends == known;
        }
        let learnt = ends.source().1 != 0 && ends.destination() == known.destination();
        if learnt {
            self.outer = ends;
        }
        learnt
    }

    /// Books an arrival that is newer than all before; `false`, and nothing booked, for any other.
    #[inline]
    pub fn arrive_newest(&mut self, direction: Direction, sequence: u32) -> bool {
        let (newest, seen) =
            (&mut self.newest[direction as usize], &mut self.seen[direction as usize]);
        let ahead = sequence.wrapping_sub(*newest);
        let is_newest = ahead.wrapping_sub(1) < WINDOW - 1;
        if is_newest {
            *seen = *seen << ahead | 1;
            *newest = sequence;
        }
        is_newest
    }

    /// Notes an arrival.
    #[inline]
    pub fn arrive(&mut self, direction: Direction, sequence: u32) -> Arrival {
        let (newest, seen) =
            (&mut self.newest[direction as usize], &mut self.seen[direction as usize]);
        let ahead = sequence.wrapping_sub(*newest) as i32;
        if ahead > 0 {
            *seen = if ahead < WINDOW as i32 { *seen << ahead | 1 } else { 1 };
            *newest = sequence;
            return Arrival::First;
        }
        let back = ahead.unsigned_abs();
        if back >= WINDOW {
            return Arrival::Stale;
        }
        let bit = 1 << back;
        if *seen & bit != 0 {
            return Arrival::Duplicate;
        }
        *seen |= bit;
        Arrival::Reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Against a set that remembers everything.
        #[test]
        fn the_window_never_takes_a_duplicate_for_a_first_arrival(
            start: u32, steps in prop::collection::vec(-40i32..40, 1..200)
        ) {
            let mut flow = Flow { newest: [start; 2], ..Flow::default() };
            let (mut all, mut newest, mut at) = (HashSet::new(), 0i64, 0i64);
            for step in steps {
                at = (at + i64::from(step)).max(1);
                let expected = match (all.contains(&at), newest - at) {
                    (_, back) if back >= i64::from(WINDOW) => Arrival::Stale,
                    (true, _) => Arrival::Duplicate,
                    (false, back) if back > 0 => Arrival::Reordered,
                    _ => Arrival::First,
                };
                let sequence = start.wrapping_add(at as u32);
                prop_assert_eq!(flow.arrive(Direction::Down, sequence), expected);
                all.insert(at);
                newest = newest.max(at);
            }
            prop_assert_eq!(flow.arrive(Direction::Up, start.wrapping_add(1)), Arrival::First);
        }
    }

    #[test]
    fn the_translation_is_learnt_once() {
        let tuple = Tuple {
            subscriber: 1,
            server: 2,
            subscriber_port: 3,
            server_port: 4,
            ..Tuple::default()
        };
        let mut flow = Flow::opening(&tuple);
        assert_eq!(flow.inner(), Ends::new((1, 3), (2, 4)));
        assert!(!flow.agree(Ends::new((7, 0), (2, 4))));
        assert!(!flow.agree(Ends::new((7, 8), (2, 5))), "another server");
        let outer = Ends::new((7, 8), (2, 4));
        assert!(flow.agree(outer) && flow.agree(outer));
        assert_eq!(flow.outer(), outer);
        for other in [((7, 9), (2, 4)), ((8, 8), (2, 4)), ((7, 8), (3, 4)), ((7, 0), (2, 4))] {
            assert!(!flow.agree(Ends::new(other.0, other.1)), "{other:?}");
        }
        assert_eq!(flow.outer(), outer);
    }

    #[test]
    fn states_keep_their_number() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, number);
        }
    }
}
