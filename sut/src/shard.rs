//! Who a packet belongs to, by arithmetic on its addresses alone.
//!
//! A *shard* is some subscribers and the external addresses they share. A subscriber's connections
//! all live on one core, whichever way their packets go, so that nothing about a connection is ever
//! shared. What belongs to nobody here is refused, not guessed.
//!
//! A core of a cluster holds several shards: those it serves, and copies of others, which it takes
//! over by serving them from one packet to the next. Shards are numbered through: the subscribers of
//! the second begin where the addresses of the first end, so that a shard's port blocks are on its
//! own addresses.

use crate::config;
use crate::ports::Subscriber;
use arrayvec::ArrayVec;
use ipnet::Ipv4Net;
use std::ops::Range as Span;

/// Most separate ranges of subscribers of one shard.
pub const RANGES_MAX: usize = 16;

/// Most shards of one core, served or not.
pub const SHARDS_MAX: usize = 64;

/// A shard of a core, in the order of its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Part(pub u8);

/// The addresses of one shard.
#[derive(Clone, Debug)]
pub struct Territory {
    /// Its subscribers.
    pub subscribers: Vec<Ipv4Net>,
    /// The addresses they share.
    pub external: Ipv4Net,
    /// Whether the core serves it from the start.
    pub served: bool,
}

/// Addresses that follow each other, and the index of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: u32,
    count: u32,
    base: u32,
}

impl Range {
    const NONE: Range = Range { first: 0, count: 0, base: 0 };

    fn of(net: Ipv4Net, base: u32) -> Range {
        let count = u32::try_from(config::addresses(net)).unwrap_or(u32::MAX);
        Range { first: u32::from(net.network()), count, base }
    }

    #[inline]
    fn has(&self, address: u32) -> bool {
        address.wrapping_sub(self.first) < self.count
    }

    /// Makes `next` a part of it, if it follows in addresses and in indices.
    fn absorb(&mut self, next: Range) -> bool {
        let follows = self.first.wrapping_add(self.count) == next.first
            && self.base.wrapping_add(self.count) == next.base;
        if follows {
            self.count += next.count;
        }
        follows
    }
}

/// Ranges, of which the first is nearly always the only one.
#[derive(Clone, Debug)]
struct Ranges {
    first: Range,
    others: Vec<Range>,
}

impl Ranges {
    /// Of ranges in any order. Room for `most` is taken at once.
    fn with_room(most: usize) -> Ranges {
        Ranges { first: Range::NONE, others: Vec::with_capacity(most) }
    }

    fn clear(&mut self) {
        self.first = Range::NONE;
        self.others.clear();
    }

    fn add(&mut self, range: Range) {
        if self.first.count == 0 {
            self.first = range;
        } else if !self.others.last_mut().unwrap_or(&mut self.first).absorb(range) {
            self.others.push(range);
        }
    }

    /// Which way packets go is random: where there is one range, this is no branch.
    /// `ONE`: there are no others, which whoever asks for a whole burst has seen before.
    #[inline]
    fn has<const ONE: bool>(&self, address: u32) -> bool {
        self.first.has(address) | (!ONE && self.others_have(address))
    }

    #[inline(never)]
    fn others_have(&self, address: u32) -> bool {
        self.others.iter().any(|range| range.has(address))
    }

    #[inline]
    fn index(&self, address: u32) -> Option<u32> {
        let index = address.wrapping_sub(self.first.first);
        if index < self.first.count {
            return Some(index + self.first.base);
        }
        if self.others.is_empty() { None } else { self.index_in_others(address) }
    }

    #[inline(never)]
    fn index_in_others(&self, address: u32) -> Option<u32> {
        let range = self.others.iter().find(|range| range.has(address))?;
        Some(address - range.first + range.base)
    }

    #[inline]
    fn address(&self, index: u32) -> u32 {
        let offset = index.wrapping_sub(self.first.base);
        if offset < self.first.count {
            return self.first.first + offset;
        }
        self.address_in_others(index)
    }

    #[inline(never)]
    fn address_in_others(&self, index: u32) -> u32 {
        let of = |range: &&Range| index.wrapping_sub(range.base) < range.count;
        let range = self.others.iter().find(of).expect("an index of an address of this core");
        index - range.base + range.first
    }
}

#[derive(Clone, Debug)]
struct Held {
    subscribers: ArrayVec<Range, RANGES_MAX>,
    external: Range,
    served: bool,
    /// Whether it takes new connections, where it is served.
    opens: bool,
}

/// The shards of one core.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Of the shards that are served; neighbours are one range.
    inside: Ranges,
    outside: Ranges,
    /// External addresses of all shards.
    all_outside: Ranges,
    held: Vec<Held>,
    subscribers: u32,
}

/// Shards that one core cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum TooMany {
    /// Prefixes that fall into too many separate ranges.
    #[error(
        "subscribers: {0} separate ranges of addresses, at most {RANGES_MAX} are possible: use \
         prefixes that follow each other"
    )]
    Ranges(usize),
    /// Too many shards.
    #[error("{0} shards, at most {SHARDS_MAX} are possible on one core: use more cores")]
    Shards(usize),
}

impl Shard {
    /// The shards of a core, where an external address has port blocks for `per_address`
    /// subscribers. Prefixes that follow each other become one range.
    ///
    /// # Errors
    /// With more ranges or shards than are possible.
    pub fn new(territories: &[Territory], per_address: u32) -> Result<Shard, TooMany> {
        if territories.len() > SHARDS_MAX {
            return Err(TooMany::Shards(territories.len()));
        }
        let (mut held, mut addresses, mut subscribers) = (Vec::new(), 0, 0);
        for territory in territories {
            let external = Range::of(territory.external, addresses);
            let numbered = number(&territory.subscribers, addresses * per_address)?;
            subscribers = numbered.last().map_or(subscribers, |last| last.base + last.count);
            held.push(Held {
                subscribers: numbered,
                external,
                served: territory.served,
                opens: true,
            });
            addresses += external.count;
        }
        let mut shard = Shard {
            inside: Ranges::with_room(held.len() * RANGES_MAX),
            outside: Ranges::with_room(held.len()),
            all_outside: Ranges::with_room(held.len()),
            held,
            subscribers,
        };
        shard.held.iter().for_each(|part| shard.all_outside.add(part.external));
        shard.renew();
        Ok(shard)
    }

    /// Numbers of subscribers there are; not every number between is somebody's.
    pub fn subscribers(&self) -> u32 {
        self.subscribers
    }

    /// How many shards there are.
    pub fn parts(&self) -> usize {
        self.held.len()
    }

    /// Begins or ceases to serve a shard. Costs what the number of shards costs, whatever they hold.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn serve(&mut self, part: Part, served: bool) {
        self.held[usize::from(part.0)].served = served;
        self.renew();
    }

    /// Lets a shard take new connections where it is served, or has it go on with those it has.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn open_for(&mut self, part: Part, opens: bool) {
        self.held[usize::from(part.0)].opens = opens;
    }

    /// The subscriber that has this address, if new connections of its shard are taken here.
    #[inline]
    pub fn subscriber_to_open(&self, address: u32) -> Option<Subscriber> {
        let opening = self.held.iter().filter(|part| part.opens);
        let mut ranges = opening.flat_map(|part| &part.subscribers);
        let range = ranges.find(|range| range.has(address))?;
        Some(Subscriber(address - range.first + range.base))
    }

    /// Whether a shard is served.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn is_served(&self, part: Part) -> bool {
        self.held[usize::from(part.0)].served
    }

    fn renew(&mut self) {
        self.inside.clear();
        self.outside.clear();
        for part in self.held.iter().filter(|part| part.served) {
            part.subscribers.iter().for_each(|&range| self.inside.add(range));
            self.outside.add(part.external);
        }
    }

    /// Whether what is served is one range of subscribers and one of external addresses.
    #[inline]
    pub fn is_one_range(&self) -> bool {
        self.inside.others.is_empty() && self.outside.others.is_empty()
    }

    /// Whether a packet comes from a subscriber, and whether it goes to an external address, of
    /// those served. `ONE` is [`Shard::is_one_range`], asked once for a burst: a call in its loop,
    /// though never made, has everything at hand spilled to the stack, a quarter of the loop.
    #[inline]
    pub fn ends<const ONE: bool>(&self, source: u32, destination: u32) -> (bool, bool) {
        (self.inside.has::<ONE>(source), self.outside.has::<ONE>(destination))
    }

    /// Whether a subscriber of a shard that is served has this address.
    #[inline]
    pub fn is_subscriber(&self, address: u32) -> bool {
        self.inside.has::<false>(address)
    }

    /// The subscriber that has this address, served or not.
    #[inline]
    pub fn subscriber(&self, address: u32) -> Option<Subscriber> {
        let mut ranges = self.held.iter().flat_map(|part| &part.subscribers);
        let range = ranges.find(|range| range.has(address))?;
        Some(Subscriber(address - range.first + range.base))
    }

    /// Index of an external address of a shard that is served.
    #[inline]
    pub fn external_index(&self, address: u32) -> Option<u32> {
        self.outside.index(address)
    }

    /// The external address of an index, served or not.
    ///
    /// # Panics
    /// When no shard has it.
    #[inline]
    pub fn external_address(&self, index: u32) -> u32 {
        self.all_outside.address(index)
    }

    /// The shard that a packet belongs to and that is not served.
    pub fn unserved(&self, source: u32, destination: u32) -> Option<Part> {
        let is_its = |part: &Held| {
            let inside = part.subscribers.iter().any(|range| range.has(source));
            !part.served && (inside || part.external.has(destination))
        };
        self.held.iter().position(is_its).map(|at| Part(at as u8))
    }

    /// The shard of an external address, by its index.
    pub fn part_of(&self, index: u32) -> Option<Part> {
        let has = |part: &Held| index.wrapping_sub(part.external.base) < part.external.count;
        self.held.iter().position(has).map(|at| Part(at as u8))
    }

    /// Indices of the external addresses of a shard.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn addresses_of(&self, part: Part) -> Span<u32> {
        let Range { base, count, .. } = self.held[usize::from(part.0)].external;
        base..base + count
    }
}

/// The ranges of prefixes, numbered from `base` in the order of their addresses.
fn number(nets: &[Ipv4Net], base: u32) -> Result<ArrayVec<Range, RANGES_MAX>, TooMany> {
    let mut nets = nets.to_vec();
    nets.sort();
    let (mut ranges, mut base) = (Vec::<Range>::new(), base);
    for net in nets {
        let range = Range::of(net, base);
        base += range.count;
        if !ranges.last_mut().is_some_and(|last| last.absorb(range)) {
            ranges.push(range);
        }
    }
    let count = ranges.len();
    ArrayVec::try_from(ranges.as_slice()).map_err(|_| TooMany::Ranges(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> u32 {
        u32::from(text.parse::<std::net::Ipv4Addr>().unwrap())
    }

    fn territory(subscribers: &[&str], external: &str, served: bool) -> Territory {
        Territory {
            subscribers: subscribers.iter().map(|text| text.parse().unwrap()).collect(),
            external: external.parse().unwrap(),
            served,
        }
    }

    fn only(subscribers: &[&str], external: &str) -> Shard {
        Shard::new(&[territory(subscribers, external, true)], 1008).unwrap()
    }

    #[test]
    fn neighbouring_prefixes_are_numbered_through() {
        let shard = only(&["100.64.1.0/24", "100.64.0.0/24", "100.64.4.0/30"], "198.18.0.0/30");
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
            assert_eq!(shard.is_subscriber(ip(address)), index.is_some(), "{address}");
        }
    }

    #[test]
    fn external_addresses_have_an_index_and_back() {
        let shard = only(&["100.64.0.0/24"], "198.18.0.4/30");
        for index in 0..4 {
            assert_eq!(shard.external_index(shard.external_address(index)), Some(index));
        }
        assert_eq!(shard.external_index(ip("198.18.0.3")), None);
        assert_eq!(shard.external_index(ip("198.18.0.8")), None);
    }

    #[test]
    fn scattered_prefixes_are_refused() {
        let texts: Vec<String> = (0..17).map(|i| format!("100.64.{}.0/24", 2 * i)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let error = Shard::new(&[territory(&texts, "198.18.0.0/30", true)], 1008).unwrap_err();
        assert!(error.to_string().contains("17 separate ranges"), "{error}");
    }

    fn three() -> Shard {
        let territories = [
            territory(&["100.64.0.0/24"], "198.18.0.0/31", true),
            territory(&["100.64.1.0/24"], "198.18.0.2/31", true),
            territory(&["100.64.9.0/24"], "198.18.0.8/31", false),
        ];
        Shard::new(&territories, 128).unwrap()
    }

    #[test]
    fn port_blocks_of_a_shard_are_on_its_own_addresses() {
        let shard = three();
        assert_eq!(shard.subscribers(), 4 * 128 + 256);
        for (part, first) in [(0, "100.64.0.0"), (1, "100.64.1.0"), (2, "100.64.9.0")] {
            let addresses = shard.addresses_of(Part(part));
            assert_eq!(shard.subscriber(ip(first)), Some(Subscriber(addresses.start * 128)));
            let numbers = addresses.clone().map(|index| shard.part_of(index));
            assert!(numbers.eq([Some(Part(part)); 2]));
        }
        assert_eq!(shard.part_of(6), None);
    }

    #[test]
    fn a_shard_is_served_from_one_packet_to_the_next() {
        let mut shard = three();
        let (inside, outside, far) = (ip("100.64.9.7"), ip("198.18.0.9"), ip("192.0.2.1"));
        assert!(!shard.is_subscriber(inside) && shard.external_index(outside).is_none());
        assert_eq!(shard.unserved(inside, far), Some(Part(2)));
        assert_eq!(shard.unserved(far, outside), Some(Part(2)));
        assert_eq!(shard.unserved(ip("100.64.0.7"), far), None);
        assert_eq!(shard.external_address(5), outside, "copies are written before they are served");
        shard.serve(Part(2), true);
        assert!(shard.is_subscriber(inside) && shard.is_served(Part(2)));
        assert_eq!(shard.external_index(outside), Some(5));
        assert_eq!(shard.unserved(inside, far), None);
        shard.open_for(Part(2), false);
        assert!(shard.is_subscriber(inside) && shard.subscriber(inside).is_some());
        assert_eq!(shard.subscriber_to_open(inside), None, "it goes on with what it has");
        shard.serve(Part(0), false);
        assert!(!shard.is_subscriber(ip("100.64.0.7")) && shard.is_subscriber(ip("100.64.1.7")));
        assert_eq!(shard.external_index(ip("198.18.0.3")), Some(3));
    }
}
