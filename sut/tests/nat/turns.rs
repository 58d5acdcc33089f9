//! A core on its port: a turn of housekeeping between two bursts is short, however much there is to
//! be ended, and what a core holds goes back when it is no more.

use crate::rig::{at, udp};
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::{Arena, Frame};
use dataplane::port::Port;
use dataplane::port::link::pair;
use dataplane::run::Load;
use dataplane::worker::Worker;
use krononat::config::Config;
use krononat::worker::{Counters, Krononat, pipeline};
use std::sync::Arc;

/// Connections opened: several turns' worth.
const CONNECTIONS: u16 = 4 * 256;

/// What a turn may end: its bound, and one slice of 16 buckets of 7 entries beyond it.
const MOST: u64 = 128 + 16 * 7;

#[test]
fn a_turn_ends_a_bounded_number_of_connections() {
    let config = Config {
        connections_max: 4096,
        port_block: 512,
        subscriber_connections_max: None,
        ..crate::rig::config()
    };
    let mut arena = Arena::new(256).expect("memory");
    let (mut outside, inside) = pair(&mut arena, 64);
    let counters = Arc::new(Counters::default());
    let made = pipeline(&config, &config.cores[0]).expect("a core");
    let mut core = Krononat::new(inside, made, counters.clone());
    let mut burst = Burst::new();
    for first in (0..CONNECTIONS).step_by(BURST) {
        outside.alloc(&mut burst, BURST);
        for (frame, i) in burst.iter_mut().zip(first..) {
            let from = at(&format!("100.64.0.{}:{}", 1 + i % 4, 2000 + i / 4));
            let bytes = udp(from, at("192.0.2.7:443")).sealed().bytes();
            frame.set_len(bytes.len());
            frame.bytes_mut().copy_from_slice(&bytes);
        }
        outside.tx(&mut burst);
        for _ in 0..3 {
            core.step(Nanos(0));
        }
        (0..3).for_each(|_| outside.rx(&mut burst));
        outside.free(&mut burst);
    }
    // A day later all of them are over at once.
    let (mut now, mut before, mut turns) = (Nanos(86_400_000_000_000), 0, 0);
    loop {
        core.housekeeping(now, &Load::default());
        let tally = counters.read();
        assert_eq!(tally.opened, u64::from(CONNECTIONS), "{tally:?}");
        assert!(tally.expired - before <= MOST, "{} at once", tally.expired - before);
        if tally.connections == 0 {
            break;
        }
        (before, turns) = (tally.expired, turns + 1);
        assert!(turns < 1000, "{tally:?}");
        now = now + Nanos::MILLISECOND;
    }
    assert!(turns >= 4, "{turns}");
}

#[test]
fn a_core_that_is_no_more_gives_back_what_it_held() {
    let config = crate::rig::config();
    let mut arena = Arena::new(64).expect("memory");
    let (mut outside, inside) = pair(&mut arena, 16);
    let all = outside.pooled();
    let made = pipeline(&config, &config.cores[0]).expect("a core");
    let mut core = Krononat::new(inside, made, Arc::default());
    let mut packet = udp(at("100.64.0.1:5000"), at("192.0.2.7:443"));
    packet.payload = vec![7; 12];
    let fragments = packet.sealed().fragments(&[2]);
    let mut burst = Burst::new();
    outside.alloc(&mut burst, 1);
    let later = &fragments[1];
    burst[0].set_len(later.len());
    burst[0].bytes_mut().copy_from_slice(later);
    outside.tx(&mut burst);
    for _ in 0..3 {
        core.step(Nanos(0));
    }
    assert_eq!(outside.pooled(), all - 1, "it waits for its first fragment");
    drop(core.into_port());
    assert_eq!(outside.pooled(), all);
}
