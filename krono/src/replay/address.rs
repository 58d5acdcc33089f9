//! Whose addresses are whose in a capture that does not say.

use super::refuse;
use super::rewrite::{Map, mapped};
use crate::exit::Refusal;
use dataplane::burst::Burst;
use dataplane::frame::Frame;
use dataplane::port::Port;
use dataplane::port::pcap::Pcap;
use dataplane::wire::{self, Parsed};
use ipnet::Ipv4Net;
use krononat::shard::RANGES_MAX;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

/// Ports of a subscriber where there is room: enough for any host, and few addresses.
const PORT_BLOCK: u32 = 1024;
/// Shortest prefix that stands for hosts seen: a wider one would hold mostly hosts not seen.
const PREFIX_MIN: u8 = 16;
/// Most external addresses taken without being named.
const EXTERNAL_MAX: u64 = 1 << 12;

/// Prefixes that hold every private address (RFC 1918) which sends something in the capture: as few
/// as a core takes, as long as possible; of the addresses that `maps` make of them.
pub(super) fn private_sources(capture: &Path, maps: &[Map]) -> Result<Vec<Ipv4Net>, Refusal> {
    let usage = |error| Refusal::Usage(format!("{:#}", refuse(error)));
    let mut port = Pcap::open(capture).map_err(usage)?;
    let mut sources = BTreeSet::new();
    loop {
        let mut burst = Burst::new();
        port.rx(&mut burst);
        if burst.is_empty() {
            break;
        }
        for frame in &burst {
            if let Ok(Parsed::Ipv4(datagram)) = wire::parse(frame.bytes())
                && datagram.source.is_private()
            {
                sources.insert(mapped(maps, datagram.source));
            }
        }
        port.free(&mut burst);
    }
    port.finish().map_err(usage)?;
    if sources.is_empty() {
        return Err(Refusal::Usage(format!(
            "{}: no private address sends anything; name the subscribers with --subscriber NET",
            capture.display()
        )));
    }
    cover(&sources).ok_or_else(|| {
        Refusal::Usage(format!(
            "{}: {} private addresses lie in more than {RANGES_MAX} prefixes of /{PREFIX_MIN}; \
             name the subscribers with --subscriber NET",
            capture.display(),
            sources.len()
        ))
    })
}

/// The fewest hosts in prefixes of one length that hold all addresses.
fn cover(addresses: &BTreeSet<Ipv4Addr>) -> Option<Vec<Ipv4Net>> {
    (PREFIX_MIN..=32).rev().find_map(|len| {
        let net = |&address| Ipv4Net::new(address, len).ok().map(|net| net.trunc());
        let nets: Option<BTreeSet<Ipv4Net>> = addresses.iter().map(net).collect();
        nets.filter(|nets| nets.len() <= RANGES_MAX).map(|nets| nets.into_iter().collect())
    })
}

/// The external prefix, and the ports of a subscriber that fit into it.
pub(super) fn external(
    subscribers: &[Ipv4Net],
    named: Option<Ipv4Net>,
) -> Result<(Ipv4Net, u32), Refusal> {
    let hosts: u64 = subscribers.iter().map(|net| 1u64 << (32 - net.prefix_len())).sum();
    let blocks = |port_block| u64::from(krononat::config::blocks_per_address(port_block));
    let needed = |port_block| hosts.div_ceil(blocks(port_block)).next_power_of_two();
    let available = named.map_or(EXTERNAL_MAX, |net| 1 << (32 - net.prefix_len()));
    let block = (0..=PORT_BLOCK.ilog2()).rev().map(|bits| 1u32 << bits);
    let Some(port_block) = block.into_iter().find(|&block| needed(block) <= available) else {
        return Err(Refusal::Usage(format!(
            "{hosts} subscribers do not fit behind {available} external addresses; name fewer with \
             --subscriber, or a larger --external"
        )));
    };
    let net = match named {
        Some(net) => net.trunc(),
        None => {
            let len = 32 - needed(port_block).ilog2() as u8;
            Ipv4Net::new(Ipv4Addr::new(198, 18, 0, 0), len)
                .map_err(|error| Refusal::Usage(error.to_string()))?
        }
    };
    Ok((net, port_block))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    #[test]
    fn few_hosts_are_named_one_by_one_and_many_by_their_network() {
        let two = ["10.0.0.1", "192.168.1.9"].map(|text| text.parse().expect("an address"));
        assert_eq!(cover(&two.into()), Some(nets(&["10.0.0.1/32", "192.168.1.9/32"])));
        let many: BTreeSet<Ipv4Addr> = (0..200).map(|i| Ipv4Addr::new(10, 1, 2, i)).collect();
        let cover_of_many = cover(&many).expect("one network");
        assert!(cover_of_many.len() <= RANGES_MAX);
        assert!(many.iter().all(|host| cover_of_many.iter().any(|net| net.contains(host))));
        let scattered = (0..40).map(|i| Ipv4Addr::new(10, i, 0, 1)).collect();
        assert_eq!(cover(&scattered), None);
    }

    #[test]
    fn external_addresses_are_as_many_as_the_ports_take() {
        let choice = |subscribers: &[&str], named: Option<&str>| {
            let named = named.map(|text| text.parse().expect("a network"));
            external(&nets(subscribers), named).map(|(net, block)| (net.to_string(), block)).ok()
        };
        let some = |net: &str, block| Some((net.to_owned(), block));
        assert_eq!(choice(&["10.0.0.1/32"], None), some("198.18.0.0/32", 1024));
        assert_eq!(choice(&["10.0.0.0/24"], None), some("198.18.0.0/29", 1024));
        assert_eq!(choice(&["10.0.0.0/24"], Some("203.0.113.8/32")), some("203.0.113.8/32", 128));
        assert_eq!(choice(&["10.0.0.0/8"], Some("203.0.113.8/32")), None);
    }
}
