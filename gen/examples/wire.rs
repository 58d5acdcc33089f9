//! What one generator core does through a plain wire: 1,032,192 connections, IMIX, everything
//! verified. `cargo run --release -p kronogen --example wire
//! [-- BATCH [SECONDS [UDP_SHARE [CONNECTIONS [ZIPF]]]]]`
//!
//! Cycles are read over 16 steps at a time; their 10th percentile and median show what the code
//! takes where other work on the machine disturbs the mean.

use dataplane::clock::{Clock, Nanos, Tsc};
use dataplane::cpu;
use dataplane::frame::Arena;
use dataplane::identity::{Identity, Mac};
use dataplane::port::link::{DEPTH, frames_per_lane, loopback};
use dataplane::run::Load;
use dataplane::worker::{CoreId, ServerId, Worker};
use kronogen::attack::Attack;
use kronogen::config::{Config, CoreConfig, Phase, Range, Rate, Until};
use kronogen::control::{Control, Field, Progress};
use kronogen::worker::Generator;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Connections held unless told otherwise.
const CONNECTIONS: u32 = 1_032_192;

fn config(batch: usize, seconds: u64, udp_share: f64, connections: u32, zipf: f64) -> Config {
    let mac = Mac::of(1, 0, 0);
    let phase = |name: &str, open_per_s, rate, until| Phase {
        name: name.to_owned(),
        open_per_s,
        close_per_s: 0.0,
        rate,
        shape: None,
        attack: Attack::default(),
        until,
        sample: None,
    };
    Config {
        server: ServerId(0),
        seed: 24301,
        sizes: vec![64, 64, 594, 64, 64, 594, 64, 64, 594, 64, 594, 1518],
        up_share: 0.5,
        udp_share,
        reset_share: 0.0,
        zipf,
        translated: false,
        deadline_ns: 10_000_000,
        drain_ns: 50_000_000,
        batch,
        window: 1024,
        retry_ns: 100_000_000,
        attempts: 5,
        linger_ns: 100_000_000,
        idle: dataplane::run::Idle::Spin,
        cores: vec![CoreConfig {
            core: CoreId(0),
            cpu: None,
            connections,
            servers: "198.18.0.0/16".parse().expect("a network"),
            gateways: vec![mac],
            identity: Identity {
                mac,
                vlan: None,
                ip: Ipv4Addr::new(10, 0, 0, 1),
                asn: None,
                gateway: mac,
            },
            subscribers: vec![Range { first: Ipv4Addr::new(100, 64, 0, 0), count: 16_384 }],
            ports: Vec::new(),
        }],
        phases: vec![
            phase("fill", 5e6, Rate::None, Until::Held(connections)),
            phase("steady", 0.0, Rate::Max, Until::For(seconds * 1_000_000_000)),
        ],
        network: None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let batch = arguments.first().map_or(Ok(32), |text| text.parse())?;
    let seconds = arguments.get(1).map_or(Ok(2), |text| text.parse())?;
    let udp_share = arguments.get(2).map_or(Ok(0.5), |text| text.parse())?;
    let connections = arguments.get(3).map_or(Ok(CONNECTIONS), |text| text.parse())?;
    let zipf = arguments.get(4).map_or(Ok(0.0), |text| text.parse())?;
    let config = config(batch, seconds, udp_share, connections, zipf);
    config.validate()?;
    let clock = Tsc::calibrate();
    let mut arena = Arena::new(frames_per_lane(DEPTH))?;
    let (control, progress) = (Arc::new(Control::default()), Arc::new(Progress::default()));
    let port = loopback(&mut arena, DEPTH);
    let mut core = Generator::new(&config, 0, port, control.clone(), progress.clone())?;
    for phase in 0..config.phases.len() {
        control.begin(phase, clock.now() + Nanos::MILLISECOND);
        let mut windows = Vec::with_capacity(1 << 22);
        while progress.get(Field::PhasesEnded as usize) == phase as u64 {
            let (before, mut packets) = (cpu::cycles(), 0);
            for _ in 0..16 {
                packets += core.step(clock.now()).0;
            }
            let cycles = cpu::cycles() - before;
            core.housekeeping(clock.now(), &Load::default());
            // A packet is sent and received: two of those a step counts.
            if packets >= 32 * 16 {
                windows.push(cycles as f64 / f64::from(packets / 2));
            }
        }
        windows.sort_unstable_by(f64::total_cmp);
        let records = core.records();
        let record = &records[phase];
        println!(
            "{:7} {:6.2} Mpps; cycles per packet sent and received: {:.1} (10th), {:.1} (median), \
             {:.1} Mpps at the 10th; lost {}, {:?}",
            record.name,
            record.forwarded_pps() / 1e6,
            windows[windows.len() / 10],
            windows[windows.len() / 2],
            clock.hz() / windows[windows.len() / 10] / 1e6,
            record.ledger.lost(),
            record.latency,
        );
    }
    Ok(())
}
