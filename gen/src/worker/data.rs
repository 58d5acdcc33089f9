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

/// Silence after which packets under way count as lost to the window.
const STALL: Nanos = Nanos(2_000_000);

/// Packets under way, at the highest rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    returned: u64,
    given_up: u64,
    /// When a packet returned last.
    moved: Nanos,
}

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
        let crowded = room < self.plan.batch || (rate == Rate::Max && self.is_window_full(now));
        let trial = &mut self.trials[self.phase];
        trial.batches += 1;
        trial.room_limited += u64::from(crowded);
        if crowded && rate == Rate::Max {
            // A part of a batch would cost nearly as much as a whole one.
            return 0;
        }
        let shed = self.sending.shed(now);
        trial.ledger.planned += shed;
        trial.ledger.unsent += shed;
        let mut left = room.min(self.plan.batch);
        if self.picks.ahead.len() < left {
            self.draw_ahead();
        }
        let mut sent = 0;
        while left > 0 {
            let (planned, count) = self.due(rate, horizon, left.min(BURST));
            if count == 0 {
                break;
            }
            left -= count;
            sent += self.send_burst(&planned[..count], rate, now);
        }
        self.draw_ahead();
        sent
    }

    /// Whether as many packets are under way as a port may have to hold. What has not come back while
    /// nothing else did for 2 ms is taken for lost, so that losses do not fill the window.
    #[inline]
    fn is_window_full(&mut self, now: Nanos) -> bool {
        let ledger = &self.trials[self.phase].ledger;
        let returned = ledger.arrived();
        if returned != self.window.returned {
            self.window.returned = returned;
            self.window.moved = now;
        }
        let under_way = ledger.sent.saturating_sub(returned + self.window.given_up);
        if under_way + self.plan.batch as u64 <= self.plan.window {
            return false;
        }
        let stalled = now.since(self.window.moved) > STALL;
        if stalled {
            self.window.given_up = ledger.sent.saturating_sub(returned);
            self.window.moved = now;
        }
        !stalled
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

    fn send_burst(&mut self, planned: &[Nanos], rate: Rate, now: Nanos) -> u32 {
        let mut burst = Burst::new();
        self.port.alloc(&mut burst, planned.len());
        let first = self.picks.used;
        let mut lengths = [0; BURST];
        let mut classes = Classes::default();
        let mut written = 0;
        for frame in &mut burst {
            let Some((udp, down)) = self.confirm_pick() else { break };
            classes.push(udp, down);
            lengths[written] = self.mix.next_length();
            frame.set_len(usize::from(lengths[written]));
            written += 1;
        }
        for index in classes.groups() {
            self.write(&mut burst[index], first + index, lengths[index], planned[index]);
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
        self.transmit(&mut burst, &lengths)
    }

    /// Takes the next draw, and draws again in its place while its connection is not established;
    /// returns whether it is UDP and goes down. `None` when a bounded number of draws is not.
    #[inline]
    fn confirm_pick(&mut self) -> Option<(bool, bool)> {
        for _ in 0..=REDRAWS {
            let pick = self.picks.ahead.get(self.picks.used)?;
            // A draw may be older than the record it points to.
            if self.population.find(pick.place.id) == Some(pick.place.slot)
                && self.population.flow(pick.place.slot).is_established()
            {
                self.picks.used += 1;
                return Some((pick.tuple.udp, pick.direction == Direction::Down));
            }
            let again = self.draw()?;
            *self.picks.ahead.get_mut(self.picks.used)? = again;
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
    fn write(&mut self, frame: &mut P::Frame, pick: usize, length: u16, planned: Nanos) {
        let Pick { place, direction, ref tuple } = self.picks.ahead[pick];
        let flow = &mut self.population.flows()[place.slot as usize];
        let sequence = flow.next_sequence(direction);
        let ends = Sender::ends(tuple, direction, flow.outer());
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
