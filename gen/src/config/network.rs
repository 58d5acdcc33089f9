//! The network between this server and the system under test, where this server plays it: the routes
//! to the cores, and the router that watches them.

use super::{ConfigError, require};
use dataplane::bfd;
use dataplane::clock::Nanos;
use dataplane::identity::{Identity, Mac};
use dataplane::router::{Control, Event};
use dataplane::switch::{Fib, NEXT_HOPS_MAX, NextHop, NextHopId, PortId};
use ipnet::Ipv4Net;
use rtrb::Producer;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::num::NonZeroU8;
use std::sync::Arc;

/// A switch with a port to each core of the system under test, in the order of the core's `ports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Ethernet address of the core at each port.
    pub macs: Vec<Mac>,
    /// Next hops that routes name by their place here.
    pub hops: Vec<NextHop>,
    /// Routes by destination.
    pub by_destination: Vec<(Ipv4Net, NextHopId)>,
    /// Routes by source, where there is none by destination.
    #[serde(default)]
    pub by_source: Vec<(Ipv4Net, NextHopId)>,
    /// Who watches the cores and steers around those it misses; without one all are always used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub router: Option<Router>,
}

/// The router of the network. It watches every core by BFD (RFC 5880).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Router {
    /// What it is on the network.
    pub identity: Identity,
    /// Address of the core at each port.
    pub cores: Vec<Ipv4Addr>,
    /// Time between two BFD packets, in microseconds.
    pub bfd_interval_us: u64,
    /// BFD packets in a row whose absence means that a core is down.
    pub bfd_multiplier: u8,
    /// Time between knowing that a core is up or down and routing accordingly, in microseconds.
    pub fib_delay_us: u64,
    /// Cores that are to be in use before the first phase begins.
    pub awaited: usize,
}

impl Network {
    pub(super) fn validate(&self, ports: usize) -> Result<(), ConfigError> {
        let expected = "as many as the core has ports, 1 to 255";
        let macs = self.macs.len();
        require(macs == ports && (1..256).contains(&macs), "network.macs", macs, expected)?;
        let there = |port: &PortId| usize::from(port.0) < ports;
        for hop in &self.hops {
            let known = there(&hop.primary) && hop.backup.as_ref().is_none_or(there);
            require(known, "network.hops", hop, "ports that are there")?;
        }
        let hops = self.hops.len();
        require(hops < NEXT_HOPS_MAX, "network.hops", hops, "at most 32,765")?;
        let tables = [("by_destination", &self.by_destination), ("by_source", &self.by_source)];
        for (name, routes) in tables {
            let unknown = routes.iter().find(|(_, hop)| usize::from(hop.0) >= hops);
            let key = format!("network.{name}");
            require(unknown.is_none(), key, unknown, "routes to hops that are there")?;
        }
        self.router.as_ref().map_or(Ok(()), |router| router.validate(ports))
    }

    /// The table of the switch.
    ///
    /// # Panics
    /// If the configuration does not hold [`super::Config::validate`].
    pub fn fib(&self) -> Fib {
        Fib::new(&self.macs, &self.hops, &self.by_destination, &self.by_source)
    }
}

impl Router {
    fn validate(&self, ports: usize) -> Result<(), ConfigError> {
        let key = |name: &str| format!("network.router.{name}");
        let cores = self.cores.len();
        require(cores == ports, key("cores"), cores, "an address for each port")?;
        let interval = (1..=1_000_000).contains(&self.bfd_interval_us);
        let expected = "1 to 1,000,000";
        require(interval, key("bfd_interval_us"), self.bfd_interval_us, expected)?;
        let multiplier = (1..=50).contains(&self.bfd_multiplier);
        require(multiplier, key("bfd_multiplier"), self.bfd_multiplier, "1 to 50")?;
        let delay = self.fib_delay_us <= 60_000_000;
        require(delay, key("fib_delay_us"), self.fib_delay_us, "at most a minute")?;
        let awaited = self.awaited <= ports;
        require(awaited, key("awaited"), self.awaited, "no more than there are cores")
    }

    /// The router, which writes `fib` and tells what it notices by `events`.
    pub fn control(&self, fib: Arc<Fib>, events: Producer<Event>) -> Control {
        let us = |us: u64| Nanos(us * 1_000);
        let interval = us(self.bfd_interval_us);
        let multiplier = NonZeroU8::new(self.bfd_multiplier).unwrap_or(NonZeroU8::MIN);
        let settings = bfd::Settings { min_tx: interval, min_rx: interval, multiplier };
        let cores: Vec<_> = (0..).map(PortId).zip(self.cores.iter().copied()).collect();
        Control::new(self.identity, fib, &cores, settings, us(self.fib_delay_us), events)
    }
}
