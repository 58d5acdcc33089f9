//! What becomes of single packets, as a table: what was sent before, the packet, its verdict, and
//! every byte of what is sent. A row names the RFC it follows, or departs from.

mod expired;

use crate::rig::{CORE, CORE_IP, GATEWAY, Packet, Rig, at, echo_reply, echo_request, tcp, udp};
use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv4Type, IpNumber, PacketBuilder,
    TransportHeader,
};
use krononat::verdict::{Drop, Refusal};
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

struct Row {
    name: &'static str,
    /// The section that asks for this, or that is departed from; `-` where it is our own choice.
    rfc: &'static str,
    before: Vec<Packet>,
    /// The packet, given the external end of the last one before it.
    packet: fn(SocketAddrV4) -> Vec<u8>,
    verdict: &'static str,
    /// What is sent, given that and the external end it has got itself.
    sent: fn(SocketAddrV4, SocketAddrV4) -> Vec<u8>,
}

fn row(
    name: &'static str,
    rfc: &'static str,
    packet: fn(SocketAddrV4) -> Vec<u8>,
    verdict: &'static str,
) -> Row {
    Row { name, rfc, before: Vec::new(), packet, verdict, sent: |_, _| Vec::new() }
}

impl Row {
    fn after(self, before: impl IntoIterator<Item = Packet>) -> Row {
        Row { before: before.into_iter().collect(), ..self }
    }

    fn sends(self, sent: fn(SocketAddrV4, SocketAddrV4) -> Vec<u8>) -> Row {
        Row { sent, ..self }
    }

    fn check(&self) {
        let Row { name, rfc, .. } = self;
        let mut rig = Rig::new(&crate::rig::config());
        let opening: Vec<Vec<u8>> = self.before.iter().cloned().map(whole).collect();
        let opened = rig.process(&opening);
        assert!(opened.iter().all(|fate| fate.verdict == "forwarded"), "{name}: before it");
        let before = opened.last().map_or(UNUSED, |fate| Packet::read(&fate.sent).source());
        let fate = rig.process(&[(self.packet)(before)]).remove(0);
        assert_eq!(fate.verdict, self.verdict, "{name} (RFC {rfc})");
        let own = match fate.verdict {
            "forwarded" => Packet::read(&fate.sent).source(),
            _ => UNUSED,
        };
        assert_eq!(fate.sent, (self.sent)(before, own), "{name} (RFC {rfc}): {before} {own}");
    }
}

/// An external end that nobody holds.
const UNUSED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 0), 2000);
/// A subscriber, another one, and the remote they talk to.
const INSIDE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), 5000);
const NEIGHBOUR: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 2), 5000);
const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 443);
/// A router on the Internet.
const HOP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Another host on the Internet.
const OTHER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 53);
/// The remote as ICMP has it.
const PINGED: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 0);
/// The remote as it pings the core, with its identifier, and the core.
const ASKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 77);
const CORE_END: SocketAddrV4 = SocketAddrV4::new(CORE_IP, 0);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

fn whole(packet: Packet) -> Vec<u8> {
    packet.sealed().bytes()
}

/// A good packet with some bytes replaced.
fn patched(packet: Packet, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = whole(packet);
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

fn with_ttl(packet: Packet, ttl: u8) -> Vec<u8> {
    whole(with_ttl_set(packet, ttl))
}

fn with_ttl_set(mut packet: Packet, ttl: u8) -> Packet {
    packet.ip.time_to_live = ttl;
    packet
}

fn with_protocol(mut packet: Packet, protocol: IpNumber) -> Vec<u8> {
    packet.ip.protocol = protocol;
    whole(packet)
}

/// A piece of a datagram, `offset` times eight bytes into it.
fn fragment(mut packet: Packet, offset: u16, more: bool) -> Vec<u8> {
    packet.ip.fragment_offset = offset.try_into().unwrap();
    packet.ip.more_fragments = more;
    whole(packet)
}

/// An ICMP message of another type, with the sender and receiver of `packet`.
fn icmp(mut packet: Packet, kind: u8, code: u8) -> Vec<u8> {
    let TransportHeader::Icmpv4(header) = &mut packet.transport else { panic!("no ICMP") };
    header.icmp_type = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8: [0; 4] };
    whole(packet)
}

/// An ICMP error of this type and code, with the whole datagram it is about.
fn error(from: Ipv4Addr, to: Ipv4Addr, what: [u8; 2], about: &Packet) -> Vec<u8> {
    whole(error_packet(from, to, what, about))
}

fn error_packet(from: Ipv4Addr, to: Ipv4Addr, [kind, code]: [u8; 2], about: &Packet) -> Packet {
    let ends = [from, to].map(|address| SocketAddrV4::new(address, 0));
    let mut packet = echo_reply(ends[0], ends[1]);
    let TransportHeader::Icmpv4(header) = &mut packet.transport else { panic!("no ICMP") };
    // The lower half is the MTU of the next hop, where there is one (RFC 1191 §4).
    let bytes5to8 = [0, 0, 5, 0x78];
    header.icmp_type = Icmpv4Type::Unknown { type_u8: kind, code_u8: code, bytes5to8 };
    packet.payload = about.clone().sealed().bytes()[14..].to_vec();
    packet
}

fn errors() -> Vec<Row> {
    let inward: fn(SocketAddrV4, SocketAddrV4) -> Vec<u8> =
        |_, _| whole(error_packet(HOP, *INSIDE.ip(), [11, 0], &udp(INSIDE, REMOTE)).routed());
    vec![
        row(
            "a router on the way has no more hops for it",
            "4787 REQ-12",
            |e| error(HOP, *e.ip(), [11, 0], &udp(e, REMOTE)),
            "forwarded",
        )
        .after([udp(INSIDE, REMOTE)])
        .sends(inward),
        row(
            "the same, of a port with two remotes",
            "4787 REQ-12",
            |e| error(HOP, *e.ip(), [11, 0], &udp(e, REMOTE)),
            "forwarded",
        )
        .after([udp(INSIDE, REMOTE), udp(INSIDE, OTHER)])
        .sends(inward),
        row(
            "a segment is too big for a link",
            "1191 4, 5382 REQ-9",
            |e| error(HOP, *e.ip(), [3, 4], &tcp(e, REMOTE, ACK)),
            "forwarded",
        )
        .after([tcp(INSIDE, REMOTE, SYN)])
        .sends(|_, _| {
            let about = tcp(INSIDE, REMOTE, ACK);
            whole(error_packet(HOP, *INSIDE.ip(), [3, 4], &about).routed())
        }),
        row(
            "nobody to echo",
            "5508 REQ-4",
            |e| error(HOP, *e.ip(), [3, 1], &echo_request(e, PINGED)),
            "forwarded",
        )
        .after([echo_request(INSIDE, PINGED)])
        .sends(|_, _| {
            let about = echo_request(INSIDE, PINGED);
            whole(error_packet(HOP, *INSIDE.ip(), [3, 1], &about).routed())
        }),
        row(
            "the subscriber has closed the port",
            "5508 REQ-5",
            |_| error(*INSIDE.ip(), *REMOTE.ip(), [3, 3], &udp(REMOTE, INSIDE)),
            "forwarded",
        )
        .after([udp(INSIDE, REMOTE)])
        .sends(|before, _| {
            let about = udp(REMOTE, before);
            whole(error_packet(*before.ip(), *REMOTE.ip(), [3, 3], &about).routed())
        }),
    ]
}

/// ARP from the router at `station`; what it asks for or says is about `target`.
fn arp(station: [u8; 6], operation: ArpOperation, target: Ipv4Addr) -> Vec<u8> {
    let (sender, target) = (ROUTER_IP.octets(), target.octets());
    let (hardware, protocol) = (ArpHardwareId::ETHERNET, EtherType::IPV4);
    let arp =
        ArpPacket::new(hardware, protocol, operation, &GATEWAY, &sender, &[0; 6], &target).unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(GATEWAY, station).arp(arp).write(&mut frame).unwrap();
    frame
}

const ROUTER_IP: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 254);

/// The core's answer to the router.
fn arp_reply() -> Vec<u8> {
    let (hardware, protocol) = (ArpHardwareId::ETHERNET, EtherType::IPV4);
    let (own, router) = (CORE_IP.octets(), ROUTER_IP.octets());
    let reply = ArpOperation::REPLY;
    let arp = ArpPacket::new(hardware, protocol, reply, &CORE, &own, &GATEWAY, &router).unwrap();
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CORE, GATEWAY).arp(arp).write(&mut frame).unwrap();
    frame
}

/// The core's answer to a ping.
fn own_echo_reply(asker: SocketAddrV4) -> Vec<u8> {
    let mut reply = echo_reply(CORE_END, asker);
    (reply.ethernet.source, reply.ethernet.destination) = (CORE, GATEWAY);
    whole(reply)
}

/// As many connections of one subscriber.
fn crowd(subscriber: u8, count: u16) -> impl Iterator<Item = Packet> {
    let inside = Ipv4Addr::new(100, 64, 1, subscriber);
    (0..count).map(move |i| udp(SocketAddrV4::new(inside, 5000 + i), REMOTE))
}

/// SYNs of one subscriber, from as many ports.
fn syns(subscriber: u8, count: u16) -> impl Iterator<Item = Packet> {
    let inside = Ipv4Addr::new(100, 64, 1, subscriber);
    (0..count).map(move |i| tcp(SocketAddrV4::new(inside, 5000 + i), REMOTE, SYN))
}

/// Packets of the first subscriber of a crowd, from one port of its own to as many remotes.
fn remotes(count: u16) -> impl Iterator<Item = Packet> {
    let inside = SocketAddrV4::new(Ipv4Addr::new(100, 64, 1, 1), 4999);
    (0..count).map(move |i| udp(inside, SocketAddrV4::new(*REMOTE.ip(), 1000 + i)))
}

fn translated() -> Vec<Row> {
    vec![
        row("UDP leaves", "3022 4.1", |_| whole(udp(INSIDE, REMOTE)), "forwarded")
            .sends(|_, own| whole(udp(INSIDE, REMOTE).from(own).routed())),
        row("UDP comes back", "3022 4.1", |e| whole(udp(REMOTE, e)), "forwarded")
            .after([udp(INSIDE, REMOTE)])
            .sends(|before, _| whole(udp(REMOTE, before).to(INSIDE).routed())),
        row("another remote, same port", "4787 REQ-1", |_| whole(udp(INSIDE, OTHER)), "forwarded")
            .after([udp(INSIDE, REMOTE)])
            .sends(|before, _| whole(udp(before, OTHER).routed())),
        row("the other remote answers", "4787 REQ-8", |e| whole(udp(OTHER, e)), "forwarded")
            .after([udp(INSIDE, REMOTE), udp(INSIDE, OTHER)])
            .sends(|before, _| whole(udp(OTHER, before).to(INSIDE).routed())),
        row("the first remote still may", "4787 REQ-8", |e| whole(udp(REMOTE, e)), "forwarded")
            .after([udp(INSIDE, REMOTE), udp(INSIDE, OTHER)])
            .sends(|before, _| whole(udp(REMOTE, before).to(INSIDE).routed())),
        row(
            "TCP to another, same port",
            "5382 REQ-1",
            |_| whole(tcp(INSIDE, OTHER, SYN)),
            "forwarded",
        )
        .after([tcp(INSIDE, REMOTE, SYN)])
        .sends(|before, _| whole(tcp(before, OTHER, SYN).routed())),
        row("SYN leaves", "5382 REQ-2", |_| whole(tcp(INSIDE, REMOTE, SYN)), "forwarded")
            .sends(|_, own| whole(tcp(own, REMOTE, SYN).routed())),
        row("SYN-ACK comes back", "5382 REQ-2", |e| whole(tcp(REMOTE, e, SYN | ACK)), "forwarded")
            .after([tcp(INSIDE, REMOTE, SYN)])
            .sends(|_, _| whole(tcp(REMOTE, INSIDE, SYN | ACK).routed())),
        row("simultaneous open", "5382 REQ-2", |e| whole(tcp(REMOTE, e, SYN)), "forwarded")
            .after([tcp(INSIDE, REMOTE, SYN)])
            .sends(|_, _| whole(tcp(REMOTE, INSIDE, SYN).routed())),
        row("echo leaves", "5508 REQ-1", |_| whole(echo_request(INSIDE, PINGED)), "forwarded")
            .sends(|_, own| whole(echo_request(own, PINGED).routed())),
        row("echo comes back", "5508 REQ-1", |e| whole(echo_reply(PINGED, e)), "forwarded")
            .after([echo_request(INSIDE, PINGED)])
            .sends(|_, _| whole(echo_reply(PINGED, INSIDE).routed())),
        row("same connection, same port", "3022 4.1", |_| whole(udp(INSIDE, REMOTE)), "forwarded")
            .after([udp(INSIDE, REMOTE)])
            .sends(|before, _| whole(udp(before, REMOTE).routed())),
        row("hops left: 2", "1812 5.3.1", |_| with_ttl(udp(INSIDE, REMOTE), 2), "forwarded").sends(
            |_, own| {
                let mut sent = udp(own, REMOTE).routed();
                sent.ip.time_to_live = 1;
                whole(sent)
            },
        ),
        row("full table, old connection", "-", |_| whole(udp(INSIDE, REMOTE)), "forwarded")
            .after(crowd(1, 50).chain(crowd(2, 49)).chain([udp(INSIDE, REMOTE)]))
            .sends(|before, _| whole(udp(before, REMOTE).routed())),
        // The core sends no packet back inside by itself: it goes to the router, whose routes
        // bring it back as one from the Internet. There it meets the filter: see `refused`.
        row(
            "hairpin, way out",
            "departs from 4787 REQ-9",
            |e| whole(udp(NEIGHBOUR, e)),
            "forwarded",
        )
        .after([udp(INSIDE, REMOTE)])
        .sends(|before, own| whole(udp(own, before).routed())),
    ]
}

fn own() -> Vec<Row> {
    const REQUEST: ArpOperation = ArpOperation::REQUEST;
    vec![
        row(
            "who has the core's address, to all",
            "826",
            |_| arp([0xff; 6], REQUEST, CORE_IP),
            "answered",
        )
        .sends(|_, _| arp_reply()),
        row("who has it, to the core", "826", |_| arp(CORE, REQUEST, CORE_IP), "answered")
            .sends(|_, _| arp_reply()),
        row("who has another", "826", |_| arp([0xff; 6], REQUEST, ROUTER_IP), "local"),
        row("ARP reply", "826", |_| arp(CORE, ArpOperation::REPLY, CORE_IP), "local"),
        row("ping", "1812 4.3.3.6", |_| with_ttl(echo_request(ASKER, CORE_END), 3), "answered")
            .sends(|_, _| own_echo_reply(ASKER)),
        row(
            "the last hop is this one",
            "1812 5.3.1",
            |_| with_ttl(echo_request(ASKER, CORE_END), 1),
            "answered",
        )
        .sends(|_, _| own_echo_reply(ASKER)),
        row("echo with a code", "792", |_| icmp(echo_request(ASKER, CORE_END), 8, 1), "local"),
        row("a reply to no request", "792", |_| whole(echo_reply(REMOTE, CORE_END)), "local"),
        row(
            "a subscriber pings the core",
            "1812 4.3.3.6",
            |_| with_ttl(echo_request(INSIDE, CORE_END), 3),
            "answered",
        )
        .sends(|_, _| own_echo_reply(INSIDE)),
        row("UDP to the core", "-", |_| whole(udp(REMOTE, CORE_END)), "local"),
        row("TCP to the core", "-", |_| whole(tcp(REMOTE, CORE_END, SYN)), "local"),
        row(
            "ping in fragments",
            "departs from 1812 4.3.3.6",
            |_| fragment(echo_request(ASKER, CORE_END), 0, true),
            "local",
        ),
    ]
}

fn refused() -> Vec<Row> {
    let sent = [udp(INSIDE, REMOTE)];
    let opened = [tcp(INSIDE, REMOTE, SYN)];
    let no_state = "-";
    vec![
        row(
            "IPv4 in a broadcast frame",
            "1812 5.3.4",
            |_| patched(udp(INSIDE, REMOTE), 0, &[0xff; 6]),
            "station",
        ),
        row("another station", "894", |_| patched(udp(INSIDE, REMOTE), 0, &GATEWAY), "station"),
        row("IPv6", "-", |_| patched(udp(INSIDE, REMOTE), 12, &[0x86, 0xdd]), "ethertype"),
        row("VLAN tag", "-", |_| patched(udp(INSIDE, REMOTE), 12, &[0x81, 0]), "ethertype"),
        row("802.3 length", "1042", |_| patched(udp(INSIDE, REMOTE), 12, &[0, 46]), "ethertype"),
        row("GRE out", "-", |_| with_protocol(udp(INSIDE, REMOTE), IpNumber::GRE), "protocol"),
        row("GRE in", "-", |_| with_protocol(udp(REMOTE, UNUSED), IpNumber::GRE), "protocol"),
        row(
            "12 bytes, and more to come",
            "791 3.2",
            |_| fragment(udp(INSIDE, REMOTE), 0, true),
            "fragment",
        ),
        row(
            "last fragment in, no first one yet",
            "4787 REQ-14a",
            |e| fragment(udp(REMOTE, e), 185, false),
            "held",
        )
        .after(sent.clone()),
        row(
            "fragment over the TCP header",
            "1858 4",
            |_| fragment(tcp(INSIDE, REMOTE, ACK), 1, false),
            "fragment_overlap",
        )
        .after(opened.clone()),
        row(
            "wrong header checksum",
            "1812 4.2.2.5",
            |_| patched(udp(INSIDE, REMOTE), 24, &[0xde, 0xad]),
            "ipv4_checksum",
        ),
        row(
            "wrong header checksum, not for here",
            "1812 4.2.2.5",
            |_| patched(udp(REMOTE, at("203.0.113.1:1")), 24, &[0xde, 0xad]),
            "ipv4_checksum",
        ),
        row("source of nobody here", "-", |_| whole(udp(at("100.64.4.0:5000"), REMOTE)), "foreign"),
        row(
            "external address of nobody here",
            "-",
            |_| whole(udp(REMOTE, at("198.18.0.2:2000"))),
            "foreign",
        ),
        row(
            "error about no connection",
            "5508 REQ-4",
            |e| error(HOP, *e.ip(), [3, 1], &udp(e, OTHER)),
            "unknown_error",
        )
        .after(sent.clone()),
        row(
            "error for another than who is quoted",
            "5508 REQ-4",
            |e| error(HOP, *e.ip(), [3, 1], &udp(INSIDE, REMOTE)),
            "icmp_quote",
        )
        .after(sent.clone()),
        row(
            "error that quotes too little",
            "792",
            |e| icmp(echo_reply(PINGED, e), 11, 0),
            "icmp_quote",
        )
        .after(sent.clone()),
        row(
            "error about a later fragment, which has no ports",
            "departs from 5508 REQ-4",
            |e| {
                let mut about = udp(e, REMOTE);
                about.ip.fragment_offset = 1.try_into().unwrap();
                error(HOP, *e.ip(), [11, 1], &about)
            },
            "fragment",
        )
        .after(sent.clone()),
        row(
            "the same from a subscriber",
            "departs from 5508 REQ-5",
            |_| {
                let mut about = udp(REMOTE, INSIDE);
                about.ip.fragment_offset = 1.try_into().unwrap();
                error(*INSIDE.ip(), *REMOTE.ip(), [11, 1], &about)
            },
            "fragment",
        )
        .after(sent.clone()),
        row(
            "error in fragments",
            "departs from 5508 REQ-4",
            |e| fragment(error_packet(HOP, *e.ip(), [3, 1], &udp(e, REMOTE)), 0, true),
            "icmp_type",
        )
        .after(sent.clone()),
        row(
            "damaged error",
            "5508 REQ-3",
            |e| {
                let mut bytes = error(HOP, *e.ip(), [3, 1], &udp(e, REMOTE));
                bytes[50] ^= 1;
                bytes
            },
            "icmp_checksum",
        )
        .after(sent.clone()),
        row(
            "redirect",
            "1812 5.2.7.2",
            |e| error(HOP, *e.ip(), [5, 1], &udp(e, REMOTE)),
            "icmp_type",
        )
        .after(sent.clone()),
        row(
            "timestamp request",
            "departs from 5508 3",
            |_| icmp(echo_request(INSIDE, PINGED), 13, 0),
            "icmp_type",
        ),
        row("echo reply out", "-", |_| whole(echo_reply(INSIDE, PINGED)), "icmp_type"),
        row("echo request in", "-", |e| whole(echo_request(PINGED, e)), "icmp_type")
            .after([echo_request(INSIDE, PINGED)]),
        row("no such connection", "4787 5", |e| whole(udp(REMOTE, e)), "unknown_inbound"),
        row(
            "SYN to no connection",
            "5382 REQ-4",
            |e| whole(tcp(REMOTE, e, SYN)),
            "unknown_inbound",
        ),
        row(
            "system port",
            "4787 REQ-3a",
            |_| whole(udp(REMOTE, at("198.18.0.0:53"))),
            "unknown_inbound",
        ),
        row(
            "a port in nobody's block",
            "-",
            |_| whole(udp(REMOTE, at("198.18.0.1:65535"))),
            "unknown_inbound",
        ),
        row(
            "right port, wrong protocol",
            "4787 5",
            |e| whole(tcp(REMOTE, e, ACK)),
            "unknown_inbound",
        )
        .after(sent.clone()),
        row("another host", "4787 5", |e| whole(udp(at("192.0.2.2:443"), e)), "filtered_inbound")
            .after(sent.clone()),
        row("another port", "4787 5", |e| whole(udp(at("192.0.2.1:444"), e)), "filtered_inbound")
            .after(sent.clone()),
        row(
            "SYN of another host",
            "5382 REQ-3",
            |e| whole(tcp(at("192.0.2.2:443"), e, SYN)),
            "filtered_inbound",
        )
        .after(opened.clone()),
        row(
            "hairpin, way in",
            "departs from 4787 REQ-9",
            |e| whole(udp(at("198.18.0.0:1200"), e)),
            "filtered_inbound",
        )
        .after(sent),
        row("ACK of no connection", no_state, |_| whole(tcp(INSIDE, REMOTE, ACK)), "tcp_not_syn"),
        row("RST of no connection", no_state, |_| whole(tcp(INSIDE, REMOTE, RST)), "tcp_not_syn"),
        row(
            "FIN of no connection",
            no_state,
            |_| whole(tcp(INSIDE, REMOTE, FIN | ACK)),
            "tcp_not_syn",
        ),
        row(
            "SYN-ACK of no connection",
            no_state,
            |_| whole(tcp(INSIDE, REMOTE, SYN | ACK)),
            "tcp_not_syn",
        ),
        row(
            "SYN-FIN of no connection",
            no_state,
            |_| whole(tcp(INSIDE, REMOTE, SYN | FIN)),
            "tcp_not_syn",
        ),
        row("no flags, no connection", no_state, |_| whole(tcp(INSIDE, REMOTE, 0)), "tcp_not_syn"),
        row(
            "ACK of another connection",
            no_state,
            |_| whole(tcp(INSIDE, at("192.0.2.1:80"), ACK)),
            "tcp_not_syn",
        )
        .after(opened),
        row(
            "the 65th of a block of 64",
            "6888 REQ-4",
            |_| whole(crowd(1, 65).last().unwrap()),
            "ports_exhausted",
        )
        .after(crowd(1, 64)),
        row(
            "a third, of a port with two",
            "4787 REQ-8",
            |e| whole(udp(at("192.0.2.9:9"), e)),
            "filtered_inbound",
        )
        .after([udp(INSIDE, REMOTE), udp(INSIDE, OTHER)]),
        row(
            "the 33rd half-open of 32",
            "6888 REQ-4c",
            |_| whole(syns(1, 33).last().unwrap()),
            "half_open_limit",
        )
        .after(syns(1, 32)),
        row(
            "the 81st connection of 80, all of one port",
            "6888 REQ-5",
            |_| whole(remotes(81).last().unwrap()),
            "subscriber_quota",
        )
        .after(crowd(1, 20).chain(remotes(60))),
        row("the 101st of 100", "-", |_| whole(udp(INSIDE, REMOTE)), "table_full")
            .after(crowd(1, 50).chain(crowd(2, 50))),
    ]
}

fn malformed() -> Vec<Row> {
    // Offsets in a frame: the IPv4 header is at 14, its total length at 16, the UDP length at 38,
    // the TCP data offset at 46.
    vec![
        row("no bytes", "894", |_| Vec::new(), "ethernet_short"),
        row("no type", "894", |_| whole(udp(INSIDE, REMOTE))[..13].to_vec(), "ethernet_short"),
        row(
            "ARP cut",
            "826",
            |_| arp(CORE, ArpOperation::REQUEST, CORE_IP)[..41].to_vec(),
            "arp_short",
        ),
        row(
            "ARP of IEEE 802",
            "826",
            |_| {
                let mut frame = arp(CORE, ArpOperation::REQUEST, CORE_IP);
                frame[15] = 6;
                frame
            },
            "arp_foreign",
        ),
        row(
            "IPv4 header cut",
            "791 3.1",
            |_| whole(udp(INSIDE, REMOTE))[..33].to_vec(),
            "ipv4_short",
        ),
        row(
            "IPv6 said to be IPv4",
            "1812 5.2.2",
            |_| patched(udp(INSIDE, REMOTE), 14, &[0x65]),
            "ipv4_version",
        ),
        row(
            "IPv4 header of 16 bytes",
            "1812 5.2.2",
            |_| patched(udp(INSIDE, REMOTE), 14, &[0x44]),
            "ipv4_header_length",
        ),
        row(
            "IPv4 header beyond the datagram",
            "1812 5.2.2",
            |_| patched(udp(INSIDE, REMOTE), 14, &[0x4f]),
            "ipv4_header_length",
        ),
        row(
            "datagram cut",
            "1812 5.2.2",
            |_| whole(udp(INSIDE, REMOTE))[..45].to_vec(),
            "ipv4_total_length",
        ),
        row("7 bytes of UDP", "768", |_| patched(udp(INSIDE, REMOTE), 16, &[0, 27]), "udp_short"),
        row("UDP length of 7", "768", |_| patched(udp(INSIDE, REMOTE), 38, &[0, 7]), "udp_length"),
        row(
            "UDP beyond the datagram",
            "768",
            |_| patched(udp(INSIDE, REMOTE), 38, &[0, 13]),
            "udp_length",
        ),
        row(
            "19 bytes of TCP",
            "9293 3.1",
            |_| patched(tcp(INSIDE, REMOTE, SYN), 16, &[0, 39]),
            "tcp_short",
        ),
        row(
            "first fragment without the TCP flags",
            "1858 3",
            |_| tcp(INSIDE, REMOTE, SYN).sealed().fragments(&[1]).remove(0),
            "tcp_short",
        ),
        row(
            "TCP header of 16 bytes",
            "9293 3.1",
            |_| patched(tcp(INSIDE, REMOTE, SYN), 46, &[0x40]),
            "tcp_data_offset",
        ),
        row(
            "TCP header beyond the datagram",
            "9293 3.1",
            |_| patched(tcp(INSIDE, REMOTE, SYN), 46, &[0x70]),
            "tcp_data_offset",
        ),
        row(
            "7 bytes of ICMP",
            "792",
            |_| patched(echo_request(INSIDE, PINGED), 16, &[0, 27]),
            "icmp_short",
        ),
    ]
}

fn check(rows: &[Row]) {
    rows.iter().for_each(Row::check);
}

#[test]
fn packets_of_connections_are_translated() {
    check(&translated());
    check(&errors());
}

#[test]
fn packets_for_the_core_are_answered_or_dropped() {
    check(&own());
}

#[test]
fn valid_packets_are_refused_by_name() {
    check(&refused());
}

#[test]
fn broken_packets_are_refused_by_name() {
    check(&malformed());
}

#[test]
fn every_reason_has_a_packet() {
    let rows = [translated(), errors(), own(), expired::rows(), refused(), malformed()];
    let seen: HashSet<&str> = rows.iter().flatten().map(|row| row.verdict).collect();
    // What is held is dropped later: `fragments`. A limit takes more than a packet, and a shard
    // that is handed over takes two cores.
    let later = [
        Refusal::OrphanFragment,
        Refusal::HoldFull,
        Refusal::ErrorLimit,
        Refusal::SetupLimit,
        Refusal::NotMaster,
    ];
    let later = later.map(Drop::from);
    let at_once = |reason: &Drop| !reason.is_of_ipv6() && !later.contains(reason);
    for reason in Drop::all().filter(at_once) {
        assert!(seen.contains(reason.name()), "no packet is dropped for {}", reason.name());
    }
}
