//! The SUT and its peers in turn, so that what drifts on the machine drifts under all of them.
//!
//! Each round begins with another system than the one before. The SUT's rounds become the trials of
//! the run; a peer's are kept apart, and none of its samples is told to whoever writes them down.

use super::Peer;
use crate::testbed::{Observation, Outcome, PeerRun, References, TestbedError, embedded};
use dataplane::run::Stop;
use format::plan::{Peers, Plan, SutKind, Testbed};
use std::time::Instant;

/// Runs a plan with peers, whose references may be known from before.
///
/// # Errors
/// As the testbed of the SUT; also when a peer did not start or broke off.
pub fn run(
    plan: &Plan,
    peers: &Peers,
    known: Option<References>,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let kinds: Vec<SutKind> =
        [plan.topology.sut_kind].iter().chain(&peers.kinds).copied().collect();
    let systems: Vec<(Box<dyn Peer>, Plan)> =
        kinds.iter().map(|&kind| (super::of(kind), plan.of_kind(kind))).collect();
    let mut runs: Vec<PeerRun> = systems
        .iter()
        .zip(&kinds)
        .map(|((peer, plan), &kind)| PeerRun { kind, facts: peer.facts(plan), phases: Vec::new() })
        .collect();
    let begun = Instant::now();
    let References { wire, forwarder, calibration } = match (known, &plan.testbed) {
        (Some(known), _) => known,
        (None, Testbed::Embedded) => embedded::references(&plan.of_kind(kinds[0]), stop, observe)?,
        (None, _) => References::default(),
    };
    let mut outcome = Outcome { wire, forwarder, calibration, ..Outcome::default() };
    for round in 0..peers.rounds {
        for turn in 0..kinds.len() {
            let at = (turn + round as usize) % kinds.len();
            if stop.is_set() {
                break;
            }
            let (peer, plan) = &systems[at];
            let (kind, offset_s) = (kinds[at], begun.elapsed().as_secs_f64());
            let mut tell = |mut observation: Observation| {
                if at == 0 {
                    observation.samples.iter_mut().for_each(|sample| sample.t_s += offset_s);
                    observation.events.iter_mut().for_each(|event| event.t_s += offset_s);
                } else {
                    observation.samples.clear();
                    observation.events.clear();
                    observation.phase = format!("{kind}: {}", observation.phase);
                }
                observe(observation);
            };
            let measured = peer.measure(plan, stop, &mut tell).map_err(|error| {
                TestbedError::failed(plan, error.context(format!("`{kind}`, round {round}")))
            })?;
            runs[at].facts.extend(measured.facts);
            let phases = measured.phases.into_iter().map(|mut phase| {
                phase.repetition = round;
                phase
            });
            runs[at].phases.extend(phases);
            if at == 0 {
                outcome.events.extend(measured.events.into_iter().map(|mut event| {
                    event.t_s += offset_s;
                    event
                }));
            }
        }
    }
    let mut runs = runs.into_iter();
    outcome.phases = runs.next().map(|subject| subject.phases).unwrap_or_default();
    outcome.peers = runs.collect();
    outcome.interrupted = stop.is_set();
    Ok(outcome)
}
