//! The flow table and Cuckoo++ against a `HashMap`: both do whatever one of them does.

use arrayvec::ArrayVec;
use krononat::cuckoo_plus_plus::CuckooPlusPlus;
use krononat::table::{Entry, Feed, Full, Hash, Key, Keys, LOAD, LOAD_MAX, Lookup, Table, Verdict};
use proptest::prelude::*;
use std::collections::HashMap;
use std::ops::ControlFlow;

fn key(id: u32) -> Key {
    Key {
        src: 0x0a00_0000 | id >> 6,
        dst: 0xc633_6401,
        src_port: 1024 + (id & 63) as u16,
        dst_port: 443,
        protocol: if id.is_multiple_of(2) { 6 } else { 17 },
    }
}

/// The same key, packed into the 16 bytes of Cuckoo++.
fn words(id: u32) -> [u64; 2] {
    let Key { src, dst, src_port, dst_port, protocol } = key(id);
    let ports = u64::from(src_port) << 24 | u64::from(dst_port) << 8 | u64::from(protocol);
    [u64::from(src) << 32 | u64::from(dst), ports]
}

/// A table under test, by the ids of keys.
trait Subject {
    const LANES: usize;
    fn new(entries: usize, load: f64, seed: u64) -> Self;
    fn hash(&self, id: u32) -> Hash;
    fn insert(&mut self, id: u32, slot: u32, expiry: u16) -> Result<Entry, Full>;
    fn find(&self, id: u32) -> Option<Entry>;
    fn find_burst(&self, ids: &[u32], found: &mut ArrayVec<Lookup, 32>);
    fn remove(&mut self, entry: Entry) -> bool;
    fn refresh(&mut self, entry: Entry, expiry: u16) -> bool;
    fn expiry(&self, entry: Entry) -> Option<u16>;
    fn sweep(&mut self, now: u16, buckets: usize, expired: impl FnMut(u32) -> Verdict) -> usize;
    fn feed_all(&self) -> Feed;
    fn changes(
        &mut self,
        feed: &mut Feed,
        buckets: usize,
        visit: impl FnMut(u32, u16) -> ControlFlow<()>,
    ) -> usize;
    fn len(&self) -> usize;
    fn buckets(&self) -> usize;
}

/// The calls that are the same on both.
macro_rules! shared_calls {
    () => {
        fn remove(&mut self, entry: Entry) -> bool {
            self.table.remove(entry)
        }
        fn refresh(&mut self, entry: Entry, expiry: u16) -> bool {
            self.table.refresh(entry, expiry)
        }
        fn expiry(&self, entry: Entry) -> Option<u16> {
            self.table.expiry(entry)
        }
        fn sweep(&mut self, now: u16, count: usize, expired: impl FnMut(u32) -> Verdict) -> usize {
            self.table.sweep(now, count, expired)
        }
        fn feed_all(&self) -> Feed {
            self.table.feed_all()
        }
        fn changes(
            &mut self,
            feed: &mut Feed,
            buckets: usize,
            visit: impl FnMut(u32, u16) -> ControlFlow<()>,
        ) -> usize {
            self.table.changes(feed, buckets, visit)
        }
        fn len(&self) -> usize {
            self.table.len()
        }
        fn buckets(&self) -> usize {
            self.table.buckets()
        }
    };
}

/// The records beside the flow table: the key in each slot, that of a connection gone included.
struct Records(Vec<Key>);

impl Keys for Records {
    fn matches(&self, slot: u32, key: &Key) -> bool {
        self.0[slot as usize] == *key
    }
    fn prefetch(&self, slot: u32) {
        dataplane::cpu::prefetch(&self.0[slot as usize]);
    }
}

struct Flow {
    table: Table,
    records: Records,
}

impl Subject for Flow {
    const LANES: usize = 7;
    fn new(entries: usize, load: f64, seed: u64) -> Flow {
        let table = Table::with_capacity(entries, load, seed).unwrap();
        Flow { table, records: Records(vec![Key::default(); entries]) }
    }
    fn hash(&self, id: u32) -> Hash {
        self.table.hash(&key(id))
    }
    fn insert(&mut self, id: u32, slot: u32, expiry: u16) -> Result<Entry, Full> {
        let entry = self.table.insert(self.hash(id), slot, expiry)?;
        self.records.0[slot as usize] = key(id);
        Ok(entry)
    }
    fn find(&self, id: u32) -> Option<Entry> {
        self.table.find(self.hash(id), |slot| self.records.matches(slot, &key(id)))
    }
    fn find_burst(&self, ids: &[u32], found: &mut ArrayVec<Lookup, 32>) {
        let keys: Vec<Key> = ids.iter().map(|&id| key(id)).collect();
        self.table.find_burst(&keys, &self.records, found);
    }
    shared_calls!();
}

struct Published {
    table: CuckooPlusPlus,
}

impl Subject for Published {
    const LANES: usize = 8;
    fn new(entries: usize, load: f64, seed: u64) -> Published {
        Published { table: CuckooPlusPlus::with_capacity(entries, load, seed).unwrap() }
    }
    fn hash(&self, id: u32) -> Hash {
        self.table.hash_words(&words(id))
    }
    fn insert(&mut self, id: u32, slot: u32, expiry: u16) -> Result<Entry, Full> {
        self.table.insert(self.hash(id), &words(id), slot, expiry)
    }
    fn find(&self, id: u32) -> Option<Entry> {
        self.table.find(self.hash(id), &words(id))
    }
    fn find_burst(&self, ids: &[u32], found: &mut ArrayVec<Lookup, 32>) {
        let keys: Vec<_> = ids.iter().map(|&id| words(id)).collect();
        // A tick before the expiries of the test: none of them is over.
        self.table.find_burst(&keys, 0xffff, found);
    }
    shared_calls!();
}

/// A table and what a `HashMap` says must be there: key id → (slot, expiry).
struct Pair<S> {
    table: S,
    free: Vec<u32>,
    model: HashMap<u32, (u32, u16)>,
    /// What a replica knows: slot → expiry.
    replica: HashMap<u32, u16>,
}

impl<S: Subject> Pair<S> {
    fn new(entries: usize, load: f64, seed: u64) -> Pair<S> {
        Pair {
            table: S::new(entries, load, seed),
            free: (0..entries as u32).rev().collect(),
            model: HashMap::new(),
            replica: HashMap::new(),
        }
    }

    fn insert(&mut self, id: u32, expiry: u16) -> Result<(), Full> {
        if self.model.contains_key(&id) {
            return Ok(());
        }
        let slot = *self.free.last().ok_or(Full)?;
        let entry = self.table.insert(id, slot, expiry)?;
        assert_eq!(entry.slot, slot);
        self.free.pop();
        self.model.insert(id, (slot, expiry));
        Ok(())
    }

    fn delete(&mut self, id: u32) {
        let expected = self.model.remove(&id);
        let found = self.table.find(id);
        assert_eq!(found.map(|entry| entry.slot), expected.map(|(slot, _)| slot), "key {id}");
        if let Some(entry) = found {
            assert!(self.table.remove(entry));
            self.free.push(entry.slot);
        }
    }

    fn refresh(&mut self, id: u32, expiry: u16) {
        if let Some(entry) = self.table.find(id) {
            assert!(self.table.refresh(entry, expiry));
            self.model.get_mut(&id).expect("only live keys are found").1 = expiry;
        }
    }

    /// A round or more in steps of `step` buckets; every third due entry is kept ten more ticks.
    fn sweep(&mut self, now: u16, step: usize) {
        let due = |expiry: u16| (now.wrapping_sub(expiry) as i16) >= 0;
        let before = self.free.len();
        let mut removed = 0;
        for _ in 0..self.table.buckets().div_ceil(step) {
            removed += self.table.sweep(now, step, |slot| {
                if slot.is_multiple_of(3) {
                    return Verdict::Keep(now.wrapping_add(10));
                }
                self.free.push(slot);
                Verdict::Remove
            });
        }
        let gone = |slot: u32, expiry: u16| due(expiry) && !slot.is_multiple_of(3);
        let mut over: Vec<u32> = self
            .model
            .extract_if(|_, (slot, expiry)| gone(*slot, *expiry))
            .map(|(_, (slot, _))| slot)
            .collect();
        for (_, expiry) in self.model.values_mut().filter(|(_, expiry)| due(*expiry)) {
            *expiry = now.wrapping_add(10);
        }
        let mut swept = self.free[before..].to_vec();
        swept.sort_unstable();
        over.sort_unstable();
        assert_eq!(swept, over, "each that is over is swept once, and no other");
        assert_eq!(removed, over.len());
    }

    /// Has the replica hear of `budget` changes at most.
    fn replicate(&mut self, feed: &mut Feed, buckets: usize, budget: usize) {
        let mut left = budget;
        let told = self.table.changes(feed, buckets, |slot, expiry| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            self.replica.insert(slot, expiry);
            ControlFlow::Continue(())
        });
        assert_eq!(told, budget - left, "a change is told once a call");
    }

    /// Every live key is found with its slot and expiry, no other of `ids` is.
    fn check(&self, ids: std::ops::Range<u32>) {
        assert_eq!(self.table.len(), self.model.len());
        for id in ids {
            let found = self.table.find(id);
            let found = found.map(|entry| (entry.slot, self.table.expiry(entry).unwrap()));
            assert_eq!(found, self.model.get(&id).copied(), "key {id}");
        }
    }

    /// The replica knows each live entry as it is now.
    fn check_replica(&self) {
        for (id, (slot, expiry)) in &self.model {
            assert_eq!(self.replica.get(slot), Some(expiry), "key {id}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32),
    Delete(u32),
    Refresh(u32, u16),
    Sweep { ticks: u16, buckets: usize },
    Replicate { buckets: usize, budget: usize },
}

fn steps(ids: u32) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => (0..ids).prop_map(Step::Insert),
        30 => (0..ids).prop_map(Step::Delete),
        20 => (0..ids, 0u16..200).prop_map(|(id, ahead)| Step::Refresh(id, ahead)),
        5 => (0usize..30, 0usize..30)
            .prop_map(|(buckets, budget)| Step::Replicate { buckets, budget }),
        1 => (0u16..30, 1usize..100).prop_map(|(ticks, buckets)| Step::Sweep { ticks, buckets }),
    ];
    prop::collection::vec(step, 0..600)
}

/// How a table is made and filled.
#[derive(Clone, Copy, Debug)]
struct Setup {
    buckets: usize,
    load: f64,
    seed: u64,
    start: u16,
}

fn live<S: Subject>(setup: Setup, steps: &[Step]) {
    let Setup { buckets, load, seed, start } = setup;
    let entries = (buckets as f64 * S::LANES as f64 * load) as usize;
    let mut pair = Pair::<S>::new(entries, load, seed);
    let mut now = start;
    // Small tables may have no chain for the last few: what is refused must change nothing.
    for id in 0..entries as u32 {
        let _ = pair.insert(id, now.wrapping_add(id as u16 % 100));
    }
    pair.check(0..1200);
    let mut feed = pair.table.feed_all();
    for step in steps {
        match *step {
            Step::Insert(id) => drop(pair.insert(id, now.wrapping_add(50))),
            Step::Delete(id) => pair.delete(id),
            Step::Refresh(id, ahead) => pair.refresh(id, now.wrapping_add(ahead)),
            Step::Replicate { buckets, budget } => pair.replicate(&mut feed, buckets, budget),
            Step::Sweep { ticks, buckets } => {
                now = now.wrapping_add(ticks);
                pair.sweep(now, buckets);
            }
        }
    }
    pair.check(0..1200);
    // Twice round, for an entry that moved ahead of the walk to behind it.
    for _ in 0..2 {
        pair.replicate(&mut feed, usize::MAX, usize::MAX);
    }
    pair.check_replica();
    let known = pair.replica.len();
    pair.replica.clear();
    pair.replicate(&mut feed, usize::MAX, usize::MAX);
    assert!(pair.replica.is_empty(), "nothing changed, and {known} were told already");
}

fn setups() -> impl Strategy<Value = Setup> {
    (2usize..128, 0.5f64..LOAD_MAX, any::<u64>(), any::<u16>())
        .prop_map(|(buckets, load, seed, start)| Setup { buckets, load, seed, start })
}

proptest! {
    #[test]
    fn any_sequence_leaves_what_a_hash_map_would_hold(setup in setups(), steps in steps(1200)) {
        live::<Flow>(setup, &steps);
        live::<Published>(setup, &steps);
    }
}

fn fills<S: Subject>() {
    for seed in 0..2 {
        let entries = 100_000;
        let mut table = S::new(entries, LOAD_MAX, seed);
        let load = entries as f64 / (table.buckets() * S::LANES) as f64;
        assert!(load > 0.9499, "load {load}");
        for id in 0..entries as u32 {
            assert!(table.insert(id, id, 0).is_ok(), "seed {seed}: {id}");
        }
        assert_eq!(table.insert(entries as u32, 0, 0), Err(Full));
    }
}

#[test]
fn inserts_reach_a_load_of_0_95() {
    fills::<Flow>();
    fills::<Published>();
}

fn bursts<S: Subject>() {
    let entries = 5000;
    let mut pair = Pair::<S>::new(entries, LOAD_MAX, 9);
    for id in 0..entries as u32 {
        pair.insert(id * 2, 0).unwrap();
    }
    let mut found: ArrayVec<Lookup, 32> = ArrayVec::new();
    for first in (0..10_000u32).step_by(31) {
        for size in [32, 5, 0] {
            let ids: Vec<u32> = (first..first + size).collect();
            pair.table.find_burst(&ids, &mut found);
            assert_eq!(found.len(), ids.len());
            for (id, lookup) in (first..).zip(&found) {
                assert_eq!(lookup.entry, pair.table.find(id), "key {id}");
                assert_eq!(lookup.hash, pair.table.hash(id));
                assert_eq!(lookup.entry.is_some(), pair.model.contains_key(&id));
            }
        }
    }
}

#[test]
fn a_burst_finds_what_single_lookups_find() {
    bursts::<Flow>();
    bursts::<Published>();
}

#[test]
fn a_burst_of_cuckoo_plus_plus_finds_nothing_that_has_expired() {
    let mut subject = Published::new(100, LOAD, 11);
    for id in 0..100 {
        subject.insert(id, id, id as u16).unwrap();
    }
    let mut found = ArrayVec::new();
    subject.table.find_burst(&[words(40), words(41)], 40, &mut found);
    let live: Vec<bool> = found.iter().map(|lookup| lookup.entry.is_some()).collect();
    assert_eq!(live, [false, true]);
}

fn sweeps<S: Subject>() {
    let entries = 1000;
    let mut table = S::new(entries, LOAD, 10);
    // The 16-bit clock wraps between the two expiries.
    for id in 0..entries as u32 {
        let expiry = if id.is_multiple_of(2) { 65_530 } else { 5 };
        table.insert(id, id, expiry).unwrap();
    }
    let mut asked = Vec::new();
    let calls = table.buckets().div_ceil(10);
    for _ in 0..calls {
        let removed = table.sweep(65_535, 10, |slot| {
            asked.push(slot);
            Verdict::Remove
        });
        assert!(removed <= 10 * S::LANES, "more than ten buckets hold");
    }
    asked.sort_unstable();
    assert_eq!(asked, (0..1000).step_by(2).collect::<Vec<u32>>());
    assert_eq!(table.len(), 500);
    assert_eq!(table.sweep(4, usize::MAX, |_| Verdict::Remove), 0);
    assert_eq!(table.sweep(5, usize::MAX, |_| Verdict::Keep(6)), 0);
    assert_eq!(table.sweep(6, usize::MAX, |_| Verdict::Remove), 500);
}

#[test]
fn a_sweep_asks_only_about_what_is_due_and_resumes_where_it_stopped() {
    sweeps::<Flow>();
    sweeps::<Published>();
}
