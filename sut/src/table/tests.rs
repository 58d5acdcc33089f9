//! Collisions made on purpose: hashes chosen by hand, as no key set would give them in a test's
//! time. The behaviour over keys is in `tests/table_model.rs`.

use super::bucket::LANES;
use super::layout::lanes;
use super::*;
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A table with room for `entries`, its hashes of one home bucket and any tag.
fn table(entries: usize) -> Table {
    Table::with_capacity(entries, LOAD_MAX, 1).unwrap()
}

/// Counts anew what each bucket has away, holds its count and filter against that, and returns the
/// share of entries in their secondary bucket and the share of filter bits set.
fn audit(table: &Table) -> (f64, f64) {
    let mut away = vec![Vec::new(); table.buckets()];
    let mut len = 0;
    for (index, bucket) in table.buckets.iter().enumerate() {
        len += bucket.taken().count_ones() as usize;
        for tag in lanes(bucket.guests()).map(|lane| bucket.tag(lane)) {
            away[table.places.other(index as u32, tag) as usize].push(tag);
        }
    }
    assert_eq!(len, table.len());
    let mut bits = 0;
    for (bucket, away) in table.buckets.iter().zip(&away) {
        let (count, filter) = bucket.away();
        assert_eq!(count, away.len());
        assert!(away.iter().all(|&tag| bucket.may_be_away(tag)));
        assert!(!away.is_empty() || filter == 0, "nobody is away and the filter is not clear");
        bits += filter;
    }
    let guests: usize = away.iter().map(Vec::len).sum();
    (guests as f64 / len as f64, f64::from(bits) / (32 * table.buckets()) as f64)
}

fn find(table: &Table, hash: Hash, slot: u32) -> Option<Entry> {
    table.find(hash, |candidate| candidate == slot)
}

#[test]
fn equal_hashes_fill_both_their_buckets_and_are_told_apart_by_their_records() {
    let mut table = table(1000);
    let hash = Hash { home: 3, tag: 77 };
    for slot in 0..14 {
        table.insert(hash, slot, 0).unwrap();
    }
    assert_eq!(table.insert(hash, 14, 0), Err(Full), "two buckets of seven, all of one tag");
    assert_eq!(table.len(), 14);
    for slot in 0..14 {
        assert_eq!(find(&table, hash, slot).unwrap().slot, slot);
    }
    assert_eq!(find(&table, hash, 14), None);
    for slot in (0..14).step_by(2) {
        let entry = find(&table, hash, slot).unwrap();
        assert!(table.remove(entry));
        assert!(!table.remove(entry), "it is gone");
    }
    for slot in 0..14 {
        assert_eq!(find(&table, hash, slot).is_some(), slot % 2 == 1, "slot {slot}");
    }
}

#[test]
fn guests_and_residents_of_one_bucket_are_candidates_of_their_own_hashes_only() {
    let mut table = table(1000);
    let hash = Hash { home: 3, tag: 77 };
    let mirror = Hash { home: table.places.other(3, 77), tag: 77 };
    table.insert(mirror, 100, 0).unwrap();
    for slot in 0..8 {
        table.insert(hash, slot, 0).unwrap();
    }
    let candidates = |hash| {
        let mut slots = Vec::new();
        table.find(hash, |slot| {
            slots.push(slot);
            false
        });
        slots
    };
    assert_eq!(candidates(hash), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(candidates(mirror), [100]);
}

#[test]
fn a_filter_that_is_full_hides_nothing() {
    // 400 entries of one home with different tags: the count of those away sticks at 255.
    let mut table = table(20_000);
    let hashes: Vec<Hash> = (1..=400).map(|i| Hash { home: 5, tag: i * 163 }).collect();
    for (slot, &hash) in hashes.iter().enumerate() {
        table.insert(hash, slot as u32, 0).unwrap();
    }
    for (slot, &hash) in hashes.iter().enumerate() {
        let entry = find(&table, hash, slot as u32).expect("live");
        assert!(table.remove(entry));
        for (other, &hash) in hashes.iter().enumerate().skip(slot + 1) {
            assert!(find(&table, hash, other as u32).is_some(), "{other} lost with {slot}");
        }
    }
    assert!(table.is_empty());
}

#[test]
fn peeking_names_the_record_wherever_the_entry_lives() {
    let mut table = table(1000);
    let hash = Hash { home: 3, tag: 77 };
    for tag in 1..=7 {
        table.insert(Hash { home: 3, tag }, 100, 0).unwrap();
    }
    assert_eq!((table.peek(hash), table.peek_away(hash)), (None, None));
    table.insert(hash, 8, 0).unwrap();
    assert_eq!((table.peek(hash), table.peek_away(hash)), (None, Some(8)));
    assert_eq!(table.peek(Hash { home: 3, tag: 1 }), Some(100));
}

#[test]
fn an_entry_that_moved_is_not_refreshed_in_place_of_another() {
    let mut table = table(1000);
    let hash = Hash { home: 3, tag: 77 };
    let entry = table.insert(hash, 1, 10).unwrap();
    assert!(table.refresh(entry, 20));
    assert_eq!(table.expiry(entry), Some(20));
    assert!(table.remove(entry));
    table.insert(hash, 2, 30).unwrap();
    assert!(!table.refresh(entry, 40) && !table.remove(entry));
    assert_eq!(table.expiry(entry), None);
    assert_eq!(table.expiry(find(&table, hash, 2).unwrap()), Some(30));
}

#[test]
fn a_table_at_its_capacity_refuses_at_once_and_changes_nothing() {
    let mut table = table(10);
    for slot in 0..10 {
        table.insert(Hash { home: slot % 2, tag: slot as u16 + 1 }, slot, 0).unwrap();
    }
    assert_eq!(table.insert(Hash { home: 0, tag: 99 }, 10, 0), Err(Full));
    assert_eq!((table.len(), table.capacity()), (10, 10));
}

#[test]
fn sizes_and_limits() {
    let table = Table::with_capacity(1 << 20, LOAD, 1).unwrap();
    let load = table.capacity() as f64 / (table.buckets() * LANES) as f64;
    assert!((0.799..=LOAD).contains(&load), "{load}");
    assert!(
        table.bytes() >= table.buckets() * 64 && table.bytes() < table.buckets() * 64 + (2 << 20)
    );
    for load in [0.0, -1.0, 0.96, f64::NAN] {
        let error = Table::with_capacity(1000, load, 1).err().expect("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    let error = Table::with_capacity(usize::MAX, LOAD, 1).err().expect("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

/// The audit of a table of 5,000 connections, each replaced some forty times by another. Swept,
/// with nothing due, whenever a twentieth has been.
fn churned(load: f64, swept: bool) -> (f64, f64) {
    const LIVE: usize = 5000;
    let mut table = Table::with_capacity(LIVE, load, 11).unwrap();
    let mut random = Xoshiro256PlusPlus::seed_from_u64(12);
    let mut live = Vec::new();
    for slot in 0..200_000 {
        let bits = random.next_u64();
        let hash = Hash { home: table.places.home((bits >> 32) as u32), tag: (bits as u16).max(1) };
        table.insert(hash, slot, 0).unwrap();
        live.push((hash, slot));
        if live.len() == LIVE {
            let (hash, slot) = live.swap_remove(random.next_u64() as usize % LIVE);
            let entry = find(&table, hash, slot).expect("live");
            assert!(table.remove(entry));
        }
        if swept && slot.is_multiple_of(LIVE as u32 / 20) {
            assert_eq!(table.sweep(0xffff, table.buckets(), |_| Verdict::Remove), 0);
        }
    }
    audit(&table)
}

#[test]
fn churn_leaves_counts_and_filters_true_and_most_entries_at_home() {
    for (load, swept, away_max, filter_max) in [
        (LOAD, false, 0.15, 0.06),
        (LOAD, true, 0.11, 0.04),
        (LOAD_MAX, false, 0.34, 0.24),
        (LOAD_MAX, true, 0.26, 0.13),
    ] {
        let (away, filter) = churned(load, swept);
        assert!(away < away_max, "load {load}, swept {swept}: {away} of the entries are away");
        assert!(filter < filter_max, "load {load}, swept {swept}: {filter} of the filter is set");
    }
}

/// Records that a burst looks keys up in: the key by slot.
struct Records(Vec<Key>);

impl Keys for Records {
    fn matches(&self, slot: u32, key: &Key) -> bool {
        self.0[slot as usize] == *key
    }
    fn prefetch(&self, _: u32) {}
}

#[test]
fn a_burst_looks_on_where_the_first_candidate_is_another_connection() {
    let mut table = table(12);
    let key = |id| Key { src: id, dst: 9, src_port: 1, dst_port: 2, protocol: 17 };
    let mut seen = std::collections::HashMap::new();
    let twins = (0..).map(key).find_map(|key| {
        let hash = table.hash(&key);
        seen.insert((hash.home, hash.tag), key).map(|twin| [twin, key])
    });
    let records = Records(twins.unwrap().to_vec());
    for (slot, key) in records.0.iter().enumerate() {
        table.insert(table.hash(key), slot as u32, 0).unwrap();
    }
    let mut found = arrayvec::ArrayVec::new();
    table.find_burst(&records.0, &records, &mut found);
    let slots: Vec<_> = found.iter().map(|lookup| lookup.entry.map(|entry| entry.slot)).collect();
    assert_eq!(slots, [Some(0), Some(1)]);
}
