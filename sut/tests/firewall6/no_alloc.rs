//! A firewall allocates nothing once it exists: not for packets, connections or expiry.

use crate::rig::*;
use dataplane::burst::{BURST, Burst, Group};
use dataplane::clock::Nanos;
use dataplane::port::pcap::OwnedFrame;
use krononat::firewall6::Station;
use krononat::timer::Tick;
use krononat::verdict::Verdict;

#[test]
fn nothing_is_allocated_for_packets_connections_or_expiry() {
    let mut rig = Rig::new(100);
    let ends = |i: u16| {
        let inside = at(&format!("[2001:2:0:1::{}]:{}", 1 + i % 7, 2000 + i));
        (inside, at("[2a00:1::1]:443"))
    };
    let mut bursts: Vec<Burst<OwnedFrame>> = (0..20)
        .map(|round| {
            let of = |i: u16| {
                let (inside, remote) = ends(round * 32 + i);
                match i % 7 {
                    0 => udp(inside, remote),
                    1 => tcp(inside, remote, 2),
                    2 => ping(inside, remote),
                    3 => udp(remote, inside),
                    4 => udp(inside, remote).fragment(i.into(), 0, 16),
                    5 => udp(inside, remote).hop_limit(1),
                    _ => error(*remote.ip(), (2, 0), &udp(inside, remote)),
                }
            };
            (0..BURST as u16).map(|i| frame(&of(i).bytes())).collect()
        })
        .collect();
    let identity = identity();
    let station = Station { identity: &identity, promiscuous: false };
    let group = Group::first(BURST);
    let mut forwarded = 0;
    let buckets = rig.firewall.connections().buckets();
    let count = allocation_counter::measure(|| {
        for (round, burst) in (0u64..).zip(&mut bursts) {
            // A minute a round: connections expire on the way.
            let now = Tick::at(Nanos(round * 60_000_000_000));
            let mut verdicts = [Verdict::Answered; BURST];
            rig.firewall.process_group(burst, group, station, now, &mut verdicts);
            forwarded += verdicts.iter().filter(|&&v| v == Verdict::Forwarded).count();
            rig.firewall.sweep(now, buckets);
        }
    });
    assert_eq!(count.count_total, 0, "{count:?}");
    let connections = rig.firewall.connections();
    assert!(forwarded >= 100 && connections.expired > 0, "{forwarded} {}", connections.expired);
}
