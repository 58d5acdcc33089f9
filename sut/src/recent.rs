//! What is remembered for a while, of so many keys and no more: datagrams whose first fragment has
//! passed, of either family.
//!
//! Sets of four, of which the oldest makes room. That is the price of keeping nothing for whoever
//! sends first fragments and no more. The caller chooses the set, by a hash that no stranger can
//! compute, or whom to evict could be chosen from outside. Nothing is allocated after the start.

use crate::timer::{TICK_NS, Tick};

/// Keys of a set, and sets: 1,024 keys at once.
const WAYS: usize = 4;
const SETS: usize = 256;

/// Sets a sweep looks at.
const SETS_PER_SWEEP: usize = 4;

#[derive(Clone, Copy)]
struct Entry<K, V> {
    key: K,
    value: V,
    expiry: u16,
}

type Set<K, V> = [Option<Entry<K, V>>; WAYS];

/// A bounded memory. Of each set, the newest entry is in front.
pub(crate) struct Recent<K, V> {
    sets: Box<[Set<K, V>]>,
    life_ticks: u16,
    /// The set that is swept next.
    cursor: usize,
}

impl<K: Copy + Eq, V: Copy> Recent<K, V> {
    /// Remembers nothing yet; later, each key for `life_ns` and the tick under way.
    pub(crate) fn new(life_ns: u64) -> Recent<K, V> {
        let sets = vec![[None; WAYS]; SETS].into_boxed_slice();
        Recent { sets, life_ticks: (life_ns / TICK_NS) as u16 + 1, cursor: 0 }
    }

    /// What is remembered of `key`.
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &K, now: Tick) -> Option<V> {
        let mut set = self.sets[set_of(hash)].iter().flatten();
        set.find(|entry| entry.key == *key && !now.is_past(entry.expiry)).map(|entry| entry.value)
    }

    /// Remembers `value` of `key`, whatever it was before.
    #[inline]
    pub(crate) fn put(&mut self, hash: u64, key: K, value: V, now: Tick) {
        let set = &mut self.sets[set_of(hash)];
        let known = set.iter().position(|entry| entry.is_some_and(|entry| entry.key == key));
        set[..=known.unwrap_or(WAYS - 1)].rotate_right(1);
        set[0] = Some(Entry { key, value, expiry: now.0.wrapping_add(self.life_ticks) });
    }

    /// Forgets what is over in the next few sets. A round must be done within two hours: then a
    /// 16-bit deadline would look as if it were still to come.
    pub(crate) fn sweep(&mut self, now: Tick) {
        for _ in 0..SETS_PER_SWEEP {
            for entry in &mut self.sets[self.cursor] {
                *entry = entry.filter(|entry| !now.is_past(entry.expiry));
            }
            self.cursor = (self.cursor + 1) % SETS;
        }
    }
}

#[inline]
fn set_of(hash: u64) -> usize {
    (hash % SETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(65_534);

    fn later(ticks: u16) -> Tick {
        Tick(START.0.wrapping_add(ticks))
    }

    #[test]
    fn a_key_is_remembered_for_its_life() {
        let mut recent = Recent::new(2_000_000_000);
        recent.put(7, 1, 'a', START);
        for (ticks, expected) in [(0, Some('a')), (8, Some('a')), (9, None)] {
            assert_eq!(recent.get(7, &1, later(ticks)), expected, "after {ticks} ticks");
        }
        assert_eq!(recent.get(7, &2, START), None);
        // A round of sweeping, and the 16-bit clock may come round.
        (0..SETS / SETS_PER_SWEEP).for_each(|_| recent.sweep(later(9)));
        assert_eq!(recent.get(7, &1, START), None);
    }

    /// All in one tick: not the deadline tells who is oldest.
    #[test]
    fn the_oldest_of_a_full_set_makes_room() {
        let mut recent = Recent::new(2_000_000_000);
        (0..=WAYS).for_each(|key| recent.put(7, key, 'a', START));
        let known = |recent: &Recent<_, _>| -> Vec<usize> {
            (0..WAYS + 2).filter(|key| recent.get(7, key, START).is_some()).collect()
        };
        assert_eq!(known(&recent), [1, 2, 3, 4]);
        recent.put(7, 1, 'b', START);
        assert_eq!((recent.get(7, &1, START), known(&recent).len()), (Some('b'), 4), "once");
        recent.put(7, 5, 'a', START);
        assert_eq!(known(&recent), [1, 3, 4, 5], "what is put again is new");
        recent.put(8, 6, 'a', START);
        assert_eq!(known(&recent), [1, 3, 4, 5], "another set");
    }
}
