//! What a pipeline that several cores share needs beyond one of a single core: to work as one core
//! or another, and to forward without changing anything.

use super::{Own, Paths, Pipeline};
use crate::connections::Inside;
use crate::conntrack::Segment;
use crate::table::Hash;
use crate::timer::Tick;
use crate::translate::{self, End, NextHop};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst, Group};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::wire::Plain;

/// What a core is on the network, ready to be used.
#[derive(Clone, Copy)]
pub struct Seat {
    identity: Identity,
    next_hop: NextHop,
    station: Own,
}

impl Seat {
    /// That of the core `identity`.
    pub fn of(identity: Identity) -> Seat {
        let (next_hop, station) = (NextHop::of(&identity), Own::only(identity.mac));
        Seat { identity, next_hop, station }
    }
}

impl Pipeline {
    /// Works from now on as the core of `seat`.
    #[inline]
    pub fn sit(&mut self, seat: &Seat) {
        self.identity = seat.identity;
        self.next_hop = seat.next_hop;
        self.station = seat.station;
    }

    /// Translates and addresses those packets of `burst` that leave their connection as it is, and
    /// tells which. All others are as they came, and nothing is counted.
    #[inline]
    pub fn forward_unchanged<F: Frame>(
        &self,
        seat: &Seat,
        burst: &mut Burst<F>,
        now: Nanos,
    ) -> Group {
        let now = Tick::at(now);
        let mut paths = Paths::none();
        let me = (u32::from(seat.identity.ip), seat.station);
        if self.shard.is_one_range() {
            self.classify::<true, F>(me, burst, &mut paths);
        } else {
            self.classify::<false, F>(me, burst, &mut paths);
        }
        let mut unknown = ArrayVec::from([super::Verdict::Forwarded; BURST]);
        self.approach(burst, &mut paths, &mut unknown);
        let mut forwarded = Group::default();
        for index in paths.inbound {
            let head = burst[index].head_mut();
            let packet = Plain::read(head);
            let (from, segment) = (packet.source, Segment::of_flags(packet.flags));
            let slot = paths.slots[index];
            let inside =
                self.connections.inbound_unchanged(slot, packet.protocol, from, segment, now);
            if let Some(inside) = inside {
                translate::plain(head, &packet, End::Destination, inside);
                seat.next_hop.address(head);
                forwarded.insert_if(index, true);
            }
        }
        for index in paths.outbound {
            let head = burst[index].head_mut();
            let packet = Plain::read(head);
            let (to, segment) = (packet.destination, Segment::of_flags(packet.flags));
            let inside = Inside::new(packet.source, packet.protocol);
            let hash: Hash = paths.hashes[index];
            let slot = self.connections.outbound_unchanged(inside, to, hash, segment, now);
            if let Some(slot) = slot {
                translate::plain(head, &packet, End::Source, self.outside(slot));
                seat.next_hop.address(head);
                forwarded.insert_if(index, true);
            }
        }
        forwarded
    }
}
