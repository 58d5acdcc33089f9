//! Fragments that come before the first one of their datagram, and wait for it (RFC 4787 REQ-14a).
//!
//! A pool of one burst of frames, each for half a second: reordering is a matter of milliseconds,
//! and a frame that waits is a buffer its port lacks. Where there is no room the oldest makes it, so
//! that nobody who sends later fragments alone can keep others out for long. What is held has one
//! of three ends, each of them counted: it is forwarded when its first fragment has passed, dropped
//! as an orphan when its time is over, or dropped to make room.
//!
//! The pool belongs to whoever feeds the pipeline, since the frames are those of its port.

use super::Pipeline;
use crate::timer::{TICK_NS, Tick};
use crate::translate::fragment::{self, DatagramId};
use crate::verdict::{Drop, Refusal};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;

/// Half a second, and the tick under way.
const HOLD_TICKS: u16 = (500_000_000 / TICK_NS) as u16 + 1;

/// Frames that wait for the first fragment of their datagram, the oldest in front.
pub struct Held<F> {
    frames: ArrayVec<Waiting<F>, BURST>,
    /// First fragments that had passed when it was last looked for them.
    firsts: u64,
}

struct Waiting<F> {
    frame: F,
    of: DatagramId,
    expiry: u16,
}

impl<F> Held<F> {
    /// None yet, and never more than [`BURST`].
    pub fn new() -> Held<F> {
        Held { frames: ArrayVec::new(), firsts: 0 }
    }

    /// Frames that wait.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

impl<F> Default for Held<F> {
    fn default() -> Held<F> {
        Held::new()
    }
}

impl Pipeline {
    /// Keeps a fragment of `of`; where there is no room, what makes it goes to `free`.
    #[cold]
    pub(super) fn hold<F: Frame>(
        &mut self,
        frame: F,
        of: DatagramId,
        now: Tick,
        held: &mut Held<F>,
        free: &mut Burst<F>,
    ) {
        if held.frames.is_full() {
            free.push(held.frames.remove(0).frame);
            self.counts.dropped[Drop::from(Refusal::HoldFull).index()] += 1;
        }
        held.frames.push(Waiting { frame, of, expiry: now.0.wrapping_add(HOLD_TICKS) });
    }

    /// Ends the waiting of held frames: those whose first fragment has passed move to `send`, in
    /// the order they came in, those whose time is over to `free`. To be called after
    /// [`Pipeline::process`] and now and then; does nothing where nothing can have changed.
    ///
    /// # Panics
    /// When a burst has no room: both should be empty.
    #[inline]
    pub fn release<F: Frame>(
        &mut self,
        held: &mut Held<F>,
        now: Nanos,
        send: &mut Burst<F>,
        free: &mut Burst<F>,
    ) {
        let Some(oldest) = held.frames.first() else { return };
        let now = Tick::at(now);
        if held.firsts != self.fragments.firsts() || now.is_past(oldest.expiry) {
            held.firsts = self.fragments.firsts();
            self.look_through(held, now, send, free);
        }
    }

    #[cold]
    fn look_through<F: Frame>(
        &mut self,
        held: &mut Held<F>,
        now: Tick,
        send: &mut Burst<F>,
        free: &mut Burst<F>,
    ) {
        let mut at = 0;
        while let Some(waiting) = held.frames.get(at) {
            if let Some(first) = self.fragments.follow(waiting.of, now) {
                let mut frame = held.frames.remove(at).frame;
                fragment::readdress(frame.bytes_mut(), &first);
                self.next_hop.address(frame.bytes_mut());
                self.counts.forwarded += 1;
                send.push(frame);
            } else if now.is_past(waiting.expiry) {
                free.push(held.frames.remove(at).frame);
                self.counts.dropped[Drop::from(Refusal::OrphanFragment).index()] += 1;
            } else {
                at += 1;
            }
        }
    }
}
