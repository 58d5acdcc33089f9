//! The state of one core: a record per external port, found by hash from inside and by plain index
//! from outside.
//!
//! A connection's external address and port *are* the index of its record, so an inbound packet
//! needs one cold cache line and no hash; an outbound one needs its bucket in the flow table and
//! then the record, which holds the whole 5-tuple. The record also says when the connection
//! expires. The table's own expiry is a lower bound, set when the sweep looks at the record to the
//! earliest that any packet can make of it, so that forwarding writes one line and not two.

use crate::conntrack::{Direction, Segment, State};
use crate::ports::{PortBlocks, Slot, Subscriber};
use crate::table::{self, Hash, Key, Table};
use crate::timer::{Deadlines, Tick};
use dataplane::cpu;
use dataplane::memory::Pages;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What the core knows of a connection. Zero is "no connection".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Record {
    subscriber: u32,
    remote: u32,
    subscriber_port: u16,
    remote_port: u16,
    expiry: u16,
    protocol: u8,
    state: u8,
}

const _: () = assert!(size_of::<Record>() == 16);

const NONE: Record = Record {
    subscriber: 0,
    remote: 0,
    subscriber_port: 0,
    remote_port: 0,
    expiry: 0,
    protocol: 0,
    state: 0,
};

impl Record {
    #[inline]
    fn is_of(&self, key: &Key) -> bool {
        self.subscriber == key.src
            && self.remote == key.dst
            && self.subscriber_port == key.src_port
            && self.remote_port == key.dst_port
            && self.protocol == key.protocol
    }

    #[inline]
    fn state(&self) -> State {
        State::ALL[usize::from(self.state)]
    }
}

struct Records(Pages<Record>);

impl table::Keys for Records {
    #[inline]
    fn matches(&self, slot: u32, key: &Key) -> bool {
        self.0[slot as usize].is_of(key)
    }
    #[inline]
    fn prefetch(&self, slot: u32) {
        cpu::prefetch_write(&self.0[slot as usize]);
    }
}

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The subscriber's port block is used up.
    PortsExhausted,
    /// The flow table has no room.
    TableFull,
}

/// Why an inbound packet has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// Its port belongs to no live connection.
    Unknown,
    /// Its port belongs to a connection with another remote.
    Filtered,
}

/// The inside of a connection, which an inbound packet is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The subscriber's address.
    pub address: u32,
    /// The subscriber's port, or the identifier of an ICMP echo.
    pub port: u16,
}

/// All connections of one core.
pub struct Connections {
    records: Records,
    table: Table,
    ports: PortBlocks,
    deadlines: Deadlines,
    /// Connections opened since start.
    pub opened: u64,
    /// Connections expired since start.
    pub expired: u64,
}

impl Connections {
    /// No connections yet, with room for `connections_max` in the flow table.
    ///
    /// # Errors
    /// When the memory is not there.
    pub fn new(
        ports: PortBlocks,
        connections_max: u32,
        deadlines: Deadlines,
        seed: u64,
    ) -> std::io::Result<Connections> {
        let records = Records(Pages::zeroed(ports.slots())?);
        let table = Table::with_capacity(connections_max as usize, table::LOAD, seed)?;
        Ok(Connections { records, table, ports, deadlines, opened: 0, expired: 0 })
    }

    /// Connections held, expired ones included until the sweep has passed them.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no connection is held.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of memory for records, table and port bitmaps.
    pub fn bytes(&self) -> usize {
        self.records.0.resident_bytes() + self.table.bytes() + self.ports.bytes()
    }

    /// Hash of an outbound packet's connection; asks for its bucket.
    #[inline]
    pub fn announce(&self, key: &Key) -> Hash {
        let hash = self.table.hash(key);
        self.table.prefetch(hash);
        hash
    }

    /// Asks for the record of an announced connection, whose bucket must be at hand. `false` when
    /// it may be in its secondary bucket, whose line was asked for: [`Connections::approach_away`].
    #[inline]
    pub fn approach(&self, hash: Hash) -> bool {
        let slot = self.table.peek(hash);
        if let Some(slot) = slot {
            table::Keys::prefetch(&self.records, slot);
        }
        slot.is_some()
    }

    /// The second half of [`Connections::approach`] for the few that live elsewhere.
    #[inline]
    pub fn approach_away(&self, hash: Hash) {
        if let Some(slot) = self.table.peek_away(hash) {
            table::Keys::prefetch(&self.records, slot);
        }
    }

    /// Asks for the record behind an external address and port.
    #[inline]
    pub fn approach_inbound(&self, slot: Slot) {
        table::Keys::prefetch(&self.records, slot.0);
    }

    /// Slot of an external address and port; `None` where nobody's port block can be.
    #[inline]
    pub fn slot(&self, address_index: u32, port: u16) -> Option<Slot> {
        let slot = Slot::new(u16::try_from(address_index).ok()?, port);
        ((slot.0 as usize) < self.records.0.len()).then_some(slot)
    }

    /// Finds the live connection of an outbound packet and moves it on.
    #[inline]
    pub fn outbound(&mut self, key: &Key, hash: Hash, segment: Segment, now: Tick) -> Option<Slot> {
        let records = &self.records.0;
        let slot = self.table.find(hash, |slot| records[slot as usize].is_of(key))?.slot;
        let record = &mut self.records.0[slot as usize];
        if now.is_past(record.expiry) {
            return self.reopen(slot, segment, now);
        }
        advance(record, Direction::Outbound, segment, &self.deadlines, now);
        Some(Slot(slot))
    }

    /// A packet found the remains of its own expired connection, which the sweep has not reached: if
    /// the packet may open one, it does so in the same place; otherwise there is none.
    #[cold]
    fn reopen(&mut self, slot: u32, segment: Segment, now: Tick) -> Option<Slot> {
        let record = &mut self.records.0[slot as usize];
        let state = match record.state() {
            State::UdpOneWay | State::UdpStream => State::UdpOneWay,
            State::Echo => State::Echo,
            _ if segment == Segment::Syn => State::SynSent,
            _ => return None,
        };
        record.state = state as u8;
        record.expiry = self.deadlines.after(now, state);
        self.opened += 1;
        self.expired += 1;
        Some(Slot(slot))
    }

    /// Opens the connection of a packet that [`Connections::outbound`] has just not found.
    ///
    /// # Errors
    /// When ports or table are full; nothing has changed.
    pub fn open(
        &mut self,
        subscriber: Subscriber,
        key: &Key,
        hash: Hash,
        state: State,
        now: Tick,
    ) -> Result<Slot, NotOpened> {
        let slot = self.ports.allocate(subscriber).ok_or(NotOpened::PortsExhausted)?;
        let expiry = self.deadlines.after(now, state);
        let look = self.deadlines.look_again(now, state, expiry);
        if self.table.insert(hash, slot.0, look).is_err() {
            self.ports.release(slot);
            return Err(NotOpened::TableFull);
        }
        self.records.0[slot.0 as usize] = Record {
            subscriber: key.src,
            remote: key.dst,
            subscriber_port: key.src_port,
            remote_port: key.dst_port,
            expiry,
            protocol: key.protocol,
            state: state as u8,
        };
        self.opened += 1;
        Ok(slot)
    }

    /// Finds the live connection of an inbound packet and moves it on.
    ///
    /// # Errors
    /// When there is none, or it is with another remote (address and port-dependent filtering,
    /// RFC 4787 §5).
    #[inline]
    pub fn inbound(
        &mut self,
        slot: Slot,
        from: &Remote,
        segment: Segment,
        now: Tick,
    ) -> Result<Inside, NotFound> {
        let record = &mut self.records.0[slot.0 as usize];
        if record.protocol != from.protocol || now.is_past(record.expiry) {
            return Err(NotFound::Unknown);
        }
        if record.remote != from.address || record.remote_port != from.port {
            return Err(NotFound::Filtered);
        }
        advance(record, Direction::Inbound, segment, &self.deadlines, now);
        Ok(Inside { address: record.subscriber, port: record.subscriber_port })
    }

    /// Looks at the next `buckets` buckets of the table and ends the connections whose time is over.
    pub fn sweep(&mut self, now: Tick, buckets: usize) {
        let Connections { records, table, ports, deadlines, expired, .. } = self;
        let removed = table.sweep(now.0, buckets, |slot| {
            let record = &mut records.0[slot as usize];
            if !now.is_past(record.expiry) {
                let look = deadlines.look_again(now, record.state(), record.expiry);
                return table::Verdict::Keep(look);
            }
            *record = NONE;
            ports.release(Slot(slot));
            table::Verdict::Remove
        });
        *expired += removed as u64;
    }

    /// Buckets a sweep must visit to have seen every connection.
    pub fn buckets(&self) -> usize {
        self.table.buckets()
    }

    /// State of the connection in a slot, for reports.
    pub fn state(&self, slot: Slot) -> Option<State> {
        let record = &self.records.0[slot.0 as usize];
        (record.protocol != 0).then(|| record.state())
    }
}

/// The sender of an inbound packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its address.
    pub address: u32,
    /// Its port, zero for ICMP.
    pub port: u16,
    /// IPv4 protocol number.
    pub protocol: u8,
}

/// Writes only what changed: a clean line costs no write-back.
#[inline]
fn advance(
    record: &mut Record,
    direction: Direction,
    segment: Segment,
    deadlines: &Deadlines,
    now: Tick,
) {
    let before = record.state();
    let after = before.after(direction, segment);
    if after != before {
        record.state = after as u8;
    }
    if after != before || after.prolonged_by(direction) {
        let expiry = deadlines.after(now, after);
        if expiry != record.expiry {
            record.expiry = expiry;
        }
    }
}
