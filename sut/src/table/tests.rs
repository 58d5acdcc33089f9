//! Collisions made on purpose: hashes chosen by hand, as no key set would give them in a test's
//! time. The behaviour over keys is in `tests/table_model.rs`.

use super::*;

/// A table with room for `entries`, its hashes of one home bucket and any tag.
fn table(entries: usize) -> Table {
    Table::with_capacity(entries, LOAD_MAX, 1).unwrap()
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
fn a_resident_is_no_candidate_for_the_hash_that_has_its_secondary_bucket_here() {
    let mut table = table(1000);
    let hash = Hash { home: 3, tag: 77 };
    let mirror = Hash { home: table.places.other(3, 77), tag: 77 };
    table.insert(hash, 1, 0).unwrap();
    table.insert(mirror, 2, 0).unwrap();
    let mut candidates = Vec::new();
    table.find(hash, |slot| {
        candidates.push(slot);
        false
    });
    assert_eq!(candidates, [1]);
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
