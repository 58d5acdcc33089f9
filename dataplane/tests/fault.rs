//! Injected faults against what arrives at the other end.

use dataplane::burst::{BURST, Burst};
use dataplane::frame::Frame;
use dataplane::port::fault::{Fault, FaultCounts, FaultPlan, HELD_MAX, Rate};
use dataplane::port::pcap::OwnedFrame;
use dataplane::port::{Lanes, Port, PortStats};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use std::num::NonZeroU32;

const LANES: usize = 3;

/// A port that keeps what it is given: (lane, bytes), in order.
#[derive(Default)]
struct Sink {
    arrived: Vec<(usize, Vec<u8>)>,
    spare: usize,
    freed: usize,
    /// Frames `tx` accepts before it refuses all others.
    room: usize,
}

impl Port for Sink {
    type Frame = OwnedFrame;

    fn rx(&mut self, _into: &mut Burst<OwnedFrame>) {}

    fn tx(&mut self, burst: &mut Burst<OwnedFrame>) -> usize {
        self.tx_lane(0, burst)
    }

    fn alloc(&mut self, into: &mut Burst<OwnedFrame>, count: usize) {
        for _ in 0..count.min(self.spare) {
            self.spare -= 1;
            into.push(OwnedFrame::new());
        }
    }

    fn free(&mut self, burst: &mut Burst<OwnedFrame>) {
        self.freed += burst.drain(..).count();
    }

    fn room(&mut self) -> usize {
        self.room
    }

    fn stats(&self) -> PortStats {
        PortStats::default()
    }
}

impl Lanes for Sink {
    fn lanes(&self) -> usize {
        LANES
    }

    fn tx_lane(&mut self, lane: usize, burst: &mut Burst<OwnedFrame>) -> usize {
        let accepted = burst.len().min(self.room);
        self.room -= accepted;
        for frame in burst.drain(..accepted) {
            self.arrived.push((lane, frame.bytes().to_vec()));
        }
        self.free(burst);
        accepted
    }

    fn room_lane(&mut self, _lane: usize) -> usize {
        self.room
    }
}

fn sink() -> Sink {
    Sink { spare: usize::MAX, room: usize::MAX, ..Sink::default() }
}

/// Frame number `number`: UDP and TCP in turn, the number in the payload.
fn packet(number: u32) -> Vec<u8> {
    let ip = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([100, 64, 0, 1], [198, 18, 0, 1], 64);
    let mut bytes = Vec::new();
    let payload = [number.to_be_bytes(); 4].concat();
    if number.is_multiple_of(2) {
        ip.udp(1024, 53).write(&mut bytes, &payload).unwrap();
    } else {
        ip.tcp(1024, 80, number, 512).write(&mut bytes, &payload).unwrap();
    }
    bytes
}

fn frame(bytes: &[u8]) -> OwnedFrame {
    let mut frame = OwnedFrame::new();
    frame.set_len(bytes.len());
    frame.bytes_mut().copy_from_slice(bytes);
    frame
}

/// Number of a frame whose payload is intact.
fn number(bytes: &[u8]) -> u32 {
    let [.., a, b, c, d] = bytes else { panic!("short frame") };
    u32::from_be_bytes([*a, *b, *c, *d])
}

fn numbers(sink: &Sink) -> Vec<u32> {
    sink.arrived.iter().map(|(_, bytes)| number(bytes)).collect()
}

/// Sends frames 0..count to lane 0, in bursts, and returns how many were accepted.
fn send(port: &mut Fault<Sink>, count: u32, per_burst: usize) -> usize {
    let mut accepted = 0;
    let all: Vec<u32> = (0..count).collect();
    for some in all.chunks(per_burst) {
        let mut burst = some.iter().map(|&number| frame(&packet(number))).collect();
        accepted += port.tx(&mut burst);
        assert!(burst.is_empty(), "a burst is left empty");
    }
    accepted
}

fn exactly(numbers: &[u64]) -> Option<Rate> {
    Some(Rate::Exactly(numbers.to_vec()))
}

fn one_in(count: u32) -> Option<Rate> {
    NonZeroU32::new(count).map(Rate::OneIn)
}

/// Whether IPv4 and transport checksum are right, and the tuple.
fn inspect(bytes: &[u8]) -> (bool, [u8; 4], u16) {
    let sliced = SlicedPacket::from_ethernet(bytes).unwrap();
    let Some(NetSlice::Ipv4(ip)) = &sliced.net else { panic!("no IPv4") };
    let header = ip.header().to_header();
    let ip_right = header.header_checksum == header.calc_header_checksum();
    let (right, port) = match sliced.transport.as_ref().unwrap() {
        TransportSlice::Udp(udp) => {
            let expected = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
            (udp.checksum() == expected, udp.source_port())
        }
        TransportSlice::Tcp(tcp) => {
            let expected = tcp.calc_checksum_ipv4(header.source, header.destination).unwrap();
            (tcp.checksum() == expected, tcp.source_port())
        }
        other => panic!("unexpected {other:?}"),
    };
    (ip_right && right, header.destination, port)
}

#[test]
fn an_empty_plan_passes_everything() {
    let mut port = Fault::new(sink(), &FaultPlan::default());
    assert_eq!(send(&mut port, 100, BURST), 100);
    assert_eq!(numbers(port.inner()), (0..100).collect::<Vec<_>>());
    assert_eq!(port.counts(), FaultCounts::default());
}

#[test]
fn dropped_frames_are_those_named_and_are_freed() {
    let plan = FaultPlan { drop: exactly(&[40, 3, 3, 99]), ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    assert_eq!(send(&mut port, 50, 7), 50);
    assert_eq!((port.counts().dropped, port.inner().freed), (2, 2));
    let expected: Vec<u32> = (0..50).filter(|n| ![3, 40].contains(n)).collect();
    assert_eq!(numbers(port.inner()), expected);
}

#[test]
fn duplicates_are_copies_and_need_a_buffer() {
    let plan = FaultPlan { duplicate: exactly(&[0, 31, 32]), ..Default::default() };
    let mut port = Fault::new(Sink { spare: 2, ..sink() }, &plan);
    assert_eq!(send(&mut port, 33, BURST), 33);
    assert_eq!((port.counts().duplicated, port.counts().skipped), (2, 1));
    let arrived = &port.inner().arrived;
    assert_eq!((arrived.len(), &arrived[0], &arrived[32]), (35, &arrived[1], &arrived[33]));
}

#[test]
fn delayed_frames_are_passed_by_as_many_as_planned() {
    let plan = FaultPlan { delay: exactly(&[1, 2]), delay_frames: 3, ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    send(&mut port, 5, 2);
    assert_eq!((numbers(port.inner()), port.held()), (vec![0, 3, 4, 1], 1));
    port.flush();
    assert_eq!((numbers(port.inner()), port.held()), (vec![0, 3, 4, 1, 2], 0));
}

#[test]
fn a_full_delay_line_skips() {
    let plan = FaultPlan { delay: one_in(1), delay_frames: 10_000, ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    let count = HELD_MAX as u32 + 20;
    send(&mut port, count, BURST);
    assert_eq!((port.counts().delayed, port.counts().skipped), (HELD_MAX as u64, 20));
    assert_eq!((port.held(), port.inner().arrived.len()), (HELD_MAX, 20));
    port.flush();
    assert_eq!(port.inner().arrived.len(), count as usize);
}

#[test]
fn reordered_frames_change_places_within_their_lane() {
    let plan = FaultPlan { reorder: exactly(&[0, 3, 5]), ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    send(&mut port, 5, 4);
    assert_eq!(numbers(port.inner()), [1, 0, 2, 4, 3]);
    for (lane, number) in [(1, 5), (2, 6), (1, 7)] {
        port.tx_lane(lane, &mut [frame(&packet(number))].into_iter().collect());
    }
    assert_eq!(numbers(port.inner())[5..], [6, 7, 5]);
    assert_eq!(port.inner().arrived[7].0, 1);
    assert_eq!(port.counts().reordered, 3);
}

#[test]
fn corruption_flips_one_bit_that_a_checksum_sees() {
    let plan = FaultPlan { seed: 5, corrupt: one_in(1), ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    send(&mut port, 400, BURST);
    assert_eq!(port.counts().corrupted, 400);
    let mut touched = [false; 70];
    for (number, (_, bytes)) in port.inner().arrived.iter().enumerate() {
        let whole = packet(number as u32);
        let changed: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != bytes[at]).collect();
        assert_eq!(changed.len(), 1, "frame {number}");
        let at = changed[0];
        assert!(at >= 14 && (whole[at] ^ bytes[at]).is_power_of_two());
        touched[at] = true;
    }
    assert!(touched[14..34].contains(&true) && touched[54..].contains(&true));
}

#[test]
fn corruption_spares_the_padding() {
    let plan = FaultPlan { corrupt: one_in(1), ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    let mut short = Vec::new();
    let ip = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    ip.udp(1, 2).write(&mut short, &[]).unwrap();
    short.resize(60, 0);
    for _ in 0..300 {
        port.tx(&mut [frame(&short)].into_iter().collect());
    }
    assert_eq!(port.counts().corrupted, 300);
    assert!(port.inner().arrived.iter().all(|(_, bytes)| bytes[42..] == [0; 18]));
    port.tx(&mut [frame(&short[..14])].into_iter().collect());
    assert_eq!(port.counts().skipped, 1, "nothing behind the Ethernet header");
}

#[test]
fn wrong_translations_have_right_checksums() {
    let plan = FaultPlan {
        mistranslate: exactly(&[0, 1]),
        misdeliver: exactly(&[2, 3]),
        ..Default::default()
    };
    let mut port = Fault::new(sink(), &plan);
    send(&mut port, 6, BURST);
    let (home, neighbour) = ([198, 18, 0, 1], [198, 18, 0, 0]);
    let expected = [(home, 1025), (home, 1025), (neighbour, 1024), (neighbour, 1024), (home, 1024)];
    for ((_, bytes), (destination, port)) in port.inner().arrived.iter().zip(expected) {
        assert_eq!(inspect(bytes), (true, destination, port));
    }
    assert_eq!((port.counts().mistranslated, port.counts().misdelivered), (2, 2));
}

#[test]
fn misrouted_frames_take_the_next_lane() {
    let plan = FaultPlan { misroute: exactly(&[1, 2]), ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    port.tx_lane(2, &mut [0, 1].map(|n| frame(&packet(n))).into_iter().collect());
    port.tx_lane(0, &mut [2, 3].map(|n| frame(&packet(n))).into_iter().collect());
    let lanes: Vec<(usize, u32)> =
        port.inner().arrived.iter().map(|(lane, bytes)| (*lane, number(bytes))).collect();
    assert_eq!(lanes, [(2, 0), (0, 1), (1, 2), (0, 3)]);
    assert_eq!(port.counts().misrouted, 2);
}

#[test]
fn other_frames_pass_a_plan_for_flows() {
    let mut arp = vec![0; 60];
    arp[12..14].copy_from_slice(&[8, 6]);
    for (only_flows, dropped) in [(true, 1), (false, 2)] {
        let plan = FaultPlan { only_flows, drop: one_in(1), ..Default::default() };
        let mut port = Fault::new(sink(), &plan);
        port.tx(&mut [frame(&arp), frame(&packet(0))].into_iter().collect());
        assert_eq!((port.counts().dropped, port.counts().eligible), (dropped, dropped));
    }
    let plan = FaultPlan { mistranslate: one_in(1), ..Default::default() };
    let mut port = Fault::new(sink(), &plan);
    port.tx(&mut [frame(&arp)].into_iter().collect());
    assert_eq!((port.counts().mistranslated, port.counts().skipped), (0, 1));
    assert_eq!(port.inner().arrived[0].1, arp);
}

#[test]
fn refusals_of_the_wrapped_port_are_reported() {
    let plan = FaultPlan { drop: exactly(&[0]), ..Default::default() };
    let mut port = Fault::new(Sink { room: 5, ..sink() }, &plan);
    assert_eq!(send(&mut port, 10, BURST), 6, "five sent, one lost on the way");
    port.inner().room = 10;
    assert_eq!(send(&mut port, 10, BURST), 10, "earlier refusals are not held against it");
}

#[test]
fn the_hits_of_one_kind_do_not_depend_on_the_others() {
    let arrived = |plan: &FaultPlan| {
        let mut port = Fault::new(sink(), plan);
        send(&mut port, 2000, BURST);
        numbers(port.inner())
    };
    let alone = FaultPlan { seed: 1, drop: one_in(10), ..Default::default() };
    let both = FaultPlan { corrupt: one_in(10), ..alone.clone() };
    let other = FaultPlan { seed: 2, ..alone.clone() };
    let lost = arrived(&alone);
    assert!((1750..1850).contains(&lost.len()), "{}", lost.len());
    assert_eq!(arrived(&alone), lost);
    assert_eq!(arrived(&both).len(), lost.len());
    assert_ne!(arrived(&other), lost);
}

#[test]
fn a_plan_is_read_from_text() {
    let plan: FaultPlan =
        toml::from_str("seed = 7\ndrop = { one-in = 1000 }\nmisroute = { exactly = [1, 2] }\n")
            .unwrap();
    let expected =
        FaultPlan { seed: 7, drop: one_in(1000), misroute: exactly(&[1, 2]), ..Default::default() };
    assert_eq!(plan, expected);
    for bad in ["drops = { one-in = 3 }", "drop = { one-in = 0 }", "drop = { never = 1 }"] {
        assert!(toml::from_str::<FaultPlan>(bad).is_err(), "{bad}");
    }
}

proptest! {
    /// Sent + duplicated - dropped = arrived + refused + held, whatever happens.
    #[test]
    fn frames_are_conserved(seed in any::<u64>(), rates in any::<[Option<u8>; 8]>(),
                            delay_frames in 0..80_u32, room in 0..500_usize,
                            per_burst in 1..=BURST) {
        let [drop, duplicate, delay, reorder, corrupt, mistranslate, misdeliver, misroute] =
            rates.map(|rate| one_in(u32::from(rate?) % 20));
        let plan = FaultPlan {
            seed, only_flows: false, drop, duplicate, delay, delay_frames, reorder, corrupt,
            mistranslate, misdeliver, misroute,
        };
        let mut port = Fault::new(Sink { room, spare: 40, ..sink() }, &plan);
        send(&mut port, 300, per_burst);
        let (counts, held) = (port.counts(), port.held() as u64);
        let ended = |sink: &Sink| (sink.arrived.len() + sink.freed) as u64;
        prop_assert_eq!(ended(port.inner()) + held, 300 + counts.duplicated);
        prop_assert!(port.inner().freed as u64 >= counts.dropped);
        port.flush();
        prop_assert_eq!((ended(port.inner()), port.held()), (300 + counts.duplicated, 0));
    }
}
