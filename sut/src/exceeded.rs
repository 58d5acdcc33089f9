//! ICMP Time Exceeded about packets whose time to live ends at this core (RFC 1812 §5.3.1, §5.2.7.3):
//! the frame that brought such a packet becomes the answer, which quotes it as it came.
//!
//! It is from the core's own address and goes to the core's router, as all the core sends does. It
//! quotes as much as 576 bytes have room for (§4.3.2.3), is of precedence *internetwork control*
//! (§4.3.2.5), and is too short for anybody to cut: without an identification (RFC 6864 §4.1).
//!
//! Nothing is said where §4.3.2.7 forbids it: about ICMP errors, later fragments, what was sent to
//! all or to a group, or by nobody in particular. How much is said is bounded by an [`Allowance`]
//! (§4.3.2.8), so that packets whose time to live ends here are no way to have a core flood anyone.
//!
//! The pipeline calls this for what it would drop as `ttl`; IPv6 has a neighbour of it,
//! `firewall6/exceeded.rs`, with an allowance of its own.

use crate::local::TTL;
use crate::timer::{TICK_NS, Tick};
use dataplane::frame::Frame;
use dataplane::identity::Identity;
use dataplane::wire::checksum;
use dataplane::wire::ethernet::HEADER_LEN;
use dataplane::wire::icmp::{self, Icmp};
use dataplane::wire::ipv4::{self, Ipv4};
use dataplane::wire::{Datagram, Transport};
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// Errors that a core sends in a second, of each family: what Linux sends (`icmp_msgs_per_sec`).
/// They may come in a tick at once.
const ERRORS_PER_SECOND: u64 = 1_000;
const ERRORS_PER_TICK: u16 = (ERRORS_PER_SECOND * TICK_NS / 1_000_000_000) as u16;

/// Most bytes of an error (RFC 1812 §4.3.2.3), and where its parts are in the frame.
const ERROR_MAX: usize = 576;
const MESSAGE_AT: usize = HEADER_LEN + ipv4::HEADER_LEN;
const QUOTE_AT: usize = MESSAGE_AT + icmp::HEADER_LEN;

/// Precedence of internetwork control, in the place of the traffic class.
const INTERNETWORK_CONTROL: u8 = 6 << 5;

/// What a core may still say in this tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    left: u16,
    tick: Tick,
}

impl Allowance {
    /// A tick's worth.
    pub(crate) fn new() -> Allowance {
        Allowance { left: ERRORS_PER_TICK, tick: Tick(0) }
    }

    /// Takes one error's worth; `false` if this tick's is used up. What a tick leaves over is lost.
    pub(crate) fn take(&mut self, now: Tick) -> bool {
        if self.tick != now {
            *self = Allowance { left: ERRORS_PER_TICK, tick: now };
        }
        let some = self.left > 0;
        self.left -= u16::from(some);
        some
    }
}

/// Whether Time Exceeded may be sent about a datagram (RFC 1812 §4.3.2.7); `datagram` is what
/// `wire::parse` said of `frame`, whose IPv4 header checksum is right.
pub(crate) fn may_be_told(frame: &[u8], datagram: &Datagram) -> bool {
    let transport = match datagram.transport {
        Transport::Fragment(fragment) if !fragment.is_first() => return false,
        // A first fragment of an ICMP error is one too.
        _ => datagram.first(frame),
    };
    let about_error = match transport {
        Ok(Transport::Icmp { kind, .. }) => icmp::tells_of_error(kind),
        Ok(_) => false,
        Err(_) => true,
    };
    let to_all = frame[0] & 1 == 1 || is_group(datagram.destination);
    !about_error && !to_all && is_one_host(datagram.source)
}

/// Group, reserved or broadcast address.
fn is_group(address: Ipv4Addr) -> bool {
    address.octets()[0] >= 224
}

/// Whether the address can be one host's on a network (RFC 1812 §5.3.7).
fn is_one_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127) && !is_group(address)
}

/// Turns a frame into Time Exceeded about the datagram it brought, to its sender. The stations are
/// left to the caller.
pub(crate) fn tell<F: Frame>(frame: &mut F, datagram: &Datagram, me: &Identity) {
    let quoted = (datagram.end - HEADER_LEN).min(ERROR_MAX - (QUOTE_AT - HEADER_LEN));
    frame.set_len(QUOTE_AT + quoted);
    let bytes = frame.bytes_mut();
    bytes.copy_within(HEADER_LEN..HEADER_LEN + quoted, QUOTE_AT);
    let (network, message) = bytes.split_at_mut(MESSAGE_AT);
    let header = &mut network[HEADER_LEN..];
    let Ok((ip, _)) = Ipv4::mut_from_prefix(header) else { return };
    *ip = Ipv4 {
        version_ihl: ipv4::VERSION_IHL,
        traffic_class: INTERNETWORK_CONTROL,
        total_len: ((ipv4::HEADER_LEN + message.len()) as u16).into(),
        id: 0.into(),
        fragment: ipv4::DONT_FRAGMENT.into(),
        ttl: TTL,
        protocol: ipv4::ICMP,
        checksum: 0.into(),
        source: u32::from(me.ip).into(),
        destination: u32::from(datagram.source).into(),
    };
    let check = checksum::ipv4_header(header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
    let Ok((error, _)) = Icmp::mut_from_prefix(message) else { return };
    // Code 0: in transit.
    let kind = icmp::TIME_EXCEEDED;
    *error = Icmp { kind, code: 0, checksum: 0.into(), id: 0.into(), sequence: 0.into() };
    let check = !checksum::fold(checksum::sum(message));
    message[2..4].copy_from_slice(&check.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_has_its_share_and_no_more() {
        let mut allowance = Allowance::new();
        let mut taken = |tick| (0..1000).filter(|_| allowance.take(Tick(tick))).count();
        assert_eq!([7, 7, 8, 12].map(&mut taken), [250, 0, 250, 250]);
    }
}
