//! Connection tracking: what a packet does to the state of its connection.
//!
//! [`State::after`] is a total function, laid out as a table at compile time: state x direction x
//! segment → state. Each state belongs to a timeout class. The states are coarser than a host's
//! (RFC 9293 §3.3.2), because a middlebox sees a packet and not whether it was accepted.
//!
//! It refuses to judge sequence numbers and windows: a segment is taken at its flags.

use dataplane::wire::tcp;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// UDP of which only the subscriber's side was seen.
    UdpOneWay,
    /// UDP that was answered.
    UdpStream,
    /// An ICMP echo and its replies.
    Echo,
    /// The subscriber sent SYN.
    SynSent,
    /// The remote answered, by SYN-ACK or by a SYN of its own (simultaneous open, RFC 5382 REQ-2).
    SynAnswered,
    /// Both sides acknowledged.
    Established,
    /// The subscriber sent FIN.
    FinOut,
    /// The remote sent FIN.
    FinIn,
    /// Both sent FIN, or one sent RST.
    Closed,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From a subscriber to the Internet.
    Outbound,
    /// From the Internet to a subscriber.
    Inbound,
}

/// What matters of a packet to the state of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Segment {
    /// SYN without ACK, FIN and RST: the only segment that may open a connection.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// Neither SYN, FIN nor RST; any packet of UDP and ICMP.
    Plain,
    /// FIN without RST.
    Fin,
    /// RST.
    Rst,
}

/// How long a connection may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timeout {
    /// UDP: at least 2 minutes, 5 recommended (RFC 4787 REQ-5).
    Udp,
    /// ICMP query: at least 60 s (RFC 5508 REQ-2).
    Icmp,
    /// TCP opening: may be less than 4 minutes (RFC 7857 §2.1).
    TcpHalfOpen,
    /// TCP closing: at least 4 minutes (RFC 5382 REQ-5), after a reset too (RFC 7857 §2.2).
    TcpTransitory,
    /// TCP established: at least 2 hours 4 minutes (RFC 5382 REQ-5).
    TcpEstablished,
}

impl Segment {
    /// Reads the flags of a TCP segment. RST wins over FIN, and FIN over SYN, which no sane sender
    /// combines.
    #[inline]
    pub fn of_flags(flags: u8) -> Segment {
        BY_FLAGS[usize::from(flags & 0x17)]
    }
}

const BY_FLAGS: [Segment; 0x18] = {
    let mut table = [Segment::Plain; 0x18];
    let mut flags = 0;
    while flags < table.len() {
        let bits = flags as u8;
        table[flags] = if bits & tcp::RST != 0 {
            Segment::Rst
        } else if bits & tcp::FIN != 0 {
            Segment::Fin
        } else if bits & tcp::SYN == 0 {
            Segment::Plain
        } else if bits & tcp::ACK != 0 {
            Segment::SynAck
        } else {
            Segment::Syn
        };
        flags += 1;
    }
    table
};

impl State {
    /// Every state, in the order of its discriminant.
    pub const ALL: [State; 9] = [
        State::UdpOneWay,
        State::UdpStream,
        State::Echo,
        State::SynSent,
        State::SynAnswered,
        State::Established,
        State::FinOut,
        State::FinIn,
        State::Closed,
    ];

    /// The state with this number; a number that no state has is taken for the last.
    #[inline]
    pub fn numbered(number: u8) -> State {
        BY_NUMBER[usize::from(number & 15)]
    }

    /// The state a packet leaves its connection in.
    #[inline]
    pub fn after(self, direction: Direction, segment: Segment) -> State {
        AFTER[self as usize][direction as usize][segment as usize]
    }

    /// The class of silence the state allows.
    #[inline]
    pub const fn timeout(self) -> Timeout {
        match self {
            State::UdpOneWay | State::UdpStream => Timeout::Udp,
            State::Echo => Timeout::Icmp,
            State::Established => Timeout::TcpEstablished,
            State::SynSent | State::SynAnswered => Timeout::TcpHalfOpen,
            State::FinOut | State::FinIn | State::Closed => Timeout::TcpTransitory,
        }
    }

    /// Whether this is TCP whose handshake is not complete: what a SYN costs the NAT, and the sender
    /// nothing.
    #[inline]
    pub const fn is_half_open(self) -> bool {
        matches!(self, State::SynSent | State::SynAnswered)
    }

    /// Whether a packet in `direction` prolongs the connection. The subscriber's always does; the
    /// remote's only for TCP that both sides agreed to: a remote must not keep a mapping open
    /// alone (RFC 4787 §4.3), nor a closed one alive.
    #[inline]
    pub const fn prolonged_by(self, direction: Direction) -> bool {
        matches!(direction, Direction::Outbound) || matches!(self, State::Established)
    }
}

const BY_NUMBER: [State; 16] = {
    let mut table = [State::Closed; 16];
    let mut number = 0;
    while number < State::ALL.len() {
        table[number] = State::ALL[number];
        number += 1;
    }
    table
};

const AFTER: [[[State; 5]; 2]; 9] = {
    let mut table = [[[State::Closed; 5]; 2]; 9];
    let mut state = 0;
    while state < 9 {
        let mut segment = 0;
        while segment < 5 {
            table[state][0][segment] = outbound(State::ALL[state], SEGMENTS[segment]);
            table[state][1][segment] = inbound(State::ALL[state], SEGMENTS[segment]);
            segment += 1;
        }
        state += 1;
    }
    table
};

const SEGMENTS: [Segment; 5] =
    [Segment::Syn, Segment::SynAck, Segment::Plain, Segment::Fin, Segment::Rst];

const fn outbound(state: State, segment: Segment) -> State {
    match (state, segment) {
        (State::UdpOneWay | State::UdpStream | State::Echo, _) => state,
        (_, Segment::Rst) => State::Closed,
        // A new SYN re-uses the mapping of a connection that is over (RFC 6191; RFC 7857 §2).
        (State::Closed, Segment::Syn) => State::SynSent,
        (State::SynAnswered, Segment::Plain | Segment::SynAck) => State::Established,
        (State::SynAnswered | State::Established | State::SynSent, Segment::Fin) => State::FinOut,
        (State::FinIn, Segment::Fin) => State::Closed,
        _ => state,
    }
}

const fn inbound(state: State, segment: Segment) -> State {
    match (state, segment) {
        (State::UdpOneWay, _) => State::UdpStream,
        (State::UdpStream | State::Echo, _) => state,
        (_, Segment::Rst) => State::Closed,
        (State::SynSent, Segment::Syn | Segment::SynAck) => State::SynAnswered,
        (State::SynAnswered | State::Established, Segment::Fin) => State::FinIn,
        (State::FinOut, Segment::Fin) => State::Closed,
        _ => state,
    }
}

#[cfg(test)]
mod tests {
    use super::Direction::{Inbound as In, Outbound as Out};
    use super::Segment::{Fin, Plain, Rst, Syn, SynAck};
    use super::*;

    /// A packet, and the state after it.
    type Step = (Direction, Segment, State);

    /// Each life as the packets seen and the state after each.
    #[test]
    fn lives_of_connections() {
        let lives: &[(&str, State, &[Step])] = &[
            (
                "three-way handshake, data, orderly close from inside",
                State::SynSent,
                &[
                    (In, SynAck, State::SynAnswered),
                    (Out, Plain, State::Established),
                    (In, Plain, State::Established),
                    (Out, Fin, State::FinOut),
                    (In, Plain, State::FinOut),
                    (In, Fin, State::Closed),
                    (Out, Plain, State::Closed),
                ],
            ),
            (
                "close from outside",
                State::Established,
                &[(In, Fin, State::FinIn), (Out, Plain, State::FinIn), (Out, Fin, State::Closed)],
            ),
            (
                "simultaneous open, RFC 5382 REQ-2",
                State::SynSent,
                &[(In, Syn, State::SynAnswered), (Out, SynAck, State::Established)],
            ),
            ("lost SYN is sent again", State::SynSent, &[(Out, Syn, State::SynSent)]),
            ("refused", State::SynSent, &[(In, Rst, State::Closed)]),
            ("aborted", State::Established, &[(Out, Rst, State::Closed)]),
            ("port is used again", State::Closed, &[(Out, Syn, State::SynSent)]),
            ("the remote cannot re-open", State::Closed, &[(In, Syn, State::Closed)]),
            ("a stray SYN changes nothing", State::Established, &[(In, Syn, State::Established)]),
            (
                "UDP is answered",
                State::UdpOneWay,
                &[(Out, Plain, State::UdpOneWay), (In, Plain, State::UdpStream)],
            ),
            ("echo", State::Echo, &[(Out, Plain, State::Echo), (In, Plain, State::Echo)]),
        ];
        for (life, start, packets) in lives {
            let mut state = *start;
            for (step, &(direction, segment, expected)) in packets.iter().enumerate() {
                state = state.after(direction, segment);
                assert_eq!(state, expected, "{life}: packet {step}");
            }
        }
    }

    #[test]
    fn states_are_numbered_as_listed() {
        for (index, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, index);
            assert_eq!(State::numbered(index as u8), state);
        }
        for (index, segment) in SEGMENTS.into_iter().enumerate() {
            assert_eq!(segment as usize, index);
        }
    }

    #[test]
    fn nothing_but_a_full_handshake_establishes() {
        for state in State::ALL {
            for direction in [Out, In] {
                for segment in SEGMENTS {
                    let before = state == State::Established || state == State::SynAnswered;
                    let after = state.after(direction, segment) == State::Established;
                    assert!(!after || before, "{state:?} {direction:?} {segment:?}");
                }
            }
        }
    }

    #[test]
    fn only_a_subscribers_syn_after_the_end_makes_half_open_what_was_not() {
        for state in State::ALL.into_iter().filter(|state| !state.is_half_open()) {
            for direction in [Out, In] {
                for segment in SEGMENTS {
                    let turned = state.after(direction, segment).is_half_open();
                    let expected = (state, direction, segment) == (State::Closed, Out, Syn);
                    assert_eq!(turned, expected, "{state:?} {direction:?} {segment:?}");
                }
            }
        }
    }

    #[test]
    fn flags_have_one_meaning_each() {
        use dataplane::wire::tcp::{ACK, FIN, PSH, RST, SYN, URG};
        for (flags, segment) in [
            (SYN, Syn),
            (SYN | ACK, SynAck),
            (ACK, Plain),
            (PSH | ACK | URG, Plain),
            (0, Plain),
            (FIN | ACK, Fin),
            (RST | ACK, Rst),
            (SYN | RST, Rst),
            (SYN | FIN, Fin),
            (0xff, Rst),
        ] {
            assert_eq!(Segment::of_flags(flags), segment, "{flags:#04x}");
        }
    }

    #[test]
    fn a_remote_alone_keeps_nothing_open_but_established_tcp() {
        let kept: Vec<_> = State::ALL.into_iter().filter(|s| s.prolonged_by(In)).collect();
        assert_eq!(kept, [State::Established]);
        assert!(State::ALL.into_iter().all(|state| state.prolonged_by(Out)));
    }
}
