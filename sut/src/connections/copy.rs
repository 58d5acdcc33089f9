//! A core's connections as another core keeps them, which may have to serve them any moment.
//!
//! A copy has the same ports, the same remotes and the same state, under the same slots: the external
//! address and port *are* where a connection is held, on every core. So restoring is idempotent, and
//! what is told twice does no harm as long as it is true when told.
//!
//! Who tells is right. A port, or a subscriber's endpoint, that is another mapping's here is so no
//! longer, however many sessions that one had: they end with it. Nobody admits what is restored: the
//! core that opened it did. Refused is only what cannot be.

use super::record::Shared;
use super::sessions::Tenure;
use super::{Connections, Inside, Place, Record};
use crate::life::Life;
use crate::ports::{Slot, Subscriber};
use crate::timer::Tick;
use dataplane::wire::Endpoint;

/// One session of a mapping, told by one core to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// External address and port.
    pub slot: Slot,
    /// The subscriber's end.
    pub inside: Inside,
    /// The other end, as far as it tells sessions apart.
    pub remote: Endpoint,
    /// State, and ticks until silence ends it.
    pub life: Life,
    /// Whether the mapping has no other session.
    pub only: bool,
}

/// Why a session was not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRestored {
    /// The external port is not of the subscriber's block.
    Port,
    /// There is no room.
    Full,
}

impl Connections {
    /// Notes what changes from now on.
    pub fn want_changes(&mut self) {
        self.changes.want();
    }

    /// Whether something has changed since [`Connections::take_changes`].
    #[inline]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Tells and forgets where something has changed; `true` if not all of it was noted.
    pub fn take_changes(&mut self, tell: impl FnMut(Place)) -> bool {
        self.changes.take(tell)
    }

    /// The slot of the mapping of a place; `None` where nothing is held any more.
    pub fn slot_at(&self, place: Place) -> Option<Slot> {
        match place {
            // A shard may have more addresses than its port blocks take.
            Place::Record(slot) => {
                self.records.get(slot.0 as usize).filter(|it| !it.is_free()).map(|_| slot)
            }
            Place::Session(index) => {
                let (slot, tenure, ..) = self.sessions.at(index);
                self.is_current(slot, tenure).then_some(slot)
            }
        }
    }

    /// Whether a tenure is that of the mapping that has the slot.
    fn is_current(&self, slot: Slot, tenure: Tenure) -> bool {
        self.records[slot.0 as usize].sessions().is_some_and(|it| it.tenure == tenure)
    }

    /// Sessions that share mappings: indices of their pool that may hold one.
    pub fn pooled(&self) -> u32 {
        self.sessions.used()
    }

    /// The live session at a place, with the ticks it has left in place of its expiry.
    pub fn copy(&self, place: Place, now: Tick) -> Option<Copied> {
        let (slot, remote, life, only) = match place {
            Place::Record(slot) => {
                let record = self.records.get(slot.0 as usize)?;
                if record.is_free() || record.sessions().is_some() {
                    return None;
                }
                (slot, record.remote(), record.life(), true)
            }
            Place::Session(index) => {
                let (slot, tenure, remote, life) = self.sessions.at(index);
                // Its place in the pool outlives it.
                if !self.is_current(slot, tenure) {
                    return None;
                }
                (slot, remote, life, false)
            }
        };
        if life.is_past(now) || life.state.is_half_open() {
            return None;
        }
        let left = life.expiry.wrapping_sub(now.0);
        let inside = self.records[slot.0 as usize].inside();
        Some(Copied { slot, inside, remote, life: Life { expiry: left, ..life }, only })
    }

    /// Holds a session as `copy` has it, from now on; `spare` ticks are added to those it has left.
    /// `subscriber` is whose address its inside is.
    ///
    /// # Errors
    /// See [`NotRestored`]. What was there before in the same place may be gone.
    pub fn restore(
        &mut self,
        copy: &Copied,
        subscriber: Subscriber,
        spare: u16,
        now: Tick,
    ) -> Result<(), NotRestored> {
        let Copied { slot, inside, remote, only, .. } = *copy;
        if self.ports.subscriber_of(slot) != Some(subscriber) {
            return Err(NotRestored::Port);
        }
        let left = copy.life.expiry.saturating_add(spare).min(0x7fff);
        let life = Life { expiry: now.0.wrapping_add(left), ..copy.life };
        let here = self.records[slot.0 as usize];
        if !here.is_free() && (here.inside() != inside || only && here.sessions().is_some()) {
            self.forget(slot);
        }
        let hash = self.table.hash_words(&[inside.bits()]);
        let records = &self.records;
        let mapped = self.table.find(hash, |slot| records[slot as usize].is_of(inside));
        if let Some(entry) = mapped.filter(|entry| entry.slot != slot.0) {
            self.forget(Slot(entry.slot));
        }
        let look = self.deadlines.look_again(now, life);
        let record = self.records[slot.0 as usize];
        if record.is_free() {
            self.table.insert(hash, slot.0, look).map_err(|_| NotRestored::Full)?;
            self.ports.take(slot);
            self.records[slot.0 as usize] = Record::private(inside, remote, life);
            self.accounts.enter(subscriber, life.state);
        } else if only || record.sessions().is_none() && record.is_with(remote) {
            self.accounts.turn(subscriber, record.life().state, life.state);
            self.records[slot.0 as usize] = Record::private(inside, remote, life);
            if let Some(entry) = mapped {
                self.table.refresh(entry, look);
            }
        } else {
            self.restore_shared(slot, subscriber, record, remote, life, look, now)?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "the second half of a function of one caller")]
    fn restore_shared(
        &mut self,
        slot: Slot,
        subscriber: Subscriber,
        record: Record,
        remote: Endpoint,
        life: Life,
        look: u16,
        now: Tick,
    ) -> Result<(), NotRestored> {
        let inside = record.inside();
        let Some(it) = record.sessions() else {
            if !self.sessions.has_room(2) {
                return Err(NotRestored::Full);
            }
            let before = self.deadlines.look_again(now, record.life());
            let tenure = self.sessions.begin();
            let moved = self.sessions.add(slot, tenure, record.remote(), record.life(), before);
            let moved = moved.map_err(|_| NotRestored::Full)?;
            self.ended(slot, moved.replaced);
            self.records[slot.0 as usize] = Record::shared(inside, Shared { count: 1, tenure });
            self.shared += 1;
            let record = self.records[slot.0 as usize];
            return self.restore_shared(slot, subscriber, record, remote, life, look, now);
        };
        if let Some(entry) = self.sessions.find(slot, it.tenure, remote) {
            self.accounts.turn(subscriber, self.sessions.life(entry).state, life.state);
            self.sessions.set_life(entry, life);
            self.sessions.look_at(entry, look);
            return Ok(());
        }
        let added = self.sessions.add(slot, it.tenure, remote, life, look);
        let added = added.map_err(|_| NotRestored::Full)?;
        self.ended(slot, added.replaced);
        let it = Shared { count: it.count + 1, ..it };
        self.records[slot.0 as usize] = Record::shared(inside, it);
        self.accounts.enter(subscriber, life.state);
        Ok(())
    }

    /// Drops a mapping and its sessions: another is in its place on the core that serves it.
    fn forget(&mut self, slot: Slot) {
        let record = self.records[slot.0 as usize];
        match record.sessions() {
            // They are nobody's from now on, and count as held until the sweep meets them.
            Some(_) => self.shared -= 1,
            None => self.accounts.leave(super::holder(&self.ports, slot), record.life().state),
        }
        let hash = self.table.hash_words(&[record.inside().bits()]);
        if let Some(entry) = self.table.find(hash, |found| found == slot.0) {
            self.table.remove(entry);
        }
        self.records[slot.0 as usize] = Record::NONE;
        self.ports.release(slot);
    }
}
