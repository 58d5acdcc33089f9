//! The connections a core holds: a queue of identifiers, opened at one end, closed at the other.
//!
//! Positions count connections since the start and never wrap; `oldest ≤ closing ≤ newest`. Those
//! in `[closing, newest)` are held, those in `[oldest, closing)` are over and linger, so that late
//! packets are still recognised. A position's record is at `position mod capacity`, its identifier
//! on the wire `position mod cycle`.

use crate::flow::Flow;
use crate::tuple::{ConnectionId, Tuple};
use dataplane::clock::Nanos;
use dataplane::memory::Pages;
use std::collections::VecDeque;

/// Marks of age per span: how coarse the age of a connection is known.
const MARKS: u64 = 64;

/// Remembers how far a growing position had come some time ago.
#[derive(Debug)]
pub struct Ages {
    span: Nanos,
    marks: VecDeque<(Nanos, u64)>,
    aged: u64,
}

impl Ages {
    /// Positions are old after `span`.
    pub fn new(span: Nanos) -> Ages {
        Ages { span, marks: VecDeque::with_capacity(2 * MARKS as usize), aged: 0 }
    }

    /// Notes that the position is `position` at `now`; returns the position below which all were
    /// passed at least the span ago (and at most 1/64 of it longer).
    pub fn note(&mut self, now: Nanos, position: u64) -> u64 {
        while let Some(&(at, mark)) = self.marks.front()
            && now.since(at) >= self.span
        {
            self.aged = mark;
            self.marks.pop_front();
        }
        let fresh = self.marks.back().is_none_or(|&(at, _)| now.since(at).0 >= self.span.0 / MARKS);
        if fresh && self.marks.len() < self.marks.capacity() {
            self.marks.push_back((now, position));
        }
        self.aged
    }
}

/// The connections of one core.
pub struct Population {
    flows: Pages<Flow>,
    mask: u64,
    cycle: u32,
    oldest: u64,
    oldest_id: u32,
    closing: u64,
    newest: u64,
}

/// A connection among those a core knows, with the place of its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Name on the wire.
    pub id: ConnectionId,
    /// Index of the record.
    pub slot: u32,
}

/// The connections held at one time, to draw many from.
#[derive(Clone, Copy, Debug)]
pub struct Lot {
    first: Place,
    count: u32,
    mask: u32,
    cycle: u32,
}

impl Lot {
    /// The connection that `draw`, uniform over 32 bits, picks. At least one must be held.
    #[inline]
    pub fn pick(&self, draw: u32) -> Place {
        self.at(((u64::from(draw) * u64::from(self.count)) >> 32) as u32)
    }

    /// Connections held.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The connection `index` places after the oldest held one.
    #[inline]
    pub fn at(&self, index: u32) -> Place {
        let id = self.first.id.0 + index;
        let id = if id >= self.cycle { id - self.cycle } else { id };
        Place { id: ConnectionId(id), slot: self.first.slot.wrapping_add(index) & self.mask }
    }
}

impl Population {
    /// An empty one with room for `capacity` (a power of two) records; `cycle` identifiers.
    ///
    /// # Errors
    /// When the kernel refuses the memory.
    ///
    /// # Panics
    /// If the capacity is no power of two or exceeds the cycle.
    pub fn new(capacity: usize, cycle: u32) -> std::io::Result<Population> {
        assert!(capacity.is_power_of_two() && capacity <= cycle as usize);
        Ok(Population {
            flows: Pages::zeroed(capacity)?,
            mask: capacity as u64 - 1,
            cycle,
            oldest: 0,
            oldest_id: 0,
            closing: 0,
            newest: 0,
        })
    }

    /// Connections held: opened and not closed.
    #[inline]
    pub fn held(&self) -> u32 {
        (self.newest - self.closing) as u32
    }

    /// Position of the next connection to open: the number opened so far.
    #[inline]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Position of the next connection to close.
    #[inline]
    pub fn closing(&self) -> u64 {
        self.closing
    }

    /// Whether every record is in use.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.newest - self.oldest > self.mask
    }

    /// Bytes of memory held for records.
    pub fn resident_bytes(&self) -> usize {
        self.flows.resident_bytes()
    }

    /// The connection at a position between oldest and newest.
    #[inline]
    pub fn at(&self, position: u64) -> Place {
        let id = self.oldest_id + (position - self.oldest) as u32;
        let id = if id >= self.cycle { id - self.cycle } else { id };
        Place { id: ConnectionId(id), slot: (position & self.mask) as u32 }
    }

    /// The connections held now, to draw from.
    #[inline]
    pub fn lot(&self) -> Lot {
        let (first, mask) = (self.at(self.closing), self.mask as u32);
        Lot { first, count: self.held(), mask, cycle: self.cycle }
    }

    /// Slot of a connection by its name, held or lingering.
    #[inline]
    pub fn find(&self, id: ConnectionId) -> Option<u32> {
        let ahead = id.0.wrapping_sub(self.oldest_id);
        let ahead = if id.0 < self.oldest_id { ahead.wrapping_add(self.cycle) } else { ahead };
        let known = id.0 < self.cycle && u64::from(ahead) < self.newest - self.oldest;
        known.then_some(((self.oldest + u64::from(ahead)) & self.mask) as u32)
    }

    /// Records of all connections, by slot.
    #[inline]
    pub fn flows(&mut self) -> &mut [Flow] {
        &mut self.flows
    }

    /// One record.
    #[inline]
    pub fn flow(&self, slot: u32) -> &Flow {
        &self.flows[slot as usize]
    }

    /// Opens the next connection, which has the tuple that `tuples` says. There must be room.
    pub fn open(&mut self, tuples: impl FnOnce(ConnectionId) -> Tuple) -> Place {
        assert!(!self.is_full(), "a connection is opened only where there is room");
        let place = self.at(self.newest);
        self.newest += 1;
        self.flows[place.slot as usize] = Flow::opening(&tuples(place.id));
        place
    }

    /// Closes the oldest held connection. At least one must be held.
    pub fn close(&mut self) -> Place {
        assert!(self.held() > 0, "only a held connection is closed");
        let place = self.at(self.closing);
        self.closing += 1;
        place
    }

    /// Forgets closed connections below `position`.
    pub fn forget(&mut self, position: u64) {
        assert!(position <= self.closing, "held connections are not forgotten");
        if position > self.oldest {
            self.oldest_id = self.at(position).id.0;
            self.oldest = position;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_records_follow_the_queue_around_both_wraps() {
        let cycle = 100;
        let mut population = Population::new(16, cycle).expect("memory");
        for round in 0..1000u64 {
            let place = population.open(|_| Tuple::default());
            assert_eq!(place.id.0, (round % 100) as u32);
            assert_eq!(place.slot, (round % 16) as u32);
            assert_eq!(population.find(place.id), Some(place.slot));
            if population.held() > 10 {
                let closed = population.close();
                assert_eq!(u64::from(closed.id.0), (round - 10) % 100);
                assert_eq!(population.find(closed.id), Some(closed.slot));
                population.forget(population.closing() - 3.min(population.closing()));
                assert_eq!(population.find(ConnectionId((closed.id.0 + 97) % 100)), None);
            }
            assert_eq!(population.find(ConnectionId((place.id.0 + 1) % 100)), None);
        }
        assert_eq!(population.find(ConnectionId(100)), None);
        assert_eq!(population.find(ConnectionId(u32::MAX)), None);
    }

    #[test]
    fn picks_are_uniform_over_the_held() {
        let mut population = Population::new(16, 1 << 20).expect("memory");
        for _ in 0..12 {
            population.open(|_| Tuple::default());
        }
        for _ in 0..4 {
            population.close();
        }
        let mut count = [0; 12];
        for step in 0..8000u32 {
            count[population.lot().pick(step.wrapping_mul(u32::MAX / 8000)).id.0 as usize] += 1;
        }
        assert!(count[..4].iter().all(|&n| n == 0));
        assert!(count[4..].iter().all(|&n| (995..=1005).contains(&n)), "{count:?}");
    }

    #[test]
    fn ages_are_known_within_a_64th() {
        let mut ages = Ages::new(Nanos(6400));
        for now in (0..100_000u64).step_by(10) {
            let aged = ages.note(Nanos(now), now);
            assert!(aged + 6400 <= now || aged == 0, "{aged} at {now}");
            assert!(now < 6600 || aged + 6600 >= now, "{aged} at {now}");
        }
    }
}
