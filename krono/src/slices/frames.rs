//! Packets of connections known by number, and who their subscribers are.
//!
//! All follows by arithmetic from the plan, so that two programs given the same plan make the same
//! packets. Payload is zero and stays so, which adds nothing to a checksum.

use dataplane::frame::{FCS, Frame, SHORTEST};
use dataplane::identity::Mac;
use dataplane::wire::{Endpoint, checksum};
use std::net::Ipv4Addr;

/// First source port of a subscriber.
const FIRST_PORT: u32 = 32_768;
/// First address outside, of RFC 2544's block, and the service asked for.
const REMOTES: u32 = 0xc613_0000;
const REMOTE_PORT: u16 = 443;

/// Flags of TCP.
pub(super) const SYN: u8 = 0x02;
pub(super) const SYN_ACK: u8 = 0x12;
pub(super) const ACK: u8 = 0x10;

/// Protocol of a packet, TCP with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp(u8),
}

/// Who talks to whom: connections by number, consecutive ones of different subscribers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// First address of the subscribers, and how many there are.
    pub(super) first: u32,
    pub(super) subscribers: u32,
    /// Share of connections that are UDP, as a 32-bit fraction of 2³².
    pub(super) udp: u64,
}

impl Crowd {
    /// Inner end of a connection.
    pub(super) fn inside(self, number: u32) -> Endpoint {
        let port = FIRST_PORT + number / self.subscribers;
        Endpoint::new(self.first + number % self.subscribers, port as u16)
    }

    /// The other end.
    pub(super) fn remote(self, number: u32) -> Endpoint {
        Endpoint::new(REMOTES + (number & 255), REMOTE_PORT)
    }

    /// Whether it is UDP: no pattern that follows numbers or subscribers.
    pub(super) fn is_udp(self, number: u32) -> bool {
        let mixed = (number ^ number >> 15).wrapping_mul(0x2c1b_3c6d);
        u64::from((mixed ^ mixed >> 12).wrapping_mul(0x297a_2d39)) < self.udp
    }
}

/// Writes a packet of a frame size with FCS, checksums right.
pub(super) fn write(
    frame: &mut impl Frame,
    station: Mac,
    size: u16,
    from: Endpoint,
    to: Endpoint,
    protocol: Protocol,
) {
    let length = usize::from(size).saturating_sub(FCS).max(SHORTEST);
    frame.set_len(length);
    let total = (length - 14) as u16;
    let segment = total - 20;
    let head = frame.head_mut();
    head[..6].copy_from_slice(&station.0);
    head[6..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 8, 0]);
    let number = if protocol == Protocol::Udp { 17 } else { 6 };
    head[14..24].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, number]);
    head[16..18].copy_from_slice(&total.to_be_bytes());
    head[24..26].copy_from_slice(&[0, 0]);
    head[26..30].copy_from_slice(&from.address().to_be_bytes());
    head[30..34].copy_from_slice(&to.address().to_be_bytes());
    let check = checksum::ipv4_header(&head[14..34]);
    head[24..26].copy_from_slice(&check.to_be_bytes());
    head[34..36].copy_from_slice(&from.port().to_be_bytes());
    head[36..38].copy_from_slice(&to.port().to_be_bytes());
    head[38..60].copy_from_slice(&[0; 22]);
    let at = match protocol {
        Protocol::Udp => {
            head[38..40].copy_from_slice(&segment.to_be_bytes());
            40
        }
        Protocol::Tcp(flags) => {
            head[46..50].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
            50
        }
    };
    let pseudo = checksum::pseudo_header(
        Ipv4Addr::from(from.address()),
        Ipv4Addr::from(to.address()),
        number,
        segment,
    );
    // Zero would mean that there is none (RFC 768); for TCP the two are the same number.
    let check = match !checksum::fold(pseudo + checksum::sum(&head[34..60])) {
        0 => 0xffff,
        check => check,
    };
    head[at..at + 2].copy_from_slice(&u16::to_be_bytes(check));
}

/// Where a packet comes from.
pub(super) fn source(frame: &impl Frame) -> Endpoint {
    let head = frame.head();
    let [a, b, c, d] = [head[26], head[27], head[28], head[29]];
    Endpoint::of_bytes([a, b, c, d], [head[34], head[35]])
}

/// Fingerprint of frames in their order: FNV-1a over the length and the first 60 bytes of each, 64
/// bits wide. What is behind them is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Print(u64);

impl Default for Print {
    fn default() -> Print {
        Print(0xcbf2_9ce4_8422_2325)
    }
}

impl Print {
    pub(super) fn add(&mut self, frame: &impl Frame) {
        let length = (frame.len() as u16).to_be_bytes();
        for &byte in length.iter().chain(frame.head()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}
