//! Who a packet belongs to, by arithmetic on its addresses alone.
//!
//! A core owns some ranges of subscribers and the external addresses they share. A subscriber's
//! connections all live on that core, whichever way their packets go, so that nothing about a
//! connection is ever shared. What belongs to nobody here is refused, not guessed.

use crate::ports::Subscriber;
use arrayvec::ArrayVec;
use ipnet::Ipv4Net;

/// Most separate ranges of subscribers one core serves.
pub const RANGES_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
    /// Index of the range's first subscriber.
    base: u32,
}

impl Range {
    #[inline]
    fn has(&self, address: u32) -> bool {
        address.wrapping_sub(self.first) < self.count
    }
}

/// The addresses of one core.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Nearly always the only one.
    first: Range,
    others: ArrayVec<Range, RANGES_MAX>,
    external: Range,
}

/// Prefixes that fall into too many separate ranges.
#[derive(Debug, thiserror::Error)]
#[error(
    "subscribers: {0} separate ranges of addresses, at most {RANGES_MAX} are possible: use prefixes \
     that follow each other"
)]
pub struct TooManyRanges(usize);

impl Shard {
    /// The shard of these prefixes. Prefixes that follow each other become one range.
    ///
    /// # Errors
    /// When more than [`RANGES_MAX`] ranges remain.
    pub fn new(subscribers: &[Ipv4Net], external: Ipv4Net) -> Result<Shard, TooManyRanges> {
        let mut nets = subscribers.to_vec();
        nets.sort();
        let mut ranges: Vec<Range> = Vec::new();
        let mut base = 0;
        for net in nets {
            let range = Range { base, ..range_of(net) };
            base += range.count;
            match ranges.last_mut() {
                Some(last) if last.first + last.count == range.first => last.count += range.count,
                _ => ranges.push(range),
            }
        }
        let count = ranges.len();
        if count > RANGES_MAX {
            return Err(TooManyRanges(count));
        }
        let mut ranges = ranges.into_iter();
        let first = ranges.next().unwrap_or(Range { first: 0, count: 0, base: 0 });
        Ok(Shard { first, others: ranges.collect(), external: range_of(external) })
    }

    /// Number of subscribers.
    pub fn subscribers(&self) -> u32 {
        self.ranges().map(|range| range.count).sum()
    }

    /// Whether a subscriber has this address.
    #[inline]
    pub fn is_subscriber(&self, address: u32) -> bool {
        // Which way packets go is random: where there is one range, this is no branch.
        self.first.has(address) | (!self.others.is_empty() && self.is_in_others(address))
    }

    fn is_in_others(&self, address: u32) -> bool {
        self.others.iter().any(|range| range.has(address))
    }

    fn ranges(&self) -> impl Iterator<Item = &Range> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The subscriber that has this address.
    #[inline]
    pub fn subscriber(&self, address: u32) -> Option<Subscriber> {
        let range = self.ranges().find(|range| range.has(address))?;
        Some(Subscriber(address - range.first + range.base))
    }

    /// Index of an external address of this core.
    #[inline]
    pub fn external_index(&self, address: u32) -> Option<u32> {
        let index = address.wrapping_sub(self.external.first);
        (index < self.external.count).then_some(index)
    }

    /// The external address of an index.
    #[inline]
    pub fn external_address(&self, index: u32) -> u32 {
        debug_assert!(index < self.external.count);
        self.external.first + index
    }
}

fn range_of(net: Ipv4Net) -> Range {
    let count = u32::try_from(crate::config::addresses(net)).unwrap_or(u32::MAX);
    Range { first: u32::from(net.network()), count, base: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> u32 {
        u32::from(text.parse::<std::net::Ipv4Addr>().unwrap())
    }

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn neighbouring_prefixes_are_numbered_through() {
        let nets = nets(&["100.64.1.0/24", "100.64.0.0/24", "100.64.4.0/30"]);
        let shard = Shard::new(&nets, "198.18.0.0/30".parse().unwrap()).unwrap();
        assert_eq!(shard.subscribers(), 516);
        for (address, index) in [
            ("100.64.0.0", Some(0)),
            ("100.64.1.255", Some(511)),
            ("100.64.2.0", None),
            ("100.64.4.0", Some(512)),
            ("100.64.4.3", Some(515)),
            ("100.64.4.4", None),
            ("100.63.255.255", None),
        ] {
            assert_eq!(shard.subscriber(ip(address)), index.map(Subscriber), "{address}");
        }
    }

    #[test]
    fn external_addresses_have_an_index_and_back() {
        let shard =
            Shard::new(&nets(&["100.64.0.0/24"]), "198.18.0.4/30".parse().unwrap()).unwrap();
        for index in 0..4 {
            assert_eq!(shard.external_index(shard.external_address(index)), Some(index));
        }
        assert_eq!(shard.external_index(ip("198.18.0.3")), None);
        assert_eq!(shard.external_index(ip("198.18.0.8")), None);
    }

    #[test]
    fn scattered_prefixes_are_refused() {
        let texts: Vec<String> = (0..17).map(|i| format!("100.64.{}.0/24", 2 * i)).collect();
        let nets = nets(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let error = Shard::new(&nets, "198.18.0.0/30".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("17 separate ranges"), "{error}");
    }
}
