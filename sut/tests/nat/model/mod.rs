//! What a NAT44 with address and port-dependent mapping and filtering must do, in ordinary maps.
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

/// A connection as the subscriber sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Flow {
    protocol: u8,
    inside: SocketAddrV4,
    remote: SocketAddrV4,
}

#[derive(Clone, Copy, Debug)]
struct Mapping {
    external: SocketAddrV4,
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
    pub(crate) timers: Timers,
}

/// All connections, those included that are over but not swept yet.
pub(crate) struct Model {
    limits: Limits,
    flows: HashMap<Flow, Mapping>,
    holders: HashMap<SocketAddrV4, Flow>,
    pub(crate) opened: u64,
    pub(crate) expired: u64,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Model {
        let (flows, holders) = (HashMap::new(), HashMap::new());
        Model { limits, flows, holders, opened: 0, expired: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
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
        let flow =
            Flow { protocol: packet.protocol, inside: packet.source, remote: packet.destination };
        let flags = Flags::of(packet.flags);
        // Only a SYN opens a TCP connection; UDP and ICMP need no permission.
        let may_open = packet.protocol != TCP || flags.is_first();
        if let Some(mapping) = self.flows.get_mut(&flow) {
            if now_ns < mapping.over_ns {
                mapping.life.outbound(flags);
                mapping.over_ns = self.limits.timers.deadline_ns(&mapping.life, now_ns);
                return Expected::Source(mapping.external);
            }
            if !may_open {
                return Expected::Refused("tcp_not_syn");
            }
            // The remains of a connection become the next one of the same name, port and all.
            mapping.life = Life::new(packet.protocol);
            mapping.over_ns = self.limits.timers.deadline_ns(&mapping.life, now_ns);
            self.opened += 1;
            self.expired += 1;
            return Expected::Source(mapping.external);
        }
        let held = self.flows.keys().filter(|flow| flow.inside.ip() == packet.source.ip()).count();
        if !may_open {
            Expected::Refused("tcp_not_syn")
        } else if held >= self.limits.port_block as usize {
            Expected::Refused("ports_exhausted")
        } else if self.flows.len() >= self.limits.connections_max {
            Expected::Refused("table_full")
        } else {
            Expected::FreshSource
        }
    }

    /// Takes note of the port a new connection got.
    ///
    /// # Panics
    /// When it is not the subscriber's to use, or is held already.
    pub(crate) fn learn(&mut self, packet: &Headers, external: SocketAddrV4, now_ns: u64) {
        let (address, ports) = self.block_of(*packet.source.ip());
        assert_eq!(*external.ip(), address, "address of {}", packet.source.ip());
        assert!(ports.contains(&u32::from(external.port())), "{external} is not in {ports:?}");
        let (protocol, inside, remote) = (packet.protocol, packet.source, packet.destination);
        let flow = Flow { protocol, inside, remote };
        let holder = self.holders.insert(external, flow);
        assert_eq!(holder, None, "{external} is given to {flow:?} too");
        let life = Life::new(protocol);
        let over_ns = self.limits.timers.deadline_ns(&life, now_ns);
        self.flows.insert(flow, Mapping { external, life, over_ns });
        self.opened += 1;
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
        let Some(flow) = self.holders.get(&packet.destination) else {
            return Expected::Refused("unknown_inbound");
        };
        let mapping = self.flows.get_mut(flow).expect("each holder has a flow");
        if flow.protocol != packet.protocol || now_ns >= mapping.over_ns {
            return Expected::Refused("unknown_inbound");
        }
        // Address and port-dependent filtering, RFC 4787 §5.
        if flow.remote != packet.source {
            return Expected::Refused("filtered_inbound");
        }
        if mapping.life.inbound(Flags::of(packet.flags)) {
            mapping.over_ns = self.limits.timers.deadline_ns(&mapping.life, now_ns);
        }
        Expected::Destination(flow.inside)
    }

    /// External ends of the connections that are over and still held.
    pub(crate) fn remains(&self, now_ns: u64) -> Vec<SocketAddrV4> {
        let over = self.flows.values().filter(|mapping| mapping.over_ns <= now_ns);
        over.map(|mapping| mapping.external).collect()
    }

    /// Takes note of a sweep, after which `held` says which external ends are still in use.
    ///
    /// # Panics
    /// When the sweep has ended a connection that is not over.
    pub(crate) fn swept(&mut self, now_ns: u64, held: impl Fn(SocketAddrV4) -> bool) {
        let Model { flows, holders, expired, .. } = self;
        flows.retain(|flow, mapping| {
            let kept = held(mapping.external);
            if !kept {
                assert!(mapping.over_ns <= now_ns, "{flow:?} was ended early: {mapping:?}");
                holders.remove(&mapping.external);
                *expired += 1;
            }
            kept
        });
    }
}
