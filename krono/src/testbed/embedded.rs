//! One process, a pinned thread per core, in-memory links, the real clock. Needs no root, no NIC, no
//! huge pages.
//!
//! Before the run proper it measures references with the same traffic on the same processors: the
//! generator alone through a plain wire, as fast as it can and at the rate of the run, and through a
//! plain forwarder in the SUT's place.

use super::core::{Core, common};
use super::inject::{self, Due};
use super::monitor::Reading;
use super::network::{Awaited, Hands, READY_WITHIN, network, pools};
use super::tap::{Sampling, Tap};
use super::watch::Watch;
use super::{Calibration, Observation, Outcome, References, TestbedError, reference};
use crate::layout::Layout;
use anyhow::Context;
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::frame::Arena;
use dataplane::router::Event;
use dataplane::run::{Idle, Stop, run_idle};
use dataplane::thread::{allowed_cpus, pin};
use format::plan::{Plan, Until};
use kronogen::run::Notice;
use krononat::server::entropy;
use krononat::worker::Counters;
use rtrb::Consumer;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a plan with its references.
///
/// # Errors
/// [`TestbedError::Failed`] when a core could not start.
pub fn run(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let references = references(plan, stop, observe)?;
    run_beside(plan, references, stop, observe)
}

/// Runs a plan whose references are known: the same traffic was measured without the SUT before.
///
/// # Errors
/// As [`run`].
pub fn run_beside(
    plan: &Plan,
    references: References,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    run_sampled(plan, references, 0, stop, observe)
}

/// The same, keeping `count` packets of the measured phase as they left and as they came back.
///
/// # Errors
/// As [`run`].
pub fn run_sampled(
    plan: &Plan,
    references: References,
    count: u32,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let clock = Tsc::calibrate();
    let sampling = (count > 0).then(|| sampling(plan, count));
    let run = measure(plan, None, sampling.as_ref(), &clock, stop, observe)
        .map_err(|error| TestbedError::failed(plan, error))?;
    let References { wire, forwarder, calibration } = references;
    Ok(Outcome { wire, forwarder, calibration, interrupted: stop.is_set(), ..run })
}

/// Measures what the generator reaches without the SUT, as far as the plan itself is more than that,
/// and its own latency at the rate of the plan, where it has one.
///
/// # Errors
/// [`TestbedError::Failed`] when a core could not start.
pub fn references(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<References, TestbedError> {
    let failed = |error| TestbedError::failed(plan, error);
    let Some(alone) = reference::wire_plan(plan) else { return Ok(References::default()) };
    let clock = Tsc::calibrate();
    observe(reference::announce("reference: generator through a plain wire"));
    let known = reference::wire(&alone, &clock, stop).map_err(failed)?;
    let Some(quick) = reference::plan(plan) else { return Ok(known) };
    observe(reference::announce("reference: plain forwarder"));
    let through = measure(&quick, None, None, &clock, stop, &mut |_| ()).map_err(failed)?;
    Ok(References { forwarder: reference::of_run(&through), ..known })
}

/// Measures the generator's own latency at the rate of the plan; nothing where it has none.
///
/// # Errors
/// [`TestbedError::Failed`] when a core could not start.
pub fn calibrate(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Option<Calibration>, TestbedError> {
    let Some(alone) = reference::calibration_plan(plan) else { return Ok(None) };
    observe(reference::announce("calibration: generator through a plain wire"));
    let known = reference::wire(&alone, &Tsc::calibrate(), stop);
    Ok(known.map_err(|error| TestbedError::failed(plan, error))?.calibration)
}

/// Runs a plan without its references, for cores that may keep their state in `store`.
///
/// # Errors
/// When a core could not start.
pub(crate) fn alone(
    plan: &Plan,
    store: Option<&Path>,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let run = measure(plan, store, None, &Tsc::calibrate(), stop, observe)?;
    Ok(Outcome { interrupted: stop.is_set(), ..run })
}

/// A sample of the measured phase, spread over its length.
fn sampling(plan: &Plan, count: u32) -> Arc<Sampling> {
    let length_ns = match plan.measured_phase().map(|phase| phase.until) {
        Some(Until::For(ns)) => ns,
        Some(Until::Held(_) | Until::Validated) | None => 0,
    };
    Sampling::new(count, plan.topology.generators(), plan.repeat, Nanos(length_ns))
}

/// Runs all phases of a plan once, generator and SUT on processors of their own.
fn measure(
    plan: &Plan,
    store: Option<&Path>,
    sampling: Option<&Arc<Sampling>>,
    clock: &Tsc,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let suts = plan.topology.suts();
    let idle = layout.idle();
    let shared = idle == Idle::Sleep;
    let mut cpus = allowed_cpus().into_iter();
    let mut config = layout.all_generators();
    // Who measures has a processor for itself, if any is left for the others.
    let enough = !shared || cpus.len() > config.cores.len();
    for core in config.cores.iter_mut().filter(|_| enough) {
        core.cpu = cpus.next();
    }
    let rest: Vec<usize> = cpus.collect();
    let mut cpus = rest.iter().copied().cycle().take(if shared { usize::MAX } else { rest.len() });
    let (hands, pools) = (Hands::new(&layout, plan), pools(&layout, plan));
    let mut arena = Arena::new(pools.iter().sum()).context("no memory for frames")?;
    let ports = network(&layout, plan, &mut arena, &pools, &hands);
    let counters: Vec<Arc<Counters>> = (0..suts).map(|_| Arc::default()).collect();
    let common = common(&layout, plan, store).context("what SUT cores share")?;
    let finished = Stop::new();
    thread::scope(|scope| {
        let (ready, standing) = mpsc::channel();
        let mut threads = Vec::new();
        for (index, port) in (0..suts).zip(ports.suts) {
            let mut config = layout.sut_of(index);
            config.0.store = store.map(Path::to_owned);
            let common = common[usize::from(layout.sut_place(index).0)].clone();
            let (counters, hand) =
                (counters[index as usize].clone(), hands.hands[index as usize].clone());
            let (cpu, ready, finished) = (cpus.next(), ready.clone(), &finished);
            threads.push(scope.spawn(move || -> anyhow::Result<()> {
                cpu.map_or(Ok(()), pin)?;
                let mut core = Core::new(config, common, port, counters, hand, Box::new(entropy))?;
                // Nobody listens once another core has failed to stand.
                ready.send(()).unwrap_or(());
                run_idle(&mut core, clock, finished, idle);
                core.trouble().map_or(Ok(()), |trouble| Err(anyhow::anyhow!("{trouble}")))
            }));
        }
        drop(ready);
        let mut noticed = None;
        if let Some((mut router, events)) = ports.router {
            noticed = Some(events);
            let (cpu, finished) = (cpus.next(), &finished);
            // A router is no core under test: it never takes a processor for itself.
            scope.spawn(move || {
                // Where it cannot be put it runs elsewhere.
                let _ = cpu.map(pin);
                run_idle(&mut router, clock, finished, Idle::Sleep)
            });
        }
        let patience = Duration::from_nanos(READY_WITHIN.0);
        let stands = (0..suts).all(|_| standing.recv_timeout(patience).is_ok())
            && wait(Awaited::new(&layout, plan), noticed.as_mut(), stop);
        let read = || readings(&layout, &counters);
        let mut watch = Watch::new(&layout, &read, clock, observe);
        let (order, orders) = mpsc::channel::<Due>();
        let (done, injected) = mpsc::channel::<(Due, Nanos)>();
        let (hands, layout_) = (&hands, &layout);
        scope.spawn(move || {
            for due in orders {
                sleep_until(due.at, clock);
                hands.inject(layout_, &due);
                done.send((due, clock.now())).unwrap_or(());
            }
        });
        let measured = plan.measured_phase().map(|phase| &phase.name);
        let notify = |notice: Notice<'_>| {
            if let Notice::Begins(phase, start) = notice {
                let due = inject::due(plan, &layout, phase, start);
                due.into_iter().for_each(|due| order.send(due).unwrap_or(()));
                let is_measured = Some(&layout.phase_of(phase).0.name) == measured;
                let sampled = is_measured.then_some(start);
                sampling.into_iter().for_each(|sampling| sampling.begin(sampled));
            }
            injected.try_iter().for_each(|(due, at)| watch.injected(&due, at));
            let events = noticed.as_mut().map(|it| std::iter::from_fn(|| it.pop().ok()));
            events.into_iter().flatten().for_each(|event| watch.noticed(&event));
            watch.notice(notice);
        };
        let generated = match sampling {
            _ if !stands => Ok(Vec::new()),
            None => kronogen::run::run_cores(&config, ports.generators, clock, stop, notify),
            Some(sampling) => {
                let ports = ports.generators.into_iter().enumerate();
                let taps = ports.map(|(core, port)| Tap::new(port, core, sampling.clone()));
                kronogen::run::run_cores(&config, taps.collect(), clock, stop, notify)
            }
        };
        drop(order);
        finished.set();
        for (index, thread) in threads.into_iter().enumerate() {
            let ended = thread.join().map_err(|_| anyhow::anyhow!("SUT core {index} panicked"))?;
            ended.with_context(|| format!("SUT core {index}"))?;
        }
        anyhow::ensure!(stands, "the SUT was not ready within a minute");
        let outcome = watch.outcome(generated?.into_iter().map(|core| core.records).collect());
        let specimens = sampling.map_or_else(Vec::new, |sampling| sampling.specimens());
        Ok(Outcome { specimens, ..outcome })
    })
}

/// Waits until the router uses every core that is there.
fn wait(mut awaited: Awaited, mut events: Option<&mut Consumer<Event>>, stop: &Stop) -> bool {
    let start = Instant::now();
    while !awaited.are_there(events.as_deref_mut()) {
        if stop.is_set() || start.elapsed() > Duration::from_nanos(READY_WITHIN.0) {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Sleeps nearly to an instant, and waits for the rest.
fn sleep_until(at: Nanos, clock: &Tsc) {
    loop {
        let left = at.since(clock.now());
        match left.0 {
            0 => return,
            ns if ns > 1_000_000 => thread::sleep(Duration::from_nanos(ns - 500_000)),
            _ => std::hint::spin_loop(),
        }
    }
}

pub(super) fn readings(layout: &Layout<'_>, counters: &[Arc<Counters>]) -> Vec<Reading> {
    let read = |(index, counters): (u32, &Arc<Counters>)| {
        let (server, core) = layout.sut_place(index);
        Reading { server, core, tally: counters.read() }
    };
    (0..).zip(counters).map(read).collect()
}
