//! Follows a run from outside, whatever the testbed: samples, phase boundaries, what each side has
//! counted at them.

use super::inject::Due;
use super::monitor::{self, Reading};
use super::{Injected, Observation, Outcome, PhaseOutcome, SutCore};
use crate::layout::Layout;
use dataplane::clock::{Nanos, Tsc};
use dataplane::router;
use dataplane::switch::PortId;
use format::plan::{Target, Until};
use format::sample::{Event, EventKind, Role, Sample};
use kronogen::control::Field;
use kronogen::run::Notice;
use kronogen::trial::Record;
use krononat::worker::Tally;

/// What a generator core had published at an instant.
pub(super) type Row = (Nanos, kronogen::run::Sample);

/// What somebody beside generator and SUT has noticed or done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// On the clock of the run.
    pub at: Nanos,
    pub kind: EventKind,
    pub what: String,
}

/// Follows a run: samples, phase boundaries, the SUT's own figures.
pub(super) struct Watch<'a> {
    layout: &'a Layout<'a>,
    /// Reads what every SUT core has counted.
    read: &'a dyn Fn() -> Vec<Reading>,
    /// Frequency of each SUT server's time-stamp counter, in Hz; that of the last for those beyond.
    sut_hz: Vec<f64>,
    observe: &'a mut dyn FnMut(Observation),
    origin: Option<Nanos>,
    phase: usize,
    phase_start: Nanos,
    /// The SUT at the start of the phase, and per phase ended what it did.
    sut_before: Vec<Reading>,
    sut: Vec<Vec<SutCore>>,
    last: Option<(Nanos, Vec<Reading>, Vec<Row>)>,
    events: Vec<Event>,
    /// How many of them were told to whoever observes.
    told: usize,
    injected: Vec<Injected>,
    /// Takeovers of each SUT core, as last read.
    taken: Vec<u64>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        layout: &'a Layout<'a>,
        read: &'a dyn Fn() -> Vec<Reading>,
        clock: &'a Tsc,
        observe: &'a mut dyn FnMut(Observation),
    ) -> Self {
        Watch {
            layout,
            read,
            sut_hz: vec![clock.hz()],
            observe,
            origin: None,
            phase: 0,
            phase_start: Nanos(0),
            sut_before: Vec::new(),
            sut: Vec::new(),
            last: None,
            events: Vec::new(),
            told: 0,
            injected: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// The same, with SUT servers on machines of their own: frequency of each one's time-stamp
    /// counter.
    pub(super) fn with_frequencies(self, sut_hz: Vec<f64>) -> Self {
        Watch { sut_hz, ..self }
    }

    pub(super) fn notice(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Begins(phase, start) => {
                self.phase = phase;
                self.phase_start = start;
                let origin = *self.origin.get_or_insert(start);
                let name = &self.layout.phase_of(phase).0.name;
                self.events.push(Event {
                    t_s: start.since(origin).as_secs_f64(),
                    kind: EventKind::Phase,
                    what: name.clone(),
                });
                self.sut_before = (self.read)();
                self.last = None;
            }
            Notice::Ended(_) => {
                let after = (self.read)();
                self.sut.push(self.differences(&after));
            }
            Notice::Sample(now, rows) => {
                self.sample(now, rows.iter().map(|row| (now, *row)).collect());
            }
        }
    }

    /// Something was done to the SUT, at `now`.
    pub(super) fn injected(&mut self, due: &Due, now: Nanos) {
        let t_s = now.since(self.origin.unwrap_or(now)).as_secs_f64();
        self.injected.push(Injected { phase: due.phase, at: now, t_s, what: due.what });
        self.event(now, EventKind::Injected, due.what.to_string());
    }

    /// The router has noticed or done something.
    pub(super) fn noticed(&mut self, event: &router::Event) {
        let core = |port: PortId| {
            let (server, core) = self.layout.sut_place(u32::from(port.0));
            Target { server, core: Some(core) }
        };
        let core = core(event.port);
        let (kind, what) = match event.what {
            router::What::Up => (EventKind::Announced, format!("{core}")),
            router::What::Down { withdrawn: true } => (EventKind::Withdrawn, format!("{core}")),
            router::What::Down { withdrawn: false } => {
                (EventKind::Detected, format!("{core} is silent"))
            }
            router::What::Unplugged => (EventKind::Detected, format!("{core} has no carrier")),
            router::What::Steered { up: true } => (EventKind::Steered, format!("to {core}")),
            router::What::Steered { up: false } => {
                (EventKind::Steered, format!("away from {core}"))
            }
        };
        self.event(event.at, kind, what);
    }

    /// Somebody else has noticed or done something.
    pub(super) fn seen(&mut self, seen: Seen) {
        self.event(seen.at, seen.kind, seen.what);
    }

    /// What happened before the first phase is no part of the run.
    fn event(&mut self, at: Nanos, kind: EventKind, what: String) {
        if let Some(origin) = self.origin.filter(|&origin| at >= origin) {
            self.events.push(Event { t_s: at.since(origin).as_secs_f64(), kind, what });
        }
    }

    /// Shards taken over since the last look.
    fn takeovers(&mut self, readings: &[Reading]) {
        for (index, reading) in readings.iter().enumerate() {
            let Tally { takeovers, taken_over_ns, .. } = reading.tally;
            if self.taken.len() <= index {
                self.taken.push(0);
            }
            // A server that was started again counts from 0.
            let news = takeovers > self.taken[index];
            self.taken[index] = takeovers;
            if news {
                let target = Target { server: reading.server, core: Some(reading.core) };
                self.event(Nanos(taken_over_ns), EventKind::Takeover, format!("by {target}"));
            }
        }
    }

    fn differences(&self, after: &[Reading]) -> Vec<SutCore> {
        let pairs = self.sut_before.iter().zip(after);
        let hz = |server: u16| {
            let of = self.sut_hz.get(usize::from(server)).or(self.sut_hz.last());
            of.copied().unwrap_or_default()
        };
        pairs.map(|(before, after)| monitor::core(before, after, hz(after.server))).collect()
    }

    /// A sampling instant. Rows of other servers are some time older: each has its own.
    pub(super) fn sample(&mut self, now: Nanos, rows: Vec<Row>) {
        let Some(origin) = self.origin else { return };
        let readings = (self.read)();
        self.takeovers(&readings);
        let phase = self.layout.phase_of(self.phase).0;
        let mut samples = Vec::new();
        if let Some((then, sut_then, rows_then)) = &self.last {
            let (t_s, seconds) = (now.since(origin).as_secs_f64(), now.since(*then).as_secs_f64());
            for ((then, before), (now, after)) in rows_then.iter().zip(&rows) {
                let seconds = now.since(*then).as_secs_f64();
                // A server that has said nothing since has no row.
                if seconds > 0.0 {
                    samples.push(generator_row(before, after, t_s, seconds, &phase.name));
                }
            }
            for (before, after) in sut_then.iter().zip(&readings) {
                samples.push(monitor::sample(before, after, t_s, seconds, &phase.name));
            }
        }
        let left_s = match phase.until {
            Until::For(ns) => {
                Some((ns as f64 / 1e9 - now.since(self.phase_start).as_secs_f64()).max(0.0))
            }
            Until::Held(_) | Until::Validated => None,
        };
        let drops = monitor::all_drops(&readings);
        let events = self.events[self.told..].to_vec();
        self.told = self.events.len();
        (self.observe)(Observation { phase: phase.name.clone(), left_s, samples, drops, events });
        self.last = Some((now, readings, rows));
    }

    /// Puts together what both sides have counted; `generated` holds the records of each generator
    /// core.
    pub(super) fn outcome(mut self, generated: Vec<Vec<Record>>) -> Outcome {
        let begun = generated.iter().map(Vec::len).max().unwrap_or(0);
        self.takeovers(&(self.read)());
        self.events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
        if self.sut.len() < begun {
            let after = (self.read)();
            self.sut.push(self.differences(&after));
        }
        let phases = (0..begun).map(|phase| {
            let (plan, repetition) = self.layout.phase_of(phase);
            let records = generated.iter().enumerate().filter_map(|(index, core)| {
                let mut record = core.get(phase)?.clone();
                let (server, core) = self.layout.generator_place(index as u32);
                (record.server.0, record.core.0) = (server, core);
                Some(record)
            });
            PhaseOutcome {
                name: plan.name.clone(),
                repetition,
                generators: records.collect(),
                sut: self.sut.get(phase).cloned().unwrap_or_default(),
            }
        });
        let phases = phases.collect();
        Outcome { phases, events: self.events, injected: self.injected, ..Outcome::default() }
    }
}

/// The row of `samples.csv` for what a generator core did in the last `seconds`.
fn generator_row(
    before: &kronogen::run::Sample,
    after: &kronogen::run::Sample,
    t_s: f64,
    seconds: f64,
    phase: &str,
) -> Sample {
    let value = |field| after.reading.get(field);
    let rate = |fields: &[Field]| {
        let sum = |s: &kronogen::run::Sample| fields.iter().map(|&f| s.reading.get(f)).sum::<u64>();
        sum(after).saturating_sub(sum(before)) as f64 / seconds
    };
    let (busy, idle) = (rate(&[Field::BusyNs]), rate(&[Field::IdleNs]));
    let us = |field| Some(value(field)).filter(|&ns| ns > 0).map(|ns| ns as f64 / 1e3);
    Sample {
        t_s,
        phase: phase.to_owned(),
        role: Role::Gen,
        server: after.server.0,
        core: after.core.0,
        offered_pps: rate(&[Field::Planned]),
        // Mistranslated ones have arrived, and were not forwarded as they should.
        forwarded_pps: (rate(&[Field::OnTime, Field::Late]) - rate(&[Field::Mistranslated]))
            .max(0.0),
        // What is still on its way is not lost: known only after the drain.
        lost: None,
        busy_share: (busy + idle > 0.0).then(|| busy / (busy + idle)),
        connections: Some(value(Field::Established)),
        latency_p50_us: us(Field::LatencyP50),
        latency_p99_us: us(Field::LatencyP99),
        drops: None,
        backlog: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataplane::worker::{CoreId, ServerId};
    use kronogen::control::{Progress, Reading};

    #[test]
    fn mistranslated_packets_are_not_in_the_forwarded_rate() {
        let progress = Progress::default();
        let sample = || {
            let reading = Reading::of(&progress);
            kronogen::run::Sample { server: ServerId(0), core: CoreId(0), reading }
        };
        let before = sample();
        let counts = [
            (Field::Planned, 1000),
            (Field::OnTime, 900),
            (Field::Late, 50),
            (Field::Mistranslated, 200),
        ];
        counts.into_iter().for_each(|(field, count)| progress.set(field as usize, count));
        let row = generator_row(&before, &sample(), 1.0, 0.5, "steady");
        assert_eq!((row.offered_pps, row.forwarded_pps), (2000.0, 1500.0));
    }
}
