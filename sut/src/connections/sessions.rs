//! Sessions of mappings that several remotes share.
//!
//! Nearly every mapping has one remote, and its session is in the mapping's own record. A resolver
//! that asks many servers from one port has many: these are found, from either side, by the slot of
//! the mapping and the remote, which is one lookup more. The pool is fixed; when it is full a
//! further remote is refused and nothing else.
//!
//! A session carries the [`Tenure`] of its mapping, and is nobody's once another mapping has the
//! slot: so however many there are, all of them end in an instant. What is left of one holds its
//! place until the sweep looks at it or the same slot and remote come again.

use crate::life::Life;
use crate::ports::Slot;
use crate::table::{self, Entry, Hash, Key, Table};
use crate::timer::{Deadlines, Tick};
use dataplane::memory::Pages;
use dataplane::wire::{ENDPOINT_BITS, Endpoint};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::conntrack::State;

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Session {
    /// Remote endpoint and, above it, expiry.
    remote: u64,
    slot: u32,
    /// State and, above it, tenure.
    state: u32,
}

const EXPIRY_AT: u32 = 48;
const TENURE_AT: u32 = 8;

/// One mapping's time at its slot, told from that of another there before or after: a number of 24
/// bits, given out in turn to mappings that come to be shared. Zero is nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tenure(pub(super) u32);

const TENURES: u32 = (1 << (u32::BITS - TENURE_AT)) - 1;

/// The pool, and the way into it.
pub(super) struct Sessions {
    pool: Pages<Session>,
    table: Table,
    /// Indices given back; those from `used` up were never given out.
    free: Vec<u32>,
    used: u32,
    tenures: u32,
}

/// A session that was added: its index in the pool, and the state of the one that was there and was
/// nobody's any more, if one was.
pub(super) struct Added {
    pub(super) index: u32,
    pub(super) replaced: Option<State>,
}

/// The pool has no room.
#[derive(Debug)]
pub(super) struct Full;

impl Sessions {
    pub(super) fn new(sessions_max: u32, seed: u64) -> std::io::Result<Sessions> {
        Ok(Sessions {
            pool: Pages::zeroed(sessions_max as usize)?,
            table: Table::with_capacity(sessions_max as usize, table::LOAD, seed)?,
            free: Vec::with_capacity(sessions_max as usize),
            used: 0,
            tenures: 0,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.pool.resident_bytes() + self.table.bytes() + self.free.capacity() * size_of::<u32>()
    }

    /// Whether `more` sessions would find room in the pool.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.table.len() + more <= self.table.capacity()
    }

    fn hash(&self, slot: Slot, remote: Endpoint) -> Hash {
        let (dst, dst_port) = (remote.address(), remote.port());
        self.table.hash(&Key { src: slot.0, dst, src_port: 0, dst_port, protocol: 0 })
    }

    /// The tenure of a mapping that comes to be shared.
    pub(super) fn begin(&mut self) -> Tenure {
        self.tenures = self.tenures % TENURES + 1;
        Tenure(self.tenures)
    }

    /// The session of a mapping with a remote.
    pub(super) fn find(&self, slot: Slot, tenure: Tenure, remote: Endpoint) -> Option<Entry> {
        let entry = self.find_any(self.hash(slot, remote), slot, remote)?;
        (self.pool[entry.slot as usize].tenure() == tenure).then_some(entry)
    }

    /// The same of whichever mapping; there is never more than one.
    fn find_any(&self, hash: Hash, slot: Slot, remote: Endpoint) -> Option<Entry> {
        let is_it = |index: u32| {
            let session = &self.pool[index as usize];
            session.slot == slot.0 && session.remote & ENDPOINT_BITS == remote.bits()
        };
        self.table.find(hash, is_it)
    }

    pub(super) fn life(&self, entry: Entry) -> Life {
        self.pool[entry.slot as usize].life()
    }

    pub(super) fn set_life(&mut self, entry: Entry, life: Life) {
        self.pool[entry.slot as usize].set_life(life);
    }

    /// The sweep is to look at the session at `look`, and not when it was told before.
    pub(super) fn look_at(&mut self, entry: Entry, look: u16) {
        self.table.refresh(entry, look);
    }

    /// Adds a session that the mapping does not have; `look` is when the sweep must first look at it.
    pub(super) fn add(
        &mut self,
        slot: Slot,
        tenure: Tenure,
        remote: Endpoint,
        life: Life,
        look: u16,
    ) -> Result<Added, Full> {
        let hash = self.hash(slot, remote);
        let (index, replaced) = match self.find_any(hash, slot, remote) {
            Some(entry) => {
                self.table.refresh(entry, look);
                (entry.slot, Some(self.pool[entry.slot as usize].life().state))
            }
            None => (self.insert(hash, look)?, None),
        };
        let session = &mut self.pool[index as usize];
        (session.slot, session.remote, session.state) =
            (slot.0, remote.bits(), tenure.0 << TENURE_AT);
        session.set_life(life);
        Ok(Added { index, replaced })
    }

    fn insert(&mut self, hash: Hash, look: u16) -> Result<u32, Full> {
        if !self.has_room(1) {
            return Err(Full);
        }
        let index = self.free.pop().unwrap_or(self.used);
        if self.table.insert(hash, index, look).is_err() {
            // The vector has room for every index: this does not allocate.
            if index != self.used {
                self.free.push(index);
            }
            return Err(Full);
        }
        self.used = self.used.max(index + 1);
        Ok(index)
    }

    /// Indices of the pool that were ever given out.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The session at an index of the pool: the slot of its mapping, that one's tenure, the remote
    /// and its life. One that has ended is of nobody's tenure.
    pub(super) fn at(&self, index: u32) -> (Slot, Tenure, Endpoint, Life) {
        let session = &self.pool[index as usize];
        let remote = Endpoint::of_bits(session.remote);
        (Slot(session.slot), session.tenure(), remote, session.life())
    }

    /// Looks at the next `buckets` buckets and ends the sessions of which `is_over` says so, given
    /// the slot of each one's mapping and its tenure.
    pub(super) fn sweep(
        &mut self,
        now: Tick,
        buckets: usize,
        deadlines: &Deadlines,
        mut is_over: impl FnMut(Slot, Tenure, Life) -> bool,
    ) {
        let Sessions { pool, table, free, .. } = self;
        table.sweep(now.0, buckets, |index| {
            let session = &mut pool[index as usize];
            let life = session.life();
            if !is_over(Slot(session.slot), session.tenure(), life) {
                return table::Verdict::Keep(deadlines.look_again(now, life));
            }
            session.state = 0;
            free.push(index);
            table::Verdict::Remove
        });
    }

    pub(super) fn buckets(&self) -> usize {
        self.table.buckets()
    }
}

impl Session {
    fn life(&self) -> Life {
        Life { state: State::numbered(self.state as u8), expiry: (self.remote >> EXPIRY_AT) as u16 }
    }

    fn tenure(&self) -> Tenure {
        Tenure(self.state >> TENURE_AT)
    }

    fn set_life(&mut self, life: Life) {
        self.state = self.tenure().0 << TENURE_AT | life.state as u32;
        self.remote = self.remote & ENDPOINT_BITS | u64::from(life.expiry) << EXPIRY_AT;
    }
}
