//! The only endless loop of a core: 256 steps, then housekeeping, until told to stop.

use crate::clock::{Clock, Nanos};
use crate::thread::real_time;
use crate::worker::{Next, Worker};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Steps between two turns of housekeeping: rare enough to cost nothing, often enough (some 250 µs)
/// for counters and timers.
pub const STEPS_PER_TURN: u32 = 256;

/// Where a core's time went, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Time of steps that moved at least one packet.
    pub busy: Nanos,
    /// Time of steps that moved none, and of housekeeping.
    pub idle: Nanos,
    /// Steps that moved at least one packet.
    pub busy_steps: u64,
    /// All steps.
    pub steps: u64,
    /// Longest time between two clock readings: a preemption by the host shows here.
    pub longest_gap: Nanos,
}

impl Load {
    /// Share of the time that moved packets, 0 to 1; `None` before the first step.
    pub fn busy_share(&self) -> Option<f64> {
        let all = self.busy.0 + self.idle.0;
        (all > 0).then(|| self.busy.0 as f64 / all as f64)
    }

    /// What has come since `earlier`. The longest gap cannot be divided and stays as it is.
    pub fn since(&self, earlier: &Load) -> Load {
        Load {
            busy: self.busy - earlier.busy,
            idle: self.idle - earlier.idle,
            busy_steps: self.busy_steps - earlier.busy_steps,
            steps: self.steps - earlier.steps,
            longest_gap: self.longest_gap,
        }
    }
}

/// Asks every worker of a process to finish; set once, from a signal or by the controller.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Not yet asked.
    pub const fn new() -> Stop {
        Stop(AtomicBool::new(false))
    }

    /// Asks.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a core does when nothing has come for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Idle {
    /// It asks again at once: a processor of its own is kept busy.
    #[default]
    Spin,
    /// After so many empty steps it sleeps, so that workers can share a processor.
    Sleep,
}

/// Empty steps in a row before a worker sleeps: some ten microseconds.
const EMPTY_STEPS: u32 = 64;

/// How long it sleeps: long enough that waking, some 5 µs, is little beside it, and short beside the
/// milliseconds of BFD. The kernel adds its own slack, 50 µs by default and none in real time.
const NAP: Duration = Duration::from_micros(75);

/// Runs `worker` until it finishes or `stop` is set; says where the time went. Keeps a processor
/// busy; see [`run_idle`].
pub fn run(worker: &mut impl Worker, clock: &impl Clock, stop: &Stop) -> Load {
    run_idle(worker, clock, stop, Idle::Spin)
}

/// The same, with what it does when there is nothing to do. One that sleeps then has its thread in
/// real time while it works, where that is allowed: what it answers within must not depend on who
/// else runs.
pub fn run_idle(worker: &mut impl Worker, clock: &impl Clock, stop: &Stop, idle: Idle) -> Load {
    if idle == Idle::Sleep {
        real_time();
    }
    let mut load = Load::default();
    let mut empty = 0;
    let mut last = clock.now();
    while !stop.is_set() {
        for _ in 0..STEPS_PER_TURN {
            let busy = worker.step(last);
            let now = clock.now();
            let span = now.since(last);
            last = now;
            load.longest_gap = load.longest_gap.max(span);
            load.steps += 1;
            if busy.0 > 0 {
                load.busy = load.busy + span;
                load.busy_steps += 1;
                empty = 0;
            } else {
                load.idle = load.idle + span;
                empty += 1;
                // A nap ends the turn: as much time has passed.
                if idle == Idle::Sleep && empty > EMPTY_STEPS {
                    std::thread::sleep(NAP);
                    break;
                }
            }
        }
        if worker.housekeeping(last, &load) == Next::Finished {
            break;
        }
        let now = clock.now();
        load.idle = load.idle + now.since(last);
        last = now;
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Virtual;
    use crate::worker::Busy;

    struct Every4th<'a> {
        clock: &'a Virtual,
        steps: u32,
        turns: u32,
    }

    impl Worker for Every4th<'_> {
        fn step(&mut self, _: Nanos) -> Busy {
            self.clock.advance(Nanos(10));
            self.steps += 1;
            Busy(u32::from(self.steps.is_multiple_of(4)))
        }
        fn housekeeping(&mut self, _: Nanos, _: &Load) -> Next {
            self.turns += 1;
            if self.turns == 3 { Next::Finished } else { Next::Continue }
        }
    }

    #[test]
    fn busy_and_idle_time_add_up_to_all_time() {
        let clock = Virtual::default();
        let mut worker = Every4th { clock: &clock, steps: 0, turns: 0 };
        let load = run(&mut worker, &clock, &Stop::new());
        assert_eq!((load.steps, load.busy_steps), (768, 192));
        assert_eq!((load.busy, load.idle), (Nanos(1920), Nanos(5760)));
        assert_eq!(load.busy_share(), Some(0.25));
    }

    #[test]
    fn a_worker_with_nothing_to_do_sleeps_and_still_keeps_house() {
        struct Idler(u32);
        impl Worker for Idler {
            fn step(&mut self, _: Nanos) -> Busy {
                Busy(0)
            }
            fn housekeeping(&mut self, _: Nanos, _: &Load) -> Next {
                self.0 += 1;
                if self.0 == 20 { Next::Finished } else { Next::Continue }
            }
        }
        let load = run_idle(&mut Idler(0), &Virtual::default(), &Stop::new(), Idle::Sleep);
        assert!(load.steps < 2 * u64::from(EMPTY_STEPS), "{} steps in 20 turns", load.steps);
    }

    #[test]
    fn a_stopped_loop_does_no_step() {
        let clock = Virtual::default();
        let mut worker = Every4th { clock: &clock, steps: 0, turns: 0 };
        let stop = Stop::new();
        stop.set();
        assert_eq!(run(&mut worker, &clock, &stop).steps, 0);
    }
}
