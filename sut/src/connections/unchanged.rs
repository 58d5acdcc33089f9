//! Lookups that change nothing, for readers of a table that others write.
//!
//! A packet changes its connection when its state moves on or when its expiry does. The latter would
//! be every packet: here it is due only once an eighth of the timer has passed.

use super::{Connections, Inside, Slot};
use crate::conntrack::{Direction, Segment};
use crate::life::Life;
use crate::table::Hash;
use crate::timer::Tick;
use dataplane::wire::Endpoint;

/// Part of a timer that may pass before a packet prolongs its connection again.
const GRAIN: u16 = 8;

impl Connections {
    /// The slot of an outbound packet that leaves its connection as it is. `None`: it changes it,
    /// or there is none, and [`Connections::outbound`] sees to it.
    #[inline]
    pub fn outbound_unchanged(
        &self,
        inside: Inside,
        remote: Endpoint,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Option<Slot> {
        let (records, remote) = (&self.records, self.told_apart(remote));
        let slot = self.table.find(hash, |slot| records[slot as usize].is_private_of(inside))?.slot;
        let record = &records[slot as usize];
        let stays = self.stays(record.life(), Direction::Outbound, segment, now);
        (record.is_with(remote) & stays).then_some(Slot(slot))
    }

    /// The subscriber's endpoint of an inbound packet that leaves its connection as it is. `None`
    /// as above.
    #[inline]
    pub fn inbound_unchanged(
        &self,
        slot: Slot,
        protocol: u8,
        from: Endpoint,
        segment: Segment,
        now: Tick,
    ) -> Option<Endpoint> {
        let record = &self.records[slot.0 as usize];
        let known = record.is_private(protocol) & record.is_with(self.told_apart(from));
        let stays = self.stays(record.life(), Direction::Inbound, segment, now);
        (known & stays).then(|| record.inside().endpoint())
    }

    #[inline]
    fn stays(&self, life: Life, direction: Direction, segment: Segment, now: Tick) -> bool {
        let after = life.after(direction, segment, &self.deadlines, now);
        let left = after.expiry.wrapping_sub(now.0);
        let gained = after.expiry.wrapping_sub(life.expiry);
        !life.is_past(now) & (after.state == life.state) & (gained <= left / GRAIN)
    }
}
