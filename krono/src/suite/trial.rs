//! From a run to the trial of a suite: its counts, phase by phase, and whether they may be used.

use crate::summarise::{LATE, SENT_LATE};
use crate::testbed::{Outcome, PhaseOutcome};
use format::Summary;
use format::plan::Testbed;
use format::suite::{Phase, Spread, Trial};
use format::summary::Bound;
use kronogen::ledger::Ledger;
use kronogen::trial::Record;
use kronogen::verdict::Verdicts;

/// Share of batches without room from which the network is what the generator waited for.
const ROOM_LIMITED_MIN: f64 = 0.5;
/// Share of the time that a SUT core is busy when it is offered more than it can take.
const OVERLOADED_MIN: f64 = 0.9;
/// Longest pause of a generator that opens connections in time: what is further behind is shed.
const GAP_US_MAX: f64 = 10_000.0;
/// Share of what was planned that may be missing because the generator itself stood still.
const PAUSED_SHARE_MAX: f64 = 0.01;

/// By which rules a trial is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Packets are counted. That the generator waited for a SUT that was offered too much is a
    /// result; that it was late by itself is one only where nothing was lost, since what is late
    /// comes in a burst and is the harder to forward.
    Packets,
    /// Times are measured: the certificate must hold whatever the reason.
    Times,
    /// Connections are counted: where some are missing that were asked for the generator must not
    /// have paused.
    Setups,
}

/// The trial of a run.
pub(super) fn of(
    key: &str,
    run: String,
    attempt: u32,
    summary: &Summary,
    outcome: &Outcome,
    judge: Judge,
) -> Trial {
    let phases: Vec<Phase> = outcome.phases.iter().map(phase).collect();
    let virtual_time = summary.run.testbed == Testbed::Sim.to_string();
    // In virtual time nobody is kept from running: who is late has more to do than it can.
    let excused = virtual_time || overloaded(summary, &phases);
    let invalid_reasons = reasons(judge, &summary.invalid_reasons, excused, &phases);
    Trial {
        key: key.to_owned(),
        run,
        attempt,
        valid: invalid_reasons.is_empty(),
        invalid_reasons,
        pass_met: summary.pass.met,
        bound: summary.throughput.bound,
        latency_us: summary.latency_us,
        latency_error_us: summary.latency_error_us,
        phases,
        recovery_ms: summary.recovery_ms.clone(),
    }
}

/// Why a trial cannot be used, of what its certificate says and what the generator did. That it was
/// late is `excused` where it was made to wait.
fn reasons(judge: Judge, certificate: &[String], excused: bool, phases: &[Phase]) -> Vec<String> {
    let mut reasons = certificate.to_vec();
    if judge != Judge::Times {
        let whole = phases.last().is_some_and(is_whole);
        let forgiven = |reason: &String| excused || whole && reason.contains(SENT_LATE);
        reasons.retain(|reason| !(reason.starts_with(LATE) && forgiven(reason)));
    }
    if let Some(phase) = phases.iter().find(|it| is_spoilt(it)).filter(|_| judge == Judge::Setups) {
        reasons.push(format!(
            "{LATE}: it paused for {:.1} ms in `{}` and opened less than it was asked to",
            phase.longest_gap_us / 1e3,
            phase.name
        ));
    }
    reasons
}

/// Whether every packet that was due while the generator ran came back.
fn is_whole(phase: &Phase) -> bool {
    phase.planned > 0 && phase.arrived + phase.paused >= phase.planned
}

/// Whether a pause of the generator may be why connections are missing, or is why more of them were
/// not asked for than a trial can do without.
fn is_spoilt(phase: &Phase) -> bool {
    let missing = phase.failed + phase.retried + phase.unsent.saturating_sub(phase.paused);
    let asked = phase.opened.max(phase.closed) + phase.failed + phase.paused;
    missing > 0 && phase.longest_gap_us > GAP_US_MAX
        || phase.paused as f64 > PAUSED_SHARE_MAX * asked as f64
}

/// Whether the SUT was offered more than it can take, which makes whoever sends wait.
fn overloaded(summary: &Summary, phases: &[Phase]) -> bool {
    let waited = phases.last().is_some_and(|phase| phase.room_limited_share >= ROOM_LIMITED_MIN);
    let busy = summary.sut.cores.iter().filter_map(|core| core.busy_share).fold(0.0, f64::max);
    waited || (busy >= OVERLOADED_MIN && summary.throughput.bound == Some(Bound::Sut))
}

fn phase(outcome: &PhaseOutcome) -> Phase {
    let (mut ledger, mut verdicts) = (Ledger::default(), Verdicts::default());
    for record in &outcome.generators {
        ledger.add(&record.ledger);
        verdicts.add(&record.verdicts);
    }
    let sum = |value: fn(&Record) -> u64| outcome.generators.iter().map(value).sum::<u64>();
    let (batches, limited) = (sum(|it| it.batches), sum(|it| it.room_limited));
    let gap_ns = outcome.generators.iter().map(|it| it.longest_gap_ns).max().unwrap_or(0);
    Phase {
        name: outcome.name.clone(),
        seconds: outcome.generators.iter().map(|it| it.seconds).fold(0.0, f64::max),
        planned: ledger.planned,
        arrived: ledger.verified(),
        unsent: ledger.unsent,
        sent_late: ledger.sent_late,
        room_limited_share: if batches > 0 { limited as f64 / batches as f64 } else { 0.0 },
        paused: sum(|it| it.paused),
        longest_gap_us: gap_ns as f64 / 1e3,
        opened: sum(|it| it.opened),
        failed: sum(|it| it.failed),
        retried: sum(|it| it.retried),
        closed: sum(|it| it.closed),
        kept: verdicts.kept,
        gone: verdicts.recovered + verdicts.remapped + verdicts.reset + verdicts.lost,
        lost: verdicts.lost,
    }
}

/// Values with what is said of them.
pub(super) fn spread(values: Vec<f64>) -> Spread {
    let at = |p| analysis::stats::quantile(&values, p);
    let (min, p1, median) = (at(0.0), at(0.01), at(0.5));
    let (p99, max) = (at(0.99), at(1.0));
    Spread { min, p1, median, p99, max, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_generator_is_excused_only_where_it_had_to_wait_and_packets_are_counted() {
        let late =
            [format!("{LATE}: 3 % of the packets left more than 100 us after their instant")];
        let broken = ["planned = on time + late + lost + unsent does not hold".to_owned()];
        for (judge, excused, certificate, reasons_left) in [
            (Judge::Packets, false, &late[..], 1),
            (Judge::Packets, true, &late, 0),
            (Judge::Times, true, &late, 1),
            (Judge::Packets, true, &broken, 1),
            (Judge::Times, false, &[], 0),
        ] {
            let left = reasons(judge, certificate, excused, &[]);
            assert_eq!(left.len(), reasons_left, "{judge:?} {excused} {certificate:?}");
        }
    }

    #[test]
    fn a_late_generator_of_which_all_came_back_has_shown_that_it_can_be_forwarded() {
        let late = [format!("{LATE}: 3 % of the packets {SENT_LATE} 100 us after their instant")];
        let slow = [format!("{LATE}: it sent 98 % of the planned rate")];
        let phase = |arrived, paused| {
            [Phase { planned: 1000, arrived, paused, unsent: paused, ..Phase::default() }]
        };
        for (judge, phases, certificate, reasons_left) in [
            (Judge::Packets, phase(1000, 0), &late, 0),
            (Judge::Packets, phase(997, 3), &late, 0),
            (Judge::Packets, phase(999, 0), &late, 1),
            (Judge::Packets, phase(0, 0), &late, 1),
            (Judge::Times, phase(1000, 0), &late, 1),
            (Judge::Packets, phase(980, 20), &slow, 1),
        ] {
            let left = reasons(judge, certificate, false, &phases);
            assert_eq!(left.len(), reasons_left, "{judge:?} {phases:?}");
        }
    }

    #[test]
    fn connections_that_are_missing_after_a_pause_say_nothing() {
        let phase = |retried, longest_gap_us| Phase { retried, longest_gap_us, ..Phase::default() };
        for (phase, invalid) in
            [(phase(0, 50_000.0), 0), (phase(3, 900.0), 0), (phase(3, 10_001.0), 1)]
        {
            assert_eq!(reasons(Judge::Setups, &[], false, &[phase]).len(), invalid);
        }
    }

    #[test]
    fn connections_that_nobody_asked_for_do_not_count_up_to_a_hundredth() {
        let phase = |opened, paused, unsent| Phase {
            opened,
            paused,
            unsent,
            longest_gap_us: 40_000.0,
            ..Phase::default()
        };
        for (phase, invalid) in
            [(phase(9_900, 100, 100), 0), (phase(9_900, 101, 101), 1), (phase(9_900, 10, 11), 1)]
        {
            assert_eq!(reasons(Judge::Setups, &[], false, &[phase]).len(), invalid);
        }
    }

    #[test]
    fn a_spread_is_of_its_values() {
        let of = spread(vec![3.0, 1.0, 2.0]);
        assert_eq!((of.min, of.median, of.max), (Some(1.0), Some(2.0), Some(3.0)));
        assert_eq!(of.values, [3.0, 1.0, 2.0]);
        assert_eq!(spread(Vec::new()), Spread::default());
    }
}
