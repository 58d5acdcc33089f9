//! What a subscriber gone wrong, or a stranger, cannot do to anybody else.

use crate::rig::{Fate, Packet, Rig, at, config, echo_reply, tcp, udp};
use krononat::config::Config;
use krononat::ports::Subscriber;
use krononat::verdict::Drop;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

const SECOND_NS: u64 = 1_000_000_000;

/// The one who floods, by number and address.
const FLOODER: (Subscriber, Ipv4Addr) = (Subscriber(7), Ipv4Addr::new(100, 64, 0, 7));
const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 443);

/// Half-open connections a subscriber may hold: half a block of 64.
const HALF_OPEN_MAX: usize = 32;

fn roomy() -> Config {
    Config { connections_max: 10_000, ..config() }
}

fn flooder(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(FLOODER.1, port)
}

fn process(rig: &mut Rig, packets: impl IntoIterator<Item = Packet>) -> Vec<Fate> {
    let frames: Vec<_> = packets.into_iter().map(|packet| packet.sealed().bytes()).collect();
    rig.process(&frames)
}

/// Sends one packet and says where it seems to come from behind the NAT.
fn forward(rig: &mut Rig, packet: Packet) -> SocketAddrV4 {
    let fate = process(rig, [packet]).remove(0);
    assert_eq!(fate.verdict, "forwarded");
    Packet::read(&fate.sent).source()
}

/// How many packets met each fate.
fn tally(fates: &[Fate]) -> HashMap<&'static str, usize> {
    let mut tally = HashMap::new();
    for fate in fates {
        *tally.entry(fate.verdict).or_default() += 1;
    }
    tally
}

/// SYNs of the flooder, each from a port of its own.
fn flood(ports: std::ops::Range<u16>) -> impl Iterator<Item = Packet> {
    ports.map(|port| tcp(flooder(port), SERVER, SYN))
}

fn sweep(rig: &mut Rig) {
    rig.pipeline.sweep(rig.now, rig.pipeline.connections().buckets());
}

fn half_open(rig: &Rig) -> usize {
    let (_, half_open) = rig.pipeline.connections().held_by(FLOODER.0);
    assert_eq!(u64::from(half_open), rig.pipeline.connections().half_open(), "nobody else's");
    half_open as usize
}

/// A connection whose handshake is complete, and its external end.
fn establish(rig: &mut Rig, inside: SocketAddrV4) -> SocketAddrV4 {
    let external = forward(rig, tcp(inside, SERVER, SYN));
    forward(rig, tcp(SERVER, external, SYN | ACK));
    assert_eq!(forward(rig, tcp(inside, SERVER, ACK)), external);
    external
}

/// Both ways of a connection work, from and to where they did before.
fn assert_untouched(rig: &mut Rig, inside: SocketAddrV4, external: SocketAddrV4) {
    assert_eq!(forward(rig, tcp(inside, SERVER, ACK)), external, "{inside}");
    let fate = process(rig, [tcp(SERVER, external, ACK)]).remove(0);
    let expected = tcp(SERVER, inside, ACK).routed().sealed().bytes();
    assert_eq!(fate, Fate { verdict: "forwarded", sent: expected }, "{inside}");
}

#[test]
fn a_flood_of_syns_leaves_what_is_established_and_all_others_alone() {
    let mut rig = Rig::new(&roomy());
    let own: Vec<_> = (100..110).map(flooder).collect();
    let others: Vec<_> =
        (0..200).map(|i| SocketAddrV4::new(Ipv4Addr::new(100, 64, 1, i), 5000)).collect();
    let held: Vec<_> =
        own.iter().chain(&others).map(|&inside| (inside, establish(&mut rig, inside))).collect();

    let fates = process(&mut rig, flood(2000..12_000));
    let expected = [("forwarded", HALF_OPEN_MAX), ("half_open_limit", 10_000 - HALF_OPEN_MAX)];
    assert_eq!(tally(&fates), HashMap::from(expected));
    assert_eq!(half_open(&rig), HALF_OPEN_MAX);

    for &(inside, external) in &held {
        assert_untouched(&mut rig, inside, external);
    }
    // Others open connections as ever, and so does the flooder what is no TCP.
    for i in 0..200 {
        establish(&mut rig, SocketAddrV4::new(Ipv4Addr::new(100, 64, 2, i), 5000));
    }
    forward(&mut rig, udp(flooder(5000), SERVER));
    let more = process(&mut rig, flood(50_000..50_001));
    assert_eq!(more[0].verdict, "half_open_limit");
}

#[test]
fn half_open_connections_live_a_minute_and_established_ones_two_hours() {
    let mut rig = Rig::new(&roomy());
    let external = establish(&mut rig, flooder(100));
    for _ in 0..20 {
        let fates = process(&mut rig, flood(2000..3000));
        assert_eq!(tally(&fates)["forwarded"], HALF_OPEN_MAX, "the limit is whole again");
        rig.now.0 += 59 * SECOND_NS;
        sweep(&mut rig);
        assert_eq!(half_open(&rig), HALF_OPEN_MAX);
        rig.now.0 += 2 * SECOND_NS;
        sweep(&mut rig);
        assert_eq!((half_open(&rig), rig.pipeline.connections().len()), (0, 1));
    }
    assert_untouched(&mut rig, flooder(100), external);
}

/// However a handshake ends, it no longer counts; what comes after it leaks nothing either.
#[test]
fn the_half_open_count_goes_down_when_they_are_completed_refused_aborted_or_closed() {
    type End = fn(SocketAddrV4, SocketAddrV4) -> Vec<Packet>;
    let ends: [(&str, End); 5] = [
        ("completed", |inside, e| vec![tcp(SERVER, e, SYN | ACK), tcp(inside, SERVER, ACK)]),
        ("refused", |_, e| vec![tcp(SERVER, e, RST | ACK)]),
        ("aborted", |inside, _| vec![tcp(inside, SERVER, RST)]),
        ("answered and reset", |_, e| vec![tcp(SERVER, e, SYN | ACK), tcp(SERVER, e, RST)]),
        ("closed", |inside, _| vec![tcp(inside, SERVER, FIN | ACK)]),
    ];
    for (name, end) in ends {
        let mut rig = Rig::new(&roomy());
        let fates = process(&mut rig, flood(2000..2032));
        assert_eq!(half_open(&rig), HALF_OPEN_MAX, "{name}");
        for (fate, port) in fates.iter().zip(2000..) {
            let packets = end(flooder(port), Packet::read(&fate.sent).source());
            let ended = process(&mut rig, packets);
            assert!(ended.iter().all(|fate| fate.verdict == "forwarded"), "{name}");
            assert_eq!(half_open(&rig), 2031 - usize::from(port), "{name}");
        }
        // As many again find room, and nothing is left of either in the end.
        let fates = process(&mut rig, flood(3000..3033));
        assert_eq!(tally(&fates)["forwarded"], HALF_OPEN_MAX, "{name}");
        for _ in 0..100 {
            rig.now.0 += 80 * SECOND_NS;
            sweep(&mut rig);
        }
        assert_eq!(half_open(&rig), 0, "{name}");
        assert_eq!(rig.pipeline.connections().held_by(FLOODER.0), (0, 0), "{name}");
    }
}

/// An answer alone does not complete a handshake: servers answer floods.
#[test]
fn a_flood_that_is_answered_is_bounded_just_so() {
    let mut rig = Rig::new(&roomy());
    for fate in process(&mut rig, flood(2000..2032)) {
        forward(&mut rig, tcp(SERVER, Packet::read(&fate.sent).source(), SYN | ACK));
    }
    let more = process(&mut rig, flood(3000..3001));
    assert_eq!((half_open(&rig), more[0].verdict), (HALF_OPEN_MAX, "half_open_limit"));
}

/// A SYN on the ports of a connection that is over is half-open like any other.
#[test]
fn what_is_reset_is_not_opened_again_beyond_the_limit() {
    let mut rig = Rig::new(&roomy());
    for port in 2000..2064 {
        process(&mut rig, [tcp(flooder(port), SERVER, SYN), tcp(flooder(port), SERVER, RST)]);
    }
    assert_eq!(half_open(&rig), 0);
    let fates = process(&mut rig, flood(2000..2064));
    let expected = [("forwarded", HALF_OPEN_MAX), ("half_open_limit", 64 - HALF_OPEN_MAX)];
    assert_eq!(tally(&fates), HashMap::from(expected));
    // What was opened again lives a minute and no longer, what was not stays for four.
    rig.now.0 += 61 * SECOND_NS;
    sweep(&mut rig);
    let held = rig.pipeline.connections().held_by(FLOODER.0);
    assert_eq!(held, (64 - HALF_OPEN_MAX as u32, 0));
}

/// The pool of sessions beyond the first of a port is everybody's.
#[test]
fn one_port_to_the_whole_internet_is_bounded_by_the_subscribers_quota() {
    let mut rig = Rig::new(&Config { shared_sessions_max: Some(1000), ..roomy() });
    let to = |i: u16| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 9), i);
    let fates = process(&mut rig, (1..=2000).map(|i| udp(flooder(4999), to(i))));
    let expected = [("forwarded", 80), ("subscriber_quota", 1920)];
    assert_eq!(tally(&fates), HashMap::from(expected));
    let neighbour = at("100.64.0.8:4999");
    let fates = process(&mut rig, (1..=50).map(|i| udp(neighbour, to(i))));
    assert_eq!(tally(&fates), HashMap::from([("forwarded", 50)]));
}

#[test]
fn a_scan_from_outside_leaves_no_trace() {
    let mut rig = Rig::new(&roomy());
    let subscriber = at("100.64.0.1:5000");
    forward(&mut rig, tcp(subscriber, SERVER, SYN));
    let answered = forward(&mut rig, udp(at("100.64.0.2:7"), SERVER));
    forward(&mut rig, udp(SERVER, answered));
    let of = |rig: &Rig| {
        let connections = rig.pipeline.connections();
        let opened = (connections.opened, connections.expired, connections.half_open());
        (connections.len(), opened, connections.bytes())
    };
    let before = of(&rig);

    // Everything is tried just before the mappings end.
    rig.now.0 += 59 * SECOND_NS;
    let scanner = at("203.0.113.66:40000");
    let every = |port: u16| {
        [Ipv4Addr::new(198, 18, 0, 0), Ipv4Addr::new(198, 18, 0, 1)].into_iter().flat_map(
            move |address| {
                let end = SocketAddrV4::new(address, port);
                let ping = echo_reply(SocketAddrV4::new(*scanner.ip(), 0), end);
                [tcp(scanner, end, SYN), tcp(scanner, end, ACK), udp(scanner, end), ping]
            },
        )
    };
    let fates = process(&mut rig, (0..=u16::MAX).flat_map(every));
    // Of the ports that somebody holds, packets of the same protocol are filtered.
    let expected = [("filtered_inbound", 3), ("unknown_inbound", 8 * 65_536 - 3)];
    assert_eq!(tally(&fates), HashMap::from(expected));
    assert_eq!(of(&rig), before, "nothing is held, opened or ended by it");

    // And nothing lives longer for it.
    rig.now.0 += 2 * SECOND_NS;
    sweep(&mut rig);
    assert_eq!((rig.pipeline.connections().len(), rig.pipeline.connections().half_open()), (1, 0));
    let counts = rig.pipeline.counts();
    let named = |name| Drop::all().find(|reason| reason.name() == name).unwrap().index();
    assert_eq!(counts.dropped[named("unknown_inbound")], 8 * 65_536 - 3);
}
