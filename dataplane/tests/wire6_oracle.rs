//! The IPv6 parser against etherparse, which shares no code with this crate.

use dataplane::wire::ipv6::{EXTENSIONS_LEN_MAX, HEADERS_MAX};
use dataplane::wire::{Datagram6, Malformed6, Transport6, icmp6, parse6, quote6};
use etherparse::{
    IpAuthHeader, IpHeaders, IpNumber, Ipv6ExtensionSlice, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, Ipv6RoutingExtensions, Ipv6Slice, NetSlice, PacketBuilder,
    PacketBuilderStep, SlicedPacket, TcpHeader, TransportSlice,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const ICMPV4: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const UDP_LITE: u8 = 136;
const SHIM6: u8 = 140;

/// What a generated frame is made of.
#[derive(Clone, Debug)]
struct Packet {
    addresses: [[u8; 16]; 2],
    ports: (u16, u16),
    protocol: u8,
    hop_limit: u8,
    exts: Ipv6Extensions,
    flags: u8,
    payload: Vec<u8>,
}

impl Packet {
    /// The frame as etherparse builds it.
    fn frame(&self) -> Vec<u8> {
        let [source, destination] = self.addresses;
        let header =
            Ipv6Header { source, destination, hop_limit: self.hop_limit, ..Default::default() };
        let builder =
            PacketBuilder::ethernet2([2; 6], [4; 6]).ip(IpHeaders::Ipv6(header, self.exts.clone()));
        let mut frame = Vec::new();
        let (source, destination) = self.ports;
        match self.protocol {
            UDP => builder.udp(source, destination).write(&mut frame, &self.payload).unwrap(),
            TCP => tcp(builder.tcp(source, destination, 7, 4096), self.flags)
                .write(&mut frame, &self.payload)
                .unwrap(),
            _ => builder.icmpv6_echo_request(source, 3).write(&mut frame, &self.payload).unwrap(),
        }
        frame
    }
}

fn tcp(step: PacketBuilderStep<TcpHeader>, flags: u8) -> PacketBuilderStep<TcpHeader> {
    let step = if flags & 1 != 0 { step.fin() } else { step };
    let step = if flags & 2 != 0 { step.syn() } else { step };
    let step = if flags & 4 != 0 { step.rst() } else { step };
    if flags & 16 != 0 { step.ack(9) } else { step }
}

fn raw() -> impl Strategy<Value = Ipv6RawExtHeader> {
    (0..4_usize, any::<[u8; 30]>()).prop_map(|(words, content)| {
        Ipv6RawExtHeader::new_raw(IpNumber(0), &content[..6 + 8 * words]).unwrap()
    })
}

fn extensions() -> impl Strategy<Value = Ipv6Extensions> {
    let auth = (any::<(u32, u32)>(), 0..4_usize).prop_map(|((spi, sequence), words)| {
        IpAuthHeader::new(IpNumber(0), spi, sequence, &[7; 28][..4 + 8 * words]).unwrap()
    });
    let atomic = any::<u32>()
        .prop_map(|id| Ipv6FragmentHeader::new(IpNumber(0), 0.try_into().unwrap(), false, id));
    let routing = (raw(), option::of(raw())).prop_map(|(routing, final_destination_options)| {
        Ipv6RoutingExtensions { routing, final_destination_options }
    });
    (
        option::of(raw()),
        option::of(raw()),
        option::of(routing),
        option::of(atomic),
        option::of(auth),
    )
        .prop_map(|(hop_by_hop_options, destination_options, routing, fragment, auth)| {
            Ipv6Extensions { hop_by_hop_options, destination_options, routing, fragment, auth }
        })
}

fn packets() -> impl Strategy<Value = Packet> {
    (
        (any::<[[u8; 16]; 2]>(), any::<(u16, u16)>(), select(vec![UDP, TCP, ICMPV6])),
        (any::<u8>(), extensions(), select(vec![0, 1, 2, 4, 16, 18, 17]), vec(any::<u8>(), 0..90)),
    )
        .prop_map(|((addresses, ports, protocol), (hop_limit, exts, flags, payload))| Packet {
            addresses,
            ports,
            protocol,
            hop_limit,
            exts,
            flags,
            payload,
        })
}

/// Any bytes behind an IPv6 header, with a chain that leads somewhere more often than not.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let kind = || select(vec![0, 6, 17, 43, 44, 50, 51, 58, 59, 60, 60, 136, 140]);
    let header = (kind(), 0..3_u8, any::<u16>(), any::<u32>(), 0..8_u8);
    (kind(), vec(header, 0..12), vec(any::<u8>(), 0..60), -4..4_i32).prop_map(
        |(first, headers, rest, off)| {
            let mut body = Vec::new();
            for (next, len, a, b, sane) in headers {
                body.extend([next, len]);
                // Fragment offsets are small, and mostly zero.
                body.extend((if sane < 6 { a & 1 } else { a }).to_be_bytes());
                body.extend(b.to_be_bytes());
                body.extend(vec![0; 8 * usize::from(len)]);
            }
            body.extend(&rest);
            let mut frame = vec![2; 12];
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend((body.len() as i32 + off.min(0)).max(0).to_be_bytes()[2..].iter());
            frame.extend([first, 64]);
            frame.extend([0x20; 32]);
            frame.extend(&body);
            frame
        },
    )
}

/// Asserts that both parsers say the same of a frame, and returns what ours says.
fn agree(frame: &[u8]) -> Result<Datagram6, Malformed6> {
    let (ours, theirs) = (parse6(frame), SlicedPacket::from_ethernet(frame));
    if frame.get(18..20) == Some(&[0, 0]) {
        // etherparse takes all bytes there are for the payload of a jumbogram.
        return ours;
    }
    match (ours, theirs) {
        (Ok(datagram), Ok(theirs)) => agree_on_datagram(frame, &datagram, &theirs),
        (Ok(datagram), Err(error)) => {
            // It looks for extension headers in later fragments, and into ICMP for IPv4.
            let later = datagram.transport == Transport6::Later;
            let deeper = later || datagram.chain.protocol == ICMPV4;
            assert!(deeper, "etherparse refuses {datagram:?}: {error}");
        }
        (Err(reason), Ok(theirs)) => agree_on_refusal(reason, &theirs),
        (Err(_), Err(_)) => {}
    }
    ours
}

fn agree_on_refusal(reason: Malformed6, theirs: &SlicedPacket<'_>) {
    let Some(NetSlice::Ipv6(ipv6)) = &theirs.net else { panic!("we refuse as {reason:?}") };
    let count = ipv6.extensions().clone().into_iter().count();
    let len = ipv6.extensions().slice().len();
    if ipv6.payload().ip_number.0 == SHIM6 {
        // There it stops, and we do not.
        return;
    }
    if is_fragment(ipv6) != ipv6.is_payload_fragmented() {
        return;
    }
    let stricter = match reason {
        Malformed6::ExtensionsTooLong => count > HEADERS_MAX || len > EXTENSIONS_LEN_MAX,
        Malformed6::ExtensionOrder => count > 1,
        Malformed6::FragmentLength | Malformed6::FirstFragment => is_fragment(ipv6),
        // A UDP length of zero is legal in jumbograms (RFC 2675) alone.
        Malformed6::Udp => match &theirs.transport {
            Some(TransportSlice::Udp(udp)) => udp.length() == 0,
            _ => ipv6.payload().ip_number.0 == UDP_LITE,
        },
        _ => false,
    };
    assert!(stricter, "we refuse as {reason:?} what etherparse reads: {theirs:?}");
}

/// Whether there is a fragment header that says so. etherparse 0.19 finds the header, but takes the
/// reserved bits for part of the offset (RFC 8200 §4.5: thirteen bits, two reserved, one flag).
fn is_fragment(ipv6: &Ipv6Slice<'_>) -> bool {
    ipv6.extensions().clone().into_iter().any(|header| match header {
        Ipv6ExtensionSlice::Fragment(fragment) => {
            u16::from_be_bytes([fragment.slice()[2], fragment.slice()[3]]) & 0xfff9 != 0
        }
        _ => false,
    })
}

fn agree_on_datagram(frame: &[u8], ours: &Datagram6, theirs: &SlicedPacket<'_>) {
    let Some(NetSlice::Ipv6(ipv6)) = &theirs.net else { panic!("no IPv6 in {theirs:?}") };
    let header = ipv6.header();
    assert_eq!((ours.source, ours.destination), (header.source_addr(), header.destination_addr()));
    assert_eq!(ours.hop_limit, header.hop_limit());
    assert_eq!(ours.end, 54 + usize::from(header.payload_length()));
    assert_eq!(ours.transport_at, 54 + ours.chain.len);
    assert!(ours.transport_at <= ours.end && ours.end <= frame.len());
    let payload = ipv6.payload();
    if payload.ip_number.0 == SHIM6 {
        return;
    }
    assert_eq!(ours.chain.fragment.is_some(), is_fragment(ipv6));
    if ours.transport == Transport6::Later || is_fragment(ipv6) != ipv6.is_payload_fragmented() {
        return;
    }
    assert_eq!(ours.chain.protocol, payload.ip_number.0);
    assert_eq!(ours.chain.len, ipv6.extensions().slice().len());
    match (ours.transport, &theirs.transport) {
        (Transport6::Udp { source, destination }, Some(TransportSlice::Udp(udp))) => {
            assert_eq!((source, destination), (udp.source_port(), udp.destination_port()));
        }
        (Transport6::Tcp { source, destination, flags }, Some(TransportSlice::Tcp(tcp))) => {
            assert_eq!((source, destination), (tcp.source_port(), tcp.destination_port()));
            let theirs = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg()];
            for (bit, set) in theirs.into_iter().enumerate() {
                assert_eq!(flags >> bit & 1 == 1, set, "flag {bit}");
            }
        }
        (Transport6::Icmp { kind, code, .. }, Some(TransportSlice::Icmpv6(icmp))) => {
            assert_eq!((kind, code), (icmp.type_u8(), icmp.code_u8()));
        }
        (Transport6::Udp { .. }, None) if ours.chain.protocol == UDP_LITE => {}
        (_, None) if ours.chain.fragment.is_some() => {}
        (Transport6::Other, None | Some(TransportSlice::Icmpv4(_))) => {}
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
        let Ok(datagram) = agree(&frame) else { panic!("refused {packet:?}") };
        prop_assert_eq!(datagram.end, end);
        prop_assert_eq!(datagram.chain.protocol, packet.protocol);
        prop_assert_eq!(datagram.chain.authenticated, packet.exts.auth.is_some());
        let routing = packet.exts.routing.as_ref().map(|routing| routing.routing.payload()[0]);
        prop_assert_eq!(datagram.chain.source_routed, routing.is_some_and(|kind| kind < 2));
        let (from, to) = packet.ports;
        match datagram.transport {
            Transport6::Udp { source, destination } => {
                prop_assert_eq!((source, destination), (from, to));
            }
            Transport6::Tcp { source, destination, flags } => {
                prop_assert_eq!((source, destination, flags), (from, to, packet.flags));
            }
            Transport6::Icmp { kind, id, .. } => prop_assert_eq!((kind, id), (128, from)),
            other => panic!("{packet:?} was read as {other:?}"),
        }
    }

    /// The quotation of a datagram says what the datagram does, as far as it goes.
    #[test]
    fn quotations_are_read_like_datagrams(packet in packets(), cut in 0..300_usize) {
        let frame = packet.frame();
        let datagram = parse6(&frame).unwrap();
        let kept = cut.min(frame.len() - 14);
        match quote6(&frame[14..14 + kept]) {
            Some(quote) => {
                let ends = (datagram.source, datagram.destination, datagram.chain);
                prop_assert_eq!((quote.source, quote.destination, quote.chain), ends);
                if kept >= datagram.transport_at {
                    prop_assert_eq!(quote.transport, datagram.transport);
                }
            }
            None => prop_assert!(14 + kept < datagram.transport_at + 8),
        }
    }

    #[test]
    fn the_checksum_of_icmp_is_that_of_the_oracle(packet in packets()) {
        let packet = Packet { protocol: ICMPV6, exts: Ipv6Extensions::default(), ..packet };
        let mut frame = packet.frame();
        let [source, destination] = packet.addresses;
        prop_assert_eq!(icmp6::checksum(&source, &destination, &frame[54..]), 0);
        let theirs = u16::from_be_bytes([frame[56], frame[57]]);
        frame[56..58].fill(0);
        prop_assert_eq!(icmp6::checksum(&source, &destination, &frame[54..]), theirs);
    }

    #[test]
    fn noise_is_read_alike(frame in noise(), cut in 0..300_usize) {
        let _ = agree(&frame);
        let _ = agree(&frame[..cut.min(frame.len())]);
        let _ = quote6(frame.get(14..).unwrap_or_default());
    }

    #[test]
    fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..200)) {
        let _ = (parse6(&bytes), quote6(&bytes));
    }

    #[test]
    fn damaged_frames_are_read_alike(packet in packets(), keep in 0..300_usize,
                                     damage in vec((14..110_usize, any::<u8>()), 0..4)) {
        let mut frame = packet.frame();
        for (at, value) in damage {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        frame.truncate(keep);
        // Of another version etherparse reads what that version says.
        if frame.get(14).is_some_and(|byte| byte >> 4 == 6) {
            let _ = agree(&frame);
        }
    }
}

#[test]
fn every_reason_has_a_frame() {
    let base = |protocol| Packet {
        addresses: [[0x20; 16], [0x21; 16]],
        ports: (1, 2),
        protocol,
        hop_limit: 64,
        exts: Ipv6Extensions::default(),
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
    // Next header at 20; an eight-byte extension header in front of what was the UDP header.
    let fragment = |edits: &[(usize, u8)]| {
        let more = [(20, 44), (54, 17), (56, 0), (57, 1)];
        edit(UDP, &[&more[..], edits].concat(), 92)
    };
    let cases = [
        (Malformed6::Short, edit(UDP, &[], 53)),
        (Malformed6::Version, edit(UDP, &[(14, 0x40)], 92)),
        (Malformed6::PayloadLength, edit(UDP, &[], 91)),
        (Malformed6::Jumbogram, edit(UDP, &[(19, 0), (20, 0)], 92)),
        (Malformed6::ExtensionLength, edit(UDP, &[(20, 60), (55, 4)], 92)),
        (Malformed6::ExtensionLength, edit(UDP, &[(20, 51), (55, 0)], 92)),
        (Malformed6::ExtensionOrder, edit(UDP, &[(20, 60), (54, 0), (55, 0)], 92)),
        (Malformed6::ExtensionsTooLong, edit(UDP, &[(20, 60), (55, 64)], 92)),
        (Malformed6::FragmentLength, fragment(&[(19, 37), (67, 9)])),
        (Malformed6::FragmentLength, fragment(&[(56, 0xff), (57, 0xf8)])),
        (Malformed6::FirstFragment, fragment(&[(19, 8)])),
        (Malformed6::FirstFragment, fragment(&[(19, 16), (54, 60), (62, 17), (63, 1)])),
        (Malformed6::Udp, edit(UDP, &[(59, 7)], 92)),
        (Malformed6::Udp, edit(UDP, &[(59, 39)], 92)),
        (Malformed6::Udp, edit(UDP, &[(19, 7)], 92)),
        (Malformed6::Tcp, edit(TCP, &[(19, 19)], 104)),
        (Malformed6::Tcp, edit(TCP, &[(66, 0x40)], 104)),
        (Malformed6::Tcp, edit(TCP, &[(66, 0xf0)], 104)),
        (Malformed6::Icmp, edit(ICMPV6, &[(19, 7)], 92)),
    ];
    for (reason, frame) in &cases {
        assert_eq!(agree(frame), Err(*reason), "{}", reason.name());
    }
    for reason in Malformed6::ALL {
        assert!(cases.iter().any(|(covered, _)| *covered == reason), "{}", reason.name());
    }
}
