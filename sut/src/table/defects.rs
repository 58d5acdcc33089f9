//! The three defects of the public Cuckoo++, each held against a twin of our table that has it.
//!
//! Every test does the same work twice, with the table's own operation and with the broken one: the
//! first must do no harm and the second must be seen to, or the test would prove nothing.

use super::*;
use layout::Layout;
use std::ops::ControlFlow;

const ENTRIES: u32 = 100_000;

/// A table of [`ENTRIES`] at load `load_max`, and the hash of the key with a number in it; the slot
/// is the number.
struct Trial {
    table: Table,
}

impl Trial {
    fn new(load_max: f64, seed: u64) -> Trial {
        Trial { table: Table::with_capacity(ENTRIES as usize, load_max, seed).unwrap() }
    }

    fn hash(&self, id: u32) -> Hash {
        self.table.hash_words(&[u64::from(id)])
    }

    fn find(&self, id: u32) -> Option<Entry> {
        self.table.find(self.hash(id), |slot| slot == id)
    }

    fn fill(&mut self, ids: std::ops::Range<u32>) {
        for id in ids {
            self.table.insert(self.hash(id), id, 0).unwrap();
        }
    }
}

/// Keys that cannot be found after the deletion of every second one.
///
/// No insert comes between: a broken table would trip over its own assertions there.
fn lost_by(remove: impl Fn(&mut Table, Entry)) -> usize {
    let mut trial = Trial::new(0.9, 7);
    trial.fill(0..ENTRIES);
    for gone in (0..ENTRIES).step_by(2) {
        if let Some(entry) = trial.find(gone) {
            remove(&mut trial.table, entry);
            assert_eq!(trial.find(gone), None);
        }
    }
    (1..ENTRIES).step_by(2).filter(|&id| trial.find(id).is_none()).count()
}

/// Defect 1: the end of a guest is told to the bucket it was in and not to its home.
#[test]
fn deleting_from_the_secondary_bucket_keeps_every_other_key_findable() {
    let broken = |table: &mut Table, entry: Entry| {
        let bucket = &mut table.buckets[entry.bucket as usize];
        let (_, guest) = bucket.take(entry.lane);
        if guest && bucket.away().0 > 0 {
            bucket.note_return();
        }
        table.len -= 1;
    };
    let twin = lost_by(broken);
    assert!(twin > 0, "a broken table would not be noticed");
    assert_eq!(lost_by(|table, entry| assert!(table.remove(entry))), 0);
}

/// Of the keys that take the load from 0.8 to 0.9, those a feed of changes never tells.
fn untold_after(insert: impl Fn(&mut Table, Hash, u32)) -> usize {
    let mut trial = Trial::new(0.9, 9);
    let first = (f64::from(ENTRIES) * 0.8 / 0.9) as u32;
    trial.fill(0..first);
    let mut feed = trial.table.feed_all();
    let mut told = vec![false; ENTRIES as usize];
    let mut tell = |table: &mut Table| {
        table.changes(&mut feed, usize::MAX, |slot, _| {
            told[slot as usize] = true;
            ControlFlow::Continue(())
        })
    };
    tell(&mut trial.table);
    for id in first..ENTRIES {
        let hash = trial.hash(id);
        insert(&mut trial.table, hash, id);
    }
    tell(&mut trial.table);
    told.iter().filter(|&&told| !told).count()
}

/// Defect 2: where an entry was displaced for it, a new one is taken for told already.
#[test]
fn a_key_added_by_a_displacement_is_replicated() {
    let broken = |table: &mut Table, hash: Hash, slot: u32| {
        let displaces = table.buckets[hash.home as usize].free_lane().is_none();
        let entry = table.insert(hash, slot, 0).unwrap();
        if displaces {
            table.buckets[entry.bucket as usize].clear_changed(entry.lane);
        }
    };
    let twin = untold_after(broken);
    assert!(twin > 0, "a broken feed would not be noticed");
    let whole = untold_after(|table, hash, slot| {
        table.insert(hash, slot, 0).unwrap();
    });
    assert_eq!(whole, 0);
}

/// The load at which `insert` fails first, in a table made for [`LOAD_MAX`].
fn load_reached_by(insert: impl Fn(&mut Table, Hash, u32) -> Result<(), Full>) -> f64 {
    let mut trial = Trial::new(LOAD_MAX, 10);
    let refused = (0..ENTRIES).find(|&id| {
        let hash = trial.hash(id);
        insert(&mut trial.table, hash, id).is_err()
    });
    let lanes = trial.table.buckets() * trial.table.lanes();
    f64::from(refused.unwrap_or(ENTRIES)) / lanes as f64
}

/// Defect 3: the helper that finds an entry's other bucket answers the same for all.
#[test]
fn inserts_reach_the_load_that_the_table_was_made_for() {
    // With one bucket for all displaced entries, a full pair of buckets is the end.
    let broken = |table: &mut Table, hash: Hash, slot: u32| {
        const REHASHED: u32 = 0;
        let secondary = table.places.other(hash.home, hash.tag);
        let room = [hash.home, secondary, REHASHED]
            .iter()
            .any(|&bucket| table.buckets[bucket as usize].free_lane().is_some());
        if room { table.insert(hash, slot, 0).map(drop) } else { Err(Full) }
    };
    let twin = load_reached_by(broken);
    assert!(twin < 0.9, "a broken table reaches load {twin}");
    let whole = load_reached_by(|table, hash, slot| table.insert(hash, slot, 0).map(drop));
    assert!(whole > 0.9499, "load {whole}");
}
