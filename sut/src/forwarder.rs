//! A plain forwarder: what receiving and sending cost without any NAT. Its cycles per packet,
//! subtracted from Krononat's, are what the connection tracking itself costs.

use crate::translate::NextHop;
use crate::worker::{Counters, Tally};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::worker::{Busy, Next, Worker};
use std::sync::Arc;

/// One core that sends every frame on to its router as it is.
pub struct Forwarder<P: Port> {
    port: P,
    next_hop: NextHop,
    tally: Tally,
    counters: Arc<Counters>,
}

impl<P: Port> Forwarder<P> {
    /// A forwarder on `port`, which publishes what it does to `counters`.
    pub fn new(port: P, identity: Identity, counters: Arc<Counters>) -> Self {
        Forwarder { port, next_hop: NextHop::of(&identity), tally: Tally::default(), counters }
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// The port, when the core is no more.
    pub fn into_port(self) -> P {
        self.port
    }
}

impl<P: Port> Worker for Forwarder<P> {
    #[inline]
    fn step(&mut self, _: Nanos) -> Busy {
        let mut burst = Burst::new();
        self.port.rx(&mut burst);
        let received = burst.len();
        if received == 0 {
            return Busy(0);
        }
        for frame in &mut burst {
            self.next_hop.address(frame.head_mut());
        }
        self.tally.received += received as u64;
        self.tally.forwarded += self.port.tx(&mut burst) as u64;
        Busy(received as u32)
    }

    fn housekeeping(&mut self, _: Nanos, load: &Load) -> Next {
        self.tally.refused = self.port.stats().refused;
        self.counters.publish(&self.tally, load);
        Next::Continue
    }
}
