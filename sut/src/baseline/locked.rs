//! The NAT as it is commonly built: one table for all cores, and a lock.
//!
//! Table, records, ports, state machine and translation are Krononat's own, so that what differs is
//! sharing alone. A core takes the lock once for a burst, which is the best a lock can be used: per
//! packet it costs up to 32 times as many transfers of its cache line.
//!
//! With [`Lock::Mutex`] all work on connections is done under the lock. With [`Lock::ReadWrite`]
//! packets that leave their connection as it is are translated by readers, who do not exclude each
//! other; all others, and who sweeps, write. For there to be readers at all, a packet does not
//! prolong its connection each time, but once an eighth of its timer has passed: a connection may
//! end that much sooner than in Krononat.
//!
//! The network still steers each subscriber to one core, so a connection's record does not wander
//! between caches; with receive-side scaling, which splits the directions of a NAT, it would.

use crate::config::{Config, CoreConfig};
use crate::pipeline::{Held, Pipeline, Seat};
use crate::verdict::{Dropped, Verdict};
use crate::worker::{Counters, SetupError, Sweep, Tally, pipeline_over};
use arrayvec::ArrayVec;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::identity::Identity;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::worker::{Busy, Next, Worker};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Which lock the table is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// One core at a time.
    Mutex,
    /// Any number of readers, or one writer.
    ReadWrite,
}

enum Locked {
    Mutex(Mutex<Pipeline>),
    ReadWrite(RwLock<Pipeline>),
}

/// The table that all cores share.
pub struct SharedTable(Locked);

impl fmt::Debug for SharedTable {
    /// Its millions of entries are not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedTable(..)")
    }
}

impl SharedTable {
    /// One for all cores of `config`, as large as theirs together.
    ///
    /// # Errors
    /// When the addresses are too scattered or the memory is not there.
    ///
    /// # Panics
    /// When it has no cores.
    pub fn new(config: &Config, lock: Lock) -> Result<SharedTable, SetupError> {
        let territories: Vec<_> = config.cores.iter().flat_map(CoreConfig::territories).collect();
        let all = pipeline_over(&config.joined(), &config.cores[0], &territories)?;
        Ok(SharedTable(match lock {
            Lock::Mutex => Locked::Mutex(Mutex::new(all)),
            Lock::ReadWrite => Locked::ReadWrite(RwLock::new(all)),
        }))
    }

    /// Calls `with` while nobody else has the table. Whoever panicked with it has left it as any
    /// packet does.
    fn write<T>(&self, with: impl FnOnce(&mut Pipeline) -> T) -> T {
        match &self.0 {
            Locked::Mutex(table) => with(&mut table.lock().unwrap_or_else(PoisonError::into_inner)),
            Locked::ReadWrite(table) => {
                with(&mut table.write().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }
}

/// One core that works on the shared table.
pub struct LockedNat<P: Port> {
    port: P,
    seat: Seat,
    table: Arc<SharedTable>,
    /// Sweeps the table and tells its size, for all.
    leads: bool,
    sweep: Sweep,
    held: Held<P::Frame>,
    tally: Tally,
    dropped: Dropped,
    counters: Arc<Counters>,
}

impl<P: Port> LockedNat<P> {
    /// A core on `port`, which publishes what it does to `counters`; one of them all `leads`.
    pub fn new(
        port: P,
        identity: Identity,
        table: Arc<SharedTable>,
        leads: bool,
        counters: Arc<Counters>,
    ) -> Self {
        LockedNat {
            port,
            seat: Seat::of(identity),
            table,
            leads,
            sweep: Sweep::default(),
            held: Held::new(),
            tally: Tally::default(),
            dropped: Dropped::default(),
            counters,
        }
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// The port, when the core is no more.
    pub fn into_port(mut self) -> P {
        self.port.free(&mut self.held.take());
        self.port
    }

    /// Moves to `send` what readers may forward; the rest stays.
    #[inline]
    fn read(&self, burst: &mut Burst<P::Frame>, now: Nanos, send: &mut Burst<P::Frame>) {
        let Locked::ReadWrite(table) = &self.table.0 else { return };
        let forwarded = {
            let table = table.read().unwrap_or_else(PoisonError::into_inner);
            table.forward_unchanged(&self.seat, burst, now)
        };
        if forwarded.is_all_of(burst.len()) {
            std::mem::swap(burst, send);
            return;
        }
        let mut rest = Burst::new();
        for (index, frame) in burst.drain(..).enumerate() {
            if forwarded.has(index) { send.push(frame) } else { rest.push(frame) }
        }
        *burst = rest;
    }

    fn send(&mut self, send: &mut Burst<P::Frame>, free: &mut Burst<P::Frame>) {
        if !send.is_empty() {
            self.tally.forwarded += self.port.tx(send) as u64;
        }
        if !free.is_empty() {
            self.port.free(free);
        }
    }

    /// Sends or frees what need not be held any longer.
    fn release(&mut self, now: Nanos) {
        if self.held.is_empty() {
            return;
        }
        let (mut send, mut free) = (Burst::new(), Burst::new());
        let (seat, held) = (&self.seat, &mut self.held);
        self.table.write(|table| {
            table.sit(seat);
            table.release(held, now, &mut send, &mut free);
        });
        self.send(&mut send, &mut free);
    }
}

impl<P: Port> Worker for LockedNat<P> {
    #[inline]
    fn step(&mut self, now: Nanos) -> Busy {
        let mut burst = Burst::new();
        self.port.rx(&mut burst);
        let received = burst.len();
        if received == 0 {
            return Busy(0);
        }
        self.tally.received += received as u64;
        let (mut verdicts, mut send, mut free) = (ArrayVec::new(), Burst::new(), Burst::new());
        self.read(&mut burst, now, &mut send);
        if !burst.is_empty() {
            let (seat, held) = (&self.seat, &mut self.held);
            self.table.write(|table| {
                table.sit(seat);
                table.process(&mut burst, now, &mut verdicts, &mut send, &mut free, held);
            });
            for verdict in &verdicts {
                if let Verdict::Dropped(reason) = verdict {
                    self.dropped.0[reason.index()] += 1;
                }
            }
        }
        self.send(&mut send, &mut free);
        self.release(now);
        Busy(received as u32)
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        self.release(now);
        if self.leads {
            let (sweep, tally) = (&mut self.sweep, &mut self.tally);
            self.table.write(|table| {
                sweep.go_on(table, now);
                let connections = table.connections();
                tally.connections = connections.len() as u64;
                tally.opened = connections.opened;
                tally.expired = connections.expired;
                tally.bytes = connections.bytes() as u64;
            });
        }
        self.tally.refused = self.port.stats().refused;
        self.tally.dropped = self.dropped;
        self.counters.publish(&self.tally, load);
        Next::Continue
    }
}
