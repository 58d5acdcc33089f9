//! A core allocates nothing once it exists: not for packets, connections or expiry.

use crate::rig::{echo_request, tcp, udp};
use dataplane::burst::Burst;
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Frame};
use dataplane::port::Port;
use dataplane::port::link::{Link, pair};
use dataplane::run::Load;
use dataplane::worker::Worker;
use krononat::worker::{Counters, Krononat, pipeline};
use std::sync::Arc;

const SYN: u8 = 2;

/// Sends what the arena's frames hold already, and counts what comes back.
fn exchange(
    outside: &mut Link<'_>,
    core: &mut Krononat<Link<'_>>,
    frames: &[Vec<u8>],
    now: Nanos,
) -> usize {
    let mut burst = Burst::new();
    outside.alloc(&mut burst, frames.len());
    for (frame, bytes) in burst.iter_mut().zip(frames) {
        frame.set_len(bytes.len());
        frame.bytes_mut().copy_from_slice(bytes);
    }
    outside.tx(&mut burst);
    for _ in 0..4 {
        core.step(now);
    }
    core.housekeeping(now, &Load::default());
    (0..2).for_each(|_| outside.rx(&mut burst));
    let returned = burst.len();
    outside.free(&mut burst);
    returned
}

#[test]
fn nothing_is_allocated_for_packets_connections_or_expiry() {
    let config = crate::rig::config();
    let core = &config.cores[0];
    let mut arena = Arena::new(256).expect("memory");
    let (mut outside, inside) = pair(&mut arena, 64);
    let counters = Arc::new(Counters::default());
    let made = pipeline(&config, core).expect("a core");
    let mut worker = Krononat::new(inside, made, counters.clone());
    let ends = |i: u16| {
        (
            crate::rig::at(&format!("100.64.0.{}:{}", 1 + i % 7, 2000 + i)),
            crate::rig::at("192.0.2.7:443"),
        )
    };
    let frames: Vec<Vec<Vec<u8>>> = (0..20)
        .map(|round| {
            let of = |i: u16| {
                let (from, to) = ends(round * 8 + i);
                match i % 4 {
                    0 => tcp(from, to, SYN),
                    1 => udp(from, to),
                    2 => echo_request(from, to),
                    _ => udp(to, from),
                }
            };
            let whole = (0..8).map(|i| {
                let mut packet = of(i);
                // What comes no further is answered.
                packet.ip.time_to_live = if i == 4 { 1 } else { 64 };
                packet.sealed().bytes()
            });
            let late = of(5).sealed().fragments(&[1]).into_iter().rev();
            whole.chain(of(1).sealed().fragments(&[1])).chain(late).collect()
        })
        .collect();
    let mut returned = 0;
    let count = allocation_counter::measure(|| {
        for (round, frames) in (0u64..).zip(&frames) {
            // A minute a round: connections expire on the way.
            returned += exchange(&mut outside, &mut worker, frames, Nanos(round * 60_000_000_000));
        }
    });
    assert_eq!(count.count_total, 0, "{count:?}");
    let tally = counters.read();
    assert!(returned >= 60 && tally.opened >= 60, "{returned} returned, {tally:?}");
    assert!(tally.expired > 0 && tally.dropped.iter().sum::<u64>() > 0, "{tally:?}");
}
