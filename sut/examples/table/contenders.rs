//! The tables compared, each behind the same few calls.

use super::keys::Words;
use super::resident::Resident;
use arrayvec::ArrayVec;
use dataplane::burst::BURST;
use dataplane::cpu;
use dataplane::memory::Pages;
use dataplane::port::dpdk::{Eal, EalConfig};
use dpdk_sys::hash::{BURST_MAX, Hash as RteHash, KEY_BYTES};
use krononat::cuckoo_plus_plus::CuckooPlusPlus;
use krononat::table::{Keys, Lookup, Table};
use std::io;
use zerocopy::{FromBytes, IntoBytes};

/// A table under measurement. Slots are the numbers of the keys.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    /// Adds keys; the first of them has the slot `first`.
    fn insert(&mut self, keys: &[Words], first: u32);
    /// How many of the keys are there.
    fn lookup(&mut self, keys: &[Words]) -> usize;
    /// Lanes or slots of the table.
    fn slots(&self) -> usize;
    /// Bytes of memory held, records included.
    fn bytes(&self) -> usize;
}

type Found = ArrayVec<Lookup, BURST>;

fn hits(found: &Found) -> usize {
    found.iter().filter(|lookup| lookup.entry.is_some()).count()
}

/// Who takes part.
pub(crate) struct Field {
    /// `rte_hash` first, where there is one.
    pub(crate) contenders: Vec<Box<dyn Contender>>,
    /// Of the memory each was made of, the share on 2 MiB pages; `None` where Linux does not tell.
    pub(crate) huge: Vec<Option<f64>>,
    /// Who does not, and why.
    pub(crate) missing: Vec<String>,
}

impl Field {
    /// Tables for `entries` keys, those of krono at load `load`, or `rte_hash` alone.
    pub(crate) fn new(entries: u32, load: Option<f64>) -> io::Result<Field> {
        let mut field = Field { contenders: Vec::new(), huge: Vec::new(), missing: Vec::new() };
        let count = entries as usize;
        match start_dpdk() {
            Ok(()) => field.admit(|| Rte::new(entries))?,
            Err(reason) => field.missing.push(format!("{RTE}: not measured, {reason}")),
        }
        if let Some(load) = load {
            field.admit(|| Flow::new(count, load))?;
            field.admit(|| Cuckoo::new(count, load))?;
        }
        Ok(field)
    }

    fn admit<C: Contender + 'static>(
        &mut self,
        make: impl FnOnce() -> io::Result<C>,
    ) -> io::Result<()> {
        let before = Resident::now();
        self.contenders.push(Box::new(make()?));
        let made = |before: Resident| Some(Resident::now()?.share_huge_since(&before));
        self.huge.push(before.and_then(made));
        Ok(())
    }
}

const RTE: &str = "DPDK rte_hash";
const FLOW: &str = "flow table + record";
const CUCKOO: &str = "Cuckoo++ with timers";

const SEED: u64 = 0x6b72_6f6e_6f00;

struct Rte(RteHash);

/// What `rte_hash` needs besides memory of its own.
fn start_dpdk() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = EalConfig::new("krono-table");
    config.memory_mb = 64;
    Eal::init(&config)?;
    Ok(())
}

/// Load above which `rte_hash` gets twice the slots: it may refuse keys from about 0.95 on.
const RTE_LOAD_MAX: f64 = 0.9;

impl Rte {
    fn new(entries: u32) -> io::Result<Rte> {
        let slots = entries.next_power_of_two();
        let full = f64::from(entries) > RTE_LOAD_MAX * f64::from(slots);
        let room = if full { slots + 1 } else { entries };
        RteHash::new(room).map(Rte).map_err(io::Error::other)
    }
}

fn bytes_of(keys: &[Words]) -> &[[u8; KEY_BYTES]] {
    <[[u8; KEY_BYTES]]>::ref_from_bytes(keys.as_bytes()).expect("bytes have no alignment")
}

impl Contender for Rte {
    fn name(&self) -> &'static str {
        RTE
    }

    fn insert(&mut self, keys: &[Words], _: u32) {
        for key in bytes_of(keys) {
            self.0.add(key).expect("rte_hash has room");
        }
    }

    fn lookup(&mut self, keys: &[Words]) -> usize {
        let mut positions = [0; BURST_MAX];
        let mut hits = 0;
        for burst in bytes_of(keys).chunks(BURST_MAX) {
            self.0.lookup_burst(burst, &mut positions);
            hits += positions[..burst.len()].iter().filter(|&&position| position >= 0).count();
        }
        hits
    }

    fn slots(&self) -> usize {
        self.0.slots()
    }

    fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// Keys by slot, as the records of a NAT hold them.
struct Records(Pages<Words>);

impl Keys<Words> for Records {
    #[inline]
    fn matches(&self, slot: u32, key: &Words) -> bool {
        self.0[slot as usize] == *key
    }
    #[inline]
    fn prefetch(&self, slot: u32) {
        cpu::prefetch(&self.0[slot as usize]);
    }
}

struct Flow {
    table: Table,
    records: Records,
    found: Found,
}

impl Flow {
    fn new(entries: usize, load: f64) -> io::Result<Flow> {
        let table = Table::with_capacity(entries, load, SEED)?;
        Ok(Flow { table, records: Records(Pages::zeroed(entries)?), found: Found::new() })
    }
}

impl Contender for Flow {
    fn name(&self) -> &'static str {
        FLOW
    }

    fn insert(&mut self, keys: &[Words], first: u32) {
        for (burst, first) in keys.chunks(BURST).zip((first..).step_by(BURST)) {
            let hashes: ArrayVec<_, BURST> = burst
                .iter()
                .map(|key| {
                    let hash = self.table.hash_words(key);
                    self.table.prefetch(hash);
                    hash
                })
                .collect();
            for ((key, hash), slot) in burst.iter().zip(hashes).zip(first..) {
                self.table.insert(hash, slot, 0).expect("the flow table has room");
                self.records.0[slot as usize] = *key;
            }
        }
    }

    fn lookup(&mut self, keys: &[Words]) -> usize {
        let mut count = 0;
        for burst in keys.chunks(BURST) {
            self.table.find_burst(burst, &self.records, &mut self.found);
            count += hits(&self.found);
        }
        count
    }

    fn slots(&self) -> usize {
        self.table.buckets() * self.table.lanes()
    }

    fn bytes(&self) -> usize {
        self.table.bytes() + self.records.0.resident_bytes()
    }
}

struct Cuckoo {
    table: CuckooPlusPlus,
    found: Found,
}

/// The tick of all lookups, and one at which nothing has expired.
const NOW: u16 = 0;
const LATER: u16 = 1000;

impl Cuckoo {
    fn new(entries: usize, load: f64) -> io::Result<Cuckoo> {
        let table = CuckooPlusPlus::with_capacity(entries, load, SEED)?;
        Ok(Cuckoo { table, found: Found::new() })
    }
}

impl Contender for Cuckoo {
    fn name(&self) -> &'static str {
        CUCKOO
    }

    fn insert(&mut self, keys: &[Words], first: u32) {
        for (burst, first) in keys.chunks(BURST).zip((first..).step_by(BURST)) {
            let hashes: ArrayVec<_, BURST> =
                burst.iter().map(|key| self.table.announce(key)).collect();
            for ((key, hash), slot) in burst.iter().zip(hashes).zip(first..) {
                self.table.insert(hash, key, slot, LATER).expect("Cuckoo++ has room");
            }
        }
    }

    fn lookup(&mut self, keys: &[Words]) -> usize {
        let mut count = 0;
        for burst in keys.chunks(BURST) {
            self.table.find_burst(burst, NOW, &mut self.found);
            count += hits(&self.found);
        }
        count
    }

    fn slots(&self) -> usize {
        self.table.buckets() * self.table.lanes()
    }

    fn bytes(&self) -> usize {
        self.table.bytes()
    }
}
