//! Frames as bytes: written into the first 60 bytes of a buffer by fixed offsets.
//!
//! Payload beyond these 60 bytes is never touched: buffers are zero there from the day their arena
//! was made, and zero adds nothing to a checksum, so the checksum of header and stamp is that of
//! the whole segment. What does not change from packet to packet is prepared once: Ethernet and
//! first IPv4 bytes per next hop, constant words as numbers. Sums are over words as the machine
//! loads and stores them, so that none is turned around for a sum alone.

use crate::ends::Ends;
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
pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
/// TCP header length of five words, in place of the upper byte of the flags' word.
const TCP_OFFSET: u16 = 0x5000;

/// Version, header length and type of service of every packet, as summed.
pub(crate) const VERSION: u64 = 0x4500u16.to_be() as u64;

/// The eight bytes from the total length on, but for that: no identification, not to be fragmented,
/// time to live, protocol.
pub(crate) const fn fixed(protocol: u8) -> u64 {
    let [high, low] = DONT_FRAGMENT.to_be_bytes();
    u64::from_ne_bytes([0, 0, 0, 0, high, low, TTL, protocol])
}

/// The time to live among these bytes.
pub(crate) const TTL_MASK: u64 = u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0xff, 0]);

/// The total length among these bytes.
#[inline]
pub(crate) fn first_word(total: u16) -> u64 {
    let [high, low] = total.to_be_bytes();
    u64::from_ne_bytes([high, low, 0, 0, 0, 0, 0, 0])
}

/// A word of 16 bits as it is stored.
#[inline]
pub(crate) fn word(value: u16) -> u64 {
    u64::from(value.to_be())
}

/// The sum of the words of [`fixed`].
#[inline]
pub(crate) fn fixed_sum(protocol: u8) -> u64 {
    word(DONT_FRAGMENT) + word(u16::from_be_bytes([TTL, protocol]))
}

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

#[inline]
fn put<const N: usize>(head: &mut [u8; HEAD], at: usize, bytes: [u8; N]) {
    head[at..at + N].copy_from_slice(&bytes);
}

/// Writes Ethernet, IPv4 and ports; returns the sum of addresses and ports for the transport.
#[inline]
fn put_ip(head: &mut [u8; HEAD], hop: &Hop, ends: Ends, total: u16, protocol: u8) -> u64 {
    let check = !fold(VERSION + fixed_sum(protocol) + word(total) + u64::from(ends.sum));
    put(head, 0, hop.0);
    put(head, 16, (first_word(total) | fixed(protocol)).to_ne_bytes());
    put(head, 24, check.to_ne_bytes());
    ends.write(head);
    u64::from(ends.sum) + u64::from(ends.ports)
}

/// Writes a UDP datagram with its stamp, for a buffer of `length` bytes.
#[inline]
pub fn put_udp(head: &mut [u8; HEAD], hop: &Hop, ends: Ends, length: u16, stamp: (u64, u64)) {
    let total = length - ETHERNET as u16;
    let datagram = total - IPV4 as u16;
    let stamp = (stamp.0.to_be(), stamp.1.to_be());
    let sum = put_ip(head, hop, ends, total, PROTOCOL_UDP);
    // The datagram's length stands in the pseudo-header and in the header.
    let sum = sum + word(u16::from(PROTOCOL_UDP)) + 2 * word(datagram);
    let check = match !fold(add(add(stamp.0, stamp.1), sum)) {
        0 => 0xffff,
        check => check,
    };
    put(head, 38, datagram.to_be_bytes());
    put(head, 40, check.to_ne_bytes());
    put(head, 42, stamp.0.to_ne_bytes());
    put(head, 50, stamp.1.to_ne_bytes());
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
    let flags = (u32::from(control) << 16 | u32::from(window)).to_be();
    // The upper half of the stamp's first word is the urgent pointer.
    let stamp = (stamp & 0xffff_ffff_ffff).to_be();
    let seq_ack = (u64::from(numbers.seq) << 32 | u64::from(numbers.ack)).to_be();
    let length = word(u16::from(PROTOCOL_TCP)) + word(total - IPV4 as u16);
    let sum = sum + length + u64::from(flags);
    put(head, 38, seq_ack.to_ne_bytes());
    put(head, 46, flags.to_ne_bytes());
    put(head, 50, (!fold(add(add(seq_ack, stamp), sum))).to_ne_bytes());
    put(head, 52, stamp.to_ne_bytes());
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
        any::<((u32, u16), (u32, u16))>()
            .prop_map(|(source, destination)| Ends::new(source, destination))
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
        let (source, destination) = (ends.source(), ends.destination());
        prop_assert_eq!(u32::from(header.source_addr()), source.0);
        prop_assert_eq!(u32::from(header.destination_addr()), destination.0);
        prop_assert!(header.dont_fragment() && header.ttl() == 64);
        match packet.transport {
            Some(TransportSlice::Udp(udp)) => {
                let wanted = udp.to_header().calc_checksum_ipv4(&header.to_header(), udp.payload());
                prop_assert_eq!(wanted, Ok(udp.checksum()));
                prop_assert_eq!(
                    (udp.source_port(), udp.destination_port()),
                    (source.1, destination.1)
                );
            }
            Some(TransportSlice::Tcp(tcp)) => {
                let wanted = tcp.calc_checksum_ipv4(header.source(), header.destination());
                prop_assert_eq!(wanted, Ok(tcp.checksum()));
                prop_assert_eq!(
                    (tcp.source_port(), tcp.destination_port()),
                    (source.1, destination.1)
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
