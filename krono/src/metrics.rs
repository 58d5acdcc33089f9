//! `krono run --metrics ADDR:PORT`: what a run shows, for Prometheus and whatever reads its format.
//!
//! The figures are those of `samples.csv` as they come, some times a second, in the text format of
//! OpenMetrics 1.0; rates are over the last interval, and whoever wants the whole run reads the
//! summary. They are set by the thread that watches the run and read by one that answers
//! ([`serve`]); neither is on the packet path, and a run is the same whether anybody asks.

mod serve;

pub use serve::Endpoint;

use crate::host;
use crate::testbed::Observation;
use format::plan::Plan;
use format::sample::Sample;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Core {
    /// `gen` or `sut`.
    role: String,
    server: u16,
    core: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: String,
}

type Figure = Gauge<f64, AtomicU64>;
type PerCore = Family<Core, Figure>;

/// The figures of a run as they are now.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    phase: Family<Phase, Gauge>,
    left: Family<Phase, Figure>,
    offered: PerCore,
    forwarded: PerCore,
    busy: PerCore,
    connections: PerCore,
    latency_p50: PerCore,
    latency_p99: PerCore,
    drops: Family<Reason, Counter>,
}

impl Metrics {
    /// Sets them to what was observed.
    pub fn observe(&self, observation: &Observation) {
        let phase = Phase { phase: observation.phase.clone() };
        self.phase.clear();
        self.phase.get_or_create(&phase).set(1);
        self.left.clear();
        if let Some(left_s) = observation.left_s {
            self.left.get_or_create(&phase).set(left_s);
        }
        observation.samples.iter().for_each(|sample| self.take(sample));
        for (reason, &packets) in &observation.drops {
            let counter = self.drops.get_or_create(&Reason { reason: reason.clone() });
            // A server that was started again counts from 0, which a counter does not.
            counter.inc_by(packets.saturating_sub(counter.get()));
        }
    }

    fn take(&self, sample: &Sample) {
        let core = Core { role: sample.role.to_string(), server: sample.server, core: sample.core };
        let figures = [
            (&self.offered, Some(sample.offered_pps)),
            (&self.forwarded, Some(sample.forwarded_pps)),
            (&self.busy, sample.busy_share),
            (&self.connections, sample.connections.map(|count| count as f64)),
            (&self.latency_p50, sample.latency_p50_us.map(|us| us / 1e6)),
            (&self.latency_p99, sample.latency_p99_us.map(|us| us / 1e6)),
        ];
        for (family, figure) in figures {
            match figure {
                Some(figure) => {
                    family.get_or_create(&core).set(figure);
                }
                // What is not known is absent, and no zero.
                None => {
                    family.remove(&core);
                }
            }
        }
    }

    /// Their names and meanings, of a run of `plan`.
    fn registry(&self, plan: &Plan) -> Registry {
        let mut all = Registry::with_prefix("krono");
        let run = [
            ("scenario", plan.scenario.clone()),
            ("testbed", plan.testbed.to_string()),
            ("seed", plan.seed.to_string()),
            ("version", host::VERSION_LINE.to_owned()),
        ];
        all.register("run", "What is run", Info::new(run.to_vec()));
        all.register("phase", "1 for the phase that is under way", self.phase.clone());
        let help = "Time until the phase ends; absent where that depends on what happens";
        all.register_with_unit("phase_left", help, Unit::Seconds, self.left.clone());
        let rates = "Packets per second over the last interval that the core";
        let help = format!("{rates} planned (gen) or received (sut)");
        all.register("offered_pps", help, self.offered.clone());
        let help = format!("{rates} got back and verified (gen) or sent on (sut)");
        all.register("forwarded_pps", help, self.forwarded.clone());
        let help = "Cycles of steps that moved packets, of all cycles of the last interval";
        all.register_with_unit("busy", help, Unit::Other("ratio".to_owned()), self.busy.clone());
        all.register("connections", "Connections held", self.connections.clone());
        let help = "Median latency from the planned instant";
        all.register_with_unit("latency_p50", help, Unit::Seconds, self.latency_p50.clone());
        let help = "99th percentile of latency from the planned instant";
        all.register_with_unit("latency_p99", help, Unit::Seconds, self.latency_p99.clone());
        let help = "Packets dropped by the servers under test";
        all.register("dropped_packets", help, self.drops.clone());
        all
    }
}

/// What is answered.
fn text_of(registry: &Registry) -> Result<String, fmt::Error> {
    let mut text = String::new();
    text::encode(&mut text, registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::sample::Role;
    use format::{RunOptions, Scenario};
    use std::collections::BTreeMap;

    fn plan() -> Plan {
        let text = include_str!("../../scenarios/imix.toml");
        let scenario = Scenario::with_overrides(text, "imix.toml", &[]).expect("a scenario");
        scenario.resolve(&RunOptions::default()).expect("a plan")
    }

    fn sample(role: Role, latency_p50_us: Option<f64>) -> Sample {
        Sample {
            t_s: 1.0,
            phase: "steady".to_owned(),
            role,
            server: 0,
            core: 1,
            offered_pps: 1.5e6,
            forwarded_pps: 1.25e6,
            lost: None,
            busy_share: Some(0.5),
            connections: Some(64),
            latency_p50_us,
            latency_p99_us: None,
            drops: None,
            backlog: None,
        }
    }

    #[test]
    fn what_was_observed_last_is_told_and_nothing_else() {
        let metrics = Metrics::default();
        let registry = metrics.registry(&plan());
        let observe = |phase: &str, left_s, drops: u64, latency| {
            metrics.observe(&Observation {
                phase: phase.to_owned(),
                left_s,
                samples: vec![sample(Role::Gen, latency), sample(Role::Sut, None)],
                drops: BTreeMap::from([("no_port".to_owned(), drops)]),
                events: Vec::new(),
            });
            text_of(&registry).expect("text")
        };
        let text = observe("fill", Some(2.5), 7, Some(12.5));
        let core = "{role=\"gen\",server=\"0\",core=\"1\"}";
        for line in [
            "krono_phase{phase=\"fill\"} 1".to_owned(),
            "krono_phase_left_seconds{phase=\"fill\"} 2.5".to_owned(),
            format!("krono_offered_pps{core} 1500000.0"),
            format!("krono_busy_ratio{core} 0.5"),
            format!("krono_latency_p50_seconds{core} 0.0000125"),
            "krono_dropped_packets_total{reason=\"no_port\"} 7".to_owned(),
        ] {
            assert!(text.lines().any(|other| other == line), "no {line}: {text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("latency_p99_seconds{"), "{text}");
        // Another phase, the end of which is not known; a server that has begun again.
        let text = observe("steady", None, 3, None);
        assert!(!text.contains("fill") && text.contains("{phase=\"steady\"} 1"), "{text}");
        assert!(!text.contains("krono_phase_left_seconds{"), "{text}");
        assert!(!text.contains("latency_p50_seconds{"), "{text}");
        assert!(text.contains("{reason=\"no_port\"} 7"), "{text}");
    }
}
