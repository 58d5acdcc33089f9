//! How far a connection is in its life and when it ends: what each packet of it moves on.

use crate::conntrack::{Direction, Segment, State};
use crate::timer::{Deadlines, Tick};

/// A connection's state and the tick at which it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// What both sides have said.
    pub state: State,
    /// When silence ends it.
    pub expiry: u16,
}

impl Life {
    /// A connection that begins now.
    #[inline]
    pub fn begin(state: State, deadlines: &Deadlines, now: Tick) -> Life {
        Life { state, expiry: deadlines.after(now, state) }
    }

    /// The same connection after a packet.
    #[inline]
    #[must_use]
    pub fn after(
        self,
        direction: Direction,
        segment: Segment,
        deadlines: &Deadlines,
        now: Tick,
    ) -> Life {
        let state = self.state.after(direction, segment);
        let prolonged = (state != self.state) | state.prolonged_by(direction);
        // Selected by arithmetic: UDP and TCP differ here, and come at random.
        let kept = u16::from(!prolonged).wrapping_neg();
        let expiry = self.expiry & kept | deadlines.after(now, state) & !kept;
        Life { state, expiry }
    }

    /// Whether the connection is over.
    #[inline]
    pub fn is_past(self, now: Tick) -> bool {
        now.is_past(self.expiry)
    }
}
