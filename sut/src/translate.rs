//! Rewriting a packet in place: addresses, ports, time to live, and every checksum that covers them.
//!
//! Checksums are updated, never recomputed (RFC 1624): a packet that arrived damaged leaves damaged,
//! and the payload is not read. `pipeline` calls this for packets whose connection it has found.

use dataplane::identity::Identity;
use dataplane::wire::checksum::Delta;
use dataplane::wire::ethernet::Ethernet;
use dataplane::wire::icmp::Icmp;
use dataplane::wire::ipv4::{self, Ipv4};
use dataplane::wire::tcp::Tcp;
use dataplane::wire::udp::Udp;
use zerocopy::FromBytes;

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The sender's: outbound.
    Source,
    /// The receiver's: inbound.
    Destination,
}

/// An address and a port (of ICMP echo: identifier).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outer {
    /// IPv4 address.
    pub address: u32,
    /// Port or identifier.
    pub port: u16,
}

/// Gives one end of `frame`, which is `old`, the address and port `new`, and lets a router's worth
/// of time to live pass. The transport header starts at `transport_at` and is whole; the time to
/// live is above zero. Protocols without ports keep everything but the address.
#[inline]
pub(crate) fn rewrite(
    frame: &mut [u8],
    transport_at: u16,
    protocol: u8,
    end: End,
    old: Outer,
    new: Outer,
) {
    let (network, transport) = frame.split_at_mut(usize::from(transport_at));
    let Ok((ip, _)) = Ipv4::mut_from_prefix(&mut network[14..]) else { return };
    match end {
        End::Source => ip.source.set(new.address),
        End::Destination => ip.destination.set(new.address),
    }
    let moved = Delta::new().replace_u32(old.address, new.address);
    // The time to live shares its 16-bit word with the protocol, which stays.
    let lived = moved.replace_u16(u16::from(ip.ttl) << 8, u16::from(ip.ttl - 1) << 8);
    ip.ttl -= 1;
    ip.checksum.set(lived.apply(ip.checksum.get()));
    let delta = moved.replace_u16(old.port, new.port);
    match protocol {
        ipv4::UDP => {
            let Ok((udp, _)) = Udp::mut_from_prefix(transport) else { return };
            match end {
                End::Source => udp.source.set(new.port),
                End::Destination => udp.destination.set(new.port),
            }
            udp.checksum.set(delta.apply_udp(udp.checksum.get()));
        }
        ipv4::TCP => {
            let Ok((tcp, _)) = Tcp::mut_from_prefix(transport) else { return };
            match end {
                End::Source => tcp.source.set(new.port),
                End::Destination => tcp.destination.set(new.port),
            }
            tcp.checksum.set(delta.apply(tcp.checksum.get()));
        }
        ipv4::ICMP => {
            let Ok((icmp, _)) = Icmp::mut_from_prefix(transport) else { return };
            // ICMP for IPv4 has no pseudo-header: the address does not count.
            let delta = Delta::new().replace_u16(old.port, new.port);
            icmp.id.set(new.port);
            icmp.checksum.set(delta.apply(icmp.checksum.get()));
        }
        _ => {}
    }
}

/// Addresses the frame to the core's router.
#[inline]
pub(crate) fn to_gateway(frame: &mut [u8], identity: &Identity) {
    if let Ok((ethernet, _)) = Ethernet::mut_from_prefix(frame) {
        ethernet.destination = identity.gateway.0;
        ethernet.source = identity.mac.0;
    }
}
