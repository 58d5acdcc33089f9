//! A generator core, a clock and a controller in one hand.

use dataplane::clock::Nanos;
use dataplane::frame::Arena;
use dataplane::identity::{Identity, Mac};
use dataplane::port::Port;
use dataplane::port::link::{Link, Network};
use dataplane::run::Load;
use dataplane::worker::{CoreId, Next, ServerId, Worker};
use kronogen::attack::Attack;
use kronogen::config::{Config, CoreConfig, Phase, Range, Rate, Until};
use kronogen::control::{Control, Field, Progress};
use kronogen::worker::Generator;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Virtual time of one step.
pub(crate) const STEP: Nanos = Nanos(10_000);

pub(crate) fn phase(name: &str, rate: Rate, until: Until) -> Phase {
    let (name, attack) = (name.to_owned(), Attack::default());
    let (shape, sample) = (None, None);
    Phase { name, open_per_s: 0.0, close_per_s: 0.0, rate, shape, attack, until, sample }
}

pub(crate) fn fill(count: u32) -> Phase {
    Phase { open_per_s: 1e6, ..phase("fill", Rate::None, Until::Held(count)) }
}

pub(crate) fn steady(rate: Rate, milliseconds: u64) -> Phase {
    phase("steady", rate, Until::For(milliseconds * 1_000_000))
}

/// A core that is its own gateway.
pub(crate) fn core(core: u16, connections: u32) -> CoreConfig {
    let mac = Mac::of(1, 0, 0);
    CoreConfig {
        core: CoreId(core),
        cpu: None,
        ports: Vec::new(),
        connections,
        servers: format!("198.18.{core}.0/24").parse().expect("a network"),
        gateways: vec![mac, mac],
        identity: Identity {
            mac,
            vlan: None,
            ip: Ipv4Addr::new(10, 0, 0, 1),
            asn: None,
            gateway: mac,
        },
        subscribers: (0..2)
            .map(|shard| Range { first: Ipv4Addr::new(100, 64 + shard, core as u8, 0), count: 64 })
            .collect(),
    }
}

pub(crate) fn config(connections: u32, phases: Vec<Phase>) -> Config {
    Config {
        server: ServerId(0),
        seed: 24301,
        sizes: vec![64, 594, 1518],
        up_share: 0.5,
        udp_share: 0.5,
        reset_share: 0.0,
        zipf: 0.0,
        translated: false,
        deadline_ns: 100_000,
        drain_ns: 1_000_000,
        batch: 32,
        window: 1024,
        retry_ns: 5_000_000,
        attempts: 5,
        linger_ns: 1_000_000,
        idle: dataplane::run::Idle::Spin,
        cores: vec![core(0, connections)],
        phases,
        network: None,
    }
}

/// A plain wire for each of `cores`, which share the frames of `arena`.
pub(crate) fn wires(arena: &mut Arena, cores: usize) -> Vec<Link<'_>> {
    let frames = arena.buffers().len() / cores;
    let mut network = Network::new(arena, &vec![frames; cores], 1024);
    (0..cores).for_each(|core| network.connect(core, core));
    network.into_ports()
}

/// Cores that are led through their phases together, step by step.
pub(crate) struct Rig<P: Port> {
    pub(crate) cores: Vec<Generator<P>>,
    pub(crate) now: Nanos,
    control: Arc<Control>,
    progress: Vec<Arc<Progress>>,
}

impl<P: Port> Rig<P> {
    pub(crate) fn new(config: &Config, ports: Vec<P>) -> Rig<P> {
        config.validate().expect("a valid configuration");
        let control = Arc::new(Control::default());
        let progress: Vec<Arc<Progress>> = ports.iter().map(|_| Arc::default()).collect();
        let cores = ports
            .into_iter()
            .zip(&progress)
            .enumerate()
            .map(|(index, (port, progress))| {
                Generator::new(config, index, port, control.clone(), progress.clone())
                    .expect("memory")
            })
            .collect();
        Rig { cores, now: Nanos(1_000_000), control, progress }
    }

    /// Sixteen steps of every core, then housekeeping.
    pub(crate) fn turn(&mut self) {
        for _ in 0..16 {
            self.now = self.now + STEP;
            for core in &mut self.cores {
                core.step(self.now);
            }
        }
        for core in &mut self.cores {
            assert_eq!(core.housekeeping(self.now, &Load::default()), Next::Continue);
        }
    }

    /// Orders a phase; returns its start.
    pub(crate) fn begin(&mut self, phase: usize) -> Nanos {
        let start = self.now + Nanos(100_000);
        self.control.begin(phase, start);
        start
    }

    /// Whether every core has ended the phase.
    pub(crate) fn has_ended(&self, phase: usize) -> bool {
        let ended = |p: &Arc<Progress>| p.get(Field::PhasesEnded as usize) == phase as u64 + 1;
        self.progress.iter().all(ended)
    }

    /// Orders a phase and runs until every core has ended it.
    pub(crate) fn run_phase(&mut self, phase: usize) {
        self.begin(phase);
        for _ in 0..100_000 {
            self.turn();
            if self.has_ended(phase) {
                return;
            }
        }
        panic!("phase {phase} does not end");
    }

    pub(crate) fn field(&self, field: Field) -> u64 {
        self.progress[0].get(field as usize)
    }
}
