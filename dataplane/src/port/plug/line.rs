//! A long cable: frames that take their time, in the order in which they set out.
//!
//! Each frame has an instant at which it is due, and waits for those before it as well: where the
//! cable becomes shorter nothing is overtaken. All memory is taken when it is made; what finds it
//! full is given back to whoever sends it.

use crate::clock::Nanos;
use std::collections::VecDeque;

struct Held<F> {
    due: Nanos,
    lane: usize,
    frame: F,
}

/// See the [module](self).
pub(super) struct Line<F> {
    held: VecDeque<Held<F>>,
    room: usize,
}

impl<F> Line<F> {
    /// A line that holds up to `room` frames.
    pub(super) fn new(room: usize) -> Line<F> {
        Line { held: VecDeque::with_capacity(room), room }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Lets a frame set out on its way to `lane`.
    ///
    /// # Errors
    /// The frame, if the line is full.
    pub(super) fn put(&mut self, frame: F, lane: usize, due: Nanos) -> Result<(), F> {
        if self.held.len() == self.room {
            return Err(frame);
        }
        self.held.push_back(Held { due, lane, frame });
        Ok(())
    }

    /// The next frame that has come, with its lane.
    pub(super) fn take(&mut self, now: Nanos) -> Option<(usize, F)> {
        self.held.front().filter(|held| held.due <= now)?;
        self.held.pop_front().map(|held| (held.lane, held.frame))
    }
}
