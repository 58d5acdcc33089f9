//! Stateful firewall for IPv6: simple security as of RFC 6092, on the state and timers of the NAT.
//!
//! Addresses stay as they are, so that one record serves both directions and is found by one hash
//! whichever way a packet goes. What the inside sends opens connections; what comes from outside
//! must belong to one (address and port-dependent filtering, stricter than REC-11, 17 and 33 ask),
//! but for IPsec and HIP, which REC-21, 22, 24 and 26 want admitted unasked: that leaves no state,
//! or a stranger could fill the table. ICMP errors pass in both directions if what they quote
//! belongs to a connection (REC-10, 18, 23, 36; RFC 4890 §4.3) and change none (REC-19, 37). Other
//! transports are told by their addresses alone, SCTP and DCCP included.
//!
//! Direction follows from addresses: the configured prefixes are inside. It refuses to reassemble:
//! a first fragment holds all headers (RFC 7112) and later ones pass where it has passed, or wait
//! for it (`pipeline/hold.rs`). A packet whose hop limit ends here is answered by Time Exceeded (RFC
//! 4443 §3.3).
//!
//! Not this box's business: REC-2's scope boundary (no multicast is forwarded at all), REC-8 and 9
//! (no DNS or DHCP service), REC-13 and 50 (no management here), REC-27 to 30 beyond addresses,
//! REC-32 (windows are not judged), REC-34 (unsolicited SYNs are dropped without answer), REC-48
//! and 49 (no pinholes, no transparent mode).
//!
//! The pipeline calls [`Firewall6::process`], or [`Firewall6::process_group`] for a burst, with
//! frames whose type field says IPv6, and [`Firewall6::sweep`] between bursts.

mod address;
mod connections;
mod exceeded;
mod flow;
mod fragments;
mod inside;
mod local;

pub use connections::Connections6;
pub(crate) use fragments::Early;
pub use inside::PREFIXES_MAX;

use crate::conntrack::{Direction, Segment};
use crate::exceeded::Allowance;
use crate::table::Hash;
use crate::timer::{Deadlines, Tick};
use crate::verdict::{Drop, Refusal, Verdict};
use connections::NotOpened;
use dataplane::burst::{BURST, Burst, Group};
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::wire::ipv6::Piece;
use dataplane::wire::{Datagram6, Transport6, icmp6, parse6, quote6};
use flow::{Ends, Flow};
use fragments::{Fragments, LIFE_NS, Whole};
use inside::Inside;
use ipnet::Ipv6Net;
use std::net::Ipv6Addr;

/// Whether hosts with this address are reached over the public Internet.
pub(crate) fn is_global(address: Ipv6Addr) -> bool {
    let address = u128::from(address);
    !address::is_multicast(address) && !address::is_forbidden(address)
}

/// A firewall that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// Too many separate prefixes.
    #[error(
        "subscribers6: {0} separate prefixes, at most {PREFIXES_MAX} are possible: use prefixes \
         that add up to larger ones"
    )]
    TooManyPrefixes(usize),
    /// The memory is not there.
    #[error("no memory for {connections} connections of IPv6: {source}")]
    Memory {
        /// Connections wanted.
        connections: u32,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// The station that packets are received and sent as.
#[derive(Clone, Copy, Debug)]
pub struct Station<'a> {
    /// The core's addresses.
    pub identity: &'a Identity,
    /// Frames addressed to other stations are taken too.
    pub promiscuous: bool,
}

/// The IPv6 firewall of one core.
pub struct Firewall6 {
    inside: Inside,
    /// The core's own address, if it has one.
    own: Option<Ipv6Addr>,
    connections: Connections6,
    fragments: Fragments,
    /// First fragments that have passed.
    firsts: u64,
    errors: Allowance,
}

/// A packet between classification and verdict.
#[derive(Clone, Copy)]
enum Task {
    Done(Verdict),
    /// Comes no further than this: its hop limit is used up.
    Exceeded(Datagram6),
    /// Belongs to a connection, or may open one.
    Packet {
        direction: Direction,
        flow: Flow,
        hash: Hash,
        segment: Segment,
        first: Option<First>,
    },
    /// An ICMP error about a packet of this flow that went in direction `quoted`.
    Error {
        quoted: Direction,
        flow: Flow,
        hash: Hash,
    },
    /// A fragment of a datagram whose first one has passed, or an error about such a one.
    Later {
        of: Whole,
        hash: Hash,
        offset: u16,
        error: bool,
    },
}

/// A first fragment: what later ones will be known by.
#[derive(Clone, Copy)]
struct First {
    of: Whole,
    /// Bytes of the fragment, which no later one may claim.
    len: u16,
}

const fn refuse(reason: Refusal) -> Task {
    Task::Done(refused(reason))
}

const fn refused(reason: Refusal) -> Verdict {
    Verdict::Dropped(Drop::Refused(reason))
}

impl Firewall6 {
    /// A firewall for the hosts in the prefixes `inside`, without connections yet. `own` is the
    /// core's own address, for which it answers neighbour solicitations and echo requests.
    ///
    /// # Errors
    /// When the prefixes are too scattered or the memory is not there.
    pub fn new(
        inside: &[Ipv6Net],
        own: Option<Ipv6Addr>,
        connections_max: u32,
        deadlines: Deadlines,
        seed: u64,
    ) -> Result<Firewall6, NotMade> {
        let inside = Inside::new(inside).map_err(NotMade::TooManyPrefixes)?;
        let connections = Connections6::new(connections_max, deadlines, seed)
            .map_err(|source| NotMade::Memory { connections: connections_max, source })?;
        let (fragments, errors) = (Fragments::new(LIFE_NS), Allowance::new());
        Ok(Firewall6 { inside, own, connections, fragments, firsts: 0, errors })
    }

    /// The core's connections.
    pub fn connections(&self) -> &Connections6 {
        &self.connections
    }

    /// Works on one frame whose type field says IPv6. What is forwarded has one hop less and is
    /// addressed to the core's gateway; what is answered has become the answer. The caller sends
    /// it, frees what is dropped, and may keep what is held: a later fragment whose first one has
    /// not passed.
    #[inline]
    pub fn process<F: Frame>(&mut self, frame: &mut F, station: Station, now: Tick) -> Verdict {
        let task = self.classify(frame, station);
        self.conclude(frame, &task, station, now)
    }

    /// Does to the frames of `group` what [`Firewall6::process`] does, in order, with their cache
    /// misses overlapped. `verdicts[i]` is set for each frame `i` of the group and left alone for
    /// others.
    ///
    /// # Panics
    /// When the group names a frame beyond the burst or the verdicts.
    #[inline]
    pub fn process_group<F: Frame>(
        &mut self,
        burst: &mut Burst<F>,
        group: Group,
        station: Station,
        now: Tick,
        verdicts: &mut [Verdict],
    ) {
        let mut tasks = [Task::Done(Verdict::Forwarded); BURST];
        for index in group {
            tasks[index] = self.classify(&mut burst[index], station);
            if let Some(hash) = tasks[index].hash() {
                self.connections.announce(hash);
            }
        }
        let mut elsewhere = Group::default();
        for index in group {
            let Some(hash) = tasks[index].hash() else { continue };
            elsewhere.insert_if(index, !self.connections.approach(hash));
        }
        for index in elsewhere {
            let Some(hash) = tasks[index].hash() else { continue };
            self.connections.approach_away(hash);
        }
        for index in group {
            verdicts[index] = self.conclude(&mut burst[index], &tasks[index], station, now);
        }
    }

    /// First fragments that have passed.
    #[inline]
    pub(crate) fn firsts(&self) -> u64 {
        self.firsts
    }

    /// Whether a fragment that was held passes; `None` while no first one of its datagram has.
    pub(crate) fn follow(&self, early: &Early, now: Tick) -> Option<Result<(), Refusal>> {
        let hash = self.connections.hash(&early.of.words());
        let len = self.fragments.get(hash.tag.into(), &early.of, now)?;
        Some(if early.offset >= len { Ok(()) } else { Err(Refusal::FragmentOverlap) })
    }

    /// Ends connections whose time is over, looking at `buckets` buckets of their table.
    pub fn sweep(&mut self, now: Tick, buckets: usize) {
        self.connections.sweep(now, buckets);
        self.fragments.sweep(now);
    }

    /// What the packet alone says, before any state is looked at.
    fn classify<F: Frame>(&self, frame: &mut F, station: Station) -> Task {
        let datagram = match parse6(frame.bytes()) {
            Ok(datagram) => datagram,
            Err(reason) => return Task::Done(Verdict::Dropped(Drop::Malformed6(reason))),
        };
        let to = &frame.head()[..6];
        let mine = to == station.identity.mac.0 || station.promiscuous;
        if !mine && to[0] & 1 == 0 {
            return refuse(Refusal::Station);
        }
        if let Some(own) = self.own {
            if local::answer_neighbour(frame, &datagram, own, station.identity) {
                return Task::Done(Verdict::Answered);
            }
            if datagram.destination == own {
                return match mine && local::answer_echo(frame, &datagram, station.identity) {
                    true => Task::Done(Verdict::Answered),
                    false => refuse(Refusal::Local),
                };
            }
        }
        // As for IPv4: what is addressed to several stations is not forwarded.
        match mine {
            true => self.classify_foreign(frame.bytes(), &datagram),
            false => refuse(Refusal::Station),
        }
    }

    /// A packet for somebody else.
    fn classify_foreign(&self, frame: &[u8], datagram: &Datagram6) -> Task {
        let ends = Ends::new(datagram.source, datagram.destination);
        if address::is_multicast(ends.source) || address::is_multicast(ends.destination) {
            return refuse(Refusal::Multicast);
        }
        if address::is_forbidden(ends.source) || address::is_forbidden(ends.destination) {
            return refuse(Refusal::Bogon);
        }
        let from_inside = self.inside.contains(ends.source);
        let direction = match (from_inside, self.inside.contains(ends.destination)) {
            (true, false) => Direction::Outbound,
            (false, true) => Direction::Inbound,
            (true, true) => return refuse(Refusal::InsideSource),
            (false, false) => return refuse(Refusal::Foreign),
        };
        if datagram.chain.source_routed {
            return refuse(Refusal::RoutingHeader);
        }
        if datagram.hop_limit <= 1 {
            return Task::Exceeded(*datagram);
        }
        if let (Some(piece), Transport6::Later) = (datagram.chain.fragment, datagram.transport) {
            return self.later(ends, piece, false);
        }
        match datagram.transport {
            Transport6::Icmp {
                kind: icmp6::DESTINATION_UNREACHABLE..=icmp6::PARAMETER_PROBLEM,
                ..
            } => {
                let message = &frame[datagram.transport_at..datagram.end];
                self.classify_error(message, direction, ends.destination)
            }
            _ => self.classify_packet(datagram, ends, direction),
        }
    }

    fn classify_packet(&self, datagram: &Datagram6, ends: Ends, direction: Direction) -> Task {
        let chain = &datagram.chain;
        let Some((flow, segment)) = Flow::of(ends, chain, datagram.transport, direction) else {
            return refuse(Refusal::IcmpType);
        };
        let first = chain.fragment.map(|piece| First {
            of: Whole { ends, id: piece.id },
            len: (datagram.end - datagram.transport_at + chain.len - piece.data_at) as u16,
        });
        let hash = self.connections.hash(&flow.words());
        Task::Packet { direction, flow, hash, segment, first }
    }

    /// The quoted packet must have come from whom the error goes to.
    fn classify_error(&self, message: &[u8], direction: Direction, receiver: u128) -> Task {
        let Some(quote) = message.get(icmp6::HEADER_LEN..).and_then(quote6) else {
            return refuse(Refusal::UnknownError);
        };
        let ends = Ends::new(quote.source, quote.destination);
        let quoted = match direction {
            Direction::Outbound => Direction::Inbound,
            Direction::Inbound => Direction::Outbound,
        };
        let told = self.inside.contains(ends.destination) == (quoted == Direction::Inbound);
        if ends.source != receiver || !told {
            return refuse(Refusal::UnknownError);
        }
        if let (Some(piece), Transport6::Later) = (quote.chain.fragment, quote.transport) {
            return self.later(ends, piece, true);
        }
        match Flow::of(ends, &quote.chain, quote.transport, quoted) {
            Some((flow, _)) => {
                Task::Error { quoted, flow, hash: self.connections.hash(&flow.words()) }
            }
            None => refuse(Refusal::UnknownError),
        }
    }

    fn later(&self, ends: Ends, piece: Piece, error: bool) -> Task {
        let of = Whole { ends, id: piece.id };
        Task::Later { of, hash: self.connections.hash(&of.words()), offset: piece.offset, error }
    }

    fn conclude<F: Frame>(
        &mut self,
        frame: &mut F,
        task: &Task,
        station: Station,
        now: Tick,
    ) -> Verdict {
        let passed = match *task {
            Task::Done(verdict) => return verdict,
            Task::Exceeded(ref datagram) => return self.exceeded(frame, datagram, station, now),
            Task::Packet { direction, flow, hash, segment, first } => {
                self.pass(direction, &flow, hash, segment, now).inspect(|()| {
                    if let Some(First { of, len }) = first {
                        let hash = self.connections.hash(&of.words());
                        self.fragments.put(hash.tag.into(), of, len, now);
                        self.firsts += 1;
                    }
                })
            }
            Task::Error { quoted, flow, hash } => {
                let unasked = quoted == Direction::Inbound && flow.is_admitted_unasked();
                match unasked || self.connections.holds(&flow, hash, now) {
                    true => Ok(()),
                    false => Err(Refusal::UnknownError),
                }
            }
            Task::Later { of, hash, offset, error } => {
                match self.fragments.get(hash.tag.into(), &of, now) {
                    Some(len) if error || offset >= len => Ok(()),
                    Some(_) => Err(Refusal::FragmentOverlap),
                    None if error => Err(Refusal::UnknownError),
                    None => return Verdict::Held,
                }
            }
        };
        match passed {
            Ok(()) => {
                forward(frame, station.identity);
                Verdict::Forwarded
            }
            Err(reason) => refused(reason),
        }
    }

    /// Tells the sender of a datagram that its hop limit ends here, if the core has an address to
    /// tell it from.
    #[cold]
    fn exceeded<F: Frame>(
        &mut self,
        frame: &mut F,
        datagram: &Datagram6,
        station: Station,
        now: Tick,
    ) -> Verdict {
        let Some(own) = self.own.filter(|_| exceeded::may_be_told(frame.bytes(), datagram)) else {
            return refused(Refusal::Ttl);
        };
        if !self.errors.take(now) {
            return refused(Refusal::ErrorLimit);
        }
        exceeded::tell(frame, datagram, own, station.identity);
        Verdict::Answered
    }

    /// Whether a packet passes, and what it does to its connection.
    fn pass(
        &mut self,
        direction: Direction,
        flow: &Flow,
        hash: Hash,
        segment: Segment,
        now: Tick,
    ) -> Result<(), Refusal> {
        match direction {
            Direction::Outbound => match self.connections.outbound(flow, hash, segment, now) {
                Ok(()) => Ok(()),
                Err(NotOpened::NotSyn) => Err(Refusal::TcpNotSyn),
                // REC-21 and 22 know no exception, and what returns needs no record.
                Err(NotOpened::Full) if flow.is_admitted_unasked() => Ok(()),
                Err(NotOpened::Full) => Err(Refusal::TableFull),
            },
            Direction::Inbound => {
                let known = self.connections.inbound(flow, hash, segment, now);
                match known || flow.is_admitted_unasked() {
                    true => Ok(()),
                    false => Err(Refusal::UnknownInbound),
                }
            }
        }
    }
}

impl Task {
    /// Of the connection to look for.
    #[inline]
    fn hash(&self) -> Option<Hash> {
        match *self {
            Task::Packet { hash, .. } | Task::Error { hash, .. } => Some(hash),
            Task::Done(_) | Task::Exceeded(_) | Task::Later { .. } => None,
        }
    }
}

/// One hop less, which must be left, and on to the gateway. There is no checksum to change.
#[inline]
pub(crate) fn forward<F: Frame>(frame: &mut F, identity: &Identity) {
    const HOP_LIMIT_AT: usize = 21;
    let head = frame.head_mut();
    head[..6].copy_from_slice(&identity.gateway.0);
    head[6..12].copy_from_slice(&identity.mac.0);
    head[HOP_LIMIT_AT] -= 1;
}
