//! Where probes end: the counts that every trial, core and run report in the same form.
//!
//! Counts only. Which class a probe ends in is decided by the generator, from packets alone; here
//! they are added up, and shown to be complete. Packets of attacks are no probes: they stand beside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign};

/// Where probes ended: each in exactly one class (the first line), with flags (the second). Beside
/// them, and in none of these, the packets of attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// Probes planned.
    pub planned: u64,
    /// Came back before the deadline.
    pub on_time: u64,
    /// Came back after the deadline and before the end of the drain.
    pub late: u64,
    /// Not back at the end of the drain.
    pub lost: u64,
    /// Planned, never left the generator.
    pub unsent: u64,
    /// Copies beyond the first.
    pub duplicate: u64,
    /// Arrived after a later probe of the same stream.
    pub reordered: u64,
    /// Content differs from what was sent.
    pub corrupt: u64,
    /// Came back to another core than the one that expects it.
    pub misrouted: u64,
    /// Outer addresses or ports differ from those recorded at set-up.
    pub mistranslated: u64,
    /// SYNs of a flood sent: no probes, not planned and never lost.
    #[serde(default)]
    pub flood_sent: u64,
    /// Of these, the ones that the SUT let through.
    #[serde(default)]
    pub flood_passed: u64,
    /// Packets of a scan from outside sent: no probes, not planned and never lost.
    #[serde(default)]
    pub scan_sent: u64,
    /// Of these, the ones that reached a subscriber.
    #[serde(default)]
    pub scan_passed: u64,
}

impl Ledger {
    /// Whether every planned probe ended in exactly one class. Asserted on every trial.
    pub fn conserved(&self) -> bool {
        [self.on_time, self.late, self.lost, self.unsent]
            .iter()
            .try_fold(0u64, |sum, &class| sum.checked_add(class))
            == Some(self.planned)
    }
}

impl Add for Ledger {
    type Output = Ledger;
    fn add(self, other: Ledger) -> Ledger {
        Ledger {
            planned: self.planned + other.planned,
            on_time: self.on_time + other.on_time,
            late: self.late + other.late,
            lost: self.lost + other.lost,
            unsent: self.unsent + other.unsent,
            duplicate: self.duplicate + other.duplicate,
            reordered: self.reordered + other.reordered,
            corrupt: self.corrupt + other.corrupt,
            misrouted: self.misrouted + other.misrouted,
            mistranslated: self.mistranslated + other.mistranslated,
            flood_sent: self.flood_sent + other.flood_sent,
            flood_passed: self.flood_passed + other.flood_passed,
            scan_sent: self.scan_sent + other.scan_sent,
            scan_passed: self.scan_passed + other.scan_passed,
        }
    }
}

impl AddAssign for Ledger {
    fn add_assign(&mut self, other: Ledger) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Ledger {
    fn sum<I: Iterator<Item = Ledger>>(ledgers: I) -> Ledger {
        ledgers.fold(Ledger::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_conserved_only_when_every_probe_has_one_class() {
        let whole =
            Ledger { planned: 10, on_time: 4, late: 3, lost: 2, unsent: 1, ..Default::default() };
        assert!(whole.conserved());
        assert!([whole, whole].into_iter().sum::<Ledger>().conserved());
        assert!(!Ledger { late: 4, ..whole }.conserved());
        assert!(!Ledger { on_time: u64::MAX, ..whole }.conserved());
        // Flags are no classes: a duplicate must not stand for a lost packet.
        assert!(!Ledger { lost: 1, duplicate: 1, ..whole }.conserved());
    }
}
