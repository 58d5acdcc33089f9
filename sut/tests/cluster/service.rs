//! What users of connections notice.

use crate::rig::{Packet, Rig, subscriber, udp, with_cluster};
use dataplane::router::What;
use krononat::membership::Role;
use std::net::{Ipv4Addr, SocketAddrV4};

const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 53);

/// Long enough for sessions to come up (RFC 5880 §6.8.3: a packet a second until then).
const START_MS: f64 = 2_500.0;

/// A connection as its two users know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) inside: SocketAddrV4,
    pub(crate) outside: SocketAddrV4,
}

pub(crate) fn open(rig: &mut Rig<'_>, shard: usize, number: u8, port: u16) -> Option<Connection> {
    let inside = subscriber(shard, number, port);
    let sent = rig.exchange(udp(inside, REMOTE))?;
    let opened = Connection { inside, outside: sent.source() };
    works(rig, opened).then_some(opened)
}

/// Whether packets pass both ways, with the addresses they always had.
pub(crate) fn works(rig: &mut Rig<'_>, it: Connection) -> bool {
    let up = rig.exchange(udp(it.inside, REMOTE));
    let down = rig.exchange(udp(REMOTE, it.outside));
    let arrived = |packet: Option<Packet>, from, to| {
        packet.is_some_and(|packet| packet.source() == from && packet.clone().to(to) == packet)
    };
    arrived(up, it.outside, REMOTE) && arrived(down, REMOTE, it.inside)
}

pub(crate) fn role(rig: &Rig<'_>, server: usize, shard: u32) -> Role {
    let cluster = rig.core(server).cluster().expect("a cluster");
    let mut shards = cluster.shards();
    shards.find(|(id, ..)| *id == shard).expect("a shard").1.role()
}

/// A cluster in service, with some connections of each shard.
fn in_service(rig: &mut Rig<'_>, servers: usize) -> Vec<Connection> {
    rig.pass(START_MS);
    let mut all = Vec::new();
    for shard in 0..servers {
        assert_eq!(role(rig, shard, shard as u32), Role::Master);
        for port in 0..10 {
            all.push(open(rig, shard, port as u8, 5000 + port).expect("a connection"));
        }
    }
    rig.pass(5.0);
    all
}

/// Milliseconds until packets of a connection pass again.
fn outage_ms(rig: &mut Rig<'_>, it: Connection) -> f64 {
    let start = rig.now;
    while !works(rig, it) {
        assert!(rig.now.since(start).as_secs_f64() < 5.0, "{it:?} never comes back");
    }
    rig.now.since(start).as_secs_f64() * 1e3
}

#[test]
fn a_server_that_dies_is_replaced_within_the_time_it_takes_to_miss_it() {
    with_cluster(3, |rig| {
        let all = in_service(rig, 3);
        rig.noticed();
        rig.kill(0);
        let outage = outage_ms(rig, all[0]);
        assert!((6.0..=10.5).contains(&outage), "{outage} ms");
        assert_eq!(rig.noticed(), [What::Down { withdrawn: false }, What::Steered { up: false }]);
        assert_eq!(role(rig, 1, 0), Role::Master);
        for it in all {
            assert!(works(rig, it), "{it:?}");
        }
        let more = open(rig, 0, 77, 6000).expect("new connections as well");
        assert!(works(rig, more));
    });
}

#[test]
fn one_whose_link_goes_down_is_replaced_after_three_beats_and_serves_again_later() {
    with_cluster(2, |rig| {
        let all = in_service(rig, 2);
        rig.noticed();
        rig.sockets[0].set_carrier(false);
        let outage = outage_ms(rig, all[0]);
        assert!((1.9..=3.6).contains(&outage), "{outage} ms");
        assert_eq!(rig.noticed(), [What::Unplugged, What::Steered { up: false }]);
        assert!(!rig.core(0).cluster().expect("a cluster").is_seen(), "it sees it as well");
        assert_eq!((role(rig, 0, 0), role(rig, 1, 0)), (Role::Doubt, Role::Master));
        rig.pass(50.0);
        rig.sockets[0].set_carrier(true);
        for _ in 0..4_000 {
            rig.pass(0.6);
            let it = all[(rig.now.0 / 1_000_000) as usize % all.len()];
            assert!(works(rig, it), "{it:?} at {:?}", rig.now);
        }
        assert_eq!((role(rig, 0, 0), role(rig, 1, 0)), (Role::Master, Role::Standby));
    });
}

#[test]
fn one_that_returns_serves_again_and_nobody_notices() {
    with_cluster(2, |rig| {
        let mut all = in_service(rig, 2);
        rig.kill(0);
        outage_ms(rig, all[0]);
        all.push(open(rig, 0, 78, 6000).expect("opened while one of two was down"));
        rig.start(0);
        for _ in 0..3_000 {
            rig.pass(0.6);
            let it = all[(rig.now.0 / 1_000_000) as usize % all.len()];
            assert!(works(rig, it), "{it:?} at {:?}", rig.now);
        }
        assert_eq!((role(rig, 0, 0), role(rig, 1, 0)), (Role::Master, Role::Standby));
        all.into_iter().for_each(|it| assert!(works(rig, it), "{it:?}"));
    });
}

#[test]
fn one_that_leaves_is_not_missed() {
    with_cluster(2, |rig| {
        let all = in_service(rig, 2);
        let now = rig.now;
        rig.core_mut(0).leave(now);
        for at in 0..400 {
            let it = all[at % all.len()];
            assert!(works(rig, it), "{it:?} at {at}");
            if at == 200 {
                let now = rig.now;
                assert!(rig.core(0).cluster().expect("a cluster").is_gone(now));
                rig.kill(0);
            }
        }
        assert_eq!(role(rig, 1, 0), Role::Master);
        assert_eq!(rig.noticed()[4], What::Down { withdrawn: true });
    });
}

#[test]
fn one_that_sleeps_is_replaced_and_gives_way_when_it_wakes() {
    with_cluster(2, |rig| {
        let all = in_service(rig, 2);
        rig.asleep[0] = true;
        let outage = outage_ms(rig, all[0]);
        assert!((6.0..=10.5).contains(&outage), "{outage} ms");
        rig.pass(50.0);
        // What was sent to it meanwhile is stale, and it must not answer any of it.
        rig.arrived.clear();
        rig.asleep[0] = false;
        rig.pass(0.5);
        let stale = rig.arrived.iter().filter(|bytes| bytes[6..12] == rig_mac(0)).count();
        assert_eq!(stale, 0, "a core that was replaced has sent packets of users");
        rig.pass(20.0);
        assert_ne!(role(rig, 0, 0), Role::Doubt);
        for it in all {
            assert!(works(rig, it), "{it:?}");
        }
    });
}

fn rig_mac(server: u16) -> [u8; 6] {
    dataplane::identity::Mac::of(1, server, 0).0
}

#[test]
fn one_that_cannot_be_reached_serves_nothing() {
    // Cut off either way, and both.
    for (rx, tx) in [(false, true), (true, false), (false, false)] {
        with_cluster(2, |rig| {
            let all = in_service(rig, 2);
            rig.sockets[0].set(rx, tx);
            let outage = outage_ms(rig, all[0]);
            assert!((6.0..=14.0).contains(&outage), "{outage} ms, rx {rx} tx {tx}");
            rig.pass(20.0);
            assert!(!rig.core(0).cluster().expect("a cluster").is_seen(), "rx {rx} tx {tx}");
            rig.sockets[0].set(true, true);
            rig.pass(3_000.0);
            for &it in &all {
                assert!(works(rig, it), "{it:?}");
            }
            assert_eq!((role(rig, 0, 0), role(rig, 1, 0)), (Role::Master, Role::Standby));
        });
    }
}

#[test]
fn one_alone_serves_both_shards_from_the_first_packet_on() {
    with_cluster(2, |rig| {
        rig.kill(0);
        rig.pass(START_MS);
        for shard in 0..2 {
            for port in 0..20 {
                let it = open(rig, shard, port as u8, 7000 + port).expect("a connection");
                assert!(works(rig, it));
            }
        }
        rig.start(0);
        rig.pass(START_MS);
        let it = open(rig, 0, 99, 7000).expect("a connection of the one that joined");
        assert!(works(rig, it));
        assert_eq!((role(rig, 0, 0), role(rig, 1, 0)), (Role::Master, Role::Standby));
    });
}
