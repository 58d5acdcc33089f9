//! A stateless balancer with direct return: Maglev (NSDI 2016) without its connection table.
//!
//! A subscriber's packet goes to one of [`BACKENDS`] servers by a consistent hash of its addresses
//! and ports, and is given the server's station alone (direct routing): as nothing in it is
//! translated, the server answers past the balancer. Here every server's station is the core's
//! router, and what goes to subscribers is passed on as it is.
//!
//! It keeps nothing of a connection. So it needs no memory for them, loses none when it dies, and
//! when a server goes those to others stay but for a few; and it cannot tell an answer from what
//! nobody asked for: it filters nothing, and could translate nothing that has to be undone.

use crate::config::CoreConfig;
use crate::translate::NextHop;
use crate::verdict::{Drop, Refusal};
use crate::worker::{Counters, Tally};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::port::Port;
use dataplane::run::Load;
use dataplane::wire::{Endpoint, Plain, flaws};
use dataplane::worker::{Busy, Next, Worker};
use ipnet::Ipv4Net;
use std::sync::Arc;

/// Servers behind the balancer.
const BACKENDS: u16 = 64;

/// Places of the table, a prime well above a hundred times the servers (section 3.4).
const PLACES: usize = 65_537;

/// Which server has which place of the hash.
struct Places(Box<[u16]>);

impl Places {
    /// For servers of these numbers, at least one. Each in turn takes the next free place of its
    /// own permutation of all places (algorithm 1 of the paper).
    fn among(servers: &[u16]) -> Places {
        let mut places = vec![u16::MAX; PLACES].into_boxed_slice();
        let walk = |server: u16| {
            let [a, b] = [1, 2].map(|salt| mix(u64::from(server) << 2 | salt));
            (a as usize % PLACES, b as usize % (PLACES - 1) + 1)
        };
        let mut walks: Vec<(usize, usize)> = servers.iter().map(|&server| walk(server)).collect();
        let mut left = PLACES;
        while left > 0 {
            for (server, (next, skip)) in servers.iter().zip(&mut walks) {
                // A prime number of places: every walk comes to all of them.
                while places[*next] != u16::MAX {
                    *next = (*next + *skip) % PLACES;
                }
                places[*next] = *server;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        Places(places)
    }

    #[inline]
    fn of(&self, packet: &Plain) -> u16 {
        let hash = mix(packet.source.bits() ^ mix(packet.destination.bits()));
        self.0[((u128::from(hash) * PLACES as u128) >> 64) as usize]
    }
}

/// Spreads the bits of a word (the finaliser of SplitMix64).
#[inline]
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// One core of the balancer.
pub struct Maglev<P: Port> {
    port: P,
    mac: [u8; 6],
    subscribers: Vec<(u32, u32)>,
    places: Places,
    servers: Box<[NextHop]>,
    back: NextHop,
    tally: Tally,
    counters: Arc<Counters>,
}

impl<P: Port> Maglev<P> {
    /// The core `core` on `port`, which publishes what it does to `counters`.
    pub fn new(core: &CoreConfig, port: P, counters: Arc<Counters>) -> Self {
        let Identity { mac, .. } = core.identity;
        let range = |net: &Ipv4Net| (u32::from(net.network()), u32::from(net.netmask()));
        let back = NextHop::of(&core.identity);
        Maglev {
            port,
            mac: mac.0,
            subscribers: core.subscribers.iter().map(range).collect(),
            places: Places::among(&(0..BACKENDS).collect::<Vec<_>>()),
            servers: vec![back; usize::from(BACKENDS)].into(),
            back,
            tally: Tally::default(),
            counters,
        }
    }

    /// The port, to look at.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// The port, when the core is no more.
    pub fn into_port(self) -> P {
        self.port
    }

    #[inline]
    fn is_subscriber(&self, end: Endpoint) -> bool {
        self.subscribers.iter().any(|&(first, mask)| end.address() & mask == first)
    }
}

impl<P: Port> Worker for Maglev<P> {
    #[inline]
    fn step(&mut self, _: Nanos) -> Busy {
        let (mut burst, mut send, mut free) = (Burst::new(), Burst::new(), Burst::new());
        self.port.rx(&mut burst);
        let received = burst.len();
        if received == 0 {
            return Busy(0);
        }
        self.tally.received += received as u64;
        for mut frame in burst.drain(..) {
            let len = frame.len();
            let head = frame.head_mut();
            if head[..6] != self.mac || flaws(head, len) != 0 {
                self.tally.dropped.0[Drop::Refused(Refusal::Protocol).index()] += 1;
                free.push(frame);
                continue;
            }
            let packet = Plain::read(head);
            let hop = if self.is_subscriber(packet.source) {
                &self.servers[usize::from(self.places.of(&packet))]
            } else {
                &self.back
            };
            hop.address(head);
            send.push(frame);
        }
        if !send.is_empty() {
            self.tally.forwarded += self.port.tx(&mut send) as u64;
        }
        if !free.is_empty() {
            self.port.free(&mut free);
        }
        Busy(received as u32)
    }

    fn housekeeping(&mut self, _: Nanos, load: &Load) -> Next {
        self.tally.refused = self.port.stats().refused;
        self.counters.publish(&self.tally, load);
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_share_of_the_places() {
        let places = Places::among(&(0..BACKENDS).collect::<Vec<_>>());
        let mut counts = [0usize; BACKENDS as usize];
        places.0.iter().for_each(|&server| counts[usize::from(server)] += 1);
        let share = PLACES / usize::from(BACKENDS);
        assert!(counts.iter().all(|&count| count == share || count == share + 1), "{counts:?}");
    }

    #[test]
    fn when_a_server_goes_few_places_of_others_move() {
        let all: Vec<u16> = (0..BACKENDS).collect();
        let rest: Vec<u16> = all.iter().copied().filter(|&server| server != 7).collect();
        let (before, after) = (Places::among(&all), Places::among(&rest));
        assert!(after.0.iter().all(|&server| server != 7));
        let pairs = before.0.iter().zip(&after.0).filter(|&(&before, _)| before != 7);
        let moved = pairs.filter(|(before, after)| before != after).count();
        // A modulus would move 63 of 64.
        assert!(moved * 100 < 8 * PLACES, "{moved} of {PLACES} places moved");
    }

    #[test]
    fn packets_of_a_connection_go_to_one_server_and_connections_to_all() {
        let places = Places::among(&(0..BACKENDS).collect::<Vec<_>>());
        let packet = |port| Plain {
            source: Endpoint::new(0x6440_0001, port),
            destination: Endpoint::new(0xc612_0001, 443),
            protocol: 6,
            ttl: 64,
            flags: 0,
        };
        let server = |port| places.of(&packet(port));
        assert!((1024..2048).all(|port| server(port) == server(port)));
        let used: std::collections::BTreeSet<u16> = (1024..8192).map(server).collect();
        assert_eq!(used.len(), usize::from(BACKENDS));
    }
}
