//! The connections of IPv6: a record each in a fixed pool, found by hash from either side.
//!
//! A record is one cache line and says when the connection expires; the flow table's own expiry is
//! a lower bound, as in [`crate::connections`], so that forwarding writes one line and not two.

use super::flow::Flow;
use crate::conntrack::{Direction, Segment, State};
use crate::life::Life;
use crate::table::{self, Hash, Table};
use crate::timer::{Deadlines, Tick};
use dataplane::cpu;
use dataplane::memory::Pages;
use dataplane::wire::ipv4::TCP;
use dataplane::wire::ipv6::ICMPV6;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the core knows of a connection.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(64))]
struct Record {
    inside: [u64; 2],
    outside: [u64; 2],
    inside_port: u16,
    outside_port: u16,
    expiry: u16,
    protocol: u8,
    state: u8,
    /// While the record is free: the next free one and 1, or 0 at the end of the list.
    next: u32,
    rest: [u32; 5],
}

const _: () = assert!(size_of::<Record>() == 64);

impl Record {
    #[inline]
    fn new(flow: &Flow, life: Life) -> Record {
        Record {
            inside: halves(flow.inside),
            outside: halves(flow.outside),
            inside_port: flow.inside_port,
            outside_port: flow.outside_port,
            expiry: life.expiry,
            protocol: flow.protocol,
            state: life.state as u8,
            next: 0,
            rest: [0; 5],
        }
    }

    #[inline]
    fn is_of(&self, flow: &Flow) -> bool {
        self.inside == halves(flow.inside)
            && self.outside == halves(flow.outside)
            && (self.inside_port, self.outside_port) == (flow.inside_port, flow.outside_port)
            && self.protocol == flow.protocol
    }

    #[inline]
    fn life(&self) -> Life {
        Life { state: State::ALL[usize::from(self.state)], expiry: self.expiry }
    }

    /// Moves the connection on and writes only what changed: a clean line costs no write-back.
    #[inline]
    fn advance(
        &mut self,
        direction: Direction,
        segment: Segment,
        deadlines: &Deadlines,
        now: Tick,
    ) {
        let before = self.life();
        let after = before.after(direction, segment, deadlines, now);
        if after != before {
            (self.state, self.expiry) = (after.state as u8, after.expiry);
        }
    }
}

#[inline]
fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

/// Why an outbound packet has no connection and opens none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// TCP opens connections with SYN alone.
    NotSyn,
    /// All records are held, or the table has no room.
    Full,
}

/// All IPv6 connections of one core.
pub struct Connections6 {
    records: Pages<Record>,
    /// First free record that was held before, and 1; 0 if there is none.
    free: u32,
    /// Records from here on were never held.
    fresh: u32,
    table: Table,
    deadlines: Deadlines,
    /// Connections opened since start.
    pub opened: u64,
    /// Connections expired since start.
    pub expired: u64,
}

impl Connections6 {
    /// No connections yet, with room for `connections_max`.
    pub(super) fn new(
        connections_max: u32,
        deadlines: Deadlines,
        seed: u64,
    ) -> std::io::Result<Connections6> {
        let records = Pages::zeroed(connections_max as usize)?;
        let table = Table::with_capacity(connections_max as usize, table::LOAD, seed)?;
        Ok(Connections6 { records, free: 0, fresh: 0, table, deadlines, opened: 0, expired: 0 })
    }

    /// Connections held, expired ones included until the sweep has passed them.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no connection is held.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of memory for records and table.
    pub fn bytes(&self) -> usize {
        self.records.resident_bytes() + self.table.bytes()
    }

    /// Buckets a sweep must visit to have seen every connection.
    pub fn buckets(&self) -> usize {
        self.table.buckets()
    }

    #[inline]
    pub(super) fn hash(&self, words: &[u64; 5]) -> Hash {
        self.table.hash_words(words)
    }

    /// Asks for the bucket of a connection.
    #[inline]
    pub(super) fn announce(&self, hash: Hash) {
        self.table.prefetch(hash);
    }

    /// Asks for the record of an announced connection. `false` when it may be in its secondary
    /// bucket, whose line was asked for: [`Connections6::approach_away`].
    #[inline]
    pub(super) fn approach(&self, hash: Hash) -> bool {
        let slot = self.table.peek(hash);
        if let Some(slot) = slot {
            cpu::prefetch_write(&self.records[slot as usize]);
        }
        slot.is_some()
    }

    /// The second half of [`Connections6::approach`] for the few that live elsewhere.
    #[inline]
    pub(super) fn approach_away(&self, hash: Hash) {
        if let Some(slot) = self.table.peek_away(hash) {
            cpu::prefetch_write(&self.records[slot as usize]);
        }
    }

    #[inline]
    fn find(&self, flow: &Flow, hash: Hash) -> Option<u32> {
        self.table
            .find(hash, |slot| self.records[slot as usize].is_of(flow))
            .map(|entry| entry.slot)
    }

    /// Whether there is a live connection, which is left as it is.
    #[inline]
    pub(super) fn holds(&self, flow: &Flow, hash: Hash, now: Tick) -> bool {
        let slot = self.find(flow, hash);
        slot.is_some_and(|slot| !now.is_past(self.records[slot as usize].expiry))
    }

    /// Moves on the live connection of an inbound packet; `false` if there is none.
    #[inline]
    pub(super) fn inbound(&mut self, flow: &Flow, hash: Hash, segment: Segment, now: Tick) -> bool {
        let Some(slot) = self.find(flow, hash) else { return false };
        let record = &mut self.records[slot as usize];
        if now.is_past(record.expiry) {
            return false;
        }
        record.advance(Direction::Inbound, segment, &self.deadlines, now);
        true
    }

    /// Moves on the live connection of an outbound packet, or opens one.
    #[inline]
    pub(super) fn outbound(
        &mut self,
        flow: &Flow,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Result<(), NotOpened> {
        let found = self.find(flow, hash);
        if let Some(slot) = found {
            let record = &mut self.records[slot as usize];
            if !now.is_past(record.expiry) {
                record.advance(Direction::Outbound, segment, &self.deadlines, now);
                return Ok(());
            }
        }
        self.open(found, flow, hash, segment, now)
    }

    /// `remains` are those of the flow's own expired connection, which the sweep has not reached:
    /// the new one takes its place.
    #[cold]
    fn open(
        &mut self,
        remains: Option<u32>,
        flow: &Flow,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Result<(), NotOpened> {
        let state = match (flow.protocol, segment) {
            (TCP, Segment::Syn) => State::SynSent,
            (TCP, _) => return Err(NotOpened::NotSyn),
            (ICMPV6, _) => State::Echo,
            // Any other transport lives like UDP (RFC 6092 REC-12 and 14: not below two minutes).
            _ => State::UdpOneWay,
        };
        let life = Life::begin(state, &self.deadlines, now);
        let slot = match remains {
            Some(slot) => {
                self.expired += 1;
                slot
            }
            None => {
                let slot = self.take().ok_or(NotOpened::Full)?;
                let look = self.deadlines.look_again(now, life);
                if self.table.insert(hash, slot, look).is_err() {
                    give(&mut self.records, &mut self.free, slot);
                    return Err(NotOpened::Full);
                }
                slot
            }
        };
        self.records[slot as usize] = Record::new(flow, life);
        self.opened += 1;
        Ok(())
    }

    /// A free record.
    fn take(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.checked_sub(1) {
            self.free = self.records[slot as usize].next;
            return Some(slot);
        }
        let slot = self.fresh;
        ((slot as usize) < self.records.len()).then(|| {
            self.fresh += 1;
            slot
        })
    }

    /// Looks at the next `buckets` buckets of the table and ends the connections whose time is over.
    pub(super) fn sweep(&mut self, now: Tick, buckets: usize) {
        let Connections6 { records, free, table, deadlines, expired, .. } = self;
        let removed = table.sweep(now.0, buckets, |slot| {
            let life = records[slot as usize].life();
            if !life.is_past(now) {
                return table::Verdict::Keep(deadlines.look_again(now, life));
            }
            give(records, free, slot);
            table::Verdict::Remove
        });
        *expired += removed as u64;
    }
}

/// Puts a record on the list of free ones.
fn give(records: &mut Pages<Record>, free: &mut u32, slot: u32) {
    records[slot as usize].next = *free;
    *free = slot + 1;
}
