//! Connections that stand: a burst is of random ones, in both directions as the plan has it.

use super::bench::Bench;
use super::frames::{ACK, Crowd, Print, Protocol, SYN, SYN_ACK, source, write};
use super::{Trouble, Work};
use dataplane::burst::BURST;
use dataplane::frame::Buffer;
use dataplane::identity::Mac;
use dataplane::wire::Endpoint;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Size of the packets that open connections.
const SMALLEST: u16 = 64;

/// One burst before those that count for so many of them: what another process left in the caches
/// goes meanwhile.
const WARM_UP: u32 = 8;

/// Bursts in the fingerprints.
const PRINTED: u32 = 256;

/// A core that holds connections, and what is known of them.
pub(super) struct Forward<'a> {
    bench: Bench<'a>,
    crowd: Crowd,
    station: Mac,
    outside: Vec<Endpoint>,
    sizes: Vec<u16>,
    /// Share of packets upwards, as a fraction of 2³².
    up: u64,
    cycles: Vec<u32>,
}

impl<'a> Forward<'a> {
    /// Opens all connections.
    pub(super) fn new(
        bench: Bench<'a>,
        crowd: Crowd,
        station: Mac,
        connections: u32,
        sizes: Vec<u16>,
        up: u64,
    ) -> Result<Forward<'a>, Trouble> {
        let outside = Vec::with_capacity(connections as usize);
        let mut forward = Forward { bench, crowd, station, outside, sizes, up, cycles: Vec::new() };
        let bursts = connections.div_ceil(BURST as u32);
        for burst in 0..bursts {
            forward.open(burst * BURST as u32, connections)?;
        }
        Ok(forward)
    }

    /// Opens a burst of connections, TCP with its whole handshake. The last burst is filled up with
    /// packets of the last connection.
    fn open(&mut self, first: u32, connections: u32) -> Result<(), Trouble> {
        let Forward { bench, crowd, station, outside, .. } = self;
        let (crowd, station) = (*crowd, *station);
        let number = |at: usize| (first + at as u32).min(connections - 1);
        let tcp = |number: u32, flags: u8| match crowd.is_udp(number) {
            true => Protocol::Udp,
            false => Protocol::Tcp(flags),
        };
        bench.step(|at, frame| {
            let number = number(at);
            let (from, to) = (crowd.inside(number), crowd.remote(number));
            write(frame, station, SMALLEST, from, to, tcp(number, SYN));
        });
        let mut found = Vec::with_capacity(BURST);
        bench.settle(|frame| found.push(source(frame)));
        if found.len() != BURST {
            return Err(Trouble::Dropped { what: "opening", count: BURST - found.len() });
        }
        bench.step(|at, frame| {
            let number = number(at);
            let from = crowd.remote(number);
            write(frame, station, SMALLEST, from, found[at], tcp(number, SYN_ACK));
        });
        bench.step(|at, frame| {
            let number = number(at);
            let (from, to) = (crowd.inside(number), crowd.remote(number));
            write(frame, station, SMALLEST, from, to, tcp(number, ACK));
        });
        bench.settle(|_| ());
        outside.extend(found.into_iter().take((connections - first) as usize));
        Ok(())
    }

    /// Packets of a slice.
    pub(super) fn packets(&self, work: &Work) -> u64 {
        u64::from(work.bursts / WARM_UP + work.bursts) * BURST as u64
    }

    /// Fingerprints of the first frames of a slice: as offered, and as they come back.
    pub(super) fn fingerprints(&mut self) -> Result<[u64; 2], Trouble> {
        let (mut offered, mut translated) = (Print::default(), Print::default());
        let work = Work { seed: 1, bursts: PRINTED, cohorts: 0 };
        self.bursts(&work, |frame| offered.add(frame), |frame| translated.add(frame))?;
        Ok([offered.number(), translated.number()])
    }

    /// Forwards so many bursts of packets; cycles of each step.
    pub(super) fn slice(&mut self, work: &Work) -> Result<&mut Vec<u32>, Trouble> {
        self.bursts(work, |_| (), |_| ())?;
        Ok(&mut self.cycles)
    }

    fn bursts(
        &mut self,
        work: &Work,
        mut sent: impl FnMut(&&mut Buffer),
        mut back: impl FnMut(&&mut Buffer),
    ) -> Result<(), Trouble> {
        let packets = self.packets(work);
        let Forward { bench, crowd, station, outside, sizes, up, cycles } = self;
        let (crowd, station, up) = (*crowd, *station, *up);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(work.seed);
        let mut sizes = sizes.iter().copied().cycle();
        cycles.clear();
        cycles.reserve(work.bursts as usize);
        let mut returned = 0;
        let warm_up = work.bursts / WARM_UP;
        for burst in 0..warm_up + work.bursts {
            let mut put = |_, frame: &mut &mut Buffer| {
                let draw = random.next_u64();
                let number = (((draw >> 32) * outside.len() as u64) >> 32) as u32;
                let protocol = match crowd.is_udp(number) {
                    true => Protocol::Udp,
                    false => Protocol::Tcp(ACK),
                };
                let (inside, remote) = (crowd.inside(number), crowd.remote(number));
                let (from, to) = match u64::from(draw as u32) < up {
                    true => (inside, remote),
                    false => (remote, outside[number as usize]),
                };
                write(frame, station, sizes.next().unwrap_or(SMALLEST), from, to, protocol);
                sent(frame);
            };
            let taken = bench.step(&mut put);
            if burst >= warm_up {
                cycles.push(taken as u32);
            }
            returned += bench.collect(&mut back);
        }
        returned += bench.settle(&mut back);
        if u64::from(returned) != packets {
            let count = packets.abs_diff(u64::from(returned)) as usize;
            return Err(Trouble::Dropped { what: "forwarding", count });
        }
        Ok(())
    }
}
