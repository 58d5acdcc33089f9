//! Linux: nftables and its connection tracking, in a network namespace.
//!
//! One cable, a veth pair, joins the generator's packet socket with the kernel under test, which
//! routes everything back to where it came from (a NAT on a stick, as Krononat is). What arrives is
//! handed to the second processor by receive packet steering, so that the generator's does none of
//! the kernel's work; the copy into the generator's ring is the kernel's, as on a NIC the copy to
//! memory is the NIC's: some of its figure is the price of a packet socket.
//!
//! Set as favourably as it can be without changing what it does: checksums are not verified in
//! software, TCP windows are not tracked (the generator's sequence numbers are its own), and it is
//! refused where the hash table has fewer buckets than there are connections.

use super::namespace::Namespace;
use super::{Facts, Peer, nftables};
use crate::layout::Layout;
use crate::testbed::{Observation, Outcome, device};
use anyhow::Context;
use dataplane::port::dpdk::PortKind;
use dataplane::run::Stop;
use format::Plan;

/// The Linux kernel's NAT.
pub(super) struct Kernel;

impl Peer for Kernel {
    fn lacking(&self, plan: &Plan) -> Option<String> {
        nftables::lacking(plan).or_else(|| device::lacking(plan))
    }

    fn facts(&self, _: &Plan) -> Facts {
        let what = "nftables snat, conntrack of its own, in a network namespace";
        nftables::facts(what, "veth and the generator's packet socket, one processor")
    }

    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let layout = Layout::new(plan);
        let (generator, nat) = (Namespace::create("gen")?, Namespace::create("nat")?);
        nftables::join(&layout, &generator, &nat).context("the cable")?;
        nftables::translate(&nat, nftables::DEVICE, &layout, plan, &rule(&layout)?)
            .context("the kernel's configuration")?;
        let port = PortKind::AfPacket { interface: nftables::GENERATOR.to_owned() };
        device::run(plan, port, device::Place::In(&generator), stop, observe)
    }
}

/// Translates as Krononat does: subscribers to the external addresses, each to the same one.
fn rule(layout: &Layout<'_>) -> anyhow::Result<String> {
    let server = layout.sut(0);
    let core = &server.cores[0];
    let external = core.external.context("a core without external addresses")?;
    let subscribers: Vec<String> = core.subscribers.iter().map(ToString::to_string).collect();
    Ok(format!(
        "ip saddr {{ {} }} snat to {}-{} persistent",
        subscribers.join(", "),
        external.network(),
        external.broadcast()
    ))
}
