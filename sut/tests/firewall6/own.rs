//! Packets for the core itself, held against answers that etherparse made.

use crate::rig::*;
use std::net::Ipv6Addr;

/// The neighbour that asks, at the station of the gateway.
const ASKER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
const SOLICITED_NODE: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456);
const SOLICITED_STATION: [u8; 6] = [0x33, 0x33, 0xff, 0x12, 0x34, 0x56];
const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// Option 1: the asker's station.
const STATION: [u8; 8] = [1, 1, 0x02, 9, 0, 0, 0, 0];

fn solicitation(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, options: &[u8]) -> Packet {
    let payload = [&target.octets()[..], options].concat();
    icmp(from, to, (135, 0), [0; 4], &payload).hop_limit(255)
}

fn advertisement(to: Ipv6Addr, station: [u8; 6], flags: u8) -> Vec<u8> {
    let payload = [&CORE_IP.octets()[..], &[2, 1], &CORE].concat();
    let packet = icmp(CORE_IP, to, (136, 0), [flags, 0, 0, 0], &payload).hop_limit(255);
    let mut frame = packet.at_station(station).bytes();
    frame[6..12].copy_from_slice(&CORE);
    frame
}

/// Router, solicited, override (RFC 4861 §4.4).
const ASKED: u8 = 0xe0;
const UNASKED: u8 = 0xa0;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

#[test]
fn neighbours_learn_where_the_core_is() {
    for (name, packet, answer) in [
        (
            "resolution, RFC 4861 §7.2.4",
            solicitation(ASKER, SOLICITED_NODE, CORE_IP, &STATION).at_station(SOLICITED_STATION),
            advertisement(ASKER, GATEWAY, ASKED),
        ),
        (
            "reachability, RFC 4861 §7.3.3",
            solicitation(ASKER, CORE_IP, CORE_IP, &[]),
            advertisement(ASKER, GATEWAY, ASKED),
        ),
        (
            "duplicate address detection, RFC 4862 §5.4",
            solicitation(NOBODY, SOLICITED_NODE, CORE_IP, &[]).at_station(SOLICITED_STATION),
            advertisement(ALL_NODES, [0x33, 0x33, 0, 0, 0, 1], UNASKED),
        ),
        (
            "unknown options are skipped, RFC 4861 §4.6",
            solicitation(ASKER, CORE_IP, CORE_IP, &[&[14, 2][..], &[7; 14], &STATION].concat()),
            advertisement(ASKER, GATEWAY, ASKED),
        ),
    ] {
        let fate = Rig::new(8).process(&packet.bytes());
        assert_eq!((fate.verdict, fate.sent), ("answered", answer), "{name}");
    }
}

#[test]
fn invalid_solicitations_are_not_answered() {
    let to_group = |from, target, options: &[u8]| {
        solicitation(from, SOLICITED_NODE, target, options).at_station(SOLICITED_STATION)
    };
    let mut damaged = to_group(ASKER, CORE_IP, &STATION).bytes();
    damaged[57] ^= 1;
    for (name, frame, verdict) in [
        ("forwarded once", to_group(ASKER, CORE_IP, &STATION).hop_limit(254).bytes(), "station"),
        ("for another", to_group(ASKER, ASKER, &STATION).bytes(), "station"),
        ("damaged", damaged, "station"),
        ("empty option", to_group(ASKER, CORE_IP, &[1, 0, 0, 0, 0, 0, 0, 0]).bytes(), "station"),
        ("option cut off", to_group(ASKER, CORE_IP, &[14, 2, 0, 0, 0, 0, 0, 0]).bytes(), "station"),
        ("from nobody with station", to_group(NOBODY, CORE_IP, &STATION).bytes(), "station"),
        ("from nobody to one", solicitation(NOBODY, CORE_IP, CORE_IP, &[]).bytes(), "local"),
        (
            "behind options",
            solicitation(ASKER, CORE_IP, CORE_IP, &[]).with(OPTIONS, &[1, 4, 0, 0, 0, 0]).bytes(),
            "local",
        ),
        (
            "to another group",
            solicitation(ASKER, ALL_NODES, CORE_IP, &STATION)
                .at_station([0x33, 0x33, 0, 0, 0, 1])
                .bytes(),
            "station",
        ),
    ] {
        assert_eq!(Rig::new(8).process(&frame).verdict, verdict, "{name}");
    }
}

#[test]
fn the_core_answers_its_own_pings_and_nothing_else() {
    let asker = at("[2a00:1::1]:77");
    let core = std::net::SocketAddrV6::new(CORE_IP, 0, 0, 0);
    let fate = Rig::new(8).process(&ping(asker, core).hop_limit(3).bytes());
    let mut answer = pong(core, asker).at_station(GATEWAY).bytes();
    answer[6..12].copy_from_slice(&CORE);
    assert_eq!((fate.verdict, fate.sent), ("answered", answer));
    for (name, packet) in [
        ("UDP", udp(asker, core)),
        ("a reply", pong(asker, core)),
        ("from a group", ping(at("[ff0e::1]:77"), core)),
        ("behind a routing header", ping(asker, core).with(ROUTING, &[0; 6])),
    ] {
        assert_eq!(Rig::new(8).process(&packet.bytes()).verdict, "local", "{name}");
    }
}
