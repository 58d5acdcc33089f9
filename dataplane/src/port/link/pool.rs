//! The frames of one port that nobody uses: whole bursts of them, and a burst of loose ones.
//!
//! A port gives and takes mostly full bursts, and one that is moved as a whole costs a copy of 264
//! bytes instead of some ten instructions for each of its frames. The one used last goes out first,
//! as its header lines are the likeliest to be in the cache still.

use super::Handle;
use crate::burst::{BURST, Burst};

/// Frames in stock. Never allocates after it is made.
pub(super) struct Pool<'a> {
    bursts: Vec<Burst<Handle<'a>>>,
    loose: Burst<Handle<'a>>,
}

impl<'a> Pool<'a> {
    /// An empty one with room for `frames`.
    pub(super) fn with_capacity(frames: usize) -> Self {
        Pool { bursts: Vec::with_capacity(frames.div_ceil(BURST)), loose: Burst::new() }
    }

    /// Frames in it.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.bursts.len() * BURST + self.loose.len()
    }

    /// Puts a frame in.
    #[inline]
    pub(super) fn push(&mut self, frame: Handle<'a>) {
        if self.loose.is_full() {
            self.bursts.push(std::mem::take(&mut self.loose));
        }
        self.loose.push(frame);
    }

    /// Puts a burst in.
    #[inline]
    pub(super) fn put(&mut self, burst: &mut Burst<Handle<'a>>) {
        if burst.is_full() {
            self.bursts.push(std::mem::take(burst));
        } else {
            burst.drain(..).for_each(|frame| self.push(frame));
        }
    }

    /// Appends up to `count` frames to `into`, which has room for them.
    #[inline]
    pub(super) fn take(&mut self, into: &mut Burst<Handle<'a>>, count: usize) {
        if count == BURST
            && into.is_empty()
            && let Some(burst) = self.bursts.pop()
        {
            *into = burst;
            return;
        }
        for _ in 0..count {
            if self.loose.is_empty()
                && let Some(burst) = self.bursts.pop()
            {
                self.loose = burst;
            }
            let Some(frame) = self.loose.pop() else { break };
            into.push(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Arena;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        /// Every frame is either inside or outside, whatever is taken and put back.
        #[test]
        fn no_frame_is_lost_or_given_twice(steps in prop::collection::vec((any::<bool>(), 0..=BURST), 1..60)) {
            let mut arena = Arena::new(100)?;
            let mut pool = Pool::with_capacity(100);
            for (buffer, number) in arena.buffers().zip(0..) {
                buffer.owner = number;
                pool.push(buffer);
            }
            let capacity = pool.bursts.capacity();
            let mut outside: Vec<Handle<'_>> = Vec::new();
            for (take, count) in steps {
                let mut burst = Burst::new();
                if take {
                    let expected = count.min(pool.len());
                    pool.take(&mut burst, count);
                    prop_assert_eq!(burst.len(), expected);
                    outside.extend(burst);
                } else {
                    burst.extend(outside.drain(..count.min(outside.len())));
                    pool.put(&mut burst);
                    prop_assert!(burst.is_empty());
                }
                let numbers: HashSet<u16> = outside.iter().map(|frame| frame.owner).collect();
                prop_assert_eq!((numbers.len(), pool.len()), (outside.len(), 100 - outside.len()));
                prop_assert_eq!(pool.bursts.capacity(), capacity);
            }
        }
    }
}
