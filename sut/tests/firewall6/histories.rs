//! Random histories: each packet's fate as the model has it, alone or in a burst.

use crate::model::{Flow, Model, Timers};
use crate::rig::*;
use krononat::config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::SocketAddrV6;

const CONNECTIONS_MAX: usize = 30;
const GRE: u8 = 47;

#[derive(Clone, Debug)]
enum Step {
    Out(Flow, u8),
    In(Flow, u8),
    ErrorIn(Flow),
    ErrorOut(Flow),
    Wait(u64),
    Sweep,
}

fn flow() -> impl Strategy<Value = Flow> {
    let ends = (1..4_u16, 1..4_u16, select(vec![500_u16, 5000, 5001]), select(vec![53_u16, 443]));
    (ends, select(vec![UDP, UDP, TCP, TCP, TCP, ICMPV6, ESP, GRE])).prop_map(
        |((host, remote, inside_port, outside_port), protocol)| {
            let (inside_port, outside_port) = match protocol {
                UDP | TCP => (inside_port, outside_port),
                ICMPV6 => (inside_port, 0),
                _ => (0, 0),
            };
            let inside = at(&format!("[2001:2:0:1::{host}]:{inside_port}"));
            let outside = at(&format!("[2a00:1::{remote}]:{outside_port}"));
            Flow { protocol, inside, outside }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let flags = || select(vec![2_u8, 2, 18, 16, 16, 17, 4]);
    prop_oneof![
        8 => (flow(), flags()).prop_map(|(flow, flags)| Step::Out(flow, flags)),
        6 => (flow(), flags()).prop_map(|(flow, flags)| Step::In(flow, flags)),
        1 => flow().prop_map(Step::ErrorIn),
        1 => flow().prop_map(Step::ErrorOut),
        3 => select(vec![1_u64, 59, 60, 61, 239, 241, 299, 301, 3000]).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

fn sent(flow: &Flow, flags: u8, outbound: bool) -> Packet {
    let Flow { inside, outside, .. } = *flow;
    let (from, to): (SocketAddrV6, SocketAddrV6) =
        if outbound { (inside, outside) } else { (outside, inside) };
    match flow.protocol {
        UDP => udp(from, to),
        TCP => tcp(from, to, flags),
        ICMPV6 if outbound => ping(from, to),
        ICMPV6 => pong(from, to),
        protocol => packet(*from.ip(), *to.ip(), protocol, vec![3; 24]),
    }
}

fn timers() -> Timers {
    let timers = config::Timers::default();
    Timers {
        udp_ms: timers.udp_ms,
        icmp_ms: timers.icmp_ms,
        // RFC 6092 knows no shorter one (REC-35).
        tcp_half_open_ms: timers.tcp_transitory_ms,
        tcp_transitory_ms: timers.tcp_transitory_ms,
        tcp_established_ms: timers.tcp_established_ms,
    }
}

proptest! {
    #[test]
    fn every_packet_has_the_fate_the_model_expects(steps in vec(step(), 1..300)) {
        let mut rig = Rig::new(CONNECTIONS_MAX as u32);
        let mut model = Model::new(timers(), CONNECTIONS_MAX);
        let mut unswept = 0;
        for (index, step) in steps.into_iter().enumerate() {
            let now = rig.now.0;
            let (packet, expected) = match &step {
                Step::Out(flow, flags) => {
                    (sent(flow, *flags, true), model.outbound(*flow, *flags, now))
                }
                Step::In(flow, flags) => {
                    (sent(flow, *flags, false), model.inbound(*flow, *flags, now))
                }
                Step::ErrorIn(flow) => {
                    let about = sent(flow, 16, true);
                    (error(*flow.outside.ip(), (1, 0), &about), model.error(*flow, true, now))
                }
                Step::ErrorOut(flow) => {
                    let about = sent(flow, 16, false);
                    (error(*flow.inside.ip(), (2, 0), &about), model.error(*flow, false, now))
                }
                Step::Wait(seconds) => {
                    rig.wait(*seconds);
                    unswept += seconds;
                    // A deadline of 16 bits must be met by a sweep before it comes round again.
                    if unswept > 600 {
                        rig.sweep();
                        model.sweep(rig.now.0);
                        unswept = 0;
                    }
                    continue;
                }
                Step::Sweep => {
                    rig.sweep();
                    model.sweep(now);
                    unswept = 0;
                    prop_assert_eq!(rig.firewall.connections().len(), model.len());
                    continue;
                }
            };
            let fate = rig.process(&packet.bytes());
            prop_assert_eq!(fate.verdict, expected, "step {}: {:?}", index, step);
            if fate.verdict == "forwarded" {
                prop_assert_eq!(fate.sent, packet.routed());
            }
            let connections = rig.firewall.connections();
            prop_assert_eq!(connections.len(), model.len());
            prop_assert_eq!((connections.opened, connections.expired), (model.opened, model.expired));
        }
    }

    #[test]
    fn a_burst_has_the_fate_of_its_packets_one_by_one(
        bursts in vec(vec((flow(), any::<bool>(), select(vec![2_u8, 16, 18, 17]), 0..3_u8), 1..=32), 1..8)
    ) {
        let (mut alone, mut together) = (Rig::new(20), Rig::new(20));
        for burst in bursts {
            let frames = burst.iter().map(|(flow, outbound, flags, shape)| {
                let packet = sent(flow, *flags, *outbound);
                match shape {
                    0 => packet,
                    1 => packet.fragment(1, 0, 16),
                    _ => packet.fragment(1, 16, 24),
                }
            });
            let frames: Vec<Vec<u8>> = frames.map(|packet| packet.bytes()).collect();
            let expected: Vec<Fate> = frames.iter().map(|frame| alone.process(frame)).collect();
            prop_assert_eq!(together.process_together(&frames), expected);
        }
    }

    #[test]
    fn any_bytes_are_forwarded_answered_or_dropped(
        bytes in vec(any::<u8>(), 0..200), shape in 0..4_u8, flow in flow(), at in 14..120_usize
    ) {
        let mut rig = Rig::new(8);
        let mut frame = bytes.clone();
        if shape > 0 && frame.len() > 54 {
            frame[..6].copy_from_slice(&CORE);
            frame[14] = 0x60;
            let len = (frame.len() - 54) as u16;
            frame[18..20].copy_from_slice(&len.to_be_bytes());
            if shape > 1 {
                frame[22..38].copy_from_slice(&flow.inside.ip().octets());
                frame[38..54].copy_from_slice(&flow.outside.ip().octets());
            }
        }
        rig.process(&frame);
        // An error about nothing that was ever sent, and a good packet with a piece overwritten.
        rig.process(&icmp(*flow.outside.ip(), *flow.inside.ip(), (1, 0), [0; 4], &bytes).bytes());
        let mut frame = sent(&flow, 2, true).bytes();
        for (byte, value) in frame.iter_mut().skip(at).zip(&bytes) {
            *byte = *value;
        }
        rig.process(&frame);
    }
}
