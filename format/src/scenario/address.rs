//! The address plan: who has which addresses, derived from topology and population.
//!
//! Subscribers are dealt out in powers of two, one range for each pair of SUT core and generator
//! core, so that an address says by its bits which two cores its packets meet. Each subscriber has
//! a block of external ports; blocks do not cross addresses.

use super::document::Places;
use super::keys::Keys;
use crate::error::Diagnostic;
use crate::plan::{Addresses, Topology};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Connections of one subscriber where the scenario does not say: FD.io CSIT's NAT44 sessions per
/// host, which make 1,032,192 connections of 16,384 hosts.
const CONNECTIONS_PER_SUBSCRIBER: u64 = 63;

/// External ports of one address: 1024 to 65535 (RFC 6335 keeps those below for services).
const PORTS_PER_ADDRESS: u64 = 64_512;

/// Smallest port block: as Krononat's configuration has it.
const PORT_BLOCK_MIN: u32 = 64;

/// Largest port block: the largest power of two that one address holds.
const PORT_BLOCK_MAX: u32 = 32_768;

/// Derives the address plan for at most `tracked` connections at once.
pub(super) fn derive(
    keys: &Keys,
    places: &Places,
    topology: &Topology,
    tracked: u64,
) -> Result<Addresses, Diagnostic> {
    let refuse = |key: &str, problem: String| Diagnostic::new(places.of(key), key, problem);
    let port_block = keys.sut.port_block;
    let sizes = PORT_BLOCK_MIN..=PORT_BLOCK_MAX;
    if !port_block.is_power_of_two() || !sizes.contains(&port_block) {
        return Err(refuse("sut.port_block", format!("{port_block} ports make no block"))
            .expected(format!("a power of two, {PORT_BLOCK_MIN} to {PORT_BLOCK_MAX}")));
    }
    let addresses = Addresses {
        subscribers: net(100, 64, 10),
        external: net(198, 18, 16),
        internet: net(198, 19, 16),
        subscribers_per_pair: per_pair(keys, places, topology)?,
        port_block,
    };
    let (pairs, per_pair) = (topology.pairs(), u64::from(addresses.subscribers_per_pair));
    let ports = per_pair * u64::from(port_block);
    let needed = tracked.div_ceil(pairs);
    if needed > ports && !keys.sut.overcommit {
        let block = needed.div_ceil(per_pair).next_power_of_two();
        let problem = format!(
            "{tracked} connections, closed ones included until their timers end, are more than \
             the external ports of their subscribers: {} x {port_block}",
            pairs * per_pair
        );
        return Err(refuse("traffic.connections", problem).remedy(format!(
            "Set sut.port_block = {block}, or more traffic.subscribers, or shorter sut.timers; or \
             overcommit = true under [sut]."
        )));
    }
    let blocks_per_address = PORTS_PER_ADDRESS / u64::from(port_block);
    let external = pairs * per_pair.div_ceil(blocks_per_address).next_power_of_two();
    if external > size(addresses.external) {
        let problem = format!(
            "{} subscribers with blocks of {port_block} ports take {external} external addresses",
            pairs * per_pair
        );
        let room =
            format!("at most {}, the size of {}", size(addresses.external), addresses.external);
        return Err(refuse("sut.port_block", problem).expected(room));
    }
    Ok(addresses)
}

/// Subscribers of each pair, a power of two.
fn per_pair(keys: &Keys, places: &Places, topology: &Topology) -> Result<u32, Diagnostic> {
    let room = size(net(100, 64, 10));
    let (key, total) = match keys.traffic.subscribers {
        Some(total) => ("traffic.subscribers", total),
        None => {
            ("traffic.connections", keys.traffic.connections.div_ceil(CONNECTIONS_PER_SUBSCRIBER))
        }
    };
    let problem = |problem: String| Diagnostic::new(places.of(key), key, problem);
    if total == 0 || total > room {
        let found = format!("{total} subscribers");
        return Err(problem(found).expected(format!("1 to {room}, the size of 100.64.0.0/10")));
    }
    let pairs = topology.pairs();
    let per_pair = total.div_ceil(pairs).next_power_of_two();
    if pairs.saturating_mul(per_pair) > room {
        return Err(problem(format!(
            "{total} subscribers, as {per_pair} for each of {pairs} pairs of a SUT core and a \
             generator core, do not fit into the {room} addresses of 100.64.0.0/10"
        ))
        .remedy("Take fewer cores, or fewer traffic.subscribers with a larger sut.port_block."));
    }
    // At most `room`, which is 2^22.
    Ok(per_pair as u32)
}

fn net(a: u8, b: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix)
}

/// Addresses of a network, first and last included: inside a test nothing is a broadcast.
fn size(net: Ipv4Net) -> u64 {
    1 << (32 - net.prefix_len())
}
