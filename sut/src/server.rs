//! One server's cores: each a thread of its own, pinned, running until told to stop.
//!
//! The caller makes the ports and hands one to each core; this module knows no network. State is
//! allocated by the thread that will use it, so that its memory is near its processor. A core of a
//! cluster that is asked to leave hands over first.

use crate::baseline::{Baseline, Common};
use crate::cluster::Cluster;
use crate::config::{Config, CoreConfig};
use crate::worker::{self, Counters, Krononat, SetupError};
use dataplane::clock::{Clock, Nanos};
use dataplane::port::Port;
use dataplane::port::dpdk::DpdkError;
use dataplane::run::{Idle, Load, Stop, run_idle};
use dataplane::thread::{PinError, pin};
use dataplane::worker::{Busy, Next, Worker};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// A core that did not run.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// It cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Its port cannot be used from this thread.
    #[error(transparent)]
    Port(#[from] DpdkError),
    /// Its processor is not there.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// How long a core that was asked to leave may take. Handing over takes a few tens of milliseconds.
pub const LEAVE_WITHIN: Nanos = Nanos(2_000_000_000);

/// What the cores of a server are told while they run, and what they do when nothing comes.
#[derive(Debug, Default)]
pub struct Orders {
    /// End at once.
    pub stop: Stop,
    /// End once others have what this server serves, at the latest after [`LEAVE_WITHIN`]. For servers
    /// of a cluster; others have nobody to hand over to.
    pub leave: Stop,
    /// When nothing comes.
    pub idle: Idle,
    /// What the cores share: that of their configuration.
    pub common: Common,
}

/// Runs one core on the calling thread until it is ordered to end. `ready` is called once the core's
/// memory stands and the next packet would be served.
///
/// # Errors
/// Before `ready`: when the processor or the memory is not there.
pub fn run_core<P: Port>(
    config: &Config,
    core: &CoreConfig,
    mut port: P,
    counters: Arc<Counters>,
    clock: &impl Clock,
    orders: &Orders,
    ready: impl FnOnce(),
) -> Result<Load, CoreError> {
    core.cpu.map_or(Ok(()), pin)?;
    port.attach()?;
    match Baseline::new(config, core, port, &orders.common, counters.clone()) {
        Err(port) => {
            let pipeline = worker::pipeline(config, core)?;
            let cluster = Cluster::new(config, core, pipeline.shard(), entropy());
            let nat = Krononat::new(port, pipeline, counters).with_cluster(cluster);
            let mut worker = Parting { nat, leave: &orders.leave, since: None };
            ready();
            Ok(run_idle(&mut worker, clock, &orders.stop, orders.idle))
        }
        Ok(mut worker) => {
            ready();
            Ok(run_idle(&mut worker, clock, &orders.stop, orders.idle))
        }
    }
}

/// A core of Krononat that can be asked to leave.
struct Parting<'a, P: Port> {
    nat: Krononat<P>,
    leave: &'a Stop,
    since: Option<Nanos>,
}

impl<P: Port> Worker for Parting<'_, P> {
    #[inline]
    fn step(&mut self, now: Nanos) -> Busy {
        self.nat.step(now)
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        let next = self.nat.housekeeping(now, load);
        if !self.leave.is_set() {
            return next;
        }
        let since = *self.since.get_or_insert_with(|| {
            self.nat.leave(now);
            now
        });
        let gone = self.nat.cluster().is_none_or(|cluster| cluster.is_gone(now));
        if gone || now.since(since) > LEAVE_WITHIN { Next::Finished } else { next }
    }
}

/// A number that differs from start to start and that nobody can guess.
pub fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
