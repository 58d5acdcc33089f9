//! The run at a glance: samples of an interval, summed per core, as lines or as JSON.

use crate::testbed::Observation;
use analysis::figure;
use format::sample::{Role, Sample};
use serde::Serialize;
use std::collections::BTreeMap;

/// Characters of a bar that is full.
const BAR: usize = 10;

/// One core since the last look: rates are means, the rest is of the latest sample.
#[derive(Clone, Debug, Serialize)]
struct Core {
    role: Role,
    server: u16,
    core: u16,
    offered_mpps: f64,
    forwarded_mpps: f64,
    busy_share: Option<f64>,
    connections: Option<u64>,
    latency_p50_us: Option<f64>,
    latency_p99_us: Option<f64>,
    #[serde(skip)]
    samples: u32,
}

/// The whole run since the last look.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    phase: String,
    left_s: Option<f64>,
    t_s: f64,
    drops: BTreeMap<String, u64>,
    cores: BTreeMap<(Role, u16, u16), Core>,
}

/// One line of `--format jsonl`.
#[derive(Serialize)]
struct Progress<'a> {
    t_s: f64,
    phase: &'a str,
    left_s: Option<f64>,
    offered_mpps: f64,
    forwarded_mpps: f64,
    missing_share: Option<f64>,
    connections: u64,
    latency_p50_us: Option<f64>,
    latency_p99_us: Option<f64>,
    drops: &'a BTreeMap<String, u64>,
    cores: Vec<&'a Core>,
}

impl View {
    /// Starts a new interval.
    pub(super) fn begin(&mut self) {
        self.cores.values_mut().for_each(|core| core.samples = 0);
    }

    /// Adds what was observed; says whether a phase has begun with it.
    pub(super) fn add(&mut self, observation: &Observation) -> bool {
        let begins = self.phase != observation.phase;
        if begins {
            self.phase.clone_from(&observation.phase);
            self.cores.clear();
        }
        self.left_s = observation.left_s;
        self.drops.clone_from(&observation.drops);
        for sample in &observation.samples {
            self.t_s = sample.t_s;
            self.add_sample(sample);
        }
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

    fn progress(&self) -> Progress<'_> {
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
        let head = self.head();
        if self.cores.is_empty() {
            return head;
        }
        let drops: u64 = self.drops.values().sum();
        format!("{head}  {}, {} dropped by the SUT", self.rates(), figure::count(drops))
    }

    /// Lines for a terminal: the whole, then each core, then drops.
    pub(super) fn screen(&self) -> Vec<String> {
        let mut lines = vec![self.head()];
        if self.cores.is_empty() {
            return lines;
        }
        lines.push(format!("  {}", self.rates()));
        lines.extend(self.cores.values().map(Core::line));
        let drops: Vec<String> = self
            .drops
            .iter()
            .map(|(reason, count)| format!("{reason} {}", figure::count(*count)))
            .collect();
        let drops = if drops.is_empty() { "none".to_owned() } else { drops.join(", ") };
        lines.push(format!("  dropped by the SUT: {drops}"));
        lines
    }

    fn head(&self) -> String {
        match self.left_s {
            Some(left_s) => format!("{}  {left_s:.1} s left", self.phase),
            None => self.phase.clone(),
        }
    }

    fn rates(&self) -> String {
        let progress = self.progress();
        let us = |latency: Option<f64>| {
            latency.map_or("–".to_owned(), |us| figure::significant(us, 3))
        };
        format!(
            "{:.3} of {:.3} Mpps, missing {}, {} connections, latency p50 {} p99 {} µs",
            progress.forwarded_mpps,
            progress.offered_mpps,
            progress.missing_share.map_or("–".to_owned(), figure::percent),
            figure::count(progress.connections),
            us(progress.latency_p50_us),
            us(progress.latency_p99_us),
        )
    }
}

impl Core {
    fn line(&self) -> String {
        let Core { role, server, core, offered_mpps, forwarded_mpps, .. } = self;
        let busy = self.busy_share.map_or_else(String::new, |share| {
            let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
            let (full, rest) = ("█".repeat(full), "·".repeat(BAR - full));
            format!("  {full}{rest} {:>3.0} % busy", share * 100.0)
        });
        format!("  {role} {server}.{core}  {forwarded_mpps:>7.3} of {offered_mpps:>7.3} Mpps{busy}")
    }
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
        }
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
    fn a_terminal_gets_every_core_and_every_reason() {
        let mut view = View::default();
        view.add(&observation("steady", 0.1));
        let lines = view.screen();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert_eq!(lines[2], "  gen 0.0    1.000 of   2.000 Mpps  █████·····  50 % busy");
        assert_eq!(lines[4], "  dropped by the SUT: ttl 7");
        view.add(&Observation { samples: vec![], left_s: None, ..observation("reference", 0.2) });
        assert_eq!(view.screen(), ["reference"]);
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
    }
}
