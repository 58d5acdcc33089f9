//! What a controller tells the cores of a server, and what they tell it.
//!
//! One controller writes [`Control`], every core reads it at housekeeping. Each core writes its own
//! [`Progress`], which the controller and the live view read. Nothing here is read or written for
//! a packet.

use dataplane::clock::Nanos;
use dataplane::counter::Published;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Order to begin phases, and to finish.
#[derive(Debug, Default)]
pub struct Control {
    /// Phases ordered so far; `usize::MAX` to finish.
    ordered: AtomicUsize,
    /// Common start of the last one.
    start: AtomicU64,
}

/// An order as a core reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Nothing yet.
    Wait,
    /// Begin this phase (counted from 0) at this instant.
    Begin(usize, Nanos),
    /// Leave.
    Finish,
}

impl Control {
    /// Orders phase `index` (counted from 0) to begin at `start`. All cores must have ended the
    /// phase before.
    pub fn begin(&self, index: usize, start: Nanos) {
        self.start.store(start.0, Ordering::Relaxed);
        self.ordered.store(index + 1, Ordering::Release);
    }

    /// Orders every core to leave.
    pub fn finish(&self) {
        self.ordered.store(usize::MAX, Ordering::Release);
    }

    /// The latest order.
    pub fn order(&self) -> Order {
        match self.ordered.load(Ordering::Acquire) {
            0 => Order::Wait,
            usize::MAX => Order::Finish,
            count => Order::Begin(count - 1, Nanos(self.start.load(Ordering::Relaxed))),
        }
    }
}

/// A value in a core's [`Progress`]. Counts are those of the current phase and start at zero with
/// it, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// Phases ended by this core since the start.
    PhasesEnded,
    /// Phase under way or ended last, counted from 0.
    Phase,
    /// Connections held now.
    Held,
    /// Connections established now.
    Established,
    /// `Ledger::planned`.
    Planned,
    /// `Ledger::sent`.
    Sent,
    /// `Ledger::unsent`.
    Unsent,
    /// `Ledger::on_time`.
    OnTime,
    /// `Ledger::late`.
    Late,
    /// `Ledger::duplicate`.
    Duplicate,
    /// `Ledger::corrupt`.
    Corrupt,
    /// `Ledger::misrouted`.
    Misrouted,
    /// `Ledger::mistranslated`.
    Mistranslated,
    /// `Ledger::sent_bytes`.
    SentBytes,
    /// `Ledger::arrived_bytes`.
    ArrivedBytes,
    /// Connections established.
    Opened,
    /// Connections closed.
    Closed,
    /// Connections given up.
    Failed,
    /// Median latency in ns, some 100 ms old.
    LatencyP50,
    /// 99th percentile of latency in ns, some 100 ms old.
    LatencyP99,
    /// Time of steps that moved packets, in ns since the thread's start.
    BusyNs,
    /// All other time, likewise.
    IdleNs,
}

/// Number of fields.
pub const FIELDS: usize = Field::IdleNs as usize + 1;

/// What one core publishes.
pub type Progress = Published<FIELDS>;

/// One reading of a core's [`Progress`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reading([u64; FIELDS]);

impl Reading {
    /// Reads all fields.
    pub fn of(progress: &Progress) -> Reading {
        Reading(progress.get_all())
    }

    /// One value.
    pub fn get(&self, field: Field) -> u64 {
        self.0[field as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_as_given() {
        let control = Control::default();
        assert_eq!(control.order(), Order::Wait);
        control.begin(0, Nanos(5));
        assert_eq!(control.order(), Order::Begin(0, Nanos(5)));
        control.begin(1, Nanos(9));
        assert_eq!(control.order(), Order::Begin(1, Nanos(9)));
        control.finish();
        assert_eq!(control.order(), Order::Finish);
    }
}
