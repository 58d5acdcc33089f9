//! Which values of a summary a scenario may set limits to, and whether they kept them.

use crate::plan::Criterion;
use crate::summary::{Judged, Limit, Pass, Summary};
use serde_json::Value;

/// Every path that a pass criterion may name. Those of `recovery_ms` mean the largest of all
/// events, and `throughput.trials` the largest of all trials of the measured phase.
pub const METRICS: [&str; 78] = [
    "throughput.offered_mpps",
    "throughput.forwarded_mpps",
    "throughput.forwarded_gbps",
    "throughput.mpps_per_core.value",
    "throughput.mpps_per_core.low",
    "throughput.mpps_per_core.high",
    "throughput.trials.lost",
    "throughput.search.lower_mpps",
    "throughput.search.upper_mpps",
    "throughput.search.conditional_mpps",
    "sut.connections_peak",
    "sut.bytes_per_connection",
    "sut.drops.half_open_limit",
    "sut.drops.setup_limit",
    "sut.drops.subscriber_quota",
    "sut.drops.ports_exhausted",
    "sut.drops.table_full",
    "sut.drops.unknown_inbound",
    "sut.drops.filtered_inbound",
    "sut.drops.port_full",
    "ledger.planned",
    "ledger.on_time",
    "ledger.late",
    "ledger.lost",
    "ledger.unsent",
    "ledger.duplicate",
    "ledger.reordered",
    "ledger.corrupt",
    "ledger.misrouted",
    "ledger.mistranslated",
    "ledger.flood_sent",
    "ledger.flood_passed",
    "ledger.scan_sent",
    "ledger.scan_passed",
    "latency_us.p50",
    "latency_us.p90",
    "latency_us.p99",
    "latency_us.p999",
    "latency_us.max",
    "latency_us.min",
    "latency_us.pdv",
    "latency_error_us.min",
    "latency_error_us.p50",
    "latency_error_us.p90",
    "latency_error_us.p99",
    "latency_error_us.p999",
    "latency_error_us.max",
    "latency_error_us.pdv",
    "connections.opened",
    "connections.closed",
    "connections.failed",
    "connections.held_peak",
    "connections.open_rate_achieved",
    "connections.close_rate_achieved",
    "connections.kept",
    "connections.remapped",
    "connections.reset",
    "connections.lost",
    "connections.recovered",
    "recovery_ms.blocked",
    "recovery_ms.p50",
    "recovery_ms.p99",
    "recovery_ms.max",
    "recovery_ms.resolution",
    "recovery_ms.first_rerouted",
    "recovery_ms.collateral_lost",
    "recovery_ms.detected",
    "recovery_ms.takeover",
    "recovery_ms.back_at_rate",
    "certificate.headroom",
    "certificate.late_send_share",
    "certificate.rate_error",
    "certificate.core_spread",
    "certificate.steal_share",
    "certificate.twin_mpps",
    "certificate.forwarder_mpps",
    "certificate.forwarder_cycles_per_packet",
    "certificate.longest_gap_us",
];

impl Summary {
    /// The value at a path such as `ledger.lost`; `None` where it could not be had, or is no
    /// number.
    pub fn metric(&self, path: &str) -> Option<f64> {
        if let Some(reason) = path.strip_prefix("sut.drops.") {
            // A SUT that counts nothing at all has no cores to count.
            let counted = !self.sut.cores.is_empty();
            return counted.then(|| *self.sut.drops.get(reason).unwrap_or(&0) as f64);
        }
        let whole = serde_json::to_value(self).ok()?;
        let parts: Vec<&str> = path.split('.').collect();
        largest(&whole, &parts)
    }

    /// Judges the criteria of a plan. A value that could not be had meets none.
    pub fn judge(&self, criteria: &[Criterion]) -> Pass {
        let criteria: Vec<Judged> = criteria
            .iter()
            .map(|Criterion { name, min, max }| {
                let (limit, value) = (Limit { min: *min, max: *max }, self.metric(name));
                let met = value.is_some_and(|value| limit.allows(value));
                Judged { name: name.clone(), limit, value, met }
            })
            .collect();
        Pass { met: criteria.iter().all(|judged| judged.met), criteria }
    }
}

/// The number at `path`; of a list the largest, and none where one of its elements has none.
fn largest(value: &Value, path: &[&str]) -> Option<f64> {
    match (value, path) {
        (Value::Array(list), _) => {
            let values: Option<Vec<f64>> = list.iter().map(|each| largest(each, path)).collect();
            values?.into_iter().reduce(f64::max)
        }
        (Value::Number(number), []) => number.as_f64(),
        (_, [part, rest @ ..]) => largest(value.get(part)?, rest),
        _ => None,
    }
}
