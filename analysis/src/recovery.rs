//! From the tables of a run to what each injected event did.
//!
//! The summary has the figures of an event; this adds what happened when around it (`events.csv`),
//! the rate per millisecond (`recovery.csv`), the outage of each connection (`connections.csv`) and
//! what the SUT's cores did before and after (`samples.csv`). The n-th `injected` event of the one
//! belongs to the n-th entry of the other; everything up to the next event is its own. No figure of
//! the summary is computed again here.

use crate::load::Run;
use crate::stats;
use format::sample::{EventKind, Role, Sample, Window};
use format::summary::Recovery;
use std::collections::BTreeMap;

/// Longest stretch of samples that a core's rate before and after an event is taken from, in
/// seconds.
const BALANCE_S: f64 = 2.0;

/// One injected event with what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its figures.
    pub figures: Recovery,
    /// When it happened, in seconds since the first phase began.
    pub t_s: f64,
    /// When the next one happened; infinite for the last.
    pub until_s: f64,
    /// What followed, the first of each kind in order of time, the event itself left out.
    pub marks: Vec<Mark>,
    /// Rate around it, by time.
    pub rates: Vec<Rate>,
    /// Outages of connections that came back, in ms, ascending.
    pub outages_ms: Vec<f64>,
    /// Connections without service that did not come back.
    pub never_back: usize,
}

/// Events of one kind that followed an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Kind.
    pub kind: EventKind,
    /// Milliseconds from the incident to the first and to the last of them.
    pub first_ms: f64,
    /// See `first_ms`.
    pub last_ms: f64,
    /// How many there were.
    pub count: usize,
    /// The first one in words.
    pub what: String,
}

/// One millisecond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Its begin, in ms from the incident; negative before it.
    pub from_ms: f64,
    /// Probes planned per millisecond: thousands per second.
    pub planned_kpps: f64,
    /// Those of them that arrived.
    pub arrived_kpps: f64,
}

/// What a core of the SUT sent on before and after an incident.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Server, from 0.
    pub server: u16,
    /// Core, from 0 within the server.
    pub core: u16,
    /// Million packets per second before; `None` without samples.
    pub before_mpps: Option<f64>,
    /// Million packets per second once it was over; `None` without samples.
    pub after_mpps: Option<f64>,
}

impl Incident {
    /// Milliseconds until service was whole again, as well as that is known: until the rate was
    /// back, else the longest outage.
    pub fn over_ms(&self) -> Option<f64> {
        let known = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
        known(self.figures.back_at_rate).or(known(self.figures.max))
    }
}

/// The largest figure that says how long an event lasted, for finding the worst of several.
pub fn severity_ms(figures: &Recovery) -> f64 {
    let known = |value: Option<f64>| value.filter(|value| value.is_finite());
    known(figures.max).or(known(figures.p99)).or(known(figures.blocked)).unwrap_or(0.0)
}

/// The incidents of a run, in order; those whose instant is not recorded are left out.
pub fn incidents(run: &Run) -> Vec<Incident> {
    let mut instants: Vec<f64> = run
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Injected && event.t_s.is_finite())
        .map(|event| event.t_s)
        .collect();
    instants.sort_by(f64::total_cmp);
    let ends = instants.iter().copied().skip(1).chain([f64::INFINITY]);
    let begun = instants.iter().copied().zip(ends);
    run.summary
        .recovery_ms
        .iter()
        .zip(begun)
        .map(|(figures, (t_s, until_s))| incident(run, figures, t_s, until_s))
        .collect()
}

fn incident(run: &Run, figures: &Recovery, t_s: f64, until_s: f64) -> Incident {
    let within = |at: f64| at >= t_s && at < until_s;
    let rows = run.connections.iter().filter(|row| within(row.t_s));
    let (back, never): (Vec<Option<f64>>, Vec<Option<f64>>) =
        rows.map(|row| row.outage_ms.filter(|ms| ms.is_finite())).partition(Option::is_some);
    let mut outages_ms: Vec<f64> = back.into_iter().flatten().collect();
    outages_ms.sort_by(f64::total_cmp);
    Incident {
        figures: figures.clone(),
        t_s,
        until_s,
        marks: marks(run, t_s, until_s),
        rates: rates(&run.windows, t_s, until_s),
        outages_ms,
        never_back: never.len(),
    }
}

fn marks(run: &Run, t_s: f64, until_s: f64) -> Vec<Mark> {
    let mut kinds: BTreeMap<EventKind, Mark> = BTreeMap::new();
    let followed = run.events.iter().filter(|event| event.t_s >= t_s && event.t_s < until_s);
    for event in followed {
        if matches!(event.kind, EventKind::Phase | EventKind::Injected) {
            continue;
        }
        let ms = (event.t_s - t_s) * 1e3;
        let (kind, what) = (event.kind, event.what.clone());
        let new = Mark { kind, first_ms: ms, last_ms: ms, count: 0, what };
        let mark = kinds.entry(kind).or_insert(new);
        mark.count += 1;
        mark.last_ms = mark.last_ms.max(ms);
        if ms < mark.first_ms {
            (mark.first_ms, mark.what) = (ms, event.what.clone());
        }
    }
    let mut marks: Vec<Mark> = kinds.into_values().collect();
    marks.sort_by(|a, b| a.first_ms.total_cmp(&b.first_ms));
    marks
}

/// The windows up to the next incident.
fn rates(windows: &[Window], t_s: f64, until_s: f64) -> Vec<Rate> {
    let mut rates: Vec<Rate> = windows
        .iter()
        .filter(|window| window.t_s.is_finite() && window.t_s < until_s)
        .map(|window| Rate {
            from_ms: (window.t_s - t_s) * 1e3,
            planned_kpps: window.planned as f64,
            arrived_kpps: window.arrived as f64,
        })
        .collect();
    rates.sort_by(|a, b| a.from_ms.total_cmp(&b.from_ms));
    rates
}

/// What each core of the SUT sent on in the two seconds before an incident and in the two seconds
/// once it was over: medians of the intervals that lie wholly within.
pub fn balance(incident: &Incident, samples: &[Sample]) -> Vec<Load> {
    let over_s = incident.t_s + incident.over_ms().unwrap_or(0.0) / 1e3;
    let before = incident.t_s - BALANCE_S..=incident.t_s;
    let after = over_s..=(over_s + BALANCE_S).min(incident.until_s);
    let mut cores: BTreeMap<(u16, u16), Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.role == Role::Sut) {
        cores.entry((sample.server, sample.core)).or_default().push(sample);
    }
    let median = |rows: &[&Sample], range: &std::ops::RangeInclusive<f64>| {
        let within = rows
            .windows(2)
            .filter(|pair| range.contains(&pair[0].t_s) && range.contains(&pair[1].t_s));
        let rates: Vec<f64> = within.map(|pair| pair[1].forwarded_pps / 1e6).collect();
        stats::median(&rates)
    };
    cores
        .into_iter()
        .map(|((server, core), rows)| Load {
            server,
            core,
            before_mpps: median(&rows, &before),
            after_mpps: median(&rows, &after),
        })
        .collect()
}
