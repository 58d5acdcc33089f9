//! Translation against etherparse: whatever a valid packet looks like, what leaves is the packet
//! that etherparse would make of the same fields with the new address and port, byte for byte; a
//! damaged one leaves exactly as damaged as it came; and no bytes whatsoever upset the core.

use crate::rig::{Fate, Packet, Rig, at, echo_reply, echo_request, tcp, udp};
use etherparse::{Ipv4Options, TransportHeader};
use proptest::prelude::*;
use std::net::SocketAddrV4;

/// What a packet looks like apart from its addresses.
#[derive(Clone, Debug)]
struct Shape {
    dscp_ecn: u8,
    identification: u16,
    do_not_fragment: bool,
    ttl: u8,
    /// Multiples of four bytes.
    ip_options: Vec<u8>,
    tcp_options: Vec<u8>,
    numbers: (u32, u32, u16, u16),
    payload: Vec<u8>,
    /// No UDP checksum (RFC 768).
    unchecked: bool,
    /// Filled up to the shortest Ethernet frame, and not with zeros.
    padded: bool,
}

fn options() -> impl Strategy<Value = Vec<u8>> {
    (0usize..=10).prop_flat_map(|words| prop::collection::vec(any::<u8>(), words * 4))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    // All-zero and all-one payloads find what random ones do not: sums of 0x0000 and 0xffff.
    prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..=1400),
        2 => prop::collection::vec(any::<u8>(), 0..=8),
        1 => (0usize..64).prop_map(|len| vec![0; len]),
        1 => (0usize..64).prop_map(|len| vec![0xff; len]),
    ]
}

fn shape() -> impl Strategy<Value = Shape> {
    let ip = (any::<u8>(), any::<u16>(), any::<bool>(), 2u8..=255, options());
    let transport = (options(), any::<(u32, u32, u16, u16)>(), payload(), any::<bool>());
    (ip, transport, any::<bool>()).prop_map(|(ip, transport, padded)| {
        let (dscp_ecn, identification, do_not_fragment, ttl, ip_options) = ip;
        let (tcp_options, numbers, payload, unchecked) = transport;
        Shape {
            dscp_ecn,
            identification,
            do_not_fragment,
            ttl,
            ip_options,
            tcp_options,
            numbers,
            payload,
            unchecked,
            padded,
        }
    })
}

impl Shape {
    fn apply(&self, mut packet: Packet) -> Packet {
        packet.ip.dscp = (self.dscp_ecn >> 2).try_into().unwrap();
        packet.ip.ecn = (self.dscp_ecn & 3).try_into().unwrap();
        packet.ip.identification = self.identification;
        packet.ip.dont_fragment = self.do_not_fragment;
        packet.ip.time_to_live = self.ttl;
        packet.ip.options = Ipv4Options::try_from(&self.ip_options[..]).unwrap();
        match &mut packet.transport {
            TransportHeader::Tcp(tcp) => {
                tcp.set_options_raw(&self.tcp_options).unwrap();
                (tcp.sequence_number, tcp.acknowledgment_number) = (self.numbers.0, self.numbers.1);
                (tcp.window_size, tcp.urgent_pointer) = (self.numbers.2, self.numbers.3);
            }
            TransportHeader::Udp(_) | TransportHeader::Icmpv4(_) => {}
            TransportHeader::Icmpv6(_) => panic!("no ICMPv6 in IPv4"),
        }
        packet.payload = self.payload.clone();
        if self.padded {
            packet.padding = vec![0xaa; 60usize.saturating_sub(packet.bytes().len())];
        }
        self.seal(packet)
    }

    /// As it leaves whoever checks what they send, or does not.
    fn seal(&self, packet: Packet) -> Packet {
        let mut sealed = packet.sealed();
        if self.unchecked && matches!(sealed.transport, TransportHeader::Udp(_)) {
            *sealed.checksum_mut() = 0;
        }
        sealed
    }
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Udp,
    Tcp,
    Echo,
}

/// A question of a subscriber, and the remote's answer to the external end it was asked from.
fn question(protocol: Protocol, inside: SocketAddrV4, remote: SocketAddrV4) -> Packet {
    match protocol {
        Protocol::Udp => udp(inside, remote),
        Protocol::Tcp => tcp(inside, remote, 0xc2),
        Protocol::Echo => echo_request(inside, remote),
    }
}

fn answer(protocol: Protocol, remote: SocketAddrV4, external: SocketAddrV4) -> Packet {
    match protocol {
        Protocol::Udp => udp(remote, external),
        Protocol::Tcp => tcp(remote, external, 0x3a),
        Protocol::Echo => echo_reply(remote, external),
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Udp), Just(Protocol::Tcp), Just(Protocol::Echo)]
}

fn inside() -> impl Strategy<Value = SocketAddrV4> {
    (0u32..1024, any::<u16>()).prop_map(|(number, port)| {
        SocketAddrV4::new((u32::from(*at("100.64.0.0:0").ip()) + number).into(), port)
    })
}

fn remote() -> impl Strategy<Value = SocketAddrV4> {
    // Anyone but a subscriber, who would be on the inside.
    any::<(u32, u16)>()
        .prop_filter("a subscriber", |(address, _)| address >> 10 != 0x6440_0000 >> 10)
        .prop_map(|(address, port)| SocketAddrV4::new(address.into(), port))
}

fn one(rig: &mut Rig, frame: Vec<u8>) -> Fate {
    rig.process(&[frame]).remove(0)
}

fn forwarded(packet: Packet) -> Fate {
    Fate { verdict: "forwarded", sent: packet.bytes() }
}

/// How far a checksum is off, in ones' complement: 0 to 0xfffe.
fn error(packet: &Packet) -> u32 {
    let is = u32::from(*packet.clone().checksum_mut());
    (is + 0xffff - u32::from(packet.right_checksum()) % 0xffff) % 0xffff
}

proptest! {
    #[test]
    fn a_packet_leaves_as_etherparse_would_have_made_it(
        protocol in protocol(),
        inside in inside(),
        remote in remote(),
        there in shape(),
        back in shape(),
    ) {
        let mut rig = Rig::new(&crate::rig::config());
        let asked = there.apply(question(protocol, inside, remote));
        let fate = one(&mut rig, asked.bytes());
        prop_assert_eq!(fate.verdict, "forwarded");
        let external = Packet::read(&fate.sent).source();
        let expected = there.seal(asked.from(external).routed());
        prop_assert_eq!(&fate, &forwarded(expected));

        let answered = back.apply(answer(protocol, remote, external));
        let fate = one(&mut rig, answered.bytes());
        let expected = back.seal(answered.to(inside).routed());
        prop_assert_eq!(&fate, &forwarded(expected));
    }

    #[test]
    fn a_damaged_packet_leaves_as_damaged_as_it_came(
        protocol in protocol(),
        inside in inside(),
        remote in remote(),
        shape in shape(),
        damage in 1u16..0xffff,
        inbound: bool,
    ) {
        let mut rig = Rig::new(&crate::rig::config());
        let shape = Shape { unchecked: false, ..shape };
        let asked = shape.apply(question(protocol, inside, remote));
        let mut packet = asked.clone();
        if inbound {
            let external = Packet::read(&one(&mut rig, asked.bytes()).sent).source();
            packet = shape.apply(answer(protocol, remote, external));
        }
        *packet.checksum_mut() ^= damage;
        // Zero would say that there is no checksum.
        prop_assume!(*packet.checksum_mut() != 0);
        prop_assert_ne!(error(&packet), 0);
        let fate = one(&mut rig, packet.bytes());
        prop_assert_eq!(fate.verdict, "forwarded");
        let sent = Packet::read(&fate.sent);
        prop_assert_eq!(error(&sent), error(&packet));
        prop_assert_eq!(sent.ip.header_checksum, sent.ip.calc_header_checksum());
    }

    #[test]
    fn nothing_upsets_the_core(frames in prop::collection::vec(frame(), 1..100)) {
        // The rig checks that each frame has one verdict, is sent or freed, and is counted.
        let fates = Rig::new(&crate::rig::config()).process(&frames);
        for (frame, fate) in frames.iter().zip(&fates) {
            if fate.verdict == "forwarded" {
                prop_assert_eq!(fate.sent.len(), frame.len());
                prop_assert_eq!(fate.sent[22], frame[22] - 1, "time to live");
                let header_len = usize::from(fate.sent[14] & 15) * 4;
                prop_assert_eq!(sum(&fate.sent[14..14 + header_len]), 0xffff);
            }
        }
    }
}

/// Bytes from nowhere, and valid frames that suffered.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let ipv4 = prop::collection::vec(any::<u8>(), 0..120).prop_map(|bytes| {
        let mut frame = udp(at("100.64.0.1:1"), at("192.0.2.1:1")).bytes()[..15].to_vec();
        frame.extend(bytes);
        frame
    });
    let valid = (protocol(), inside(), remote(), shape(), any::<bool>(), 1024u16..4096).prop_map(
        |(protocol, inside, remote, shape, inbound, port)| {
            let external = SocketAddrV4::new(*at("198.18.0.0:0").ip(), port);
            let packet = match inbound {
                true => answer(protocol, remote, external),
                false => question(protocol, inside, remote),
            };
            shape.apply(packet).bytes()
        },
    );
    let wounds = prop::collection::vec((0usize..80, any::<u8>()), 0..6);
    let wounded = (valid, wounds, prop::option::weighted(0.3, 0usize..100), any::<bool>());
    let wounded = wounded.prop_map(|(mut frame, wounds, cut, mended)| {
        for (offset, byte) in wounds {
            if let Some(at) = frame.get_mut(offset) {
                *at = byte;
            }
        }
        frame.truncate(cut.unwrap_or(frame.len()));
        if mended {
            mend(&mut frame);
        }
        frame
    });
    prop_oneof![1 => noise, 1 => ipv4, 6 => wounded]
}

/// Gives the bytes where an IPv4 header should be the checksum that lets them pass further.
fn mend(frame: &mut [u8]) {
    let header_len = frame.get(14).map_or(0, |byte| usize::from(byte & 15) * 4);
    if header_len < 20 {
        return;
    }
    let Some(header) = frame.get_mut(14..14 + header_len) else { return };
    header[10..12].fill(0);
    let checksum = !sum(header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Ones' complement sum of a header (RFC 1071). etherparse would not do here: it forgets the
/// reserved bit.
fn sum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
