//! What a frame is, for any bytes whatsoever.

use super::arp::Arp;
use super::ethernet::{self, Ethernet};
use super::icmp::Icmp;
use super::ipv4::{self, Ipv4};
use super::tcp::Tcp;
use super::udp::{self, Udp};
use std::net::Ipv4Addr;
use zerocopy::FromBytes;

/// Why a frame cannot be read. Each reason is worth a drop counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// Shorter than an Ethernet header.
    EthernetShort,
    /// Shorter than an ARP packet for IPv4 over Ethernet.
    ArpShort,
    /// ARP for other addresses than IPv4 on Ethernet.
    ArpForeign,
    /// Shorter than an IPv4 header.
    Ipv4Short,
    /// Said to be IPv4, but of another version.
    Ipv4Version,
    /// IPv4 header length below 20 bytes or beyond the datagram.
    Ipv4HeaderLength,
    /// IPv4 total length beyond the frame: the datagram was cut off.
    Ipv4TotalLength,
    /// Too short for a UDP header.
    UdpShort,
    /// UDP length below 8 or beyond the datagram.
    UdpLength,
    /// Too short for a TCP header.
    TcpShort,
    /// TCP data offset below 20 bytes or beyond the datagram.
    TcpDataOffset,
    /// Too short for an ICMP header.
    IcmpShort,
}

impl Malformed {
    /// Every reason, in the order of its discriminant.
    pub const ALL: [Self; 12] = [
        Self::EthernetShort,
        Self::ArpShort,
        Self::ArpForeign,
        Self::Ipv4Short,
        Self::Ipv4Version,
        Self::Ipv4HeaderLength,
        Self::Ipv4TotalLength,
        Self::UdpShort,
        Self::UdpLength,
        Self::TcpShort,
        Self::TcpDataOffset,
        Self::IcmpShort,
    ];

    /// Name of the reason's counter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EthernetShort => "ethernet_short",
            Self::ArpShort => "arp_short",
            Self::ArpForeign => "arp_foreign",
            Self::Ipv4Short => "ipv4_short",
            Self::Ipv4Version => "ipv4_version",
            Self::Ipv4HeaderLength => "ipv4_header_length",
            Self::Ipv4TotalLength => "ipv4_total_length",
            Self::UdpShort => "udp_short",
            Self::UdpLength => "udp_length",
            Self::TcpShort => "tcp_short",
            Self::TcpDataOffset => "tcp_data_offset",
            Self::IcmpShort => "icmp_short",
        }
    }
}

/// A frame that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// ARP for IPv4 over Ethernet.
    Arp {
        /// [`super::arp::REQUEST`], [`super::arp::REPLY`] or another.
        operation: u16,
        /// Address of the sender.
        sender: Ipv4Addr,
        /// Address asked for.
        target: Ipv4Addr,
    },
    /// An IPv4 datagram.
    Ipv4(Datagram),
    /// Anything else, with its type field; below [`ethernet::TYPE_MIN`] that is a length.
    Other(u16),
}

/// An IPv4 datagram whose lengths agree with each other and with the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Sender.
    pub source: Ipv4Addr,
    /// Receiver.
    pub destination: Ipv4Addr,
    /// Protocol field.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// Offset of the transport header in the frame: 14 plus the IPv4 header and its options.
    pub transport_at: usize,
    /// Offset of the first byte after the datagram in the frame; what follows is padding.
    pub end: usize,
    /// What the datagram carries.
    pub transport: Transport,
}

/// What a datagram carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp {
        /// Sender's port.
        source: u16,
        /// Receiver's port.
        destination: u16,
        /// Bytes of header and payload; the datagram may be longer (RFC 9868).
        len: u16,
    },
    /// TCP.
    Tcp {
        /// Sender's port.
        source: u16,
        /// Receiver's port.
        destination: u16,
        /// Flag bits, such as [`super::tcp::SYN`].
        flags: u8,
        /// Bytes of the header, options included.
        header_len: u8,
    },
    /// ICMP.
    Icmp {
        /// Type, such as [`super::icmp::ECHO_REQUEST`].
        kind: u8,
        /// Code within the type.
        code: u8,
        /// Identifier, which only echo has; part of another field in other types.
        id: u16,
    },
    /// A fragment. Ports are not read even from the first one: who acts on them must see to it that
    /// the rest of the datagram is treated alike, and asks for them by [`Datagram::first`].
    Fragment(Fragment),
    /// Another protocol.
    Other,
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification, the same in all fragments of a datagram.
    pub id: u16,
    /// Bytes of the datagram's payload before this fragment: a multiple of 8, at most 65,528.
    pub offset: u16,
    /// Whether fragments follow.
    pub more: bool,
}

impl Fragment {
    #[inline]
    fn of(header: &Ipv4) -> Self {
        let field = header.fragment.get();
        let offset = (field & ipv4::FRAGMENT_OFFSET) << 3;
        Self { id: header.id.get(), offset, more: field & ipv4::MORE_FRAGMENTS != 0 }
    }

    /// Whether this fragment begins with the transport header.
    #[inline]
    pub fn is_first(self) -> bool {
        self.offset == 0
    }
}

impl Datagram {
    /// What the datagram carries of which `frame` holds the first fragment; `self` is what
    /// [`parse`] said of the frame. A UDP length may then exceed the bytes at hand: it counts those
    /// of the fragments to follow. [`Transport::Fragment`] for any other fragment, which has no
    /// transport header.
    ///
    /// # Errors
    /// When the transport header is not whole. RFC 1858 §3 wants such fragments dropped, since the
    /// rest of the header comes where no filter looks for it.
    ///
    /// # Panics
    /// If `frame` is shorter than the frame that was parsed.
    #[inline]
    pub fn first(&self, frame: &[u8]) -> Result<Transport, Malformed> {
        match self.transport {
            Transport::Fragment(fragment) if fragment.is_first() => {
                transport(self.protocol, &frame[self.transport_at..self.end], usize::MAX)
            }
            whole_or_later => Ok(whole_or_later),
        }
    }
}

/// Reads a frame down to the transport header. Total over any bytes. Lengths are checked against
/// each other, checksums are not ([`super::checksum::verify_ipv4`]). Padding after the datagram is
/// legal (IEEE 802.3 §3.2.7 demands it in short frames).
///
/// # Errors
/// The first reason found, from the outermost header inwards.
#[inline]
pub fn parse(frame: &[u8]) -> Result<Parsed, Malformed> {
    let (ethernet, rest) =
        Ethernet::ref_from_prefix(frame).map_err(|_| Malformed::EthernetShort)?;
    match ethernet.ethertype.get() {
        ethernet::IPV4 => datagram(rest).map(Parsed::Ipv4),
        ethernet::ARP => {
            let (arp, _) = Arp::ref_from_prefix(rest).map_err(|_| Malformed::ArpShort)?;
            if !arp.is_ipv4_over_ethernet() {
                return Err(Malformed::ArpForeign);
            }
            Ok(Parsed::Arp {
                operation: arp.operation.get(),
                sender: arp.sender.get().into(),
                target: arp.target.get().into(),
            })
        }
        other => Ok(Parsed::Other(other)),
    }
}

#[inline]
fn datagram(bytes: &[u8]) -> Result<Datagram, Malformed> {
    let (header, _) = Ipv4::ref_from_prefix(bytes).map_err(|_| Malformed::Ipv4Short)?;
    if header.version_ihl >> 4 != 4 {
        return Err(Malformed::Ipv4Version);
    }
    let (header_len, total_len) = (header.header_len(), usize::from(header.total_len.get()));
    if header_len < ipv4::HEADER_LEN || header_len > total_len {
        return Err(Malformed::Ipv4HeaderLength);
    }
    let payload = bytes.get(header_len..total_len).ok_or(Malformed::Ipv4TotalLength)?;
    let transport = if header.is_fragment() {
        Transport::Fragment(Fragment::of(header))
    } else {
        transport(header.protocol, payload, payload.len())?
    };
    Ok(Datagram {
        source: header.source.get().into(),
        destination: header.destination.get().into(),
        protocol: header.protocol,
        ttl: header.ttl,
        transport_at: ethernet::HEADER_LEN + header_len,
        end: ethernet::HEADER_LEN + total_len,
        transport,
    })
}

/// Reads the transport header from the bytes at hand, of which a UDP length may claim `len_max`.
#[inline]
fn transport(protocol: u8, payload: &[u8], len_max: usize) -> Result<Transport, Malformed> {
    match protocol {
        ipv4::UDP => {
            let (udp, _) = Udp::ref_from_prefix(payload).map_err(|_| Malformed::UdpShort)?;
            let len = udp.len.get();
            if !(udp::HEADER_LEN..=len_max).contains(&usize::from(len)) {
                return Err(Malformed::UdpLength);
            }
            Ok(Transport::Udp { source: udp.source.get(), destination: udp.destination.get(), len })
        }
        ipv4::TCP => {
            let (tcp, _) = Tcp::ref_from_prefix(payload).map_err(|_| Malformed::TcpShort)?;
            let header_len = tcp.header_len();
            if !(super::tcp::HEADER_LEN..=payload.len()).contains(&header_len) {
                return Err(Malformed::TcpDataOffset);
            }
            Ok(Transport::Tcp {
                source: tcp.source.get(),
                destination: tcp.destination.get(),
                flags: tcp.flags,
                header_len: header_len as u8,
            })
        }
        ipv4::ICMP => {
            let (icmp, _) = Icmp::ref_from_prefix(payload).map_err(|_| Malformed::IcmpShort)?;
            Ok(Transport::Icmp { kind: icmp.kind, code: icmp.code, id: icmp.id.get() })
        }
        _ => Ok(Transport::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_numbered_as_listed() {
        for (index, reason) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index, "{}", reason.name());
        }
    }
}
