//! Opening, retrying and closing connections.
//!
//! Openings follow an open loop of their own, except that a fill waits while as much is under way as
//! a ring holds (see [`window`](super::window)). One that does not complete is tried again from where
//! it got stuck, the oldest first, so many times; then the connection counts as failed and is never
//! used for data. A FIN or RST that is lost is not repeated: what it costs the system under test is an
//! entry until its timeout.

use super::Generator;
use crate::config::Until;
use crate::flow::State;
use crate::population::{Ages, Place};
use crate::segment::Segment;
use crate::stamp::Direction;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, SHORTEST};
use dataplane::port::Port;
use rand_core::RngCore;

/// Most records looked at for a retry in one step.
const SCAN: u64 = 64;

/// Which connections are looked at for a retry, and when.
#[derive(Debug)]
pub(super) struct Retry {
    ages: Ages,
    /// Positions below were opened long enough ago.
    aged: u64,
    /// Next position to look at.
    cursor: u64,
    /// Oldest position of this pass that is still being opened.
    stuck: Option<u64>,
    /// Start of the next pass.
    resume_at: Nanos,
    interval: Nanos,
    attempts: u8,
}

impl Retry {
    pub(super) fn new(interval: Nanos, attempts: u8) -> Retry {
        Retry {
            ages: Ages::new(interval),
            aged: 0,
            cursor: 0,
            stuck: None,
            resume_at: Nanos(0),
            interval,
            attempts,
        }
    }

    /// Notes how many connections have been opened by now.
    pub(super) fn age(&mut self, now: Nanos, newest: u64) {
        self.aged = self.ages.note(now, newest);
    }

    /// The next position to look at, if its time has come.
    #[inline]
    fn next(&mut self, now: Nanos, closing: u64) -> Option<u64> {
        if now < self.resume_at {
            return None;
        }
        self.cursor = self.cursor.max(closing);
        if self.cursor >= self.aged {
            // The pass is over. Those still stuck have another interval to complete.
            if let Some(stuck) = self.stuck.take() {
                self.cursor = stuck;
                self.resume_at = now + self.interval;
            }
            return None;
        }
        self.cursor += 1;
        Some(self.cursor - 1)
    }
}

impl<P: Port> Generator<P> {
    /// Opens and closes what is due at `horizon`, now or just before, and retries; returns packets
    /// sent.
    #[inline]
    pub(super) fn churn(&mut self, now: Nanos, horizon: Nanos) -> u32 {
        let mut sent = 0;
        if self.opening.is_due(horizon) {
            sent += self.open(now, horizon);
        }
        if self.retry.cursor < self.retry.aged || self.retry.stuck.is_some() {
            sent += self.retry(now);
        }
        if self.closing.is_due(horizon) {
            sent += self.close(now, horizon);
        }
        sent
    }

    /// Connections this phase holds at most, and at least.
    fn bounds(&self) -> (u32, u32) {
        match self.plan.phases[self.phase].until {
            Until::Held(wanted) => (wanted, wanted),
            Until::For(_) | Until::Validated => (self.plan.core.connections, 0),
        }
    }

    /// How many packets that open or close connections may be sent in one go.
    fn churn_room(&mut self, now: Nanos) -> usize {
        if self.window.is_filling() && self.is_window_full(now, BURST) {
            return 0;
        }
        self.port.room().min(BURST)
    }

    /// Counts packets that are due and cannot be sent.
    pub(super) fn withhold(&mut self, count: u64) {
        let ledger = &mut self.trials[self.phase].ledger;
        ledger.planned += count;
        ledger.control += count;
        ledger.unsent += count;
        ledger.control_unsent += count;
    }

    #[cold]
    fn open(&mut self, now: Nanos, horizon: Nanos) -> u32 {
        let (most, _) = self.bounds();
        let filling = matches!(self.plan.phases[self.phase].until, Until::Held(_));
        if filling && self.population.held() >= most {
            // The goal is reached: no more are wanted.
            self.opening.give_up(horizon);
            return 0;
        }
        let shed = self.opening.shed(now);
        if !filling {
            // A fill is a number, not a rate: what is behind is opened later.
            self.withhold(shed);
            self.book_paused(shed);
        }
        let room = self.churn_room(now);
        let mut frames = Burst::new();
        self.port.alloc(&mut frames, room);
        let mut opened = 0;
        while opened < frames.len() && self.opening.is_due(horizon) {
            if self.population.held() >= most || self.population.is_full() {
                if filling {
                    break;
                }
                while self.opening.take(horizon).is_some() {
                    self.withhold(1);
                }
                break;
            }
            self.opening.take(horizon);
            let place = self.population.open(|id| self.sender.tuples.tuple(id));
            self.population.flows()[place.slot as usize].attempt();
            self.put_opening(&mut frames[opened], place, now);
            opened += 1;
        }
        self.send_front(frames, opened, now)
    }

    /// Writes the packet an opening waits for to leave: the first one, or the last of a handshake.
    fn put_opening(&mut self, frame: &mut P::Frame, place: Place, now: Nanos) {
        let flow = &mut self.population.flows()[place.slot as usize];
        let sequence = flow.next_sequence(Direction::Up);
        frame.set_len(SHORTEST);
        let head = frame.head_mut();
        if flow.is_udp() {
            self.sender.put_first(head, place.id, flow, Direction::Up, sequence, now);
        } else {
            let confirmed = flow.state() == State::Confirmed;
            let segment = if confirmed { Segment::Ack } else { Segment::Syn };
            self.sender.put_control(head, place.id, flow, segment, sequence);
        }
        let ledger = &mut self.trials[self.phase].ledger;
        ledger.planned += 1;
        ledger.control += 1;
    }

    /// Sends the first `count` frames and gives the others back.
    fn send_front(&mut self, mut frames: Burst<P::Frame>, count: usize, now: Nanos) -> u32 {
        let mut rest: Burst<P::Frame> = frames.drain(count..).collect();
        self.port.free(&mut rest);
        if frames.is_empty() {
            return 0;
        }
        let sent = self.transmit_control(&mut frames);
        if (sent as usize) < count {
            self.window.refused(now);
        }
        sent
    }

    #[cold]
    fn retry(&mut self, now: Nanos) -> u32 {
        let room = self.churn_room(now);
        let mut frames = Burst::new();
        self.port.alloc(&mut frames, room);
        let (mut count, closing) = (0, self.population.closing());
        for _ in 0..SCAN {
            if count == frames.len() {
                break;
            }
            let Some(position) = self.retry.next(now, closing) else { break };
            let place = self.population.at(position);
            let flow = &mut self.population.flows()[place.slot as usize];
            if !flow.state().is_opening() {
                continue;
            }
            if flow.attempt() > self.retry.attempts {
                flow.set_state(State::Failed);
                self.failed += 1;
                self.trials[self.phase].failed += 1;
                continue;
            }
            self.retry.stuck.get_or_insert(position);
            self.put_opening(&mut frames[count], place, now);
            self.trials[self.phase].retried += 1;
            count += 1;
        }
        self.send_front(frames, count, now)
    }

    #[cold]
    fn close(&mut self, now: Nanos, horizon: Nanos) -> u32 {
        let (_, least) = self.bounds();
        if self.population.held() <= least {
            self.closing.give_up(horizon);
            return 0;
        }
        let shed = self.closing.shed(now);
        self.book_paused(shed);
        let room = self.churn_room(now);
        let mut frames = Burst::new();
        self.port.alloc(&mut frames, room);
        let mut count = 0;
        for _ in 0..BURST {
            let wanted = count < frames.len() && self.population.held() > least;
            if !wanted || self.closing.take(horizon).is_none() {
                break;
            }
            let place = self.population.close();
            let flow = &mut self.population.flows()[place.slot as usize];
            let before = flow.state();
            let polite = before == State::Established && !flow.is_udp();
            flow.set_state(if polite { State::Closing } else { State::Closed });
            match before {
                State::Established => self.established -= 1,
                State::Failed => self.failed -= 1,
                _ => {}
            }
            let trial = &mut self.trials[self.phase];
            if !polite {
                trial.closed += u64::from(before == State::Established);
                continue;
            }
            let resets =
                self.plan.reset_below > 0 && u64::from(self.rng.next_u32()) < self.plan.reset_below;
            let sequence = flow.next_sequence(Direction::Up);
            let frame = &mut frames[count];
            frame.set_len(SHORTEST);
            let last = if resets { Segment::Reset } else { Segment::Fin };
            self.sender.put_control(frame.head_mut(), place.id, flow, last, sequence);
            trial.ledger.planned += 1;
            trial.ledger.control += 1;
            count += 1;
        }
        self.send_front(frames, count, now)
    }
}
