//! Which connection: an identifier becomes a 5-tuple by arithmetic, so that no table is needed.
//!
//! Identifier k belongs to shard j = k mod M (one shard per core of the system under test) and is
//! the i-th there, i = ⌊k/M⌋. The subscriber is an affine permutation of i over the shard's
//! power-of-two range S, the source port another one of ⌊i/S⌋ over 32,768 ports. Any run of
//! consecutive identifiers therefore spreads evenly over shards and over their subscribers, and a
//! (subscriber, port) pair repeats only after S·32,768 connections of a shard: RFC 9693 §4.4 asks
//! for such an enumeration "pseudorandomly without repeats". Server address, server port (1–49151,
//! RFC 4814 §4.4) and protocol are a hash of k.

use crate::config::CoreConfig;

/// Bits of a connection identifier on the wire.
pub const ID_BITS: u32 = 28;

/// Source ports a subscriber has: 32768 to 65535.
pub const PORTS: u32 = 32_768;

/// Most shards one core talks to, so that the division by their number is one multiplication.
pub const SHARDS_MAX: usize = 4096;

/// A connection of one core, as the probes name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// The subscriber's view of one connection. Addresses are numbers in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Subscriber's address.
    pub subscriber: u32,
    /// Address of the host on the Internet.
    pub server: u32,
    /// Subscriber's port.
    pub subscriber_port: u16,
    /// Port of the host on the Internet.
    pub server_port: u16,
    /// Shard of the system under test that owns the subscriber.
    pub shard: u16,
    /// UDP; otherwise TCP.
    pub udp: bool,
}

#[derive(Clone, Debug)]
struct Shard {
    first: u32,
    mask: u32,
    shift: u32,
    multiplier: u32,
    offset: u32,
}

/// Tuples of one core's connections.
#[derive(Clone, Debug)]
pub struct Tuples {
    shards: Box<[Shard]>,
    /// 2^shift/M, rounded up: ⌊k/M⌋ = k·reciprocal ≫ shift. The shift is 28 + ⌈log₂ M⌉, so that this
    /// is exact for k < 2²⁸ (Granlund and Montgomery, 1994) and the product below 2⁵⁷.
    reciprocal: u64,
    shift: u32,
    port_multiplier: u32,
    seed: u64,
    server_first: u32,
    server_mask: u32,
    /// UDP where 16 bits of the hash are below this.
    udp_below: u32,
    cycle: u32,
}

/// Two multiplications that spread every input bit over the upper half of the result
/// (the finaliser of MurmurHash3, shortened).
#[inline]
pub(crate) fn spread(value: u64) -> u64 {
    let mixed = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

impl Tuples {
    /// The enumeration of `core` under `seed`, with `udp_share` (0 to 1) of UDP connections.
    ///
    /// # Panics
    /// If the core has no shard or more than [`SHARDS_MAX`]; `Config::validate` refuses both.
    pub fn new(core: &CoreConfig, seed: u64, udp_share: f64) -> Tuples {
        let count = core.subscribers.len();
        assert!((1..=SHARDS_MAX).contains(&count), "1 to {SHARDS_MAX} shards, not {count}");
        let shards: Box<[Shard]> = core
            .subscribers
            .iter()
            .zip(0u64..)
            .map(|(range, j)| {
                let draw = spread(seed ^ (j << 32) ^ 0x5375_6273);
                Shard {
                    first: u32::from(range.first),
                    mask: range.count - 1,
                    shift: range.count.trailing_zeros(),
                    multiplier: (draw >> 32) as u32 | 1,
                    offset: draw as u32,
                }
            })
            .collect();
        let widest = shards.iter().map(|shard| u64::from(shard.mask) + 1).max().unwrap_or(1);
        let (ids, count) = (1u64 << ID_BITS, count as u64);
        let shift = ID_BITS + count.next_power_of_two().trailing_zeros();
        let round = count * widest * u64::from(PORTS);
        let whole = if round <= ids { round } else { count };
        Tuples {
            shards,
            reciprocal: (1u64 << shift).div_ceil(count),
            shift,
            port_multiplier: spread(seed ^ 0x706f_7274) as u32 | 1,
            seed: spread(seed),
            server_first: u32::from(core.servers.network()),
            server_mask: u32::from(core.servers.hostmask()),
            udp_below: (udp_share * 65_536.0).round() as u32,
            cycle: (ids / whole * whole) as u32,
        }
    }

    /// Identifiers run from 0 to this, exclusive, and then start again; the wrap keeps the distance
    /// between two uses of a (subscriber, port) pair.
    pub fn cycle(&self) -> u32 {
        self.cycle
    }

    /// The tuple of a connection.
    #[inline]
    pub fn tuple(&self, id: ConnectionId) -> Tuple {
        let k = id.0;
        let (i, j, shard) = match &*self.shards {
            // A core that talks to one shard need not divide.
            [only] => (k, 0, only),
            shards => {
                let i = ((u64::from(k) * self.reciprocal) >> self.shift) as u32;
                let j = k - i * shards.len() as u32;
                (i, j, &shards[j as usize])
            }
        };
        let subscriber = i.wrapping_mul(shard.multiplier).wrapping_add(shard.offset) & shard.mask;
        let turn = (i >> shard.shift).wrapping_mul(self.port_multiplier);
        let start = subscriber.wrapping_mul(0x9e37_79b1) >> 15;
        let hash = spread(u64::from(k) ^ self.seed);
        let server_port = 1 + (((hash >> 16) as u16 as u32 * 49_151) >> 16);
        Tuple {
            subscriber: shard.first + subscriber,
            server: self.server_first | ((hash >> 32) as u32 & self.server_mask),
            subscriber_port: (PORTS + (turn.wrapping_add(start) & (PORTS - 1))) as u16,
            server_port: server_port as u16,
            shard: j as u16,
            udp: ((hash >> 48) as u32 ^ (hash as u32 >> 16) & 0xffff) < self.udp_below,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Range, tests::core};
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    fn tuples(shards: usize, subscribers: u32, seed: u64, udp_share: f64) -> Tuples {
        let mut core = core();
        core.subscribers = (0..shards)
            .map(|j| Range {
                first: Ipv4Addr::from((100 << 24 | 64 << 16) + ((j as u32) << 16)),
                count: subscribers,
            })
            .collect();
        Tuples::new(&core, seed, udp_share)
    }

    /// The inverse of an odd number modulo 2³², by Newton's iteration.
    fn inverse(odd: u32) -> u32 {
        (0..5).fold(odd, |x, _| x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x))))
    }

    proptest! {
        #[test]
        fn identifiers_can_be_read_back_from_the_tuple(
            shards in 1usize..9, bits in 0u32..5, seed: u64, k in 0u32..1 << 28
        ) {
            let space = tuples(shards, 1 << bits, seed, 0.5);
            let id = ConnectionId(k % space.cycle());
            let tuple = space.tuple(id);
            let shard = &space.shards[usize::from(tuple.shard)];
            let subscriber = tuple.subscriber - shard.first;
            let low = subscriber.wrapping_sub(shard.offset).wrapping_mul(inverse(shard.multiplier)) & shard.mask;
            let start = subscriber.wrapping_mul(0x9e37_79b1) >> 15;
            let turn = (u32::from(tuple.subscriber_port) - PORTS).wrapping_sub(start)
                .wrapping_mul(inverse(space.port_multiplier)) & (PORTS - 1);
            let i = (turn << shard.shift) | low;
            let (quotient, remainder) = (id.0 / shards as u32, id.0 % shards as u32);
            prop_assert_eq!(u32::from(tuple.shard), remainder);
            prop_assert_eq!(i, quotient % (PORTS << bits));
            prop_assert!(space.server_mask | (tuple.server ^ space.server_first) == space.server_mask);
            prop_assert!((1..=49_151).contains(&tuple.server_port));
        }

        #[test]
        fn any_run_of_connections_is_balanced(
            shards in 1usize..5, bits in 0u32..5, seed: u64, from in 0u32..1 << 27, rounds in 1u32..5
        ) {
            let space = tuples(shards, 1 << bits, seed, 0.5);
            let mut count = std::collections::HashMap::new();
            for k in from..from + (rounds << bits) * shards as u32 {
                *count.entry(space.tuple(ConnectionId(k)).subscriber).or_insert(0) += 1;
            }
            prop_assert_eq!(count.len(), shards << bits);
            prop_assert!(count.values().all(|&n| n == rounds), "{:?}", count);
        }
    }

    #[test]
    fn a_full_cycle_uses_every_pair_once() {
        let space = tuples(2, 2, 7, 1.0);
        let all: HashSet<(u32, u16)> = (0..4 * PORTS)
            .map(|k| space.tuple(ConnectionId(k)))
            .map(|tuple| (tuple.subscriber, tuple.subscriber_port))
            .collect();
        assert_eq!(all.len(), 4 * PORTS as usize);
        assert_eq!(space.cycle() % (4 * PORTS), 0);
    }

    #[test]
    fn protocols_are_shared_as_asked() {
        let space = tuples(1, 16, 1, 0.3);
        let udp = (0..100_000).filter(|&k| space.tuple(ConnectionId(k)).udp).count();
        assert!((29_500..30_500).contains(&udp), "{udp} of 100,000 for a share of 0.3");
        assert!((0..1000).all(|k| tuples(1, 16, 1, 1.0).tuple(ConnectionId(k)).udp));
        assert!((0..1000).all(|k| !tuples(1, 16, 1, 0.0).tuple(ConnectionId(k)).udp));
    }

    #[test]
    fn seeds_give_different_orders() {
        let first = |seed| tuples(1, 1024, seed, 0.5).tuple(ConnectionId(0));
        assert_ne!(first(1), first(2));
    }
}
