//! The TCP segments a connection consists of, with their sequence numbers and flags.
//!
//! Every data segment repeats the same sequence number, as if retransmitted: that is valid for
//! trackers that check windows, whatever is lost. The generator is no TCP: nothing is retransmitted
//! for the sake of data, and no window opens or closes.

use crate::stamp::{Direction, Source, client_isn, server_isn};
use crate::tuple::ConnectionId;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// First of the handshake, up.
    Syn,
    /// Second of the handshake, down.
    SynAck,
    /// Last of the handshake, up.
    Ack,
    /// Data, either way.
    Data(Direction),
    /// The subscriber closes.
    Fin,
    /// The server agrees and closes too.
    FinAck,
    /// The subscriber's last word.
    LastAck,
    /// The subscriber gives up; nobody answers.
    Reset,
}

/// The header fields that make a segment what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags, the low 8 bits.
    pub flags: u8,
}

impl Segment {
    /// Header fields of this segment of connection `id`.
    #[inline]
    pub fn numbers(self, id: ConnectionId, source: Source) -> Numbers {
        let (client, server) = (client_isn(id), server_isn(source));
        let (seq, ack, flags) = match self {
            Segment::Syn => (client, 0, SYN),
            Segment::SynAck => (server, client + 1, SYN | ACK),
            Segment::Ack => (client + 1, server + 1, ACK),
            Segment::Data(Direction::Up) => (client + 1, server + 1, PSH | ACK),
            Segment::Data(Direction::Down) => (server + 1, client + 1, PSH | ACK),
            Segment::Fin => (client + 1, server + 1, FIN | ACK),
            Segment::FinAck => (server + 1, client + 2, FIN | ACK),
            Segment::LastAck => (client + 2, server + 2, ACK),
            // At the very number that has been acknowledged: in everybody's window (RFC 5961 §3.2).
            Segment::Reset => (client + 1, server + 1, RST | ACK),
        };
        Numbers { seq, ack, flags }
    }

    /// What a segment with these flags and this sequence number is; `None` for one that no
    /// generator sends, such as a SYN of a server.
    #[inline]
    pub fn of(flags: u8, seq: u32, direction: Direction) -> Option<Segment> {
        const DATA: u8 = PSH | ACK;
        const SYN_ACK: u8 = SYN | ACK;
        const FIN_ACK: u8 = FIN | ACK;
        const RST_ACK: u8 = RST | ACK;
        match (flags, direction) {
            (DATA, _) => Some(Segment::Data(direction)),
            (SYN, Direction::Up) => Some(Segment::Syn),
            (SYN_ACK, Direction::Down) => Some(Segment::SynAck),
            (ACK, Direction::Up) if seq & 7 == 2 => Some(Segment::LastAck),
            (ACK, Direction::Up) => Some(Segment::Ack),
            (RST_ACK, Direction::Up) => Some(Segment::Reset),
            (FIN_ACK, Direction::Up) => Some(Segment::Fin),
            (FIN_ACK, Direction::Down) => Some(Segment::FinAck),
            _ => None,
        }
    }

    /// Which way the segment goes.
    #[inline]
    pub fn direction(self) -> Direction {
        match self {
            Segment::Syn | Segment::Ack | Segment::Fin | Segment::LastAck | Segment::Reset => {
                Direction::Up
            }
            Segment::SynAck | Segment::FinAck => Direction::Down,
            Segment::Data(direction) => direction,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::segment_direction;
    use dataplane::worker::{CoreId, ServerId};

    #[test]
    fn segments_are_recognised_by_their_numbers() {
        let source = Source::new(ServerId(3), CoreId(9)).expect("in range");
        let all = [
            Segment::Syn,
            Segment::SynAck,
            Segment::Ack,
            Segment::Data(Direction::Up),
            Segment::Data(Direction::Down),
            Segment::Fin,
            Segment::FinAck,
            Segment::LastAck,
            Segment::Reset,
        ];
        for segment in all {
            let n = segment.numbers(ConnectionId(0xfff_ffff), source);
            assert_eq!(segment_direction(n.seq), segment.direction());
            assert_eq!(Segment::of(n.flags, n.seq, segment.direction()), Some(segment));
        }
        assert_eq!(Segment::of(0x04, 0, Direction::Up), None);
    }
}
