//! One core's work as a value: a burst per step, chores in between.

use crate::clock::Nanos;
use crate::run::Load;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A server of one role, counted from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ServerId(pub u16);

/// A core of one server, counted from 0: an index into its workers, not a processor number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CoreId(pub u16);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Packets a step received and sent; zero makes the step an idle one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Busy(pub u32);

/// Whether the run loop goes on after housekeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep stepping.
    Continue,
    /// The worker has nothing left to do.
    Finished,
}

/// One core of the generator or of the system under test.
pub trait Worker {
    /// One breath: receive, process, send, all bounded. Allocates nothing, takes no lock, reads no
    /// clock and writes no log.
    fn step(&mut self, now: Nanos) -> Busy;

    /// Chores between steps: publish counters, read control words, expire a slice. Bounded too.
    fn housekeeping(&mut self, now: Nanos, load: &Load) -> Next;
}
