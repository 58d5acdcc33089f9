//! Packets for the core itself: as a router it answers neighbour solicitations (RFC 4861 §7.2) and
//! echo requests (RFC 4443 §4) for its own address, in place, and nothing else.
//!
//! It asks nobody: the station of its gateway is configured, that of a neighbour is taken from the
//! frame that is answered.

use dataplane::frame::Frame;
use dataplane::identity::{Identity, Mac};
use dataplane::wire::checksum::Delta;
use dataplane::wire::ethernet::{self, Ethernet};
use dataplane::wire::icmp6::{self, Icmp6, NEIGHBOUR_LEN};
use dataplane::wire::ipv6::{self, ICMPV6, Ipv6};
use dataplane::wire::{Datagram6, Transport6};
use std::net::Ipv6Addr;
use zerocopy::FromBytes;

/// Hop limit of what the core sends itself beyond its link (RFC 1700).
pub(super) const HOP_LIMIT: u8 = 64;
/// Hop limit of neighbour discovery: nobody has forwarded it (RFC 4861 §7.1).
const UNFORWARDED: u8 = 255;
/// Option: link-layer address of the sender (RFC 4861 §4.6.1).
const SOURCE_STATION: u8 = 1;
/// Option: link-layer address of the target.
const TARGET_STATION: u8 = 2;
/// Flags of an advertisement (RFC 4861 §4.4): from a router, asked for, final.
const ROUTER: u8 = 0x80;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// Bytes of an advertisement with the option that says where the target is.
const ADVERTISEMENT_LEN: usize = NEIGHBOUR_LEN + 8;

/// Every node of the link, and its station (RFC 2464 §7).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_STATIONS: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

/// Turns a neighbour solicitation for the core's address into its advertisement; `false` if it is
/// none, or not a valid one (RFC 4861 §7.1.1).
pub(super) fn answer_neighbour<F: Frame>(
    frame: &mut F,
    datagram: &Datagram6,
    own: Ipv6Addr,
    me: &Identity,
) -> bool {
    let asked = matches!(
        datagram.transport,
        Transport6::Icmp { kind: icmp6::NEIGHBOUR_SOLICITATION, code: 0, .. }
    );
    let unforwarded = datagram.hop_limit == UNFORWARDED && datagram.chain.len == 0;
    if !asked || !unforwarded || !is_valid(frame.bytes(), datagram, own) {
        return false;
    }
    let unnamed = datagram.source.is_unspecified();
    let Ok((ethernet, _)) = Ethernet::ref_from_prefix(frame.bytes()) else { return false };
    let station = if unnamed { ALL_STATIONS } else { Mac(ethernet.source) };
    let to = if unnamed { ALL_NODES } else { datagram.source };
    let flags = if unnamed { ROUTER | OVERRIDE } else { ROUTER | OVERRIDE | SOLICITED };
    frame.set_len(ethernet::HEADER_LEN + ipv6::HEADER_LEN + ADVERTISEMENT_LEN);
    advertise(frame.bytes_mut(), own, me.mac, to, station, flags);
    true
}

fn is_valid(frame: &[u8], datagram: &Datagram6, own: Ipv6Addr) -> bool {
    let message = &frame[datagram.transport_at..datagram.end];
    let (source, destination) = (datagram.source.octets(), datagram.destination.octets());
    let Some((fixed, mut options)) = message.split_at_checked(NEIGHBOUR_LEN) else { return false };
    if fixed[8..] != own.octets() || icmp6::checksum(&source, &destination, message) != 0 {
        return false;
    }
    let mut names_station = false;
    while let [kind, words, ..] = *options {
        let Some((_, rest)) = options.split_at_checked(8 * usize::from(words)) else {
            return false;
        };
        if words == 0 {
            return false;
        }
        names_station |= kind == SOURCE_STATION;
        options = rest;
    }
    let to_group = datagram.destination == solicited_node(own);
    match datagram.source.is_unspecified() {
        true => options.is_empty() && to_group && !names_station,
        false => options.is_empty() && (to_group || datagram.destination == own),
    }
}

/// The group that whoever has `address` listens to (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const GROUP: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from(GROUP | u128::from(address) & 0xff_ffff)
}

fn advertise(frame: &mut [u8], own: Ipv6Addr, mac: Mac, to: Ipv6Addr, station: Mac, flags: u8) {
    let Ok((ethernet, rest)) = Ethernet::mut_from_prefix(frame) else { return };
    let Ok((ip, message)) = Ipv6::mut_from_prefix(rest) else { return };
    (ethernet.destination, ethernet.source) = (station.0, mac.0);
    ip.version_class_flow.set(6 << 28);
    ip.payload_len.set(ADVERTISEMENT_LEN as u16);
    (ip.next_header, ip.hop_limit) = (ICMPV6, UNFORWARDED);
    (ip.source, ip.destination) = (own.octets(), to.octets());
    message[..8].copy_from_slice(&[icmp6::NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0]);
    message[8..24].copy_from_slice(&own.octets());
    message[24..26].copy_from_slice(&[TARGET_STATION, 1]);
    message[26..32].copy_from_slice(&mac.0);
    let check = icmp6::checksum(&ip.source, &ip.destination, message);
    message[2..4].copy_from_slice(&check.to_be_bytes());
}

/// Turns an echo request to the core's address into its reply; `false` if it is none.
pub(super) fn answer_echo<F: Frame>(frame: &mut F, datagram: &Datagram6, me: &Identity) -> bool {
    let request =
        matches!(datagram.transport, Transport6::Icmp { kind: icmp6::ECHO_REQUEST, code: 0, .. });
    // A group or nobody cannot be answered (RFC 4443 §4.2).
    let source = datagram.source;
    if !request || datagram.chain.len > 0 || source.is_multicast() || source.is_unspecified() {
        return false;
    }
    let Ok((ethernet, rest)) = Ethernet::mut_from_prefix(frame.bytes_mut()) else { return false };
    let Ok((ip, message)) = Ipv6::mut_from_prefix(rest) else { return false };
    let Ok((icmp, _)) = Icmp6::mut_from_prefix(message) else { return false };
    (ethernet.destination, ethernet.source) = (ethernet.source, me.mac.0);
    // Swapping the addresses does not change a sum, and the hop limit is in none.
    (ip.source, ip.destination) = (ip.destination, ip.source);
    ip.hop_limit = HOP_LIMIT;
    icmp.kind = icmp6::ECHO_REPLY;
    let word = |kind: u8| u16::from(kind) << 8;
    let turned = Delta::new().replace_u16(word(icmp6::ECHO_REQUEST), word(icmp6::ECHO_REPLY));
    icmp.checksum.set(turned.apply(icmp.checksum.get()));
    true
}
