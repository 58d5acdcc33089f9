//! Systems of this project, on the testbed of the run: `embedded`, or `process` over memif.

use super::{Facts, Peer};
use crate::host;
use crate::testbed::{Observation, Outcome, embedded, process};
use dataplane::run::Stop;
use format::Plan;
use format::plan::{SutKind, Testbed};

/// Krononat or a baseline of it.
pub(super) struct Embedded(pub(super) SutKind);

impl Peer for Embedded {
    fn lacking(&self, _: &Plan) -> Option<String> {
        None
    }

    fn facts(&self, plan: &Plan) -> Facts {
        let what = match self.0 {
            SutKind::Forwarder => "sends every frame on; no state, no translation",
            SutKind::Maglev => {
                "a consistent hash to one of 64 servers; no state, no translation, no filter"
            }
            SutKind::LockedNat => "Krononat's code on one table for all cores; a mutex per burst",
            SutKind::RwlockNat => {
                "Krononat's code on one table for all cores; a reader-writer lock per burst, \
                 expiries put off by an eighth at a time"
            }
            _ => "share-nothing NAT",
        };
        let carrier = match plan.testbed {
            Testbed::Process => "memif to a process of its own",
            _ => "in-memory links",
        };
        let facts = [("version", host::VERSION), ("what", what), ("carrier", carrier)];
        facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        match plan.testbed {
            Testbed::Process => Ok(process::run(plan, stop, observe)?),
            _ => embedded::alone(plan, None, stop, observe),
        }
    }
}
