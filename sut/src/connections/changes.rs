//! What has changed since it was asked last, for whoever keeps a copy elsewhere.
//!
//! Noted is where, not what: the copy is told what is there when it is told. A TCP connection is
//! noted once its handshake is complete and not before: one that is cut off half-way is opened anew
//! by its next SYN, a copy spares no one anything, and a flood of SYNs costs a cluster no more than
//! it costs one core. What a packet prolongs is not noted either; a walk over all says it in time.

use crate::conntrack::State;
use crate::ports::Slot;
use arrayvec::ArrayVec;

/// Where a session is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the record of its mapping.
    Record(Slot),
    /// In the pool of sessions that share a mapping, at this index.
    Session(u32),
}

/// Places that can be noted between two questions: those of a burst, twice over.
const NOTED_MAX: usize = 128;

/// The places where something has changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    wanted: bool,
    noted: ArrayVec<Place, NOTED_MAX>,
    /// Something has changed that found no room.
    missed: bool,
}

impl Changes {
    /// Notes from now on.
    pub(super) fn want(&mut self) {
        self.wanted = true;
    }

    /// Notes that the session at `place` has come to `state`.
    #[inline]
    pub(super) fn note(&mut self, place: Place, state: State) {
        if self.wanted && !state.is_half_open() {
            self.missed |= self.noted.try_push(place).is_err();
        }
    }

    /// Tells and forgets what was noted; `true` if something was missed.
    pub(super) fn take(&mut self, mut tell: impl FnMut(Place)) -> bool {
        self.noted.drain(..).for_each(&mut tell);
        std::mem::take(&mut self.missed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.noted.is_empty() && !self.missed
    }
}
