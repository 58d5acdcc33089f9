//! Virtual time of one core, spent packet by packet.
//!
//! What a packet costs is measured on a real core and given to the plan (`sut.packet_cost_ns`). A core
//! then works in each step of virtual time until the time is spent or nothing is left to do; what a
//! burst costs beyond the end of the step is owed, and the next step pays it first. Time in which
//! nothing came is not saved. Without a cost a core works once a step, however much that is.

use dataplane::clock::Nanos;
use dataplane::run::Load;
use dataplane::worker::Busy;

/// What a core has to spend, and what it has spent.
#[derive(Debug)]
pub(super) struct Purse {
    /// Of a packet, in picoseconds.
    cost_ps: Option<u64>,
    owed_ps: u64,
    busy_ps: u64,
    load: Load,
}

impl Purse {
    /// Of a core that takes `cost_ps` for each packet; without a cost its work takes no time.
    pub(super) fn new(cost_ps: Option<u64>) -> Purse {
        Purse { cost_ps, owed_ps: 0, busy_ps: 0, load: Load::default() }
    }

    /// Lets the core `work` for as long as `step` lasts.
    pub(super) fn spend(&mut self, step: Nanos, mut work: impl FnMut() -> Busy) {
        let Some(cost_ps) = self.cost_ps else {
            work();
            return;
        };
        let all_ps = step.0 * 1_000;
        let mut spent_ps = self.owed_ps;
        while spent_ps < all_ps {
            let Busy(packets) = work();
            self.load.steps += 1;
            if packets == 0 {
                break;
            }
            self.load.busy_steps += 1;
            spent_ps += u64::from(packets) * cost_ps;
        }
        let busy_ps = spent_ps.min(all_ps);
        self.owed_ps = spent_ps - busy_ps;
        self.busy_ps += busy_ps;
        self.load.busy = Nanos(self.busy_ps / 1_000);
        self.load.idle = self.load.idle + Nanos((all_ps - busy_ps) / 1_000);
    }

    /// Where the core's time went; nothing without a cost.
    pub(super) fn load(&self) -> &Load {
        &self.load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Nanos = Nanos(10_000);

    #[test]
    fn a_core_that_always_has_work_does_what_its_time_is_worth() {
        // 170 ns a packet: 58.8 packets of a step of 10 us, in bursts of 32.
        let mut purse = Purse::new(Some(170_000));
        let mut packets = 0;
        for _ in 0..1_000 {
            purse.spend(STEP, || {
                packets += 32;
                Busy(32)
            });
        }
        let worth = 10_000_000.0 / 170.0;
        assert!((f64::from(packets) - worth).abs() <= 32.0, "{packets} packets, {worth} paid for");
        assert_eq!((purse.load().busy, purse.load().idle), (Nanos(10_000_000), Nanos(0)));
    }

    #[test]
    fn time_without_work_is_not_saved() {
        let mut purse = Purse::new(Some(1_000_000));
        (0..100).for_each(|_| purse.spend(STEP, || Busy(0)));
        let mut packets = 0;
        purse.spend(STEP, || {
            packets += 1;
            Busy(1)
        });
        assert_eq!(packets, 10, "a microsecond each");
        assert_eq!((purse.load().busy, purse.load().idle), (STEP, Nanos(1_000_000)));
    }

    #[test]
    fn without_a_cost_there_is_one_burst_a_step() {
        let (mut purse, mut bursts) = (Purse::new(None), 0);
        (0..5).for_each(|_| {
            purse.spend(STEP, || {
                bursts += 1;
                Busy(32)
            });
        });
        assert_eq!((bursts, purse.load().steps), (5, 0));
    }
}
