//! Any bytes as a history of frames, and back: the input of the `frame` target and its seeds.
//!
//! A record is a byte of [`flag`]s, a byte for the time that passes before the frame, two for its
//! length, and the frame; a length beyond the end takes what is there. Flags repair what a mutation
//! nearly always breaks, so that what is behind a checksum is reached.

use crate::bench::{CORE, Fate};
use crate::oracle::{ICMP, ICMPV6, Ipv4, TCP, UDP, checksum, is_external, is_subscriber};
use dataplane::clock::Nanos;

/// What is done to a frame before it is sent.
pub mod flag {
    /// It is addressed to the core's station.
    pub const STATION: u8 = 1;
    /// Its checksums become right.
    pub const MEND: u8 = 2;
    /// It becomes an answer to the last IPv4 packet that was forwarded outbound.
    pub const ANSWER: u8 = 4;
    /// It arrives together with the next one.
    pub const TOGETHER: u8 = 8;
}

/// Longest frame of a record.
const FRAME_MAX: usize = 2048;

/// A frame, and what is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// [`flag`]s.
    pub flags: u8,
    /// Zero, or the time before the frame as a power of two: 2^36 ns is 69 s.
    pub wait: u8,
    /// The frame.
    pub frame: Vec<u8>,
}

impl Record {
    /// Time that passes before the frame.
    pub fn wait(&self) -> Nanos {
        Nanos(if self.wait == 0 { 0 } else { 1 << (self.wait % 37) })
    }

    /// The bytes of the record.
    pub fn bytes(&self) -> Vec<u8> {
        let len = (self.frame.len() as u16).to_le_bytes();
        [&[self.flags, self.wait, len[0], len[1]], &self.frame[..]].concat()
    }
}

/// The records that `bytes` are.
pub fn read(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let [flags, wait, low, high, rest @ ..] = bytes {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        let (frame, rest) = rest.split_at(len.min(FRAME_MAX).min(rest.len()));
        records.push(Record { flags: *flags, wait: *wait, frame: frame.to_vec() });
        bytes = rest;
    }
    records
}

/// The last packet forwarded outbound: whom an answer goes to, and comes from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last {
    /// Addresses as they left: external, remote.
    addresses: [[u8; 4]; 2],
    /// Ports as they left; the identifier of an echo is both.
    ports: [[u8; 2]; 2],
    protocol: u8,
}

impl Last {
    /// Takes note of a fate.
    pub fn see(&mut self, fate: &Fate) {
        let datagram = fate.sent.get(14..).and_then(Ipv4::read);
        let Some(datagram) = datagram.filter(|_| fate.is_forwarded()) else { return };
        let ports = |a: usize, b: usize| {
            [a, b].map(|at| datagram.payload.get(at..at + 2).map_or([0; 2], |it| [it[0], it[1]]))
        };
        if is_external(datagram.ends()[0]) && datagram.offset() == 0 {
            self.addresses = datagram.ends();
            self.protocol = datagram.protocol();
            self.ports = if self.protocol == ICMP { ports(4, 4) } else { ports(0, 2) };
        }
    }

    fn answer(&self, frame: &mut [u8]) {
        let Some(header_len) = frame.get(14..).and_then(Ipv4::read).map(|it| it.header.len())
        else {
            return;
        };
        let ([to, from], [to_port, from_port]) = (self.addresses, self.ports);
        frame[26..30].copy_from_slice(&from);
        frame[30..34].copy_from_slice(&to);
        let transport = 14 + header_len;
        let places = match (self.protocol, frame[23]) {
            (ICMP, ICMP) => vec![(4, to_port)],
            (UDP, UDP) | (TCP, TCP) => vec![(0, from_port), (2, to_port)],
            // An error, perhaps, about what it answers.
            (_, ICMP) => vec![(28, to_port), (30, from_port)],
            _ => Vec::new(),
        };
        for (at, port) in places {
            if let Some(field) = frame.get_mut(transport + at..transport + at + 2) {
                field.copy_from_slice(&port);
            }
        }
    }
}

/// The frame of a record after `last`.
pub fn frame(record: &Record, last: &Last) -> Vec<u8> {
    let mut frame = record.frame.clone();
    if record.flags & flag::STATION != 0 && frame.len() >= 6 {
        frame[..6].copy_from_slice(&CORE);
    }
    if record.flags & flag::ANSWER != 0 && !is_subscriber(last.addresses[1]) {
        last.answer(&mut frame);
    }
    if record.flags & flag::MEND != 0 {
        mend(&mut frame);
    }
    frame
}

/// Gives a frame the checksums that belong there, as far as it is whole.
pub fn mend(frame: &mut [u8]) {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => mend4(frame),
        Some([0x86, 0xdd]) if frame.len() > 60 && frame[20] == ICMPV6 => {
            frame[56..58].fill(0);
            let len = frame.len() as u32 - 54;
            let (ends, message) = (&frame[22..54], &frame[54..]);
            let check = checksum(&[ends, &len.to_be_bytes(), &[0, ICMPV6], message]);
            frame[56..58].copy_from_slice(&check);
        }
        _ => {}
    }
}

fn mend4(frame: &mut [u8]) {
    let Some(datagram) = Ipv4::read(&frame[14..]) else { return };
    let (at, end) =
        (14 + datagram.header.len(), 14 + datagram.header.len() + datagram.payload.len());
    let (protocol, whole) = (datagram.protocol(), datagram.header[6] & 0x3f == 0);
    let check_at = match protocol {
        UDP => 6,
        TCP => 16,
        _ => 2,
    };
    let (header, rest) = frame.split_at_mut(at);
    let payload = &mut rest[..end - at];
    if whole && payload.len() >= check_at + 2 {
        if protocol == ICMP && payload.len() >= 28 {
            let quoted = 8 + 4 * usize::from(payload[8] & 15).max(5);
            payload.get_mut(8..quoted).map(mend_header);
        }
        payload[check_at..check_at + 2].fill(0);
        let len = (payload.len() as u16).to_be_bytes();
        let check = match protocol {
            UDP | TCP => checksum(&[&header[26..34], &[0, protocol], &len, payload]),
            _ => checksum(&[payload]),
        };
        payload[check_at..check_at + 2].copy_from_slice(&check);
    }
    mend_header(&mut header[14..]);
}

fn mend_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let check = checksum(&[header]);
    header[10..12].copy_from_slice(&check);
}
