//! Fragments of IPv6 that come before the first one of their datagram: they wait, as those of IPv4 do.

use crate::both_families::{INSIDE, REMOTE, rig};
use crate::rig::{CORE, GATEWAY, Rig, at, udp};
use dataplane::clock::Nanos;
use etherparse::{IpNumber, PacketBuilder};
use krononat::verdict::{Drop, Refusal};
use std::net::Ipv6Addr;

/// The fragments of a UDP datagram, cut after these bytes.
fn fragments(from: Ipv6Addr, to: Ipv6Addr, id: u32, cuts: &[usize]) -> Vec<Vec<u8>> {
    let udp = [&[0x13, 0x88, 0x01, 0xbb, 0, 64, 0x12, 0x34][..], &[9; 56]].concat();
    let ends = [&[0], cuts, &[64]].concat();
    let piece = |ends: &[usize]| {
        let more = u16::from(ends[1] < udp.len());
        let place = (ends[0] as u16 | more).to_be_bytes();
        let body = [&[17, 0][..], &place, &id.to_be_bytes(), &udp[ends[0]..ends[1]]].concat();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(GATEWAY, CORE)
            .ipv6(from.octets(), to.octets(), 64)
            .write(&mut frame, IpNumber(44), &body)
            .unwrap();
        frame
    };
    ends.windows(2).map(piece).collect()
}

fn routed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&GATEWAY);
    frame[6..12].copy_from_slice(&CORE);
    frame[21] -= 1;
    frame
}

fn verdicts(rig: &mut Rig, frames: &[Vec<u8>]) -> Vec<&'static str> {
    rig.process(frames).iter().map(|fate| fate.verdict).collect()
}

fn dropped(rig: &Rig, reason: Refusal) -> u64 {
    rig.pipeline.counts().dropped[Drop::from(reason).index()]
}

#[test]
fn they_wait_for_the_first_in_their_order() {
    let mut rig = rig();
    let frames = fragments(INSIDE, REMOTE, 7, &[24, 32, 48]);
    assert_eq!(verdicts(&mut rig, &frames[1..]), ["held"; 3]);
    rig.now = rig.now + Nanos(500_000_000);
    let fate = rig.process(&frames[..1]).remove(0);
    assert_eq!((fate.verdict, fate.sent), ("forwarded", routed(&frames[0])));
    let expected: Vec<Vec<u8>> = frames[1..].iter().map(|frame| routed(frame)).collect();
    assert_eq!((&rig.released, rig.held()), (&expected, 0));
}

#[test]
fn in_one_burst_with_those_of_ipv4() {
    let mut rig = rig();
    let mut frames = fragments(INSIDE, REMOTE, 7, &[24]);
    let four = udp(at("100.64.0.1:5000"), at("192.0.2.1:443")).sealed().fragments(&[1]);
    frames.splice(1..1, [four[0].clone(), four[1].clone()]);
    frames.reverse();
    assert_eq!(verdicts(&mut rig, &frames), ["held", "held", "forwarded", "forwarded"]);
    assert_eq!(rig.released[0], routed(&frames[0]));
    assert_eq!((rig.released.len(), rig.held()), (2, 0));
}

#[test]
fn without_a_first_one_they_are_orphans() {
    let mut rig = rig();
    let unasked = fragments(REMOTE, INSIDE, 7, &[24]);
    assert_eq!(verdicts(&mut rig, &unasked), ["unknown_inbound", "held"]);
    for (wait_ns, held) in [(500_000_000, 1), (250_000_000, 0)] {
        rig.now = rig.now + Nanos(wait_ns);
        rig.release();
        assert_eq!(rig.held(), held);
    }
    assert_eq!((dropped(&rig, Refusal::OrphanFragment), rig.released.len()), (1, 0));
}

/// RFC 5722: what lies over the first one does not follow it.
#[test]
fn what_waited_must_not_overlap() {
    let mut rig = rig();
    let over = fragments(INSIDE, REMOTE, 7, &[16]).remove(1);
    assert_eq!(verdicts(&mut rig, &[over]), ["held"]);
    let first = fragments(INSIDE, REMOTE, 7, &[24]).remove(0);
    assert_eq!(verdicts(&mut rig, &[first]), ["forwarded"]);
    assert_eq!((dropped(&rig, Refusal::FragmentOverlap), rig.released.len()), (1, 0));
    assert_eq!(rig.held(), 0);
}

/// The addresses of one subnet are one source: eight wait, and leave room for others.
#[test]
fn a_subnet_has_a_quarter_of_the_room() {
    let mut rig = rig();
    let of = |subnet: u16, host: u16| Ipv6Addr::new(0x2a00, 2, 0, subnet, 0, 0, 0, host);
    let later = |from| fragments(from, INSIDE, 7, &[24]).remove(1);
    let flood: Vec<Vec<u8>> = (0..20).map(|host| later(of(0, host))).collect();
    assert_eq!(verdicts(&mut rig, &flood), ["held"; 20]);
    assert_eq!((rig.held(), dropped(&rig, Refusal::HoldFull)), (8, 12));
    let others: Vec<Vec<u8>> = (1..25).map(|subnet| later(of(subnet, 1))).collect();
    assert_eq!(verdicts(&mut rig, &others), ["held"; 24]);
    assert_eq!((rig.held(), dropped(&rig, Refusal::HoldFull)), (32, 12));
}
