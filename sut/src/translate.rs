//! Rewriting a packet in place: addresses, ports, time to live, and every checksum that covers them.
//!
//! Checksums are updated, never recomputed (RFC 1624): a packet that arrived damaged leaves damaged,
//! and the payload is not read. `pipeline` calls this for packets whose connection it has found.

use dataplane::identity::Identity;
use dataplane::wire::checksum::Delta;
use dataplane::wire::ethernet::Ethernet;
use dataplane::wire::icmp::Icmp;
use dataplane::wire::ipv4::Ipv4;
use dataplane::wire::tcp::Tcp;
use dataplane::wire::udp::Udp;
use dataplane::wire::{Datagram, Transport};
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The sender's: outbound.
    Source,
    /// The receiver's: inbound.
    Destination,
}

/// Gives one end of `frame` another address and port (of ICMP echo: identifier) and lets a router's
/// worth of time to live pass. `datagram` is what parsing the same bytes has yielded, with a
/// transport of UDP, TCP or ICMP and a time to live above zero.
#[inline]
pub fn rewrite(frame: &mut [u8], datagram: &Datagram, end: End, address: Ipv4Addr, port: u16) {
    let (network, transport) = frame.split_at_mut(datagram.transport_at);
    let Ok((ip, _)) = Ipv4::mut_from_prefix(&mut network[14..]) else { return };
    let field = if end == End::Source { &mut ip.source } else { &mut ip.destination };
    let moved = Delta::new().replace_u32(field.get(), u32::from(address));
    field.set(u32::from(address));
    // The time to live shares its 16-bit word with the protocol, which stays.
    let lived = moved.replace_u16(u16::from(ip.ttl) << 8, u16::from(ip.ttl - 1) << 8);
    ip.ttl -= 1;
    ip.checksum.set(lived.apply(ip.checksum.get()));
    match datagram.transport {
        Transport::Udp { .. } => {
            let Ok((udp, _)) = Udp::mut_from_prefix(transport) else { return };
            let field = if end == End::Source { &mut udp.source } else { &mut udp.destination };
            let delta = moved.replace_u16(field.get(), port);
            field.set(port);
            udp.checksum.set(delta.apply_udp(udp.checksum.get()));
        }
        Transport::Tcp { .. } => {
            let Ok((tcp, _)) = Tcp::mut_from_prefix(transport) else { return };
            let field = if end == End::Source { &mut tcp.source } else { &mut tcp.destination };
            let delta = moved.replace_u16(field.get(), port);
            field.set(port);
            tcp.checksum.set(delta.apply(tcp.checksum.get()));
        }
        Transport::Icmp { .. } => {
            let Ok((icmp, _)) = Icmp::mut_from_prefix(transport) else { return };
            // ICMP for IPv4 has no pseudo-header: the address does not count.
            let delta = Delta::new().replace_u16(icmp.id.get(), port);
            icmp.id.set(port);
            icmp.checksum.set(delta.apply(icmp.checksum.get()));
        }
        Transport::Fragment | Transport::Other => {}
    }
}

/// Addresses the frame to the core's router.
#[inline]
pub fn to_gateway(frame: &mut [u8], identity: &Identity) {
    if let Ok((ethernet, _)) = Ethernet::mut_from_prefix(frame) {
        ethernet.destination = identity.gateway.0;
        ethernet.source = identity.mac.0;
    }
}
