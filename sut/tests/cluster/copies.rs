//! What a copy holds, whatever the network does to the messages, and whoever sends them.

use crate::rig::{KEY, Rig, core_address, subscriber, tcp, udp, with_cluster};
use crate::service::open;
use dataplane::identity::{Identity, Mac};
use krononat::connections::Place;
use krononat::ports::Slot;
use krononat::replicate::message::{self, Head};
use krononat::timer::Tick;
use std::net::{Ipv4Addr, SocketAddrV4};

const START_MS: f64 = 2_500.0;

/// Connections of shard 0 as a server holds them: port, both ends, state.
fn held(rig: &Rig<'_>, server: usize) -> Vec<String> {
    let pipeline = rig.core(server).pipeline();
    let (connections, tick) = (pipeline.connections(), Tick::at(rig.now));
    let addresses = (0..2).filter(|&index| {
        pipeline.shard().external_address(index) == u32::from(Ipv4Addr::new(198, 18, 0, 0))
    });
    let mut all = Vec::new();
    for address in addresses {
        let ports = (0..=u16::MAX).map(|port| Place::Record(Slot::new(address as u16, port)));
        let shared = (0..connections.pooled()).map(Place::Session);
        for copy in ports.chain(shared).filter_map(|place| connections.copy(place, tick)) {
            let (port, life, only) = (copy.slot.port(), copy.life.state, copy.only);
            if u32::from(copy.slot.address()) == address {
                all.push(format!("{port} {:?} {:?} {life:?} {only}", copy.inside, copy.remote));
            }
        }
    }
    all.sort();
    all
}

fn remote(number: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, number), 53)
}

/// Connections of all kinds, and changes to them.
fn traffic(rig: &mut Rig<'_>, rounds: u16) {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    for round in 0..rounds {
        let inside = subscriber(0, (round % 200) as u8, 2000 + round / 8);
        if round % 3 == 0 {
            let Some(sent) = rig.exchange(tcp(inside, remote(1), SYN)) else { continue };
            let outside = sent.source();
            rig.exchange(tcp(remote(1), outside, SYN | ACK));
            rig.exchange(tcp(inside, remote(1), ACK));
            if round % 2 == 0 {
                rig.exchange(tcp(inside, remote(1), 1 | ACK));
            }
        } else {
            // One port to several remotes: sessions that share a mapping.
            for number in 0..round as u8 % 4 {
                rig.exchange(udp(inside, remote(number)));
            }
        }
    }
}

#[test]
fn a_copy_is_the_same_within_milliseconds() {
    with_cluster(2, |rig| {
        rig.pass(START_MS);
        traffic(rig, 300);
        rig.pass(5.0);
        let (served, copied) = (held(rig, 0), held(rig, 1));
        assert!(served.len() > 200, "{}", served.len());
        assert_eq!(served, copied);
    });
}

#[test]
fn a_copy_is_the_same_though_messages_are_lost() {
    with_cluster(2, |rig| {
        rig.pass(START_MS);
        traffic(rig, 50);
        rig.sockets[1].lose_one_in(4);
        traffic(rig, 300);
        rig.sockets[1].lose_one_in(0);
        rig.pass(600.0);
        let (served, copied) = (held(rig, 0), held(rig, 1));
        assert!(served.len() > 200, "{}", served.len());
        assert_eq!(served, copied);
    });
}

#[test]
fn a_copy_that_starts_empty_is_filled_while_packets_flow() {
    with_cluster(2, |rig| {
        rig.pass(START_MS);
        traffic(rig, 200);
        rig.kill(1);
        traffic(rig, 100);
        rig.start(1);
        traffic(rig, 300);
        rig.pass(300.0);
        let (served, copied) = (held(rig, 0), held(rig, 1));
        assert!(served.len() > 200, "{}", served.len());
        assert_eq!(served, copied);
    });
}

fn forged(key: &[u8; 16], head: &Head) -> Vec<u8> {
    let me = Identity {
        mac: Mac::of(2, 0, 0),
        vlan: None,
        ip: core_address(0),
        asn: None,
        gateway: Mac::of(9, 0, 0),
    };
    let mut frame = vec![0; 1600];
    let len = message::write(&mut frame, &me, core_address(1), key, head, [].into_iter());
    frame.truncate(len);
    frame
}

#[test]
fn a_stranger_changes_nothing() {
    with_cluster(2, |rig| {
        rig.pass(START_MS);
        open(rig, 0, 1, 5000).expect("a connection");
        rig.pass(5.0);
        let before = held(rig, 1);
        let counts = |rig: &Rig<'_>| rig.core(1).cluster().expect("a cluster").counts().strangers;
        let strangers = counts(rig);
        // With another key; then with the right one, as recorded in an earlier life of the cluster.
        let master = Head { role: 2, epoch: 99, counter: 1 << 40, next: 1, ..Head::default() };
        rig.send(&forged(&[0; 16], &master));
        rig.pass(1.0);
        assert_eq!(counts(rig), strangers + 1);
        rig.send(&forged(&KEY, &Head { from: 77, to: 78, ..master }));
        rig.pass(1.0);
        assert_eq!(held(rig, 1), before);
        let epochs: Vec<u32> = (rig.core(1).cluster().expect("a cluster").shards())
            .map(|(_, member, _)| member.epoch())
            .collect();
        assert_eq!(epochs, [1, 1]);
    });
}
