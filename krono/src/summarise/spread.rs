//! How each generator core kept its part of the planned rate.
//!
//! The rate of a plan is shared out evenly ([`crate::layout`]), and a run is measured by the sum. Of 64
//! cores one may send half of its part and the sum is 99.2 % of the plan, while the connections of that
//! core see another load than all others.

use crate::testbed::PhaseOutcome;
use dataplane::worker::{CoreId, ServerId};
use std::collections::BTreeMap;

/// What one core was asked for and sent, over all trials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) server: ServerId,
    pub(super) core: CoreId,
    /// Data packets that its part of the rate comes to.
    asked: f64,
    /// Data packets that left.
    sent: u64,
    batches: u64,
    room_limited: u64,
}

impl Pace {
    /// Sent ÷ asked for. A core is asked for parts of packets and sends whole ones: what is less than
    /// one apart is not apart.
    pub(super) fn share(&self) -> f64 {
        let missing = self.asked - self.sent as f64;
        if missing.abs() < 1.0 { 1.0 } else { 1.0 - missing / self.asked }
    }

    /// Batches for which the network had no room ÷ batches.
    pub(super) fn room_limited_share(&self) -> f64 {
        self.room_limited as f64 / self.batches.max(1) as f64
    }
}

/// The pace of each core that was asked for `per_core_pps`. Trials in which it was cut short are left
/// out.
pub(super) fn paces(trials: &[&PhaseOutcome], per_core_pps: f64) -> Vec<Pace> {
    let mut cores = BTreeMap::<(u16, u16), Pace>::new();
    for trial in trials {
        for record in trial.generators.iter().filter(|record| !record.interrupted) {
            let (server, core) = (record.server, record.core);
            let none = Pace { server, core, asked: 0.0, sent: 0, batches: 0, room_limited: 0 };
            let pace = cores.entry((server.0, core.0)).or_insert(none);
            pace.asked += per_core_pps * record.seconds;
            pace.sent += record.ledger.data_sent();
            pace.batches += record.batches;
            pace.room_limited += record.room_limited;
        }
    }
    cores.into_values().filter(|pace| pace.asked > 0.0).collect()
}

/// The largest deviation of a core from what it was asked for, 0 to 1; `None` without a planned rate.
pub(super) fn largest(paces: &[Pace]) -> Option<f64> {
    paces.iter().map(|pace| (pace.share() - 1.0).abs()).reduce(f64::max)
}
