//! Data packets: due, drawn, written, sent.
//!
//! Each packet belongs to a connection drawn uniformly from those held. The draw is made a batch
//! ahead of the sending, so that the connection's record is in the cache by then.

use super::classes::Classes;
use super::{Generator, Sender};
use crate::config::{BATCH_MAX, Rate};
use crate::population::Place;
use crate::segment::Segment;
use crate::stamp::{Direction, TcpStamp, UdpStamp, ticks, window};
use crate::template::{self, ETHERNET};
use crate::tuple::Tuple;
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::frame::Frame;
use dataplane::port::Port;
use rand_core::RngCore;

/// Draws in place of a connection that is not established, before the packet is given up.
const REDRAWS: usize = 4;

/// Beyond this a packet counts as sent late.
const LATE: Nanos = Nanos(100_000);

/// A connection and a direction for a packet to come.
#[derive(Clone, Copy, Debug)]
struct Pick {
    place: Place,
    direction: Direction,
    tuple: Tuple,
}

/// Draws for the next batch, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Picks {
    ahead: ArrayVec<Pick, BATCH_MAX>,
    used: usize,
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
        if !due {
            return 0;
        }
        let room = self.port.room();
        let trial = &mut self.trials[self.phase];
        trial.batches += 1;
        trial.room_limited += u64::from(room < self.plan.batch);
        let shed = self.sending.shed(now);
        trial.ledger.planned += shed;
        trial.ledger.unsent += shed;
        let mut left = room.min(self.plan.batch);
        let mut sent = 0;
        while left > 0 {
            let planned = self.due(rate, horizon, left.min(BURST));
            if planned.is_empty() {
                break;
            }
            left -= planned.len();
            sent += self.send_burst(&planned, rate, now);
        }
        self.draw_ahead();
        sent
    }

    /// Planned instants of up to `count` packets.
    #[inline]
    fn due(&mut self, rate: Rate, now: Nanos, count: usize) -> ArrayVec<Nanos, BURST> {
        if rate == Rate::Max {
            return std::iter::repeat_n(now, count).collect();
        }
        std::iter::from_fn(|| self.sending.take(now)).take(count).collect()
    }

    fn send_burst(&mut self, planned: &[Nanos], rate: Rate, now: Nanos) -> u32 {
        let mut burst = Burst::new();
        self.port.alloc(&mut burst, planned.len());
        let mut picks = ArrayVec::<Pick, BURST>::new();
        let mut classes = Classes::default();
        for frame in burst.iter_mut().take(planned.len()) {
            let Some(pick) = self.next_pick() else { break };
            classes.push(pick.tuple.udp, pick.direction == Direction::Down);
            picks.push(pick);
            frame.set_len(usize::from(self.mix.next_length()));
        }
        let written = picks.len();
        for index in classes.groups() {
            self.write(&mut burst[index], &picks[index], planned[index]);
        }
        let trial = &mut self.trials[self.phase];
        let short = burst.len() < planned.len();
        if written < burst.len() {
            let mut spare: Burst<P::Frame> = burst.drain(written..).collect();
            self.port.free(&mut spare);
        }
        let asked = if rate == Rate::Max { written } else { planned.len() } as u64;
        trial.ledger.planned += asked;
        trial.ledger.unsent += asked - written as u64;
        // Instants come in order, so the first one of a burst is the latest to leave.
        if now.since(planned[0]) > LATE {
            let late = planned.iter().take(written).filter(|&&instant| now.since(instant) > LATE);
            trial.ledger.sent_late += late.count() as u64;
        }
        if rate == Rate::Max && short {
            trial.room_limited += 1;
        }
        self.transmit(&mut burst)
    }

    /// The next draw whose connection is established; `None` when a bounded number is not.
    #[inline]
    fn next_pick(&mut self) -> Option<Pick> {
        for _ in 0..=REDRAWS {
            let pick = match self.picks.ahead.get(self.picks.used) {
                Some(&pick) => {
                    self.picks.used += 1;
                    pick
                }
                None => self.draw()?,
            };
            // A draw may be older than the record it points to.
            if self.population.find(pick.place.id) == Some(pick.place.slot)
                && self.population.flow(pick.place.slot).is_established()
            {
                return Some(pick);
            }
        }
        None
    }

    #[inline]
    fn draw(&mut self) -> Option<Pick> {
        if self.population.held() == 0 {
            return None;
        }
        let random = self.rng.next_u64();
        let up = random & 0xffff_ffff < self.plan.up_below;
        let direction = if up { Direction::Up } else { Direction::Down };
        let place = self.population.pick((random >> 32) as u32);
        Some(Pick { place, direction, tuple: self.sender.tuples.tuple(place.id) })
    }

    /// Draws for the next batch and asks for the records.
    #[inline]
    fn draw_ahead(&mut self) {
        self.picks.ahead.drain(..self.picks.used);
        self.picks.used = 0;
        while self.picks.ahead.len() < self.plan.batch {
            let Some(pick) = self.draw() else { break };
            cpu::prefetch_write(self.population.flow(pick.place.slot));
            self.picks.ahead.push(pick);
        }
    }

    #[inline]
    fn write(&mut self, frame: &mut P::Frame, pick: &Pick, planned: Nanos) {
        let Pick { place, direction, ref tuple } = *pick;
        let flow = &mut self.population.flows()[place.slot as usize];
        let sequence = flow.next_sequence(direction);
        let ends = Sender::ends(tuple, direction, flow.outer());
        let length = frame.len() as u16;
        let head = frame.head_mut();
        let (hop, planned) = (&self.sender.hops[usize::from(tuple.shard)], ticks(planned));
        let Sender { trial, source, .. } = self.sender;
        if tuple.udp {
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
