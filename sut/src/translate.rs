//! Rewriting a packet in place: addresses, ports, time to live, and every checksum that covers them.
//!
//! Checksums are updated, never recomputed (RFC 1624): a packet that arrived damaged leaves damaged,
//! and the payload is not read. `pipeline` calls this for packets whose connection it has found.

pub(crate) mod fragment;
pub(crate) mod icmp;

use dataplane::frame::HEAD;
use dataplane::identity::Identity;
use dataplane::wire::checksum::Delta;
use dataplane::wire::icmp::Icmp;
use dataplane::wire::ipv4::{self, Ipv4};
use dataplane::wire::tcp::Tcp;
use dataplane::wire::udp::Udp;
use dataplane::wire::{Endpoint, Plain};
use zerocopy::FromBytes;

/// Which end of a packet is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The sender's: outbound.
    Source,
    /// The receiver's: inbound.
    Destination,
}

/// Where a core sends everything: its router's station and its own, as a frame begins.
#[derive(Clone, Copy)]
pub(crate) struct NextHop([u8; 12]);

impl NextHop {
    pub(crate) fn of(identity: &Identity) -> NextHop {
        let mut stations = [0; 12];
        stations[..6].copy_from_slice(&identity.gateway.0);
        stations[6..].copy_from_slice(&identity.mac.0);
        NextHop(stations)
    }

    /// Addresses a frame to the core's router.
    #[inline]
    pub(crate) fn address(&self, frame: &mut [u8]) {
        frame[..12].copy_from_slice(&self.0);
    }
}

/// Gives one end of a plain packet, whose fields are `packet`, the endpoint `new`, and lets a
/// router's worth of time to live pass. All offsets are known, and sums are taken in the machine's
/// byte order, in which nothing needs to be swapped (RFC 1071 §2).
#[inline]
pub(crate) fn plain(head: &mut [u8; HEAD], packet: &Plain, end: End, new: Endpoint) {
    let (old, address_at, port_at) = match end {
        End::Source => (packet.source, 26, 34),
        End::Destination => (packet.destination, 30, 36),
    };
    head[address_at..address_at + 4].copy_from_slice(&new.address_bytes());
    head[port_at..port_at + 2].copy_from_slice(&new.port_bytes());
    // The time to live is the first byte of its word.
    head[22] = packet.ttl.wrapping_sub(1);
    let lived = Delta::new().replace_u16(u16::from_ne_bytes([1, 0]), 0);
    let moved = lived.replace_u32(old.bits() as u32, new.bits() as u32);
    let check = moved.apply(u16::from_ne_bytes([head[24], head[25]]));
    head[24..26].copy_from_slice(&check.to_ne_bytes());
    let delta = Delta::new().replace_endpoint(old, new);
    let udp = packet.protocol == ipv4::UDP;
    let at = if udp { 40 } else { 50 };
    let check = u16::from_ne_bytes([head[at], head[at + 1]]);
    let check = delta.apply_either(check, udp);
    head[at..at + 2].copy_from_slice(&check.to_ne_bytes());
}

/// Gives one end of `frame`, which is `old`, the endpoint `new`, and lets a router's worth of time
/// to live pass: for any packet whose transport header starts at `transport_at` and is whole, and
/// whose time to live is above zero. Protocols without ports keep everything but the address.
#[cold]
pub(crate) fn any(
    frame: &mut [u8],
    transport_at: usize,
    protocol: u8,
    end: End,
    old: Endpoint,
    new: Endpoint,
) {
    let (network, transport) = frame.split_at_mut(transport_at);
    let Ok((ip, _)) = Ipv4::mut_from_prefix(&mut network[14..]) else { return };
    match end {
        End::Source => ip.source.set(new.address()),
        End::Destination => ip.destination.set(new.address()),
    }
    let moved = Delta::new().replace_u32(old.address(), new.address());
    // The time to live shares its 16-bit word with the protocol, which stays.
    let lived = moved.replace_u16(u16::from(ip.ttl) << 8, u16::from(ip.ttl - 1) << 8);
    ip.ttl -= 1;
    ip.checksum.set(lived.apply(ip.checksum.get()));
    let delta = moved.replace_u16(old.port(), new.port());
    match protocol {
        ipv4::UDP => {
            let Ok((udp, _)) = Udp::mut_from_prefix(transport) else { return };
            match end {
                End::Source => udp.source.set(new.port()),
                End::Destination => udp.destination.set(new.port()),
            }
            udp.checksum.set(delta.apply_udp(udp.checksum.get()));
        }
        ipv4::TCP => {
            let Ok((tcp, _)) = Tcp::mut_from_prefix(transport) else { return };
            match end {
                End::Source => tcp.source.set(new.port()),
                End::Destination => tcp.destination.set(new.port()),
            }
            tcp.checksum.set(delta.apply(tcp.checksum.get()));
        }
        ipv4::ICMP => {
            let Ok((icmp, _)) = Icmp::mut_from_prefix(transport) else { return };
            // ICMP for IPv4 has no pseudo-header: the address does not count.
            let delta = Delta::new().replace_u16(old.port(), new.port());
            icmp.id.set(new.port());
            icmp.checksum.set(delta.apply(icmp.checksum.get()));
        }
        _ => {}
    }
}
