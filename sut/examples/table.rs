//! How many lookups a second the flow table answers, on one core.
//!
//! `cargo run --release -p krononat --example table [ENTRIES]`
//!
//! Keys are looked up in an order unrelated to that of their insertion (in the same order a table
//! looks a third faster than it is), in bursts of 32, and the record's key is compared: 16 bytes of
//! another array. The two lines of a lookup are therefore both in the figure.

use arrayvec::ArrayVec;
use dataplane::burst::BURST;
use dataplane::memory::Pages;
use krononat::table::{Key, Keys, LOAD, Lookup, Table, Verdict};
use rand_core::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::hint::black_box;
use std::time::Instant;

/// Lookups measured per figure.
const LOOKUPS: usize = 1 << 24;

/// Repeats; the median is printed.
const REPEATS: usize = 5;

/// Keys by slot, on huge pages like the records of the NAT.
struct Records<'a>(&'a [[u64; 2]]);

fn packed(key: &Key) -> [u64; 2] {
    let ports = u64::from(key.src_port) << 24 | u64::from(key.dst_port) << 8;
    [u64::from(key.src) << 32 | u64::from(key.dst), ports | u64::from(key.protocol)]
}

impl Keys for Records<'_> {
    #[inline]
    fn matches(&self, slot: u32, key: &Key) -> bool {
        self.0[slot as usize] == packed(key)
    }
    #[inline]
    fn prefetch(&self, slot: u32) {
        dataplane::cpu::prefetch(&self.0[slot as usize]);
    }
}

/// A random key; those for `absent` are in no table.
fn random_key(random: &mut Xoshiro256PlusPlus, absent: bool) -> Key {
    let (a, b) = (random.next_u64(), random.next_u64());
    let protocol = if absent { 1 } else { 6 };
    let (src_port, dst_port) = (b as u16, (b >> 16) as u16);
    Key { src: a as u32, dst: (a >> 32) as u32, src_port, dst_port, protocol }
}

/// The median of some repeats of `work`, in millions of `count` operations a second.
fn rate_mps(count: usize, mut work: impl FnMut()) -> f64 {
    let mut rates: Vec<f64> = (0..REPEATS)
        .map(|_| {
            let start = Instant::now();
            work();
            count as f64 / start.elapsed().as_secs_f64() / 1e6
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates[REPEATS / 2]
}

/// Looks `keys` up in bursts, round and round; asserts that all or none are found.
fn lookups(table: &Table, records: &Records<'_>, keys: &[Key], present: bool) -> f64 {
    let mut found: ArrayVec<Lookup, BURST> = ArrayVec::new();
    let rounds = LOOKUPS / keys.len();
    rate_mps(rounds * keys.len(), || {
        let mut hits = 0;
        for _ in 0..rounds {
            for burst in keys.chunks(BURST) {
                table.find_burst(burst, records, &mut found);
                hits += found.iter().filter(|lookup| lookup.entry.is_some()).count();
            }
        }
        assert_eq!(hits, if present { rounds * keys.len() } else { 0 });
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let entries: usize = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 1 << 20,
    };
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut keys: Vec<Key> = (0..entries).map(|_| random_key(&mut random, false)).collect();
    let mut table = Table::with_capacity(entries, LOAD, 2)?;
    let mut records = Pages::<[u64; 2]>::zeroed(entries)?;

    let start = Instant::now();
    for (slot, key) in keys.iter().enumerate() {
        table.insert(table.hash(key), slot as u32, 0)?;
        records[slot] = packed(key);
    }
    let insert_mps = entries as f64 / start.elapsed().as_secs_f64() / 1e6;

    for i in (1..keys.len()).rev() {
        keys.swap(i, random.next_u64() as usize % (i + 1));
    }
    let sample = keys.len().min(LOOKUPS / 4);
    let absent: Vec<Key> = (0..sample).map(|_| random_key(&mut random, true)).collect();

    let records = Records(&records);
    let bits = rate_mps(LOOKUPS, || {
        for key in keys.iter().cycle().take(LOOKUPS) {
            black_box(table.hash(black_box(key)));
        }
    });
    println!("{entries} entries at load {LOAD}, {} bytes each", table.bytes() / entries);
    println!("hash      {bits:7.1} M/s");
    println!("positive  {:7.1} M lookups/s", lookups(&table, &records, &keys[..sample], true));
    println!("negative  {:7.1} M lookups/s", lookups(&table, &records, &absent, false));
    println!("insert    {insert_mps:7.1} M/s, one at a time");
    let buckets = table.buckets();
    let swept = rate_mps(buckets, || {
        black_box(table.sweep(0xffff, buckets, |_| Verdict::Remove));
    });
    println!("sweep     {swept:7.1} M buckets/s, nothing due");
    Ok(())
}
