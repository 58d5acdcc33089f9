//! Packets a second of several cores that share nothing, and of as many that share one table under a
//! lock: the same code, the same connections, all cores at once.
//!
//! Each core has packets of its own subscribers alone, made as it receives them, so what differs is
//! the table and its lock. No generator takes a core, so two processors are enough for two cores.
//! A core works as it does in a run, but for housekeeping: no timer ends meanwhile.

use super::rig::{Crowd, End, PER_SUBSCRIBER, sources, udp};
use super::{Options, spread};
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Buffer};
use dataplane::identity::Mac;
use dataplane::port::{Port, PortStats};
use dataplane::thread::{allowed_cpus, pin};
use dataplane::worker::{CoreId, Worker};
use krononat::baseline::{Baseline, Common};
use krononat::config::{Config, Kind};
use krononat::worker::{self, Counters, Krononat};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::json;
use std::net::Ipv4Addr;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

const DESIGNS: [(Kind, &str); 3] = [
    (Kind::Krononat, "krononat"),
    (Kind::LockedNat, "locked-nat"),
    (Kind::RwlockNat, "rwlock-nat"),
];

/// How long all cores of a design work in a round.
const SLICE: Duration = Duration::from_millis(200);

/// A network of one: packets of random connections come from it, half of them in each direction, once
/// all are open, and what is sent goes back to the pool.
struct Network<'a> {
    pool: Vec<&'a mut Buffer>,
    crowd: Crowd,
    /// What of the crowd's addresses is this core's.
    first_subscriber: u32,
    station: Mac,
    connections: u32,
    /// Outer end of every connection that is open.
    outside: Vec<End>,
    random: Xoshiro256PlusPlus,
    sent: u64,
}

impl Network<'_> {
    fn inside(&self, number: u32) -> End {
        let (address, port) = self.crowd.inside(number);
        (address + self.first_subscriber, port)
    }

    fn is_open(&self) -> bool {
        self.outside.len() == self.connections as usize
    }

    /// Ends of the next packet, the `at`-th of its burst.
    fn next(&mut self, at: usize) -> (End, End) {
        if !self.is_open() {
            let number = (self.outside.len() + at) as u32;
            return (self.inside(number), self.crowd.remote(number));
        }
        let bits = self.random.next_u64();
        let number = (((bits >> 32) * u64::from(self.connections)) >> 32) as u32;
        if bits & 1 == 0 {
            (self.inside(number), self.crowd.remote(number))
        } else {
            (self.crowd.remote(number), self.outside[number as usize])
        }
    }
}

impl<'a> Port for Network<'a> {
    type Frame = &'a mut Buffer;

    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        let rest = self.connections as usize - self.outside.len();
        for at in 0..if rest == 0 { BURST } else { rest.min(BURST) } {
            let (from, to) = self.next(at);
            let Some(mut frame) = self.pool.pop() else { return };
            udp(&mut frame, from, to, self.station);
            into.push(frame);
        }
    }

    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        if !self.is_open() {
            self.outside.extend(sources(burst));
        }
        self.sent += burst.len() as u64;
        let count = burst.len();
        self.pool.extend(burst.drain(..));
        count
    }

    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        into.extend(self.pool.drain(self.pool.len().saturating_sub(count)..));
    }

    /// Nothing is ever dropped.
    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        panic!("{} packets were dropped", burst.len());
    }

    fn room(&mut self) -> usize {
        self.pool.len()
    }

    fn stats(&self) -> PortStats {
        PortStats { sent: self.sent, ..PortStats::default() }
    }
}

enum Core<'a> {
    Own(Box<Krononat<Network<'a>>>),
    Sharing(Baseline<Network<'a>>),
}

impl<'a> Core<'a> {
    fn step(&mut self, now: Nanos) {
        match self {
            Core::Own(core) => core.step(now),
            Core::Sharing(core) => core.step(now),
        };
    }

    fn network(&mut self) -> &mut Network<'a> {
        match self {
            Core::Own(core) => core.port(),
            Core::Sharing(core) => core.port(),
        }
    }
}

/// `cores` of the crowd's cores, with room for `connections` each.
fn config(kind: Kind, crowd: Crowd, connections: u32, cores: usize) -> Config {
    let mut config = crowd.config(connections);
    config.kind = kind;
    let first = config.cores.pop().expect("one core");
    let beyond = |net: ipnet::Ipv4Net, cores: usize| {
        let count = 1 << (32 - net.prefix_len());
        let address = Ipv4Addr::from(u32::from(net.network()) + cores as u32 * count);
        ipnet::Ipv4Net::new(address, net.prefix_len()).expect("the same length")
    };
    config.cores = (0..cores)
        .map(|number| {
            let mut core = first.clone();
            core.core = CoreId(number as u16);
            core.identity.mac = station(number);
            core.identity.ip = Ipv4Addr::from(u32::from(core.identity.ip) + number as u32);
            core.subscribers.iter_mut().for_each(|net| *net = beyond(*net, number));
            core.external = core.external.map(|net| beyond(net, number));
            core
        })
        .collect();
    config
}

fn station(core: usize) -> Mac {
    Mac::of(1, 0, core as u16)
}

/// All cores of a design, their connections open.
fn open<'a>(config: &Config, crowd: Crowd, each: u32, arenas: &'a mut [Arena]) -> Vec<Core<'a>> {
    let common = Common::of(config).expect("memory for the table");
    let cores = config.cores.iter().zip(arenas).enumerate().map(|(number, (core, arena))| {
        let network = Network {
            pool: arena.buffers().collect(),
            crowd,
            first_subscriber: number as u32 * crowd.subscribers,
            station: core.identity.mac,
            connections: each,
            outside: Vec::with_capacity(each as usize),
            random: Xoshiro256PlusPlus::seed_from_u64(number as u64),
            sent: 0,
        };
        let counters = Arc::new(Counters::default());
        let mut core = match Baseline::new(config, core, network, &common, counters.clone()) {
            Ok(sharing) => Core::Sharing(sharing),
            Err(network) => {
                let pipeline = worker::pipeline(config, core).expect("memory for the core");
                Core::Own(Box::new(Krononat::new(network, pipeline, counters)))
            }
        };
        while !core.network().is_open() {
            core.step(Nanos(0));
        }
        core
    });
    cores.collect()
}

/// Mpps of these cores together, each on a processor of its own.
fn rate(cores: &mut [Core], cpus: &[usize], begin: Instant) -> f64 {
    let barrier = Barrier::new(cores.len());
    thread::scope(|scope| {
        let threads: Vec<_> = cores
            .iter_mut()
            .zip(cpus)
            .map(|(core, &cpu)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    pin(cpu).expect("a processor of this process");
                    barrier.wait();
                    let (before, start) = (core.network().sent, Instant::now());
                    while start.elapsed() < SLICE {
                        let now = Nanos(begin.elapsed().as_nanos() as u64);
                        (0..16).for_each(|_| core.step(now));
                    }
                    (core.network().sent - before) as f64 / start.elapsed().as_secs_f64() / 1e6
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a core")).sum()
    })
}

pub(crate) fn measure(options: &Options) {
    let cpus = allowed_cpus();
    let count = cpus.len().min(64);
    let each = options.connections.div_ceil(count as u32);
    let crowd = Crowd::of(each, PER_SUBSCRIBER);
    let mut arenas: Vec<Vec<Arena>> =
        DESIGNS.map(|_| (0..count).map(|_| Arena::new(BURST).expect("memory")).collect()).into();
    let configs = DESIGNS.map(|(kind, _)| config(kind, crowd, each, count));
    let mut designs: Vec<_> = configs
        .iter()
        .zip(&mut arenas)
        .map(|(config, arenas)| open(config, crowd, each, arenas))
        .collect();
    let begin = Instant::now();
    let mut alone = vec![Vec::new(); DESIGNS.len()];
    let mut together = vec![Vec::new(); DESIGNS.len()];
    for round in 0..options.rounds {
        for turn in 0..DESIGNS.len() {
            // Each round begins with another, so that what drifts drifts under all.
            let at = (round + turn) % DESIGNS.len();
            alone[at].push(rate(&mut designs[at][..1], &cpus, begin));
            together[at].push(rate(&mut designs[at], &cpus, begin));
        }
    }
    report(options, count, each, &alone, &together);
}

fn report(options: &Options, cores: usize, each: u32, alone: &[Vec<f64>], together: &[Vec<f64>]) {
    let ratios = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>();
    let show = |figures: &[f64]| {
        let [least, median, most] = spread(figures);
        format!("{median:.2} ({least:.2} to {most:.2})")
    };
    let mut text = format!("{cores} cores, {each} connections each, {} rounds", options.rounds);
    for (at, (_, name)) in DESIGNS.iter().enumerate() {
        text += &format!(
            "\n{name:10} one core {} Mpps, {cores} cores {}, {} times one; krononat ÷ it {}",
            show(&alone[at]),
            show(&together[at]),
            show(&ratios(&together[at], &alone[at])),
            show(&ratios(&together[0], &together[at])),
        );
    }
    let json = json!({"sharing": {
        "cores": cores,
        "connections": each,
        "designs": DESIGNS.map(|(_, name)| name),
        "one_core_mpps": alone,
        "all_cores_mpps": together,
    }});
    options.print(&json, text);
}
