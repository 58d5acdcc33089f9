//! What a scenario does to its servers, many times over: recovery at random instants against the
//! phase of BFD, valid and invalid runs apart.

use super::bench::{Base, Bench, Ended};
use super::settings::Rules;
use super::trial::{Judge, spread};
use crate::exit::Refusal;
use crate::testbed::References;
use format::Plan;
use format::suite::{EventSpread, Results, Trial};
use format::summary::Recovery;

/// Part of the runs that must be valid for the figures to be used.
const VALID_MIN: f64 = 0.5;

/// Refuses a scenario in which nothing happens, or always at the same instant.
pub(super) fn refuse_unsuitable(plan: &Plan) -> Result<(), Refusal> {
    let injections = || plan.phases.iter().filter_map(|phase| phase.injection);
    if injections().next().is_none() {
        return Err(Refusal::Usage(
            "phase: nothing is done to the SUT, so there is nothing to recover from\n  Give a phase \
             `at` and `inject`, as in scenarios/server-failure.toml."
                .to_owned(),
        ));
    }
    let interval_ns = plan.network.bfd_interval_ns;
    let fixed = plan
        .phases
        .iter()
        .find(|phase| phase.injection.is_some_and(|injection| injection.spread_ns < interval_ns));
    match fixed {
        None => Ok(()),
        Some(phase) => Err(Refusal::Usage(format!(
            "phase.{}.at: always at the same instant of BFD's interval, which is {} ms\n  Give a \
             range that is as long or longer, such as at = \"1s..1.1s\".",
            phase.name,
            interval_ns as f64 / 1e6
        ))),
    }
}

/// Runs the suite.
pub(super) fn run(
    bench: &mut Bench<'_>,
    base: &Base,
    rules: &Rules,
) -> Result<Vec<EventSpread>, Ended> {
    let seed = base.given().plan.seed;
    let keys = base.whole();
    let mut trials = Vec::new();
    let mut references = References::default();
    for number in 1..=rules.repetitions {
        let seed = (seed + u64::from(number)) & i64::MAX as u64;
        let loaded = base.resolve(&keys, Some(seed))?;
        if number == 1 {
            references = bench.references("failover", &loaded)?;
        }
        let key = format!("run/{number}");
        trials.push(bench.once(&key, &loaded, references, Judge::Times)?);
    }
    Ok(events(&trials))
}

/// The events of a scenario in their order, over all trials.
fn events(trials: &[Trial]) -> Vec<EventSpread> {
    let count = trials.iter().map(|trial| trial.recovery_ms.len()).max().unwrap_or(0);
    (0..count).map(|index| event(trials, index)).collect()
}

fn event(trials: &[Trial], index: usize) -> EventSpread {
    let name = trials.iter().find_map(|trial| Some(trial.recovery_ms.get(index)?.event.clone()));
    let valid: Vec<&Trial> = trials.iter().filter(|trial| trial.valid).collect();
    let of = |value: &dyn Fn(&Recovery) -> Option<f64>| {
        spread(valid.iter().filter_map(|it| value(it.recovery_ms.get(index)?)).collect())
    };
    let gone = valid.iter().map(|trial| trial.phases.iter().map(|it| it.lost).sum::<u64>() as f64);
    EventSpread {
        event: name.unwrap_or_default(),
        valid: valid.len() as u32,
        invalid: (trials.len() - valid.len()) as u32,
        blocked_ms: of(&|it| it.blocked),
        longest_ms: of(&|it| it.max),
        detected_ms: of(&|it| it.detected),
        back_at_rate_ms: of(&|it| it.back_at_rate),
        connections_lost: spread(gone.collect()),
        collateral_lost: of(&|it| it.collateral_lost.map(|count| count as f64)),
    }
}

/// Why results cannot be used: of failures, that most of the runs are invalid. Other suites end at
/// the first trial that stays invalid.
pub(super) fn invalid_reasons(results: &Results, runs: u32) -> Vec<String> {
    let Results::Failover(events) = results else { return Vec::new() };
    let few = |event: &&EventSpread| f64::from(event.valid) < VALID_MIN * f64::from(runs);
    let few = events.iter().filter(few);
    few.map(|it| format!("{}: only {} of {runs} runs are valid", it.event, it.valid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use format::summary::Latency;

    fn trial(valid: bool, blocked: f64) -> Trial {
        let event = "kill sut.server[0]".to_owned();
        Trial {
            key: "run/1".to_owned(),
            run: "trials/0001".to_owned(),
            attempt: 1,
            valid,
            invalid_reasons: Vec::new(),
            pass_met: true,
            bound: None,
            latency_us: Latency::default(),
            latency_error_us: None,
            phases: Vec::new(),
            recovery_ms: vec![Recovery { event, blocked: Some(blocked), ..Recovery::default() }],
        }
    }

    #[test]
    fn invalid_runs_are_counted_and_in_no_figure() {
        let events = events(&[trial(true, 8.0), trial(false, 900.0), trial(true, 10.0)]);
        let [event] = &events[..] else { panic!("one event") };
        assert_eq!((event.valid, event.invalid), (2, 1));
        assert_eq!(event.blocked_ms.values, [8.0, 10.0]);
        assert_eq!((event.blocked_ms.median, event.blocked_ms.max), (Some(9.0), Some(10.0)));
        let results = Results::Failover(events);
        assert_eq!(invalid_reasons(&results, 3).len(), 0);
        assert_eq!(invalid_reasons(&results, 5).len(), 1);
    }
}
