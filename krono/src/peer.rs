//! Systems that are run beside the SUT: what each needs, and how it is measured.
//!
//! A peer is one file below this one with a [`Peer`]. It starts its system, waits until that is
//! ready, lets the phases run and stops it; what it returns was counted by the generator alone,
//! which learns a translation from packets and holds each system to it. [`rounds`] runs them in
//! turn. What is not installed is refused before anything is written, with the command that
//! installs it.

mod baseline;
pub(crate) mod external;
mod kernel;
pub(crate) mod namespace;
mod nftables;
mod ovs;
mod remote;
pub mod rounds;
pub(crate) mod service;
mod subscribers;

use crate::testbed::{Observation, Outcome, TestbedError};
use dataplane::run::Stop;
use format::Plan;
use format::plan::SutKind;
use std::collections::BTreeMap;

/// What there is to know of a peer, in words: `version`, `carrier` (what brings it its packets), and
/// whatever of its configuration bears on the figures.
pub type Facts = BTreeMap<String, String>;

/// A system that can be run in the SUT's place.
pub trait Peer {
    /// What this machine lacks for `plan`, and the command that provides it.
    fn lacking(&self, plan: &Plan) -> Option<String>;

    /// What a reader must know of it.
    fn facts(&self, plan: &Plan) -> Facts;

    /// Starts it, runs all phases of `plan` and stops it, however the run ends.
    ///
    /// # Errors
    /// When it did not start, or ended before its time.
    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome>;
}

/// The peer of a kind.
pub fn of(kind: SutKind) -> Box<dyn Peer> {
    match kind {
        SutKind::Kernel => Box::new(kernel::Kernel),
        SutKind::PerSubscriber => Box::new(subscribers::PerSubscriber),
        SutKind::External => Box::new(external::External),
        SutKind::OvsDpdk => Box::new(ovs::Ovs),
        SutKind::RemoteState => Box::new(remote::Remote),
        kind => Box::new(baseline::Embedded(kind)),
    }
}

/// What this machine lacks for any of the systems of `plan`.
pub fn lacking(plan: &Plan) -> Option<String> {
    let peers = plan.peers.iter().flat_map(|peers| &peers.kinds);
    [plan.topology.sut_kind].iter().chain(peers).find_map(|&kind| {
        let missing = of(kind).lacking(&plan.of_kind(kind))?;
        Some(format!("`{kind}` cannot run here: {missing}"))
    })
}

/// Runs a plan whose SUT is none of this project's, and without peers.
///
/// # Errors
/// When it did not start or broke off.
pub fn run(
    plan: &Plan,
    stop: &Stop,
    observe: &mut dyn FnMut(Observation),
) -> Result<Outcome, TestbedError> {
    let measured = of(plan.topology.sut_kind).measure(plan, stop, observe);
    measured.map_err(|error| TestbedError::failed(plan, error))
}
