//! What makes servers a cluster: the router before them, and the copies they keep for each other.

use super::document::Places;
use super::keys::Keys;
use crate::error::Diagnostic;
use crate::plan::{Addresses, Network, SutKind};
use crate::unit::Duration;
use std::ops::RangeInclusive;

/// Time between two BFD packets: below, a scheduler's pause looks like a death; above, nobody would
/// call it detection.
const INTERVAL: RangeInclusive<Duration> = Duration(1_000_000)..=Duration(1_000_000_000);
/// BFD packets that must be missing. RFC 5880 has 8 bits for it and forbids 0; implementations stop
/// at 50.
const MULTIPLIER: RangeInclusive<u16> = 1..=50;
/// Longest time a router takes for its routes.
const FIB_DELAY_MAX: Duration = Duration(10_000_000_000);
/// Most shards of a core: each is a prefix of the router and a feed of the core.
const SHARDS_MAX: u16 = 16;

/// The router between generator and SUT.
pub(super) fn network(keys: &Keys, places: &Places) -> Result<Network, Diagnostic> {
    let refuse = |key: &str, problem: String| Diagnostic::new(places.of(key), key, problem);
    let (bfd, fib_delay) = (keys.network.bfd, keys.network.fib_delay);
    if !INTERVAL.contains(&bfd.interval) {
        let error = refuse("network.bfd.interval", format!("{} is out of range", bfd.interval));
        return Err(error.expected(format!("{} to {}", INTERVAL.start(), INTERVAL.end())));
    }
    if !MULTIPLIER.contains(&bfd.multiplier) {
        let error = refuse("network.bfd.multiplier", format!("{} packets", bfd.multiplier));
        return Err(error.expected(format!("{} to {}", MULTIPLIER.start(), MULTIPLIER.end())));
    }
    if fib_delay > FIB_DELAY_MAX {
        let error = refuse("network.fib_delay", format!("{fib_delay} is too long"));
        return Err(error.expected(format!("at most {FIB_DELAY_MAX}")));
    }
    Ok(Network {
        bfd_interval_ns: bfd.interval.0,
        // At most 50.
        bfd_multiplier: bfd.multiplier as u8,
        fib_delay_ns: fib_delay.0,
        router: keys.network.router,
    })
}

/// Whether shards have slaves.
pub(super) fn replicate(keys: &Keys, places: &Places) -> Result<bool, Diagnostic> {
    let sut = keys.topology.sut;
    let problem = match keys.sut.replicate {
        Some(false) => return Ok(false),
        None => return Ok(sut.servers > 1 && sut.kind == SutKind::Krononat),
        Some(true) if sut.servers == 1 => "one server has no other to replicate to",
        Some(true) if sut.kind != SutKind::Krononat => "this SUT holds nothing to replicate",
        Some(true) => return Ok(true),
    };
    let key = "sut.replicate";
    Err(Diagnostic::new(places.of(key), key, problem)
        .remedy("Set topology.sut.servers to 2 or more krononat servers, or leave it out."))
}

/// Shards of each core; none of them without a subscriber.
pub(super) fn shards_per_core(
    keys: &Keys,
    places: &Places,
    addresses: &Addresses,
) -> Result<u16, Diagnostic> {
    let room = u32::from(SHARDS_MAX).min(addresses.subscribers_per_pair) as u16;
    let servers = keys.topology.sut.servers;
    match keys.sut.shards_per_core {
        None => Ok(servers.saturating_sub(1).clamp(1, room)),
        Some(shards) if (1..=room).contains(&shards) => Ok(shards),
        Some(shards) => {
            let key = "sut.shards_per_core";
            let error = Diagnostic::new(places.of(key), key, format!("{shards} shards"));
            let why = if room < SHARDS_MAX { ", one for each subscriber of a pair" } else { "" };
            Err(error.expected(format!("1 to {room}{why}")))
        }
    }
}
