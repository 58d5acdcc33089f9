//! Other addresses for the packets of a capture, and more flows than it has.
//!
//! Prefixes are replaced by others of the same length, source and destination alike. Copies of a flow
//! have subscribers of their own, in 100.64.0.0/10 (RFC 6598), and everything else in common. Checksums
//! are updated, never recomputed, so that a packet that was damaged stays so. What a packet quotes in an
//! ICMP error is left alone: the SUT then does not know of whom it speaks.

use crate::exit::Refusal;
use dataplane::wire::checksum::Delta;
use dataplane::wire::{self, Parsed, ipv4};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Where subscribers of copies are.
const COPIES: u32 = u32::from_be_bytes([100, 64, 0, 0]);
/// Addresses there, as a power of two.
const COPIES_LOG: u32 = 22;

/// A prefix in place of another: `192.168.1.0/24=100.64.0.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    from: Ipv4Net,
    to: Ipv4Net,
}

/// Text that is no replacement of prefixes.
#[derive(Debug, thiserror::Error)]
#[error("expected FROM=TO, two prefixes of one length, such as 192.168.1.0/24=100.64.0.0/24")]
pub struct NotAMap;

impl FromStr for Map {
    type Err = NotAMap;
    fn from_str(text: &str) -> Result<Map, NotAMap> {
        let parse = |text: &str| text.parse::<Ipv4Net>().ok().map(|net| net.trunc());
        let (from, to) = text.split_once('=').ok_or(NotAMap)?;
        parse(from)
            .zip(parse(to))
            .filter(|(from, to)| from.prefix_len() == to.prefix_len())
            .map(|(from, to)| Map { from, to })
            .ok_or(NotAMap)
    }
}

/// The address by the first of `maps` that holds it, else itself.
pub(super) fn mapped(maps: &[Map], address: Ipv4Addr) -> Ipv4Addr {
    match maps.iter().find(|map| map.from.contains(&address)) {
        Some(Map { from, to }) => Ipv4Addr::from_bits(
            to.network().to_bits() | address.to_bits() & from.hostmask().to_bits(),
        ),
        None => address,
    }
}

/// What is done to the packets of each copy.
#[derive(Clone, Debug, Default)]
pub(super) struct Rewrite {
    maps: Vec<Map>,
    /// Of the first copy, after the maps.
    subscribers: Vec<Ipv4Net>,
    /// Addresses of each other copy, a power of two.
    each: u32,
    copies: u32,
}

impl Rewrite {
    /// Replaces by `maps`, and makes `copies` of what `subscribers` then send and get.
    ///
    /// # Errors
    /// When the copies have no room, or get the addresses of somebody else.
    pub(super) fn new(
        maps: &[Map],
        subscribers: &[Ipv4Net],
        copies: u32,
    ) -> Result<Rewrite, Refusal> {
        let hosts: u64 = subscribers.iter().map(|net| 1u64 << (32 - net.prefix_len())).sum();
        let each = hosts.next_power_of_two();
        let needed = u64::from(copies.saturating_sub(1)) * each;
        if needed > 1 << COPIES_LOG {
            return Err(Refusal::Usage(format!(
                "--copies: {needed} addresses for copies of {hosts} subscribers do not fit into \
                 100.64.0.0/10; name fewer with --subscriber, or make fewer copies"
            )));
        }
        let rewrite = Rewrite {
            maps: maps.to_vec(),
            subscribers: subscribers.to_vec(),
            each: u32::try_from(each).unwrap_or(u32::MAX),
            copies,
        };
        let theirs = rewrite.copied();
        match subscribers.iter().find(|net| theirs.is_some_and(|range| overlap(&range, net))) {
            Some(net) => Err(Refusal::Usage(format!(
                "--copies: subscribers {net} have addresses that copies get; move them with --map"
            ))),
            None => Ok(rewrite),
        }
    }

    /// The addresses of all copies but the first, if there are any.
    pub(super) fn copied(&self) -> Option<Ipv4Net> {
        let others = self.copies.checked_sub(1).filter(|&others| others > 0)?;
        let addresses = (u64::from(others) * u64::from(self.each)).next_power_of_two();
        let len = 32 - addresses.ilog2() as u8;
        Ipv4Net::new(Ipv4Addr::from_bits(COPIES), len).ok()
    }

    /// How many times each packet is sent.
    pub(super) fn copies(&self) -> u32 {
        self.copies.max(1)
    }

    /// Whether packets are sent as they are, once.
    pub(super) fn is_nothing(&self) -> bool {
        self.maps.is_empty() && self.copies() == 1
    }

    /// Rewrites a frame for copy `copy`. What cannot be read stays as it is.
    pub(super) fn apply(&self, frame: &mut [u8], copy: u32) {
        let Ok(Parsed::Ipv4(datagram)) = wire::parse(frame) else { return };
        let mut delta = Delta::new();
        for (at, old) in [(26, datagram.source), (30, datagram.destination)] {
            let new = self.address(old, copy);
            frame[at..at + 4].copy_from_slice(&new.octets());
            delta = delta.replace_u32(old.to_bits(), new.to_bits());
        }
        let update = |frame: &mut [u8], at: usize, udp: bool| {
            if let Some(field) = frame.get_mut(at..at + 2) {
                let old = u16::from_be_bytes([field[0], field[1]]);
                let new = if udp { delta.apply_udp(old) } else { delta.apply(old) };
                field.copy_from_slice(&new.to_be_bytes());
            }
        };
        update(frame, 24, false);
        let fragment = u16::from_be_bytes([frame[20], frame[21]]);
        if fragment & ipv4::FRAGMENT_OFFSET != 0 {
            return;
        }
        match datagram.protocol {
            ipv4::TCP => update(frame, datagram.transport_at + 16, false),
            ipv4::UDP => update(frame, datagram.transport_at + 6, true),
            _ => {}
        }
    }

    fn address(&self, address: Ipv4Addr, copy: u32) -> Ipv4Addr {
        let address = mapped(&self.maps, address);
        if copy == 0 {
            return address;
        }
        let mut before = 0u64;
        for net in &self.subscribers {
            if net.contains(&address) {
                let host = before + u64::from(address.to_bits() - net.network().to_bits());
                let block = u64::from(copy - 1) * u64::from(self.each);
                return Ipv4Addr::from_bits(COPIES + (block + host) as u32);
            }
            before += 1u64 << (32 - net.prefix_len());
        }
        address
    }
}

fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    #[test]
    fn prefixes_are_replaced_by_others_as_long() {
        let map: Map = "192.168.1.77/24=10.9.0.0/24".parse().expect("a map");
        let at = |text: &str| mapped(&[map], text.parse().expect("an address")).to_string();
        assert_eq!(
            (at("192.168.1.200"), at("192.168.2.200")),
            ("10.9.0.200".into(), "192.168.2.200".into())
        );
        for text in ["192.168.1.0/24", "192.168.1.0/24=10.0.0.0/25", "a=b", "=", "1.2.3.4/0="] {
            assert!(text.parse::<Map>().is_err(), "{text}");
        }
        let all: Map = "0.0.0.0/0=0.0.0.0/0".parse().expect("a map of everything to itself");
        let address = Ipv4Addr::new(203, 0, 113, 9);
        assert_eq!(mapped(&[all], address), address);
    }

    #[test]
    fn copies_have_addresses_that_nobody_else_has() {
        let subscribers = nets(&["10.0.0.0/30", "192.168.1.9/32"]);
        let rewrite = Rewrite::new(&[], &subscribers, 4).expect("room");
        let hosts = ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "192.168.1.9"];
        let mut seen = std::collections::HashSet::new();
        for copy in 0..4 {
            for host in hosts {
                let address = rewrite.address(host.parse().expect("an address"), copy);
                assert!(seen.insert(address), "{address} twice");
                assert_eq!(rewrite.copied().expect("others").contains(&address), copy > 0);
            }
        }
        assert_eq!(rewrite.copied(), Some("100.64.0.0/27".parse().expect("a network")));
        let server = Ipv4Addr::new(93, 184, 216, 34);
        assert_eq!(rewrite.address(server, 3), server);
    }

    #[test]
    fn copies_without_room_are_refused() {
        let wide = nets(&["10.0.0.0/12"]);
        assert!(Rewrite::new(&[], &wide, 5).is_ok() && Rewrite::new(&[], &wide, 6).is_err());
        let theirs = nets(&["100.64.0.0/24"]);
        assert!(Rewrite::new(&[], &theirs, 1).is_ok() && Rewrite::new(&[], &theirs, 2).is_err());
    }
}
