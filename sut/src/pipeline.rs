//! **Read this first.** What one core does with a burst of up to 32 packets, stage by stage.
//!
//! 1. *classify*: parse, and decide the direction by arithmetic on the addresses;
//! 2. *approach*: ask for the cache lines with the packets' state: the record of an inbound packet,
//!    whose place is its destination; the bucket of an outbound one, and then the record it names;
//! 3. *resolve*: everything is at hand; find or open the connection, move its state on, translate;
//! 4. *sort* into what is sent and what is freed.
//!
//! Each stage is a pass over the whole burst, so that its cache misses overlap: a packet costs about
//! what its cold lines cost at full memory parallelism, and not their latency. Directions are
//! random, so a pass goes over one and then the other instead of branching at each packet; inbound
//! comes first, because nothing inbound can answer what is outbound in the same burst.
//!
//! Nothing here allocates, locks, reads a clock or knows where packets come from; `worker` feeds it
//! from a port, `krono replay` from a capture, tests from a vector.

use crate::connections::{Connections, NotFound, NotOpened, Remote};
use crate::conntrack::{Segment, State};
use crate::local;
use crate::ports::{Slot, Subscriber};
use crate::shard::Shard;
use crate::table::{Hash, Key};
use crate::timer::Tick;
use crate::translate::{self, End, Outer};
use crate::verdict::{Drop, Refusal, Verdict};
use arrayvec::ArrayVec;
use dataplane::burst::{BURST, Burst, Group};
use dataplane::clock::Nanos;
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::wire::{self, Datagram, Parsed, Plain, Transport, checksum, icmp, ipv4};

/// One core's connection tracking NAT.
pub struct Pipeline {
    identity: Identity,
    shard: Shard,
    connections: Connections,
    /// Also takes frames that are addressed to other stations.
    promiscuous: bool,
    counts: Counts,
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

/// A packet between classification and verdict: what later stages need of it, and no more, since
/// every byte is written and read once per packet.
#[derive(Clone, Copy)]
struct Task {
    way: Way,
    segment: Segment,
    transport_at: u16,
    /// Outbound: the subscriber. Inbound: the external address's index, then the record's slot.
    place: u32,
    hash: Hash,
    /// The packet's own 5-tuple.
    key: Key,
}

/// Where a packet goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Outbound,
    Inbound,
    Done(Verdict),
}

impl Task {
    const NONE: Task = Task {
        way: Way::Done(Verdict::Forwarded),
        segment: Segment::Plain,
        transport_at: 0,
        place: 0,
        hash: Hash::NONE,
        key: Key { src: 0, dst: 0, src_port: 0, dst_port: 0, protocol: 0 },
    };
}

/// A burst between classification and verdict. Tasks are written where they stay: a copy would read
/// in wide words what has just been written in narrow ones, for which the processor must wait.
struct Tasks {
    all: [Task; BURST],
    outbound: Group,
    inbound: Group,
}

const fn refuse(reason: Refusal) -> Way {
    Way::Done(refused(reason))
}

const fn refused(reason: Refusal) -> Verdict {
    Verdict::Dropped(Drop::Refused(reason))
}

impl Pipeline {
    /// A core without connections yet.
    pub fn new(identity: Identity, shard: Shard, connections: Connections) -> Pipeline {
        let counts = Counts::default();
        Pipeline { identity, shard, connections, promiscuous: false, counts }
    }

    /// The same core, which takes every frame whatever station it is addressed to.
    #[must_use]
    pub fn promiscuous(self) -> Pipeline {
        Pipeline { promiscuous: true, ..self }
    }

    /// What became of all packets so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The core's connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Works on the packets of `burst`: those to send move to `send`, in order, the others to
    /// `free`. `verdicts[i]` is what became of the i-th packet.
    #[inline]
    pub fn process<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        now: Nanos,
        verdicts: &mut ArrayVec<Verdict, BURST>,
        send: &mut Burst<F>,
        free: &mut Burst<F>,
    ) {
        let tick = Tick::at(now);
        let (outbound, inbound) = (Group::default(), Group::default());
        let mut tasks = Tasks { all: [Task::NONE; BURST], outbound, inbound };
        for (index, frame) in burst.iter_mut().enumerate() {
            let way = self.classify(frame, &mut tasks.all[index]);
            tasks.all[index].way = way;
            tasks.outbound.set(index, way == Way::Outbound);
            tasks.inbound.set(index, way == Way::Inbound);
        }
        self.approach(&mut tasks);
        self.resolve(burst, &tasks, tick, verdicts);
        self.sort(burst, verdicts, send, free);
    }

    /// Ends connections whose time is over, looking at `buckets` buckets of the table.
    pub fn sweep(&mut self, now: Nanos, buckets: usize) {
        self.connections.sweep(Tick::at(now), buckets);
    }

    #[inline]
    fn classify<F: Frame>(&self, frame: &mut F, task: &mut Task) -> Way {
        match wire::plain(frame.head(), frame.len()) {
            Some(packet) if self.is_mine(frame.head()) & (packet.ttl > 1) => {
                self.classify_plain(&packet, task)
            }
            _ => self.classify_other(frame.bytes_mut(), task),
        }
    }

    /// UDP and TCP without IPv4 options: the way of nearly every packet.
    #[inline]
    fn classify_plain(&self, packet: &Plain, task: &mut Task) -> Way {
        task.key = Key {
            src: packet.source,
            dst: packet.destination,
            src_port: packet.source_port,
            dst_port: packet.destination_port,
            protocol: packet.protocol,
        };
        task.segment = Segment::of_flags(packet.flags);
        task.transport_at = wire::TRANSPORT_AT as u16;
        self.steer(packet.source, packet.destination, task)
    }

    /// Decides the direction of a packet. A subscriber's packet to another's external address is
    /// outbound too.
    #[inline]
    fn steer(&self, source: u32, destination: u32, task: &mut Task) -> Way {
        let subscriber = self.shard.subscriber(source);
        let index = self.shard.external_index(destination);
        if destination == u32::from(self.identity.ip) {
            return refuse(Refusal::Local);
        }
        if subscriber.is_none() & index.is_none() {
            return refuse(Refusal::Foreign);
        }
        task.place = subscriber.map_or(index.unwrap_or(0), |subscriber| subscriber.0);
        if subscriber.is_some() { Way::Outbound } else { Way::Inbound }
    }

    /// Everything that is not plain: options, ICMP, ARP, and what is refused.
    #[inline(never)]
    fn classify_other(&self, frame: &mut [u8], task: &mut Task) -> Way {
        match wire::parse(frame) {
            Ok(Parsed::Ipv4(datagram)) if self.is_mine(frame) => {
                self.classify_ipv4(frame, &datagram, task)
            }
            Ok(_) if !self.is_mine(frame) && frame[0] & 1 == 0 => refuse(Refusal::Station),
            // A router does not forward what is addressed to all stations (RFC 1812 §5.3.4).
            Ok(Parsed::Ipv4(_)) => refuse(Refusal::Station),
            Ok(Parsed::Arp { operation, target, .. }) => {
                match local::answer_arp(frame, operation, target, &self.identity) {
                    true => Way::Done(Verdict::Answered),
                    false => refuse(Refusal::Local),
                }
            }
            Ok(Parsed::Other(_)) => refuse(Refusal::Ethertype),
            Err(reason) => Way::Done(Verdict::Dropped(Drop::Malformed(reason))),
        }
    }

    /// Addressed to this core alone.
    #[inline]
    fn is_mine(&self, frame: &[u8]) -> bool {
        frame[..6] == self.identity.mac.0 || self.promiscuous
    }

    fn classify_ipv4(&self, frame: &mut [u8], datagram: &Datagram, task: &mut Task) -> Way {
        if !checksum::verify_ipv4(&frame[14..datagram.transport_at]) {
            return refuse(Refusal::Ipv4Checksum);
        }
        if datagram.destination == self.identity.ip {
            return match local::answer_echo(frame, datagram, &self.identity) {
                true => Way::Done(Verdict::Answered),
                false => refuse(Refusal::Local),
            };
        }
        let (src, dst) = (u32::from(datagram.source), u32::from(datagram.destination));
        let outbound = self.shard.subscriber(src).is_some();
        if !outbound && self.shard.external_index(dst).is_none() {
            return refuse(Refusal::Foreign);
        }
        let (src_port, dst_port, segment) = match datagram.transport {
            Transport::Udp { source, destination, .. } => (source, destination, Segment::Plain),
            Transport::Tcp { source, destination, flags, .. } => {
                (source, destination, Segment::of_flags(flags))
            }
            // The identifier stands for the subscriber's port, and nothing for the remote's.
            Transport::Icmp { kind: icmp::ECHO_REQUEST, id, .. } if outbound => {
                (id, 0, Segment::Plain)
            }
            Transport::Icmp { kind: icmp::ECHO_REPLY, id, .. } if !outbound => {
                (0, id, Segment::Plain)
            }
            other => return refuse(untracked(other)),
        };
        if datagram.ttl <= 1 {
            return refuse(Refusal::Ttl);
        }
        task.key = Key { src, dst, src_port, dst_port, protocol: datagram.protocol };
        task.segment = segment;
        task.transport_at = datagram.transport_at as u16;
        self.steer(src, dst, task)
    }

    /// The few connections that live in their secondary bucket get a pass of their own: a miss that
    /// nothing overlaps costs as much as eight that do.
    #[inline]
    fn approach(&self, tasks: &mut Tasks) {
        for index in tasks.outbound {
            let task = &mut tasks.all[index];
            task.hash = self.connections.announce(&task.key);
        }
        for index in tasks.inbound {
            let task = &mut tasks.all[index];
            match self.connections.slot(task.place, task.key.dst_port) {
                Some(slot) => {
                    task.place = slot.0;
                    self.connections.approach_inbound(slot);
                }
                None => {
                    task.way = Way::Done(refused(Refusal::UnknownInbound));
                    tasks.inbound.set(index, false);
                }
            }
        }
        let mut elsewhere = Group::default();
        for index in tasks.outbound {
            elsewhere.set(index, !self.connections.approach(tasks.all[index].hash));
        }
        for index in elsewhere {
            self.connections.approach_away(tasks.all[index].hash);
        }
    }

    #[inline]
    fn resolve<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        tasks: &Tasks,
        now: Tick,
        verdicts: &mut ArrayVec<Verdict, BURST>,
    ) {
        verdicts.clear();
        verdicts.extend(tasks.all[..burst.len()].iter().map(|task| match task.way {
            Way::Done(verdict) => verdict,
            Way::Outbound | Way::Inbound => Verdict::Forwarded,
        }));
        for index in tasks.inbound {
            if let Err(reason) = self.resolve_inbound(&mut burst[index], &tasks.all[index], now) {
                verdicts[index] = refused(reason);
            }
        }
        for index in tasks.outbound {
            if let Err(reason) = self.resolve_outbound(&mut burst[index], &tasks.all[index], now) {
                verdicts[index] = refused(reason);
            }
        }
    }

    #[inline]
    fn resolve_outbound<F: Frame>(
        &mut self,
        frame: &mut F,
        task: &Task,
        now: Tick,
    ) -> Result<(), Refusal> {
        let found = self.connections.outbound(&task.key, task.hash, task.segment, now);
        let slot = match found {
            Some(slot) => slot,
            None => self.open(task, now)?,
        };
        let address = self.shard.external_address(u32::from(slot.address()));
        let old = Outer { address: task.key.src, port: task.key.src_port };
        let new = Outer { address, port: slot.port() };
        translate::rewrite(frame, task.transport_at, task.key.protocol, End::Source, old, new);
        translate::to_gateway(frame.head_mut(), &self.identity);
        Ok(())
    }

    #[inline]
    fn resolve_inbound<F: Frame>(
        &mut self,
        frame: &mut F,
        task: &Task,
        now: Tick,
    ) -> Result<(), Refusal> {
        let key = &task.key;
        let from = Remote { address: key.src, port: key.src_port, protocol: key.protocol };
        let inside = match self.connections.inbound(Slot(task.place), &from, task.segment, now) {
            Ok(inside) => inside,
            Err(NotFound::Unknown) => return Err(Refusal::UnknownInbound),
            Err(NotFound::Filtered) => return Err(Refusal::FilteredInbound),
        };
        let old = Outer { address: key.dst, port: key.dst_port };
        let new = Outer { address: inside.address, port: inside.port };
        translate::rewrite(frame, task.transport_at, key.protocol, End::Destination, old, new);
        translate::to_gateway(frame.head_mut(), &self.identity);
        Ok(())
    }

    /// The slow path: a packet of no connection opens one, if it may.
    #[inline(never)]
    fn open(&mut self, task: &Task, now: Tick) -> Result<Slot, Refusal> {
        let state = match (task.key.protocol, task.segment) {
            (ipv4::TCP, Segment::Syn) => State::SynSent,
            (ipv4::TCP, _) => return Err(Refusal::TcpNotSyn),
            (ipv4::UDP, _) => State::UdpOneWay,
            _ => State::Echo,
        };
        let subscriber = Subscriber(task.place);
        self.connections.open(subscriber, &task.key, task.hash, state, now).map_err(|reason| {
            match reason {
                NotOpened::PortsExhausted => Refusal::PortsExhausted,
                NotOpened::TableFull => Refusal::TableFull,
            }
        })
    }

    #[inline]
    fn sort<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        verdicts: &[Verdict],
        send: &mut Burst<F>,
        free: &mut Burst<F>,
    ) {
        if verdicts.iter().all(|verdict| matches!(verdict, Verdict::Forwarded)) && send.is_empty() {
            self.counts.forwarded += verdicts.len() as u64;
            std::mem::swap(burst, send);
            return;
        }
        for (frame, verdict) in burst.drain(..).zip(verdicts) {
            match verdict {
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

/// Why a transport has no connections here.
#[cold]
fn untracked(transport: Transport) -> Refusal {
    match transport {
        Transport::Fragment(_) => Refusal::Fragment,
        Transport::Icmp { .. } => Refusal::IcmpType,
        _ => Refusal::Protocol,
    }
}
