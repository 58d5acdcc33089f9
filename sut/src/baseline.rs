//! What Krononat is held against: other ways to do the same work, on the same port and thread.
//!
//! - [`Forwarder`]: no state at all, what receiving and sending cost;
//! - [`Maglev`]: a balancer that hashes and keeps nothing;
//! - [`LockedNat`]: the same connections in one table that all cores share, under a lock;
//! - [`RemoteNat`]: connections in a store outside, which every packet asks.
//!
//! They share code with Krononat where that is what makes the comparison fair, and nothing of
//! Krononat knows of them. The rules of the packet path do not hold in here: locks are the very
//! thing to be measured ([ADR 12](../../../docs/adr/0012-baselines.md)). Testbeds start them by
//! [`Baseline::new`]; `krononat` itself does by `kind` of its configuration.

mod locked;
mod maglev;
mod remote;
mod store;

pub use locked::{Lock, LockedNat, SharedTable};
pub use maglev::Maglev;
pub use remote::RemoteNat;

use crate::config::{Config, CoreConfig, Kind};
use crate::forwarder::Forwarder;
use crate::worker::{Counters, SetupError};
use dataplane::clock::Nanos;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::worker::{Busy, Next, Worker};
use std::sync::Arc;

/// What the cores of a server have in common: nothing, but where sharing is the design.
#[derive(Clone, Debug, Default)]
pub struct Common {
    table: Option<Arc<SharedTable>>,
}

impl Common {
    /// What the cores of `config` share.
    ///
    /// # Errors
    /// When the addresses are too scattered, the memory is not there, or the store is not.
    pub fn of(config: &Config) -> Result<Common, SetupError> {
        let lock = match config.kind {
            Kind::LockedNat => Lock::Mutex,
            Kind::RwlockNat => Lock::ReadWrite,
            Kind::RemoteState => {
                // Each core has a connection of its own; this one only tells that there is a store.
                if let Some(socket) = &config.store {
                    store::Store::open(socket)
                        .map_err(|source| SetupError::Store { socket: socket.clone(), source })?;
                }
                return Ok(Common::default());
            }
            Kind::Krononat | Kind::Forwarder | Kind::Maglev => return Ok(Common::default()),
        };
        Ok(Common { table: Some(Arc::new(SharedTable::new(config, lock)?)) })
    }
}

/// A core of a baseline.
pub enum Baseline<P: Port> {
    /// No state.
    Forwarder(Box<Forwarder<P>>),
    /// A hash.
    Maglev(Box<Maglev<P>>),
    /// One table for all cores.
    Locked(Box<LockedNat<P>>),
    /// State in a store.
    Remote(Box<RemoteNat<P>>),
}

impl<P: Port> Baseline<P> {
    /// The core `core` of `config` on `port`, or the port again for [`Kind::Krononat`], which is none.
    ///
    /// # Panics
    /// When `common` is not that of `config`.
    pub fn new(
        config: &Config,
        core: &CoreConfig,
        port: P,
        common: &Common,
        counters: Arc<Counters>,
    ) -> Result<Baseline<P>, P> {
        match config.kind {
            Kind::Krononat => Err(port),
            Kind::Forwarder => {
                let forwarder = Forwarder::new(port, core.identity, counters);
                Ok(Baseline::Forwarder(Box::new(forwarder)))
            }
            Kind::Maglev => Ok(Baseline::Maglev(Box::new(Maglev::new(core, port, counters)))),
            Kind::RemoteState => {
                Ok(Baseline::Remote(Box::new(RemoteNat::new(config, core, port, counters))))
            }
            Kind::LockedNat | Kind::RwlockNat => {
                let table = common.table.clone().expect("made for this configuration");
                // One of them does for all what is to be done once.
                let leads = config.cores.first().is_some_and(|first| first.core == core.core);
                let nat = LockedNat::new(port, core.identity, table, leads, counters);
                Ok(Baseline::Locked(Box::new(nat)))
            }
        }
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        match self {
            Baseline::Forwarder(forwarder) => forwarder.port(),
            Baseline::Maglev(balancer) => balancer.port(),
            Baseline::Locked(nat) => nat.port(),
            Baseline::Remote(nat) => nat.port(),
        }
    }

    /// The port, when the core is no more.
    pub fn into_port(self) -> P {
        match self {
            Baseline::Forwarder(forwarder) => forwarder.into_port(),
            Baseline::Maglev(balancer) => balancer.into_port(),
            Baseline::Locked(nat) => nat.into_port(),
            Baseline::Remote(nat) => nat.into_port(),
        }
    }
}

impl<P: Port> Worker for Baseline<P> {
    #[inline]
    fn step(&mut self, now: Nanos) -> Busy {
        match self {
            Baseline::Forwarder(forwarder) => forwarder.step(now),
            Baseline::Maglev(balancer) => balancer.step(now),
            Baseline::Locked(nat) => nat.step(now),
            Baseline::Remote(nat) => nat.step(now),
        }
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        match self {
            Baseline::Forwarder(forwarder) => forwarder.housekeeping(now, load),
            Baseline::Maglev(balancer) => balancer.housekeeping(now, load),
            Baseline::Locked(nat) => nat.housekeeping(now, load),
            Baseline::Remote(nat) => nat.housekeeping(now, load),
        }
    }
}
