//! Where every planned packet ended: in exactly one class, asserted at the end of each trial.
//!
//! `planned = on_time + late + lost + unsent`. A packet is *planned* when its schedule or a
//! handshake asks for it, *sent* when the port has accepted it, otherwise *unsent*. What was sent
//! and has not arrived at the end of the drain is *lost*; nothing is ever added to `lost`, so no
//! error of counting can hide there. Beside the classes stand flags:
//!
//! * `mistranslated`: arrived intact with other outer addresses or ports than recorded. It has
//!   arrived: its class is on-time or late. It was not forwarded as it should: no rate counts it.
//! * `corrupt`, `misrouted`: nothing in it can be believed, or another core received it. It has not
//!   arrived: its class, at the sender, is lost.
//! * `duplicate`: a copy beyond the first. `stale`: older than the window of its stream, so that
//!   nobody can say whether it is one; neither counts as an arrival.
//! * `reordered`: arrived, after a later packet of its stream.
//! * `stray`: of a connection that is over. `other_trial`: of another trial. `foreign`: no probe.
//!
//! Control segments of TCP carry no time and are on time when they arrive within the trial.

use serde::{Deserialize, Serialize};

/// Counts of one core and trial, in packets unless a name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Asked for by the schedule or a handshake.
    pub planned: u64,
    /// Accepted by the port.
    pub sent: u64,
    /// Planned and not sent.
    pub unsent: u64,
    /// Arrived within the deadline.
    pub on_time: u64,
    /// Arrived after the deadline and before the end of the drain.
    pub late: u64,
    /// Copies beyond the first.
    pub duplicate: u64,
    /// Arrived after a later one of the same connection and direction.
    pub reordered: u64,
    /// Damaged.
    pub corrupt: u64,
    /// Sent by another core.
    pub misrouted: u64,
    /// Arrived with wrong outer addresses or ports.
    pub mistranslated: u64,
    /// Too old to say whether it is a duplicate.
    pub stale: u64,
    /// Of a connection that is over.
    pub stray: u64,
    /// Of another trial.
    pub other_trial: u64,
    /// Frames that no generator sent.
    pub foreign: u64,
    /// Of `planned`: packets of handshakes, openings and closings.
    pub control: u64,
    /// Of these, not sent.
    pub control_unsent: u64,
    /// Data sent later than 100 µs after their planned instant, but for those that waited for room while
    /// the generator was there to send them: what it is itself to blame for.
    pub sent_late: u64,
    /// Bytes sent, Ethernet frames with frame check sequence.
    pub sent_bytes: u64,
    /// Bytes arrived as they should, likewise.
    pub arrived_bytes: u64,
}

impl Ledger {
    /// Packets that have arrived.
    pub fn arrived(&self) -> u64 {
        self.on_time + self.late
    }

    /// Packets that have arrived with the addresses and ports of their connection. Copies of
    /// mistranslated packets count against them too, so these are never too many.
    pub fn verified(&self) -> u64 {
        self.arrived().saturating_sub(self.mistranslated)
    }

    /// Data packets sent: those that have a schedule.
    pub fn data_sent(&self) -> u64 {
        self.sent.saturating_sub(self.control.saturating_sub(self.control_unsent))
    }

    /// Packets sent that have not arrived.
    ///
    /// # Panics
    /// If more arrived than were sent: the ledger is broken.
    pub fn lost(&self) -> u64 {
        let lost = self.sent.checked_sub(self.arrived());
        lost.expect("no more packets arrive than were sent")
    }

    /// Asserts that every planned packet is in exactly one class.
    ///
    /// # Panics
    /// If it is not.
    pub fn assert_conserved(&self) {
        let classes = self.on_time + self.late + self.lost() + self.unsent;
        assert_eq!(self.planned, classes, "planned packets and their classes: {self:?}");
    }

    /// Adds the counts of another core or trial.
    pub fn add(&mut self, other: &Ledger) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.unsent += other.unsent;
        self.on_time += other.on_time;
        self.late += other.late;
        self.duplicate += other.duplicate;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.misrouted += other.misrouted;
        self.mistranslated += other.mistranslated;
        self.stale += other.stale;
        self.stray += other.stray;
        self.other_trial += other.other_trial;
        self.foreign += other.foreign;
        self.control += other.control;
        self.control_unsent += other.control_unsent;
        self.sent_late += other.sent_late;
        self.sent_bytes += other.sent_bytes;
        self.arrived_bytes += other.arrived_bytes;
    }
}

impl From<&Ledger> for format::summary::Ledger {
    fn from(ledger: &Ledger) -> Self {
        format::summary::Ledger {
            planned: ledger.planned,
            on_time: ledger.on_time,
            late: ledger.late,
            lost: ledger.lost(),
            unsent: ledger.unsent,
            duplicate: ledger.duplicate,
            reordered: ledger.reordered,
            corrupt: ledger.corrupt,
            misrouted: ledger.misrouted,
            mistranslated: ledger.mistranslated,
            // Packets of attacks are no probes: the trial has them apart.
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger { planned: 10, sent: 8, unsent: 2, on_time: 5, late: 1, ..Ledger::default() }
    }

    #[test]
    fn what_did_not_arrive_is_lost() {
        let mut sum = ledger();
        sum.assert_conserved();
        sum.add(&ledger());
        sum.assert_conserved();
        assert_eq!(sum.lost(), 4);
        let handshakes = Ledger { control: 3, control_unsent: 1, ..ledger() };
        assert_eq!(handshakes.data_sent(), 6);
        // A copy of a mistranslated packet is one more of them, and no arrival.
        let wrong = Ledger { mistranslated: 2, duplicate: 1, ..ledger() };
        assert_eq!((wrong.arrived(), wrong.verified()), (6, 4));
        assert_eq!(Ledger { mistranslated: 9, ..ledger() }.verified(), 0);
        assert!(format::summary::Ledger::from(&sum).conserved());
    }

    #[test]
    #[should_panic(expected = "no more packets arrive than were sent")]
    fn more_arrivals_than_packets_are_a_defect() {
        Ledger { on_time: 9, ..ledger() }.assert_conserved();
    }

    #[test]
    #[should_panic(expected = "planned packets and their classes")]
    fn a_packet_without_class_is_a_defect() {
        Ledger { planned: 11, ..ledger() }.assert_conserved();
    }
}
