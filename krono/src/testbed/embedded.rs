//! One process, a pinned thread per core, in-memory links, the real clock. Needs no root, no NIC, no
//! huge pages.
//!
//! Before the run proper it measures two references with the same traffic on the same processors:
//! the generator alone through a plain wire, and through a plain forwarder in the SUT's place.

use super::monitor::{self, Reading};
use super::{Observation, Outcome, PhaseOutcome, SutCore, TestbedError, reference};
use crate::layout::Layout;
use anyhow::Context;
use dataplane::clock::{Nanos, Tsc};
use dataplane::frame::Arena;
use dataplane::port::fault::{Fault, FaultPlan};
use dataplane::port::link::{DEPTH, Link, Network, frames_per_lane};
use dataplane::run::Stop;
use dataplane::switch::{PortId, Switch};
use dataplane::thread::allowed_cpus;
use format::plan::Plan;
use format::sample::{Event, Role, Sample};
use kronogen::control::Field;
use kronogen::run::Notice;
use krononat::server::{CoreError, run_core};
use krononat::worker::Counters;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Frames of a SUT port's own pool: what a fault needs to send a packet twice.
const SUT_FRAMES: usize = 1024;

/// Longest time a SUT core may take to get its memory.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs a plan with its references.
///
/// # Errors
/// [`TestbedError::Unavailable`] with too few processors, [`TestbedError::Failed`] when a core could
/// not start.
pub fn run(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let clock = Tsc::calibrate();
    let mut outcome = Outcome::default();
    let quick = reference::plan(plan);
    if let Some(quick) = &quick {
        observe(reference::announce("reference: generator through a plain wire"));
        outcome.wire = reference::wire(quick, &clock, stop)
            .map_err(|error| TestbedError::failed(plan, error))?;
        observe(reference::announce("reference: plain forwarder"));
        let through = measure(quick, &clock, stop, &mut |_| ())
            .map_err(|error| TestbedError::failed(plan, error))?;
        outcome.forwarder = reference::of_run(&through);
    }
    let run = measure(plan, &clock, stop, observe)
        .map_err(|error| TestbedError::failed(plan, error))?;
    outcome.phases = run.phases;
    outcome.events = run.events;
    outcome.interrupted = stop.is_set();
    Ok(outcome)
}

/// Runs all phases of a plan once, generator and SUT on processors of their own.
fn measure(
    plan: &Plan,
    clock: &Tsc,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let (generators, suts) = (plan.topology.generators(), plan.topology.suts());
    let mut cpus = allowed_cpus().into_iter();
    let mut config = layout.all_generators();
    for core in &mut config.cores {
        core.cpu = cpus.next();
    }
    let frames = frames_per_lane(DEPTH) * suts as usize;
    let pools: Vec<usize> = std::iter::repeat_n(SUT_FRAMES, suts as usize)
        .chain(std::iter::repeat_n(frames, generators as usize))
        .collect();
    let mut arena = Arena::new(pools.iter().sum()).context("no memory for frames")?;
    let (sut_ports, generator_ports) = network(&layout, plan, &mut arena, &pools);
    let counters: Vec<Arc<Counters>> = (0..suts).map(|_| Arc::default()).collect();
    let finished = Stop::new();
    thread::scope(|scope| {
        let (ready, standing) = mpsc::channel();
        let mut threads = Vec::new();
        for (index, port) in (0..suts).zip(sut_ports) {
            let (config, at) = layout.sut_of(index);
            let counters = counters[index as usize].clone();
            let (cpu, ready, finished) = (cpus.next(), ready.clone(), &finished);
            threads.push(scope.spawn(move || {
                let mut core = config.cores[at].clone();
                core.cpu = cpu;
                // Nobody listens once another core has failed to stand.
                let stands = || ready.send(()).unwrap_or(());
                run_core(&config, &core, port, counters, clock, finished, stands)
            }));
        }
        drop(ready);
        let stands = (0..suts).all(|_| standing.recv_timeout(READY_WITHIN).is_ok());
        let mut watch = Watch::new(&layout, &counters, clock, observe);
        let generated = if stands {
            kronogen::run::run_cores(&config, generator_ports, clock, stop, |notice| {
                watch.notice(notice);
            })
        } else {
            Ok(Vec::new())
        };
        finished.set();
        for (index, thread) in threads.into_iter().enumerate() {
            let ended: Result<_, CoreError> =
                thread.join().map_err(|_| anyhow::anyhow!("SUT core {index} panicked"))?;
            ended.with_context(|| format!("SUT core {index}"))?;
        }
        anyhow::ensure!(stands, "a SUT core had no memory within {READY_WITHIN:?}");
        Ok(watch.outcome(generated?))
    })
}

type SutPort<'a> = Switch<Fault<Link<'a>>>;
type GeneratorPort<'a> = Switch<Link<'a>>;

/// Joins every SUT core with every generator core; faults hit what the SUT sends.
fn network<'a>(
    layout: &Layout<'_>,
    plan: &Plan,
    arena: &'a mut Arena,
    pools: &[usize],
) -> (Vec<SutPort<'a>>, Vec<GeneratorPort<'a>>) {
    let (suts, generators) = (plan.topology.suts(), plan.topology.generators());
    let mut network = Network::new(arena, pools, DEPTH);
    for sut in 0..suts {
        for generator in 0..generators {
            let (a, b) = (layout.sut_port(sut), layout.generator_port(generator));
            network.connect(usize::from(a.0), usize::from(b.0));
        }
    }
    let mut ports = network.into_ports().into_iter();
    let faults = fault_plan(plan);
    let (inward, outward) = (Arc::new(layout.towards_sut()), Arc::new(layout.towards_generators()));
    let all_generators: Vec<PortId> = (0..generators).map(|i| layout.generator_port(i)).collect();
    let all_suts: Vec<PortId> = (0..suts).map(|i| layout.sut_port(i)).collect();
    let sut_ports = ports
        .by_ref()
        .take(suts as usize)
        .zip(0..)
        .map(|(link, index)| {
            let faults = FaultPlan { seed: faults.seed.wrapping_add(index), ..faults.clone() };
            Switch::new(Fault::new(link, &faults), outward.clone(), &all_generators)
        })
        .collect();
    let generator_ports =
        ports.map(|link| Switch::new(link, inward.clone(), &all_suts)).collect();
    (sut_ports, generator_ports)
}

fn fault_plan(plan: &Plan) -> FaultPlan {
    use dataplane::port::fault::Rate;
    let Some(faults) = plan.faults else { return FaultPlan::default() };
    let rate = |share: Option<format::plan::OneIn>| {
        share.and_then(|share| std::num::NonZeroU32::new(share.0)).map(Rate::OneIn)
    };
    FaultPlan {
        seed: faults.seed,
        drop: rate(faults.drop),
        duplicate: rate(faults.duplicate),
        delay: rate(faults.delay),
        reorder: rate(faults.reorder),
        corrupt: rate(faults.corrupt),
        mistranslate: rate(faults.mistranslate),
        misdeliver: rate(faults.misdeliver),
        misroute: rate(faults.misroute),
        only_flows: true,
        ..FaultPlan::default()
    }
}

/// Follows a run: samples, phase boundaries, the SUT's own figures.
struct Watch<'a> {
    layout: &'a Layout<'a>,
    counters: &'a [Arc<Counters>],
    clock: &'a Tsc,
    observe: &'a mut dyn FnMut(Observation),
    origin: Option<Nanos>,
    phase: usize,
    phase_start: Nanos,
    /// The SUT at the start of the phase, and per phase ended what it did.
    sut_before: Vec<Reading>,
    sut: Vec<Vec<SutCore>>,
    last: Option<(Nanos, Vec<Reading>, Vec<kronogen::run::Sample>)>,
    events: Vec<Event>,
}

impl<'a> Watch<'a> {
    fn new(
        layout: &'a Layout<'a>,
        counters: &'a [Arc<Counters>],
        clock: &'a Tsc,
        observe: &'a mut dyn FnMut(Observation),
    ) -> Self {
        Watch {
            layout,
            counters,
            clock,
            observe,
            origin: None,
            phase: 0,
            phase_start: Nanos(0),
            sut_before: Vec::new(),
            sut: Vec::new(),
            last: None,
            events: Vec::new(),
        }
    }

    fn readings(&self) -> Vec<Reading> {
        let read = |(index, counters): (usize, &Arc<Counters>)| {
            let (server, core) = self.layout.sut_place(index as u32);
            Reading { server, core, tally: counters.read() }
        };
        self.counters.iter().enumerate().map(read).collect()
    }

    fn notice(&mut self, notice: Notice<'_>) {
        match notice {
            Notice::Begins(phase, start) => {
                self.phase = phase;
                self.phase_start = start;
                let origin = *self.origin.get_or_insert(start);
                let name = &self.layout.phase_of(phase).0.name;
                self.events.push(Event {
                    t_s: start.since(origin).as_secs_f64(),
                    kind: "phase".into(),
                    what: format!("{name} begins"),
                });
                self.sut_before = self.readings();
                self.last = None;
            }
            Notice::Ended(_) => {
                let after = self.readings();
                self.sut.push(self.differences(&after));
            }
            Notice::Sample(now, rows) => self.sample(now, rows),
        }
    }

    fn differences(&self, after: &[Reading]) -> Vec<SutCore> {
        let pairs = self.sut_before.iter().zip(after);
        pairs.map(|(before, after)| monitor::core(before, after, self.clock)).collect()
    }

    fn sample(&mut self, now: Nanos, rows: &[kronogen::run::Sample]) {
        let Some(origin) = self.origin else { return };
        let readings = self.readings();
        let phase = self.layout.phase_of(self.phase).0;
        let mut samples = Vec::new();
        if let Some((then, sut_then, rows_then)) = &self.last {
            let (t_s, seconds) =
                (now.since(origin).as_secs_f64(), now.since(*then).as_secs_f64());
            for (before, after) in rows_then.iter().zip(rows) {
                samples.push(generator_row(before, after, t_s, seconds, &phase.name));
            }
            for (before, after) in sut_then.iter().zip(&readings) {
                samples.push(monitor::sample(before, after, t_s, seconds, &phase.name));
            }
        }
        let left_s = match phase.until {
            format::plan::Until::For(ns) => {
                Some((ns as f64 / 1e9 - now.since(self.phase_start).as_secs_f64()).max(0.0))
            }
            format::plan::Until::Held(_) => None,
        };
        let drops = monitor::all_drops(&readings);
        (self.observe)(Observation { phase: phase.name.clone(), left_s, samples, drops });
        self.last = Some((now, readings, rows.to_vec()));
    }

    /// Puts together what both sides have counted.
    fn outcome(mut self, generated: Vec<kronogen::run::Outcome>) -> Outcome {
        let begun = generated.iter().map(|core| core.records.len()).max().unwrap_or(0);
        if self.sut.len() < begun {
            let after = self.readings();
            self.sut.push(self.differences(&after));
        }
        let phases = (0..begun).map(|phase| {
            let (plan, repetition) = self.layout.phase_of(phase);
            let records = generated.iter().enumerate().filter_map(|(index, core)| {
                let mut record = core.records.get(phase)?.clone();
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
        Outcome { phases, events: self.events, ..Outcome::default() }
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
        forwarded_pps: rate(&[Field::OnTime, Field::Late]),
        // What is still on its way is not lost: known only after the drain.
        lost: None,
        busy_share: (busy + idle > 0.0).then(|| busy / (busy + idle)),
        connections: Some(value(Field::Established)),
        latency_p50_us: us(Field::LatencyP50),
        latency_p99_us: us(Field::LatencyP99),
        drops: None,
    }
}
