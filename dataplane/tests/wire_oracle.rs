//! Parser and checksums against etherparse, which shares no code with this crate.

use dataplane::frame::HEAD;
use dataplane::wire::checksum::{self, Delta};
use dataplane::wire::{
    Datagram, Fragment, Malformed, Parsed, Plain, TRANSPORT_AT, Transport, is_plain, parse,
};
use etherparse::{
    ArpHardwareId, EtherType, Icmpv4Type, IpFragOffset, IpHeaders, IpNumber, Ipv4Header, NetSlice,
    PacketBuilder, SlicedPacket, TransportSlice, UdpHeader,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::Ipv4Addr;

const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMP: u8 = 1;
/// Protocols that only etherparse looks into: authentication header and ICMP for IPv6.
const BEYOND: [u8; 2] = [51, 58];

/// What a generated frame is made of.
#[derive(Clone, Debug)]
struct Packet {
    source: [u8; 4],
    destination: [u8; 4],
    ports: (u16, u16),
    protocol: u8,
    ttl: u8,
    ip_option_words: usize,
    tcp_option_words: usize,
    flags: u8,
    payload: Vec<u8>,
}

impl Packet {
    fn ipv4(&self) -> Ipv4Header {
        Ipv4Header {
            source: self.source,
            destination: self.destination,
            time_to_live: self.ttl,
            // No-operation options.
            options: (&[1_u8; 40][..4 * self.ip_option_words]).try_into().unwrap(),
            ..Default::default()
        }
    }

    /// The frame as etherparse builds it.
    fn frame(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ip(IpHeaders::Ipv4(self.ipv4(), Default::default()));
        let mut frame = Vec::new();
        let (source, destination) = self.ports;
        match self.protocol {
            UDP => builder.udp(source, destination).write(&mut frame, &self.payload).unwrap(),
            TCP => {
                let mut tcp = builder.tcp(source, destination, 7, 4096);
                for (bit, set) in [0x01, 0x02, 0x04, 0x08, 0x40, 0x80].into_iter().zip([
                    |tcp| -> TcpStep { TcpStep::fin(tcp) },
                    TcpStep::syn,
                    TcpStep::rst,
                    TcpStep::psh,
                    TcpStep::ece,
                    TcpStep::cwr,
                ]) {
                    if self.flags & bit != 0 {
                        tcp = set(tcp);
                    }
                }
                if self.flags & 0x10 != 0 {
                    tcp = tcp.ack(9);
                }
                if self.flags & 0x20 != 0 {
                    tcp = tcp.urg(1);
                }
                let options = &[1_u8; 40][..4 * self.tcp_option_words];
                tcp.options_raw(options).unwrap().write(&mut frame, &self.payload).unwrap();
            }
            _ => builder.icmpv4_echo_request(source, 3).write(&mut frame, &self.payload).unwrap(),
        }
        frame
    }

    fn transport_at(&self) -> usize {
        34 + 4 * self.ip_option_words
    }
}

type TcpStep = etherparse::PacketBuilderStep<etherparse::TcpHeader>;

fn packets() -> impl Strategy<Value = Packet> {
    packets_of(&[UDP, TCP, ICMP])
}

fn packets_of(protocols: &[u8]) -> impl Strategy<Value = Packet> + use<> {
    (
        (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<(u16, u16)>(), select(protocols.to_vec())),
        (any::<u8>(), 0..=10_usize, 0..=10_usize, any::<u8>(), vec(any::<u8>(), 0..90)),
    )
        .prop_map(|((source, destination, ports, protocol), rest)| {
            let (ttl, ip_option_words, tcp_option_words, flags, payload) = rest;
            Packet {
                source,
                destination,
                ports,
                protocol,
                ttl,
                ip_option_words,
                tcp_option_words,
                flags,
                payload,
            }
        })
}

/// Any bytes, most of which get past the first checks.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..120), 0..4_u8, select(vec![UDP, TCP, ICMP, 51, 58])).prop_map(
        |(mut bytes, guided, protocol)| {
            if guided > 0 && bytes.len() > 23 {
                bytes[12..14].copy_from_slice(if guided == 1 { &[8, 6] } else { &[8, 0] });
                bytes[23] = protocol;
                if guided == 3 {
                    let total = (bytes.len() - 14) as u16;
                    bytes[14] = 0x45;
                    bytes[16..18].copy_from_slice(&total.to_be_bytes());
                    bytes[20..22].fill(0);
                }
            }
            bytes
        },
    )
}

/// Asserts that both parsers say the same of a frame, and returns what ours says.
fn agree(frame: &[u8]) -> Result<Parsed, Malformed> {
    let (ours, theirs) = (parse(frame), SlicedPacket::from_ethernet(frame));
    let ethertype = frame.get(12..14).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    match (ours, ethertype) {
        (Err(Malformed::EthernetShort), _) => assert!(theirs.is_err(), "short frame"),
        (Ok(Parsed::Other(found)), there) => {
            assert_eq!(Some(found), there);
            assert!(found != 0x0800 && found != 0x0806, "type {found:#06x} is ours to read");
        }
        (Ok(Parsed::Arp { operation, sender, target }), _) => {
            let Ok(SlicedPacket { net: Some(NetSlice::Arp(arp)), .. }) = &theirs else {
                panic!("we read ARP, etherparse {theirs:?}");
            };
            assert_eq!(operation, arp.operation().0);
            assert_eq!(arp.sender_protocol_addr(), sender.octets());
            assert_eq!(arp.target_protocol_addr(), target.octets());
        }
        (Err(reason), Some(0x0806)) => {
            if let Ok(SlicedPacket { net: Some(NetSlice::Arp(arp)), .. }) = &theirs {
                let is_usual = arp.hw_addr_type() == ArpHardwareId::ETHERNET
                    && arp.proto_addr_type() == EtherType::IPV4
                    && (arp.hw_addr_size(), arp.proto_addr_size()) == (6, 4);
                assert!(!is_usual, "we refuse ARP as {reason:?}");
            }
        }
        (Ok(Parsed::Ipv4(datagram)), _) => agree_on_datagram(frame, &datagram, theirs.ok()),
        (Err(reason), _) => {
            if let Ok(theirs) = theirs {
                // A UDP length of zero is legal in IPv6 jumbograms (RFC 2675) alone.
                let zero_len = matches!(&theirs.transport,
                    Some(TransportSlice::Udp(udp)) if udp.length() == 0);
                assert!(zero_len, "we refuse as {reason:?} what etherparse reads: {theirs:?}");
            }
        }
    }
    ours
}

fn agree_on_datagram(frame: &[u8], ours: &Datagram, theirs: Option<SlicedPacket<'_>>) {
    let Some(theirs) = theirs else {
        // etherparse also checks the length of ICMP timestamps.
        let is_deeper = ours.protocol == ICMP || BEYOND.contains(&ours.protocol);
        assert!(is_deeper, "etherparse refuses {ours:?}");
        return;
    };
    let Some(NetSlice::Ipv4(ipv4)) = &theirs.net else { panic!("no IPv4 in {theirs:?}") };
    let header = ipv4.header();
    assert_eq!(ours.source, header.source_addr());
    assert_eq!(ours.destination, header.destination_addr());
    assert_eq!((ours.protocol, ours.ttl), (header.protocol().0, header.ttl()));
    assert_eq!(ours.end, 14 + usize::from(header.total_len()));
    assert_eq!(ours.transport_at, 14 + header.slice().len());
    assert!(ours.end <= frame.len());
    let is_fragment = header.is_fragmenting_payload();
    assert_eq!(matches!(ours.transport, Transport::Fragment(_)), is_fragment);
    if let Transport::Fragment(fragment) = ours.transport {
        let theirs = (header.identification(), header.more_fragments());
        assert_eq!((fragment.id, fragment.more), theirs);
        assert_eq!(u32::from(fragment.offset), 8 * u32::from(header.fragments_offset().value()));
    }
    assert!(ours.first(frame).is_ok() || is_fragment, "a whole datagram is what it is");
    match (ours.transport, &theirs.transport) {
        (Transport::Udp { source, destination, len }, Some(TransportSlice::Udp(udp))) => {
            assert_eq!((source, destination), (udp.source_port(), udp.destination_port()));
            assert_eq!(usize::from(len), udp.slice().len());
        }
        (Transport::Tcp { source, destination, flags, header_len }, Some(t)) => {
            let TransportSlice::Tcp(tcp) = t else { panic!("we read TCP, etherparse {t:?}") };
            assert_eq!((source, destination), (tcp.source_port(), tcp.destination_port()));
            assert_eq!(usize::from(header_len), tcp.header_len());
            let theirs = [
                tcp.fin(),
                tcp.syn(),
                tcp.rst(),
                tcp.psh(),
                tcp.ack(),
                tcp.urg(),
                tcp.ece(),
                tcp.cwr(),
            ];
            for (bit, set) in theirs.into_iter().enumerate() {
                assert_eq!(flags >> bit & 1 == 1, set, "flag {bit}");
            }
        }
        (Transport::Icmp { kind, code, id }, Some(TransportSlice::Icmpv4(icmp))) => {
            assert_eq!((kind, code), (icmp.type_u8(), icmp.code_u8()));
            if let Icmpv4Type::EchoRequest(echo) | Icmpv4Type::EchoReply(echo) = icmp.icmp_type() {
                assert_eq!(id, echo.id);
            }
        }
        (Transport::Other | Transport::Fragment(_), None) => {}
        (Transport::Other, Some(_)) if BEYOND.contains(&ours.protocol) => {}
        (ours, theirs) => panic!("we read {ours:?}, etherparse {theirs:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn generated_frames_are_read_alike(packet in packets(), padding in 0..30_usize) {
        let mut frame = packet.frame();
        let end = frame.len();
        frame.resize(end + padding, 0);
        let Ok(Parsed::Ipv4(datagram)) = agree(&frame) else { panic!("refused {packet:?}") };
        prop_assert_eq!(datagram.source, Ipv4Addr::from(packet.source));
        prop_assert_eq!(datagram.destination, Ipv4Addr::from(packet.destination));
        prop_assert_eq!((datagram.transport_at, datagram.end), (packet.transport_at(), end));
        prop_assert!(checksum::verify_ipv4(&frame[14..datagram.transport_at]));
        let (from, to) = packet.ports;
        match datagram.transport {
            Transport::Udp { source, destination, .. } => {
                prop_assert_eq!((source, destination, packet.protocol), (from, to, UDP));
            }
            Transport::Tcp { source, destination, flags, .. } => {
                prop_assert_eq!((source, destination, packet.protocol), (from, to, TCP));
                prop_assert_eq!(flags, packet.flags);
            }
            Transport::Icmp { kind, id, .. } => {
                prop_assert_eq!((kind, id, packet.protocol), (8, from, ICMP));
            }
            other => panic!("{packet:?} was read as {other:?}"),
        }
    }

    #[test]
    fn checksums_are_those_of_the_oracle(packet in packets()) {
        let mut frame = packet.frame();
        let at = packet.transport_at();
        let there = |frame: &[u8], at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        prop_assert_eq!(checksum::ipv4_header(&frame[14..at]), there(&frame, 24));
        let field = at + match packet.protocol { UDP => 6, TCP => 16, _ => 2 };
        let theirs = there(&frame, field);
        frame[field..field + 2].fill(0);
        let ours = if packet.protocol == ICMP {
            !checksum::fold(checksum::sum(&frame[at..]))
        } else {
            let (source, destination) = (packet.source.into(), packet.destination.into());
            checksum::transport(source, destination, packet.protocol, &frame[at..])
        };
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_damaged_header_fails_its_checksum(packet in packets(), at in any::<usize>(),
                                            bit in 0..8_u8) {
        let mut frame = packet.frame();
        let header = &mut frame[14..packet.transport_at()];
        header[at % header.len()] ^= 1_u8 << bit;
        prop_assert!(!checksum::verify_ipv4(header));
    }

    #[test]
    fn pieces_of_even_length_add_up(bytes in vec(any::<u8>(), 0..200), cut in 0..100_usize) {
        let (head, tail) = bytes.split_at((2 * cut).min(bytes.len() & !1));
        let whole = checksum::fold(checksum::sum(&bytes));
        prop_assert_eq!(checksum::fold(checksum::sum(head) + checksum::sum(tail)), whole);
    }

    /// The frame a translation makes is, byte for byte, the one built for the new tuple.
    #[test]
    fn an_update_equals_a_recomputation(before in packets_of(&[UDP, TCP]),
                                        addresses in any::<[[u8; 4]; 2]>(),
                                        ports in any::<(u16, u16)>(), no_check in any::<bool>()) {
        let [source, destination] = addresses;
        let after = Packet { source, destination, ports, ..before.clone() };
        let (mut ours, mut expected) = (before.frame(), after.frame());
        let at = before.transport_at();
        let is_udp = before.protocol == UDP;
        let check_at = at + if is_udp { 6 } else { 16 };
        if is_udp && no_check {
            ours[check_at..check_at + 2].fill(0);
            expected[check_at..check_at + 2].fill(0);
        }
        let address = u32::from_be_bytes;
        let delta = Delta::new()
            .replace_u32(address(before.source), address(source))
            .replace_u32(address(before.destination), address(destination));
        ours[26..30].copy_from_slice(&source);
        ours[30..34].copy_from_slice(&destination);
        let check = u16::from_be_bytes([ours[24], ours[25]]);
        ours[24..26].copy_from_slice(&delta.apply(check).to_be_bytes());
        let delta = delta
            .replace_u16(before.ports.0, ports.0)
            .replace_u16(before.ports.1, ports.1);
        ours[at..at + 2].copy_from_slice(&ports.0.to_be_bytes());
        ours[at + 2..at + 4].copy_from_slice(&ports.1.to_be_bytes());
        let check = u16::from_be_bytes([ours[check_at], ours[check_at + 1]]);
        let check = if is_udp { delta.apply_udp(check) } else { delta.apply(check) };
        ours[check_at..check_at + 2].copy_from_slice(&check.to_be_bytes());
        prop_assert_eq!(ours, expected);
    }

    #[test]
    fn noise_is_read_alike(bytes in noise()) {
        let _ = agree(&bytes);
    }

    #[test]
    fn damaged_frames_are_read_alike(packet in packets(), keep in 0..200_usize,
                                     damage in vec((0..60_usize, any::<u8>()), 0..4)) {
        let mut frame = packet.frame();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        // Tags and their nesting are etherparse's own business.
        frame[12..14].copy_from_slice(&[8, 0]);
        frame.truncate(keep);
        let _ = agree(&frame);
    }

    #[test]
    fn fragments_are_told_from_datagrams(packet in packets(),
                                         offset in select(vec![0, 1, 185, 0x1fff]),
                                         more in any::<bool>()) {
        let mut ipv4 = packet.ipv4();
        ipv4.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        ipv4.more_fragments = more;
        ipv4.protocol = IpNumber(packet.protocol);
        ipv4.set_payload_len(packet.payload.len()).unwrap();
        let mut frame = vec![0; 12];
        frame.extend([8, 0]);
        ipv4.write(&mut frame).unwrap();
        frame.extend(&packet.payload);
        if let Ok(Parsed::Ipv4(datagram)) = agree(&frame) {
            let is_fragment = matches!(datagram.transport, Transport::Fragment(_));
            prop_assert_eq!(is_fragment, more || offset != 0);
        }
    }

    /// The first fragment of a datagram, cut at any multiple of eight bytes, carries the transport
    /// of the whole datagram or is too short for its header; the second one carries none.
    #[test]
    fn first_fragments_carry_the_transport_of_their_datagram(packet in packets(),
                                                             cut in 0..30_usize, id: u16) {
        let whole = packet.frame();
        let Ok(Parsed::Ipv4(expected)) = agree(&whole) else { panic!("refused {packet:?}") };
        let payload = &whole[packet.transport_at()..];
        let (head, tail) = payload.split_at((8 * cut).min(payload.len() & !7));
        let frame_of = |part: &[u8], offset: usize| {
            let mut ipv4 = packet.ipv4();
            ipv4.identification = id;
            ipv4.more_fragments = offset == 0;
            ipv4.fragment_offset = IpFragOffset::try_new((offset / 8) as u16).unwrap();
            ipv4.protocol = IpNumber(packet.protocol);
            ipv4.set_payload_len(part.len()).unwrap();
            let mut frame = whole[..14].to_vec();
            ipv4.write(&mut frame).unwrap();
            frame.extend(part);
            frame
        };
        let first = frame_of(head, 0);
        let Ok(Parsed::Ipv4(datagram)) = agree(&first) else { panic!("refused {packet:?}") };
        let fragment = Fragment { id, offset: 0, more: true };
        prop_assert_eq!(datagram.transport, Transport::Fragment(fragment));
        let (short, header) = match packet.protocol {
            UDP => (Malformed::UdpShort, 8),
            TCP if head.len() >= 20 => (Malformed::TcpDataOffset, 20 + 4 * packet.tcp_option_words),
            TCP => (Malformed::TcpShort, 20),
            _ => (Malformed::IcmpShort, 8),
        };
        let expected = if head.len() < header { Err(short) } else { Ok(expected.transport) };
        prop_assert_eq!(datagram.first(&first), expected);
        if !head.is_empty() {
            let second = frame_of(tail, head.len());
            let Ok(Parsed::Ipv4(datagram)) = agree(&second) else { panic!("refused {packet:?}") };
            let offset = head.len() as u16;
            let fragment = Transport::Fragment(Fragment { id, offset, more: false });
            prop_assert_eq!(datagram.transport, fragment);
            prop_assert_eq!(datagram.first(&second), Ok(fragment));
        }
    }
}

/// Every value a UDP checksum can take, before and after the update.
#[test]
fn updates_pass_through_both_zeros() {
    let ipv4 =
        Ipv4Header { source: [100, 64, 0, 1], destination: [198, 18, 0, 1], ..<_>::default() };
    let delta = Delta::new().replace_u16(1024, 50_000);
    let mut zeros = (0, 0);
    for word in 0..=u16::MAX {
        let payload = word.to_be_bytes();
        let of = |port| UdpHeader::with_ipv4_checksum(port, 53, &ipv4, &payload).unwrap().checksum;
        let (before, after) = (of(1024), of(50_000));
        assert_eq!(delta.apply_udp(before), after, "payload {word:#06x}");
        let segment = [4, 0, 0, 53, 0, 10, 0, 0, payload[0], payload[1]];
        let (source, destination) = (ipv4.source.into(), ipv4.destination.into());
        assert_eq!(checksum::transport(source, destination, UDP, &segment), before);
        zeros.0 += u32::from(before == 0xffff);
        zeros.1 += u32::from(after == 0xffff);
    }
    assert_eq!(zeros, (1, 1), "the case of a zero sum came up on either side");
}

#[test]
fn every_reason_has_a_frame() {
    let base = |protocol| Packet {
        source: [10, 0, 0, 1],
        destination: [10, 0, 0, 2],
        ports: (1, 2),
        protocol,
        ttl: 64,
        ip_option_words: 0,
        tcp_option_words: 0,
        flags: 2,
        payload: vec![0; 30],
    };
    let edit = |protocol, edits: &[(usize, u8)], len: usize| {
        let mut frame = base(protocol).frame();
        for &(at, value) in edits {
            frame[at] = value;
        }
        frame.truncate(len);
        frame
    };
    let arp = (12, 8);
    let cases = [
        (Malformed::EthernetShort, edit(UDP, &[], 13)),
        (Malformed::ArpShort, edit(UDP, &[arp, (13, 6)], 41)),
        (Malformed::ArpForeign, edit(UDP, &[arp, (13, 6)], 60)),
        (Malformed::Ipv4Short, edit(UDP, &[], 33)),
        (Malformed::Ipv4Version, edit(UDP, &[(14, 0x65)], 60)),
        (Malformed::Ipv4HeaderLength, edit(UDP, &[(14, 0x44)], 60)),
        (Malformed::Ipv4HeaderLength, edit(UDP, &[(17, 19)], 60)),
        (Malformed::Ipv4TotalLength, edit(UDP, &[], 71)),
        (Malformed::UdpShort, edit(UDP, &[(17, 27)], 60)),
        (Malformed::UdpLength, edit(UDP, &[(39, 7)], 72)),
        (Malformed::UdpLength, edit(UDP, &[(39, 39)], 72)),
        (Malformed::TcpShort, edit(TCP, &[(17, 39)], 60)),
        (Malformed::TcpDataOffset, edit(TCP, &[(46, 0x40)], 84)),
        (Malformed::TcpDataOffset, edit(TCP, &[(46, 0xf0)], 84)),
        (Malformed::IcmpShort, edit(ICMP, &[(17, 27)], 60)),
    ];
    for (reason, frame) in &cases {
        assert_eq!(agree(frame), Err(*reason), "{}", reason.name());
    }
    for reason in Malformed::ALL {
        assert!(cases.iter().any(|(covered, _)| *covered == reason), "{}", reason.name());
    }
}

/// What `is_plain` recognises, `parse` reads alike, with a right header checksum.
fn plain_agrees(frame: &[u8]) -> Option<Plain> {
    let mut head = [0xee; HEAD];
    let seen = frame.len().min(HEAD);
    head[..seen].copy_from_slice(&frame[..seen]);
    if !is_plain(&head, frame.len()) {
        return None;
    }
    let found = Plain::read(&head);
    let Ok(Parsed::Ipv4(datagram)) = parse(frame) else { panic!("{found:?} is not read") };
    assert!(checksum::verify_ipv4(&frame[14..34]), "{found:?}");
    let (ports, flags) = match datagram.transport {
        Transport::Udp { source, destination, .. } => ((source, destination), 0),
        Transport::Tcp { source, destination, flags, .. } => ((source, destination), flags),
        other => panic!("{found:?} is {other:?}"),
    };
    assert_eq!(datagram.transport_at, TRANSPORT_AT);
    assert_eq!((found.source.port(), found.destination.port()), ports);
    assert_eq!(found.flags, flags);
    assert_eq!((found.protocol, found.ttl), (datagram.protocol, datagram.ttl));
    let ends = [found.source, found.destination].map(|end| Ipv4Addr::from(end.address()));
    assert_eq!(ends, [datagram.source, datagram.destination]);
    Some(found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn plain_packets_are_recognised(packet in packets()) {
        let frame = packet.frame();
        let recognised = plain_agrees(&frame).is_some();
        prop_assert_eq!(recognised, packet.ip_option_words == 0 && packet.protocol != ICMP);
    }

    #[test]
    fn what_is_recognised_in_noise_is_read_alike(
        noise in noise(), packet in packets(), at in 0usize..80, byte: u8, cut in 0usize..100
    ) {
        plain_agrees(&noise);
        let mut frame = packet.frame();
        let at = at % frame.len();
        frame[at] = byte;
        if (14..34).contains(&at) {
            let check = checksum::ipv4_header(&frame[14..34]);
            frame[24..26].copy_from_slice(&check.to_be_bytes());
        }
        plain_agrees(&frame);
        frame.truncate(cut.min(frame.len()));
        plain_agrees(&frame);
    }
}
