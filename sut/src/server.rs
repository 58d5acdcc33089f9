//! One server's cores: each a thread of its own, pinned, running until told to stop.
//!
//! The caller makes the ports and hands one to each core; this module knows no network. State is
//! allocated by the thread that will use it, so that its memory is near its processor.

use crate::cluster::Cluster;
use crate::config::{Config, CoreConfig, Kind};
use crate::forwarder::Forwarder;
use crate::worker::{self, Counters, Krononat, SetupError};
use dataplane::clock::Clock;
use dataplane::port::Port;
use dataplane::port::dpdk::DpdkError;
use dataplane::run::{Load, Stop, run};
use dataplane::thread::{PinError, pin};
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

/// Runs one core on the calling thread until `stop` is set. `ready` is called once the core's
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
    stop: &Stop,
    ready: impl FnOnce(),
) -> Result<Load, CoreError> {
    core.cpu.map_or(Ok(()), pin)?;
    port.attach()?;
    match config.kind {
        Kind::Krononat => {
            let pipeline = worker::pipeline(config, core)?;
            let cluster = Cluster::new(config, core, pipeline.shard(), entropy());
            let mut worker = Krononat::new(port, pipeline, counters).with_cluster(cluster);
            ready();
            Ok(run(&mut worker, clock, stop))
        }
        Kind::Forwarder => {
            let mut worker = Forwarder::new(port, core.identity, counters);
            ready();
            Ok(run(&mut worker, clock, stop))
        }
    }
}

/// A number that differs from start to start and that nobody can guess.
pub fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
