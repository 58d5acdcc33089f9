//! Deadlines in 16 bits: a tick is 250 ms, compared the nearer way round, so a deadline may lie up
//! to 8,000 s ahead and a due connection must be met by the sweep within the 192 s that remain.

use crate::config::Timers;
use crate::conntrack::{State, Timeout};
use crate::life::Life;
use dataplane::clock::Nanos;

/// Length of a tick in nanoseconds.
pub const TICK_NS: u64 = 250_000_000;

/// A point in time, in ticks since the clock's origin, modulo 2¹⁶.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(pub u16);

impl Tick {
    /// The tick that `now` falls into.
    #[inline]
    pub fn at(now: Nanos) -> Tick {
        Tick((now.0 / TICK_NS) as u16)
    }

    /// Whether the deadline `expiry` is at or before this tick.
    #[inline]
    pub fn is_past(self, expiry: u16) -> bool {
        self.0.wrapping_sub(expiry) < 0x8000
    }
}

/// The configured timers in ticks, for each state.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    by_state: [u16; State::ALL.len()],
    /// The shorter of the TCP timers of what has been open, and the shortest of all.
    closing: u16,
    shortest: u16,
}

impl Deadlines {
    /// Rounds each timer up and adds the tick under way, so that none is shorter than configured.
    pub fn new(timers: &Timers) -> Deadlines {
        let ticks = |ms: u64| (ms * 1_000_000).div_ceil(TICK_NS) as u16 + 1;
        let of = |timeout| match timeout {
            Timeout::Udp => ticks(timers.udp_ms),
            Timeout::Icmp => ticks(timers.icmp_ms),
            Timeout::TcpHalfOpen => ticks(timers.tcp_half_open_ms),
            Timeout::TcpTransitory => ticks(timers.tcp_transitory_ms),
            Timeout::TcpEstablished => ticks(timers.tcp_established_ms),
        };
        let closing = of(Timeout::TcpTransitory).min(of(Timeout::TcpEstablished));
        Deadlines {
            by_state: State::ALL.map(|state| of(state.timeout())),
            closing,
            shortest: closing
                .min(of(Timeout::TcpHalfOpen))
                .min(of(Timeout::Udp))
                .min(of(Timeout::Icmp)),
        }
    }

    /// The same for IPv6, where TCP that is opening lives as long as TCP that is closing: RFC 7857,
    /// which allows less, is about NAT, and RFC 6092 REC-35 wants 4 minutes for both.
    pub fn for_ipv6(timers: &Timers) -> Deadlines {
        Deadlines::new(&Timers { tcp_half_open_ms: timers.tcp_transitory_ms, ..*timers })
    }

    /// When a connection in `state` expires that is used now.
    #[inline]
    pub fn after(&self, now: Tick, state: State) -> u16 {
        now.0.wrapping_add(self.by_state[state as usize])
    }

    /// When the sweep must look at a connection again: as soon as any packet between now and then
    /// can have it expire. One that closes its TCP connection turns two hours into four minutes.
    /// One that opens it again may leave less: whoever lets it must have the sweep come sooner.
    #[inline]
    pub fn look_again(&self, now: Tick, life: Life) -> u16 {
        let left = life.expiry.wrapping_sub(now.0);
        let left = match life.state.timeout() {
            Timeout::Udp | Timeout::Icmp => left,
            Timeout::TcpHalfOpen | Timeout::TcpTransitory | Timeout::TcpEstablished => {
                left.min(self.closing)
            }
        };
        now.0.wrapping_add(left)
    }

    /// The earliest that any connection can expire which is used now.
    #[inline]
    pub fn soonest(&self, now: Tick) -> u16 {
        now.0.wrapping_add(self.shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_timer_is_shorter_than_configured_nor_two_ticks_longer() {
        let timers = Timers { udp_ms: 300_000, icmp_ms: 1, ..Timers::default() };
        let deadlines = Deadlines::new(&timers);
        for start in [0, 1, TICK_NS - 1, 65_535 * TICK_NS, 70_000 * TICK_NS + 17] {
            for (state, ms) in [(State::UdpStream, 300_000), (State::Echo, 1)] {
                let expiry = deadlines.after(Tick::at(Nanos(start)), state);
                let due = |after_ns: u64| Tick::at(Nanos(start + after_ns)).is_past(expiry);
                let span = ms * 1_000_000;
                assert!(!due(0) && !due(span - 1), "{state:?} from {start} ends early");
                assert!(due(span + 2 * TICK_NS), "{state:?} from {start} ends late");
            }
        }
    }

    #[test]
    fn the_longest_timer_is_not_taken_for_the_past() {
        let timers = Timers { tcp_established_ms: 8_000_000, ..Timers::default() };
        let expiry = Deadlines::new(&timers).after(Tick(60_000), State::Established);
        assert!(!Tick(60_000).is_past(expiry));
    }
}
