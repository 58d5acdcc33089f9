//! What one generator core does through a plain wire: 1,032,192 connections, IMIX, everything
//! verified. `cargo run --release -p kronogen --example wire [-- BATCH [SECONDS]]`

use dataplane::clock::Tsc;
use dataplane::identity::{Identity, Mac};
use dataplane::run::Stop;
use dataplane::worker::{CoreId, ServerId};
use kronogen::config::{Config, CoreConfig, Phase, Range, Rate, Until};
use kronogen::run::twin;
use std::net::Ipv4Addr;

const CONNECTIONS: u32 = 1_032_192;

fn config(batch: usize, seconds: u64) -> Config {
    let mac = Mac::of(1, 0, 0);
    let phase = |name: &str, open_per_s, rate, until| Phase {
        name: name.to_owned(),
        open_per_s,
        close_per_s: 0.0,
        rate,
        until,
    };
    Config {
        server: ServerId(0),
        seed: 24301,
        sizes: vec![64, 64, 594, 64, 64, 594, 64, 64, 594, 64, 594, 1518],
        up_share: 0.5,
        udp_share: 0.5,
        deadline_ns: 10_000_000,
        drain_ns: 50_000_000,
        batch,
        retry_ns: 100_000_000,
        attempts: 5,
        linger_ns: 100_000_000,
        cores: vec![CoreConfig {
            core: CoreId(0),
            cpu: Some(0),
            connections: CONNECTIONS,
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
        }],
        phases: vec![
            phase("fill", 3e6, Rate::None, Until::Held(CONNECTIONS)),
            phase("steady", 0.0, Rate::Max, Until::For(seconds * 1_000_000_000)),
            phase("paced", 0.0, Rate::Pps(5e6), Until::For(seconds * 1_000_000_000)),
        ],
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let batch = arguments.next().map_or(Ok(32), |text| text.parse())?;
    let seconds = arguments.next().map_or(Ok(2), |text| text.parse())?;
    let clock = Tsc::calibrate();
    let outcomes = twin(&config(batch, seconds), 2048, &clock, &Stop::new(), |_| {})?;
    for record in &outcomes[0].records {
        let cycles = record.busy_share.map(|share| share * clock.hz() / record.forwarded_pps());
        println!(
            "{:8} {:7.3} Mpps  {:6.1} cycles/packet  {:?} {:?} room-limited {}/{}",
            record.name,
            record.forwarded_pps() / 1e6,
            cycles.unwrap_or(f64::NAN),
            record.latency,
            record.ledger,
            record.room_limited,
            record.batches
        );
    }
    Ok(())
}
