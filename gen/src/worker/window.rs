//! How many packets may be under way, whatever a port says of its room.
//!
//! A port that cannot tell its room drops what overfills it, and so does the system under test when
//! the generator is preempted and does not receive. Where the generator itself decides how fast to
//! send, at the highest rate and while filling, it therefore never has more under way than a ring
//! holds. Loads that are asked for at a rate are not bounded here: they do not wait for anybody.
//!
//! What is lost must not fill the window, and what is merely late must not count as lost: it would
//! come back beside what was sent in its place. So after a stall one batch is sent as a probe, and
//! nothing more until it or anything else has come back and all is silent again: then nothing is
//! under way, and what is missing is lost. Where openings are refused nothing comes back at all, and
//! silence that no host's preemption lasts is believed without an answer.

use super::Generator;
use crate::config::{Phase, Rate, Until};
use dataplane::clock::Nanos;
use dataplane::port::Port;

/// Pause after a port that cannot tell its room has refused packets.
const PAUSE: Nanos = Nanos(50_000);

/// How silence is judged.
#[derive(Clone, Copy, Debug, Default)]
struct Patience {
    /// Silence after which the packets under way may be lost.
    stall: Nanos,
    /// Silence after which, once something has come back after a stall, nothing is under way.
    settled: Nanos,
    /// Probes in a row after which nothing is under way even if none of them has come back.
    probes: u32,
}

/// Data at the highest rate: hardly anything is lost, so a stall may be longer than a host mostly
/// preempts.
const FASTEST: Patience =
    Patience { stall: Nanos(40_000_000), settled: Nanos(10_000_000), probes: u32::MAX };

/// Openings: hundreds of thousands may be refused in a row, and each window of them is a stall.
/// All probes in vain are 80 ms; shared hosts have been seen to preempt for 50.
const FILLING: Patience =
    Patience { stall: Nanos(5_000_000), settled: Nanos(1_000_000), probes: 16 };

/// Packets under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    size: u64,
    patience: Patience,
    filling: bool,
    returned: u64,
    lost: u64,
    /// When a packet returned last, or a probe was sent.
    moved: Nanos,
    /// After a stall; whether anything has returned since the last probe; and probes in a row that
    /// nothing has returned after.
    probing: bool,
    heard: bool,
    unanswered: u32,
    /// Until when nothing is sent, because the port has refused packets.
    shut: Nanos,
}

impl Window {
    /// Nothing under way at `start` of `phase`, and at most `size` packets later.
    pub(super) fn since(start: Nanos, phase: &Phase, size: u32) -> Window {
        // Packets of a given rate that are lost would fill the window, and as others go on coming
        // back it would never be silent.
        let paced = matches!(phase.rate, Rate::Pps(_));
        let filling = matches!(phase.until, Until::Held(_)) && !paced;
        let patience = if filling { FILLING } else { FASTEST };
        Window { size: u64::from(size), patience, filling, moved: start, ..Window::default() }
    }

    /// Whether openings and closings wait for the window.
    #[inline]
    pub(super) fn is_filling(&self) -> bool {
        self.filling
    }

    /// The port has refused packets.
    #[inline]
    pub(super) fn refused(&mut self, now: Nanos) {
        self.shut = now + PAUSE;
        if self.is_deaf() {
            // A far end that leaves its ring full stands still, and its silence means nothing.
            (self.probing, self.heard, self.moved, self.unanswered) = (true, false, now, 0);
        }
    }

    /// Whether `batch` more packets may be sent at `now`, when `sent` have been and `returned` of
    /// them have come back.
    #[inline]
    fn opens(&mut self, now: Nanos, sent: u64, returned: u64, batch: u64) -> bool {
        if returned != self.returned {
            (self.returned, self.moved, self.heard) = (returned, now, true);
            // What was believed lost was late: until all is silent, nobody knows how much of it.
            self.probing |= self.is_deaf();
            self.unanswered = 0;
        }
        let missing = sent.saturating_sub(returned);
        if !self.probing && missing.saturating_sub(self.lost) + batch <= self.size {
            return now >= self.shut;
        }
        now >= self.shut && self.opens_after(now.since(self.moved), now, missing)
    }

    /// The same while the window is full or a probe is out, and nothing has returned for `silence`.
    fn opens_after(&mut self, silence: Nanos, now: Nanos, missing: u64) -> bool {
        let Patience { stall, settled, .. } = self.patience;
        let answered = self.probing && self.heard;
        if silence > settled && (answered || self.is_deaf()) {
            (self.lost, self.probing, self.moved) = (missing, false, now);
            return true;
        }
        let stalled = silence > stall;
        if stalled {
            (self.probing, self.heard, self.moved) = (true, false, now);
            self.unanswered += 1;
        }
        stalled
    }

    /// Whether so many probes were in vain that nothing is expected to come back.
    #[inline]
    fn is_deaf(&self) -> bool {
        self.unanswered >= self.patience.probes
    }
}

impl<P: Port> Generator<P> {
    /// Whether `batch` more packets would be more under way than may be.
    #[inline]
    pub(super) fn is_window_full(&mut self, now: Nanos, batch: usize) -> bool {
        let ledger = &self.trials[self.phase].ledger;
        let (sent, returned) = (ledger.sent, ledger.arrived());
        !self.window.opens(now, sent, returned, batch as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(patience: Patience) -> Window {
        Window { size: 1024, patience, ..Window::default() }
    }

    /// A millisecond at a time: whether the window opens.
    fn opens(window: &mut Window, now_ms: u64, sent: u64, returned: u64) -> bool {
        window.opens(Nanos(now_ms * 1_000_000), sent, returned, 64)
    }

    #[test]
    fn what_was_late_does_not_widen_the_window() {
        let mut window = window(FASTEST);
        assert!(opens(&mut window, 0, 960, 0));
        assert!(!opens(&mut window, 1, 1024, 0) && !opens(&mut window, 40, 1024, 0));
        // A probe after 40 ms of silence, and another one after as long again.
        assert!(opens(&mut window, 41, 1024, 0) && !opens(&mut window, 42, 1088, 0));
        assert!(!opens(&mut window, 81, 1088, 0) && opens(&mut window, 82, 1088, 0));
        // Everything comes back: nothing was lost.
        assert!(!opens(&mut window, 83, 1152, 500) && !opens(&mut window, 84, 1152, 1152));
        assert!(!opens(&mut window, 94, 1152, 1152) && opens(&mut window, 95, 1152, 1152));
        assert!(opens(&mut window, 96, 1152 + 960, 1152));
        assert!(!opens(&mut window, 97, 1152 + 1024, 1152));
    }

    #[test]
    fn what_is_lost_does_not_fill_the_window() {
        let mut window = window(FASTEST);
        assert!(!opens(&mut window, 1, 1024, 0) && opens(&mut window, 41, 1024, 0));
        // The probe alone comes back.
        assert!(!opens(&mut window, 42, 1088, 64) && opens(&mut window, 53, 1088, 64));
        assert!(opens(&mut window, 54, 1088 + 960, 64));
        assert!(!opens(&mut window, 55, 1088 + 1024, 64));
    }

    #[test]
    fn long_silence_is_believed_until_something_is_heard() {
        let mut window = window(FILLING);
        let mut sent = 1024;
        // Sixteen probes, six milliseconds apart: silence must exceed five.
        for probe in 1..=16 {
            assert!(!opens(&mut window, 6 * probe - 1, sent, 0));
            assert!(opens(&mut window, 6 * probe, sent, 0));
            sent += 64;
        }
        // Then a whole window, each time silence exceeds one millisecond.
        for round in 0..3 {
            assert!(!opens(&mut window, 97 + 2 * round, sent, 0));
            assert!(opens(&mut window, 98 + 2 * round, sent, 0));
            assert!(opens(&mut window, 98 + 2 * round, sent + 960, 0));
            sent += 1024;
        }
        // It was mere delay: until the last has come nothing is sent, and then a window at most.
        assert!(!opens(&mut window, 104, sent, 64) && !opens(&mut window, 105, sent, sent));
        assert!(!opens(&mut window, 106, sent, sent) && opens(&mut window, 107, sent, sent));
        assert!(opens(&mut window, 108, sent + 960, sent));
        assert!(!opens(&mut window, 109, sent + 1024, sent));
    }

    #[test]
    fn silence_is_not_believed_while_the_ring_is_full() {
        let mut window = window(FILLING);
        let sent = 1024;
        assert_eq!((1..=16).filter(|probe| opens(&mut window, 6 * probe, sent, 0)).count(), 16);
        assert!(opens(&mut window, 98, sent, 0));
        window.refused(Nanos(98_000_000));
        // Back to probes, and nothing more until what has come back is all there is.
        assert!(!opens(&mut window, 103, sent, 0) && opens(&mut window, 104, sent, 0));
        assert!(!opens(&mut window, 105, sent, 500) && opens(&mut window, 107, sent, 500));
    }

    #[test]
    fn a_port_that_refuses_is_left_alone() {
        let mut window = window(FILLING);
        window.refused(Nanos(1_000_000));
        assert!(!opens(&mut window, 1, 0, 0) && opens(&mut window, 2, 0, 0));
    }
}
