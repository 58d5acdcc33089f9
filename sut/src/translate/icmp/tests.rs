//! Against etherparse: what leaves is, byte for byte, the error that etherparse would make about the
//! same datagram between the other addresses, every checksum computed from scratch.

use super::*;
use dataplane::wire::{self, Parsed};
use etherparse::{Icmpv4Header, Icmpv4Type, IpHeaders, IpNumber, Ipv4Header, PacketBuilder};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const SUBSCRIBER: Endpoint = Endpoint::new(0x6440_0007, 40_000);
const EXTERNAL: Endpoint = Endpoint::new(0xc612_0001, 2047);
const REMOTE: Endpoint = Endpoint::new(0xcb00_7109, 53);
const ROUTER: u32 = 0x0a09_0901;

/// Bytes of a TCP header up to the middle of its checksum, of which that half cannot be updated.
const HALF_A_CHECKSUM: usize = 17;

/// An error and the datagram that caused it, but for the addresses.
#[derive(Clone, Debug)]
struct Error {
    kind: u8,
    code: u8,
    rest: [u8; 4],
    ttl: u8,
    option_words: usize,
    protocol: IpNumber,
    quoted_option_words: usize,
    quoted_ttl: u8,
    payload: Vec<u8>,
    /// No UDP checksum (RFC 768).
    unchecked: bool,
    /// Bytes of the datagram that are quoted, if it has as many.
    quote_max: usize,
    /// Behind the quote, which is then filled up to these words (RFC 4884).
    extension: Option<(u8, Vec<u8>)>,
}

impl Error {
    fn udp() -> Error {
        Error {
            kind: icmp::DESTINATION_UNREACHABLE,
            code: 3,
            rest: [0; 4],
            ttl: 64,
            option_words: 0,
            protocol: IpNumber::UDP,
            quoted_option_words: 0,
            quoted_ttl: 1,
            payload: b"who asks for krono.example?".to_vec(),
            unchecked: false,
            quote_max: 576,
            extension: None,
        }
    }

    /// The datagram from `source` to `destination`. Of echo, a request that leaves the inside and a
    /// reply that enters it.
    fn datagram(&self, source: Endpoint, destination: Endpoint) -> Vec<u8> {
        let ip = Ipv4Header {
            source: source.address().to_be_bytes(),
            destination: destination.address().to_be_bytes(),
            time_to_live: self.quoted_ttl,
            identification: 7,
            options: (&[1_u8; 40][..4 * self.quoted_option_words]).try_into().unwrap(),
            ..Default::default()
        };
        let builder = PacketBuilder::ip(IpHeaders::Ipv4(ip, Default::default()));
        let mut bytes = Vec::new();
        match self.protocol {
            IpNumber::UDP => builder
                .udp(source.port(), destination.port())
                .write(&mut bytes, &self.payload)
                .unwrap(),
            IpNumber::TCP => builder
                .tcp(source.port(), destination.port(), 1, 4096)
                .write(&mut bytes, &self.payload)
                .unwrap(),
            _ if source == REMOTE => builder
                .icmpv4_echo_reply(destination.port(), 9)
                .write(&mut bytes, &self.payload)
                .unwrap(),
            _ => builder
                .icmpv4_echo_request(source.port(), 9)
                .write(&mut bytes, &self.payload)
                .unwrap(),
        }
        if self.unchecked && self.protocol == IpNumber::UDP {
            let check_at = 20 + 4 * self.quoted_option_words + 6;
            bytes[check_at..check_at + 2].fill(0);
        }
        bytes
    }

    /// The frame in which `from` tells `source` of its datagram to `destination`.
    fn frame(&self, from: u32, source: Endpoint, destination: Endpoint) -> Vec<u8> {
        let mut quote = self.datagram(source, destination);
        quote.truncate(self.quote_max);
        let mut rest = self.rest;
        rest[1] = 0;
        if let Some((words, extension)) = &self.extension {
            rest[1] = *words;
            quote.resize(4 * usize::from(*words), 0);
            quote.extend(extension);
        }
        self.frame_of(from, source.address(), rest, &quote)
    }

    fn frame_of(&self, from: u32, to: u32, rest: [u8; 4], quote: &[u8]) -> Vec<u8> {
        let kind = Icmpv4Type::Unknown { type_u8: self.kind, code_u8: self.code, bytes5to8: rest };
        let message = Icmpv4Header::with_checksum(kind, quote);
        let mut ip = Ipv4Header {
            source: from.to_be_bytes(),
            destination: to.to_be_bytes(),
            protocol: IpNumber::ICMP,
            time_to_live: self.ttl,
            options: (&[1_u8; 40][..4 * self.option_words]).try_into().unwrap(),
            ..Default::default()
        };
        ip.set_payload_len(8 + quote.len()).unwrap();
        ip.header_checksum = ip.calc_header_checksum();
        let mut frame = vec![2; 12];
        frame.extend([8, 0]);
        ip.write(&mut frame).unwrap();
        message.write(&mut frame).unwrap();
        frame.extend(quote);
        frame
    }

    /// Length of the quoted headers up to and including the ports.
    fn least(&self) -> usize {
        20 + 4 * self.quoted_option_words + 8
    }

    fn routed(&self) -> Error {
        Error { ttl: self.ttl - 1, ..self.clone() }
    }
}

fn errors() -> impl Strategy<Value = Error> {
    let types =
        select(vec![icmp::DESTINATION_UNREACHABLE, icmp::TIME_EXCEEDED, icmp::PARAMETER_PROBLEM]);
    let outer = (types, any::<u8>(), any::<[u8; 4]>(), 2..=255_u8, 0..=10_usize);
    let protocols = select(vec![IpNumber::UDP, IpNumber::TCP, IpNumber::ICMP]);
    let payload = prop_oneof![vec(any::<u8>(), 0..300), vec(Just(0), 0..40)];
    let inner = (protocols, 0..=10_usize, any::<u8>(), payload, any::<bool>());
    // Eight bytes of transport, as many as every old router quotes, more, all.
    let quote = prop_oneof![Just(8), 9..40_usize, Just(1500)];
    // Long enough to be legal, and so short that the extension lies where a checksum would.
    let words = prop_oneof![Just(32_u8), 17..=75_u8];
    let extension = prop::option::of((words, vec(any::<u8>(), 4..40)));
    (outer, inner, quote, extension).prop_map(|(outer, inner, quote, extension)| {
        let (kind, code, rest, ttl, option_words) = outer;
        let (protocol, quoted_option_words, quoted_ttl, payload, unchecked) = inner;
        let quote_max = 20 + 4 * quoted_option_words + quote;
        // Whoever appends extensions quotes what fits before them: a quote that is cut shorter and
        // filled up with zeros cannot be told from one of as many bytes.
        let quote_max = match &extension {
            Some((words, _)) => 4 * usize::from(*words),
            None if quote == HALF_A_CHECKSUM => quote_max + 1,
            None => quote_max,
        };
        Error {
            kind,
            code,
            rest,
            ttl,
            option_words,
            protocol,
            quoted_option_words,
            quoted_ttl,
            payload,
            unchecked,
            quote_max,
            extension,
        }
    })
}

fn read(frame: &[u8]) -> (Datagram, Result<Quoted, Refused>) {
    let Ok(Parsed::Ipv4(datagram)) = wire::parse(frame) else { panic!("no IPv4: {frame:02x?}") };
    (datagram, quoted(frame, &datagram))
}

fn translated(mut frame: Vec<u8>, end: End, new: Endpoint) -> Vec<u8> {
    let (datagram, quoted) = read(&frame);
    translate(&mut frame, &datagram, &quoted.expect("an error about a datagram"), end, new);
    frame
}

/// The ports an error tells: of echo the identifier, which is the asker's.
fn told(error: &Error, asker: Endpoint, remote: Endpoint) -> (Endpoint, Endpoint) {
    let port = if error.protocol == IpNumber::ICMP { 0 } else { remote.port() };
    (asker, Endpoint::new(remote.address(), port))
}

proptest! {
    #[test]
    fn inbound_errors_are_what_the_subscriber_would_have_caused(error in errors()) {
        for from in [ROUTER, REMOTE.address()] {
            let frame = error.frame(from, EXTERNAL, REMOTE);
            let quoted = read(&frame).1;
            if error.quote_max < error.least() {
                prop_assert_eq!(quoted, Err(Refused::Short));
                continue;
            }
            let quoted = quoted.unwrap();
            prop_assert_eq!((quoted.source, quoted.destination), told(&error, EXTERNAL, REMOTE));
            prop_assert_eq!(quoted.protocol, error.protocol.0);
            let expected = error.routed().frame(from, SUBSCRIBER, REMOTE);
            prop_assert_eq!(translated(frame, End::Destination, SUBSCRIBER), expected);
        }
    }

    #[test]
    fn outbound_errors_come_from_the_external_address(error in errors()) {
        for from in [ROUTER, SUBSCRIBER.address()] {
            let frame = error.frame(from, REMOTE, SUBSCRIBER);
            let quoted = read(&frame).1;
            if error.quote_max < error.least() {
                prop_assert_eq!(quoted, Err(Refused::Short));
                continue;
            }
            let quoted = quoted.unwrap();
            prop_assert_eq!((quoted.destination, quoted.source), told(&error, SUBSCRIBER, REMOTE));
            let expected = error.routed().frame(EXTERNAL.address(), REMOTE, EXTERNAL);
            prop_assert_eq!(translated(frame, End::Source, EXTERNAL), expected);
        }
    }

    #[test]
    fn there_and_back_is_two_hops(error in errors()) {
        prop_assume!(error.quote_max >= error.least() && error.ttl > 2);
        let frame = error.frame(ROUTER, EXTERNAL, REMOTE);
        let inside = translated(frame, End::Destination, SUBSCRIBER);
        let expected = error.routed().routed().frame(ROUTER, EXTERNAL, REMOTE);
        prop_assert_eq!(translated(inside, End::Destination, EXTERNAL), expected);
    }

    /// Whatever is accepted, however odd, leaves with the checksums it came with in order and with
    /// nothing changed behind the transport header's checksum.
    #[test]
    fn no_bytes_upset_the_translation(error in errors(), noise in vec(any::<u8>(), 0..120),
                                      damage in vec((0..100_usize, any::<u8>()), 0..4),
                                      to_source: bool) {
        let mut quote = error.datagram(EXTERNAL, REMOTE);
        for (at, byte) in damage {
            if let Some(there) = quote.get_mut(at) {
                *there = byte;
            }
        }
        quote.truncate(error.quote_max);
        quote.extend(noise);
        if quote.len() >= 60 && to_source {
            let header_len = 4 * usize::from(quote[0] & 15).clamp(5, 15);
            let check = checksum::ipv4_header(&quote[..header_len]);
            quote[10..12].copy_from_slice(&check.to_be_bytes());
        }
        let frame = error.frame_of(ROUTER, EXTERNAL.address(), error.rest, &quote);
        let (datagram, quoted) = read(&frame);
        for (end, new) in [(End::Destination, SUBSCRIBER), (End::Source, SUBSCRIBER)] {
            let Ok(quoted) = quoted else { break };
            let mut after = frame.clone();
            translate(&mut after, &datagram, &quoted, end, new);
            let (network, message) = after.split_at(datagram.transport_at);
            prop_assert!(checksum::verify_ipv4(&network[14..]));
            prop_assert_eq!(checksum::fold(checksum::sum(message)), 0xffff);
            let transport_at = usize::from(quoted.transport_at);
            prop_assert!(checksum::verify_ipv4(&message[8..transport_at]));
            let behind = datagram.transport_at + transport_at + 18;
            prop_assert_eq!(after.get(behind..), frame.get(behind..));
        }
    }

    #[test]
    fn noise_is_refused_or_read(mut frame in vec(any::<u8>(), 42..200), sealed: bool) {
        frame[12..15].copy_from_slice(&[8, 0, 0x45]);
        let total = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        frame[20..22].fill(0);
        frame[23] = ipv4::ICMP;
        if sealed {
            frame[34] = icmp::TIME_EXCEEDED;
            frame[36..38].fill(0);
            let check = !checksum::fold(checksum::sum(&frame[34..]));
            frame[36..38].copy_from_slice(&check.to_be_bytes());
        }
        let (_, quoted) = read(&frame);
        prop_assert!(quoted.is_err(), "a quote of noise has a checksum in order: {quoted:?}");
    }
}

#[test]
fn a_quote_may_end_anywhere_behind_the_ports() {
    for (protocol, quoted_option_words) in
        [(IpNumber::UDP, 0), (IpNumber::TCP, 0), (IpNumber::ICMP, 0), (IpNumber::TCP, 10)]
    {
        let whole = Error { protocol, quoted_option_words, ..Error::udp() };
        for quote_max in 0..=whole.datagram(EXTERNAL, REMOTE).len() {
            let error = Error { quote_max, ..whole.clone() };
            let frame = error.frame(ROUTER, EXTERNAL, REMOTE);
            if quote_max < error.least() {
                assert_eq!(read(&frame).1, Err(Refused::Short), "{quote_max} bytes");
                continue;
            }
            let mut frame = translated(frame, End::Destination, SUBSCRIBER);
            let mut expected = error.routed().frame(ROUTER, SUBSCRIBER, REMOTE);
            if protocol == IpNumber::TCP && quote_max == error.least() - 8 + HALF_A_CHECKSUM {
                assert_eq!(
                    frame.pop(),
                    whole.datagram(EXTERNAL, REMOTE).get(quote_max - 1).copied()
                );
                expected.pop();
                // The checksum of the message counts that byte.
                frame[36..38].copy_from_slice(&[0; 2]);
                expected[36..38].copy_from_slice(&[0; 2]);
            }
            assert_eq!(frame, expected, "{protocol:?}, {quote_max} bytes");
        }
    }
}

#[test]
fn a_frame_cut_off_is_never_an_error_about_a_datagram() {
    let frame = Error::udp().frame(ROUTER, EXTERNAL, REMOTE);
    for len in 0..frame.len() {
        assert!(wire::parse(&frame[..len]).is_err(), "{len} bytes");
    }
}

/// RFC 1191: the MTU of the next hop is what the message is for.
#[test]
fn the_mtu_stays() {
    let error =
        Error { code: icmp::FRAGMENTATION_NEEDED, rest: [0, 0, 0x05, 0xd4], ..Error::udp() };
    let frame = translated(error.frame(ROUTER, EXTERNAL, REMOTE), End::Destination, SUBSCRIBER);
    assert_eq!(frame[34..36], [3, 4]);
    assert_eq!(frame[38..42], [0, 0, 0x05, 0xd4]);
}

#[test]
fn every_reason_has_a_frame() {
    let frame = |error: &Error| error.frame(ROUTER, EXTERNAL, REMOTE);
    // An error about a datagram with some bytes replaced and its header's checksum set right.
    let quoting = |edits: &[(usize, u8)], sealed: bool| {
        let error = Error::udp();
        let mut quote = error.datagram(EXTERNAL, REMOTE);
        for &(at, byte) in edits {
            quote[at] = byte;
        }
        if sealed {
            let check = checksum::ipv4_header(&quote[..20]);
            quote[10..12].copy_from_slice(&check.to_be_bytes());
        }
        error.frame_of(ROUTER, EXTERNAL.address(), [0; 4], &quote)
    };
    let mut damaged = frame(&Error::udp());
    *damaged.last_mut().unwrap() ^= 1;
    let echo = Error { kind: icmp::ECHO_REQUEST, code: 0, ..Error::udp() };
    let misled = |destination: u32| {
        let quote = Error::udp().datagram(EXTERNAL, REMOTE);
        Error::udp().frame_of(ROUTER, destination, [0; 4], &quote)
    };
    for (what, expected, frame) in [
        ("echo", Refused::Type, frame(&echo)),
        ("quench", Refused::Type, frame(&Error { kind: icmp::SOURCE_QUENCH, ..Error::udp() })),
        ("redirect", Refused::Type, frame(&Error { kind: icmp::REDIRECT, ..Error::udp() })),
        ("a bit of the quote flipped", Refused::Checksum, damaged),
        ("27 bytes", Refused::Short, frame(&Error { quote_max: 27, ..Error::udp() })),
        ("no quote", Refused::Short, frame(&Error { quote_max: 0, ..Error::udp() })),
        (
            "an extension where the ports would be",
            Refused::Short,
            frame(&Error { extension: Some((6, vec![0; 40])), quote_max: 24, ..Error::udp() }),
        ),
        ("IPv6", Refused::Header, quoting(&[(0, 0x65)], true)),
        ("a header of 16 bytes", Refused::Header, quoting(&[(0, 0x44)], true)),
        ("a datagram of 27 bytes", Refused::Header, quoting(&[(2, 0), (3, 27)], true)),
        ("a wrong header checksum", Refused::HeaderChecksum, quoting(&[(8, 77)], false)),
        ("a later fragment", Refused::Fragment, quoting(&[(7, 1)], true)),
        ("GRE", Refused::Protocol, quoting(&[(9, 47)], true)),
        ("an error about an error", Refused::Protocol, quoting(&[(9, 1), (20, 3)], true)),
        ("to another", Refused::Addressee, misled(EXTERNAL.address() + 1)),
    ] {
        assert_eq!(read(&frame).1, Err(expected), "{what}");
    }
    let first = quoting(&[(6, 0x20)], true);
    assert!(read(&first).1.is_ok(), "a first fragment has its ports");
}

/// A TCP fragment of eight bytes, as short as RFC 791 allows, ends before its checksum; what a
/// router fills up to the extensions behind it is none.
#[test]
fn what_follows_a_short_datagram_is_not_its_checksum() {
    let error = Error { protocol: IpNumber::TCP, ..Error::udp() };
    let mut quote = error.datagram(EXTERNAL, REMOTE);
    quote.truncate(28);
    quote[2..4].copy_from_slice(&28_u16.to_be_bytes());
    quote[6] = 0x20;
    let check = checksum::ipv4_header(&quote[..20]);
    quote[10..12].copy_from_slice(&check.to_be_bytes());
    quote.resize(160, 0xaa);
    let frame = error.frame_of(ROUTER, EXTERNAL.address(), [0, 32, 0, 0], &quote);
    let frame = translated(frame, End::Destination, SUBSCRIBER);
    assert_eq!(frame[42 + 28..], [0xaa; 132]);
    assert_eq!(checksum::fold(checksum::sum(&frame[34..])), 0xffff);
}
