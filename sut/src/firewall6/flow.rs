//! What a packet says of its connection: both directions yield the same flow.

use crate::conntrack::{Direction, Segment};
use dataplane::wire::ipv4::UDP;
use dataplane::wire::ipv6::{AUTHENTICATION, Chain, ESP, HIP};
use dataplane::wire::{Transport6, icmp6};
use std::net::Ipv6Addr;

/// The port of key exchange (RFC 7296 §2).
const IKE: u16 = 500;

/// Sender and receiver of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) source: u128,
    pub(super) destination: u128,
}

impl Ends {
    #[inline]
    pub(super) fn new(source: Ipv6Addr, destination: Ipv6Addr) -> Ends {
        Ends { source: source.into(), destination: destination.into() }
    }
}

/// A connection, as seen from inside. Echo has its identifier in place of the inside port; where
/// there are no ports, both are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) inside: u128,
    pub(super) outside: u128,
    pub(super) inside_port: u16,
    pub(super) outside_port: u16,
    pub(super) protocol: u8,
}

impl Flow {
    /// The flow of a packet in `direction`, and what matters of it to the state; `None` for ICMP
    /// that belongs to no flow.
    ///
    /// What is authenticated is told by its addresses alone, like ESP (RFC 6092 REC-25).
    #[inline]
    pub(super) fn of(
        ends: Ends,
        chain: &Chain,
        transport: Transport6,
        direction: Direction,
    ) -> Option<(Flow, Segment)> {
        let outbound = direction == Direction::Outbound;
        let (protocol, ports, segment) = match transport {
            _ if chain.authenticated => (AUTHENTICATION, (0, 0), Segment::Plain),
            Transport6::Udp { source, destination } => {
                (chain.protocol, (source, destination), Segment::Plain)
            }
            Transport6::Tcp { source, destination, flags } => {
                (chain.protocol, (source, destination), Segment::of_flags(flags))
            }
            Transport6::Icmp { kind: icmp6::ECHO_REQUEST, id, .. } if outbound => {
                (chain.protocol, (id, 0), Segment::Plain)
            }
            Transport6::Icmp { kind: icmp6::ECHO_REPLY, id, .. } if !outbound => {
                (chain.protocol, (0, id), Segment::Plain)
            }
            Transport6::Icmp { .. } => return None,
            Transport6::Later | Transport6::Other => (chain.protocol, (0, 0), Segment::Plain),
        };
        let Ends { source, destination } = ends;
        let flow = if outbound {
            Flow {
                inside: source,
                outside: destination,
                inside_port: ports.0,
                outside_port: ports.1,
                protocol,
            }
        } else {
            Flow {
                inside: destination,
                outside: source,
                inside_port: ports.1,
                outside_port: ports.0,
                protocol,
            }
        };
        Some((flow, segment))
    }

    /// For the hash.
    #[inline]
    pub(super) fn words(&self) -> [u64; 5] {
        let ports = u64::from(self.inside_port) << 24
            | u64::from(self.outside_port) << 8
            | u64::from(self.protocol);
        let (inside, outside) = (self.inside, self.outside);
        [(inside >> 64) as u64, inside as u64, (outside >> 64) as u64, outside as u64, ports]
    }

    /// Whether anybody may send this to the inside: AH, ESP and HIP (RFC 6092 REC-21, 22 and 26),
    /// and key exchange (REC-24).
    #[inline]
    pub(super) fn is_admitted_unasked(&self) -> bool {
        matches!(self.protocol, AUTHENTICATION | ESP | HIP)
            || (self.protocol == UDP && self.inside_port == IKE)
    }
}
