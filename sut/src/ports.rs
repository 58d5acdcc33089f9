//! External ports: each subscriber owns one block of them for good, and gets ports from no other.
//!
//! A [`Slot`] is an external address and port, and the index of the record of the connection that
//! holds them. Its upper 16 bits are the index of the address, the lower 16 the port: an inbound
//! packet reads its slot out of its destination, an outbound one its new source out of its slot,
//! by shifts alone. The 1,024 slots of an address that are never used cost 1.6 % of the records;
//! without them either direction would multiply or divide.
//!
//! The block of a subscriber follows from its number (deterministic NAT, RFC 7422): who held an
//! address and port is known without a log. Ports are at least 1024 (RFC 4787 REQ-3a; for source
//! ports below 1024, whose range it recommends to keep, we depart from it). UDP, TCP and ICMP query
//! identifiers share one bitmap, so a slot is free or taken whatever the protocol.
//!
//! Refused: preserving the port or its parity. A block of 64 cannot hold what a host picks from
//! 64,512, RTP no longer needs even ports (RTCP has been multiplexed or signalled since RFC 5761
//! and 3605), and RFC 7857 lets a NAT leave parity alone. A port is overloaded never: one slot, one
//! holder; the timing of [`PortBlocks::release`] is the caller's.

use dataplane::cpu;
use dataplane::memory::Pages;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::io;

/// An external address and port, and the index of the record that goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

impl Slot {
    /// The slot of `port` on the external address with index `address`.
    #[inline]
    pub const fn new(address: u16, port: u16) -> Slot {
        Slot((address as u32) << 16 | port as u32)
    }

    /// Index of the external address.
    #[inline]
    pub const fn address(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The external port.
    #[inline]
    pub const fn port(self) -> u16 {
        self.0 as u16
    }
}

/// A subscriber, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscriber(pub u32);

/// The ports of one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortBlock {
    /// Index of the external address.
    pub address: u16,
    /// The lowest port.
    pub first: u16,
    /// Number of ports.
    pub count: u16,
}

/// The lowest port given out.
pub const PORT_MIN: u16 = 1024;

/// Ports per word of the bitmap, and in the smallest block.
const WORD: u32 = u64::BITS;

/// Who holds which port: one bit per slot, set while it is taken.
pub struct PortBlocks {
    taken: Pages<u64>,
    subscribers: u32,
    block_log2: u32,
    /// Blocks of an address below [`PORT_MIN`], and from there on.
    blocks_low: u32,
    blocks_usable: u32,
    starts: Xoshiro256PlusPlus,
}

/// Numbers that make no port blocks.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a size that a block can have.
    #[error("port block of {0}: expected a power of two from 64 to 32768")]
    Block(u32),
    /// More subscribers than 65,536 external addresses have blocks for.
    #[error("{subscribers} subscribers with {block} ports each need more than 65536 addresses")]
    Subscribers {
        /// Subscribers asked for.
        subscribers: u32,
        /// Ports per subscriber.
        block: u32,
    },
    /// The memory for the bitmap.
    #[error("port bitmap: {0}")]
    Memory(#[from] io::Error),
}

impl PortBlocks {
    /// Blocks of `block` ports, a power of two from 64 to 32,768, for `subscribers`, on as many
    /// external addresses as that takes (1,008 blocks of 64 fit on one). `seed` decides where the
    /// search for a free port starts.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn new(subscribers: u32, block: u32, seed: u64) -> Result<PortBlocks, Refused> {
        if !block.is_power_of_two() || !(WORD..=1 << 15).contains(&block) {
            return Err(Refused::Block(block));
        }
        let blocks_low = u32::from(PORT_MIN).div_ceil(block);
        let blocks_usable = (1 << 16) / block - blocks_low;
        let addresses = subscribers.div_ceil(blocks_usable);
        if addresses > 1 << 16 {
            return Err(Refused::Subscribers { subscribers, block });
        }
        Ok(PortBlocks {
            taken: Pages::zeroed(addresses as usize * (1 << 16) / WORD as usize)?,
            subscribers,
            block_log2: block.trailing_zeros(),
            blocks_low,
            blocks_usable,
            starts: Xoshiro256PlusPlus::seed_from_u64(seed),
        })
    }

    /// Subscribers there are blocks for.
    pub fn subscribers(&self) -> u32 {
        self.subscribers
    }

    /// External addresses in use.
    pub fn addresses(&self) -> u32 {
        self.subscribers.div_ceil(self.blocks_usable)
    }

    /// Length of an array indexed by slot: 65,536 per external address.
    pub fn slots(&self) -> usize {
        (self.addresses() as usize) << 16
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        self.taken.resident_bytes()
    }

    /// The ports of a subscriber: the same in every run, whatever the seed (RFC 7422).
    ///
    /// # Panics
    /// When there is no such subscriber, like all that take one.
    pub fn block_of(&self, subscriber: Subscriber) -> PortBlock {
        let first = self.first_slot(subscriber);
        PortBlock { address: first.address(), first: first.port(), count: 1 << self.block_log2 }
    }

    /// Whose block a slot is in; `None` for ports below the blocks and blocks nobody has.
    #[inline]
    pub fn subscriber_of(&self, slot: Slot) -> Option<Subscriber> {
        let block = u32::from(slot.port()) >> self.block_log2;
        let block = block.checked_sub(self.blocks_low)?;
        let subscriber =
            u64::from(slot.address()) * u64::from(self.blocks_usable) + u64::from(block);
        (subscriber < u64::from(self.subscribers)).then_some(Subscriber(subscriber as u32))
    }

    /// Asks for the line of the bitmap that [`PortBlocks::allocate`] will write.
    #[inline]
    pub fn prefetch(&self, subscriber: Subscriber) {
        cpu::prefetch(&self.taken[self.words(subscriber).start]);
    }

    /// Takes a free port of the subscriber's; `None` when all are taken.
    ///
    /// The search starts at a random port of the block (RFC 6056 §3.3.1), so the next holder of a
    /// released port is seldom the next to come. One cache line up to blocks of 512; a larger block
    /// is searched word by word, 512 words at worst for the largest when it is full.
    #[inline]
    pub fn allocate(&mut self, subscriber: Subscriber) -> Option<Slot> {
        let words = self.words(subscriber);
        let start = (self.starts.next_u64() >> (u64::BITS - self.block_log2)) as usize;
        let (first, bit) = (start / WORD as usize, start as u32 % WORD);
        let block = &mut self.taken[words.clone()];
        // The first word is looked at twice: from the start bit up, and in the end below it.
        for i in 0..=block.len() {
            let at = (first + i) & (block.len() - 1);
            let allowed = match i {
                0 => !0 << bit,
                last if last == block.len() => !(!0 << bit),
                _ => !0,
            };
            let free = !block[at] & allowed;
            if free != 0 {
                let lowest = free.trailing_zeros();
                block[at] |= 1 << lowest;
                return Some(Slot((words.start + at) as u32 * WORD + lowest));
            }
        }
        None
    }

    /// Takes a port that was given out elsewhere.
    #[inline]
    pub fn take(&mut self, slot: Slot) {
        self.taken[(slot.0 / WORD) as usize] |= 1 << (slot.0 % WORD);
    }

    /// Gives a port back.
    ///
    /// # Panics
    /// When nobody holds it: its record and the bitmap disagree.
    #[inline]
    pub fn release(&mut self, slot: Slot) {
        let (word, bit) = ((slot.0 / WORD) as usize, 1 << (slot.0 % WORD));
        assert!(self.taken[word] & bit != 0, "port {slot:?} released, but nobody holds it");
        self.taken[word] &= !bit;
    }

    /// Ports a subscriber holds.
    pub fn in_use(&self, subscriber: Subscriber) -> u32 {
        self.taken[self.words(subscriber)].iter().map(|word| word.count_ones()).sum()
    }

    /// The words of a subscriber's block; their number is a power of two.
    #[inline]
    fn words(&self, subscriber: Subscriber) -> std::ops::Range<usize> {
        let first = (self.first_slot(subscriber).0 / WORD) as usize;
        first..first + (1 << self.block_log2) / WORD as usize
    }

    /// The lowest slot of a subscriber. The division is the price of whole blocks per address, paid
    /// for a new connection only.
    #[inline]
    fn first_slot(&self, subscriber: Subscriber) -> Slot {
        assert!(subscriber.0 < self.subscribers, "no {subscriber:?} of {}", self.subscribers);
        let address = subscriber.0 / self.blocks_usable;
        let block = subscriber.0 % self.blocks_usable + self.blocks_low;
        Slot(address << 16 | block << self.block_log2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeSet, HashMap};

    proptest! {
        #[test]
        fn a_slot_is_an_address_and_a_port(address: u16, port: u16, raw: u32) {
            let slot = Slot::new(address, port);
            prop_assert_eq!((slot.address(), slot.port()), (address, port));
            let slot = Slot(raw);
            prop_assert_eq!(Slot::new(slot.address(), slot.port()), slot);
        }

        #[test]
        fn ports_are_held_once_and_come_from_their_holders_block(
            block_log2 in 6u32..10,
            seed: u64,
            steps in prop::collection::vec((0u32..4, any::<prop::sample::Index>(), 0u8..5), 0..900),
        ) {
            let block = 1 << block_log2;
            // The four are the last of one external address and the first of the next.
            let per_address = (65_536 - 1024) / block;
            let mut ports = PortBlocks::new(per_address + 2, block, seed).unwrap();
            let mut held: HashMap<u32, BTreeSet<Slot>> = HashMap::new();
            for (subscriber, pick, action) in steps {
                let subscriber = Subscriber(per_address - 2 + subscriber);
                let own = held.entry(subscriber.0).or_default();
                if action == 0 && !own.is_empty() {
                    let slot = *pick.get(&own.iter().copied().collect::<Vec<_>>());
                    own.remove(&slot);
                    ports.release(slot);
                } else {
                    match ports.allocate(subscriber) {
                        Some(slot) => {
                            prop_assert!(own.insert(slot), "{slot:?} is held already");
                            let range = ports.block_of(subscriber);
                            prop_assert_eq!(slot.address(), range.address);
                            prop_assert!((range.first..=range.first + (range.count - 1))
                                .contains(&slot.port()));
                            prop_assert_eq!(ports.subscriber_of(slot), Some(subscriber));
                            prop_assert!((slot.0 as usize) < ports.slots());
                        }
                        None => prop_assert_eq!(own.len(), block as usize, "a port is free"),
                    }
                }
                prop_assert_eq!(ports.in_use(subscriber), own.len() as u32);
            }
        }
    }

    #[test]
    fn every_usable_slot_belongs_to_one_subscriber() {
        for block in [64, 256, 1024, 2048, 32_768] {
            let per_address = 65_536 / block - 1024u32.div_ceil(block);
            let ports = PortBlocks::new(per_address * 2 + 1, block, 1).unwrap();
            assert_eq!((ports.addresses(), ports.slots()), (3, 3 << 16));
            let mut owned = vec![0; ports.subscribers() as usize];
            for slot in (0..ports.slots() as u32).map(Slot) {
                if let Some(subscriber) = ports.subscriber_of(slot) {
                    assert!(slot.port() >= PORT_MIN);
                    let range = ports.block_of(subscriber);
                    assert_eq!(slot.address(), range.address);
                    assert!(slot.port() - range.first < range.count);
                    owned[subscriber.0 as usize] += 1;
                }
            }
            assert!(owned.iter().all(|&count| count == block), "blocks of {block}");
            assert_eq!(ports.subscriber_of(Slot::new(3, 65_535)), None);
        }
    }

    #[test]
    fn blocks_are_known_beforehand() {
        let ports = PortBlocks::new(2000, 64, 99).unwrap();
        let block = |subscriber| ports.block_of(Subscriber(subscriber));
        assert_eq!(block(0), PortBlock { address: 0, first: 1024, count: 64 });
        assert_eq!(block(1007), PortBlock { address: 0, first: 65_472, count: 64 });
        assert_eq!(block(1008), PortBlock { address: 1, first: 1024, count: 64 });
    }

    #[test]
    fn a_block_is_emptied_whatever_its_size_and_a_port_back_is_found() {
        for block in [64, 512, 32_768] {
            let mut ports = PortBlocks::new(3, block, 5).unwrap();
            let mut slots: Vec<Slot> =
                std::iter::from_fn(|| ports.allocate(Subscriber(1))).collect();
            assert_eq!(slots.len(), block as usize);
            let back = slots.swap_remove(block as usize / 3);
            ports.release(back);
            assert_eq!(ports.allocate(Subscriber(1)), Some(back));
            assert_eq!((ports.in_use(Subscriber(0)), ports.in_use(Subscriber(2))), (0, 0));
        }
    }

    #[test]
    fn a_released_port_is_seldom_the_next_one_out() {
        let mut ports = PortBlocks::new(1, 64, 6).unwrap();
        let again = (0..1000)
            .filter(|_| {
                let slot = ports.allocate(Subscriber(0)).unwrap();
                ports.release(slot);
                let next = ports.allocate(Subscriber(0)).unwrap();
                ports.release(next);
                slot == next
            })
            .count();
        assert!(again < 50, "{again} of 1000, 16 expected");
    }

    #[test]
    #[should_panic(expected = "nobody holds it")]
    fn a_port_is_released_once() {
        let mut ports = PortBlocks::new(1, 64, 7).unwrap();
        let slot = ports.allocate(Subscriber(0)).unwrap();
        ports.release(slot);
        ports.release(slot);
    }

    #[test]
    fn sizes_that_make_no_blocks_are_refused() {
        for block in [0, 32, 65, 65_536] {
            assert!(matches!(PortBlocks::new(1, block, 0), Err(Refused::Block(_))), "{block}");
        }
        let refused = PortBlocks::new(65_537, 32_768, 0);
        assert!(matches!(refused, Err(Refused::Subscribers { .. })));
    }
}
