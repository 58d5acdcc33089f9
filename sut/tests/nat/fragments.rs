//! Datagrams that pass in fragments. Behind the NAT they must be what etherparse would cut of the
//! datagram between the other addresses, its transport checksum computed from scratch.

use crate::rig::{Packet, Rig, at, echo_reply, echo_request, tcp, udp};
use dataplane::clock::Nanos;
use etherparse::defrag::IpDefragPool;
use etherparse::{IpNumber, Ipv4Header, SlicedPacket, TransportHeader};
use krononat::verdict::{Drop, Refusal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;

const SYN: u8 = 2;
const ACK: u8 = 16;

fn inside() -> SocketAddrV4 {
    at("100.64.0.1:5000")
}

fn remote(protocol: IpNumber) -> SocketAddrV4 {
    at(if protocol == IpNumber::ICMP { "192.0.2.1:0" } else { "192.0.2.1:443" })
}

/// What a subscriber sends; `from` is its own end, or the external one.
fn outbound(protocol: IpNumber, from: SocketAddrV4) -> Packet {
    match protocol {
        IpNumber::UDP => udp(from, remote(protocol)),
        IpNumber::TCP => tcp(from, remote(protocol), SYN),
        _ => echo_request(from, remote(protocol)),
    }
}

/// What answers it.
fn inbound(protocol: IpNumber, to: SocketAddrV4) -> Packet {
    match protocol {
        IpNumber::UDP => udp(remote(protocol), to),
        IpNumber::TCP => tcp(remote(protocol), to, SYN | ACK),
        _ => echo_reply(remote(protocol), to),
    }
}

fn with_payload(mut packet: Packet, id: u16, payload: Vec<u8>) -> Packet {
    (packet.ip.identification, packet.payload) = (id, payload);
    packet
}

/// A core with one connection, whose external end is returned.
fn opened(protocol: IpNumber) -> (Rig, SocketAddrV4) {
    let mut rig = Rig::new(&crate::rig::config());
    let fate = rig.process(&[outbound(protocol, inside()).sealed().bytes()]).remove(0);
    (rig, Packet::read(&fate.sent).source())
}

fn identification(frame: &[u8]) -> u16 {
    let (ip, _) = Ipv4Header::from_slice(&frame[14..]).expect("an IPv4 header");
    ip.identification
}

/// What becomes of the fragments, all of which pass.
fn passed(rig: &mut Rig, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let fates = rig.process(frames);
    assert!(fates.iter().all(|fate| fate.verdict == "forwarded"), "{fates:?}");
    fates.into_iter().map(|fate| fate.sent).collect()
}

fn verdicts(rig: &mut Rig, frames: &[Vec<u8>]) -> Vec<&'static str> {
    rig.process(frames).iter().map(|fate| fate.verdict).collect()
}

/// A UDP datagram of two fragments: 16 bytes and 4.
fn pair(from: SocketAddrV4, to: SocketAddrV4, id: u16) -> Vec<Vec<u8>> {
    with_payload(udp(from, to), id, vec![7; 12]).sealed().fragments(&[2])
}

const PROTOCOLS: [IpNumber; 3] = [IpNumber::UDP, IpNumber::TCP, IpNumber::ICMP];

/// RFC 4787 REQ-14, of TCP and ICMP echo as well: byte by byte, first to last.
#[test]
fn fragments_in_order_are_translated_both_ways() {
    for protocol in PROTOCOLS {
        let (mut rig, external) = opened(protocol);
        let long = |packet, id| with_payload(packet, id, (0..100).collect()).sealed();
        let sent = long(inbound(protocol, external), 77).fragments(&[3, 1, 5]);
        let expected = long(inbound(protocol, inside()).routed(), 77).fragments(&[3, 1, 5]);
        assert_eq!(passed(&mut rig, &sent), expected, "{protocol:?} in");
        let sent = long(outbound(protocol, inside()), 77).fragments(&[3, 1, 5]);
        let got = passed(&mut rig, &sent);
        // The core numbers what leaves (RFC 6864 §5.3.1).
        let id = identification(&got[0]);
        let expected = long(outbound(protocol, external).routed(), id).fragments(&[3, 1, 5]);
        assert_eq!(got, expected, "{protocol:?} out");
    }
}

#[test]
fn a_first_fragment_opens_a_connection() {
    let mut rig = Rig::new(&crate::rig::config());
    passed(&mut rig, &pair(inside(), remote(IpNumber::UDP), 1));
    assert_eq!(rig.pipeline.connections().len(), 1);
}

/// RFC 6864 §5.3.1: behind one address, two subscribers' numbers may be the same.
#[test]
fn datagrams_of_two_subscribers_are_told_apart() {
    let mut rig = Rig::new(&crate::rig::config());
    let ends = [1, 2].map(|i| at(&format!("100.64.0.{i}:5000")));
    let ids = ends.map(|from| {
        let sent = passed(&mut rig, &pair(from, remote(IpNumber::UDP), 9));
        assert_eq!(identification(&sent[0]), identification(&sent[1]));
        identification(&sent[0])
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn later_fragments_share_the_fate_of_their_first_one() {
    let (mut rig, external) = opened(IpNumber::UDP);
    let stranger = pair(at("192.0.2.9:1"), external, 1);
    assert_eq!(verdicts(&mut rig, &stranger), ["filtered_inbound", "held"]);
    // RFC 1858 §3 and §4: neither a header in two fragments nor one over it.
    let tcp = with_payload(tcp(inside(), remote(IpNumber::TCP), SYN), 3, vec![0; 40]).sealed();
    let tiny = tcp.fragments(&[2, 1]);
    assert_eq!(verdicts(&mut rig, &tiny[..2]), ["tcp_short", "fragment_overlap"]);
    let later = &tcp.fragments(&[3])[1..];
    assert_eq!(verdicts(&mut rig, &later[..1]), ["held"], "the tiny one decides nothing");
}

#[test]
fn a_first_fragment_is_forgotten_after_two_seconds() {
    let (mut rig, external) = opened(IpNumber::UDP);
    let frames = pair(remote(IpNumber::UDP), external, 1);
    passed(&mut rig, &frames[..1]);
    for (wait_ns, verdict) in [(2_000_000_000, "forwarded"), (250_000_000, "held")] {
        rig.now = rig.now + Nanos(wait_ns);
        assert_eq!(verdicts(&mut rig, &frames[1..]), [verdict]);
    }
}

/// Room for 1,024 datagrams, of which the last 64 are far from the oldest of any set of four.
#[test]
fn the_oldest_datagrams_make_room() {
    let (mut rig, external) = opened(IpNumber::UDP);
    let frames: Vec<Vec<Vec<u8>>> =
        (0..8192).map(|id| pair(remote(IpNumber::UDP), external, id)).collect();
    for pair in &frames {
        passed(&mut rig, &pair[..1]);
    }
    let mut known = |pairs: &[Vec<Vec<u8>>]| {
        let later: Vec<Vec<u8>> = pairs.iter().map(|pair| pair[1].clone()).collect();
        verdicts(&mut rig, &later).iter().filter(|verdict| **verdict == "forwarded").count()
    };
    assert_eq!(known(&frames[..4096]), 0);
    assert_eq!(known(&frames[8192 - 64..]), 64);
    assert!(known(&frames) > 1000, "as many as there is room for");
}

/// RFC 4787 REQ-14a: later ones wait for the first, in their order, and then follow it.
#[test]
fn fragments_that_come_too_early_wait_for_the_first() {
    for protocol in PROTOCOLS {
        let (mut rig, external) = opened(protocol);
        let long = |packet, id| with_payload(packet, id, (0..100).collect()).sealed();
        let mut sent = long(inbound(protocol, external), 77).fragments(&[3]);
        let mut expected = long(inbound(protocol, inside()).routed(), 77).fragments(&[3]);
        sent.rotate_left(1);
        let early = sent.len() - 1;
        assert_eq!(verdicts(&mut rig, &sent[..early]), vec!["held"; early]);
        assert_eq!((rig.held(), rig.released.len()), (early, 0));
        rig.now = rig.now + Nanos(500_000_000);
        assert_eq!(passed(&mut rig, &sent[early..]), [expected.remove(0)], "{protocol:?}");
        assert_eq!((&rig.released, rig.held()), (&expected, 0), "{protocol:?}");
    }
}

#[test]
fn in_one_burst_a_first_fragment_may_come_last() {
    let (mut rig, external) = opened(IpNumber::UDP);
    let mut swapped = pair(remote(IpNumber::UDP), external, 2);
    swapped.reverse();
    assert_eq!(verdicts(&mut rig, &swapped), ["held", "forwarded"]);
    assert_eq!((rig.released.len(), rig.held()), (1, 0));
    // What leaves the core has the number of its first fragment.
    let mut swapped = pair(inside(), remote(IpNumber::UDP), 2);
    swapped.reverse();
    let first = rig.process(&swapped).remove(1).sent;
    assert_eq!(identification(&first), identification(&rig.released[1]));
}

#[test]
fn nothing_is_held_for_more_than_three_quarters_of_a_second() {
    let (mut rig, external) = opened(IpNumber::UDP);
    let frames = pair(remote(IpNumber::UDP), external, 1);
    assert_eq!(verdicts(&mut rig, &frames[1..]), ["held"]);
    for (wait_ns, held) in [(500_000_000, 1), (250_000_000, 0)] {
        rig.now = rig.now + Nanos(wait_ns);
        rig.release();
        assert_eq!(rig.held(), held);
    }
    let orphans = rig.pipeline.counts().dropped[Drop::from(Refusal::OrphanFragment).index()];
    assert_eq!((orphans, rig.released.len()), (1, 0));
    passed(&mut rig, &frames[..1]);
    assert!(rig.released.is_empty(), "too late");
}

/// A core with connections of one port to `count` remotes, and what each sends: as many datagrams of
/// two fragments, of which the first ones and the later ones are returned.
fn crowd(count: u8, datagrams: u16) -> (Rig, Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut rig = Rig::new(&crate::rig::config());
    let remote = |number: u16| at(&format!("192.0.2.{}:443", 1 + number % u16::from(count)));
    let opening =
        (0..u16::from(count)).map(|number| udp(inside(), remote(number)).sealed().bytes());
    let opened = passed(&mut rig, &opening.collect::<Vec<_>>());
    let external = Packet::read(&opened[0]).source();
    let pairs = (0..datagrams).map(|id| pair(remote(id), external, id));
    let (first, later) = pairs.map(|pair| (pair[0].clone(), pair[1].clone())).unzip();
    (rig, first, later)
}

fn hold_full(rig: &Rig) -> u64 {
    rig.pipeline.counts().dropped[Drop::from(Refusal::HoldFull).index()]
}

/// Room for 32: the oldest makes it, and what has no first fragment delays nobody else.
#[test]
fn the_oldest_that_waits_makes_room() {
    let (mut rig, first, later) = crowd(8, 40);
    assert_eq!(verdicts(&mut rig, &later), ["held"; 40]);
    assert_eq!((rig.held(), hold_full(&rig)), (32, 8));
    passed(&mut rig, &first[20..21]);
    assert_eq!((rig.held(), rig.released.len()), (31, 1));
    passed(&mut rig, &first);
    let ids: Vec<u16> = rig.released.iter().map(|frame| identification(frame)).collect();
    let expected: Vec<u16> = [20].into_iter().chain(8..20).chain(21..40).collect();
    assert_eq!(ids, expected, "the last 32, each once");
}

/// Of one source no more than eight wait, whatever room there is: the others keep theirs.
#[test]
fn one_source_has_a_quarter_of_the_room() {
    let (mut rig, first, later) = crowd(5, 40);
    // The first remote sends every fifth of them, and then these again and again.
    let of_one: Vec<Vec<u8>> = later.iter().step_by(5).cloned().collect();
    let others: Vec<Vec<u8>> =
        (0..40).filter(|id| id % 5 > 1).map(|id| later[id].clone()).collect();
    assert_eq!(verdicts(&mut rig, &others), ["held"; 24]);
    assert_eq!(verdicts(&mut rig, &of_one), ["held"; 8]);
    assert_eq!((rig.held(), hold_full(&rig)), (32, 0));
    let flood: Vec<Vec<u8>> = of_one.iter().cycle().take(92).cloned().collect();
    assert_eq!(verdicts(&mut rig, &flood), ["held"; 92]);
    assert_eq!((rig.held(), hold_full(&rig)), (32, 92));
    passed(&mut rig, &first);
    let ids: BTreeSet<u16> = rig.released.iter().map(|frame| identification(frame)).collect();
    assert_eq!(ids, (0..40).filter(|id| id % 5 != 1).collect(), "the others, and the one's newest");
}

#[derive(Clone, Debug)]
struct Datagram {
    protocol: IpNumber,
    outbound: bool,
    option_words: usize,
    id: u16,
    ttl: u8,
    payload: Vec<u8>,
    unchecked: bool,
}

fn datagrams() -> impl Strategy<Value = Datagram> {
    let header = (select(PROTOCOLS.to_vec()), any::<bool>(), 0..=10_usize, any::<u16>());
    (header, 2..=255_u8, vec(any::<u8>(), 24..1200), any::<bool>()).prop_map(
        |((protocol, outbound, option_words, id), ttl, payload, unchecked)| Datagram {
            protocol,
            outbound,
            option_words,
            id,
            ttl,
            payload,
            unchecked,
        },
    )
}

impl Datagram {
    fn packet(self, external: SocketAddrV4) -> Packet {
        let mut packet = match self.outbound {
            true => outbound(self.protocol, inside()),
            false => inbound(self.protocol, external),
        };
        packet.ip.time_to_live = self.ttl;
        packet.ip.dont_fragment = false;
        packet.ip.options = (&[1_u8; 40][..4 * self.option_words]).try_into().expect("options");
        let mut packet = with_payload(packet, self.id, self.payload).sealed();
        if let (true, TransportHeader::Udp(udp)) = (self.unchecked, &mut packet.transport) {
            udp.checksum = 0;
        }
        packet
    }
}

/// The fragments in another order.
fn shuffled(mut frames: Vec<Vec<u8>>, picks: &[Index]) -> Vec<Vec<u8>> {
    let mut order = Vec::new();
    for pick in picks.iter().cycle().take(frames.len()) {
        order.push(frames.remove(pick.index(frames.len())));
    }
    order
}

proptest! {
    #[test]
    fn a_datagram_in_fragments_arrives_as_the_whole_one_does(
        datagram in datagrams(), sizes in vec(8..30_usize, 1..5), picks in vec(any::<Index>(), 1..9)
    ) {
        let (mut rig, external) = opened(datagram.protocol);
        let (outbound, unchecked) = (datagram.outbound, datagram.unchecked);
        let packet = datagram.packet(external);
        let whole = Packet::read(&passed(&mut rig, &[packet.bytes()])[0]);
        if !(unchecked && packet.ip.protocol == IpNumber::UDP) {
            prop_assert_eq!(*whole.clone().checksum_mut(), whole.right_checksum());
        }
        let frames = packet.fragments(&sizes);
        prop_assume!(frames.len() > 1);
        let (mut pool, mut complete) = (IpDefragPool::<(), ()>::new(), None);
        let (count, first) = (frames.len(), frames[0].clone());
        let frames = shuffled(frames, &picks);
        // As many as may wait of one source.
        prop_assume!(frames.iter().position(|frame| *frame == first) <= Some(8));
        let fates = rig.process(&frames);
        let sent = fates.into_iter().map(|fate| fate.sent).filter(|sent| !sent.is_empty());
        let sent: Vec<Vec<u8>> = sent.chain(rig.released.drain(..)).collect();
        prop_assert_eq!(sent.len(), count, "each once");
        let id = if outbound { identification(&sent[0]) } else { packet.ip.identification };
        for frame in &sent {
            let (ip, _) = Ipv4Header::from_slice(&frame[14..]).unwrap();
            prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            prop_assert_eq!((ip.source, ip.destination), (whole.ip.source, whole.ip.destination));
            prop_assert_eq!((ip.time_to_live, ip.identification), (whole.ip.time_to_live, id));
            prop_assert_eq!(&frame[..12], &whole.bytes()[..12], "stations");
            prop_assert!(complete.is_none(), "complete before the last fragment");
            let sliced = SlicedPacket::from_ethernet(frame).unwrap();
            complete = pool.process_sliced_packet(&sliced, (), ()).unwrap();
        }
        let head = 14 + whole.ip.header_len();
        let complete = complete.expect("a complete datagram").payload;
        prop_assert_eq!(&complete, &whole.bytes()[head..]);
    }
}
