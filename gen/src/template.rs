//! Frames as bytes: written into the first 60 bytes of a buffer by fixed offsets.
//!
//! Payload beyond these 60 bytes is never touched: buffers are zero there from the day their arena
//! was made, and zero adds nothing to a checksum, so the checksum of header and stamp is that of
//! the whole segment. What does not change from packet to packet is prepared once: Ethernet and
//! first IPv4 bytes per next hop, constant words of the checksums as numbers.

use crate::segment::Numbers;
use crate::stamp::{TCP_STAMP, UDP_STAMP};
use crate::sum::{add, fold};
use dataplane::frame::HEAD;
use dataplane::identity::Mac;

/// Bytes of the Ethernet header.
pub const ETHERNET: usize = 14;
/// Bytes of an IPv4 header without options.
pub const IPV4: usize = 20;
/// Bytes of a TCP header without options.
pub const TCP: usize = 20;
/// Total length of a segment without payload.
pub const CONTROL_TOTAL: u16 = (IPV4 + TCP) as u16;

pub(crate) const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;
const TTL: u8 = 64;
const DONT_FRAGMENT: u16 = 0x4000;
/// TCP header length of five words, in place of the upper byte of the flags' word.
const TCP_OFFSET: u16 = 0x5000;

const _: () = assert!(ETHERNET + IPV4 + TCP + TCP_STAMP == HEAD);
const _: () = assert!(ETHERNET + IPV4 + 8 + UDP_STAMP <= HEAD);

/// The first 16 bytes of every frame to one next hop.
#[derive(Clone, Copy, Debug)]
pub struct Hop([u8; 16]);

impl Hop {
    /// Frames from `own` to `gateway`.
    pub fn new(gateway: Mac, own: Mac) -> Hop {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&gateway.0);
        bytes[6..12].copy_from_slice(&own.0);
        bytes[12..].copy_from_slice(&[0x08, 0x00, 0x45, 0x00]);
        Hop(bytes)
    }
}

/// Where a packet comes from and goes to, in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
}

impl Ends {
    /// The way back.
    #[inline]
    pub fn reversed(self) -> Ends {
        Ends {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }

    /// Both ports as they stand in the header.
    #[inline]
    fn ports(self) -> u32 {
        u32::from(self.source_port) << 16 | u32::from(self.destination_port)
    }
}

#[inline]
fn put<const N: usize>(head: &mut [u8; HEAD], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

/// Writes Ethernet, IPv4 and ports; returns the sum of addresses and ports for the transport.
#[inline]
fn put_ip(head: &mut [u8; HEAD], hop: &Hop, ends: Ends, total: u16, protocol: u8) -> u64 {
    let life = u16::from_be_bytes([TTL, protocol]);
    let addresses = u64::from(ends.source) + u64::from(ends.destination);
    let constant = 0x4500 + u64::from(DONT_FRAGMENT);
    let check = !fold(constant + u64::from(life) + u64::from(total) + addresses);
    let word = u64::from(total) << 48 | u64::from(DONT_FRAGMENT) << 16 | u64::from(life);
    put(head, 0, hop.0);
    put(head, 16, word.to_be_bytes());
    put(head, 24, check.to_be_bytes());
    put(head, 26, ends.source.to_be_bytes());
    put(head, 30, ends.destination.to_be_bytes());
    put(head, 34, ends.ports().to_be_bytes());
    addresses + u64::from(ends.ports())
}

/// Writes a UDP datagram with its stamp, for a buffer of `length` bytes.
#[inline]
pub fn put_udp(head: &mut [u8; HEAD], hop: &Hop, ends: Ends, length: u16, stamp: (u64, u64)) {
    let total = length - ETHERNET as u16;
    let datagram = total - IPV4 as u16;
    let sum = put_ip(head, hop, ends, total, PROTOCOL_UDP);
    // The datagram's length stands in the pseudo-header and in the header.
    let sum = sum + u64::from(PROTOCOL_UDP) + 2 * u64::from(datagram);
    let check = match !fold(add(add(stamp.0, stamp.1), sum)) {
        0 => 0xffff,
        check => check,
    };
    put(head, 38, datagram.to_be_bytes());
    put(head, 40, check.to_be_bytes());
    put(head, 42, stamp.0.to_be_bytes());
    put(head, 50, stamp.1.to_be_bytes());
    put(head, 58, [0; 2]);
}

/// Writes a TCP segment. `total` is its IPv4 length; `stamp` the first six bytes of the payload, or
/// zero for a segment without.
#[inline]
pub fn put_tcp(
    head: &mut [u8; HEAD],
    hop: &Hop,
    ends: Ends,
    total: u16,
    numbers: Numbers,
    window: u16,
    stamp: u64,
) {
    let sum = put_ip(head, hop, ends, total, PROTOCOL_TCP);
    let control = TCP_OFFSET | u16::from(numbers.flags);
    let word = u32::from(control) << 16 | u32::from(window);
    let stamp = stamp & 0xffff_ffff_ffff;
    let sum = sum
        + u64::from(PROTOCOL_TCP)
        + u64::from(total - IPV4 as u16)
        + u64::from(numbers.seq)
        + u64::from(numbers.ack)
        + u64::from(word)
        + stamp;
    put(head, 38, numbers.seq.to_be_bytes());
    put(head, 42, numbers.ack.to_be_bytes());
    put(head, 46, word.to_be_bytes());
    // Checksum, no urgent pointer, and the upper half of the stamp; then the rest of the stamp.
    put(head, 50, (!fold(sum)).to_be_bytes());
    put(head, 52, stamp.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Segment;
    use crate::stamp::{Direction, Source, TcpStamp, window};
    use crate::stamp::{TrialId, UdpStamp};
    use crate::tuple::ConnectionId;
    use dataplane::worker::{CoreId, ServerId};
    use etherparse::{SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    fn ends() -> impl Strategy<Value = Ends> {
        any::<(u32, u32, u16, u16)>().prop_map(|(source, destination, source_port, port)| Ends {
            source,
            destination,
            source_port,
            destination_port: port,
        })
    }

    fn source() -> Source {
        Source::new(ServerId(1), CoreId(2)).expect("in range")
    }

    /// The frame as the wire sees it: head, then zeros.
    fn frame(head: [u8; HEAD], length: u16) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(length)];
        bytes[..HEAD].copy_from_slice(&head);
        bytes
    }

    /// Everything etherparse can say against an IPv4 packet and its transport checksum.
    fn verify(bytes: &[u8], ends: Ends) -> Result<(), TestCaseError> {
        let packet =
            SlicedPacket::from_ethernet(bytes).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else {
            return Err(TestCaseError::fail("no IPv4"));
        };
        let header = ip.header();
        prop_assert_eq!(header.to_header().calc_header_checksum(), header.header_checksum());
        prop_assert_eq!(u32::from(header.source_addr()), ends.source);
        prop_assert_eq!(u32::from(header.destination_addr()), ends.destination);
        prop_assert!(header.dont_fragment() && header.ttl() == 64);
        match packet.transport {
            Some(TransportSlice::Udp(udp)) => {
                let wanted = udp.to_header().calc_checksum_ipv4(&header.to_header(), udp.payload());
                prop_assert_eq!(wanted, Ok(udp.checksum()));
                prop_assert_eq!(
                    (udp.source_port(), udp.destination_port()),
                    (ends.source_port, ends.destination_port)
                );
            }
            Some(TransportSlice::Tcp(tcp)) => {
                let wanted = tcp.calc_checksum_ipv4(header.source(), header.destination());
                prop_assert_eq!(wanted, Ok(tcp.checksum()));
                prop_assert_eq!(
                    (tcp.source_port(), tcp.destination_port()),
                    (ends.source_port, ends.destination_port)
                );
            }
            _ => return Err(TestCaseError::fail("no transport")),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn datagrams_are_valid_for_an_independent_parser(
            ends in ends(), length in 60u16..1515, id in 0u32..1 << 28, sequence: u32, planned: u64
        ) {
            let stamp = UdpStamp { trial: TrialId(1), source: source(), id: ConnectionId(id),
                direction: Direction::Up, sequence, planned };
            let mut head = [0xee; HEAD];
            put_udp(&mut head, &Hop::new(Mac::of(2, 0, 1), Mac::of(1, 0, 1)), ends, length, stamp.pack());
            verify(&frame(head, length), ends)?;
        }

        #[test]
        fn segments_are_valid_for_an_independent_parser(
            ends in ends(), length in 60u16..1515, id in 0u32..1 << 28, sequence: u32, planned: u64, pick in 0usize..3
        ) {
            let (segment, total, stamped) = [
                (Segment::Syn, CONTROL_TOTAL, false),
                (Segment::FinAck, CONTROL_TOTAL, false),
                (Segment::Data(Direction::Down), length - ETHERNET as u16, true),
            ][pick];
            let numbers = segment.numbers(ConnectionId(id), source());
            let stamp = TcpStamp { sequence, planned }.pack(numbers.seq, numbers.ack);
            let mut head = [0xee; HEAD];
            let hop = Hop::new(Mac::of(2, 0, 1), Mac::of(1, 0, 1));
            let stamp = if stamped { stamp } else { 0 };
            put_tcp(&mut head, &hop, ends, total, numbers, window(TrialId(7), sequence), stamp);
            verify(&frame(head, if stamped { length } else { 60 }), ends)?;
        }
    }
}
