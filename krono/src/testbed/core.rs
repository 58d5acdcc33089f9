//! A SUT core as the harness sees it: it can be killed, put to sleep, asked to leave and started again.
//!
//! None of this reaches the network by another way than packets. A core that is dead or hangs leaves
//! its port to nobody: frames that come are gone, as in a NIC whose queues are full, and given back to
//! their pools, because memory is not what is to be tested.

use crate::layout::Layout;
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::worker::{Busy, Next, Worker};
use format::plan::Plan;
use krononat::baseline::{Baseline, Common};
use krononat::cluster::Cluster;
use krononat::config::Config;
use krononat::worker::{Counters, Krononat, SetupError, pipeline};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is to become of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Order {
    /// It runs; one that does not is started, with nothing but its configuration.
    Run,
    /// It is gone at once.
    Die,
    /// It polls no more, and knows what it knew.
    Hang,
    /// It hands over, withdraws and ends.
    Leave,
    /// The same, and then it is started again.
    Renew,
}

/// The harness's hand on one core: written by one thread, obeyed by another.
#[derive(Debug)]
pub(super) struct Hand(AtomicU8);

impl Hand {
    /// A core that is to run, or is not there at the start.
    pub(super) fn new(order: Order) -> Hand {
        Hand(AtomicU8::new(order as u8))
    }

    /// Gives an order.
    pub(super) fn order(&self, order: Order) {
        self.0.store(order as u8, Ordering::Relaxed);
    }

    fn read(&self) -> Order {
        let orders = [Order::Run, Order::Die, Order::Hang, Order::Leave, Order::Renew];
        orders[usize::from(self.0.load(Ordering::Relaxed))]
    }
}

enum State<P: Port> {
    Nat(Box<Krononat<P>>),
    Baseline(Baseline<P>),
    Gone(P),
}

/// What the cores of each server share; `store` is where those keep their state that have it outside.
///
/// # Errors
/// When the memory for it is not there.
pub(super) fn common(
    layout: &Layout<'_>,
    plan: &Plan,
    store: Option<&Path>,
) -> Result<Vec<Common>, SetupError> {
    let config = |server| Config { store: store.map(Path::to_owned), ..layout.sut(server) };
    (0..plan.topology.sut_servers).map(|server| Common::of(&config(server))).collect()
}

/// One SUT core under the harness's hand.
pub(super) struct Core<P: Port> {
    /// `None` only while it changes.
    state: Option<State<P>>,
    hand: Arc<Hand>,
    config: Config,
    index: usize,
    common: Common,
    counters: Arc<Counters>,
    /// Where numbers come from that must differ from start to start.
    entropy: Box<dyn FnMut() -> u64 + Send>,
    left: bool,
    renewed: bool,
    trouble: Option<SetupError>,
}

impl<P: Port> Core<P> {
    /// Core `index` of `config`, whose cores share `common`, on `port`, as `hand` has it.
    ///
    /// # Errors
    /// When it is to run and cannot be made.
    pub(super) fn new(
        (config, index): (Config, usize),
        common: Common,
        port: P,
        counters: Arc<Counters>,
        hand: Arc<Hand>,
        entropy: Box<dyn FnMut() -> u64 + Send>,
    ) -> Result<Core<P>, SetupError> {
        let mut core = Core {
            state: Some(State::Gone(port)),
            hand,
            config,
            index,
            common,
            counters,
            entropy,
            left: false,
            renewed: false,
            trouble: None,
        };
        if core.hand.read() == Order::Run {
            core.start();
        }
        match core.trouble.take() {
            Some(trouble) => Err(trouble),
            None => Ok(core),
        }
    }

    /// Why it could not be started again, if so.
    pub(super) fn trouble(&self) -> Option<&SetupError> {
        self.trouble.as_ref()
    }

    fn start(&mut self) {
        let Some(State::Gone(port)) = self.state.take() else { return };
        let core = &self.config.cores[self.index];
        let counters = self.counters.clone();
        self.left = false;
        let baseline = Baseline::new(&self.config, core, port, &self.common, counters.clone());
        self.state = Some(match baseline {
            Ok(baseline) => State::Baseline(baseline),
            Err(port) => match pipeline(&self.config, core) {
                Ok(pipeline) => {
                    let entropy = (self.entropy)();
                    let cluster = Cluster::new(&self.config, core, pipeline.shard(), entropy);
                    let nat = Krononat::new(port, pipeline, counters).with_cluster(cluster);
                    State::Nat(Box::new(nat))
                }
                Err(trouble) => {
                    self.trouble = Some(trouble);
                    State::Gone(port)
                }
            },
        });
    }

    fn end(&mut self) {
        self.state = self.state.take().map(|state| match state {
            State::Nat(nat) => State::Gone(nat.into_port()),
            State::Baseline(baseline) => State::Gone(baseline.into_port()),
            State::Gone(port) => State::Gone(port),
        });
    }

    fn port(&mut self) -> Option<&mut P> {
        Some(match self.state.as_mut()? {
            State::Nat(nat) => nat.port(),
            State::Baseline(baseline) => baseline.port(),
            State::Gone(port) => port,
        })
    }

    fn swallow(&mut self) {
        let Some(port) = self.port() else { return };
        let mut lost = Burst::new();
        port.rx(&mut lost);
        if !lost.is_empty() {
            port.free(&mut lost);
        }
    }

    /// What it is ordered to be, once a step; `true`: it works.
    #[inline]
    fn obey(&mut self, now: Nanos) -> bool {
        let order = self.hand.read();
        self.renewed &= order == Order::Renew;
        match (order, &self.state) {
            (Order::Run, Some(State::Gone(_))) if self.trouble.is_none() => self.start(),
            (Order::Run, Some(State::Gone(_))) => return false,
            (Order::Run, _) => {}
            (Order::Die, Some(State::Gone(_))) => return false,
            (Order::Die, _) => self.end(),
            (Order::Hang, _) => return false,
            (Order::Renew, _) if self.renewed => {}
            (Order::Renew, Some(State::Gone(_))) => {
                self.renewed = true;
                self.start();
            }
            (Order::Leave | Order::Renew, Some(State::Nat(_))) => self.leave(now),
            (Order::Leave | Order::Renew, _) => self.end(),
        }
        !matches!(self.state, Some(State::Gone(_)))
    }

    fn leave(&mut self, now: Nanos) {
        let Some(State::Nat(nat)) = self.state.as_mut() else { return };
        if !self.left {
            self.left = true;
            nat.leave(now);
        }
        if nat.cluster().is_none_or(|cluster| cluster.is_gone(now)) {
            self.end();
        }
    }
}

impl<P: Port> Worker for Core<P> {
    #[inline]
    fn step(&mut self, now: Nanos) -> Busy {
        if let Some(port) = self.port() {
            port.tick(now);
        }
        if !self.obey(now) {
            self.swallow();
            return Busy(0);
        }
        match self.state.as_mut() {
            Some(State::Nat(nat)) => nat.step(now),
            Some(State::Baseline(baseline)) => baseline.step(now),
            _ => Busy(0),
        }
    }

    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next {
        match (self.hand.read(), self.state.as_mut()) {
            (Order::Hang, _) => Next::Continue,
            (_, Some(State::Nat(nat))) => nat.housekeeping(now, load),
            (_, Some(State::Baseline(baseline))) => baseline.housekeeping(now, load),
            _ => Next::Continue,
        }
    }
}
