//! The code of generator, SUT and router as it is, on one thread and in virtual time: nothing waits,
//! nothing is disturbed, and a seed gives the same run wherever it runs. For what happens, and when;
//! not for how fast it is, unless the plan says what a packet costs a core: then [`Purse`] lets each
//! core do as much in a step as its time is worth.

mod purse;
mod twin;

pub use twin::Twin;

use super::core::{Core, common};
use super::inject::{self, Due};
use super::network::{
    Awaited, GeneratorPort, Hands, Ports, READY_WITHIN, RouterPort, SutPort, network, pools,
};
use super::watch::Watch;
use super::{Observation, Outcome, TestbedError};
use crate::layout::Layout;
use anyhow::{Context, ensure};
use dataplane::clock::{Nanos, Tsc};
use dataplane::frame::Arena;
use dataplane::run::{Load, Stop};
use dataplane::worker::Worker;
use format::plan::Plan;
use kronogen::control::{Control, Field, Progress, Reading as Progressed};
use kronogen::run::{Notice, Sample};
use kronogen::worker::Generator;
use krononat::baseline::Common;
use krononat::worker::Counters;
use purse::Purse;
use std::sync::Arc;
use twin::Tampered;

/// Virtual time of a step of every worker.
const STEP: Nanos = Nanos(10_000);

/// Steps between two turns of housekeeping, and between two samples.
const STEPS_PER_TURN: u64 = 16;
const STEPS_PER_SAMPLE: u64 = 10_000;

/// Virtual time from the order to begin a phase to its begin.
const LEAD: Nanos = Nanos(1_000_000);

/// A phase that has not ended after so much virtual time never will.
const PHASE_MAX: Nanos = Nanos(3_600_000_000_000);

/// Runs a plan, on servers that are broken on purpose if `twin` says how.
///
/// # Errors
/// [`TestbedError::Failed`] when memory is not there.
pub fn run(
    plan: &Plan,
    twin: Option<Twin>,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let outcome =
        simulate(plan, twin, stop, observe).map_err(|error| TestbedError::failed(plan, error));
    Ok(Outcome { interrupted: stop.is_set(), ..outcome? })
}

fn simulate(
    plan: &Plan,
    twin: Option<Twin>,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> anyhow::Result<Outcome> {
    let layout = Layout::new(plan);
    let hands = Hands::new(&layout, plan);
    let pools = pools(&layout, plan);
    let mut arena = Arena::new(pools.iter().sum()).context("no memory for frames")?;
    let Ports { suts, generators, router } = network(&layout, plan, &mut arena, &pools, &hands);
    let ports = Ports { suts: tampered(suts, &layout, plan, twin), generators, router };
    let counters: Vec<Arc<Counters>> = (0..plan.topology.suts()).map(|_| Arc::default()).collect();
    let common = common(&layout, plan, None)?;
    let cost = plan.sut.packet_cost_ps;
    let mut world = World::new(&layout, ports, &hands, &common, &counters, cost)?;
    world.wait(Awaited::new(&layout, plan))?;
    let clock = Tsc::calibrate();
    let read = || super::embedded::readings(&layout, &counters);
    let mut watch = Watch::new(&layout, &read, &clock, observe);
    for phase in 0..world.phases {
        let start = world.now + LEAD;
        let due = inject::due(plan, &layout, phase, start);
        if !world.run_phase(phase, start, due, &layout, &hands, stop, &mut watch) {
            break;
        }
    }
    Ok(watch.outcome(world.generators.iter_mut().map(Generator::records).collect()))
}

/// The ports of the cores, with somebody in front of those that are broken.
fn tampered<'a>(
    ports: Vec<SutPort<'a>>,
    layout: &Layout<'_>,
    plan: &Plan,
    twin: Option<Twin>,
) -> Vec<Tampered<SutPort<'a>>> {
    let tamper = |(index, port)| {
        let server = layout.sut_place(index).0;
        let twin = twin.filter(|twin| twin.is_of(server));
        let cluster = twin.and_then(|_| layout.sut(server).cluster);
        Tampered::new(port, twin, cluster.as_ref(), plan.seed ^ u64::from(index))
    };
    (0..).zip(ports).map(tamper).collect()
}

/// Everything that has a step.
struct World<'a> {
    now: Nanos,
    steps: u64,
    phases: usize,
    cores: Vec<Core<Tampered<SutPort<'a>>>>,
    /// What each core may still spend, where packets cost time.
    purses: Vec<Purse>,
    generators: Vec<Generator<GeneratorPort<'a>>>,
    router: Option<RouterPort<'a>>,
    control: Arc<Control>,
    progress: Vec<Arc<Progress>>,
    rows: Vec<Sample>,
}

impl<'a> World<'a> {
    fn new(
        layout: &Layout<'_>,
        ports: Ports<'a, Tampered<SutPort<'a>>>,
        hands: &Hands,
        common: &[Common],
        counters: &[Arc<Counters>],
        packet_cost_ps: Option<u64>,
    ) -> anyhow::Result<World<'a>> {
        let config = layout.all_generators();
        config.validate()?;
        let control = Arc::new(Control::default());
        let progress: Vec<Arc<Progress>> =
            ports.generators.iter().map(|_| Arc::default()).collect();
        let mut generators = Vec::new();
        for (index, port) in ports.generators.into_iter().enumerate() {
            let (control, progress) = (control.clone(), progress[index].clone());
            generators.push(Generator::new(&config, index, port, control, progress)?);
        }
        let mut cores = Vec::new();
        for (index, port) in (0..).zip(ports.suts) {
            let sut = layout.sut_of(index);
            let common = common[usize::from(layout.sut_place(index).0)].clone();
            let mut starts = u64::from(index) << 32;
            let entropy = Box::new(move || {
                starts += 1;
                starts
            });
            let at_hand = (counters[index as usize].clone(), hands.hands[index as usize].clone());
            cores.push(Core::new(sut, common, port, at_hand.0, at_hand.1, entropy)?);
        }
        let rows = config.cores.iter().zip(&progress).map(|(core, progress)| Sample {
            server: config.server,
            core: core.core,
            reading: Progressed::of(progress),
        });
        Ok(World {
            now: Nanos(1_000_000_000),
            steps: 0,
            phases: config.phases.len(),
            rows: rows.collect(),
            purses: cores.iter().map(|_| Purse::new(packet_cost_ps)).collect(),
            cores,
            generators,
            router: ports.router,
            control,
            progress,
        })
    }

    /// Lets time pass until the router uses every core that is there.
    fn wait(&mut self, mut awaited: Awaited) -> anyhow::Result<()> {
        let start = self.now;
        while !awaited.are_there(self.router.as_mut().map(|(_, events)| events)) {
            ensure!(self.now.since(start) < READY_WITHIN, "the cluster does not come into service");
            self.step();
        }
        Ok(())
    }

    /// Runs one phase to its end; `false`: it was stopped.
    #[expect(clippy::too_many_arguments, reason = "the loop of a function of one caller")]
    fn run_phase(
        &mut self,
        phase: usize,
        start: Nanos,
        mut due: Option<Due>,
        layout: &Layout<'_>,
        hands: &Hands,
        stop: &Stop,
        watch: &mut Watch<'_>,
    ) -> bool {
        watch.notice(Notice::Begins(phase, start));
        self.control.begin(phase, start);
        loop {
            self.step();
            if let Some(injection) = due.filter(|it| it.at <= self.now) {
                hands.inject(layout, &injection);
                watch.injected(&injection, self.now);
                due = None;
            }
            while let Some(event) = self.router.as_mut().and_then(|(_, events)| events.pop().ok()) {
                watch.noticed(&event);
            }
            if self.steps.is_multiple_of(STEPS_PER_SAMPLE) {
                for (row, progress) in self.rows.iter_mut().zip(&self.progress) {
                    row.reading = Progressed::of(progress);
                }
                watch.notice(Notice::Sample(self.now, &self.rows));
            }
            let ended = |it: &Arc<Progress>| it.get(Field::PhasesEnded as usize) > phase as u64;
            if self.progress.iter().all(ended) {
                watch.notice(Notice::Ended(phase));
                return true;
            }
            if stop.is_set() || self.now.since(start) > PHASE_MAX {
                stop.set();
                return false;
            }
        }
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        self.steps += 1;
        let (now, load) = (self.now, Load::default());
        let turn = self.steps.is_multiple_of(STEPS_PER_TURN);
        for generator in &mut self.generators {
            generator.step(now);
            if turn {
                generator.housekeeping(now, &load);
            }
        }
        for (core, purse) in self.cores.iter_mut().zip(&mut self.purses) {
            purse.spend(STEP, || core.step(now));
            if turn {
                core.housekeeping(now, purse.load());
            }
        }
        if let Some((router, _)) = &mut self.router {
            router.step(now);
        }
    }
}
