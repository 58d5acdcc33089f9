//! Connections that come and go: first packets, and the sweep that ends the oldest.
//!
//! The connections held are sixteen cohorts, opened a sixteenth of the UDP timer apart. Each round
//! opens another in bursts of first packets, from subscribers in no order; then time goes on and the
//! sweep ends the oldest. So the table is one in use and its load stays as it is.

use super::Trouble;
use super::bench::Bench;
use super::frames::{Crowd, Protocol, write};
use dataplane::burst::BURST;
use dataplane::clock::Nanos;
use dataplane::identity::Mac;

/// Cohorts held.
pub(super) const COHORTS: u32 = 16;

/// Most subscribers, each holding 32 of its 64 connections in the mean.
pub(super) const SUBSCRIBERS_MAX: u32 = 4_096;

/// A frame of a first packet, with FCS.
const SIZE: u16 = 64;

/// Connections that one turn of housekeeping is to end: below what it may.
const ENDS_PER_TURN: u32 = 32;

/// A core with connections that come and go.
pub(super) struct Open<'a> {
    bench: Bench<'a>,
    crowd: Crowd,
    station: Mac,
    udp_ns: u64,
    round: u32,
    /// Cycles of each step, and of ending each cohort.
    opening: Vec<u32>,
    ending: Vec<u32>,
}

/// Connections of a cohort.
pub(super) fn cohort(subscribers: u32) -> u32 {
    (subscribers * 2).max(BURST as u32)
}

impl<'a> Open<'a> {
    /// Opens the first cohorts.
    pub(super) fn new(
        bench: Bench<'a>,
        crowd: Crowd,
        station: Mac,
        udp_ns: u64,
    ) -> Result<Open<'a>, Trouble> {
        let (opening, ending) = (Vec::new(), Vec::new());
        let mut open = Open { bench, crowd, station, udp_ns, round: 0, opening, ending };
        for _ in 0..2 * COHORTS {
            open.round()?;
        }
        Ok(open)
    }

    /// Opens and ends so many cohorts; cycles of each step, and of the end of each cohort.
    pub(super) fn slice(&mut self, cohorts: u32) -> Result<[&mut Vec<u32>; 2], Trouble> {
        self.opening.clear();
        self.ending.clear();
        for _ in 0..cohorts {
            self.round()?;
        }
        Ok([&mut self.opening, &mut self.ending])
    }

    /// Connections of a cohort.
    pub(super) fn cohort(&self) -> u32 {
        cohort(self.crowd.subscribers)
    }

    fn round(&mut self) -> Result<(), Trouble> {
        let Open { bench, crowd, station, udp_ns, round, opening, ending } = self;
        let (crowd, station, cohort) = (*crowd, *station, cohort(crowd.subscribers));
        let numbers = crowd.subscribers * 64;
        let bursts = cohort / BURST as u32;
        let before = bench.counters.read();
        let mut returned = 0;
        for burst in 0..bursts {
            let first = (*round * bursts + burst).wrapping_mul(BURST as u32);
            let taken = bench.step(|at, frame| {
                let turn = first.wrapping_add(at as u32);
                let number = turn.wrapping_mul(0x9e37_79b1) % numbers;
                let (from, to) = (crowd.inside(number), crowd.remote(number));
                write(frame, station, SIZE, from, to, Protocol::Udp);
            });
            opening.push(taken as u32);
            returned += bench.collect(|_| ());
        }
        returned += bench.settle(|_| ());
        let apart = *udp_ns / u64::from(COHORTS);
        let turns = cohort.div_ceil(ENDS_PER_TURN);
        let taken = (0..turns).map(|_| bench.turn(Nanos(apart / u64::from(turns)))).sum::<u64>();
        ending.push(taken as u32);
        *round = round.wrapping_add(1);
        let (after, count) = (bench.counters.read(), bursts * BURST as u32);
        let opened = after.opened - before.opened;
        if returned != count || opened != u64::from(count) {
            let count = (count - returned.min(opened as u32)) as usize;
            return Err(Trouble::Dropped { what: "first packets", count });
        }
        Ok(())
    }
}
