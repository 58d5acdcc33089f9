//! Connections that are used unequally, and rates that change: through a plain wire, seen from it.

use crate::rig::{Rig, config, fill, phase, steady};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Frame};
use dataplane::port::link::{Link, loopback};
use dataplane::port::{Port, PortStats};
use format::plan::Shape;
use kronogen::config::{Config, Phase, Rate, Until};
use std::collections::HashMap;

/// A wire that counts what passes, by connection and by millisecond.
struct Counted<'a> {
    link: Link<'a>,
    now: Nanos,
    by_connection: HashMap<[[u8; 6]; 2], u64>,
    by_ms: Vec<u64>,
}

impl<'a> Port for Counted<'a> {
    type Frame = <Link<'a> as Port>::Frame;
    fn rx(&mut self, into: &mut Burst<Self::Frame>) {
        self.link.rx(into);
    }
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize {
        for frame in burst.iter() {
            let end = |address: usize, port: usize| {
                let mut end = [0; 6];
                end[..4].copy_from_slice(&frame.bytes()[address..][..4]);
                end[4..].copy_from_slice(&frame.bytes()[port..][..2]);
                end
            };
            let mut ends = [end(26, 34), end(30, 36)];
            ends.sort_unstable();
            *self.by_connection.entry(ends).or_default() += 1;
            let ms = (self.now.0 / 1_000_000) as usize;
            self.by_ms.resize(self.by_ms.len().max(ms + 1), 0);
            self.by_ms[ms] += 1;
        }
        self.link.tx(burst)
    }
    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize) {
        self.link.alloc(into, count);
    }
    fn free(&mut self, burst: &mut Burst<Self::Frame>) {
        self.link.free(burst);
    }
    fn room(&mut self) -> usize {
        self.link.room()
    }
    fn tick(&mut self, now: Nanos) {
        self.now = now;
    }
    fn stats(&self) -> PortStats {
        self.link.stats()
    }
}

/// Packets of each connection in the last of two phases, the most used first.
fn lengths(config: &Config) -> Vec<u64> {
    let mut arena = Arena::new(2048).expect("memory");
    let link = loopback(&mut arena, 1024);
    let port = Counted { link, now: Nanos(0), by_connection: HashMap::new(), by_ms: Vec::new() };
    let mut rig = Rig::new(config, vec![port]);
    rig.run_phase(0);
    rig.cores[0].port().by_connection.clear();
    rig.run_phase(1);
    let records = rig.cores[0].records();
    let ledger = &records[1].ledger;
    assert_eq!((ledger.lost(), ledger.unsent, ledger.mistranslated), (0, 0, 0), "{ledger:?}");
    let mut lengths: Vec<u64> = rig.cores[0].port().by_connection.values().copied().collect();
    assert_eq!(lengths.iter().sum::<u64>(), ledger.sent);
    lengths.sort_unstable_by(|a, b| b.cmp(a));
    lengths
}

#[test]
fn packets_go_to_connections_by_zipf() {
    for (zipf, draws) in [(0.7, 100_000.0), (1.0, 100_000.0), (1.4, 100_000.0)] {
        let config = config(1000, vec![fill(1000), steady(Rate::Pps(1e6), 100)]);
        let lengths = lengths(&Config { zipf, ..config });
        let all: f64 = (1..=1000).map(|k| f64::from(k).powf(-zipf)).sum();
        for (k, &length) in (1..=20).zip(&lengths) {
            let expected = draws * f64::from(k).powf(-zipf) / all;
            // Six standard deviations of a count.
            let error = (length as f64 - expected).abs();
            assert!(error < 6.0 * expected.sqrt(), "{k} of {zipf}: {length}, {expected}");
        }
    }
    let even = lengths(&config(1000, vec![fill(1000), steady(Rate::Pps(1e6), 100)]));
    assert!(even[0] < 200, "{} packets of 100", even[0]);
}

#[test]
fn lengths_of_connections_that_come_and_go_have_a_heavy_tail() {
    let churn = Phase {
        open_per_s: 100_000.0,
        close_per_s: 100_000.0,
        ..phase("churn", Rate::Pps(2e6), Until::For(100_000_000))
    };
    let config = config(600, vec![fill(500), churn]);
    let hill = |zipf: f64| {
        let lengths = lengths(&Config { zipf, ..config.clone() });
        assert!((10_400..=10_600).contains(&lengths.len()), "{} connections", lengths.len());
        // Hill's estimator of the index of the tail, from the 500 longest.
        let least = lengths[500] as f64;
        500.0 / lengths[..500].iter().map(|&n| (n as f64 / least).ln()).sum::<f64>()
    };
    // 1/s, and a little above as places are whole numbers.
    let (heavy, heavier, even) = (hill(1.0), hill(1.4), hill(0.0));
    assert!((0.9..1.25).contains(&heavy), "{heavy}");
    assert!((0.6..0.9).contains(&heavier), "{heavier}");
    assert!(even > 3.0, "{even}");
}

/// Packets by millisecond of a phase of 100 ms at 1 Mpps on average.
fn course(shape: Shape) -> Vec<u64> {
    let shaped = Phase { shape: Some(shape), ..steady(Rate::Pps(1e6), 100) };
    let config = config(100, vec![fill(100), shaped]);
    let mut arena = Arena::new(2048).expect("memory");
    let link = loopback(&mut arena, 1024);
    let port = Counted { link, now: Nanos(0), by_connection: HashMap::new(), by_ms: Vec::new() };
    let mut rig = Rig::new(&config, vec![port]);
    rig.run_phase(0);
    rig.cores[0].port().by_ms.clear();
    rig.run_phase(1);
    let record = &rig.cores[0].records()[1];
    let ledger = &record.ledger;
    assert!(ledger.planned.abs_diff(100_000) <= 1, "{shape:?}: {} planned", ledger.planned);
    assert_eq!((ledger.on_time, ledger.unsent), (ledger.planned, 0), "{ledger:?}");
    let first = (record.start.0 / 1_000_000) as usize;
    let by_ms = rig.cores[0].port().by_ms[first..].to_vec();
    assert_eq!(by_ms.iter().sum::<u64>(), ledger.sent);
    by_ms
}

#[test]
fn a_ramp_rises_from_nothing_to_twice_its_mean() {
    let by_ms = course(Shape::Ramp { from: 0.0 });
    for (tenth, packets) in by_ms.chunks(10).take(10).map(|ms| ms.iter().sum::<u64>()).enumerate() {
        // The start is some microseconds into a millisecond.
        let expected = 1000 * (2 * tenth as u64 + 1);
        assert!(packets.abs_diff(expected) < 400, "{tenth}: {packets}, {expected}");
    }
}

#[test]
fn a_wave_begins_and_ends_at_its_lowest() {
    let by_ms = course(Shape::Wave { swing: 0.9, period_ns: 50_000_000 });
    let sum = |from: usize| by_ms[from..from + 4].iter().sum::<u64>();
    assert!(sum(0) < 700 && sum(48) < 700 && sum(96) < 700, "{by_ms:?}");
    assert!(sum(23) > 7400 && sum(73) > 7400, "{by_ms:?}");
}

#[test]
fn nothing_is_sent_between_bursts() {
    let by_ms = course(Shape::Bursts { on_ns: 5_000_000, off_ns: 5_000_000 });
    for (ms, &packets) in by_ms.iter().enumerate().take(100) {
        match ms % 10 {
            // Steps are 10 us, and the start is not at the begin of a millisecond.
            0 => assert!(packets > 500, "{ms}: {packets}"),
            1..=4 => assert!(packets.abs_diff(2000) < 50, "{ms}: {packets}"),
            5 => assert!(packets < 1500, "{ms}: {packets}"),
            _ => assert_eq!(packets, 0, "{ms}"),
        }
    }
}
