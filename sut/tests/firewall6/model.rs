//! What a firewall with address and port-dependent filtering must do, in ordinary maps.
//!
//! Written from RFC 6092 and from the promises in the firewall's documentation; of the system under
//! test it shares nothing. Lives and timers are those of the NAT's model.

#[path = "../nat/model/life.rs"]
mod life;

pub(crate) use life::Timers;

use life::{Flags, Life};
use std::collections::HashMap;
use std::net::SocketAddrV6;

/// Protocol numbers; [`life`] knows ICMP by its own.
const ICMP: u8 = crate::rig::ICMPV6;
const TCP: u8 = crate::rig::TCP;
const UDP: u8 = crate::rig::UDP;
const ESP: u8 = crate::rig::ESP;

/// A connection as seen from inside. Echo has its identifier on the inside and port zero outside,
/// ESP and the like have neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow {
    pub(crate) protocol: u8,
    pub(crate) inside: SocketAddrV6,
    pub(crate) outside: SocketAddrV6,
}

impl Flow {
    fn life(&self) -> Life {
        // What is neither TCP nor ICMP lives like UDP.
        Life::new(if [TCP, ICMP].contains(&self.protocol) { self.protocol } else { UDP })
    }

    fn is_ipsec(&self) -> bool {
        self.protocol == ESP || (self.protocol == UDP && self.inside.port() == 500)
    }
}

struct Connection {
    life: Life,
    /// First instant at which it is over, in nanoseconds.
    over_ns: u64,
}

/// All connections, those included that are over but not swept yet.
pub(crate) struct Model {
    timers: Timers,
    connections_max: usize,
    flows: HashMap<Flow, Connection>,
    pub(crate) opened: u64,
    pub(crate) expired: u64,
}

impl Model {
    pub(crate) fn new(timers: Timers, connections_max: usize) -> Model {
        Model { timers, connections_max, flows: HashMap::new(), opened: 0, expired: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(crate) fn outbound(&mut self, flow: Flow, flags: u8, now_ns: u64) -> &'static str {
        let flags = Flags::of(flags);
        if let Some(connection) = self.flows.get_mut(&flow).filter(|c| now_ns < c.over_ns) {
            connection.life.outbound(flags);
            connection.over_ns = self.timers.deadline_ns(&connection.life, now_ns);
            return "forwarded";
        }
        if flow.protocol == TCP && !flags.is_first() {
            return "tcp_not_syn";
        }
        let remains = self.flows.contains_key(&flow);
        if !remains && self.flows.len() >= self.connections_max {
            return if flow.is_ipsec() { "forwarded" } else { "table_full" };
        }
        let life = flow.life();
        let over_ns = self.timers.deadline_ns(&life, now_ns);
        self.flows.insert(flow, Connection { life, over_ns });
        self.opened += 1;
        self.expired += u64::from(remains);
        "forwarded"
    }

    pub(crate) fn inbound(&mut self, flow: Flow, flags: u8, now_ns: u64) -> &'static str {
        match self.flows.get_mut(&flow).filter(|connection| now_ns < connection.over_ns) {
            Some(connection) => {
                if connection.life.inbound(Flags::of(flags)) {
                    connection.over_ns = self.timers.deadline_ns(&connection.life, now_ns);
                }
                "forwarded"
            }
            None if flow.is_ipsec() => "forwarded",
            None => "unknown_inbound",
        }
    }

    /// An ICMP error that comes from outside about what the inside sent, or the other way round.
    pub(crate) fn error(&self, flow: Flow, from_outside: bool, now_ns: u64) -> &'static str {
        let live = self.flows.get(&flow).is_some_and(|connection| now_ns < connection.over_ns);
        match live || (!from_outside && flow.is_ipsec()) {
            true => "forwarded",
            false => "unknown_error",
        }
    }

    /// Everything that is over goes.
    pub(crate) fn sweep(&mut self, now_ns: u64) {
        let before = self.flows.len();
        self.flows.retain(|_, connection| now_ns < connection.over_ns);
        self.expired += (before - self.flows.len()) as u64;
    }
}
