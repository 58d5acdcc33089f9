//! Connections opened a second while as many as ever expire.
//!
//! The connections held are sixteen cohorts, opened a sixteenth of the UDP timer apart. Each round
//! opens another in bursts of first packets alone, from subscribers in no order; then time goes on
//! and a sweep of the whole table ends the oldest. So held connections stay where they are told to,
//! port blocks are about half full, and the table has the guests of a table in use.

use super::rig::{Crowd, Rig};
use super::{Options, spread};
use dataplane::burst::BURST;
use dataplane::clock::{Nanos, Tsc};
use dataplane::cpu;
use dataplane::frame::Arena;
use krononat::config::Timers;
use serde_json::json;

/// Cohorts held.
const COHORTS: u32 = 16;

/// Connections a subscriber holds in the mean; its block has 64 ports.
const PER_SUBSCRIBER: u32 = 32;

/// Numbers of connections before the first is used again: all pairs of subscriber and one of its 64
/// source ports.
fn numbers(crowd: Crowd) -> u32 {
    crowd.subscribers * 64
}

/// The `turn`-th connection opened: consecutive ones are of subscribers far apart, and each
/// subscriber has its turn once in as many as there are.
fn number(crowd: Crowd, turn: u32) -> u32 {
    turn.wrapping_mul(0x9e37_79b1) & (numbers(crowd) - 1)
}

pub(crate) fn measure(options: &Options) {
    let crowd = Crowd::of(options.connections, PER_SUBSCRIBER);
    let bursts = options.connections.div_ceil(COHORTS * BURST as u32);
    let cohort = bursts * BURST as u32;
    let mut arena = Arena::new(BURST).expect("memory");
    let mut rig = Rig::new(&mut arena, crowd, cohort * (COHORTS + 2));
    let apart = Timers::default().udp_ms * 1_000_000 / u64::from(COHORTS);
    let (mut opening, mut ending, mut held) = (Vec::new(), Vec::new(), Vec::new());
    let each = |cycles: u64| cycles as f64 / f64::from(cohort);
    for round in 0..3 * COHORTS + options.rounds as u32 {
        let now = Nanos(u64::from(round) * apart);
        let before = rig.pipeline.connections().len();
        let mut spent = 0;
        for burst in 0..bursts {
            let first = (round * bursts + burst).wrapping_mul(BURST as u32);
            spent += rig.process(now, |at| {
                let number = number(crowd, first.wrapping_add(at as u32));
                (crowd.inside(number), crowd.remote(number))
            });
        }
        let connections = rig.pipeline.connections();
        let (opened, buckets) = (connections.len() - before, connections.buckets());
        assert_eq!(opened, cohort as usize, "first packets that opened nothing");
        let start = cpu::cycles();
        rig.pipeline.sweep(now + Nanos(apart), buckets);
        let swept = cpu::cycles() - start;
        let ended = before + opened - rig.pipeline.connections().len();
        // Cohorts come and go steadily by then, and every one has met a table in use.
        if round >= 3 * COHORTS {
            assert_eq!(ended, opened, "a round that does not end what it opens");
            held.push(before as f64);
            opening.push(each(spent));
            ending.push(each(swept));
        }
    }
    report(options, &held, &opening, &ending);
}

fn report(options: &Options, held: &[f64], opening: &[f64], ending: &[f64]) {
    let hz = Tsc::calibrate().hz();
    let per_second = |cycles: f64| hz / cycles;
    let both: Vec<f64> = opening.iter().zip(ending).map(|(a, b)| per_second(a + b)).collect();
    let opened: Vec<f64> = opening.iter().copied().map(per_second).collect();
    let range = |figures: &[f64], unit: f64| {
        let [least, median, most] = spread(figures).map(|figure| figure / unit);
        format!("{median:.1} ({least:.1} to {most:.1})")
    };
    let [_, held, _] = spread(held);
    options.print(
        &json!({"setup": {
            "held": held,
            "opened_per_s": opened,
            "opened_and_ended_per_s": both,
        }}),
        format_args!(
            "{held} connections held\n\
             first packet: {} cycles, {} M/s\n\
             and the end of a connection by expiry: {} cycles, together {} M/s",
            range(opening, 1.0),
            range(&opened, 1e6),
            range(ending, 1.0),
            range(&both, 1e6),
        ),
    );
}
