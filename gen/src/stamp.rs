//! What a probe says about itself: 16 bytes in a UDP payload, 6 in a TCP one.
//!
//! The layouts are the subject of ADR 0006. A UDP stamp says it all:
//!
//! ```text
//! trial 8 · generator and core 12 · connection 28 · direction 1 · sequence 31 · planned 40 · check 8
//! ```
//!
//! A TCP segment of a 64-byte frame has 6 payload bytes, so the rest is in its header: the
//! connection in the client's initial sequence number, generator and core in the server's, the
//! trial and 7 bits of the sequence in the advertised window, and in the payload
//! `sequence 14 · planned 26 · check 8`. Control segments carry no payload. The receiver has sent
//! every packet itself, so it restores a shortened sequence number from its own send counter.
//! Planned instants count in 64 ns.

use crate::tuple::{ConnectionId, ID_BITS};
use dataplane::clock::Nanos;
use dataplane::worker::{CoreId, ServerId};

/// Nanoseconds of one tick of a planned instant, as a shift.
pub const TICK_SHIFT: u32 = 6;
/// Bits of the planned instant in a UDP stamp: 19.5 hours.
pub const UDP_TIME_BITS: u32 = 40;
/// Bits of the planned instant in a TCP stamp: 4.29 s, the oldest packet that can be told.
pub const TCP_TIME_BITS: u32 = 26;
/// Bits of the sequence in a UDP stamp.
pub const UDP_SEQUENCE_BITS: u32 = 31;
/// Bits of the sequence in a TCP data segment.
pub const TCP_SEQUENCE_BITS: u32 = 14;
/// Bits of the sequence in a TCP control segment.
pub const CONTROL_SEQUENCE_BITS: u32 = 7;

/// Bytes of a UDP stamp.
pub const UDP_STAMP: usize = 16;
/// Bytes of a TCP stamp.
pub const TCP_STAMP: usize = 6;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the subscriber to the Internet.
    Up = 0,
    /// From the Internet to the subscriber.
    Down = 1,
}

/// A core of a generator server, in 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u16);

impl Source {
    /// Servers and cores a source can name.
    pub const LIMIT: u16 = 64;

    /// The source of one core; `None` where one of the two is 64 or more.
    pub fn new(server: ServerId, core: CoreId) -> Option<Source> {
        (server.0 < Self::LIMIT && core.0 < Self::LIMIT).then_some(Source(server.0 << 6 | core.0))
    }

    /// As a number below 4096.
    pub fn number(self) -> u16 {
        self.0
    }
}

/// A trial, 1 to 255; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrialId(pub u8);

/// A planned instant in ticks of 64 ns.
#[inline]
pub fn ticks(instant: Nanos) -> u64 {
    instant.0 >> TICK_SHIFT
}

/// Ticks from `planned`, of which `bits` bits are known, to `now`.
#[inline]
pub fn age(now: u64, planned: u64, bits: u32) -> u64 {
    now.wrapping_sub(planned) & ((1 << bits) - 1)
}

/// The sequence number whose low `bits` bits are `low`, given that it is at most `sent`, the
/// last one sent, and less than 2^`bits` older.
#[inline]
pub fn restore(sent: u32, low: u32, bits: u32) -> u32 {
    sent.wrapping_sub(sent.wrapping_sub(low) & ((1 << bits) - 1))
}

/// Eight bits over 15 bytes, so that a damaged stamp is not believed.
///
/// One wrong bit is one wrong bit of the factor, and moves the product by the multiplier shifted:
/// as no eight bits in a row of it are equal, never by less than 2⁵⁶ either way, so it changes the
/// upper byte. That byte is inverted, so that a payload of zeros is no stamp.
#[inline]
fn check(a: u64, b: u64) -> u64 {
    !(a ^ b >> 8).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}

/// The stamp of a UDP probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpStamp {
    /// Trial the packet belongs to.
    pub trial: TrialId,
    /// Core that sent it.
    pub source: Source,
    /// Connection.
    pub id: ConnectionId,
    /// Direction.
    pub direction: Direction,
    /// Low 31 bits of the sequence number of this connection and direction.
    pub sequence: u32,
    /// Low 40 bits of the planned instant in ticks.
    pub planned: u64,
}

impl UdpStamp {
    /// As two numbers, to be written in network order.
    #[inline]
    pub fn pack(&self) -> (u64, u64) {
        let sequence = u64::from(self.sequence) & 0x7fff_ffff | (self.direction as u64) << 31;
        let a = u64::from(self.trial.0) << 56
            | u64::from(self.source.0) << 44
            | u64::from(self.id.0) << 16
            | sequence >> 16;
        let b = sequence << 48 | (self.planned & ((1 << UDP_TIME_BITS) - 1)) << 8;
        (a, b | check(a, b))
    }

    /// Reads a stamp; `None` where its check does not hold.
    #[inline]
    pub fn unpack(a: u64, b: u64) -> Option<UdpStamp> {
        if check(a, b) != b & 0xff {
            return None;
        }
        Some(UdpStamp {
            trial: TrialId((a >> 56) as u8),
            source: Source((a >> 44) as u16 & 0xfff),
            id: Self::id(a),
            direction: if a & 0x8000 == 0 { Direction::Up } else { Direction::Down },
            sequence: (a as u32 & 0x7fff) << 16 | (b >> 48) as u32,
            planned: b >> 8 & ((1 << UDP_TIME_BITS) - 1),
        })
    }

    /// Sequence and planned instant of a stamp that should be of `trial` and `source`, whose
    /// identifier and direction are taken as they are; the last value is zero if it is, and intact.
    #[inline]
    pub fn recognise(a: u64, b: u64, trial: TrialId, source: Source) -> (u32, u64, u64) {
        let wanted = u64::from(trial.0) << 12 | u64::from(source.0);
        let mismatch = a >> 44 ^ wanted | check(a, b) ^ b & 0xff;
        let sequence = (a as u32 & 0x7fff) << 16 | (b >> 48) as u32;
        (sequence, b >> 8 & ((1 << UDP_TIME_BITS) - 1), mismatch)
    }

    /// The connection alone, from the stamp's first number, unchecked: to prefetch its record.
    #[inline]
    pub fn id(a: u64) -> ConnectionId {
        ConnectionId((a >> 16) as u32 & ((1 << ID_BITS) - 1))
    }
}

/// The six payload bytes of a TCP data segment, in the upper bits of a number in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpStamp {
    /// Low 14 bits of the sequence number of this connection and direction.
    pub sequence: u32,
    /// Low 26 bits of the planned instant in ticks.
    pub planned: u64,
}

impl TcpStamp {
    /// As 48 bits. The check covers the segment's sequence and acknowledgement numbers too.
    #[inline]
    pub fn pack(&self, seq: u32, ack: u32) -> u64 {
        let body = (u64::from(self.sequence) & 0x3fff) << 34
            | (self.planned & ((1 << TCP_TIME_BITS) - 1)) << 8;
        body | check(u64::from(seq) << 32 | u64::from(ack), body)
    }

    /// Sequence and planned instant of a stamp in a segment with these numbers; the last value is
    /// zero if it is intact.
    #[inline]
    pub fn recognise(stamp: u64, seq: u32, ack: u32) -> (u32, u64, u64) {
        let numbers = u64::from(seq) << 32 | u64::from(ack);
        let mismatch = check(numbers, stamp) ^ stamp & 0xff | stamp >> 48;
        let (sequence, planned) = ((stamp >> 34) as u32 & 0x3fff, stamp >> 8);
        (sequence, planned & ((1 << TCP_TIME_BITS) - 1), mismatch)
    }

    /// Reads a stamp; `None` where its check does not hold.
    #[inline]
    pub fn unpack(stamp: u64, seq: u32, ack: u32) -> Option<TcpStamp> {
        if check(u64::from(seq) << 32 | u64::from(ack), stamp) != stamp & 0xff {
            return None;
        }
        Some(TcpStamp {
            sequence: (stamp >> 34) as u32 & 0x3fff,
            planned: stamp >> 8 & ((1 << TCP_TIME_BITS) - 1),
        })
    }
}

/// The client's initial sequence number: `0 · connection 28 · 0 0 0`. The three low bits leave room
/// for SYN and FIN, the top bit tells the two sides apart.
#[inline]
pub fn client_isn(id: ConnectionId) -> u32 {
    id.0 << 3
}

/// The server's initial sequence number: `1 · generator and core 12 · 0…`.
#[inline]
pub fn server_isn(source: Source) -> u32 {
    1 << 31 | u32::from(source.0) << 19
}

/// Which way a segment with this sequence number goes.
#[inline]
pub fn segment_direction(seq: u32) -> Direction {
    if seq >> 31 == 0 { Direction::Up } else { Direction::Down }
}

/// The connection named by a client's sequence number.
#[inline]
pub fn segment_id(client: u32) -> ConnectionId {
    ConnectionId(client >> 3 & ((1 << ID_BITS) - 1))
}

/// Whether a server's sequence number was made by `source`.
#[inline]
pub fn is_from(server: u32, source: Source) -> bool {
    server >> 19 == server_isn(source) >> 19
}

/// The advertised window: `1 · sequence 7 · trial 8`, always large enough for any frame.
#[inline]
pub fn window(trial: TrialId, sequence: u32) -> u16 {
    0x8000 | (sequence as u16 & 0x7f) << 8 | u16::from(trial.0)
}

/// Trial and low 7 bits of the sequence of an advertised window.
#[inline]
pub fn read_window(window: u16) -> (TrialId, u32) {
    (TrialId(window as u8), u32::from(window >> 8 & 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_stamp()(
            trial: u8, source in 0u16..4096, id in 0u32..1 << 28, down: bool,
            sequence in 0u32..1 << 31, planned in 0u64..1 << 40,
        ) -> UdpStamp {
            let direction = if down { Direction::Down } else { Direction::Up };
            UdpStamp { trial: TrialId(trial), source: Source(source), id: ConnectionId(id),
                direction, sequence, planned }
        }
    }

    proptest! {
        #[test]
        fn a_udp_stamp_is_read_as_written(stamp in any_stamp()) {
            let (a, b) = stamp.pack();
            prop_assert_eq!(UdpStamp::unpack(a, b), Some(stamp));
            prop_assert_eq!(UdpStamp::id(a), stamp.id);
        }

        #[test]
        fn a_tcp_stamp_is_read_as_written(sequence in 0u32..1 << 14, planned in 0u64..1 << 26, seq: u32, ack: u32) {
            let stamp = TcpStamp { sequence, planned };
            let packed = stamp.pack(seq, ack);
            prop_assert_eq!(packed >> 48, 0);
            prop_assert_eq!(TcpStamp::unpack(packed, seq, ack), Some(stamp));
        }

        #[test]
        fn one_wrong_bit_is_noticed(stamp in any_stamp(), bit in 0u32..128, seq: u32, ack: u32) {
            let (a, b) = stamp.pack();
            let flip = 1u128 << bit;
            let damaged = UdpStamp::unpack(a ^ (flip >> 64) as u64, b ^ flip as u64);
            prop_assert_eq!(damaged, None);
            let tcp = TcpStamp { sequence: stamp.sequence & 0x3fff, planned: stamp.planned & 0x3ff_ffff };
            let packed = tcp.pack(seq, ack);
            if bit < 48 {
                prop_assert_ne!(TcpStamp::unpack(packed ^ 1 << bit, seq, ack), Some(tcp));
            }
        }

        #[test]
        fn shortened_sequences_are_restored(sent: u32, old in 0u32..1 << 7, bits in 7u32..32) {
            let sequence = sent.wrapping_sub(old);
            let low = sequence & ((1u64 << bits) - 1) as u32;
            prop_assert_eq!(restore(sent, low, bits), sequence);
        }

        #[test]
        fn ages_are_restored(now in 0u64..1 << 50, old in 0u64..1 << 26) {
            prop_assume!(now >= old);
            prop_assert_eq!(age(now, (now - old) & 0x3ff_ffff, TCP_TIME_BITS), old);
        }

        #[test]
        fn sequence_numbers_name_both_ends(id in 0u32..1 << 28, server in 0u16..64, core in 0u16..64, plus in 0u32..3) {
            let source = Source::new(ServerId(server), CoreId(core)).ok_or_else(|| TestCaseError::fail("in range"))?;
            let (client, server) = (client_isn(ConnectionId(id)) + plus, server_isn(source) + plus);
            prop_assert_eq!(segment_id(client), ConnectionId(id));
            prop_assert_eq!(segment_direction(client), Direction::Up);
            prop_assert_eq!(segment_direction(server), Direction::Down);
            prop_assert!(is_from(server, source));
            prop_assert!(!is_from(server ^ 1 << 19, source));
        }
    }

    #[test]
    fn single_bit_damage_is_always_noticed_in_a_sample() {
        let stamp = UdpStamp {
            trial: TrialId(3),
            source: Source(65),
            id: ConnectionId(1_032_191),
            direction: Direction::Down,
            sequence: 77,
            planned: 0x12_3456_789a,
        };
        assert_eq!(UdpStamp::unpack(0, 0), None);
        let (a, b) = stamp.pack();
        let missed: Vec<u32> = (0..128)
            .filter(|bit| {
                let flip = 1u128 << bit;
                UdpStamp::unpack(a ^ (flip >> 64) as u64, b ^ flip as u64).is_some()
            })
            .collect();
        assert_eq!(missed, Vec::<u32>::new());
    }

    #[test]
    fn trial_and_sequence_fit_the_window() {
        assert_eq!(window(TrialId(255), 0x1ff), 0xffff);
        assert_eq!(read_window(window(TrialId(9), 300)), (TrialId(9), 300 & 0x7f));
        assert!(window(TrialId(0), 0) >= 0x8000);
    }
}
