//! Rewriting a packet in place: addresses, ports, time to live, and every checksum that covers them.
//!
//! Checksums are updated, never recomputed (RFC 1624): a packet that arrived damaged leaves damaged,
//! and the payload is not read. `pipeline` calls this for packets whose connection it has found.

pub(crate) mod icmp;

use dataplane::frame::{Frame, HEAD};
use dataplane::identity::Identity;
use dataplane::wire::TRANSPORT_AT;
use dataplane::wire::checksum::Delta;
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
pub(crate) fn rewrite<F: Frame>(
    frame: &mut F,
    transport_at: u16,
    protocol: u8,
    end: End,
    old: Outer,
    new: Outer,
) {
    if usize::from(transport_at) == TRANSPORT_AT && protocol != ipv4::ICMP {
        rewrite_plain(frame.head_mut(), protocol == ipv4::UDP, end, old, new);
    } else {
        rewrite_other(frame.bytes_mut(), transport_at, protocol, end, old, new);
    }
}

/// UDP or TCP behind an IPv4 header without options: all offsets are known.
#[inline]
fn rewrite_plain(head: &mut [u8; HEAD], udp: bool, end: End, old: Outer, new: Outer) {
    let u16_at = |head: &[u8; HEAD], at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (address_at, port_at) = if end == End::Source { (26, 34) } else { (30, 36) };
    head[address_at..address_at + 4].copy_from_slice(&new.address.to_be_bytes());
    head[port_at..port_at + 2].copy_from_slice(&new.port.to_be_bytes());
    let moved = Delta::new().replace_u32(old.address, new.address);
    // The time to live is the upper byte of its word, so one less of it is 0x0100 less of the sum.
    let lived = moved.replace_u16(0x0100, 0);
    head[22] -= 1;
    let check = lived.apply(u16_at(head, 24));
    head[24..26].copy_from_slice(&check.to_be_bytes());
    let delta = moved.replace_u16(old.port, new.port);
    let check_at = if udp { 40 } else { 50 };
    let check = u16_at(head, check_at);
    let check = if udp { delta.apply_udp(check) } else { delta.apply(check) };
    head[check_at..check_at + 2].copy_from_slice(&check.to_be_bytes());
}

/// Options, ICMP: offsets come from the packet.
#[cold]
fn rewrite_other(
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
pub(crate) fn to_gateway(head: &mut [u8; HEAD], identity: &Identity) {
    head[..6].copy_from_slice(&identity.gateway.0);
    head[6..12].copy_from_slice(&identity.mac.0);
}
