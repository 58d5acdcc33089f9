//! Sessions of mappings that several remotes share.
//!
//! Nearly every mapping has one remote, and its session is in the mapping's own record. A resolver
//! that asks many servers from one port has many: these are found, from either side, by the slot of
//! the mapping and the remote, which is one lookup more. The pool is fixed; when it is full a
//! further remote is refused and nothing else.

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
    state: u32,
}

const EXPIRY_AT: u32 = 48;

/// The pool, and the way into it.
pub(super) struct Sessions {
    pool: Pages<Session>,
    table: Table,
    /// Indices given back; those from `used` up were never given out.
    free: Vec<u32>,
    used: u32,
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

    /// The session of a mapping with a remote.
    pub(super) fn find(&self, slot: Slot, remote: Endpoint) -> Option<Entry> {
        let is_it = |index: u32| {
            let session = &self.pool[index as usize];
            session.slot == slot.0 && session.remote & ENDPOINT_BITS == remote.bits()
        };
        self.table.find(self.hash(slot, remote), is_it)
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

    /// Adds a session that is not there, and says at which index of the pool; `look` is when the
    /// sweep must first look at it.
    pub(super) fn add(
        &mut self,
        slot: Slot,
        remote: Endpoint,
        life: Life,
        look: u16,
    ) -> Result<u32, Full> {
        if !self.has_room(1) {
            return Err(Full);
        }
        let index = self.free.pop().unwrap_or(self.used);
        if self.table.insert(self.hash(slot, remote), index, look).is_err() {
            // The vector has room for every index: this does not allocate.
            if index != self.used {
                self.free.push(index);
            }
            return Err(Full);
        }
        self.used = self.used.max(index + 1);
        let session = &mut self.pool[index as usize];
        (session.slot, session.remote) = (slot.0, remote.bits());
        session.set_life(life);
        Ok(index)
    }

    /// Indices of the pool that were ever given out.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The session at an index of the pool: the slot of its mapping, its remote and its life. What
    /// is there after a session has ended is the next one, or past.
    pub(super) fn at(&self, index: u32) -> (Slot, Endpoint, Life) {
        let session = &self.pool[index as usize];
        (Slot(session.slot), Endpoint::of_bits(session.remote), session.life())
    }

    /// Looks at the next `buckets` buckets and ends the sessions whose time is over: `ended` is told
    /// the slot of each one's mapping and the state it ended in.
    pub(super) fn sweep(
        &mut self,
        now: Tick,
        buckets: usize,
        deadlines: &Deadlines,
        mut ended: impl FnMut(Slot, State),
    ) {
        let Sessions { pool, table, free, .. } = self;
        table.sweep(now.0, buckets, |index| {
            let session = &pool[index as usize];
            let life = session.life();
            if !life.is_past(now) {
                return table::Verdict::Keep(deadlines.look_again(now, life));
            }
            ended(Slot(session.slot), life.state);
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

    fn set_life(&mut self, life: Life) {
        self.state = life.state as u32;
        self.remote = self.remote & ENDPOINT_BITS | u64::from(life.expiry) << EXPIRY_AT;
    }
}
