//! What it costs a core to have its connections copied: the time of its steps with a slave and
//! without one, in turn, and the bytes it takes to tell of a connection.
//!
//! `cargo run --release -p krononat --example replication [-- ROUNDS]`. One thread drives a master,
//! its slave and a host that is all subscribers: a million packets a second of virtual time, of which
//! a tenth open connections. Only the master's steps are timed.

use dataplane::burst::{BURST, Burst};
use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::frame::{Arena, Frame};
use dataplane::identity::{Identity, Mac};
use dataplane::port::Port;
use dataplane::port::link::{Link, Network};
use dataplane::run::Load;
use dataplane::switch::{Fib, NextHop, NextHopId, PortId, Switch};
use dataplane::worker::{CoreId, ServerId, Worker};
use krononat::cluster::Cluster;
use krononat::config::{self, Config, CoreConfig, Duty, Filtering, Kind, ShardConfig, Timers};
use krononat::worker::{Counters, Krononat, Tally, pipeline};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Bursts of one measurement, and before it.
const BURSTS: u64 = 40_000;
const WARM: u64 = 4_000;

/// Virtual time of a burst: a million packets a second.
const BURST_NS: u64 = 32_000;

/// One packet in so many opens a connection.
const OPENS_ONE_IN: u64 = 10;

const SUBSCRIBERS: u32 = 16_384;

fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(5);
    let clock = Tsc::calibrate();
    let mut ratios = Vec::new();
    println!(
        "cycles per packet of a master's steps, 100,000 set-ups and 1,000,000 packets a second"
    );
    for _ in 0..rounds {
        let (alone, _) = measure(false, &clock);
        let (copied, tally) = measure(true, &clock);
        let bytes = tally.told_bytes as f64 / tally.told as f64;
        ratios.push(alone / copied);
        println!(
            "alone {alone:6.1}   with a slave {copied:6.1}   throughput with ÷ without {:.3}   \
             {bytes:.1} bytes a set-up, {} told, {} to go",
            alone / copied,
            tally.told,
            tally.backlog
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median of {rounds}: {:.3}", ratios[ratios.len() / 2]);
}

/// Cycles per packet of the master's steps, and what it counted.
fn measure(copied: bool, clock: &Tsc) -> (f64, Tally) {
    let mut arena = Arena::new(3 * 1024).expect("memory for frames");
    let mut network = Network::new(&mut arena, &[1024; 3], 512);
    [(0, 1), (0, 2), (1, 2)].into_iter().for_each(|(a, b)| network.connect(a, b));
    let mut links = network.into_ports().into_iter();
    let fib = routes();
    let neighbours = [[PortId(1), PortId(2)], [PortId(0), PortId(2)]];
    let counters: [Arc<Counters>; 2] = Default::default();
    let mut cores: Vec<_> = (0..2)
        .map(|server| {
            let link = links.next().expect("a port");
            let port = Switch::new(link, fib.clone(), &neighbours[server]);
            let config = config(server, copied);
            let made = pipeline(&config, &config.cores[0]).expect("memory for connections");
            let cluster = Cluster::new(&config, &config.cores[0], made.shard(), server as u64 + 1);
            Krononat::new(port, made, counters[server].clone()).with_cluster(cluster)
        })
        .collect();
    let mut host = links.next().expect("a port");
    let (mut now, mut spent, mut opened) = (Nanos(1_000_000_000), Nanos(0), 0);
    // Long enough for the two to agree on who serves.
    for _ in 0..100_000 {
        now = now + Nanos(10_000);
        cores.iter_mut().for_each(|core| {
            core.step(now);
        });
    }
    let before = counters[0].read();
    for burst in 0..WARM + BURSTS {
        send(&mut host, burst, &mut opened);
        now = now + Nanos(BURST_NS);
        // A link hands out at one step what it took at the one before.
        for _ in 0..2 {
            let start = clock.now();
            cores[0].step(now);
            if burst >= WARM {
                spent = spent + clock.now().since(start);
            }
        }
        cores[1].step(now);
        if burst % 8 == 0 {
            cores.iter_mut().for_each(|core| {
                core.housekeeping(now, &Load::default());
            });
        }
        let mut back = Burst::new();
        host.rx(&mut back);
        host.free(&mut back);
    }
    let tally = counters[0].read();
    assert!(tally.forwarded - before.forwarded > (WARM + BURSTS - 8) * BURST as u64, "{tally:?}");
    let packets = (BURSTS * BURST as u64) as f64;
    (clock.cycles(spent) / packets, tally)
}

/// A burst from subscribers: connections opened before, drawn by a step through all, and new ones.
fn send(host: &mut Link<'_>, burst: u64, opened: &mut u64) {
    let mut frames = Burst::new();
    host.alloc(&mut frames, BURST);
    for (index, frame) in frames.iter_mut().enumerate() {
        let number = burst * BURST as u64 + index as u64;
        let opens = *opened == 0 || number.is_multiple_of(OPENS_ONE_IN);
        let connection = if opens { *opened } else { number.wrapping_mul(0x9e37_79b9) % *opened };
        *opened += u64::from(opens);
        put(frame, connection);
    }
    host.tx(&mut frames);
}

/// Writes a datagram of 60 bytes of a connection: its subscriber and port follow from its number.
fn put(frame: &mut impl Frame, connection: u64) {
    frame.set_len(60);
    let head = frame.head_mut();
    head.fill(0);
    head[..6].copy_from_slice(&Mac::of(1, 0, 0).0);
    head[12..14].copy_from_slice(&[8, 0]);
    let subscriber = 0x6440_0000 + (connection % u64::from(SUBSCRIBERS)) as u32;
    let port = 1024 + (connection / u64::from(SUBSCRIBERS)) as u16;
    head[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17]);
    head[26..30].copy_from_slice(&subscriber.to_be_bytes());
    head[30..34].copy_from_slice(&[192, 0, 2, 7]);
    let sum = dataplane::wire::checksum::ipv4_header(&head[14..34]);
    head[24..26].copy_from_slice(&sum.to_be_bytes());
    head[34..36].copy_from_slice(&port.to_be_bytes());
    head[36..40].copy_from_slice(&[0, 53, 0, 26]);
}

fn address(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, server as u8, 0)
}

/// Everything goes to the host but what is for the cores themselves.
fn routes() -> Arc<Fib> {
    let macs = [Mac::of(1, 0, 0), Mac::of(1, 1, 0), Mac::of(2, 0, 0)];
    let hops = [0, 1, 2].map(|port| NextHop::to(PortId(port)));
    let net = |text: &str| text.parse().expect("a prefix");
    let to = [
        (net("0.0.0.0/0"), NextHopId(2)),
        (net("10.1.0.0/32"), NextHopId(0)),
        (net("10.1.1.0/32"), NextHopId(1)),
    ];
    Arc::new(Fib::new(&macs, &hops, &to, &[]))
}

fn config(server: usize, copied: bool) -> Config {
    let subscribers = vec!["100.64.0.0/18".parse().expect("a prefix")];
    let external = "198.18.0.0/27".parse().expect("a prefix");
    let duty = [Duty::Master, Duty::Slave][server];
    let shard = ShardConfig {
        id: 0,
        subscribers: subscribers.clone(),
        external,
        duty,
        peer: address(1 - server),
    };
    let cluster = config::Cluster {
        key: config::Key([1; 16]),
        router: None,
        bgp: None,
        bfd_interval_us: 3_300,
        bfd_multiplier: 3,
        beat_us: 1_000,
        drain_ms: 20,
    };
    Config {
        server: ServerId(server as u16),
        seed: 1,
        kind: Kind::Krononat,
        store: None,
        port_block: 64,
        connections_max: 1 << 20,
        shared_sessions_max: None,
        subscriber_connections_max: None,
        half_open_max: None,
        filtering: Filtering::default(),
        connections6_max: 0,
        setups_per_s_max: None,
        cluster: copied.then_some(cluster),
        timers: Timers::default(),
        cores: vec![CoreConfig {
            core: CoreId(0),
            cpu: None,
            identity: Identity {
                mac: Mac::of(1, server as u16, 0),
                vlan: None,
                ip: address(server),
                asn: None,
                gateway: Mac::of(9, 0, 0),
            },
            subscribers: if copied { Vec::new() } else { subscribers },
            external: (!copied).then_some(external),
            shards: if copied { vec![shard] } else { Vec::new() },
            subscribers6: Vec::new(),
            ip6: None,
            ports: Vec::new(),
        }],
    }
}
