//! The network between the cores: plain IPv4 routes, worked out on the sending core.
//!
//! A [`Switch`] wraps a port with several neighbours. Each frame is routed by its destination and,
//! where that has no route, by its source (the policy route of an access router, which sends a
//! subscriber's upstream traffic to the core of its shard). A route names a next-hop object with a
//! primary and a backup core; while the primary's port is down the backup takes its traffic, so a
//! failover is one store, however many prefixes share the object.
//!
//! It refuses to be more than that: no ARP, no TTL, no queues of its own, no ECMP (which scatters
//! flows that nothing happened to).

use crate::burst::{BURST, Burst};
use crate::clock::Nanos;
use crate::frame::Frame;
use crate::identity::Mac;
use crate::port::dpdk::DpdkError;
use crate::port::{Lanes, Port, PortStats};
use arrayvec::ArrayVec;
use crossbeam_utils::CachePadded;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A port of the network, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortId(pub u16);

/// Where a set of prefixes goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NextHop {
    /// The core that serves the prefixes.
    pub primary: PortId,
    /// The core that serves them while the primary is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<PortId>,
    /// Whether the prefixes are addresses of the primary itself, which is sent its packets whatever
    /// is known of it: by them it is known.
    #[serde(default)]
    pub own: bool,
}

impl NextHop {
    /// Prefixes that `primary` serves, or `backup` while it is down.
    pub const fn via(primary: PortId, backup: Option<PortId>) -> NextHop {
        NextHop { primary, backup, own: false }
    }

    /// The addresses of `port` itself.
    pub const fn to(port: PortId) -> NextHop {
        NextHop { primary: port, backup: None, own: true }
    }
}

/// A next-hop object of a [`Fib`], counted from 0 in order of its definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NextHopId(pub u16);

/// Most next-hop objects a table holds.
pub const NEXT_HOPS_MAX: usize = 0x7ffe;

/// Longest-prefix match by direct indexing: 2²⁴ entries for the first 24 bits and a page of 256 for
/// each longer prefix (DIR-24-8: Gupta, Lin, McKeown, INFOCOM 1998). Untouched entries cost address
/// space only.
struct Prefixes {
    first: Vec<u16>,
    pages: Vec<[u16; 256]>,
}

const PAGE: u16 = 0x8000;

impl Prefixes {
    fn new(routes: &[(Ipv4Net, NextHopId)]) -> Prefixes {
        let mut table = Prefixes { first: vec![0; 1 << 24], pages: Vec::new() };
        let mut sorted = routes.to_vec();
        sorted.sort_by_key(|(net, _)| net.prefix_len());
        for (net, hop) in sorted {
            assert!(usize::from(hop.0) < NEXT_HOPS_MAX, "too many next hops");
            table.add(net, hop.0 + 1);
        }
        table
    }

    fn add(&mut self, net: Ipv4Net, entry: u16) {
        let first = u32::from(net.network());
        let last = u32::from(net.broadcast());
        let (from, to) = ((first >> 8) as usize, (last >> 8) as usize);
        if net.prefix_len() <= 24 {
            self.first[from..=to].fill(entry);
            return;
        }
        let covering = self.first[from];
        let page = if covering & PAGE != 0 {
            usize::from(covering & !PAGE)
        } else {
            self.pages.push([covering; 256]);
            self.first[from] = PAGE | (self.pages.len() - 1) as u16;
            self.pages.len() - 1
        };
        self.pages[page][first as usize & 255..=last as usize & 255].fill(entry);
    }

    #[inline]
    fn find(&self, address: u32) -> Option<NextHopId> {
        let entry = self.first[(address >> 8) as usize];
        let entry = if entry & PAGE == 0 {
            entry
        } else {
            self.pages[usize::from(entry & !PAGE)][address as usize & 255]
        };
        entry.checked_sub(1).map(NextHopId)
    }
}

/// The routes of one side of the network, shared by all its senders and only read by them.
pub struct Fib {
    by_destination: Prefixes,
    by_source: Prefixes,
    hops: Vec<NextHop>,
    ports: Vec<CachePadded<PortState>>,
}

struct PortState {
    mac: Mac,
    up: AtomicBool,
}

impl Fib {
    /// Routes to `hops`, whose ports have the Ethernet addresses `macs`.
    ///
    /// # Panics
    /// If a route names a next hop, or a next hop names a port, that is not there.
    pub fn new(
        macs: &[Mac],
        hops: &[NextHop],
        by_destination: &[(Ipv4Net, NextHopId)],
        by_source: &[(Ipv4Net, NextHopId)],
    ) -> Fib {
        for (net, hop) in by_destination.iter().chain(by_source) {
            assert!(usize::from(hop.0) < hops.len(), "the route {net} names next hop {}", hop.0);
        }
        for port in hops.iter().flat_map(|hop| [Some(hop.primary), hop.backup]).flatten() {
            assert!(usize::from(port.0) < macs.len(), "a next hop names port {}", port.0);
        }
        let state = |&mac: &Mac| CachePadded::new(PortState { mac, up: AtomicBool::new(true) });
        Fib {
            by_destination: Prefixes::new(by_destination),
            by_source: Prefixes::new(by_source),
            hops: hops.to_vec(),
            ports: macs.iter().map(state).collect(),
        }
    }

    /// Tells the network that a port's link went up or down. One writer: whoever watches the link.
    pub fn set_up(&self, port: PortId, up: bool) {
        self.ports[usize::from(port.0)].up.store(up, Ordering::Relaxed);
    }

    /// The port that serves a packet now; `None` without a route, or with every port of it down.
    #[inline(always)]
    pub fn route(&self, source: u32, destination: u32) -> Option<PortId> {
        let hop = self
            .by_destination
            .find(destination)
            .or_else(|| self.by_source.find(source))
            .map(|id| self.hops[usize::from(id.0)])?;
        let up = |port: &PortId| self.ports[usize::from(port.0)].up.load(Ordering::Relaxed);
        Some(hop.primary).filter(|port| hop.own || up(port)).or(hop.backup.filter(up))
    }

    /// The port that has this very address, if one has.
    #[inline]
    pub fn owner(&self, address: u32) -> Option<PortId> {
        let hop = self.hops[usize::from(self.by_destination.find(address)?.0)];
        hop.own.then_some(hop.primary)
    }

    /// Whether a port is up, as far as the network knows.
    pub fn is_up(&self, port: PortId) -> bool {
        self.ports[usize::from(port.0)].up.load(Ordering::Relaxed)
    }
}

/// One core's port of the network.
pub struct Switch<P: Lanes> {
    port: P,
    fib: Arc<Fib>,
    /// Lane of the wrapped port towards each port of the network.
    lanes: Vec<Option<u8>>,
    queues: Vec<Burst<P::Frame>>,
    unroutable: u64,
}

impl<P: Lanes> Switch<P> {
    /// Routes what `port` sends; `neighbours[i]` is the port at the other end of lane i.
    ///
    /// # Panics
    /// If the number of neighbours is not the port's number of lanes.
    pub fn new(port: P, fib: Arc<Fib>, neighbours: &[PortId]) -> Self {
        assert_eq!(port.lanes(), neighbours.len(), "a neighbour for each lane");
        assert!(neighbours.len() < 256, "at most 255 lanes");
        let mut lanes = vec![None; fib.ports.len()];
        for (lane, neighbour) in neighbours.iter().enumerate() {
            lanes[usize::from(neighbour.0)] = Some(lane as u8);
        }
        let queues = neighbours.iter().map(|_| Burst::new()).collect();
        Switch { port, fib, lanes, queues, unroutable: 0 }
    }

    /// Number of neighbours.
    pub fn neighbours(&self) -> usize {
        self.queues.len()
    }

    /// The routes.
    pub fn fib(&self) -> &Fib {
        &self.fib
    }

    /// Frames dropped because they are no IPv4 or have no route.
    pub fn unroutable(&self) -> u64 {
        self.unroutable
    }

    /// Sets the next hop's Ethernet address and says behind which lane it is.
    #[inline]
    fn steer(&self, frame: &mut P::Frame) -> Option<u8> {
        let head = frame.head_mut();
        if head[12..14] != [0x08, 0x00] {
            return None;
        }
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let port = usize::from(self.fib.route(word(26), word(30))?.0);
        head[..6].copy_from_slice(&self.fib.ports[port].mac.0);
        self.lanes[port]
    }

    /// Sends frames of several lanes: sorts them into queues, a queue per lane.
    #[cold]
    fn scatter(&mut self, burst: &mut Burst<P::Frame>, lanes: &[Option<u8>]) -> usize {
        let mut dropped = Burst::new();
        for (frame, lane) in burst.drain(..).zip(lanes) {
            match lane {
                Some(lane) => self.queues[usize::from(*lane)].push(frame),
                None => dropped.push(frame),
            }
        }
        self.unroutable += dropped.len() as u64;
        self.port.free(&mut dropped);
        let mut sent = 0;
        for (lane, queue) in self.queues.iter_mut().enumerate() {
            if !queue.is_empty() {
                sent += self.port.tx_lane(lane, queue);
            }
        }
        sent
    }
}

impl<P: Lanes> Port for Switch<P> {
    type Frame = P::Frame;

    fn attach(&mut self) -> Result<(), DpdkError> {
        self.port.attach()
    }

    #[inline]
    fn tick(&mut self, now: Nanos) {
        self.port.tick(now);
    }

    #[inline]
    fn has_carrier(&self) -> bool {
        self.port.has_carrier()
    }

    #[inline]
    fn rx(&mut self, into: &mut Burst<P::Frame>) {
        self.port.rx(into);
    }

    /// A frame without a route was sent, into the void: the network lost it, not the sender.
    #[inline]
    fn tx(&mut self, burst: &mut Burst<P::Frame>) -> usize {
        let mut lanes = ArrayVec::<Option<u8>, BURST>::new();
        for frame in burst.iter_mut() {
            lanes.push(self.steer(frame));
        }
        let Some(&first) = lanes.first() else { return 0 };
        match first {
            Some(lane) if lanes.iter().all(|&other| other == first) => {
                self.port.tx_lane(usize::from(lane), burst)
            }
            _ => {
                let void = lanes.iter().filter(|lane| lane.is_none()).count();
                self.scatter(burst, &lanes) + void
            }
        }
    }

    #[inline]
    fn alloc(&mut self, into: &mut Burst<P::Frame>, count: usize) {
        self.port.alloc(into, count);
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<P::Frame>) {
        self.port.free(burst);
    }

    /// The room towards the fullest neighbour: any frame may go there.
    #[inline]
    fn room(&mut self) -> usize {
        (0..self.port.lanes()).map(|lane| self.port.room_lane(lane)).min().unwrap_or(0)
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Arena;
    use crate::port::link::Network;
    use std::net::Ipv4Addr;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> u32 {
        u32::from(text.parse::<Ipv4Addr>().unwrap())
    }

    fn fib() -> Fib {
        let macs: Vec<Mac> = (0..3).map(|port| Mac::of(9, 0, port)).collect();
        let hops = [
            NextHop::via(PortId(1), Some(PortId(2))),
            NextHop::via(PortId(2), None),
            NextHop::to(PortId(1)),
        ];
        let destinations = [
            (net("198.18.0.0/15"), NextHopId(0)),
            (net("198.18.7.0/24"), NextHopId(1)),
            (net("198.18.8.64/26"), NextHopId(1)),
            (net("10.0.0.1/32"), NextHopId(2)),
        ];
        Fib::new(&macs, &hops, &destinations, &[(net("100.64.0.0/16"), NextHopId(1))])
    }

    #[test]
    fn the_longest_prefix_wins_and_the_source_decides_last() {
        let fib = fib();
        let cases = [
            ("1.2.3.4", "198.18.0.1", Some(1)),
            ("1.2.3.4", "198.19.255.255", Some(1)),
            ("1.2.3.4", "198.18.7.255", Some(2)),
            ("1.2.3.4", "198.18.8.63", Some(1)),
            ("1.2.3.4", "198.18.8.64", Some(2)),
            ("1.2.3.4", "198.18.8.127", Some(2)),
            ("1.2.3.4", "198.18.8.128", Some(1)),
            ("1.2.3.4", "198.17.0.0", None),
            ("100.64.200.1", "198.17.0.0", Some(2)),
            ("100.64.200.1", "198.18.0.0", Some(1)),
        ];
        for (from, to, port) in cases {
            assert_eq!(fib.route(ip(from), ip(to)), port.map(PortId), "{from} -> {to}");
        }
    }

    #[test]
    fn a_port_that_is_down_hands_over_to_the_backup() {
        let fib = fib();
        fib.set_up(PortId(1), false);
        assert_eq!(fib.route(0, ip("198.18.0.1")), Some(PortId(2)));
        fib.set_up(PortId(2), false);
        assert_eq!(fib.route(0, ip("198.18.0.1")), None);
        assert_eq!(fib.route(0, ip("10.0.0.1")), Some(PortId(1)), "else it never came up again");
        fib.set_up(PortId(1), true);
        assert_eq!(fib.route(0, ip("198.18.0.1")), Some(PortId(1)));
    }

    #[test]
    fn a_burst_is_scattered_to_its_neighbours_in_order() {
        let mut arena = Arena::new(96).unwrap();
        let mut network = Network::new(&mut arena, &[32, 32, 32], 16);
        network.connect(0, 1);
        network.connect(0, 2);
        let mut ports = network.into_ports();
        let (two, one) = (ports.pop().unwrap(), ports.pop().unwrap());
        let mut receivers = [one, two];
        let hub = ports.pop().unwrap();
        let mut switch = Switch::new(hub, Arc::new(fib()), &[PortId(1), PortId(2)]);
        let mut burst = Burst::new();
        switch.alloc(&mut burst, 6);
        let to = ["198.18.0.1", "198.18.7.1", "9.9.9.9", "198.18.0.2", "198.18.7.2", "198.18.0.3"];
        for (frame, to) in burst.iter_mut().zip(to) {
            frame.set_len(60);
            let head = frame.head_mut();
            head[12..14].copy_from_slice(&[8, 0]);
            head[26..30].fill(0);
            head[30..34].copy_from_slice(&ip(to).to_be_bytes());
        }
        assert_eq!(switch.tx(&mut burst), 6);
        assert_eq!((switch.unroutable(), switch.stats().sent), (1, 5));
        let last = receivers.each_mut().map(|port| {
            let mut burst = Burst::new();
            port.rx(&mut burst);
            port.rx(&mut burst);
            let got =
                burst.iter().map(|frame| (frame.head()[5], frame.head()[33])).collect::<Vec<_>>();
            port.free(&mut burst);
            got
        });
        assert_eq!(last[0], [(1, 1), (1, 2), (1, 3)]);
        assert_eq!(last[1], [(2, 1), (2, 2)]);
    }
}
