//! Connections that are probed in turn while something happens, and what the probes say of each.
//!
//! A sample of K connections is probed at a fixed rate, one after another in a drawn order, each up and
//! down alternately: a *lane*, one direction of one connection, has its turn every 2·K probes. So
//! which connection the t-th probe went to needs no memory, and when it was planned is kept in one
//! ring for all lanes, which goes around no faster than the drain lasts. When a probe's place in the
//! ring is taken by a new one, or at the end of the drain, it is settled for good: it has come
//! back, or it is lost. That is how late packets, however many are under way, are no outage.
//!
//! Probes that the port refused, or that were shed before they were written, say nothing.

use crate::population::Place;
use crate::stamp::{Direction, TICK_SHIFT, ticks};
use crate::verdict::{Loss, Timeline, Verdict};
use dataplane::clock::Nanos;
use std::ops::Range;

/// Most connections in the sample of one core. They are chosen between two phases, some 0.1 µs each.
pub(crate) const SAMPLE_MAX: u32 = 65_535;

/// Most probes that may be sent during a drain: they are what the ring holds, four bytes each and at
/// most twice over.
pub(crate) const RING_MAX: u64 = 1 << 26;

/// Longest phase with a sample: a window of the timeline per millisecond.
pub(crate) const SPAN_MAX: Nanos = Nanos(60_000_000_000);

/// Length of a window of the timeline.
pub(crate) const WINDOW: Nanos = Nanos(1_000_000);

/// In an entry of the ring beside the planned instant, which is below 2³⁰ ticks: it has come back.
const ARRIVED: u32 = 1 << 31;
/// It never left, or there is none.
const UNSENT: u32 = 1 << 30;

/// No instant.
const NONE: u32 = u32::MAX;

/// A direction of a connection. Instants are in ticks from the start of the phase.
#[derive(Clone, Copy, Debug)]
struct Lane {
    /// Last sequence number used before the phase.
    base: u32,
    /// Planned instant of the oldest probe lost since one has arrived.
    since: u32,
    /// The longest outage that is over: its start, and its length.
    worst: Option<(u32, u32)>,
    /// Probes lost.
    lost: u32,
}

impl Lane {
    /// Notes what became of a probe, in the order of sending.
    #[inline]
    fn settle(&mut self, entry: u32) {
        if entry & UNSENT != 0 {
            return;
        }
        let planned = entry & !ARRIVED;
        if entry & ARRIVED == 0 {
            self.since = self.since.min(planned);
            self.lost += 1;
        } else if self.since != NONE {
            self.end_outage(planned);
            self.since = NONE;
        }
    }

    fn end_outage(&mut self, end: u32) {
        let length = end.saturating_sub(self.since);
        if self.worst.is_none_or(|(_, longest)| length > longest) {
            self.worst = Some((self.since, length));
        }
    }
}

/// The sample of one phase. All its memory is taken when it is made.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    size: u32,
    /// In the order of probing.
    members: Vec<Place>,
    /// As many again for the other direction, in the order of probing.
    lanes: Vec<Lane>,
    /// Planned instants of the last probes, each lane at the same place in every round.
    ring: Vec<u32>,
    /// Rounds the ring holds, a power of two; 0 before the start.
    rounds: u32,
    /// Lane of the next probe to be picked; of the next to be sent, and its place in the ring.
    pick: usize,
    lane: usize,
    at: usize,
    /// Probes of the ring that are settled after the drain.
    settled: usize,
    start: Nanos,
    rate_pps: f64,
    pub(crate) timeline: Timeline,
}

impl Sample {
    /// For up to `size` connections probed at `rate_pps` for `span`, with packets awaited for `drain`.
    pub(crate) fn new(size: u32, rate_pps: f64, span: Nanos, drain: Nanos) -> Sample {
        let under_way = (rate_pps * drain.as_secs_f64()) as usize;
        let lanes = 2 * size as usize;
        Sample {
            size,
            members: Vec::with_capacity(size as usize),
            lanes: Vec::with_capacity(lanes),
            // Twice, as the rounds in use are a power of two.
            ring: vec![UNSENT; 2 * (under_way + lanes)],
            rounds: 0,
            pick: 0,
            lane: 0,
            at: 0,
            settled: 0,
            start: Nanos(0),
            rate_pps,
            timeline: Timeline::new(WINDOW.0, span.0),
        }
    }

    /// Most members.
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// Members that are probed.
    pub(crate) fn members(&self) -> &[Place] {
        &self.members
    }

    /// Takes a member, before the order is drawn.
    pub(crate) fn push(&mut self, place: Place) {
        debug_assert!(self.members.len() < self.members.capacity());
        self.members.push(place);
    }

    /// Puts the members into a drawn order; `below` draws a number below its argument.
    pub(crate) fn shuffle(&mut self, mut below: impl FnMut(usize) -> usize) {
        for last in (1..self.members.len()).rev() {
            self.members.swap(last, below(last + 1));
        }
    }

    /// Begins at `start`, with the sequence numbers that each member used last.
    pub(crate) fn begin(&mut self, start: Nanos, last: impl Fn(Place, Direction) -> u32) {
        self.start = start;
        let count = self.members.len();
        for lane in 0..2 * count {
            let (member, direction) = of_lane(lane, count);
            let base = last(self.members[member], direction);
            self.lanes.push(Lane { base, since: NONE, worst: None, lost: 0 });
        }
        // More than half of the ring, so at least what a drain needs.
        let fit = self.ring.len().checked_div(self.lanes.len());
        self.rounds = fit.map_or(0, |rounds| 1 << rounds.ilog2());
    }

    /// Whose turn it is to be picked. There must be members.
    #[inline]
    pub(crate) fn next(&mut self) -> (Place, Direction) {
        let (member, direction) = of_lane(self.pick, self.members.len());
        self.pick = if self.pick + 1 == self.lanes.len() { 0 } else { self.pick + 1 };
        (self.members[member], direction)
    }

    /// Books probes that were due at `planned` and written, of which the port took the first `sent`.
    #[inline]
    pub(crate) fn book_sent(&mut self, planned: &[Nanos], sent: usize) {
        let end = self.rounds as usize * self.lanes.len();
        for (index, planned) in planned.iter().enumerate() {
            let (lane, at) = (self.lane, self.at);
            self.lanes[lane].settle(self.ring[at]);
            let instant = ticks(planned.since(self.start)) as u32;
            self.ring[at] = if index < sent { instant } else { UNSENT };
            if index < sent {
                self.timeline.planned[window(instant)] += 1;
            }
            self.lane = if lane + 1 == self.lanes.len() { 0 } else { lane + 1 };
            self.at = if at + 1 == end { 0 } else { at + 1 };
        }
    }

    /// Books the first arrival of a probe of a member, the one marked `mark`, which was `last` sent.
    #[inline]
    pub(crate) fn book_arrived(
        &mut self,
        mark: u16,
        direction: Direction,
        sequence: u32,
        last: u32,
    ) {
        let lane = lane_of(usize::from(mark) - 1, direction, self.members.len());
        let Some(&Lane { base, .. }) = self.lanes.get(lane) else { return };
        let (number, sent) = (sequence.wrapping_sub(base).wrapping_sub(1), last.wrapping_sub(base));
        if number >= sent || sent - number > self.rounds {
            // It is settled already: older than the drain is long.
            return;
        }
        let at = (number & (self.rounds - 1)) as usize * self.lanes.len() + lane;
        let entry = &mut self.ring[at];
        if *entry & (ARRIVED | UNSENT) == 0 {
            self.timeline.arrived[window(*entry)] += 1;
            *entry |= ARRIVED;
        }
    }

    /// Settles what is left after the drain, up to `most` probes at a time; whether that was all.
    pub(crate) fn settle(&mut self, most: usize) -> bool {
        let end = self.rounds as usize * self.lanes.len();
        for _ in 0..most.min(end - self.settled) {
            self.lanes[self.lane].settle(self.ring[self.at]);
            self.settled += 1;
            self.lane = if self.lane + 1 == self.lanes.len() { 0 } else { self.lane + 1 };
            self.at = if self.at + 1 == end { 0 } else { self.at + 1 };
        }
        self.settled == end
    }

    /// Verdict on a member, by its probes alone, once all is settled and sending ended at `stop`; with
    /// start and length of its longest outage in ns, and the probes lost.
    pub(crate) fn judge(&self, member: usize, stop: Nanos) -> (Verdict, Loss) {
        let count = self.members.len();
        let stop = ticks(stop.since(self.start)) as u32;
        let (mut verdict, mut worst) = (Verdict::Kept, None::<(u32, u32)>);
        for mut lane in [self.lanes[member], self.lanes[member + count]] {
            if lane.since != NONE {
                verdict = Verdict::Lost;
                lane.end_outage(stop);
            } else if lane.worst.is_some() && verdict == Verdict::Kept {
                verdict = Verdict::Recovered;
            }
            if worst.is_none_or(|(_, longest)| lane.worst.is_some_and(|it| it.1 > longest)) {
                worst = lane.worst.or(worst);
            }
        }
        let (start, length) = worst.unwrap_or((0, 0));
        let ns = |ticks: u32| u64::from(ticks) << TICK_SHIFT;
        let lost = self.lanes[member].lost + self.lanes[member + count].lost;
        (verdict, Loss { start_ns: ns(start), outage_ns: ns(length), lost })
    }

    /// Time in ns between two probes of one connection, either way; `None` where there is none.
    pub(crate) fn resolution_ns(&self) -> Option<u64> {
        let count = self.members.len();
        (count > 0).then(|| (count as f64 * 1e9 / self.rate_pps).round() as u64)
    }
}

/// Member and direction of a lane: in the first half of a round every second member is probed up, in
/// the other half the others.
#[inline]
fn of_lane(lane: usize, members: usize) -> (usize, Direction) {
    let second = usize::from(lane >= members);
    let member = lane - members * second;
    (member, if (member + second).is_multiple_of(2) { Direction::Up } else { Direction::Down })
}

/// The lane of a member and direction.
#[inline]
fn lane_of(member: usize, direction: Direction, members: usize) -> usize {
    member + members * ((member ^ direction as usize) & 1)
}

/// Window of the timeline that an instant falls into.
#[inline]
fn window(instant: u32) -> usize {
    ((u64::from(instant) << TICK_SHIFT) / WINDOW.0) as usize
}

/// Positions of a sample of `size` among `count` that begin at `first` and belong to `shards` shards
/// in turn: as many of each shard, give or take one, and of each shard one from every stretch of equal
/// length. A stretch is given with the position drawn in it, in steps of `shards` positions, so that
/// the caller may take another one of it instead. `below` draws a number below its argument.
pub(crate) fn strata(
    first: u64,
    count: u64,
    shards: u64,
    size: u64,
    mut below: impl FnMut(u64) -> u64,
) -> impl Iterator<Item = (u64, Range<u64>)> {
    let size = size.min(count);
    let of = move |total: u64, shard: u64| total / shards + u64::from(shard < total % shards);
    (0..shards).flat_map(move |shard| (0..of(size, shard)).map(move |index| (shard, index))).map(
        move |(shard, index)| {
            let (rows, strata) = (of(count, shard), of(size, shard));
            let position = |row: u64| first + row * shards + shard;
            let bounds = index * rows / strata..(index + 1) * rows / strata;
            let drawn = bounds.start + below(bounds.end - bounds.start);
            (position(drawn), position(bounds.start)..position(bounds.end))
        },
    )
}

#[cfg(test)]
mod tests;
