//! A core of Krononat without a port, and packets for it.

use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::frame::{Arena, Buffer, Frame};
use dataplane::identity::{Identity, Mac};
use dataplane::wire::checksum;
use dataplane::worker::{CoreId, ServerId};
use krononat::config::{Config, CoreConfig, Filtering, Kind, Timers, blocks_per_address};
use krononat::pipeline::{Held, Pipeline};
use krononat::verdict::Verdict;
use krononat::worker;
use std::net::Ipv4Addr;

/// Ports of a subscriber's block.
const PORT_BLOCK: u32 = 64;

/// Sessions of a subscriber in FD.io CSIT's tests: one port of each block stays free.
pub(crate) const PER_SUBSCRIBER: u32 = 63;

/// An address and a port.
pub(crate) type End = (u32, u16);

/// The station that the core is.
pub(crate) const MAC: Mac = Mac::of(1, 0, 0);

/// Who talks to whom: connections by number, each subscriber's spread over all numbers.
#[derive(Clone, Copy)]
pub(crate) struct Crowd {
    /// A power of two.
    pub(crate) subscribers: u32,
}

impl Crowd {
    /// As many subscribers as `connections` need at `per_subscriber` each.
    pub(crate) fn of(connections: u32, per_subscriber: u32) -> Crowd {
        Crowd { subscribers: connections.div_ceil(per_subscriber).next_power_of_two() }
    }

    /// Inner end of a connection.
    pub(crate) fn inside(self, number: u32) -> End {
        let port = 32_768 + (number / self.subscribers) as u16;
        (0x6440_0000 + number % self.subscribers, port)
    }

    /// The other end.
    pub(crate) fn remote(self, number: u32) -> End {
        (0xc613_0000 + (number & 255), 443)
    }

    /// A core for this crowd with room for so many connections.
    pub(crate) fn config(self, connections_max: u32) -> Config {
        let net = |first: Ipv4Addr, count: u32| {
            ipnet::Ipv4Net::new(first, 32 - count.trailing_zeros() as u8).expect("a prefix")
        };
        let blocks = blocks_per_address(PORT_BLOCK);
        let addresses = self.subscribers.div_ceil(blocks).next_power_of_two();
        let core = CoreConfig {
            core: CoreId(0),
            cpu: None,
            identity: Identity {
                mac: MAC,
                vlan: None,
                ip: Ipv4Addr::new(10, 1, 0, 0),
                asn: None,
                gateway: Mac::of(9, 0, 0),
            },
            subscribers: vec![net(Ipv4Addr::new(100, 64, 0, 0), self.subscribers)],
            external: Some(net(Ipv4Addr::new(198, 18, 0, 0), addresses)),
            shards: Vec::new(),
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        };
        Config {
            server: ServerId(0),
            seed: 1,
            kind: Kind::Krononat,
            store: None,
            port_block: PORT_BLOCK,
            connections_max,
            shared_sessions_max: None,
            subscriber_connections_max: None,
            half_open_max: None,
            filtering: Filtering::default(),
            connections6_max: 0,
            setups_per_s_max: None,
            cluster: None,
            timers: Timers::default(),
            cores: vec![core],
        }
    }
}

/// A core and one burst of frames, worked on again and again.
pub(crate) struct Rig<'a> {
    pub(crate) pipeline: Pipeline,
    frames: Burst<&'a mut Buffer>,
    free: Burst<&'a mut Buffer>,
    held: Held<&'a mut Buffer>,
    verdicts: ArrayVec<Verdict, BURST>,
}

impl<'a> Rig<'a> {
    /// A core for `crowd`, without connections; the arena has a burst of frames.
    pub(crate) fn new(arena: &'a mut Arena, crowd: Crowd, connections_max: u32) -> Rig<'a> {
        let config = crowd.config(connections_max);
        let pipeline = worker::pipeline(&config, &config.cores[0]).expect("memory for the core");
        let frames = arena.buffers().take(BURST).collect();
        let (free, held) = (Burst::new(), Held::new());
        Rig { pipeline, frames, free, held, verdicts: ArrayVec::new() }
    }

    /// Has the core work on a burst of packets between these ends; what it took, in cycles.
    ///
    /// # Panics
    /// When it drops any.
    pub(crate) fn process(&mut self, now: Nanos, ends: impl Fn(usize) -> (End, End)) -> u64 {
        let mut burst: Burst<_> = self.frames.drain(..).collect();
        for (at, frame) in burst.iter_mut().enumerate() {
            let (from, to) = ends(at);
            udp(frame, from, to, MAC);
        }
        let Rig { pipeline, frames, free, held, verdicts } = self;
        let start = cpu::cycles();
        pipeline.process(&mut burst, now, verdicts, frames, free, held);
        let taken = cpu::cycles() - start;
        assert!(free.is_empty(), "dropped: {verdicts:?}");
        taken
    }

    /// Opens the connections numbered from 0, `each` being told the outer end of every one. Cycles,
    /// those for building the packets included.
    pub(crate) fn open(
        &mut self,
        crowd: Crowd,
        connections: u32,
        mut each: impl FnMut(End),
    ) -> u64 {
        let start = cpu::cycles();
        for first in (0..connections).step_by(BURST) {
            // The last burst is filled up with packets of the last connection.
            let number = |at: usize| (first + at as u32).min(connections - 1);
            self.process(Nanos(0), |at| (crowd.inside(number(at)), crowd.remote(number(at))));
            sources(&self.frames).take((connections - first) as usize).for_each(&mut each);
        }
        cpu::cycles() - start
    }
}

/// Where the packets of a burst come from.
pub(crate) fn sources(burst: &[impl Frame]) -> impl Iterator<Item = End> {
    burst.iter().map(|frame| {
        let head = frame.head();
        let address = u32::from_be_bytes([head[26], head[27], head[28], head[29]]);
        (address, u16::from_be_bytes([head[34], head[35]]))
    })
}

/// A UDP packet of 60 bytes to `station` with right IPv4 checksum and none of its own.
pub(crate) fn udp(frame: &mut impl Frame, from: End, to: End, station: Mac) {
    frame.set_len(60);
    let head = frame.head_mut();
    head[..6].copy_from_slice(&station.0);
    head[12..26].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    head[26..30].copy_from_slice(&from.0.to_be_bytes());
    head[30..34].copy_from_slice(&to.0.to_be_bytes());
    head[34..36].copy_from_slice(&from.1.to_be_bytes());
    head[36..38].copy_from_slice(&to.1.to_be_bytes());
    head[38..42].copy_from_slice(&[0, 26, 0, 0]);
    let check = checksum::ipv4_header(&head[14..34]);
    head[24..26].copy_from_slice(&check.to_be_bytes());
}
