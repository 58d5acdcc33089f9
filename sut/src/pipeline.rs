//! **Read this first.** What one core does with a burst of up to 32 packets, stage by stage.
//!
//! 1. *classify*: is it plain, and which way does it go, by arithmetic on its addresses;
//! 2. *approach*: ask for the cache lines with the packets' state: the record of an inbound packet,
//!    whose place is its destination; the bucket of an outbound one, and then the record it names;
//! 3. *resolve*: everything is at hand; find or open the connection, move its state on, translate;
//! 4. *sort* into what is sent, what waits for another packet, and what is freed.
//!
//! Each stage is a pass over the whole burst, so that its cache misses overlap: a packet costs about
//! what its cold lines cost at full memory parallelism, and not their latency. Directions are
//! random, so a pass goes over one and then the other instead of branching at each packet; inbound
//! comes first, because nothing inbound can answer what is outbound in the same burst. A stage reads
//! a packet's fields from its header again, which is in the nearest cache by then: carrying them
//! along costs more.
//!
//! What is not plain (options, fragments, ICMP, ARP) is few and is dealt with on sight, in [`other`].
//! IPv6 has stages of its own, in [`crate::firewall6`].
//!
//! Nothing here allocates, locks, reads a clock or knows where packets come from; `worker` feeds it
//! from a port, `krono replay` from a capture, tests from a vector.

mod copies;
mod fragment;
mod hold;
mod other;
mod shared;

pub use hold::Held;
pub use shared::Seat;

use crate::connections::{Connections, Inside, NotFound, NotOpened};
use crate::conntrack::Segment;
use crate::exceeded::Allowance;
use crate::firewall6::{Firewall6, Station};
use crate::ports::Slot;
use crate::shard::Shard;
use crate::table::Hash;
use crate::timer::Tick;
use crate::translate::fragment::Fragments;
use crate::translate::{self, End, NextHop};
use crate::verdict::{Drop, Refusal, Verdict};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst, Group};
use dataplane::clock::Nanos;
use dataplane::frame::{Frame, HEAD};
use dataplane::identity::{Identity, Mac};
use dataplane::wire::{self, Endpoint, Plain, ethernet};

/// One core's connection tracking NAT.
pub struct Pipeline {
    identity: Identity,
    next_hop: NextHop,
    shard: Shard,
    connections: Connections,
    firewall6: Option<Firewall6>,
    fragments: Fragments,
    errors: Allowance,
    station: Own,
    /// Also takes frames that are addressed to other stations.
    promiscuous: bool,
    counts: Counts,
}

/// The stations whose frames a core takes: its own address, or any.
#[derive(Clone, Copy)]
struct Own {
    address: u64,
    mask: u64,
}

impl Own {
    fn only(mac: Mac) -> Own {
        let of = |[a, b, c, d, e, f]: [u8; 6]| u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]);
        Own { address: of(mac.0), mask: of([0xff; 6]) }
    }

    fn any() -> Own {
        Own { address: 0, mask: 0 }
    }

    /// Zero if the frame is taken.
    #[inline]
    fn differs(self, head: &[u8; HEAD]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *head;
        (u64::from_ne_bytes([a, b, c, d, e, f, g, h]) ^ self.address) & self.mask
    }
}

/// What became of all packets so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Translated and sent on.
    pub forwarded: u64,
    /// Answered by the core itself.
    pub answered: u64,
    /// Dropped, by [`Drop::index`].
    pub dropped: [u64; Drop::COUNT],
}

impl Default for Counts {
    fn default() -> Counts {
        Counts { forwarded: 0, answered: 0, dropped: [0; Drop::COUNT] }
    }
}

/// The packets of a burst by their way, and where the state of each is.
struct Paths {
    outbound: Group,
    inbound: Group,
    hashes: [Hash; BURST],
    slots: [Slot; BURST],
}

impl Paths {
    fn none() -> Paths {
        Paths {
            outbound: Group::default(),
            inbound: Group::default(),
            hashes: [Hash::NONE; BURST],
            slots: [Slot(0); BURST],
        }
    }
}

const fn refused(reason: Refusal) -> Verdict {
    Verdict::Dropped(Drop::Refused(reason))
}

impl Pipeline {
    /// A core without connections yet. Strangers must not know `seed`.
    pub fn new(identity: Identity, shard: Shard, connections: Connections, seed: u64) -> Pipeline {
        Pipeline {
            identity,
            next_hop: NextHop::of(&identity),
            shard,
            connections,
            firewall6: None,
            fragments: Fragments::new(seed),
            errors: Allowance::new(),
            station: Own::only(identity.mac),
            promiscuous: false,
            counts: Counts::default(),
        }
    }

    /// The same core, which also lets its subscribers' IPv6 through a firewall.
    #[must_use]
    pub fn with_firewall6(self, firewall6: Firewall6) -> Pipeline {
        Pipeline { firewall6: Some(firewall6), ..self }
    }

    /// The same core, which takes every frame whatever station it is addressed to.
    #[must_use]
    pub fn promiscuous(self) -> Pipeline {
        Pipeline { station: Own::any(), promiscuous: true, ..self }
    }

    /// What became of all packets so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The core's connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The core's firewall for IPv6, if it has one.
    pub fn firewall6(&self) -> Option<&Firewall6> {
        self.firewall6.as_ref()
    }

    /// Works on the packets of `burst`: those to send move to `send`, in order, those that wait for
    /// another to `held`, the others to `free`, with what makes room for the former.
    /// `verdicts[i]` is what became of the i-th packet. [`Pipeline::release`] should follow.
    #[inline]
    pub fn process<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        now: Nanos,
        verdicts: &mut ArrayVec<Verdict, BURST>,
        send: &mut Burst<F>,
        free: &mut Burst<F>,
        held: &mut Held<F>,
    ) {
        self.connections.pass_time(now);
        let now = Tick::at(now);
        *verdicts = ArrayVec::from([Verdict::Forwarded; BURST]);
        verdicts.truncate(burst.len());
        let mut paths = Paths::none();
        let me = (u32::from(self.identity.ip), self.station);
        if self.shard.is_one_range() {
            self.classify::<true, F>(me, burst, &mut paths);
        } else {
            self.classify::<false, F>(me, burst, &mut paths);
        }
        let rest = Group::first(burst.len()).without(paths.outbound).without(paths.inbound);
        let mut ipv6 = Group::default();
        for index in rest {
            let frame = &mut burst[index];
            let six =
                self.firewall6.is_some() & (frame.head()[12..14] == ethernet::IPV6.to_be_bytes());
            ipv6.insert_if(index, six);
            if !six {
                verdicts[index] = self.other(frame, now);
            }
        }
        if let Some(firewall6) = self.firewall6.as_mut().filter(|_| !ipv6.is_empty()) {
            let station = Station { identity: &self.identity, promiscuous: self.promiscuous };
            firewall6.process_group(burst, ipv6, station, now, verdicts);
        }
        self.approach(burst, &mut paths, verdicts);
        self.resolve(burst, &paths, now, verdicts);
        self.sort(burst, now, verdicts, [send, free], held);
    }

    /// Ends connections whose time is over, looking at `buckets` buckets of the table.
    pub fn sweep(&mut self, now: Nanos, buckets: usize) {
        let now = Tick::at(now);
        self.connections.sweep(now, buckets);
        if let Some(firewall6) = &mut self.firewall6 {
            // The same share of its own table.
            let all = firewall6.connections().buckets();
            firewall6.sweep(now, (all * buckets).div_ceil(self.connections.buckets()));
        }
        self.fragments.sweep(now);
    }

    /// Which packets go from a subscriber to the Internet, and which from the Internet to an
    /// external address: neither, if one is not plain or not for this core to forward. A subscriber's
    /// packet to an external address is outbound: the network routes it back, and it comes in as any
    /// other, to meet the filter (which departs from RFC 4787 REQ-9, hairpinning). `ONE` is
    /// [`Shard::is_one_range`], and `(own, station)` what the core is.
    #[inline]
    fn classify<const ONE: bool, F: Frame>(
        &self,
        (own, station): (u32, Own),
        burst: &Burst<F>,
        paths: &mut Paths,
    ) {
        for (index, frame) in burst.iter().enumerate() {
            let head = frame.head();
            let packet = Plain::read(head);
            let destination = packet.destination.address();
            let own = destination == own;
            let flaws = wire::flaws(head, frame.len());
            let flaws = flaws | u64::from(own) | u64::from(packet.ttl <= 1);
            let forward = flaws | station.differs(head) == 0;
            let (from, to) = self.shard.ends::<ONE>(packet.source.address(), destination);
            paths.outbound.insert_if(index, forward & from);
            paths.inbound.insert_if(index, forward & to & !from);
        }
    }

    /// The few connections that live in their secondary bucket get a pass of their own: a miss that
    /// nothing overlaps costs as much as eight that do.
    #[inline]
    fn approach<F: Frame>(&self, burst: &Burst<F>, paths: &mut Paths, verdicts: &mut [Verdict]) {
        for index in paths.outbound {
            let packet = Plain::read(burst[index].head());
            let inside = Inside::new(packet.source, packet.protocol);
            paths.hashes[index] = self.connections.announce(inside);
        }
        for index in paths.inbound {
            let to = Plain::read(burst[index].head()).destination;
            let address = self.shard.external_index(to.address()).unwrap_or(u32::MAX);
            match self.connections.approach_inbound(address, to.port()) {
                Some(slot) => paths.slots[index] = slot,
                None => {
                    verdicts[index] = refused(Refusal::UnknownInbound);
                    paths.inbound.remove(index);
                }
            }
        }
        let mut elsewhere = Group::default();
        for index in paths.outbound {
            elsewhere.insert_if(index, !self.connections.approach(paths.hashes[index]));
        }
        for index in elsewhere {
            self.connections.approach_away(paths.hashes[index]);
        }
    }

    #[inline]
    fn resolve<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        paths: &Paths,
        now: Tick,
        verdicts: &mut [Verdict],
    ) {
        for index in paths.inbound {
            let head = burst[index].head_mut();
            if let Err(reason) = self.resolve_inbound(head, paths.slots[index], now) {
                verdicts[index] = refused(reason);
            }
        }
        for index in paths.outbound {
            let head = burst[index].head_mut();
            if let Err(reason) = self.resolve_outbound(head, paths.hashes[index], now) {
                verdicts[index] = refused(reason);
            }
        }
    }

    #[inline]
    fn resolve_outbound(
        &mut self,
        head: &mut [u8; HEAD],
        hash: Hash,
        now: Tick,
    ) -> Result<(), Refusal> {
        let packet = Plain::read(head);
        let inside = Inside::new(packet.source, packet.protocol);
        let segment = Segment::of_flags(packet.flags);
        let found = self.connections.outbound(inside, packet.destination, hash, segment, now);
        let slot = match found {
            Some(slot) => slot,
            None => self.open(inside, packet.destination, hash, segment, now)?,
        };
        translate::plain(head, &packet, End::Source, self.outside(slot));
        self.next_hop.address(head);
        Ok(())
    }

    #[inline]
    fn resolve_inbound(
        &mut self,
        head: &mut [u8; HEAD],
        slot: Slot,
        now: Tick,
    ) -> Result<(), Refusal> {
        let packet = Plain::read(head);
        let segment = Segment::of_flags(packet.flags);
        let found = self.connections.inbound(slot, packet.protocol, packet.source, segment, now);
        let inside = found.map_err(NotFound::into_refusal)?;
        translate::plain(head, &packet, End::Destination, inside);
        self.next_hop.address(head);
        Ok(())
    }

    /// A slot as the Internet sees it.
    #[inline]
    fn outside(&self, slot: Slot) -> Endpoint {
        let address = self.shard.external_address(u32::from(slot.address()));
        Endpoint::new(address, slot.port())
    }

    /// The slow path: a packet whose connection is not at hand, or that opens one, if it may.
    #[inline(never)]
    fn open(
        &mut self,
        inside: Inside,
        remote: Endpoint,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Result<Slot, Refusal> {
        let subscriber = self.shard.subscriber_to_open(inside.endpoint().address());
        let subscriber = subscriber.ok_or(Refusal::NotMaster)?;
        let opened = self.connections.open(subscriber, inside, remote, hash, segment, now);
        opened.map_err(NotOpened::into_refusal)
    }

    #[inline]
    fn sort<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        now: Tick,
        verdicts: &[Verdict],
        [send, free]: [&mut Burst<F>; 2],
        held: &mut Held<F>,
    ) {
        if verdicts.iter().all(|verdict| matches!(verdict, Verdict::Forwarded)) && send.is_empty() {
            self.counts.forwarded += verdicts.len() as u64;
            std::mem::swap(burst, send);
            return;
        }
        for (frame, verdict) in burst.drain(..).zip(verdicts) {
            match verdict {
                Verdict::Held => self.hold(frame, now, held, free),
                Verdict::Forwarded => {
                    self.counts.forwarded += 1;
                    send.push(frame);
                }
                Verdict::Answered => {
                    self.counts.answered += 1;
                    send.push(frame);
                }
                Verdict::Dropped(reason) => {
                    self.counts.dropped[reason.index()] += 1;
                    free.push(frame);
                }
            }
        }
    }
}

impl NotFound {
    fn into_refusal(self) -> Refusal {
        match self {
            NotFound::Unknown => Refusal::UnknownInbound,
            NotFound::Filtered => Refusal::FilteredInbound,
        }
    }
}

impl NotOpened {
    fn into_refusal(self) -> Refusal {
        match self {
            NotOpened::NotSyn => Refusal::TcpNotSyn,
            NotOpened::PortsExhausted => Refusal::PortsExhausted,
            NotOpened::TableFull => Refusal::TableFull,
            NotOpened::SubscriberQuota => Refusal::SubscriberQuota,
            NotOpened::HalfOpenLimit => Refusal::HalfOpenLimit,
            NotOpened::SetupLimit => Refusal::SetupLimit,
        }
    }
}
