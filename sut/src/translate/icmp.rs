//! ICMP errors, translated by way of the datagram they quote (RFC 5508 §4).
//!
//! An error belongs to the connection of the datagram in its payload, whoever sent it: every router
//! on the way may (RFC 4787 REQ-12a). [`quoted`] reads that datagram as far as it is there, the
//! pipeline looks up its connection, and [`translate`] gives it back the end its sender knows:
//!
//! * inbound, the quoted datagram left the NAT with an external source. It gets the subscriber's
//!   address and port back and the error goes to the subscriber; who sent the error stays visible;
//! * outbound, the quoted datagram came in. It gets the external address and port back as its
//!   destination, and the same address is the error's source, whether the subscriber sent it or a
//!   router before the subscriber: no address of the inside leaves (RFC 5508 REQ-5c).
//!
//! Type, code, next-hop MTU (RFC 1191), pointer, quoted time to live and extensions (RFC 4884) stay
//! as they are, and so does the quoted transport checksum where the quote ends before it. Nothing
//! here touches a connection: an error neither prolongs nor ends one (RFC 5508 REQ-6, RFC 5382
//! REQ-10), which also leaves the attacks of RFC 5927 to the hosts that can judge sequence numbers.
//!
//! Source quench (RFC 6633) and redirects (RFC 1812 §5.2.7.2: for the sender's own network) are
//! refused, like errors about anything but UDP, TCP and ICMP echo. So are errors about later fragments:
//! they have no ports, and what is known of their datagram is known by its name before translation,
//! while the quote has the one after it. So are errors that come in fragments themselves (576 bytes
//! at most, RFC 1812 §4.3.2.3): their checksum cannot be verified (RFC 5508 REQ-3) nor their quote read
//! before the last one is there.

use super::End;
use dataplane::wire::checksum::{self, Delta};
use dataplane::wire::icmp::{self, Icmp};
use dataplane::wire::ipv4::{self, Ipv4};
use dataplane::wire::{Datagram, Endpoint, ethernet};
use zerocopy::FromBytes;

#[cfg(test)]
mod tests;

/// Least bytes a router quotes of what follows the IPv4 header (RFC 792), enough for the ports.
const QUOTE_MIN: usize = 8;
/// Offset of the quoted IPv4 header in the message.
const NETWORK_AT: usize = icmp::HEADER_LEN;

/// Why an ICMP message is not translated. Each reason is worth a drop counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refused {
    /// No error, or one that is not for the sender of the quoted datagram.
    Type,
    /// The checksum of the message is wrong (RFC 5508 REQ-3).
    Checksum,
    /// The quote ends before the ports.
    Short,
    /// The quote begins with no IPv4 header, or one whose lengths leave no room for ports.
    Header,
    /// The checksum of the quoted IPv4 header is wrong (RFC 5508 REQ-3a).
    HeaderChecksum,
    /// The quoted datagram is a fragment without ports.
    Fragment,
    /// The quoted datagram is neither UDP nor TCP nor ICMP echo.
    Protocol,
    /// The error goes to another than the sender of the quoted datagram.
    Addressee,
}

/// The datagram that an error is about, as its sender knows it. Of ICMP echo, the identifier is the
/// port of whoever asked, and the other port is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted {
    /// Its sender.
    pub source: Endpoint,
    /// Its receiver.
    pub destination: Endpoint,
    /// IPv4 protocol number.
    pub protocol: u8,
    /// Offset of its transport header in the message.
    transport_at: u8,
    /// Offset of its transport checksum in the message, where the quote reaches that far.
    check_at: Option<u8>,
}

/// Reads the datagram that an ICMP error quotes; `datagram` is what `wire::parse` said of `frame`,
/// ICMP and no fragment. The quoted transport checksum is not verified (RFC 5508 REQ-3c).
///
/// # Errors
/// The first reason found, from the outermost header inwards.
pub(crate) fn quoted(frame: &[u8], datagram: &Datagram) -> Result<Quoted, Refused> {
    let message = &frame[datagram.transport_at..datagram.end];
    let (error, quote) = Icmp::ref_from_prefix(message).map_err(|_| Refused::Short)?;
    if !error.is_error() {
        return Err(Refused::Type);
    }
    if checksum::fold(checksum::sum(message)) != 0xffff {
        return Err(Refused::Checksum);
    }
    let quote = &quote[..quote_len(error, quote.len())];
    let (header, _) = Ipv4::ref_from_prefix(quote).map_err(|_| Refused::Short)?;
    let (header_len, total_len) = (header.header_len(), usize::from(header.total_len.get()));
    if header.version_ihl >> 4 != 4
        || header_len < ipv4::HEADER_LEN
        || total_len < header_len + QUOTE_MIN
    {
        return Err(Refused::Header);
    }
    if quote.len() < header_len + QUOTE_MIN {
        return Err(Refused::Short);
    }
    if !checksum::verify_ipv4(&quote[..header_len]) {
        return Err(Refused::HeaderChecksum);
    }
    if header.source.get() != u32::from(datagram.destination) {
        return Err(Refused::Addressee);
    }
    if header.fragment.get() & ipv4::FRAGMENT_OFFSET != 0 {
        return Err(Refused::Fragment);
    }
    // Behind the quoted datagram are padding and extensions, which are not its transport.
    let transport = &quote[header_len..total_len.min(quote.len())];
    let ((source_port, destination_port), check_at) = ports(header.protocol, transport)?;
    Ok(Quoted {
        source: Endpoint::new(header.source.get(), source_port),
        destination: Endpoint::new(header.destination.get(), destination_port),
        protocol: header.protocol,
        transport_at: (NETWORK_AT + header_len) as u8,
        check_at: (check_at + 2 <= transport.len())
            .then_some((NETWORK_AT + header_len + check_at) as u8),
    })
}

/// Bytes of the quote. Where extensions follow it, the second byte of the word that depends on the
/// type tells its length in words (RFC 4884 §4); where none do, that byte is zero.
fn quote_len(error: &Icmp, rest: usize) -> usize {
    match usize::from(error.id.get() & 0xff) {
        0 => rest,
        words => rest.min(4 * words),
    }
}

/// The ports of a transport header of which eight bytes or more are at hand, and the offset of its
/// checksum.
fn ports(protocol: u8, transport: &[u8]) -> Result<((u16, u16), usize), Refused> {
    let ports = (u16_at(transport, 0), u16_at(transport, 2));
    match protocol {
        ipv4::UDP => Ok((ports, 6)),
        ipv4::TCP => Ok((ports, 16)),
        ipv4::ICMP => match transport[0] {
            icmp::ECHO_REQUEST => Ok(((u16_at(transport, 4), 0), 2)),
            icmp::ECHO_REPLY => Ok(((0, u16_at(transport, 4)), 2)),
            _ => Err(Refused::Protocol),
        },
        _ => Err(Refused::Protocol),
    }
}

/// Gives `end` of the error the address of `new`, the other end of the datagram it quotes the
/// address and port of `new`, and lets a router's worth of time to live pass. `datagram` and
/// `quoted` are what was read from `frame`; the time to live is above zero. The end of an inbound
/// error is its destination, that of an outbound one its source.
pub(crate) fn translate(
    frame: &mut [u8],
    datagram: &Datagram,
    quoted: &Quoted,
    end: End,
    new: Endpoint,
) {
    let (network, message) = frame.split_at_mut(datagram.transport_at);
    readdress(&mut network[ethernet::HEADER_LEN..], end, new.address());
    let (old, address_at, port_at) = match end {
        End::Destination => (quoted.source, NETWORK_AT + 12, 0),
        End::Source => (quoted.destination, NETWORK_AT + 16, 2),
    };
    let moved = Delta::new().replace_u32(old.address(), new.address());
    let renumbered = Delta::new().replace_u16(old.port(), new.port());
    let port_at = if quoted.protocol == ipv4::ICMP { 4 } else { port_at };
    let check = u16_at(message, 2);
    let mut edit = Edit { message, delta: Delta::new() };
    edit.replace(address_at, |_| (new.address() >> 16) as u16);
    edit.replace(address_at + 2, |_| new.address() as u16);
    edit.replace(NETWORK_AT + 10, |check| moved.apply(check));
    edit.replace(usize::from(quoted.transport_at) + port_at, |_| new.port());
    if let Some(check_at) = quoted.check_at.map(usize::from) {
        let both = moved.replace_u16(old.port(), new.port());
        edit.replace(check_at, |check| match quoted.protocol {
            ipv4::UDP => both.apply_udp(check),
            ipv4::TCP => both.apply(check),
            // No pseudo-header: the address does not count.
            _ => renumbered.apply(check),
        });
    }
    let check = edit.delta.apply(check);
    message[2..4].copy_from_slice(&check.to_be_bytes());
}

/// The outer header: one address, the time to live and the checksum.
fn readdress(header: &mut [u8], end: End, address: u32) {
    let Ok((ip, _)) = Ipv4::mut_from_prefix(header) else { return };
    let field = match end {
        End::Source => &mut ip.source,
        End::Destination => &mut ip.destination,
    };
    let moved = Delta::new().replace_u32(field.get(), address);
    field.set(address);
    let lived = moved.replace_u16(u16::from(ip.ttl) << 8, u16::from(ip.ttl - 1) << 8);
    ip.ttl -= 1;
    ip.checksum.set(lived.apply(ip.checksum.get()));
}

/// Changes of a message, all of which its checksum covers. Every field starts at an even offset:
/// IPv4 headers are whole words.
struct Edit<'a> {
    message: &'a mut [u8],
    delta: Delta,
}

impl Edit<'_> {
    fn replace(&mut self, at: usize, new: impl FnOnce(u16) -> u16) {
        let old = u16_at(self.message, at);
        let new = new(old);
        self.delta = self.delta.replace_u16(old, new);
        self.message[at..at + 2].copy_from_slice(&new.to_be_bytes());
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
