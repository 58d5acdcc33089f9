//! What the peers of a run did, beside the SUT's own trials.

use super::certificate::Load;
use super::{CONFIDENCE, seconds, throughput};
use crate::testbed::{Outcome, PeerRun, PhaseOutcome};
use analysis::stats::bootstrap;
use format::plan::Plan;
use format::summary::{Bound, Ledger, Peer, Trial};
use kronogen::trial::Record;

/// One entry for each peer, in the order of the plan; `trials` are the SUT's, and `right` what it
/// sent. There is no ratio to packets that are not.
pub(super) fn peers(plan: &Plan, outcome: &Outcome, trials: &[Trial], right: bool) -> Vec<Peer> {
    let each = outcome.peers.iter().map(|run| peer(plan, run, trials));
    each.map(|peer| Peer { ratio: peer.ratio.filter(|_| right), ..peer }).collect()
}

fn peer(plan: &Plan, run: &PeerRun, subject: &[Trial]) -> Peer {
    let plan = plan.of_kind(run.kind);
    let measured = plan.measured_phase().map(|phase| phase.name.as_str());
    let trials: Vec<&PhaseOutcome> =
        run.phases.iter().filter(|phase| Some(phase.name.as_str()) == measured).collect();
    let rates = throughput(&plan, &trials, &[]);
    let wrong = wrong(&run.phases, &trials);
    let verified = wrong.is_empty();
    let bound = Load::of(&trials, &plan).bound(&trials);
    // The same round under both: what disturbed one is likely to have disturbed the other.
    let ratios: Vec<f64> = subject
        .iter()
        .zip(&rates.trials)
        .filter(|(_, peer)| peer.forwarded_mpps > 0.0)
        .map(|(subject, peer)| subject.forwarded_mpps / peer.forwarded_mpps)
        .collect();
    let ratio = bootstrap::of_median(&ratios, CONFIDENCE, plan.seed).map(|it| it.estimate());
    let sum = |value: fn(&Record) -> u64| {
        trials.iter().flat_map(|trial| &trial.generators).map(value).sum::<u64>()
    };
    let (sent, lost) = (sum(|record| record.ledger.sent), sum(|record| record.ledger.lost()));
    let scan = [sum(|record| record.attack.scan_sent), sum(|record| record.attack.scan_passed)];
    Peer {
        kind: run.kind,
        verified,
        wrong,
        mpps_per_core: rates.mpps_per_core.filter(|_| verified),
        at_least: bound != Some(Bound::Sut),
        lost_share: (sent > 0).then(|| lost as f64 / sent as f64),
        scan_passed_share: (scan[0] > 0).then(|| scan[1] as f64 / scan[0] as f64),
        ratio: ratio.filter(|_| verified),
        trials: rates.trials,
        facts: run.facts.clone(),
    }
}

/// What a NAT must not do, whatever its rate. What it loses is told by its share.
pub(super) fn wrong(phases: &[PhaseOutcome], trials: &[&PhaseOutcome]) -> Vec<String> {
    let records = || phases.iter().flat_map(|phase| &phase.generators);
    let ledger: Ledger = records().map(super::ledger).sum();
    let failed: u64 = records().map(|record| record.failed).sum();
    let arrived: u64 = trials
        .iter()
        .filter(|trial| seconds(trial) > 0.0)
        .flat_map(|trial| &trial.generators)
        .map(|record| record.ledger.verified())
        .sum();
    let counted = [
        (failed, "connections were not established"),
        (ledger.mistranslated, "packets came with another translation than their connection's"),
        (ledger.misrouted, "packets came to another core than their connection's"),
        (ledger.corrupt, "packets came with another content"),
    ];
    let mut wrong: Vec<String> = counted
        .into_iter()
        .filter(|&(count, _)| count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if arrived == 0 {
        wrong.push("no packet of the measured phase came back".to_owned());
    }
    wrong
}
