//! The state of one core: a record per external port, found by hash from inside and by plain index
//! from outside.
//!
//! A *mapping* gives a subscriber's endpoint an external port, whatever remotes it talks to
//! (endpoint-independent mapping, RFC 4787 REQ-1); a *session* is the mapping's traffic with one
//! remote, and what is called a connection everywhere else. The external address and port *are* the
//! index of the record, so an inbound packet needs one cold cache line and no hash; an outbound one
//! needs its bucket in the flow table and then the record, which holds the mapping and its session.
//! A mapping with several sessions at once keeps them in [`sessions`], one lookup further away.
//!
//! How much of all this one subscriber may hold is in [`quota`]. What is held is never evicted: where
//! there is no room, it is the newcomer that is refused.
//!
//! Who may answer is what [`Filtering`] makes of a remote: the bits of it that sessions are told
//! apart by.
//!
//! A core of a cluster notes what has changed, for the core that holds a copy ([`changes`]), and
//! writes what it is told of others' connections ([`copy`]).
//!
//! The record also says when its session expires. The table's own expiry is a lower bound, set when
//! the sweep looks at the record to the earliest that any packet can make of it, so that forwarding
//! writes one line and not two.

mod changes;
mod copy;
mod pace;
mod quota;
mod record;
mod sessions;
mod unchanged;

pub use changes::Place;
pub use copy::{Copied, NotRestored};
pub use quota::Quota;
pub use record::Inside;

use crate::config::Filtering;
use crate::conntrack::{Direction, Segment, State};
use crate::life::Life;
use crate::ports::{PortBlocks, Slot, Subscriber};
use crate::table::{self, Hash, Table};
use crate::timer::{Deadlines, Tick};
use changes::Changes;
use dataplane::clock::Nanos;
use dataplane::cpu;
use dataplane::memory::Pages;
use dataplane::wire::{ENDPOINT_BITS, Endpoint, ipv4};
use quota::Accounts;
use record::{Record, Shared};
use sessions::{Sessions, Tenure};
use std::num::NonZeroU32;

/// Why a connection was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// TCP that is no SYN opens nothing.
    NotSyn,
    /// The subscriber's port block is used up.
    PortsExhausted,
    /// The flow table has no room.
    TableFull,
    /// The subscriber has as many connections as it may have.
    SubscriberQuota,
    /// The subscriber has as many half-open connections as it may have.
    HalfOpenLimit,
    /// As many connections have been opened as may be in this time.
    SetupLimit,
}

/// Why an inbound packet has no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// Its port belongs to no live connection.
    Unknown,
    /// Its port belongs to a connection with another remote.
    Filtered,
}

/// How many connections a core has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Mappings, each with one session.
    pub mappings: u32,
    /// Sessions of mappings that have several.
    pub shared_sessions: u32,
    /// The most of either that one subscriber may hold.
    pub quota: Quota,
}

/// All connections of one core.
pub struct Connections {
    records: Pages<Record>,
    table: Table,
    sessions: Sessions,
    ports: PortBlocks,
    accounts: Accounts,
    changes: Changes,
    deadlines: Deadlines,
    /// What of a remote tells sessions apart.
    remote_bits: u64,
    /// Mappings whose sessions are elsewhere.
    shared: usize,
    /// Connections opened since start.
    pub opened: u64,
    /// Connections expired since start.
    pub expired: u64,
}

impl Connections {
    /// No connections yet.
    ///
    /// # Errors
    /// When the memory is not there.
    pub fn new(
        ports: PortBlocks,
        room: Room,
        filtering: Filtering,
        deadlines: Deadlines,
        seed: u64,
    ) -> std::io::Result<Connections> {
        Ok(Connections {
            records: Pages::zeroed(ports.slots())?,
            table: Table::with_capacity(room.mappings as usize, table::LOAD, seed)?,
            sessions: Sessions::new(room.shared_sessions, seed)?,
            accounts: Accounts::new(ports.subscribers(), room.quota)?,
            ports,
            changes: Changes::default(),
            deadlines,
            remote_bits: match filtering {
                Filtering::EndpointIndependent => 0,
                Filtering::AddressDependent => 0xffff_ffff,
                Filtering::AddressAndPortDependent => ENDPOINT_BITS,
            },
            shared: 0,
            opened: 0,
            expired: 0,
        })
    }

    /// The same, which open at most `per_s` a second.
    #[must_use]
    pub fn with_setup_limit(mut self, per_s: NonZeroU32) -> Connections {
        self.accounts.limit_setups(per_s);
        self
    }

    /// Time goes on, which allows more connections to be opened where they are limited.
    #[inline]
    pub fn pass_time(&mut self, now: Nanos) {
        self.accounts.pass_time(now);
    }

    /// Connections held, expired ones included until the sweep has passed them.
    pub fn len(&self) -> usize {
        self.table.len() - self.shared + self.sessions.len()
    }

    /// Whether no connection is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Half-open TCP connections held, in the same way.
    pub fn half_open(&self) -> u64 {
        self.accounts.half_open()
    }

    /// Connections that a subscriber holds, and how many of them are half-open.
    ///
    /// # Panics
    /// When there is no such subscriber.
    pub fn held_by(&self, subscriber: Subscriber) -> (u32, u32) {
        self.accounts.held(subscriber)
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let own = self.records.resident_bytes() + self.table.bytes() + self.accounts.bytes();
        own + self.sessions.bytes() + self.ports.bytes()
    }

    /// Hashes an outbound packet's mapping and asks for its bucket.
    #[inline]
    pub fn announce(&self, inside: Inside) -> Hash {
        let hash = self.table.hash_words(&[inside.bits()]);
        self.table.prefetch(hash);
        hash
    }

    /// The bucket is at hand: asks for the record it names. `false`: the record is likely in the
    /// secondary bucket, which has been asked for; call [`Connections::approach_away`] later.
    #[inline]
    pub fn approach(&self, hash: Hash) -> bool {
        match self.table.peek(hash) {
            Some(slot) => cpu::prefetch_write(&self.records[slot as usize]),
            None => return false,
        }
        true
    }

    /// The secondary bucket is at hand, if there is any: asks for the record it names.
    #[inline]
    pub fn approach_away(&self, hash: Hash) {
        if let Some(slot) = self.table.peek_away(hash) {
            cpu::prefetch_write(&self.records[slot as usize]);
        }
    }

    /// The slot of an external address and port, whose record is asked for; `None` where nobody's
    /// port block can be.
    #[inline]
    pub fn approach_inbound(&self, address_index: u32, port: u16) -> Option<Slot> {
        let slot = Slot::new(u16::try_from(address_index).ok()?, port);
        cpu::prefetch_write(self.records.get(slot.0 as usize)?);
        Some(slot)
    }

    /// Finds the live connection of an outbound packet and moves it on. `None`: it is not where
    /// nearly all are, or begins anew, and [`Connections::open`] sees to it.
    #[inline]
    pub fn outbound(
        &mut self,
        inside: Inside,
        remote: Endpoint,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Option<Slot> {
        let (records, remote) = (&self.records, self.told_apart(remote));
        let slot = self.table.find(hash, |slot| records[slot as usize].is_private_of(inside))?.slot;
        let record = &mut self.records[slot as usize];
        let life = record.life();
        if !record.is_with(remote) | life.is_past(now) {
            return None;
        }
        let after = life.after(Direction::Outbound, segment, &self.deadlines, now);
        if after.state != life.state {
            return self.turn_outbound(Slot(slot), after);
        }
        record.set_expiry(after.expiry);
        Some(Slot(slot))
    }

    /// Finds the live connection of an inbound packet and moves it on: the subscriber's endpoint.
    ///
    /// # Errors
    /// When there is none, or none with this remote (RFC 4787 §5).
    #[inline]
    pub fn inbound(
        &mut self,
        slot: Slot,
        protocol: u8,
        from: Endpoint,
        segment: Segment,
        now: Tick,
    ) -> Result<Endpoint, NotFound> {
        let from = self.told_apart(from);
        let record = &mut self.records[slot.0 as usize];
        let life = record.life();
        if !(record.is_private(protocol) & record.is_with(from)) | life.is_past(now) {
            return self.inbound_shared(slot, protocol, from, segment, now);
        }
        let inside = record.inside().endpoint();
        let after = life.after(Direction::Inbound, segment, &self.deadlines, now);
        if after.state == life.state {
            record.set_expiry(after.expiry);
        } else {
            self.turn(slot, after);
        }
        Ok(inside)
    }

    /// The private session of a slot goes on in another state, as few of its packets have it do.
    #[inline(never)]
    fn turn(&mut self, slot: Slot, after: Life) {
        let record = &mut self.records[slot.0 as usize];
        let before = record.life().state;
        record.set_life(after);
        self.changes.note(Place::Record(slot), after.state);
        self.turn_account(slot, before, after.state);
    }

    /// The same where it may be that a connection begins anew in the place of one that is over,
    /// which is for [`Connections::open`] to allow: `None`, and nothing has changed.
    #[inline(never)]
    fn turn_outbound(&mut self, slot: Slot, after: Life) -> Option<Slot> {
        let before = self.records[slot.0 as usize].life().state;
        let anew = after.state.is_half_open() && !before.is_half_open();
        if anew {
            return None;
        }
        self.turn(slot, after);
        Some(slot)
    }

    fn turn_account(&mut self, slot: Slot, before: State, after: State) {
        if before.is_half_open() != after.is_half_open() {
            self.accounts.turn(holder(&self.ports, slot), before, after);
        }
    }

    #[inline]
    fn told_apart(&self, remote: Endpoint) -> Endpoint {
        Endpoint::of_bits(remote.bits() & self.remote_bits)
    }

    #[inline(never)]
    fn inbound_shared(
        &mut self,
        slot: Slot,
        protocol: u8,
        from: Endpoint,
        segment: Segment,
        now: Tick,
    ) -> Result<Endpoint, NotFound> {
        let record = self.records[slot.0 as usize];
        let inside = record.inside();
        if inside.protocol() != protocol || record.is_free() {
            return Err(NotFound::Unknown);
        }
        let Some(Shared { tenure, .. }) = record.sessions() else {
            let over = record.life().is_past(now);
            return Err(if over { NotFound::Unknown } else { NotFound::Filtered });
        };
        let live = self.sessions.find(slot, tenure, from).map(|at| (at, self.sessions.life(at)));
        let Some((entry, life)) = live.filter(|(_, life)| !life.is_past(now)) else {
            return Err(NotFound::Filtered);
        };
        let after = life.after(Direction::Inbound, segment, &self.deadlines, now);
        self.sessions.set_life(entry, after);
        if after.state != life.state {
            self.changes.note(Place::Session(entry.slot), after.state);
        }
        self.turn_account(slot, life.state, after.state);
        Ok(inside.endpoint())
    }

    /// Finds or opens the connection of a packet that [`Connections::outbound`] has just not found.
    ///
    /// # Errors
    /// When it may not open one, the subscriber holds its share, or ports or table are full; nothing
    /// has changed.
    #[inline(never)]
    pub fn open(
        &mut self,
        subscriber: Subscriber,
        inside: Inside,
        remote: Endpoint,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Result<Slot, NotOpened> {
        let (records, remote) = (&self.records, self.told_apart(remote));
        let packet = Opening { subscriber, inside, remote, segment, now };
        let mapping = self.table.find(hash, |slot| records[slot as usize].is_of(inside));
        if let Some(entry) = mapping {
            match self.records[entry.slot as usize].sessions() {
                Some(shared) => self.join_shared(Slot(entry.slot), shared, packet)?,
                None => self.join_private(entry, packet)?,
            }
            return Ok(Slot(entry.slot));
        }
        let life = packet.first(&self.deadlines)?;
        self.accounts.admit(subscriber, life.state)?;
        let slot = self.ports.allocate(subscriber).ok_or(NotOpened::PortsExhausted)?;
        let look = self.deadlines.look_again(now, life);
        if self.table.insert(hash, slot.0, look).is_err() {
            self.ports.release(slot);
            return Err(NotOpened::TableFull);
        }
        self.records[slot.0 as usize] = Record::private(inside, remote, life);
        self.changes.note(Place::Record(slot), life.state);
        self.accounts.enter(subscriber, life.state);
        self.opened += 1;
        Ok(slot)
    }

    /// A packet of a mapping whose sessions are elsewhere: it goes on in one of them, takes the place
    /// of one that is over, or joins.
    fn join_shared(&mut self, slot: Slot, it: Shared, packet: Opening) -> Result<(), NotOpened> {
        let Opening { subscriber, remote, now, .. } = packet;
        let Some(entry) = self.sessions.find(slot, it.tenure, remote) else {
            let first = packet.first(&self.deadlines)?;
            self.accounts.admit(subscriber, first.state)?;
            self.add(slot, it.tenure, remote, first, now)?;
            self.accounts.enter(subscriber, first.state);
            let it = Shared { count: it.count + 1, ..it };
            self.records[slot.0 as usize] = Record::shared(packet.inside, it);
            self.opened += 1;
            return Ok(());
        };
        let life = self.sessions.life(entry);
        let next = self.succeed(&packet, life)?;
        self.sessions.set_life(entry, next);
        self.changes.note(Place::Session(entry.slot), next.state);
        self.sessions.look_at(entry, self.deadlines.look_again(now, next));
        Ok(())
    }

    /// A packet of a mapping with its one session in the record, but not of that session as it is:
    /// it takes its place if that is over, opens it anew, or is the second.
    fn join_private(&mut self, entry: table::Entry, packet: Opening) -> Result<(), NotOpened> {
        let Opening { subscriber, inside, remote, now, .. } = packet;
        let (slot, record) = (Slot(entry.slot), self.records[entry.slot as usize]);
        if record.is_with(remote) || record.life().is_past(now) {
            let next = self.succeed(&packet, record.life())?;
            self.records[slot.0 as usize] = Record::private(inside, remote, next);
            self.changes.note(Place::Record(slot), next.state);
            self.table.refresh(entry, self.deadlines.look_again(now, next));
            return Ok(());
        }
        let first = packet.first(&self.deadlines)?;
        self.accounts.admit(subscriber, first.state)?;
        if !self.sessions.has_room(2) {
            return Err(NotOpened::TableFull);
        }
        let tenure = self.sessions.begin();
        self.add(slot, tenure, record.remote(), record.life(), now)?;
        // From here on the mapping is shared, even if the second finds no room.
        self.records[slot.0 as usize] = Record::shared(inside, Shared { count: 1, tenure });
        self.shared += 1;
        self.add(slot, tenure, remote, first, now)?;
        self.records[slot.0 as usize] = Record::shared(inside, Shared { count: 2, tenure });
        self.accounts.enter(subscriber, first.state);
        self.opened += 1;
        Ok(())
    }

    /// The life that follows on `life` in the same place: its own, or that of the next connection
    /// after the remains of one which the sweep has not reached.
    fn succeed(&mut self, packet: &Opening, life: Life) -> Result<Life, NotOpened> {
        let over = life.is_past(packet.now);
        let next = match over {
            false => life.after(Direction::Outbound, packet.segment, &self.deadlines, packet.now),
            true => packet.first(&self.deadlines)?,
        };
        self.accounts.admit_turn(packet.subscriber, life.state, next.state)?;
        self.accounts.turn(packet.subscriber, life.state, next.state);
        self.opened += u64::from(over);
        self.expired += u64::from(over);
        Ok(next)
    }

    fn add(
        &mut self,
        slot: Slot,
        tenure: Tenure,
        remote: Endpoint,
        life: Life,
        now: Tick,
    ) -> Result<(), NotOpened> {
        let look = self.deadlines.look_again(now, life);
        let added = self.sessions.add(slot, tenure, remote, life, look);
        let added = added.map_err(|_| NotOpened::TableFull)?;
        self.ended(slot, added.replaced);
        self.changes.note(Place::Session(added.index), life.state);
        Ok(())
    }

    /// What was left of a session has ended, if there was one.
    fn ended(&mut self, slot: Slot, state: Option<State>) {
        if let Some(state) = state {
            self.accounts.leave(holder(&self.ports, slot), state);
            self.expired += 1;
        }
    }

    /// The subscriber's endpoint of a live connection, known by its slot, for a packet about it that
    /// is none of it: an ICMP error. Nothing moves on.
    pub fn inside_of(
        &self,
        slot: Slot,
        protocol: u8,
        remote: Endpoint,
        now: Tick,
    ) -> Option<Endpoint> {
        let inside = self.records[slot.0 as usize].inside();
        let live = self.life(slot, self.told_apart(remote)).filter(|life| !life.is_past(now));
        live.filter(|_| inside.protocol() == protocol).map(|_| inside.endpoint())
    }

    /// The slot of a live connection, known by its inside, in the same way.
    pub fn slot_of(&self, inside: Inside, remote: Endpoint, now: Tick) -> Option<Slot> {
        let records = &self.records;
        let hash = self.table.hash_words(&[inside.bits()]);
        let slot = Slot(self.table.find(hash, |slot| records[slot as usize].is_of(inside))?.slot);
        let life = self.life(slot, self.told_apart(remote))?;
        (!life.is_past(now)).then_some(slot)
    }

    /// The life of the session of a slot with a remote, wherever it is.
    fn life(&self, slot: Slot, remote: Endpoint) -> Option<Life> {
        let record = &self.records[slot.0 as usize];
        match record.sessions() {
            Some(it) => {
                let entry = self.sessions.find(slot, it.tenure, remote)?;
                Some(self.sessions.life(entry))
            }
            None => (!record.is_free() && record.is_with(remote)).then(|| record.life()),
        }
    }

    /// Looks at the next `buckets` buckets of the table and ends the connections whose time is over.
    pub fn sweep(&mut self, now: Tick, buckets: usize) {
        let Connections { records, table, sessions, ports, accounts, deadlines, .. } = self;
        let all = table.buckets();
        let (shared, expired) = (&mut self.shared, &mut self.expired);
        table.sweep(now.0, buckets, |slot| {
            let record = &mut records[slot as usize];
            match record.sessions() {
                Some(Shared { count: 0, .. }) => *shared -= 1,
                Some(_) => return table::Verdict::Keep(deadlines.soonest(now)),
                None if !record.life().is_past(now) => {
                    return table::Verdict::Keep(deadlines.look_again(now, record.life()));
                }
                None => {
                    *expired += 1;
                    accounts.leave(holder(ports, Slot(slot)), record.life().state);
                }
            }
            *record = Record::NONE;
            ports.release(Slot(slot));
            table::Verdict::Remove
        });
        let buckets = (sessions.buckets() * buckets).div_ceil(all);
        sessions.sweep(now, buckets, deadlines, |slot, tenure, life| {
            let record = &mut records[slot.0 as usize];
            let shared = record.sessions().filter(|it| it.tenure == tenure);
            if let Some(it) = shared {
                if !life.is_past(now) {
                    return false;
                }
                *record = Record::shared(record.inside(), Shared { count: it.count - 1, ..it });
            }
            accounts.leave(holder(ports, slot), life.state);
            *expired += 1;
            true
        });
    }

    /// Buckets a sweep must visit to have seen every connection.
    pub fn buckets(&self) -> usize {
        self.table.buckets()
    }

    /// Whether a slot is somebody's mapping, sessions or not.
    pub fn is_mapped(&self, slot: Slot) -> bool {
        !self.records[slot.0 as usize].is_free()
    }

    /// State of the session of a slot with a remote, over or not, until the sweep has passed it.
    pub fn state(&self, slot: Slot, remote: Endpoint) -> Option<State> {
        self.life(slot, self.told_apart(remote)).map(|life| life.state)
    }
}

/// A packet that has no live connection where nearly all are.
#[derive(Clone, Copy)]
struct Opening {
    subscriber: Subscriber,
    inside: Inside,
    remote: Endpoint,
    segment: Segment,
    now: Tick,
}

impl Opening {
    /// The life of the connection that this packet opens, if it may.
    fn first(&self, deadlines: &Deadlines) -> Result<Life, NotOpened> {
        let state = match (self.inside.protocol(), self.segment) {
            (ipv4::TCP, Segment::Syn) => State::SynSent,
            (ipv4::TCP, _) => return Err(NotOpened::NotSyn),
            (ipv4::UDP, _) => State::UdpOneWay,
            _ => State::Echo,
        };
        Ok(Life::begin(state, deadlines, self.now))
    }
}

/// Whose connection a slot with a record is.
fn holder(ports: &PortBlocks, slot: Slot) -> Subscriber {
    ports.subscriber_of(slot).expect("only slots of a subscriber's block are given out")
}
