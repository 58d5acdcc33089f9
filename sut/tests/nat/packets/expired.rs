//! Packets whose time to live ends at the core: it answers by Time Exceeded where it may.

use super::*;
use dataplane::clock::Nanos;
use etherparse::icmpv4::TimeExceededCode;
use etherparse::{IpDscp, Ipv4Header};

/// The core's Time Exceeded about a frame: RFC 1812 §4.3.2.
fn exceeded(frame: &[u8]) -> Vec<u8> {
    let ip = Ipv4Header::from_slice(&frame[14..]).unwrap().0;
    let sender = SocketAddrV4::new(ip.source.into(), 0);
    let mut packet = echo_reply(CORE_END, sender);
    (packet.ethernet.source, packet.ethernet.destination) = (CORE, GATEWAY);
    (packet.ip.dscp, packet.ip.dont_fragment) = (IpDscp::CS6, true);
    let TransportHeader::Icmpv4(header) = &mut packet.transport else { panic!("no ICMP") };
    header.icmp_type = Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
    let end = 14 + usize::from(ip.total_len);
    packet.payload = frame[14..end.min(14 + 576 - 28)].to_vec();
    whole(packet)
}

/// A packet with a payload of 1,000 bytes, an option and padding after it.
fn long(mut packet: Packet) -> Packet {
    packet.payload = (0..1000).map(|byte| byte as u8).collect();
    packet.ip.options = (&[1; 4][..]).try_into().unwrap();
    packet.padding = vec![9; 3];
    packet
}

pub(super) fn rows() -> Vec<Row> {
    let silent = "1812 4.3.2.7";
    let told = |name, rfc, packet: fn(SocketAddrV4) -> Vec<u8>| row(name, rfc, packet, "answered");
    vec![
        told("last hop out", "1812 5.3.1", |_| with_ttl(udp(INSIDE, REMOTE), 1))
            .sends(|_, _| exceeded(&with_ttl(udp(INSIDE, REMOTE), 1))),
        told("no hops out", "1812 5.3.1", |_| with_ttl(tcp(INSIDE, REMOTE, SYN), 0))
            .sends(|_, _| exceeded(&with_ttl(tcp(INSIDE, REMOTE, SYN), 0))),
        told("last hop of a ping", "1812 5.3.1", |_| with_ttl(echo_request(INSIDE, PINGED), 1))
            .sends(|_, _| exceeded(&with_ttl(echo_request(INSIDE, PINGED), 1))),
        told("last hop in", "1812 5.3.1", |e| with_ttl(udp(REMOTE, e), 1))
            .after([udp(INSIDE, REMOTE)])
            .sends(|before, _| exceeded(&with_ttl(udp(REMOTE, before), 1))),
        told("last hop in, to no connection", "1812 5.3.1", |e| with_ttl(udp(REMOTE, e), 1))
            .sends(|before, _| exceeded(&with_ttl(udp(REMOTE, before), 1))),
        told("a long packet is quoted as far as 576 bytes go", "1812 4.3.2.3", |_| {
            with_ttl(long(udp(INSIDE, REMOTE)), 1)
        })
        .sends(|_, _| exceeded(&with_ttl(long(udp(INSIDE, REMOTE)), 1))),
        told("a transport without translation", "1812 5.3.1", |_| {
            with_protocol(with_ttl_set(udp(INSIDE, REMOTE), 1), IpNumber::GRE)
        })
        .sends(|_, _| {
            exceeded(&with_protocol(with_ttl_set(udp(INSIDE, REMOTE), 1), IpNumber::GRE))
        }),
        told("a first fragment", "1812 4.3.2.7", |_| {
            fragment(with_ttl_set(udp(INSIDE, REMOTE), 1), 0, true)
        })
        .sends(|_, _| exceeded(&fragment(with_ttl_set(udp(INSIDE, REMOTE), 1), 0, true))),
        row(
            "a later fragment",
            silent,
            |_| fragment(with_ttl_set(udp(INSIDE, REMOTE), 1), 2, false),
            "ttl",
        ),
        row(
            "a first fragment without its header",
            "1858 3",
            |_| {
                let packet = with_ttl_set(tcp(INSIDE, REMOTE, SYN), 1);
                packet.sealed().fragments(&[1]).remove(0)
            },
            "ttl",
        ),
        row(
            "an ICMP error",
            silent,
            |e| whole(with_ttl_set(error_packet(HOP, *e.ip(), [3, 1], &udp(e, REMOTE)), 1)),
            "ttl",
        )
        .after([udp(INSIDE, REMOTE)]),
        row(
            "a redirect, which is an error",
            silent,
            |e| whole(with_ttl_set(error_packet(HOP, *e.ip(), [5, 1], &udp(e, REMOTE)), 1)),
            "ttl",
        ),
        row(
            "the first fragment of an ICMP error",
            silent,
            |e| {
                let error = error_packet(HOP, *e.ip(), [11, 0], &udp(e, REMOTE));
                fragment(with_ttl_set(error, 1), 0, true)
            },
            "ttl",
        ),
        row("to a group", silent, |_| with_ttl(udp(INSIDE, at("224.0.1.1:5")), 1), "ttl"),
        row("to all", silent, |_| with_ttl(udp(INSIDE, at("255.255.255.255:5")), 1), "ttl"),
        row("from nobody", silent, |e| with_ttl(udp(at("0.0.0.0:5"), e), 1), "ttl"),
        row("from itself", silent, |e| with_ttl(udp(at("127.0.0.1:5"), e), 1), "ttl"),
        row("from a group", silent, |e| with_ttl(udp(at("224.0.0.9:5"), e), 1), "ttl"),
        row("from class E", silent, |e| with_ttl(udp(at("240.0.0.1:5"), e), 1), "ttl"),
    ]
}

#[test]
fn packets_without_a_hop_left_are_answered_or_dropped() {
    check(&rows());
}

/// RFC 1812 §4.3.2.8: as many a second as Linux sends, and each of the others is counted.
#[test]
fn errors_are_sent_at_a_limited_rate() {
    let mut rig = Rig::new(&crate::rig::config());
    let flood = vec![with_ttl(udp(INSIDE, REMOTE), 1); 400];
    let mut answered = || {
        let fates = rig.process(&flood);
        rig.now = rig.now + Nanos(250_000_000);
        let of = |verdict| fates.iter().filter(|fate| fate.verdict == verdict).count();
        assert_eq!(of("answered") + of("error_limit"), 400);
        of("answered")
    };
    assert_eq!((0..4).map(|_| answered()).sum::<usize>(), 1000);
    // Forwarding is not limited, nor are answers to whom they are due.
    let frames = [with_ttl(udp(INSIDE, REMOTE), 2), whole(echo_request(ASKER, CORE_END))];
    let fates = rig.process(&frames).into_iter().map(|fate| fate.verdict);
    assert_eq!(fates.collect::<Vec<_>>(), ["forwarded", "answered"]);
}
