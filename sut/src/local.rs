//! Packets for the core itself: as a router it answers ARP (RFC 826) and ICMP echo (RFC 792) for its
//! own address, in place, and nothing else. What it says about packets for others is in
//! [`crate::exceeded`].

use dataplane::identity::Identity;
use dataplane::wire::arp::{self, Arp};
use dataplane::wire::checksum::Delta;
use dataplane::wire::ethernet::{Ethernet, HEADER_LEN};
use dataplane::wire::icmp::{self, Icmp};
use dataplane::wire::ipv4::Ipv4;
use dataplane::wire::{Datagram, Transport};
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// Time to live of what the core sends itself (RFC 1700).
pub(crate) const TTL: u8 = 64;

/// Turns an ARP request for the core's address into its reply; `false` if it is none.
pub(crate) fn answer_arp(
    frame: &mut [u8],
    operation: u16,
    target: Ipv4Addr,
    me: &Identity,
) -> bool {
    if operation != arp::REQUEST || target != me.ip {
        return false;
    }
    let Ok((ethernet, rest)) = Ethernet::mut_from_prefix(frame) else { return false };
    let Ok((arp, _)) = Arp::mut_from_prefix(rest) else { return false };
    arp.operation.set(arp::REPLY);
    (arp.target_station, arp.target) = (arp.sender_station, arp.sender);
    (arp.sender_station, arp.sender) = (me.mac.0, u32::from(me.ip).into());
    (ethernet.destination, ethernet.source) = (arp.target_station, me.mac.0);
    true
}

/// Turns an ICMP echo request to the core's address into its reply; `false` if it is none.
pub(crate) fn answer_echo(frame: &mut [u8], datagram: &Datagram, me: &Identity) -> bool {
    if !matches!(datagram.transport, Transport::Icmp { kind: icmp::ECHO_REQUEST, code: 0, .. }) {
        return false;
    }
    let Ok((ethernet, rest)) = Ethernet::mut_from_prefix(frame) else { return false };
    (ethernet.destination, ethernet.source) = (ethernet.source, me.mac.0);
    let (network, message) = rest.split_at_mut(datagram.transport_at - HEADER_LEN);
    let Ok((ip, _)) = Ipv4::mut_from_prefix(network) else { return false };
    let Ok((icmp, _)) = Icmp::mut_from_prefix(message) else { return false };
    // Swapping the addresses does not change a sum.
    (ip.source, ip.destination) = (ip.destination, ip.source);
    let aged = Delta::new().replace_u16(u16::from(ip.ttl) << 8, u16::from(TTL) << 8);
    ip.ttl = TTL;
    ip.checksum.set(aged.apply(ip.checksum.get()));
    icmp.kind = icmp::ECHO_REPLY;
    let turned = Delta::new().replace_u16(u16::from(icmp::ECHO_REQUEST) << 8, 0);
    icmp.checksum.set(turned.apply(icmp.checksum.get()));
    true
}
