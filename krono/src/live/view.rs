//! The run at a glance: samples of an interval, summed per core, as a line of text or of JSON.
//!
//! What a terminal is shown of it is the business of [`page`](super::page).

use crate::testbed::Observation;
use analysis::figure;
use format::sample::{Event, EventKind, Role, Sample};
use serde::Serialize;
use std::collections::BTreeMap;

/// Events that a terminal is shown at most.
const RECENT_MAX: usize = 5;

/// One core since the last look: rates are means, the rest is of the latest sample.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Core {
    pub(super) role: Role,
    pub(super) server: u16,
    pub(super) core: u16,
    pub(super) offered_mpps: f64,
    pub(super) forwarded_mpps: f64,
    pub(super) busy_share: Option<f64>,
    connections: Option<u64>,
    latency_p50_us: Option<f64>,
    latency_p99_us: Option<f64>,
    #[serde(skip)]
    samples: u32,
}

/// The whole run since the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) phase: String,
    pub(super) left_s: Option<f64>,
    /// What was left when the phase was first seen: its length, nearly.
    pub(super) length_s: Option<f64>,
    t_s: f64,
    pub(super) drops: BTreeMap<String, u64>,
    pub(super) cores: BTreeMap<(Role, u16, u16), Core>,
    /// What happened last, phases apart.
    pub(super) recent: Vec<Event>,
    /// What happened since the last look.
    events: Vec<Event>,
}

/// One line of `--format jsonl`.
#[derive(Serialize)]
pub(super) struct Progress<'a> {
    t_s: f64,
    phase: &'a str,
    left_s: Option<f64>,
    pub(super) offered_mpps: f64,
    pub(super) forwarded_mpps: f64,
    pub(super) missing_share: Option<f64>,
    connections: u64,
    latency_p50_us: Option<f64>,
    latency_p99_us: Option<f64>,
    drops: &'a BTreeMap<String, u64>,
    cores: Vec<&'a Core>,
    events: &'a [Event],
}

impl View {
    /// Starts a new interval.
    pub(super) fn begin(&mut self) {
        self.cores.values_mut().for_each(|core| core.samples = 0);
        self.events.clear();
    }

    /// Adds what was observed; says whether a phase has begun with it.
    pub(super) fn add(&mut self, observation: &Observation) -> bool {
        let begins = self.phase != observation.phase;
        if begins {
            self.phase.clone_from(&observation.phase);
            self.cores.clear();
            self.length_s = observation.left_s;
        }
        self.left_s = observation.left_s;
        self.drops.clone_from(&observation.drops);
        for sample in &observation.samples {
            self.t_s = sample.t_s;
            self.add_sample(sample);
        }
        self.events.extend_from_slice(&observation.events);
        self.recent.extend(news(&observation.events).cloned());
        self.recent.drain(..self.recent.len().saturating_sub(RECENT_MAX));
        begins
    }

    fn add_sample(&mut self, sample: &Sample) {
        let Sample { role, server, core, .. } = *sample;
        let known = self.cores.entry((role, server, core)).or_insert(Core {
            role,
            server,
            core,
            offered_mpps: 0.0,
            forwarded_mpps: 0.0,
            busy_share: None,
            connections: None,
            latency_p50_us: None,
            latency_p99_us: None,
            samples: 0,
        });
        known.samples += 1;
        let weight = 1.0 / f64::from(known.samples);
        let mean = |before: f64, pps: f64| before + (pps / 1e6 - before) * weight;
        known.offered_mpps = mean(known.offered_mpps, sample.offered_pps);
        known.forwarded_mpps = mean(known.forwarded_mpps, sample.forwarded_pps);
        known.busy_share = sample.busy_share;
        known.connections = sample.connections;
        known.latency_p50_us = sample.latency_p50_us;
        known.latency_p99_us = sample.latency_p99_us;
    }

    pub(super) fn progress(&self) -> Progress<'_> {
        let generators = || self.cores.values().filter(|core| core.role == Role::Gen);
        // Not `sum`, which makes −0 of no core.
        let sum = |rate: fn(&Core) -> f64| generators().fold(0.0, |sum, core| sum + rate(core));
        let offered_mpps = sum(|core| core.offered_mpps);
        let forwarded_mpps = sum(|core| core.forwarded_mpps);
        let worst =
            |latency: fn(&Core) -> Option<f64>| generators().filter_map(latency).reduce(f64::max);
        Progress {
            t_s: self.t_s,
            phase: &self.phase,
            left_s: self.left_s,
            offered_mpps,
            forwarded_mpps,
            // Lost or still under way: which of the two is known only after the drain.
            missing_share: (offered_mpps > 0.0)
                .then(|| ((offered_mpps - forwarded_mpps) / offered_mpps).max(0.0)),
            connections: generators().filter_map(|core| core.connections).sum(),
            latency_p50_us: worst(|core| core.latency_p50_us),
            latency_p99_us: worst(|core| core.latency_p99_us),
            drops: &self.drops,
            cores: self.cores.values().collect(),
            events: &self.events,
        }
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            progress: Progress<'a>,
        }
        let line = Line { progress: self.progress() };
        // Numbers and text alone: cannot fail, and progress is not worth a panic.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// One line of text.
    pub(super) fn line(&self) -> String {
        let head = match self.left_s {
            Some(left_s) => format!("{}  {left_s:.1} s left", self.phase),
            None => self.phase.clone(),
        };
        if self.cores.is_empty() {
            return head;
        }
        let drops: u64 = self.drops.values().sum();
        let totals = self.totals().join(", ");
        format!("{head}  {totals}, {} dropped by the SUT", figure::count(drops))
    }

    /// Figures of the whole run, in words.
    pub(super) fn totals(&self) -> [String; 4] {
        let progress = self.progress();
        let us = |latency: Option<f64>| {
            latency.map_or("–".to_owned(), |us| figure::significant(us, 3))
        };
        [
            format!("{:.3} of {:.3} Mpps", progress.forwarded_mpps, progress.offered_mpps),
            format!("missing {}", progress.missing_share.map_or("–".to_owned(), figure::percent)),
            format!("{} connections", figure::count(progress.connections)),
            format!(
                "latency p50 {} p99 {} µs",
                us(progress.latency_p50_us),
                us(progress.latency_p99_us)
            ),
        ]
    }
}

/// What is told as an event: phases have a place of their own.
pub(super) fn news(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.kind != EventKind::Phase)
}

/// An event in a line of text.
pub(super) fn event_line(event: &Event) -> String {
    format!("  {:.3} s  {}  {}", event.t_s, event.kind, event.what)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn sample(role: Role, t_s: f64, forwarded_pps: f64) -> Sample {
        Sample {
            t_s,
            phase: "steady".into(),
            role,
            server: 0,
            core: 0,
            offered_pps: 2e6,
            forwarded_pps,
            lost: None,
            busy_share: Some(0.5),
            connections: Some(1000),
            latency_p50_us: (role == Role::Gen).then_some(12.0),
            latency_p99_us: (role == Role::Gen).then_some(40.0),
            drops: None,
            backlog: None,
        }
    }

    pub(in super::super) fn observation(phase: &str, t_s: f64) -> Observation {
        Observation {
            phase: phase.to_owned(),
            left_s: Some(3.0),
            samples: vec![sample(Role::Gen, t_s, 1e6), sample(Role::Sut, t_s, 1e6)],
            drops: [("ttl".to_owned(), 7)].into(),
            events: Vec::new(),
        }
    }

    pub(in super::super) fn events() -> Vec<Event> {
        let event = |t_s, kind, what: &str| Event { t_s, kind, what: what.to_owned() };
        vec![
            event(0.1, EventKind::Phase, "fail"),
            event(0.15, EventKind::Injected, "kill sut.server[1]"),
        ]
    }

    #[test]
    fn rates_are_means_over_the_interval() {
        let mut view = View::default();
        assert!(view.add(&observation("steady", 0.1)));
        let mut faster = observation("steady", 0.2);
        faster.samples[0].forwarded_pps = 2e6;
        assert!(!view.add(&faster));
        assert!(
            view.line().starts_with("steady  3.0 s left  1.500 of 2.000 Mpps, missing 25 %"),
            "{}",
            view.line()
        );
        view.begin();
        view.add(&observation("steady", 0.3));
        assert!(view.line().contains("1.000 of 2.000 Mpps"), "{}", view.line());
    }

    #[test]
    fn json_has_the_same_numbers() {
        let mut view = View::default();
        view.add(&observation("steady", 0.1));
        let value: serde_json::Value = serde_json::from_str(&view.json()).expect("JSON");
        let progress = &value["progress"];
        assert_eq!(progress["forwarded_mpps"], 1.0);
        assert_eq!(progress["missing_share"], 0.5);
        assert_eq!(progress["cores"][1]["role"], "sut");
        assert_eq!(progress["drops"]["ttl"], 7);
        assert_eq!(progress["events"], serde_json::json!([]));
    }

    #[test]
    fn json_has_each_event_once_and_a_terminal_the_last_ones() {
        let mut view = View::default();
        for i in 0..4 {
            view.add(&Observation { events: events(), ..observation("fail", f64::from(i)) });
        }
        let value: serde_json::Value = serde_json::from_str(&view.json()).expect("JSON");
        assert_eq!(value["progress"]["events"].as_array().map(Vec::len), Some(8));
        assert_eq!(value["progress"]["events"][1]["what"], "kill sut.server[1]");
        view.begin();
        view.add(&observation("fail", 5.0));
        let value: serde_json::Value = serde_json::from_str(&view.json()).expect("JSON");
        assert_eq!(value["progress"]["events"], serde_json::json!([]));
        assert_eq!(view.recent.len(), 4, "phases are not among them");
    }
}
