//! One core of Krononat: receive, process, send, and a slice of expiry between bursts.

use crate::cluster::Cluster;
use crate::config::{Config, ConfigError, CoreConfig, blocks_per_address};
use crate::connections::Connections;
use crate::firewall6::{self, Connections6, Firewall6};
use crate::pipeline::{Held, Pipeline};
use crate::ports::{self, PortBlocks};
use crate::shard::{Shard, Territory, TooMany};
use crate::timer::Deadlines;
use crate::verdict::{Drop, Dropped};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::counter::Published;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::worker::{Busy, Next, Worker};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

/// How long a sweep of the whole table takes, if no turn has to leave anything over: what expires is
/// gone at most this much later.
const SWEEP_NS: u64 = 2_000_000_000;

/// Most buckets one turn of housekeeping looks at, and connections it ends before it looks at no
/// more: together some 15 µs, so that no packet waits longer for a turn. What is left over, as in a
/// table of many millions or after a pause, is due at the next.
const BUCKETS_PER_TURN: u64 = 384;
const ENDS_PER_TURN: u64 = 128;

/// Buckets looked at between two counts of what has ended.
const BUCKETS_PER_SLICE: u64 = 16;

/// Most packets that wait while a core asks whether it is to serve them: what has come while it slept
/// and until it knows that nobody answers, at some 60,000 packets a second.
const WAITING_MAX: usize = 2048;

/// A core that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration asks for what cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Too many separate prefixes, or shards.
    #[error(transparent)]
    Shard(#[from] TooMany),
    /// The firewall for IPv6 cannot be made.
    #[error(transparent)]
    Firewall6(#[from] firewall6::NotMade),
    /// The subscribers' port blocks do not fit, or their memory is not there.
    #[error(transparent)]
    Ports(#[from] ports::Refused),
    /// The store does not answer.
    #[error("the store at {}: {source}", socket.display())]
    Store {
        /// Where it was sought.
        socket: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The memory is not there.
    #[error("no memory for {connections} connections and {slots} external ports: {source}")]
    Memory {
        /// Connections wanted.
        connections: u32,
        /// External ports, each with a record.
        slots: usize,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What a core has done, as it counts itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Packets received.
    pub received: u64,
    /// Packets sent on and accepted by the port.
    pub forwarded: u64,
    /// Packets the port refused to send.
    pub refused: u64,
    /// Connections held.
    pub connections: u64,
    /// Connections opened since start.
    pub opened: u64,
    /// Connections expired since start.
    pub expired: u64,
    /// Bytes of memory for connections.
    pub bytes: u64,
    /// Time of steps that moved packets, in nanoseconds.
    pub busy_ns: u64,
    /// Time of all other steps, in nanoseconds.
    pub idle_ns: u64,
    /// Steps that moved packets.
    pub busy_steps: u64,
    /// Shards that the core has taken over since start, and when the last, on the clock of the run.
    #[serde(default)]
    pub takeovers: u64,
    /// See [`Tally::takeovers`].
    #[serde(default)]
    pub taken_over_ns: u64,
    /// Changes told to the cores that hold copies, and bytes of the frames it took.
    #[serde(default)]
    pub told: u64,
    /// See [`Tally::told`].
    #[serde(default)]
    pub told_bytes: u64,
    /// Changes that are not known to be in a copy.
    #[serde(default)]
    pub backlog: u64,
    /// Packets dropped, by [`Drop::index`].
    pub dropped: Dropped,
}

const FIXED: usize = 15;

/// A core's tally, as others read it.
#[derive(Debug, Default)]
pub struct Counters(Published<{ FIXED + Drop::COUNT }>);

impl Counters {
    /// Publishes the owner's tally and where its time went.
    pub fn publish(&self, tally: &Tally, load: &Load) {
        let fixed = [
            tally.received,
            tally.forwarded,
            tally.refused,
            tally.connections,
            tally.opened,
            tally.expired,
            tally.bytes,
            load.busy.0,
            load.idle.0,
            load.busy_steps,
            tally.takeovers,
            tally.taken_over_ns,
            tally.told,
            tally.told_bytes,
            tally.backlog,
        ];
        for (index, value) in fixed.into_iter().chain(tally.dropped.0).enumerate() {
            self.0.set(index, value);
        }
    }

    /// What the owner published last.
    pub fn read(&self) -> Tally {
        let get = |index| self.0.get(index);
        Tally {
            received: get(0),
            forwarded: get(1),
            refused: get(2),
            connections: get(3),
            opened: get(4),
            expired: get(5),
            bytes: get(6),
            busy_ns: get(7),
            idle_ns: get(8),
            busy_steps: get(9),
            takeovers: get(10),
            taken_over_ns: get(11),
            told: get(12),
            told_bytes: get(13),
            backlog: get(14),
            dropped: Dropped(std::array::from_fn(|reason| get(FIXED + reason))),
        }
    }
}

/// Makes the pipeline of one core.
///
/// # Errors
/// When the addresses are too scattered or the memory is not there.
pub fn pipeline(config: &Config, core: &CoreConfig) -> Result<Pipeline, SetupError> {
    pipeline_over(config, core, &core.territories())
}

/// The same for other territories than the core's own.
pub(crate) fn pipeline_over(
    config: &Config,
    core: &CoreConfig,
    territories: &[Territory],
) -> Result<Pipeline, SetupError> {
    let shard = Shard::new(territories, blocks_per_address(config.port_block))?;
    let seed = config.seed ^ (u64::from(config.server.0) << 32 | u64::from(core.core.0) << 48);
    let ports = PortBlocks::new(shard.subscribers(), config.port_block, seed)?;
    let slots = ports.slots();
    let deadlines = Deadlines::new(&config.timers);
    let mut connections =
        Connections::new(ports, config.room(), config.filtering, deadlines, seed).map_err(
            |source| SetupError::Memory { connections: config.connections_max, slots, source },
        )?;
    if let Some(per_s) = config.setups_per_s_max.and_then(NonZeroU32::new) {
        connections = connections.with_setup_limit(per_s);
    }
    if config.cluster.is_some() {
        connections.want_changes();
    }
    let pipeline = Pipeline::new(core.identity, shard, connections, seed);
    if core.subscribers6.is_empty() && core.ip6.is_none() {
        return Ok(pipeline);
    }
    let room = config.connections6_max.max(1);
    let deadlines = Deadlines::for_ipv6(&config.timers);
    let firewall6 = Firewall6::new(&core.subscribers6, core.ip6, room, deadlines, seed)?;
    Ok(pipeline.with_firewall6(firewall6))
}

/// How far the sweep of a pipeline has come.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    swept: Nanos,
}

impl Sweep {
    /// The buckets that are due for a look since the last turn.
    pub(crate) fn go_on(&mut self, pipeline: &mut Pipeline, now: Nanos) {
        let all = pipeline.connections().buckets() as u64;
        let elapsed = now.since(self.swept).0.min(SWEEP_NS);
        let due = all * elapsed / SWEEP_NS;
        if due == 0 {
            return;
        }
        let (before, mut done) = (expired(pipeline), 0);
        while done < due.min(BUCKETS_PER_TURN) && expired(pipeline) - before < ENDS_PER_TURN {
            let slice = (due - done).min(BUCKETS_PER_SLICE);
            pipeline.sweep(now, slice as usize);
            done += slice;
        }
        self.swept = Nanos(now.0 - (due - done) * SWEEP_NS / all);
    }
}

fn expired(pipeline: &Pipeline) -> u64 {
    let six = pipeline.firewall6().map_or(0, |six| six.connections().expired);
    pipeline.connections().expired + six
}

/// One core of Krononat on its port.
pub struct Krononat<P: Port> {
    port: P,
    pipeline: Pipeline,
    held: Held<P::Frame>,
    cluster: Option<Cluster>,
    /// Packets that wait for an answer to the cluster's question, the oldest in front.
    waiting: VecDeque<P::Frame>,
    received: u64,
    forwarded: u64,
    sweep: Sweep,
    counters: Arc<Counters>,
}

impl<P: Port> Krononat<P> {
    /// A core on `port`, which publishes what it does to `counters`.
    pub fn new(port: P, pipeline: Pipeline, counters: Arc<Counters>) -> Self {
        let held = Held::new();
        let cluster = None;
        Krononat {
            port,
            pipeline,
            held,
            cluster,
            waiting: VecDeque::new(),
            received: 0,
            forwarded: 0,
            sweep: Sweep::default(),
            counters,
        }
    }

    /// The same core as a part of a cluster.
    #[must_use]
    pub fn with_cluster(self, cluster: Option<Cluster>) -> Self {
        let room = if cluster.is_some() { WAITING_MAX } else { 0 };
        Krononat { cluster, waiting: VecDeque::with_capacity(room), ..self }
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// The port, when the core is no more.
    pub fn into_port(mut self) -> P {
        self.port.free(&mut self.held.take());
        while !self.waiting.is_empty() {
            let mut burst = self.next_waiting();
            self.port.free(&mut burst);
        }
        self.port
    }

    /// Packets that wait until it is known whether this core serves them.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn next_waiting(&mut self) -> Burst<P::Frame> {
        let count = self.waiting.len().min(BURST);
        self.waiting.drain(..count).collect()
    }

    /// Its part in a cluster.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Hands over what it serves, and has done with it when [`Cluster::is_gone`].
    pub fn leave(&mut self, now: Nanos) {
        if let Some(cluster) = &mut self.cluster {
            cluster.leave(now);
        }
    }

    /// The core's packets and their connections.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Sends or frees what need not be held any longer.
    fn release(&mut self, now: Nanos) {
        let (mut send, mut free) = (Burst::new(), Burst::new());
        self.pipeline.release(&mut self.held, now, &mut send, &mut free);
        if !send.is_empty() {
            self.forwarded += self.port.tx(&mut send) as u64;
        }
        if !free.is_empty() {
            self.port.free(&mut free);
        }
    }

    /// What the cluster wants done; returns frames sent.
    #[inline]
    fn work(&mut self, now: Nanos) -> u32 {
        let Some(cluster) = &mut self.cluster else { return 0 };
        cluster.work(&mut self.port, &mut self.pipeline, now)
    }

    #[inline]
    fn is_asking(&self, now: Nanos) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.is_asking(now))
    }

    fn tally(&self) -> Tally {
        let (counts, connections) = (self.pipeline.counts(), self.pipeline.connections());
        let six = self.pipeline.firewall6().map(Firewall6::connections);
        let cluster = self.cluster.as_ref().map(Cluster::counts).unwrap_or_default();
        let mut tally = Tally {
            received: self.received - cluster.received,
            forwarded: self.forwarded,
            refused: self.port.stats().refused,
            connections: (connections.len() + six.map_or(0, Connections6::len)) as u64,
            opened: connections.opened + six.map_or(0, |six| six.opened),
            expired: connections.expired + six.map_or(0, |six| six.expired),
            bytes: (connections.bytes() + six.map_or(0, Connections6::bytes)) as u64,
            dropped: Dropped(counts.dropped),
            ..Tally::default()
        };
        for (_, member, link) in self.cluster.iter().flat_map(Cluster::shards) {
            tally.takeovers += member.takeovers;
            tally.taken_over_ns = tally.taken_over_ns.max(member.taken_at.0);
            tally.told += link.counts.told;
            tally.told_bytes += link.counts.bytes;
            tally.backlog += link.backlog();
        }
        tally
    }
}

impl<P: Port> Worker for Krononat<P> {
    #[inline]
    fn step(&mut self, now: Nanos) -> Busy {
        let mut burst = Burst::new();
        if self.waiting.is_empty() || self.is_asking(now) {
            self.port.rx(&mut burst);
        } else {
            burst = self.next_waiting();
            self.received -= burst.len() as u64;
        }
        let received = burst.len() as u32;
        if received == 0 {
            return Busy(self.work(now));
        }
        self.received += u64::from(received);
        if let Some(cluster) = &mut self.cluster {
            let mut own = Burst::new();
            cluster.receive(&mut burst, &mut own, &mut self.pipeline, now);
            if !own.is_empty() {
                self.port.free(&mut own);
            }
            if cluster.is_asking(now) {
                cluster.set_aside(&mut burst, &mut self.waiting, &self.pipeline);
            }
        }
        let (mut verdicts, mut send, mut free) = (ArrayVec::new(), Burst::new(), Burst::new());
        let held = &mut self.held;
        self.pipeline.process(&mut burst, now, &mut verdicts, &mut send, &mut free, held);
        self.forwarded += self.port.tx(&mut send) as u64;
        if !free.is_empty() {
            self.port.free(&mut free);
        }
        if !self.held.is_empty() {
            self.release(now);
        }
        Busy(received + self.work(now))
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        self.sweep.go_on(&mut self.pipeline, now);
        self.release(now);
        self.counters.publish(&self.tally(), load);
        Next::Continue
    }
}
