//! ICMP Time Exceeded about packets whose hop limit ends at this core (RFC 8200 §3; RFC 4443 §3.3):
//! what [`crate::exceeded`] is for IPv4. It quotes as much as the least MTU has room for (§2.4c).
//!
//! The firewall has looked at the addresses before: neither end is a group or nobody (§2.4e.3, e.6).
//! Nothing is said about errors and redirects (e.1, e.2), nor about a later fragment, which may be
//! of one, nor about what was sent to several stations (e.4, e.5).

use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::wire::ethernet::HEADER_LEN;
use dataplane::wire::icmp6::{self, Icmp6};
use dataplane::wire::ipv6::{self, ICMPV6, Ipv6};
use dataplane::wire::{Datagram6, Transport6};
use std::net::Ipv6Addr;
use zerocopy::FromBytes;

/// Most bytes of an error: the least MTU of a link (RFC 8200 §5).
const ERROR_MAX: usize = 1280;
const MESSAGE_AT: usize = HEADER_LEN + ipv6::HEADER_LEN;
const QUOTE_AT: usize = MESSAGE_AT + icmp6::HEADER_LEN;

/// Whether Time Exceeded may be sent about a datagram between two hosts (RFC 4443 §2.4e).
pub(super) fn may_be_told(frame: &[u8], datagram: &Datagram6) -> bool {
    let silent = match datagram.transport {
        Transport6::Icmp { kind, .. } => icmp6::tells_of_error(kind) || kind == icmp6::REDIRECT,
        Transport6::Later => true,
        _ => false,
    };
    !silent && frame[0] & 1 == 0
}

/// Turns a frame into Time Exceeded about the datagram it brought, from `own` to its sender.
pub(super) fn tell<F: Frame>(frame: &mut F, datagram: &Datagram6, own: Ipv6Addr, me: &Identity) {
    let quoted = (datagram.end - HEADER_LEN).min(ERROR_MAX - (QUOTE_AT - HEADER_LEN));
    frame.set_len(QUOTE_AT + quoted);
    let bytes = frame.bytes_mut();
    bytes.copy_within(HEADER_LEN..HEADER_LEN + quoted, QUOTE_AT);
    bytes[..6].copy_from_slice(&me.gateway.0);
    bytes[6..12].copy_from_slice(&me.mac.0);
    let (network, message) = bytes.split_at_mut(MESSAGE_AT);
    let Ok((ip, _)) = Ipv6::mut_from_prefix(&mut network[HEADER_LEN..]) else { return };
    let Ok((error, _)) = Icmp6::mut_from_prefix(message) else { return };
    // Code 0: in transit.
    let kind = icmp6::TIME_EXCEEDED;
    *error = Icmp6 { kind, code: 0, checksum: 0.into(), id: 0.into(), sequence: 0.into() };
    *ip = Ipv6 {
        version_class_flow: (6 << 28).into(),
        payload_len: (message.len() as u16).into(),
        next_header: ICMPV6,
        hop_limit: super::local::HOP_LIMIT,
        source: own.octets(),
        destination: datagram.source.octets(),
    };
    let check = icmp6::checksum(&ip.source, &ip.destination, message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
}
