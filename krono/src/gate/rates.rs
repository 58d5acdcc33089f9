//! How often a gate on this machine would have said what, by resampling pairs that were measured.
//!
//! All pairs of the design are measured without stopping. Then the gate is held once from each pair
//! on, over the pairs as they followed each other, going on from the first after the last; so drift
//! stays in. Gates that begin close to each other share most of their pairs: the rate is one of this
//! stretch of time on this machine, and no more exact than one over its number of independent gates.

use super::relative::Outcome;
use analysis::gate::{Class, Design, hold};
use std::collections::BTreeMap;

/// Words about the rates; `twins`: both programs are the same, so a regression is a false alarm.
pub(super) fn text(outcome: &Outcome, alpha: f64, twins: bool) -> String {
    let all = outcome.pairs;
    let design = Design::new(alpha, (all / 2).max(1));
    let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    for from in 0..all {
        let (class, used) = hold(&design, &outcome.metrics, from);
        *counts.entry(class).or_default() += 1;
        pairs.push(used as f64);
    }
    let count = |class: Class| counts.get(&class).copied().unwrap_or(0);
    let [regressed, pass, erratic] = [Class::Regressed, Class::Pass, Class::Erratic].map(count);
    let percent = |count: usize| 100.0 * count as f64 / all.max(1) as f64;
    let median = analysis::stats::median(&pairs).unwrap_or(0.0);
    let name = if twins { "false alarms" } else { "regressed" };
    format!(
        "{all} gates resampled from {all} pairs, {median:.0} pairs each in the median, {:.0} s: {name} \
         {regressed} ({:.1} %), pass {pass}, erratic {erratic}\n",
        median * outcome.took.as_secs_f64() / all.max(1) as f64,
        percent(regressed),
    )
}
