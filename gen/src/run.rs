//! Runs the cores of one generator server through their phases, on pinned threads.
//!
//! The caller makes the ports. All cores begin a phase at one instant, set a few milliseconds
//! ahead, and the next phase begins when all have drained the last one; a fill that takes one core
//! longer is waited for. A stop ends the run at once with the records so far, the open phase marked
//! as interrupted.

use crate::config::{Config, ConfigError};
use crate::control::{Control, Field, Progress, Reading};
use crate::trial::Record;
use crate::worker::Generator;
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::frame::Arena;
use dataplane::port::dpdk::DpdkError;
use dataplane::port::link::{Link, Network, frames_per_lane};
use dataplane::port::{Port, PortStats};
use dataplane::run::{Idle, Load, Stop, run_idle};
use dataplane::thread::{PinError, pin};
use dataplane::worker::{CoreId, ServerId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Time between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// How far ahead a common start is set.
const LEAD: Nanos = Nanos(5_000_000);

/// Time between two looks of the controller at its cores.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Why the cores of a server did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration holds a value no core can work with.
    #[error("generator configuration: {0}")]
    Config(#[from] ConfigError),
    /// As many ports as cores are needed.
    #[error("{ports} ports for {cores} generator cores: give each core one")]
    Ports {
        /// Ports given.
        ports: usize,
        /// Cores configured.
        cores: usize,
    },
    /// A thread could not be pinned.
    #[error("generator core {core}: {source}")]
    Pin {
        /// Core.
        core: CoreId,
        /// Processor and answer of the kernel.
        source: PinError,
    },
    /// A port cannot be used from its core's thread.
    #[error("generator core {core}: {source}")]
    Port {
        /// Core.
        core: CoreId,
        /// The driver's answer.
        source: DpdkError,
    },
    /// No memory for connection records.
    #[error("generator core {core} gets no memory for {records} connection records: {source}")]
    Memory {
        /// Core.
        core: CoreId,
        /// Records wanted, 64 bytes each.
        records: usize,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A thread panicked: a defect.
    #[error("generator core {core} panicked: {message}")]
    Panic {
        /// Core.
        core: CoreId,
        /// Its last words.
        message: String,
    },
}

/// One core at one sampling instant.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Server.
    pub server: ServerId,
    /// Core.
    pub core: CoreId,
    /// What it published last.
    pub reading: Reading,
}

/// What the controller tells whoever watches a run.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'a> {
    /// All cores have come to rest, and phase `.0`, counted from 0, begins at `.1`.
    Begins(usize, Nanos),
    /// All cores have ended and drained a phase; nothing is under way.
    Ended(usize),
    /// About every 100 ms: the time, and a row per core.
    Sample(Nanos, &'a [Sample]),
}

/// What a core leaves behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Core.
    pub core: CoreId,
    /// One record per phase begun.
    pub records: Vec<Record>,
    /// Where its thread's time went.
    pub load: Load,
    /// What its port has done.
    pub port: PortStats,
    /// Bytes held for connection records.
    pub resident_bytes: usize,
}

/// Runs `config` on `ports`, one per core in the order of the configuration. `notify` is told
/// of every phase and, about every 100 ms, how each core does.
///
/// # Errors
/// When the configuration is invalid, or a core could not start or panicked; all others are stopped
/// then.
pub fn run_cores<P: Port + Send>(
    config: &Config,
    ports: Vec<P>,
    clock: &Tsc,
    stop: &Stop,
    notify: impl FnMut(Notice<'_>),
) -> Result<Vec<Outcome>, RunError> {
    run_cores_when(config, ports, &mut |_| Some(soon(clock)), clock, stop, notify)
}

/// The instant at which cores begin together that are told now.
pub fn soon(clock: &Tsc) -> Nanos {
    clock.now() + LEAD
}

/// The same, each phase when `start_of` it is known. It is asked again and again once every core
/// has come to rest: a network may take its time to stand, and other servers to be ready.
///
/// # Errors
/// As [`run_cores`].
pub fn run_cores_when<P: Port + Send>(
    config: &Config,
    ports: Vec<P>,
    start_of: &mut dyn FnMut(usize) -> Option<Nanos>,
    clock: &Tsc,
    stop: &Stop,
    mut notify: impl FnMut(Notice<'_>),
) -> Result<Vec<Outcome>, RunError> {
    config.validate()?;
    let cores = config.cores.len();
    if ports.len() != cores {
        return Err(RunError::Ports { ports: ports.len(), cores });
    }
    let control = Arc::new(Control::default());
    let progress: Vec<Arc<Progress>> = (0..cores).map(|_| Arc::default()).collect();
    let (ready, gone) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = ports
            .into_iter()
            .enumerate()
            .map(|(index, port)| {
                let (control, progress) = (control.clone(), progress[index].clone());
                let (ready, gone, core) = (&ready, &gone, config.cores[index].core);
                scope.spawn(move || {
                    let _gone = CountOnDrop(gone);
                    let generator = make(config, index, port, control, progress)?;
                    ready.fetch_add(1, Ordering::Relaxed);
                    Ok(drive(generator, core, clock, stop, config.idle))
                })
            })
            .collect();
        let watch = Watch { config, clock, stop, progress: &progress, gone: &gone };
        let stands = || ready.load(Ordering::Relaxed) == cores;
        watch.conduct(&control, &stands, start_of, &mut notify);
        control.finish();
        let joined = threads.into_iter().zip(&config.cores).map(|(thread, core)| {
            thread.join().unwrap_or_else(|panic| {
                let message = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
                let message = message.unwrap_or_else(|| "no message".to_owned());
                Err(RunError::Panic { core: core.core, message })
            })
        });
        joined.collect()
    })
}

/// Counts a thread that leaves, however it leaves.
struct CountOnDrop<'a>(&'a AtomicUsize);

impl Drop for CountOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes a core on the thread that uses it, so that its memory is near.
fn make<P: Port>(
    config: &Config,
    index: usize,
    mut port: P,
    control: Arc<Control>,
    progress: Arc<Progress>,
) -> Result<Generator<P>, RunError> {
    let core = &config.cores[index];
    if let Some(cpu) = core.cpu {
        pin(cpu).map_err(|source| RunError::Pin { core: core.core, source })?;
    }
    port.attach().map_err(|source| RunError::Port { core: core.core, source })?;
    let generator = Generator::new(config, index, port, control, progress);
    generator.map_err(|source| {
        let records = config.records(core);
        RunError::Memory { core: core.core, records, source }
    })
}

fn drive<P: Port>(
    mut generator: Generator<P>,
    core: CoreId,
    clock: &Tsc,
    stop: &Stop,
    idle: Idle,
) -> Outcome {
    let load = run_idle(&mut generator, clock, stop, idle);
    Outcome {
        core,
        records: generator.records(),
        load,
        port: generator.port_stats(),
        resident_bytes: generator.resident_bytes(),
    }
}

/// The controller's view of its cores.
struct Watch<'a> {
    config: &'a Config,
    clock: &'a Tsc,
    stop: &'a Stop,
    progress: &'a [Arc<Progress>],
    gone: &'a AtomicUsize,
}

impl Watch<'_> {
    /// Leads all cores through all phases; returns early when one has left or a stop was asked.
    fn conduct(
        &self,
        control: &Control,
        stands: &dyn Fn() -> bool,
        start_of: &mut dyn FnMut(usize) -> Option<Nanos>,
        notify: &mut impl FnMut(Notice<'_>),
    ) {
        let mut rows = Vec::with_capacity(self.progress.len());
        let mut sampled = self.clock.now();
        let mut wait = |notify: &mut dyn FnMut(Notice<'_>), done: &mut dyn FnMut() -> bool| {
            while !done() {
                if self.stop.is_set() || self.gone.load(Ordering::Relaxed) > 0 {
                    return false;
                }
                thread::sleep(LOOK_EVERY);
                let now = self.clock.now();
                if now.since(sampled) >= Nanos::from(SAMPLE_EVERY) {
                    sampled = now;
                    self.read(&mut rows);
                    notify(Notice::Sample(now, &rows));
                }
            }
            true
        };
        if !wait(notify, &mut || stands()) {
            return;
        }
        for phase in 0..self.config.phases.len() {
            let mut known = None;
            let mut is_known = || {
                known = start_of(phase);
                known.is_some()
            };
            if !wait(notify, &mut is_known) {
                return;
            }
            let Some(start) = known else { return };
            notify(Notice::Begins(phase, start));
            control.begin(phase, start);
            let ended =
                |progress: &Arc<Progress>| progress.get(Field::PhasesEnded as usize) > phase as u64;
            if !wait(notify, &mut || self.progress.iter().all(ended)) {
                return;
            }
            notify(Notice::Ended(phase));
        }
    }

    fn read(&self, rows: &mut Vec<Sample>) {
        rows.clear();
        rows.extend(self.progress.iter().zip(&self.config.cores).map(|(progress, core)| Sample {
            server: self.config.server,
            core: core.core,
            reading: Reading::of(progress),
        }));
    }
}

/// Runs the same work through plain wires: every core's port receives what it sends. What it
/// reaches is what the generator can do; a result near it says nothing of the system under test.
///
/// # Errors
/// As [`run_cores`]; also when there is no memory for frames.
pub fn twin(
    config: &Config,
    depth: usize,
    clock: &Tsc,
    stop: &Stop,
    notify: impl FnMut(Notice<'_>),
) -> Result<Vec<Outcome>, RunError> {
    let mut config = Config { translated: false, ..config.clone() };
    for core in &mut config.cores {
        core.gateways.fill(core.identity.mac);
    }
    let frames = frames_per_lane(depth);
    let cores = config.cores.len();
    let first = config.cores.first().map_or(CoreId(0), |core| core.core);
    let mut arena = Arena::new(frames * cores).map_err(|source| RunError::Memory {
        core: first,
        records: frames * cores,
        source,
    })?;
    let mut network = Network::new(&mut arena, &vec![frames; cores], depth);
    (0..cores).for_each(|core| network.connect(core, core));
    let ports: Vec<Link<'_>> = network.into_ports();
    run_cores(&config, ports, clock, stop, notify)
}
