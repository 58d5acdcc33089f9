//! What the NAT step costs: parse, look up, translate, for a uniformly random connection per packet,
//! half of the packets in each direction, headers already in the first-level cache.
//!
//! `cargo run --release -p krononat --example nat -- [connections] [bursts]`

use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::{Nanos, Tsc};
use dataplane::cpu;
use dataplane::frame::{Arena, Frame};
use dataplane::identity::{Identity, Mac};
use dataplane::wire::checksum;
use dataplane::worker::{CoreId, ServerId};
use krononat::config::{Config, CoreConfig, Filtering, Kind, Timers};
use krononat::worker;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::net::Ipv4Addr;

const PER_SUBSCRIBER: u32 = 63;
const ROUNDS: usize = 9;
const BURSTS: usize = 100_000;

fn main() {
    let argument = |at| std::env::args().nth(at).and_then(|text| text.parse::<u32>().ok());
    let wanted = argument(1).unwrap_or(1_032_192);
    let bursts = argument(2).map_or(BURSTS, |count| count as usize);
    let subscribers = u32::div_ceil(wanted, PER_SUBSCRIBER).next_power_of_two();
    let connections = wanted.min(subscribers * PER_SUBSCRIBER);
    let (config, mac) = config(subscribers, connections);
    let mut pipeline = worker::pipeline(&config, &config.cores[0]).expect("memory");
    let mut arena = Arena::new(BURST).expect("memory");
    let mut frames: Burst<_> = arena.buffers().collect();
    let mut outside: Vec<(u32, u16)> = Vec::with_capacity(connections as usize);
    let (mut verdicts, mut free) = (ArrayVec::new(), Burst::new());
    let inside = |i: u32| (0x6440_0000 + i % subscribers, 32_768 + (i / subscribers) as u16);
    let remote = |i: u32| (0xc613_0000 + (i & 255), 443);

    let opening = cpu::cycles();
    for first in (0..connections).step_by(BURST) {
        let mut burst: Burst<_> = frames.drain(..).collect();
        for (i, frame) in burst.iter_mut().enumerate() {
            let i = (first + i as u32).min(connections - 1);
            udp(frame, mac, inside(i), remote(i));
        }
        pipeline.process(&mut burst, Nanos(0), &mut verdicts, &mut frames, &mut free);
        for (i, frame) in frames.iter().enumerate() {
            if (first + i as u32) < connections {
                let head = frame.head();
                let address = u32::from_be_bytes([head[26], head[27], head[28], head[29]]);
                outside.push((address, u16::from_be_bytes([head[34], head[35]])));
            }
        }
    }
    let opening = (cpu::cycles() - opening) as f64;
    assert!(free.is_empty(), "a packet was dropped while opening");
    let held = pipeline.connections().len();
    println!("{held} connections, {} bytes each", pipeline.connections().bytes() / held);
    println!("opening, frames built included: {:.0} cycles each", opening / held as f64);

    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut spent = 0;
        for _ in 0..bursts {
            let mut burst: Burst<_> = frames.drain(..).collect();
            for frame in &mut burst {
                let bits = random.next_u64();
                let i = (((bits >> 32) * u64::from(connections)) >> 32) as u32;
                if bits & 1 == 0 {
                    udp(frame, mac, inside(i), remote(i));
                } else {
                    udp(frame, mac, remote(i), outside[i as usize]);
                }
            }
            let start = cpu::cycles();
            pipeline.process(&mut burst, Nanos(1), &mut verdicts, &mut frames, &mut free);
            spent += cpu::cycles() - start;
        }
        assert!(free.is_empty(), "a packet was dropped");
        rounds.push(spent as f64 / (bursts * BURST) as f64);
    }
    rounds.sort_by(f64::total_cmp);
    let (least, median, most) = (rounds[0], rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
    let mpps = Tsc::calibrate().hz() / median / 1e6;
    println!("NAT step: {median:.1} cycles per packet ({least:.1} to {most:.1}), {mpps:.1} Mpps");
}

fn config(subscribers: u32, connections: u32) -> (Config, Mac) {
    let mac = Mac::of(1, 0, 0);
    let net = |first: Ipv4Addr, count: u32| {
        ipnet::Ipv4Net::new(first, 32 - count.trailing_zeros() as u8).expect("a prefix")
    };
    let addresses = subscribers.div_ceil(1008).next_power_of_two();
    let core = CoreConfig {
        core: CoreId(0),
        cpu: None,
        identity: Identity {
            mac,
            vlan: None,
            ip: Ipv4Addr::new(10, 1, 0, 0),
            asn: None,
            gateway: Mac::of(9, 0, 0),
        },
        subscribers: vec![net(Ipv4Addr::new(100, 64, 0, 0), subscribers)],
        external: net(Ipv4Addr::new(198, 18, 0, 0), addresses),
        subscribers6: Vec::new(),
        ip6: None,
        ports: Vec::new(),
    };
    let config = Config {
        server: ServerId(0),
        seed: 1,
        kind: Kind::Krononat,
        port_block: 64,
        connections_max: connections,
        shared_sessions_max: None,
        subscriber_connections_max: None,
        half_open_max: None,
        filtering: Filtering::default(),
        connections6_max: 0,
        timers: Timers::default(),
        cores: vec![core],
    };
    (config, mac)
}

/// A UDP packet of 60 bytes with right IPv4 checksum and none of its own.
fn udp(frame: &mut impl Frame, mac: Mac, from: (u32, u16), to: (u32, u16)) {
    frame.set_len(60);
    let head = frame.head_mut();
    head[..6].copy_from_slice(&mac.0);
    head[12..26].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    head[26..30].copy_from_slice(&from.0.to_be_bytes());
    head[30..34].copy_from_slice(&to.0.to_be_bytes());
    head[34..36].copy_from_slice(&from.1.to_be_bytes());
    head[36..38].copy_from_slice(&to.1.to_be_bytes());
    head[38..42].copy_from_slice(&[0, 26, 0, 0]);
    let check = checksum::ipv4_header(&head[14..34]);
    head[24..26].copy_from_slice(&check.to_be_bytes());
}
