//! What a NAT44 with endpoint-independent mapping must do, in ordinary maps.
//!
//! Written from RFC 4787, 5382, 5508 and 7422 and from the promises in Krononat's documentation;
//! shares no code with it. Which free port a new connection gets is left open: the model learns it
//! from what was sent and checks that it was the subscriber's and nobody's.
//!
//! Time is exact: a deadline lies a whole number of 250 ms ticks ahead, between the timer and two
//! ticks more. What is past its deadline is over, but holds its port until it has been swept.

mod life;

pub(crate) use life::Timers;

use life::{Flags, Life};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// IPv4 protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// What the model needs to know of a packet. ICMP echo has its identifier on the subscriber's side
/// and port zero on the remote's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Headers {
    pub(crate) protocol: u8,
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    /// Last byte of the TCP flags; zero for others.
    pub(crate) flags: u8,
}

/// What must become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Sent with this new source.
    Source(SocketAddrV4),
    /// Sent with a source of its subscriber's that nobody holds: [`Model::learn`].
    FreshSource,
    /// Sent with this new destination.
    Destination(SocketAddrV4),
    /// Dropped for the reason of this name.
    Refused(&'static str),
}

/// The subscriber's end of some connections: what an external port is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inside {
    protocol: u8,
    end: SocketAddrV4,
}

/// A connection as the subscriber sees it, its remote as far as the filtering looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flow {
    inside: Inside,
    remote: SocketAddrV4,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    external: SocketAddrV4,
    /// Had two live remotes at once, and counts as one that does until it ends.
    shared: bool,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    life: Life,
    /// First instant at which it is over, in nanoseconds.
    over_ns: u64,
}

/// What the NAT was configured with.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Every subscriber, in the order of their numbers.
    pub(crate) subscribers: Vec<Ipv4Addr>,
    /// The lowest external address.
    pub(crate) external: Ipv4Addr,
    pub(crate) port_block: u32,
    pub(crate) connections_max: usize,
    pub(crate) shared_sessions_max: usize,
    pub(crate) subscriber_connections_max: usize,
    pub(crate) half_open_max: usize,
    pub(crate) filtering: Filtering,
    pub(crate) timers: Timers,
}

/// What a remote must have in common with one the subscriber has sent to (RFC 4787 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filtering {
    Nothing,
    Address,
    AddressAndPort,
}

impl Filtering {
    fn looks_at(self, remote: SocketAddrV4) -> SocketAddrV4 {
        match self {
            Filtering::Nothing => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            Filtering::Address => SocketAddrV4::new(*remote.ip(), 0),
            Filtering::AddressAndPort => remote,
        }
    }
}

/// All connections, those included that are over but not swept yet.
pub(crate) struct Model {
    limits: Limits,
    mappings: HashMap<Inside, Mapping>,
    flows: HashMap<Flow, Session>,
    holders: HashMap<SocketAddrV4, Inside>,
    pub(crate) opened: u64,
    pub(crate) expired: u64,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Model {
        let (mappings, flows, holders) = (HashMap::new(), HashMap::new(), HashMap::new());
        Model { limits, mappings, flows, holders, opened: 0, expired: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether nobody holds a port.
    pub(crate) fn is_unmapped(&self) -> bool {
        self.mappings.is_empty()
    }

    /// What a packet does at `now_ns`.
    pub(crate) fn receive(&mut self, packet: &Headers, now_ns: u64) -> Expected {
        if self.limits.subscribers.contains(packet.source.ip()) {
            self.outbound(packet, now_ns)
        } else {
            self.inbound(packet, now_ns)
        }
    }

    fn outbound(&mut self, packet: &Headers, now_ns: u64) -> Expected {
        let inside = Inside { protocol: packet.protocol, end: packet.source };
        let flags = Flags::of(packet.flags);
        // Only a SYN opens a TCP connection; UDP and ICMP need no permission.
        let may_open = packet.protocol != TCP || flags.is_first();
        let remote = self.limits.filtering.looks_at(packet.destination);
        let flow = Flow { inside, remote };
        let (held, half_open) = self.held_by(*packet.source.ip());
        let no_more_half_open = half_open >= self.limits.half_open_max;
        if let Some(session) = self.flows.get_mut(&flow).filter(|it| now_ns < it.over_ns) {
            let mut life = session.life;
            life.outbound(flags);
            if life.is_half_open() && !session.life.is_half_open() && no_more_half_open {
                return Expected::Refused("half_open_limit");
            }
            let over_ns = self.limits.timers.deadline_ns(&life, now_ns);
            *session = Session { life, over_ns };
            return Expected::Source(self.mappings[&inside].external);
        }
        if !may_open {
            return Expected::Refused("tcp_not_syn");
        }
        let one_more = || {
            if held >= self.limits.subscriber_connections_max {
                return Some(Expected::Refused("subscriber_quota"));
            }
            let refused = packet.protocol == TCP && no_more_half_open;
            refused.then_some(Expected::Refused("half_open_limit"))
        };
        let Some(mapping) = self.mappings.get(&inside).copied() else {
            let mine = |inside: &&Inside| inside.end.ip() == packet.source.ip();
            let ports = self.mappings.keys().filter(mine).count();
            return if let Some(refused) = one_more() {
                refused
            } else if ports >= self.limits.port_block as usize {
                Expected::Refused("ports_exhausted")
            } else if self.mappings.len() >= self.limits.connections_max {
                Expected::Refused("table_full")
            } else {
                Expected::FreshSource
            };
        };
        // The remains of a connection become the next one of the same mapping; those of a mapping
        // that has had several remotes only that of the same remote.
        let over = match mapping.shared {
            true => Some(flow).filter(|flow| self.flows.contains_key(flow)),
            false => self.flows.iter().find_map(|(flow, session)| {
                (flow.inside == inside && now_ns >= session.over_ns).then_some(*flow)
            }),
        };
        if let Some(over) = over {
            // As many as before, unless it is only now one with a handshake to come.
            let life = self.flows[&over].life;
            if packet.protocol == TCP && !life.is_half_open() && no_more_half_open {
                return Expected::Refused("half_open_limit");
            }
            self.flows.remove(&over);
            self.expired += 1;
        } else {
            if let Some(refused) = one_more() {
                return refused;
            }
            let more = if mapping.shared { 1 } else { 2 };
            if self.shared_sessions() + more > self.limits.shared_sessions_max {
                return Expected::Refused("table_full");
            }
            self.mappings.insert(inside, Mapping { shared: true, ..mapping });
        }
        self.open(flow, now_ns);
        Expected::Source(mapping.external)
    }

    /// Connections of a subscriber, and those of them whose handshake is not complete.
    pub(crate) fn held_by(&self, subscriber: Ipv4Addr) -> (usize, usize) {
        let own = || self.flows.iter().filter(|(flow, _)| *flow.inside.end.ip() == subscriber);
        (own().count(), own().filter(|(_, session)| session.life.is_half_open()).count())
    }

    fn shared_sessions(&self) -> usize {
        self.flows.keys().filter(|flow| self.mappings[&flow.inside].shared).count()
    }

    fn open(&mut self, flow: Flow, now_ns: u64) {
        let life = Life::new(flow.inside.protocol);
        let over_ns = self.limits.timers.deadline_ns(&life, now_ns);
        self.flows.insert(flow, Session { life, over_ns });
        self.opened += 1;
    }

    /// Takes note of the port a new connection got.
    ///
    /// # Panics
    /// When it is not the subscriber's to use, or is held already.
    pub(crate) fn learn(&mut self, packet: &Headers, external: SocketAddrV4, now_ns: u64) {
        let (address, ports) = self.block_of(*packet.source.ip());
        assert_eq!(*external.ip(), address, "address of {}", packet.source.ip());
        assert!(ports.contains(&u32::from(external.port())), "{external} is not in {ports:?}");
        let inside = Inside { protocol: packet.protocol, end: packet.source };
        let holder = self.holders.insert(external, inside);
        assert_eq!(holder, None, "{external} is given to {inside:?} too");
        self.mappings.insert(inside, Mapping { external, shared: false });
        let remote = self.limits.filtering.looks_at(packet.destination);
        self.open(Flow { inside, remote }, now_ns);
    }

    /// External address and ports of a subscriber: blocks follow each other from port 1024 up, as
    /// many on an address as fit whole (RFC 7422 §2).
    fn block_of(&self, subscriber: Ipv4Addr) -> (Ipv4Addr, std::ops::Range<u32>) {
        let size = self.limits.port_block;
        let starts: Vec<u32> = (0..65_536).step_by(size as usize).filter(|&p| p >= 1024).collect();
        let number = self.limits.subscribers.iter().position(|&s| s == subscriber).unwrap();
        let address = u32::from(self.limits.external) + (number / starts.len()) as u32;
        let first = starts[number % starts.len()];
        (Ipv4Addr::from(address), first..first + size)
    }

    fn inbound(&mut self, packet: &Headers, now_ns: u64) -> Expected {
        let Some(&inside) = self.holders.get(&packet.destination) else {
            return Expected::Refused("unknown_inbound");
        };
        if inside.protocol != packet.protocol {
            return Expected::Refused("unknown_inbound");
        }
        let remote = self.limits.filtering.looks_at(packet.source);
        let live = |session: &&mut Session| now_ns < session.over_ns;
        let Some(session) = self.flows.get_mut(&Flow { inside, remote }).filter(live) else {
            let others = self.mappings[&inside].shared
                || self.flows.iter().any(|(flow, it)| flow.inside == inside && now_ns < it.over_ns);
            return Expected::Refused(if others { "filtered_inbound" } else { "unknown_inbound" });
        };
        if session.life.inbound(Flags::of(packet.flags)) {
            session.over_ns = self.limits.timers.deadline_ns(&session.life, now_ns);
        }
        Expected::Destination(inside.end)
    }

    /// External end and remote of each connection that is over and still held.
    pub(crate) fn remains(&self, now_ns: u64) -> Vec<(SocketAddrV4, SocketAddrV4)> {
        let over = self.flows.iter().filter(|(_, session)| session.over_ns <= now_ns);
        over.map(|(flow, _)| (self.mappings[&flow.inside].external, flow.remote)).collect()
    }

    /// Takes note of a sweep, after which `held` says which external ends still have a connection
    /// with a remote, and `mapped` which are still somebody's.
    ///
    /// # Panics
    /// When the sweep has ended a connection that is not over, or a mapping that has one.
    pub(crate) fn swept(
        &mut self,
        now_ns: u64,
        held: impl Fn(SocketAddrV4, SocketAddrV4) -> bool,
        mapped: impl Fn(SocketAddrV4) -> bool,
    ) {
        let Model { mappings, flows, holders, expired, .. } = self;
        flows.retain(|flow, session| {
            let kept = held(mappings[&flow.inside].external, flow.remote);
            if !kept {
                assert!(session.over_ns <= now_ns, "{flow:?} was ended early: {session:?}");
                *expired += 1;
            }
            kept
        });
        mappings.retain(|inside, mapping| {
            let kept = mapped(mapping.external);
            let used = flows.keys().any(|flow| flow.inside == *inside);
            assert!(kept || !used, "{inside:?} has lost its port and has connections");
            assert!(kept || holders.remove(&mapping.external).is_some());
            assert!(!kept || used || mapping.shared, "{inside:?} holds its port for nothing");
            kept
        });
    }
}
