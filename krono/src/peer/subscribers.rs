//! A NAT for each subscriber: a network namespace with nftables of its own, as a virtual machine or
//! container per customer would be, at the least it can cost.
//!
//! The generator's cable ends in a namespace that only hands frames on, by the subscriber's address
//! one way and by the external address and port the other (nftables' `fwd` at the ingress of the
//! device: no routing, no ARP). Each subscriber has its port block, as with Krononat. Start time
//! and memory are measured while they are made, by the clock and by what the machine has left.

use super::namespace::Namespace;
use super::{Facts, Peer, nftables};
use crate::layout::Layout;
use crate::machine::Machine;
use crate::testbed::{Observation, Outcome, device};
use anyhow::Context;
use dataplane::port::dpdk::PortKind;
use dataplane::run::Stop;
use format::Plan;
use krononat::config::blocks_per_address;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Instant;

/// Most subscribers: each takes about 20 ms to make.
const SUBSCRIBERS_MAX: u32 = 2_048;

/// A subscriber's end of its own cable.
const INSIDE: &str = "wan0";

/// A namespace for each subscriber.
pub(super) struct PerSubscriber;

impl Peer for PerSubscriber {
    fn lacking(&self, plan: &Plan) -> Option<String> {
        let count = plan.addresses.subscribers_per_pair;
        if count > SUBSCRIBERS_MAX {
            return Some(format!(
                "{count} subscribers take a namespace each: set traffic.subscribers to \
                 {SUBSCRIBERS_MAX} at most"
            ));
        }
        nftables::lacking(plan).or_else(|| device::lacking(plan))
    }

    fn facts(&self, plan: &Plan) -> Facts {
        let count = plan.addresses.subscribers_per_pair;
        let what = format!("{count} network namespaces, each with nftables snat and conntrack");
        nftables::facts(&what, "veth twice and the generator's packet socket, one processor")
    }

    fn measure(
        &self,
        plan: &Plan,
        stop: &Stop,
        observe: &mut dyn FnMut(Observation),
    ) -> anyhow::Result<Outcome> {
        let layout = Layout::new(plan);
        let (generator, hub) = (Namespace::create("gen")?, Namespace::create("hub")?);
        nftables::join(&layout, &generator, &hub).context("the cable")?;
        let available = || Machine::this().memory_available_bytes().unwrap_or(0);
        let (before, begun) = (available(), Instant::now());
        let households = Household::all(&layout, plan)?;
        let made: Vec<Namespace> = households
            .iter()
            .map(|it| it.make(&layout, plan, &hub))
            .collect::<anyhow::Result<_>>()
            .context("a subscriber's namespace")?;
        hub.must_with("nft -f -", &switch(&households)).context("the switch between them")?;
        let count = made.len().max(1);
        let (took, used) = (begun.elapsed(), before.saturating_sub(available()));
        let port = PortKind::AfPacket { interface: nftables::GENERATOR.to_owned() };
        let outcome = device::run(plan, port, device::Place::In(&generator), stop, observe)?;
        let facts = [
            (
                "started in",
                format!(
                    "{:.1} s, {:.1} ms each",
                    took.as_secs_f64(),
                    took.as_secs_f64() * 1e3 / count as f64
                ),
            ),
            ("memory", format!("{} KiB each", used / 1024 / count as u64)),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).into();
        Ok(Outcome { facts, ..outcome })
    }
}

/// A subscriber, and what is its own.
struct Household {
    index: u32,
    address: Ipv4Addr,
    external: Ipv4Addr,
    ports: (u32, u32),
}

impl Household {
    /// All of them, with port blocks from the first port that is not privileged.
    fn all(layout: &Layout<'_>, plan: &Plan) -> anyhow::Result<Vec<Household>> {
        let server = layout.sut(0);
        let core = &server.cores[0];
        let external = core.external.context("a core without external addresses")?;
        let first = core.subscribers.first().context("a core without subscribers")?.network();
        let block = plan.addresses.port_block;
        let blocks = blocks_per_address(block);
        let household = |index| {
            let low = 1024 + index % blocks * block;
            Household {
                index,
                address: Ipv4Addr::from(u32::from(first) + index),
                external: Ipv4Addr::from(u32::from(external.network()) + index / blocks),
                ports: (low, low + block - 1),
            }
        };
        Ok((0..plan.addresses.subscribers_per_pair).map(household).collect())
    }

    /// Its interface in the hub.
    fn cable(&self) -> String {
        format!("s{}", self.index)
    }

    fn make(&self, layout: &Layout<'_>, plan: &Plan, hub: &Namespace) -> anyhow::Result<Namespace> {
        let (namespace, mac) = (Namespace::bare("sub")?, layout.sut(0).cores[0].identity.mac);
        let links = format!(
            "link add {cable} type veth peer name {INSIDE} address {mac} netns {}\n\
             link set {cable} arp off up\n",
            namespace.name(),
            cable = self.cable()
        );
        hub.must_with("ip -batch -", &links)?;
        namespace.must(&format!("ip link set {INSIDE} up"))?;
        let rule = format!(
            "ip saddr {} meta l4proto {{ tcp, udp }} snat to {}:{}-{}",
            self.address, self.external, self.ports.0, self.ports.1
        );
        nftables::translate(&namespace, INSIDE, layout, plan, &rule)?;
        Ok(namespace)
    }
}

/// Rules that hand frames on: from the generator to whose they are, and back.
fn switch(households: &[Household]) -> String {
    let (mut up, mut down, mut cables) = (String::new(), String::new(), String::new());
    for it in households {
        let (cable, (low, high)) = (it.cable(), it.ports);
        // Writing to a string does not fail.
        let _ = write!(up, "{} : \"{cable}\", ", it.address);
        let _ = write!(down, "{} . {low}-{high} : \"{cable}\", ", it.external);
        let _ = write!(cables, "\"{cable}\", ");
    }
    let device = nftables::DEVICE;
    format!(
        "table netdev krono {{\n\
         chain in {{\n type filter hook ingress device \"{device}\" priority 0\n\
         fwd to ip saddr map {{ {up} }}\n\
         meta l4proto {{ tcp, udp }} fwd to ip daddr . th dport map {{ {down} }}\n\
         drop\n }}\n\
         chain out {{\n type filter hook ingress devices = {{ {cables} }} priority 0\n\
         fwd to \"{device}\"\n }}\n}}\n"
    )
}
