//! Any device behind an interface of this machine, which somebody else has configured.
//!
//! Nothing of it is started or stopped. The generator speaks from the interface's own station and
//! sends everything to the device's; what the device is to translate, and where its answers go, is
//! said in the facts of the run and by `krono explain`. It is held to the same as anyone.

use super::{Facts, Peer};
use crate::layout::Layout;
use crate::testbed::{Observation, Outcome, device};
use anyhow::{Context, bail};
use dataplane::identity::Mac;
use dataplane::port::dpdk::PortKind;
use dataplane::run::Stop;
use format::Plan;
use format::plan;

/// A device at given addresses.
pub(super) struct External;

fn asked(plan: &Plan) -> anyhow::Result<&plan::External> {
    plan.external.as_ref().context("no [external]")
}

/// The station of an interface of this machine.
fn station(interface: &str) -> anyhow::Result<Mac> {
    let file = format!("/sys/class/net/{interface}/address");
    let text = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    text.trim().parse().with_context(|| format!("{file}: {}", text.trim()))
}

/// What the device has to be told.
pub(crate) fn wanted(plan: &Plan) -> anyhow::Result<String> {
    let (external, layout) = (asked(plan)?, Layout::new(plan));
    let (generator, server) = (layout.generator(0), layout.sut(0));
    let core = &server.cores[0];
    let subscribers: Vec<String> = core.subscribers.iter().map(ToString::to_string).collect();
    let Some(outside) = core.external else { bail!("a core without external addresses") };
    Ok(format!(
        "{} to {outside} for {}, all next hops {} at {}",
        subscribers.join(" and "),
        generator.cores[0].servers,
        generator.cores[0].identity.ip,
        station(&external.interface)?
    ))
}

impl Peer for External {
    fn lacking(&self, plan: &Plan) -> Option<String> {
        let found = asked(plan).and_then(|external| station(&external.interface));
        match found {
            Err(error) => Some(format!("[external] interface: {error:#}; see `ip link`")),
            Ok(_) => device::lacking(plan),
        }
    }

    fn facts(&self, plan: &Plan) -> Facts {
        let place = plan.external.as_ref().map(|it| format!("{} by {}", it.mac, it.interface));
        [
            ("what", format!("a device at {}", place.unwrap_or_default())),
            ("carrier", "the generator's packet socket".to_owned()),
            ("is to translate", wanted(plan).unwrap_or_default()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let external = asked(plan)?;
        let stations = device::Stations {
            own: station(&external.interface)?,
            device: external.mac.parse().with_context(|| external.mac.clone())?,
        };
        let port = PortKind::AfPacket { interface: external.interface.clone() };
        let place = device::Place::Here(stations);
        device::run(plan, port, place, stop, observe)
    }
}
