//! Data packets: due, drawn, written, sent.
//!
//! Each packet belongs to a connection drawn from those held, uniformly or by their popularity, or, in
//! a phase with a sample, to the member whose turn it is. The draw is made a batch
//! ahead of the sending, so that the connection's record is in the cache by then.

use super::classes::{Classes, ones};
use super::{Generator, Sender, ends};
use crate::config::{BATCH_MAX, Rate};
use crate::popularity::Popularity;
use crate::population::{Lot, Place};
use crate::segment::Segment;
use crate::stamp::{Direction, TcpStamp, UdpStamp, ticks, window};
use crate::template::{self, ETHERNET};
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::frame::Frame;
use dataplane::port::Port;
use rand_core::RngCore;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::ops::Range;

/// Draws in place of a connection that is not established, before the packet is given up.
const REDRAWS: usize = 4;

/// Beyond this a packet counts as sent late, and a step as missed.
pub(super) const LATE: Nanos = Nanos(100_000);

/// A connection and a direction for a packet to come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pick {
    place: Place,
    down: bool,
}

/// Draws for the next batch, the oldest first.
#[derive(Clone, Debug)]
pub(super) struct Picks {
    ahead: [Pick; BATCH_MAX],
    /// Draws there are, and how many of them are used up.
    count: usize,
    used: usize,
    /// Position of the next connection to close when draws were made last, and how many of the
    /// draws are from before it came there: their connections may be over.
    closing: u64,
    old: usize,
}

impl Default for Picks {
    fn default() -> Self {
        Picks { ahead: [Pick::default(); BATCH_MAX], count: 0, used: 0, closing: 0, old: 0 }
    }
}

impl Picks {
    /// Draws not yet used.
    #[inline]
    pub(super) fn waiting(&self) -> &[Pick] {
        &self.ahead[self.used..self.count]
    }

    /// Whether all are used up.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Appends a packet of a connection that is established.
    pub(super) fn push(&mut self, place: Place, direction: Direction) {
        if self.count == self.ahead.len() {
            self.renew(0, self.closing);
        }
        self.ahead[self.count] = Pick { place, down: direction == Direction::Down };
        self.count += 1;
    }

    /// Places of draws that are used up.
    pub(super) fn at(&self, range: Range<usize>) -> impl Iterator<Item = Place> {
        self.ahead[range].iter().map(|pick| pick.place)
    }

    /// Drops the used ones and makes it `count` in all, of connections at `closing` and after;
    /// returns the new ones, still to be drawn.
    #[inline]
    fn renew(&mut self, count: usize, closing: u64) -> &mut [Pick] {
        self.ahead.copy_within(self.used..self.count, 0);
        self.old = self.old.saturating_sub(self.used);
        let kept = self.count - self.used;
        if self.closing != closing {
            (self.closing, self.old) = (closing, kept);
        }
        (self.count, self.used) = (count.max(kept), 0);
        &mut self.ahead[kept..self.count]
    }

    /// Whether all draws to come are of connections that are held while `closing` is the next to
    /// close.
    #[inline]
    fn are_held(&self, closing: u64) -> bool {
        self.closing == closing && self.used >= self.old
    }
}

impl Pick {
    /// Draws direction and connection.
    #[inline]
    fn draw(&mut self, rng: &mut Xoshiro256PlusPlus, up_below: u64, lot: &Lot) {
        let random = rng.next_u64();
        self.down = random & 0xffff_ffff >= up_below;
        self.place = lot.pick((random >> 32) as u32);
    }

    /// The same, by popularity. Where nobody holds the place drawn it draws again; when a bounded number
    /// of draws is in vain, every connection is as good.
    #[inline]
    fn draw_ranked(
        &mut self,
        rng: &mut Xoshiro256PlusPlus,
        up_below: u64,
        lot: &Lot,
        places: &Popularity,
        closing: u32,
    ) {
        let random = rng.next_u64();
        self.down = random & 0xffff_ffff >= up_below;
        let spare = (random >> 32) as u32;
        let mut tries =
            (0..=REDRAWS).map(|_| places.draw(rng.next_u64(), closing, lot.count(), spare));
        self.place = match tries.find_map(|index| index) {
            Some(index) => lot.at(index),
            None => lot.pick(spare),
        };
    }
}

impl<P: Port> Generator<P> {
    /// Sends the data packets that are due at `horizon`, now or just before, at most a batch;
    /// returns how many.
    #[inline]
    pub(super) fn send(&mut self, now: Nanos, horizon: Nanos) -> u32 {
        let rate = self.plan.phases[self.phase].rate;
        let due = match rate {
            Rate::None => false,
            Rate::Max => self.established > 0,
            Rate::Pps(_) => self.sending.is_due(horizon),
        };
        if !due || self.is_validated() {
            return 0;
        }
        let room = self.port.room();
        let batch = self.plan.batch;
        let crowded = room < batch || (rate == Rate::Max && self.is_window_full(now, batch));
        let trial = &mut self.trials[self.phase];
        trial.batches += 1;
        trial.room_limited += u64::from(crowded);
        if crowded && rate == Rate::Max {
            // A part of a batch would cost nearly as much as a whole one.
            return 0;
        }
        let shed = self.sending.shed(now);
        self.book_paused(shed);
        let trial = &mut self.trials[self.phase];
        trial.ledger.planned += shed;
        trial.ledger.unsent += shed;
        let mut left = room.min(batch);
        if self.picks.waiting().len() < left {
            self.draw_ahead();
        }
        if self.validates() {
            // Each connection once: when there are no more, nothing more is due.
            left = left.min(self.picks.waiting().len());
        }
        let mut sent = 0;
        while left > 0 {
            let (planned, count) = self.due(rate, horizon, left.min(BURST));
            if count == 0 {
                break;
            }
            left -= count;
            sent += self.send_burst(&planned, count, rate, now);
        }
        if left == 0 && room < batch {
            self.no_room = now;
        }
        self.draw_ahead();
        sent
    }

    /// Planned instants of up to `count` packets, and how many they are.
    #[inline]
    fn due(&mut self, rate: Rate, now: Nanos, count: usize) -> ([Nanos; BURST], usize) {
        let mut planned = [now; BURST];
        if rate == Rate::Max {
            return (planned, count);
        }
        let mut due = 0;
        while due < count
            && let Some(instant) = self.sending.take(now)
        {
            planned[due] = instant;
            due += 1;
        }
        (planned, due)
    }

    fn send_burst(
        &mut self,
        planned: &[Nanos; BURST],
        count: usize,
        rate: Rate,
        now: Nanos,
    ) -> u32 {
        let mut burst = Burst::new();
        self.port.alloc(&mut burst, count);
        let first = self.picks.used;
        let classes = self.confirm_picks(burst.len());
        let written = classes.len();
        let lengths = self.mix.next_lengths(written);
        let [udp_up, udp_down, tcp_up, tcp_down] = classes.split();
        self.write_group::<true, false>(&mut burst, first, udp_up, &lengths, planned);
        self.write_group::<true, true>(&mut burst, first, udp_down, &lengths, planned);
        self.write_group::<false, false>(&mut burst, first, tcp_up, &lengths, planned);
        self.write_group::<false, true>(&mut burst, first, tcp_down, &lengths, planned);
        let trial = &mut self.trials[self.phase];
        let short = burst.len() < count;
        if written < burst.len() {
            let mut spare: Burst<P::Frame> = burst.drain(written..).collect();
            self.port.free(&mut spare);
        }
        let asked = if rate == Rate::Max { written } else { count } as u64;
        trial.ledger.planned += asked;
        trial.ledger.unsent += asked - written as u64;
        // Instants come in order, so the first one of a burst is the latest to leave.
        // What fell due while the generator was there, and found no room, is late from the last time
        // that there was none; what fell due before it was back from a pause, from its instant.
        let late = |instant: Nanos| {
            let present = instant >= self.back;
            now.since(if present { instant.max(self.no_room) } else { instant }) > LATE
        };
        if late(planned[0]) {
            let late = planned.iter().take(written).filter(|&&instant| late(instant));
            trial.ledger.sent_late += late.count() as u64;
        }
        if rate == Rate::Max && short {
            trial.room_limited += 1;
        }
        let sent = self.transmit(&mut burst, &lengths);
        if let Some(sample) = &mut self.trials[self.phase].sample {
            sample.book_sent(&planned[..written], sent as usize);
        }
        if (sent as usize) < written {
            self.window.refused(now);
            self.unask(first + sent as usize..first + written);
        }
        sent
    }

    /// Takes the next draws, at most `wanted`, of established connections.
    #[inline]
    fn confirm_picks(&mut self, wanted: usize) -> Classes {
        let mut classes = Classes::default();
        // Nearly always every connection is established, and none need be asked.
        let all = self.established == self.population.held();
        if all && self.picks.are_held(self.population.closing()) {
            let waiting = self.picks.waiting();
            for pick in &waiting[..wanted.min(waiting.len())] {
                classes.push(self.population.flow(pick.place.slot).is_udp(), pick.down);
            }
            self.picks.used += classes.len();
            return classes;
        }
        while classes.len() < wanted
            && let Some((udp, down)) = self.confirm_pick()
        {
            classes.push(udp, down);
        }
        classes
    }

    /// Takes the next draw, and draws again in its place while its connection is not established;
    /// returns whether it is UDP and goes down. `None` when a bounded number of draws is not.
    fn confirm_pick(&mut self) -> Option<(bool, bool)> {
        for _ in 0..=REDRAWS {
            let pick = self.picks.waiting().first()?;
            // A draw may be older than the record it points to.
            let flow = self.population.flow(pick.place.slot);
            if self.population.find(pick.place.id) == Some(pick.place.slot) && flow.is_established()
            {
                let answer = (flow.is_udp(), pick.down);
                self.picks.used += 1;
                return Some(answer);
            }
            if self.population.held() == 0 {
                return None;
            }
            // By popularity it would be the same one too often.
            let pick = &mut self.picks.ahead[self.picks.used];
            pick.draw(&mut self.rng, self.plan.up_below, &self.population.lot());
        }
        None
    }

    /// Draws for the next batch and asks for the records.
    #[inline]
    fn draw_ahead(&mut self) {
        if self.validates() {
            return self.pick_in_turn();
        }
        if self.is_sampled() {
            return self.pick_probes();
        }
        let Generator { population, popularity, picks, plan, .. } = self;
        let held = population.held() > 0;
        let count = if held { plan.batch } else { 0 };
        let fresh = picks.renew(count, population.closing());
        if !held {
            return;
        }
        let (lot, up_below, mut rng) = (population.lot(), plan.up_below, self.rng.clone());
        match popularity {
            None => {
                for pick in fresh {
                    pick.draw(&mut rng, up_below, &lot);
                    cpu::prefetch_write(population.flow(pick.place.slot));
                }
            }
            Some(places) => {
                let closing = places.residue(population.closing());
                for pick in fresh {
                    pick.draw_ranked(&mut rng, up_below, &lot, places, closing);
                    cpu::prefetch_write(population.flow(pick.place.slot));
                }
            }
        }
        self.rng = rng;
    }

    /// Writes the data packets in `group`, which are of one protocol and direction, from the draws
    /// at `first` and after. Protocol and direction are constants, so nothing depends on them that
    /// could be mispredicted or selected.
    #[inline]
    fn write_group<const UDP: bool, const DOWN: bool>(
        &mut self,
        burst: &mut [P::Frame],
        first: usize,
        mut group: u32,
        lengths: &[u16; BURST],
        planned: &[Nanos; BURST],
    ) {
        let direction = if DOWN { Direction::Down } else { Direction::Up };
        let Sender { trial, source, ref hops, .. } = self.sender;
        let picks = &self.picks.ahead[first..];
        let flows = self.population.flows();
        for index in ones(&mut group) {
            let Pick { place, .. } = picks[index];
            let (frame, length, planned) = (&mut burst[index], lengths[index], planned[index]);
            let flow = &mut flows[place.slot as usize];
            let sequence = flow.next_sequence(direction);
            let ends = ends(flow, direction);
            let (hop, planned) = (&hops[flow.shard()], ticks(planned));
            frame.set_len(usize::from(length));
            let head = frame.head_mut();
            if UDP {
                let stamp = UdpStamp { trial, source, id: place.id, direction, sequence, planned };
                template::put_udp(head, hop, ends, length, stamp.pack());
            } else {
                let numbers = Segment::Data(direction).numbers(place.id, source);
                let stamp = TcpStamp { sequence, planned }.pack(numbers.seq, numbers.ack);
                let (total, window) = (length - ETHERNET as u16, window(trial, sequence));
                template::put_tcp(head, hop, ends, total, numbers, window, stamp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_trusted_until_a_connection_closes() {
        let mut picks = Picks::default();
        assert_eq!(picks.renew(4, 0).len(), 4);
        assert!(picks.are_held(0) && !picks.are_held(1));
        picks.used = 2;
        assert_eq!(picks.renew(4, 1).len(), 2);
        // Two are from before the close.
        assert!(!picks.are_held(1));
        picks.used = 1;
        picks.renew(4, 1);
        assert!(!picks.are_held(1));
        picks.used = 1;
        picks.renew(4, 1);
        assert!(picks.are_held(1) && !picks.are_held(2));
        assert_eq!(picks.waiting().len(), 4);
    }

    #[test]
    fn draws_kept_stay_in_order() {
        let mut picks = Picks::default();
        for (slot, pick) in (0..).zip(picks.renew(3, 0)) {
            pick.place.slot = slot;
        }
        picks.used = 1;
        for (slot, pick) in (7..).zip(picks.renew(4, 0)) {
            pick.place.slot = slot;
        }
        let slots: Vec<u32> = picks.waiting().iter().map(|pick| pick.place.slot).collect();
        assert_eq!(slots, [1, 2, 7, 8]);
        assert_eq!(picks.renew(0, 0).len(), 0);
        assert_eq!(picks.waiting().len(), 4);
    }
}
