//! What an IPv6 frame is, for any bytes whatsoever.

use super::ethernet;
use super::icmp6::Icmp6;
use super::ipv4::{TCP, UDP};
use super::ipv6::{Broken, Chain, HOP_BY_HOP, ICMPV6, Ipv6, UDP_LITE, walk};
use super::tcp::{self, Tcp};
use super::udp::{self, Udp};
use std::net::Ipv6Addr;
use zerocopy::FromBytes;

/// Why an IPv6 frame cannot be read. Each reason is worth a drop counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed6 {
    /// Shorter than an Ethernet and an IPv6 header.
    Short,
    /// Said to be IPv6, but of another version.
    Version,
    /// Payload length beyond the frame: the datagram was cut off.
    PayloadLength,
    /// Payload length in an option (RFC 2675): longer than any Ethernet frame.
    Jumbogram,
    /// An extension header beyond the datagram or shorter than its fixed part.
    ExtensionLength,
    /// Hop-by-hop options elsewhere than first (RFC 8200 §4.1), or a second fragment header.
    ExtensionOrder,
    /// Too many or too long extension headers.
    ExtensionsTooLong,
    /// A fragment that is not the last and no multiple of 8 bytes, or ends beyond 65,535
    /// (RFC 8200 §4.5).
    FragmentLength,
    /// A first fragment without its whole header chain (RFC 7112 §5).
    FirstFragment,
    /// UDP header cut off, or its length below 8 or beyond the datagram.
    Udp,
    /// TCP header cut off, or its data offset below 20 bytes or beyond the datagram.
    Tcp,
    /// Too short for an ICMP header.
    Icmp,
}

impl Malformed6 {
    /// Every reason, in the order of its discriminant.
    pub const ALL: [Self; 12] = [
        Self::Short,
        Self::Version,
        Self::PayloadLength,
        Self::Jumbogram,
        Self::ExtensionLength,
        Self::ExtensionOrder,
        Self::ExtensionsTooLong,
        Self::FragmentLength,
        Self::FirstFragment,
        Self::Udp,
        Self::Tcp,
        Self::Icmp,
    ];

    /// Name of the reason's counter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "ipv6_short",
            Self::Version => "ipv6_version",
            Self::PayloadLength => "ipv6_payload_length",
            Self::Jumbogram => "ipv6_jumbogram",
            Self::ExtensionLength => "ipv6_extension_length",
            Self::ExtensionOrder => "ipv6_extension_order",
            Self::ExtensionsTooLong => "ipv6_extensions_too_long",
            Self::FragmentLength => "ipv6_fragment_length",
            Self::FirstFragment => "ipv6_first_fragment",
            Self::Udp => "ipv6_udp",
            Self::Tcp => "ipv6_tcp",
            Self::Icmp => "ipv6_icmp",
        }
    }
}

impl From<Broken> for Malformed6 {
    fn from(broken: Broken) -> Malformed6 {
        match broken {
            Broken::Length => Malformed6::ExtensionLength,
            Broken::FirstFragment => Malformed6::FirstFragment,
            Broken::Order => Malformed6::ExtensionOrder,
            Broken::TooLong => Malformed6::ExtensionsTooLong,
        }
    }
}

/// An IPv6 datagram whose lengths agree with each other and with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram6 {
    /// Sender.
    pub source: Ipv6Addr,
    /// Receiver.
    pub destination: Ipv6Addr,
    /// Routers the datagram may still pass.
    pub hop_limit: u8,
    /// Extension headers, and the protocol they lead to.
    pub chain: Chain,
    /// Offset of the transport header in the frame; of a later fragment, that of its data.
    pub transport_at: usize,
    /// Offset of the first byte after the datagram in the frame; what follows is padding.
    pub end: usize,
    /// What the datagram carries.
    pub transport: Transport6,
}

/// The datagram that an ICMP error quotes, as far as the quotation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote6 {
    /// Sender.
    pub source: Ipv6Addr,
    /// Receiver.
    pub destination: Ipv6Addr,
    /// Extension headers, and the protocol they lead to.
    pub chain: Chain,
    /// What the datagram carries. TCP's flags are zero where the quotation ends before them.
    pub transport: Transport6,
}

/// What a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport6 {
    /// UDP or UDP-Lite.
    Udp {
        /// Sender's port.
        source: u16,
        /// Receiver's port.
        destination: u16,
    },
    /// TCP.
    Tcp {
        /// Sender's port.
        source: u16,
        /// Receiver's port.
        destination: u16,
        /// Flag bits, such as [`super::tcp::SYN`].
        flags: u8,
    },
    /// ICMP for IPv6.
    Icmp {
        /// Type, such as [`super::icmp6::ECHO_REQUEST`].
        kind: u8,
        /// Code within the type.
        code: u8,
        /// Identifier, which only echo has; part of another field in other types.
        id: u16,
    },
    /// A fragment that is not the first: its transport header is elsewhere.
    Later,
    /// Another protocol, such as ESP, or none.
    Other,
}

/// Reads a frame whose type field says IPv6 down to the transport header. Total over any bytes.
/// Lengths are checked against each other, checksums are not. Padding after the datagram is legal.
///
/// # Errors
/// The first reason found, from the outermost header inwards.
#[inline]
pub fn parse6(frame: &[u8]) -> Result<Datagram6, Malformed6> {
    let packet = frame.get(ethernet::HEADER_LEN..).ok_or(Malformed6::Short)?;
    let (header, rest) = Ipv6::ref_from_prefix(packet).map_err(|_| Malformed6::Short)?;
    if header.version() != 6 {
        return Err(Malformed6::Version);
    }
    let len = usize::from(header.payload_len.get());
    if len == 0 && header.next_header == HOP_BY_HOP {
        return Err(Malformed6::Jumbogram);
    }
    let payload = rest.get(..len).ok_or(Malformed6::PayloadLength)?;
    let chain = walk(header.next_header, payload)?;
    let body = &payload[chain.len..];
    let transport = match chain.fragment {
        Some(piece) => {
            let data = len - piece.data_at;
            if piece.more && !data.is_multiple_of(8) || usize::from(piece.offset) + data > 65_535 {
                return Err(Malformed6::FragmentLength);
            }
            match piece.is_first() {
                // Whatever ends too early ends within the header chain.
                true => {
                    transport(chain.protocol, body, false).map_err(|_| Malformed6::FirstFragment)?
                }
                false => Transport6::Later,
            }
        }
        None => transport(chain.protocol, body, true)?,
    };
    let payload_at = frame.len() - rest.len();
    Ok(Datagram6 {
        source: header.source.into(),
        destination: header.destination.into(),
        hop_limit: header.hop_limit,
        chain,
        transport_at: payload_at + chain.len,
        end: payload_at + len,
        transport,
    })
}

#[inline]
fn transport(protocol: u8, body: &[u8], whole: bool) -> Result<Transport6, Malformed6> {
    match protocol {
        UDP | UDP_LITE => {
            let (udp, _) = Udp::ref_from_prefix(body).map_err(|_| Malformed6::Udp)?;
            let len = usize::from(udp.len.get());
            let fits = len >= udp::HEADER_LEN && (len <= body.len() || !whole);
            // UDP-Lite has the bytes its checksum covers there (RFC 3828 §3.1).
            if protocol == UDP && !fits {
                return Err(Malformed6::Udp);
            }
            Ok(Transport6::Udp { source: udp.source.get(), destination: udp.destination.get() })
        }
        TCP => {
            let (tcp, _) = Tcp::ref_from_prefix(body).map_err(|_| Malformed6::Tcp)?;
            if !(tcp::HEADER_LEN..=body.len()).contains(&tcp.header_len()) {
                return Err(Malformed6::Tcp);
            }
            Ok(Transport6::Tcp {
                source: tcp.source.get(),
                destination: tcp.destination.get(),
                flags: tcp.flags,
            })
        }
        ICMPV6 => {
            let (icmp, _) = Icmp6::ref_from_prefix(body).map_err(|_| Malformed6::Icmp)?;
            Ok(Transport6::Icmp { kind: icmp.kind, code: icmp.code, id: icmp.id.get() })
        }
        _ => Ok(Transport6::Other),
    }
}

/// Reads the datagram quoted behind the header of an ICMP error. It may be cut off anywhere
/// (RFC 4443 §2.4c), so that the first eight bytes of its transport have to do. `None` where not
/// even they are there.
#[inline]
pub fn quote6(quoted: &[u8]) -> Option<Quote6> {
    let (header, rest) = Ipv6::ref_from_prefix(quoted).ok()?;
    if header.version() != 6 {
        return None;
    }
    let payload = &rest[..rest.len().min(usize::from(header.payload_len.get()))];
    let chain = walk(header.next_header, payload).ok()?;
    let body = &payload[chain.len..];
    let later = chain.fragment.is_some_and(|piece| !piece.is_first());
    let transport = match (later, chain.protocol) {
        (true, _) => Transport6::Later,
        (_, UDP | UDP_LITE | TCP | ICMPV6) => quoted_transport(chain.protocol, body)?,
        _ => Transport6::Other,
    };
    let (source, destination) = (header.source.into(), header.destination.into());
    Some(Quote6 { source, destination, chain, transport })
}

#[inline]
fn quoted_transport(protocol: u8, body: &[u8]) -> Option<Transport6> {
    let &[a, b, c, d, e, f, ..] = body.first_chunk::<8>()?;
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some(match protocol {
        TCP => {
            let flags = body.get(13).copied().unwrap_or(0);
            Transport6::Tcp { source, destination, flags }
        }
        ICMPV6 => Transport6::Icmp { kind: a, code: b, id: u16::from_be_bytes([e, f]) },
        _ => Transport6::Udp { source, destination },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_listed() {
        for (index, reason) in Malformed6::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.name());
        }
    }
}
