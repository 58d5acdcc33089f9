//! What a core does with a frame that arrives: verify it, book it, answer it.

use super::Generator;
use super::classes::{Classes, ones};
use crate::flow::{Arrival, Flow, State};
use crate::inspect::{Kind, Probe, Refusal, glimpse};
use crate::sample::Sample;
use crate::segment::Segment;
use crate::stamp::{Direction, TCP_SEQUENCE_BITS, TICK_SHIFT, UDP_SEQUENCE_BITS, restore, ticks};
use crate::trial::Trial;
use crate::tuple::ConnectionId;
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::frame::{FCS, Frame, SHORTEST};
use dataplane::port::Port;

/// What a frame seems to be: the connection it names, and the place of its record or [`UNKNOWN`].
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: ConnectionId,
    slot: u32,
}

/// Slot of a connection that is not known: beyond all records, so that looking for it there tells.
const UNKNOWN: u32 = u32::MAX;

/// What a handshake sends back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// A datagram the other way.
    Udp,
    /// A control segment.
    Tcp(Segment),
}

impl<P: Port> Generator<P> {
    /// Receives as many bursts as a batch has; returns packets received and answers sent.
    #[inline]
    pub(super) fn receive(&mut self, now: Nanos) -> u32 {
        let mut moved = 0;
        for _ in 0..self.plan.batch.div_ceil(BURST) + 1 {
            let mut burst = Burst::new();
            self.port.rx(&mut burst);
            if burst.is_empty() {
                break;
            }
            moved += burst.len() as u32;
            moved += self.judge(burst, now);
        }
        moved
    }

    fn judge(&mut self, mut burst: Burst<P::Frame>, now: Nanos) -> u32 {
        let mut seen = ArrayVec::<Seen, BURST>::new();
        let mut classes = Classes::default();
        for frame in &burst {
            let glimpse = glimpse(frame.head());
            classes.push(glimpse.udp, glimpse.down);
            let slot = self.population.find(glimpse.id).unwrap_or(UNKNOWN);
            if let Some(flow) = self.population.flows().get(slot as usize) {
                cpu::prefetch_write(flow);
            }
            seen.push(Seen { id: glimpse.id, slot });
        }
        let [udp_up, udp_down, tcp_up, tcp_down] = classes.split();
        let marked = self.judge_group::<true, false>(&mut burst, &seen, udp_up, now)
            | self.judge_group::<true, true>(&mut burst, &seen, udp_down, now)
            | self.judge_group::<false, false>(&mut burst, &seen, tcp_up, now)
            | self.judge_group::<false, true>(&mut burst, &seen, tcp_down, now);
        if marked == 0 {
            self.port.free(&mut burst);
            return 0;
        }
        let (mut answers, mut rest) = (Burst::new(), Burst::new());
        for (index, frame) in burst.drain(..).enumerate() {
            if marked & 1 << index != 0 { answers.push(frame) } else { rest.push(frame) }
        }
        self.port.free(&mut rest);
        self.transmit_control(&mut answers)
    }

    /// Judges the frames in `group`, which seem to be of one protocol and direction, in order;
    /// returns those that were rewritten into answers. A function by itself, as code around it would
    /// take registers from its loop.
    #[inline(never)]
    fn judge_group<const UDP: bool, const DOWN: bool>(
        &mut self,
        burst: &mut [P::Frame],
        seen: &[Seen],
        group: u32,
        now: Nanos,
    ) -> u32 {
        let (mut marked, mut left) = (0, group);
        while let Some(index) = self.book_expected::<UDP, DOWN>(burst, seen, &mut left, now) {
            if self.verify(&mut burst[index], seen[index].slot, now) {
                marked |= 1 << index;
            }
        }
        marked
    }

    /// Books frames of `group` in order, as long as each is just the data packet which an
    /// established connection expects next: nearly every one, at a fraction of the cost of
    /// [`Self::verify`]. Takes them and the first other one from the group, and returns the latter,
    /// of which nothing is booked.
    #[inline]
    fn book_expected<const UDP: bool, const DOWN: bool>(
        &mut self,
        burst: &[P::Frame],
        seen: &[Seen],
        group: &mut u32,
        now: Nanos,
    ) -> Option<usize> {
        let Generator { population, inspector, sender, trials, phase, plan, .. } = self;
        let Trial { ledger, latency, sample, .. } = &mut trials[*phase];
        let (flows, now) = (population.flows(), ticks(now));
        let (mut bytes, mut late, mut left) = (0, 0, *group);
        let other = ones(&mut left).find(|&index| {
            let (frame, Seen { id, slot }) = (&burst[index], seen[index]);
            let Some(flow) = flows.get_mut(slot as usize) else { return true };
            let ends = if DOWN { flow.inner().reversed() } else { flow.outer() };
            let (head, length) = (frame.head(), frame.len());
            let found = inspector.recognise::<UDP, DOWN>(head, length, sender.trial, id, ends, now);
            let Some((low, age)) = found else { return true };
            let direction = if DOWN { Direction::Down } else { Direction::Up };
            let bits = if UDP { UDP_SEQUENCE_BITS } else { TCP_SEQUENCE_BITS };
            let sequence = restore(flow.last_sequence(direction), low, bits);
            if !flow.is_established() || !flow.arrive_newest(direction, sequence) {
                return true;
            }
            if flow.mark() != 0 {
                book_probe(sample, flow, direction, sequence);
            }
            let age = Nanos(age << TICK_SHIFT);
            bytes += length as u64;
            late += u64::from(age > plan.deadline);
            latency.record(age);
            false
        });
        let taken = (*group ^ left).count_ones() - u32::from(other.is_some());
        *group = left;
        ledger.arrived_bytes += bytes + u64::from(taken) * FCS as u64;
        ledger.on_time += u64::from(taken) - late;
        ledger.late += late;
        other
    }

    /// Judges one frame, whatever it is; returns whether it has been rewritten into an answer.
    #[inline(never)]
    fn verify(&mut self, frame: &mut P::Frame, slot: u32, now: Nanos) -> bool {
        let length = frame.len();
        let found = self.inspector.inspect(frame.head(), length, self.sender.trial, ticks(now));
        let trial = &mut self.trials[self.phase];
        let ledger = &mut trial.ledger;
        let probe = match found {
            Ok(probe) => probe,
            Err(_) if trial.attack.book_passed(frame.head()) => return false,
            Err(refusal) => {
                match refusal {
                    Refusal::Foreign => ledger.foreign += 1,
                    Refusal::Corrupt => ledger.corrupt += 1,
                    Refusal::Misrouted => ledger.misrouted += 1,
                    Refusal::OtherTrial => ledger.other_trial += 1,
                }
                return false;
            }
        };
        let Some(flow) = self.population.flows().get_mut(slot as usize) else {
            ledger.stray += 1;
            return false;
        };
        let translated = is_as_recorded(&probe, flow, self.plan.translated);
        if !translated {
            ledger.mistranslated += 1;
            flow.note_remapped(self.sender.trial);
            let expected = match probe.direction {
                Direction::Up => flow.outer(),
                Direction::Down => flow.inner().reversed(),
            };
            self.evidence.keep(now, self.phase, probe.id, expected, frame);
        }
        let (low, bits) = probe.sequence;
        let sequence = restore(flow.last_sequence(probe.direction), low, bits);
        match flow.arrive(probe.direction, sequence) {
            Arrival::First => {}
            Arrival::Reordered => ledger.reordered += 1,
            Arrival::Duplicate => {
                ledger.duplicate += 1;
                return false;
            }
            Arrival::Stale => {
                ledger.stale += 1;
                return false;
            }
        }
        if translated {
            ledger.arrived_bytes += (length + FCS) as u64;
            if flow.mark() != 0 {
                book_probe(&mut trial.sample, flow, probe.direction, sequence);
            }
        }
        let latency = probe.age.map_or(Nanos(0), |age| Nanos(age << TICK_SHIFT));
        let on_time = latency <= self.plan.deadline;
        ledger.on_time += u64::from(on_time);
        ledger.late += u64::from(!on_time);
        if probe.age.is_some() {
            trial.latency.record(latency);
        }
        if flow.is_established() || !translated {
            return false;
        }
        self.answer(frame, &probe, slot, now)
    }

    /// Moves a connection that is being opened or closed; returns whether an answer was written.
    #[cold]
    fn answer(&mut self, frame: &mut P::Frame, probe: &Probe, slot: u32, now: Nanos) -> bool {
        let flow = &mut self.population.flows()[slot as usize];
        let (state, answer) = next(flow.state(), probe.kind, probe.direction);
        let trial = &mut self.trials[self.phase];
        match (flow.state(), state) {
            (State::Established, _) => {}
            (_, State::Established) => {
                self.established += 1;
                trial.opened += 1;
            }
            (State::FinAnswered | State::Closing, State::Closed) => trial.closed += 1,
            _ => {}
        }
        flow.set_state(state);
        let Some(answer) = answer else { return false };
        let back = if probe.direction == Direction::Up { Direction::Down } else { Direction::Up };
        let sequence = flow.next_sequence(back);
        frame.set_len(SHORTEST);
        let head = frame.head_mut();
        match answer {
            Answer::Udp => self.sender.put_first(head, probe.id, flow, back, sequence, now),
            Answer::Tcp(segment) => {
                self.sender.put_control(head, probe.id, flow, segment, sequence);
            }
        }
        trial.ledger.planned += 1;
        trial.ledger.control += 1;
        true
    }
}

/// Tells the sample that a packet of a marked connection has arrived as it should for the first time.
#[inline(never)]
fn book_probe(sample: &mut Option<Sample>, flow: &Flow, direction: Direction, sequence: u32) {
    if let Some(sample) = sample {
        sample.book_arrived(flow.mark(), direction, sequence, flow.last_sequence(direction));
    }
}

/// Whether the addresses and ports are those of the connection. The first packet that arrives on
/// the Internet side teaches the translation; from a system that `translates` no packet does that
/// has its subscriber's own address still.
#[inline]
fn is_as_recorded(probe: &Probe, flow: &mut Flow, translates: bool) -> bool {
    let own = || probe.ends.source().0 == flow.inner().source().0;
    match probe.direction {
        Direction::Up if translates && own() => false,
        Direction::Up => flow.agree(probe.ends),
        Direction::Down => probe.ends == flow.inner().reversed(),
    }
}

/// The state after an arrival, and what is sent back.
fn next(state: State, kind: Kind, direction: Direction) -> (State, Option<Answer>) {
    use Segment::{Ack, Fin, FinAck, LastAck, Reset, Syn, SynAck};
    let tcp = |segment| Some(Answer::Tcp(segment));
    match (kind, direction, state) {
        (Kind::Udp, Direction::Up, State::Opening | State::Answered) => {
            (State::Answered, Some(Answer::Udp))
        }
        (Kind::Udp, Direction::Down, State::Answered) => (State::Established, None),
        (Kind::Tcp(Syn), _, State::Opening | State::Answered) => (State::Answered, tcp(SynAck)),
        (Kind::Tcp(SynAck), _, State::Answered | State::Confirmed) => (State::Confirmed, tcp(Ack)),
        (Kind::Tcp(Ack), _, State::Confirmed) => (State::Established, None),
        (Kind::Tcp(Reset), _, State::Closing) => (State::Closed, None),
        (Kind::Tcp(Fin), _, State::Closing) => (State::FinAnswered, tcp(FinAck)),
        (Kind::Tcp(FinAck), _, State::FinAnswered) => (State::Closed, tcp(LastAck)),
        _ => (state, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_go_step_by_step() {
        use Direction::{Down, Up};
        let tcp = |segment: Segment| (Kind::Tcp(segment), segment.direction());
        let table = [
            (State::Opening, (Kind::Udp, Up), State::Answered, Some(Answer::Udp)),
            (State::Answered, (Kind::Udp, Up), State::Answered, Some(Answer::Udp)),
            (State::Answered, (Kind::Udp, Down), State::Established, None),
            (State::Established, (Kind::Udp, Up), State::Established, None),
            (State::Closed, (Kind::Udp, Up), State::Closed, None),
            (
                State::Opening,
                tcp(Segment::Syn),
                State::Answered,
                Some(Answer::Tcp(Segment::SynAck)),
            ),
            (
                State::Answered,
                tcp(Segment::SynAck),
                State::Confirmed,
                Some(Answer::Tcp(Segment::Ack)),
            ),
            (State::Confirmed, tcp(Segment::Ack), State::Established, None),
            (State::Answered, tcp(Segment::Ack), State::Answered, None),
            (State::Confirmed, tcp(Segment::Syn), State::Confirmed, None),
            (
                State::Closing,
                tcp(Segment::Fin),
                State::FinAnswered,
                Some(Answer::Tcp(Segment::FinAck)),
            ),
            (
                State::FinAnswered,
                tcp(Segment::FinAck),
                State::Closed,
                Some(Answer::Tcp(Segment::LastAck)),
            ),
            (State::Closed, tcp(Segment::LastAck), State::Closed, None),
            (State::Closing, tcp(Segment::Reset), State::Closed, None),
            (State::Established, tcp(Segment::Reset), State::Established, None),
            (State::Failed, tcp(Segment::SynAck), State::Failed, None),
        ];
        for (state, (kind, direction), then, answer) in table {
            assert_eq!(next(state, kind, direction), (then, answer), "{state:?} {kind:?}");
        }
    }
}
