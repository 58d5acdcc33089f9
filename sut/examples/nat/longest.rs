//! How long the longest step takes, and the longest turn of housekeeping: what any packet may have to
//! wait for before its own burst's turn comes.
//!
//! A whole core on a link, driven as the loop of a core drives it, timed from outside. Time is an
//! argument, so that the same seed gives the same work again: each work item is done in several
//! rounds and counts with its shortest time. An interruption by another process or by the hypervisor
//! does not hit the same item each time; an item that is long each time is long of itself. The
//! greatest single time, interruptions included, is told beside it.

use super::rig::{Crowd, End, MAC, PER_SUBSCRIBER, sources, udp};
use super::{Options, spread};
use dataplane::burst::{BURST, Burst};
use dataplane::clock::{Nanos, Tsc};
use dataplane::cpu;
use dataplane::frame::Arena;
use dataplane::port::Port;
use dataplane::port::link::{DEPTH, Link, frames_per_lane, pair};
use dataplane::run::{Load, STEPS_PER_TURN};
use dataplane::worker::Worker;
use krononat::config::Timers;
use krononat::worker::{self, Counters, Krononat};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;

/// What a step of 32 packets is taken to last where time goes on by steps.
const STEP_NS: u64 = 1_500;

/// Steps with packets of connections that stand.
const HELD_STEPS: u32 = 16 * STEPS_PER_TURN;

/// A pause of the whole core after which every bucket is due for a look.
const PAUSE: Nanos = Nanos(2_000_000_000);

/// Kinds of work items.
#[derive(Clone, Copy)]
enum Kind {
    First,
    Held,
    Turn,
    TurnAfterPause,
    TurnAfterPauseAllOver,
}

const KINDS: [&str; 5] = [
    "step, 32 first packets",
    "step, 32 packets of held connections",
    "housekeeping, on time",
    "housekeeping after a pause of the core",
    "housekeeping after a pause, all connections over",
];

/// Cycles of each work item, by kind, in the order they were done.
type Times = [Vec<u64>; KINDS.len()];

/// A core and who feeds it.
struct Bench<'a> {
    core: Krononat<Link<'a>>,
    feeder: Link<'a>,
    counters: Arc<Counters>,
    now: Nanos,
    steps: u32,
    times: Times,
}

impl Bench<'_> {
    /// Sends a burst and has the core do the step in which it works on it.
    fn step(&mut self, kind: Kind, ends: impl Fn(usize) -> (End, End)) {
        let mut burst = Burst::new();
        self.feeder.alloc(&mut burst, BURST);
        for (at, frame) in burst.iter_mut().enumerate() {
            let (from, to) = ends(at);
            udp(frame, from, to, MAC);
        }
        self.feeder.tx(&mut burst);
        // A link hands out what it took from the ring in the step before.
        assert_eq!(self.core.step(self.now).0, 0);
        let start = cpu::cycles();
        let busy = self.core.step(self.now);
        let taken = cpu::cycles() - start;
        assert_eq!(busy.0, BURST as u32);
        self.times[kind as usize].push(taken);
        self.now = self.now + Nanos(STEP_NS);
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_TURN) {
            self.turn(Kind::Turn);
        }
    }

    /// What came back, as sources; the frames go home.
    fn collect(&mut self, mut each: impl FnMut(End)) {
        // The first burst is empty: as above, what it took from the ring comes with the second.
        for _ in 0..2 {
            let mut burst = Burst::new();
            self.feeder.rx(&mut burst);
            sources(&burst).for_each(&mut each);
            self.feeder.free(&mut burst);
        }
    }

    fn turn(&mut self, kind: Kind) {
        let start = cpu::cycles();
        self.core.housekeeping(self.now, &Load::default());
        self.times[kind as usize].push(cpu::cycles() - start);
    }
}

/// One round: fill, forward, pause, pause until all is over.
fn round(options: &Options) -> Times {
    let (connections, crowd) =
        (options.connections, Crowd::of(options.connections, PER_SUBSCRIBER));
    let config = crowd.config(connections);
    let pipeline = worker::pipeline(&config, &config.cores[0]).expect("memory for the core");
    let mut arena = Arena::new(2 * frames_per_lane(DEPTH)).expect("memory");
    let (port, feeder) = pair(&mut arena, DEPTH);
    let counters = Arc::new(Counters::default());
    let core = Krononat::new(port, pipeline, counters.clone());
    let (now, times) = (Nanos(0), Times::default());
    let mut bench = Bench { core, feeder, counters, now, steps: 0, times };
    let mut outside = Vec::with_capacity(connections as usize);
    for first in (0..connections - connections % BURST as u32).step_by(BURST) {
        let number = |at: usize| first + at as u32;
        bench.step(Kind::First, |at| (crowd.inside(number(at)), crowd.remote(number(at))));
        bench.collect(|end| outside.push(end));
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    for _ in 0..HELD_STEPS {
        let draws: [u64; BURST] = std::array::from_fn(|_| random.next_u64());
        bench.step(Kind::Held, |at| {
            let i = (((draws[at] >> 32) * outside.len() as u64) >> 32) as usize;
            if draws[at] & 1 == 0 {
                (crowd.inside(i as u32), crowd.remote(i as u32))
            } else {
                (crowd.remote(i as u32), outside[i])
            }
        });
        bench.collect(|_| ());
    }
    let turns = 64;
    for _ in 0..turns {
        bench.now = bench.now + PAUSE;
        bench.turn(Kind::TurnAfterPause);
    }
    bench.now = bench.now + Nanos((Timers::default().udp_ms + 1_000) * 1_000_000);
    // Never asks for more than a few sweeps of the largest table.
    for _ in 0..1 << 16 {
        bench.turn(Kind::TurnAfterPauseAllOver);
        bench.now = bench.now + PAUSE;
        if bench.counters.read().connections == 0 {
            break;
        }
    }
    assert_eq!(bench.counters.read().connections, 0, "connections that outlive their time");
    bench.times
}

pub(crate) fn measure(options: &Options) {
    let rounds: Vec<Times> = (0..options.rounds).map(|_| round(options)).collect();
    let per_us = Tsc::calibrate().hz() / 1e6;
    let mut lines = Vec::new();
    let mut text = format!(
        "{} connections, {} rounds; us: median, 99.9th, longest, and longest with interruptions\n",
        options.connections, options.rounds
    );
    for (kind, name) in KINDS.iter().enumerate() {
        let all: Vec<&Vec<u64>> = rounds.iter().map(|times| &times[kind]).collect();
        let greatest = all.iter().flat_map(|items| items.iter()).max().copied().unwrap_or(0);
        let items = all.iter().map(|items| items.len()).min().unwrap_or(0);
        assert!(all.iter().all(|other| other.len() == items), "{name}: rounds differ");
        let mut shortest: Vec<f64> = (0..items)
            .filter_map(|at| all.iter().map(|items| items[at]).min())
            .map(|cycles| cycles as f64 / per_us)
            .collect();
        shortest.sort_by(f64::total_cmp);
        let [_, median, longest] = spread(&shortest);
        let p999 = shortest[items * 999 / 1000];
        let seen = greatest as f64 / per_us;
        writeln!(text, "{name:50}{median:9.2}{p999:9.2}{longest:9.2}{seen:10.1}").unwrap();
        lines.push(json!({
            "kind": name, "items": items, "median_us": median, "p999_us": p999,
            "longest_us": longest, "longest_with_interruptions_us": seen,
        }));
    }
    options.print(&json!({"longest": lines}), text.trim_end());
}
