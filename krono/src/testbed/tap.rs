//! A sample of packets as they leave a generator core and as they come back.
//!
//! A [`Tap`] stands between a core and its port in runs that ask for a sample, and in no others. In
//! the measured phase it keeps the first packet that leaves in each of as many stretches of time as
//! packets are wanted, and looks for it among what arrives until the next one is taken. A NAT
//! changes addresses, ports, checksums and time to live; a packet is known again by its stamp, or by the
//! numbers of TCP. What is kept is judged by nobody: the ledger has every packet.

use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, HEAD};
use dataplane::port::dpdk::DpdkError;
use dataplane::port::{Port, PortStats};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Most bytes of a frame that are kept.
pub const BYTES_MAX: usize = 256;

/// An instant that does not come: no phase to sample is under way.
const NEVER: u64 = u64::MAX;

/// IPv4's number of UDP; all else that a generator sends is TCP.
const UDP: u8 = 17;

/// A frame at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When, on the clock of the run.
    pub at: Nanos,
    /// Its length in bytes, without frame check sequence.
    pub length: usize,
    bytes: [u8; BYTES_MAX],
}

impl Sighting {
    fn of(frame: &impl Frame, at: Nanos) -> Sighting {
        let (mut bytes, length) = ([0; BYTES_MAX], frame.len());
        let kept = length.min(BYTES_MAX);
        bytes[..kept].copy_from_slice(&frame.bytes()[..kept]);
        Sighting { at, length, bytes }
    }

    /// Its first bytes, at most [`BYTES_MAX`].
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.min(BYTES_MAX)]
    }
}

/// A packet on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Specimen {
    /// Generator core, counted over all servers.
    pub core: usize,
    /// As it left.
    pub sent: Sighting,
    /// As it came back; `None` where it had not before the next one was taken.
    pub arrived: Option<Sighting>,
}

/// What all taps of a run have in common.
#[derive(Debug)]
pub struct Sampling {
    /// Start of the phase to sample, or [`NEVER`].
    start: AtomicU64,
    /// Packets of each core in a phase, and in all its repetitions.
    per_phase: u64,
    per_core: usize,
    every: Nanos,
    taken: Mutex<Vec<Specimen>>,
}

impl Sampling {
    /// For `count` packets on `cores`, in a phase that lasts `length` and is made `repeat` times.
    pub fn new(count: u32, cores: u32, repeat: u32, length: Nanos) -> Arc<Sampling> {
        let per_phase = u64::from(count.div_ceil(cores.max(1) * repeat.max(1)).max(1));
        Arc::new(Sampling {
            start: AtomicU64::new(NEVER),
            per_phase,
            per_core: per_phase as usize * repeat.max(1) as usize,
            every: Nanos(length.0 / per_phase),
            taken: Mutex::new(Vec::new()),
        })
    }

    /// A phase begins: one to sample at `start`, or another.
    pub fn begin(&self, start: Option<Nanos>) {
        self.start.store(start.map_or(NEVER, |start| start.0), Ordering::Relaxed);
    }

    /// What was taken by the taps that are gone, in the order in which it left.
    pub fn specimens(&self) -> Vec<Specimen> {
        let taken = self.taken.lock();
        let mut all = taken.map_or_else(|poisoned| poisoned.into_inner().clone(), |it| it.clone());
        all.sort_by_key(|specimen| specimen.sent.at);
        all
    }
}

/// A port that is listened to.
pub struct Tap<P: Port> {
    port: P,
    core: usize,
    sampling: Arc<Sampling>,
    now: Nanos,
    start: u64,
    due: u64,
    left: u64,
    kept: Vec<Specimen>,
    awaits: bool,
}

impl<P: Port> Tap<P> {
    /// Listens to the port of a core.
    pub fn new(port: P, core: usize, sampling: Arc<Sampling>) -> Tap<P> {
        let kept = Vec::with_capacity(sampling.per_core);
        let (now, start, due) = (Nanos(0), NEVER, NEVER);
        Tap { port, core, sampling, now, start, due, left: 0, kept, awaits: false }
    }

    /// Keeps a frame that is about to leave; whether there was room.
    #[cold]
    fn take(&mut self, frame: &P::Frame) -> bool {
        self.left = self.left.saturating_sub(1);
        let behind = (self.now.0 - self.due) / self.sampling.every.0.max(1) + 1;
        self.due = match self.left {
            0 => NEVER,
            _ => self.due + behind * self.sampling.every.0,
        };
        let room = self.kept.len() < self.kept.capacity();
        if room {
            let sent = Sighting::of(frame, self.now);
            self.kept.push(Specimen { core: self.core, sent, arrived: None });
            self.awaits = true;
        }
        room
    }

    /// Looks for the packet that is awaited.
    #[cold]
    fn look(&mut self, frames: &[P::Frame]) {
        let Some(specimen) = self.kept.last_mut() else { return };
        let found = frames.iter().find(|frame| is_same(specimen.sent.bytes(), frame.head()));
        if let Some(frame) = found {
            specimen.arrived = Some(Sighting::of(frame, self.now));
            self.awaits = false;
        }
    }
}

/// Whether two frames are the same packet, whatever a NAT did to it: the same stamp, or the same
/// numbers and window of TCP and the same payload.
fn is_same(sent: &[u8], head: &[u8; HEAD]) -> bool {
    let equal = |at: std::ops::Range<usize>| sent.get(at.clone()) == head.get(at);
    equal(23..24)
        && match head[23] {
            UDP => equal(42..58),
            _ => equal(38..46) && equal(48..50) && equal(54..60),
        }
}

impl<P: Port> Port for Tap<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.port.attach()
    }

    fn tick(&mut self, now: Nanos) {
        self.now = now;
        let start = self.sampling.start.load(Ordering::Relaxed);
        if start != self.start {
            (self.start, self.due, self.left) = (start, start, self.sampling.per_phase);
        }
        self.port.tick(now);
    }

    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        let before = into.len();
        self.port.rx(into);
        if self.awaits {
            self.look(&into[before..]);
        }
    }

    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        let is_due = self.now.0 >= self.due;
        let taken = is_due && burst.first().is_some_and(|frame| self.take(frame));
        let accepted = self.port.tx(burst);
        if taken && accepted == 0 {
            self.kept.pop();
            self.awaits = false;
        }
        accepted
    }

    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        self.port.alloc(into, count);
    }

    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        self.port.free(burst);
    }

    fn room(&mut self) -> usize {
        self.port.room()
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }
}

impl<P: Port> Drop for Tap<P> {
    fn drop(&mut self) {
        if let Ok(mut taken) = self.sampling.taken.lock() {
            taken.append(&mut self.kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::frame::Arena;
    use dataplane::port::link::loopback;

    /// Sends a frame of 60 bytes with a number in its stamp.
    fn send(port: &mut impl Port, number: u8) {
        let mut burst = Burst::new();
        port.alloc(&mut burst, 1);
        for frame in &mut burst {
            frame.set_len(HEAD);
            frame.head_mut().fill(0);
            (frame.head_mut()[23], frame.head_mut()[50]) = (UDP, number);
        }
        port.tx(&mut burst);
    }

    /// Receives all there is: a link may be a call behind.
    fn receive(port: &mut impl Port) {
        for _ in 0..2 {
            let mut burst = Burst::new();
            port.rx(&mut burst);
            port.free(&mut burst);
        }
    }

    #[test]
    fn a_packet_is_known_again_and_one_that_is_lost_is_said_to_be() {
        let mut arena = Arena::new(256).expect("memory");
        let sampling = Sampling::new(3, 1, 1, Nanos(3000));
        let mut tap = Tap::new(loopback(&mut arena, 64), 0, sampling.clone());
        tap.tick(Nanos(50));
        send(&mut tap, 1);
        assert!(tap.kept.is_empty(), "no phase that is sampled");
        receive(&mut tap);
        sampling.begin(Some(Nanos(100)));
        for (at, number) in [(90, 2), (100, 3), (101, 4), (1150, 5), (1160, 6), (2099, 7)] {
            tap.tick(Nanos(at));
            send(&mut tap, number);
            if number != 5 {
                tap.tick(Nanos(at + 5));
                receive(&mut tap);
            } else {
                // Lost on the way.
                receive(&mut tap.port);
            }
        }
        for at in [2100, 2200, 9000] {
            tap.tick(Nanos(at));
            send(&mut tap, 8);
        }
        drop(tap);
        let seen: Vec<_> = sampling
            .specimens()
            .iter()
            .map(|it| (it.sent.at.0, it.sent.bytes()[50], it.arrived.map(|it| it.at.0)))
            .collect();
        assert_eq!(seen, [(100, 3, Some(105)), (1150, 5, None), (2100, 8, None)]);
    }

    #[test]
    fn a_nat_may_change_what_is_its_to_change() {
        let mut sent = [7; HEAD];
        sent[23] = UDP;
        let mut translated = sent;
        for at in (0..12).chain(22..23).chain(24..42) {
            translated[at] ^= 0xff;
        }
        assert!(is_same(&sent, &translated));
        translated[45] ^= 1;
        assert!(!is_same(&sent, &translated));
        sent[23] = 6;
        let mut translated = sent;
        for at in (0..12).chain(22..23).chain(24..38).chain(50..52) {
            translated[at] ^= 0xff;
        }
        assert!(is_same(&sent, &translated));
        translated[57] ^= 1;
        assert!(!is_same(&sent, &translated));
    }
}
