//! How long a connection lives: what both ends have said, and the timer that follows from it.

use super::{ICMP, TCP, UDP};

const TICK_NS: u64 = 250_000_000;

/// How long connections may be silent, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    pub(crate) udp_ms: u64,
    pub(crate) icmp_ms: u64,
    pub(crate) tcp_half_open_ms: u64,
    pub(crate) tcp_transitory_ms: u64,
    pub(crate) tcp_established_ms: u64,
}

impl Timers {
    /// When a connection is over that was used at `now_ns`.
    pub(crate) fn deadline_ns(&self, life: &Life, now_ns: u64) -> u64 {
        let timer_ms = match life.protocol {
            UDP => self.udp_ms,
            ICMP => self.icmp_ms,
            _ if life.phase() == Phase::Established => self.tcp_established_ms,
            _ if life.is_half_open() => self.tcp_half_open_ms,
            _ => self.tcp_transitory_ms,
        };
        let timer_ns = timer_ms * 1_000_000;
        let over_ns = (now_ns / TICK_NS + timer_ns.div_ceil(TICK_NS) + 1) * TICK_NS;
        let (least, most) = (now_ns + timer_ns, now_ns + timer_ns + 2 * TICK_NS);
        assert!((least..=most).contains(&over_ns), "{over_ns} is not in {least}..={most}");
        over_ns
    }
}

/// What counts of a TCP segment: RST wins over FIN, FIN over SYN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    fin: bool,
    syn: bool,
    rst: bool,
    ack: bool,
}

impl Flags {
    pub(crate) fn of(byte: u8) -> Flags {
        let rst = byte & 4 != 0;
        let fin = byte & 1 != 0 && !rst;
        let syn = byte & 2 != 0 && !rst && !fin;
        Flags { fin, syn, rst, ack: byte & 16 != 0 }
    }

    /// A SYN that answers nothing.
    pub(crate) fn is_first(self) -> bool {
        self.syn && !self.ack
    }
}

/// What both ends have said so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    protocol: u8,
    /// The remote has answered: with SYN, if it is TCP.
    answered: bool,
    /// The subscriber has acknowledged the answer.
    acknowledged: bool,
    fin_out: bool,
    fin_in: bool,
    reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening { answered: bool },
    Established,
    Closing { by_subscriber: bool },
    Closed,
}

impl Life {
    pub(crate) fn new(protocol: u8) -> Life {
        Life {
            protocol,
            answered: false,
            acknowledged: false,
            fin_out: false,
            fin_in: false,
            reset: false,
        }
    }

    fn phase(&self) -> Phase {
        if self.reset || self.fin_out && self.fin_in {
            Phase::Closed
        } else if self.fin_out || self.fin_in {
            Phase::Closing { by_subscriber: self.fin_out }
        } else if self.acknowledged {
            Phase::Established
        } else {
            Phase::Opening { answered: self.answered }
        }
    }

    /// Whether it is TCP and not all of the handshake has been seen.
    pub(crate) fn is_half_open(&self) -> bool {
        self.protocol == TCP && matches!(self.phase(), Phase::Opening { .. })
    }

    /// The subscriber's packet always starts the timer anew (RFC 4787 REQ-6).
    pub(crate) fn outbound(&mut self, flags: Flags) {
        if self.protocol != TCP {
            return;
        }
        if self.phase() == Phase::Closed {
            // The same ports for the next connection: RFC 6191.
            if flags.is_first() {
                *self = Life::new(TCP);
            }
            return;
        }
        self.reset |= flags.rst;
        self.fin_out |= flags.fin;
        let answer = !flags.rst && !flags.fin && !flags.is_first();
        self.acknowledged |= self.answered && answer;
    }

    /// Whether the remote's packet starts the timer anew: when it says something new, and always
    /// once both ends have agreed.
    pub(crate) fn inbound(&mut self, flags: Flags) -> bool {
        let before = self.phase();
        match self.protocol {
            TCP if before == Phase::Closed => {}
            TCP => {
                self.reset |= flags.rst;
                // Before its SYN or the subscriber's FIN, a FIN of the remote means nothing.
                self.fin_in |= flags.fin && (self.answered || self.fin_out);
                self.answered |= flags.syn;
            }
            UDP => self.answered = true,
            _ => {}
        }
        self.phase() != before || before == Phase::Established
    }
}
