//! Datagrams in fragments, both families and both ways: in order, shuffled, overlapping, of one
//! another's identification, with time between. What comes in order must pass, and be the datagram
//! when it is put together; what comes otherwise must leave the bounds as they are.

#![no_main]

use arbitrary::Arbitrary;
use dataplane::clock::Nanos;
use etherparse::{EtherType, IpFragOffset, UdpHeader};
use krono_fuzz::oracle::{Ipv4, checksum, residue};
use krono_fuzz::packet::{self, Packet, Protocol, framed, remote, subscriber};
use krono_fuzz::{Core, Fate};
use krononat::config::Filtering;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    datagrams: [Datagram; 3],
    moves: Vec<Move>,
}

#[derive(Arbitrary, Debug)]
struct Datagram {
    six: bool,
    outbound: bool,
    protocol: Protocol,
    subscriber: u8,
    id: u8,
    ttl: u8,
    option_words: u8,
    payload: u16,
}

#[derive(Arbitrary, Debug)]
enum Move {
    /// All fragments, of so many units of eight bytes, in order.
    InOrder {
        datagram: u8,
        units: u8,
    },
    /// All fragments, so many places further.
    Rotated {
        datagram: u8,
        units: u8,
        by: u8,
    },
    /// One piece, from one unit on, of so many bytes.
    Piece {
        datagram: u8,
        at: u16,
        len: u8,
        more: bool,
    },
    /// Many first fragments of other datagrams.
    Crowd {
        datagram: u8,
        count: u8,
    },
    Wait {
        log2_ns: u8,
    },
}

/// A datagram as it is sent, whole.
struct Whole {
    six: bool,
    outbound: bool,
    packet: Packet,
    /// What follows the header, or of IPv6 the fragment header.
    body: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let mut core = Core::new(Filtering::AddressAndPortDependent);
    let wholes: Vec<Whole> = input.datagrams.iter().map(|it| whole(&mut core, it)).collect();
    for step in input.moves.iter().take(48) {
        play(&mut core, &wholes, step);
    }
    core.finish();
});

/// The datagram, whose connection is opened.
fn whole(core: &mut Core, datagram: &Datagram) -> Whole {
    let protocol = if datagram.six { Protocol::Udp } else { datagram.protocol };
    let port = if protocol == Protocol::Echo { 0 } else { 443 };
    let from = subscriber(datagram.subscriber % 4, 5000);
    let mut packet = Packet::new(protocol, from, remote(1, port));
    let body = |packet: &Packet| match datagram.six {
        true => udp6(packet, datagram.outbound),
        false => packet.transport(),
    };
    let fate = match datagram.six {
        true => {
            let [from, to] = ends6(&packet, true);
            core.frame(&packet::frame6(from, to, 64, 17, &udp6(&packet, true)))
        }
        false => core.frame(&packet.frame()),
    };
    assert!(fate.is_forwarded(), "{fate:?}");
    if !datagram.outbound && !datagram.six {
        packet = packet.answer(&fate.sent).expect("an external end");
    }
    packet.id = u16::from(datagram.id % 4);
    packet.ttl = datagram.ttl.max(2);
    packet.option_words = datagram.option_words % 11;
    packet.payload = (0..16 + datagram.payload % 1400).map(|byte| byte as u8).collect();
    let body = body(&packet);
    Whole { six: datagram.six, outbound: datagram.outbound, packet, body }
}

fn ends6(packet: &Packet, outbound: bool) -> [std::net::Ipv6Addr; 2] {
    let inside = packet::inside6(packet.from.0.octets()[3]);
    let outside = packet::outside6(1);
    if outbound { [inside, outside] } else { [outside, inside] }
}

fn udp6(packet: &Packet, outbound: bool) -> Vec<u8> {
    let ports = if outbound { [5000_u16, 443] } else { [443, 5000] };
    let len = (8 + packet.payload.len()) as u16;
    let [source_port, destination_port] = ports;
    let udp = UdpHeader { source_port, destination_port, length: len, checksum: 0 };
    let mut bytes = [&udp.to_bytes()[..], &packet.payload].concat();
    let [from, to] = ends6(packet, outbound).map(|address| address.octets());
    let check = checksum(&[&from, &to, &len.to_be_bytes(), &[0, 17], &bytes]);
    bytes[6..8].copy_from_slice(&check);
    bytes
}

impl Whole {
    /// The frame of the bytes `at..at + len`, as far as they are there.
    fn fragment(&self, at: usize, len: usize, more: bool) -> Vec<u8> {
        let end = self.body.len().min(at + len);
        let data = &self.body[at.min(end)..end];
        if self.six {
            let place = (at as u16 & !7) | u16::from(more);
            let id = u32::from(self.packet.id).to_be_bytes();
            let head = [&[17, 0], &place.to_be_bytes()[..], &id].concat();
            let [from, to] = ends6(&self.packet, self.outbound);
            return packet::frame6(from, to, self.packet.ttl, 44, &[&head, data].concat());
        }
        let mut ip = self.packet.header(data.len());
        ip.more_fragments = more;
        ip.fragment_offset = IpFragOffset::try_new(at as u16 / 8 & 0x1fff).expect("13 bits");
        ip.header_checksum = ip.calc_header_checksum();
        framed(EtherType::IPV4, &[&ip.to_bytes()[..], data].concat())
    }

    /// All fragments of `units` times eight bytes; the first holds a whole header.
    fn fragments(&self, units: u8) -> Vec<Vec<u8>> {
        let size = 8 * usize::from(units % 64).max(3);
        let starts = (0..self.body.len()).step_by(size);
        starts.map(|at| self.fragment(at, size, at + size < self.body.len())).collect()
    }
}

fn play(core: &mut Core, wholes: &[Whole], step: &Move) {
    let whole = |number: u8| &wholes[usize::from(number) % wholes.len()];
    match *step {
        Move::InOrder { datagram, units } => {
            let whole = whole(datagram);
            let frames = whole.fragments(units);
            // Its connection may have ended meanwhile; what comes from inside opens it again.
            let open = whole.outbound || core.now().0 < 61_000_000_000;
            let fates: Vec<Fate> = frames.chunks(32).flat_map(|them| core.burst(them)).collect();
            if open {
                assert!(fates.iter().all(Fate::is_forwarded), "{fates:?}");
                together(whole, &fates);
            }
        }
        Move::Rotated { datagram, units, by } => {
            let mut frames = whole(datagram).fragments(units);
            let by = usize::from(by) % frames.len();
            frames.rotate_left(by);
            frames.chunks(32).for_each(|them| drop(core.burst(them)));
        }
        Move::Piece { datagram, at, len, more } => {
            let frame = whole(datagram).fragment(8 * usize::from(at), usize::from(len), more);
            core.frame(&frame);
        }
        Move::Crowd { datagram, count } => {
            let Whole { six, outbound, packet, body } = whole(datagram);
            for id in 0..u16::from(count) {
                let packet = Packet { id: 1000 + id, ..packet.clone() };
                let other = Whole { six: *six, outbound: *outbound, packet, body: body.clone() };
                core.frame(&other.fragment(0, 24, true));
            }
        }
        Move::Wait { log2_ns } => core.wait(Nanos(1 << (log2_ns % 37)), |_| {}),
    }
}

/// The fragments that were sent are a datagram whose checksum is right.
fn together(whole: &Whole, fates: &[Fate]) {
    if whole.six {
        return;
    }
    let parts: Vec<Ipv4> =
        fates.iter().map(|fate| Ipv4::read(&fate.sent[14..]).expect("a datagram")).collect();
    let id = &parts[0].header[4..6];
    assert!(parts.iter().all(|part| &part.header[4..6] == id), "one identification");
    let body: Vec<u8> = parts.iter().flat_map(|part| part.payload.to_vec()).collect();
    assert_eq!(body.len(), whole.body.len());
    let len = (body.len() as u16).to_be_bytes();
    let left = match parts[0].protocol() {
        1 => residue(&[&body]),
        protocol => residue(&[&parts[0].header[12..20], &[0, protocol], &len, &body]),
    };
    assert_eq!(left, 0, "transport checksum of the whole");
}
