//! One process, a pinned thread per core, in-memory links, the real clock. Needs no root, no NIC, no
//! huge pages.
//!
//! Before the run proper it measures two references with the same traffic on the same processors:
//! the generator alone through a plain wire, and through a plain forwarder in the SUT's place.

use super::monitor::Reading;
use super::watch::Watch;
use super::{Observation, Outcome, TestbedError, reference};
use crate::layout::Layout;
use anyhow::Context;
use dataplane::clock::Tsc;
use dataplane::frame::Arena;
use dataplane::port::fault::{Fault, FaultPlan};
use dataplane::port::link::{DEPTH, Link, Network};
use dataplane::run::Stop;
use dataplane::switch::{PortId, Switch};
use dataplane::thread::allowed_cpus;
use format::plan::Plan;
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
    let run =
        measure(plan, &clock, stop, observe).map_err(|error| TestbedError::failed(plan, error))?;
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
    // No more frames than one ring holds, so that no ring is ever full of them.
    let frames = DEPTH;
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
        let read = || readings(&layout, &counters);
        let mut watch = Watch::new(&layout, &read, clock, observe);
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
        Ok(watch.outcome(generated?.into_iter().map(|core| core.records).collect()))
    })
}

fn readings(layout: &Layout<'_>, counters: &[Arc<Counters>]) -> Vec<Reading> {
    let read = |(index, counters): (u32, &Arc<Counters>)| {
        let (server, core) = layout.sut_place(index);
        Reading { server, core, tally: counters.read() }
    };
    (0..).zip(counters).map(read).collect()
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
    let generator_ports = ports.map(|link| Switch::new(link, inward.clone(), &all_suts)).collect();
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
