//! Whole frames: single-hop BFD over UDP and IPv4 (RFC 5881 §4 and §5).

use super::{Bfd, Control, PACKET_LEN, Refused};
use crate::identity::Mac;
use crate::wire::ethernet::{self, Ethernet};
use crate::wire::ipv4::{self, Ipv4};
use crate::wire::udp::{self, Udp};
use crate::wire::{Parsed, Transport, checksum, parse};
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use zerocopy::{Immutable, IntoBytes, Unaligned};

/// Port that control packets go to (RFC 5881 §4).
pub const PORT: u16 = 3784;

/// Lowest port that they may come from (RFC 5881 §4).
const SOURCE_PORT_MIN: u16 = 49152;

/// Time to live of a packet that has passed no router (RFC 5881 §5, RFC 5082).
const TTL: u8 = 255;

/// Class selector 6: network control (RFC 4594 §3.2), which queues on the way shall not delay.
const TRAFFIC_CLASS: u8 = 0xc0;

/// Bytes of a frame with a control packet.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + DATAGRAM_LEN;

const DATAGRAM_LEN: usize = ipv4::HEADER_LEN + SEGMENT_LEN;
const SEGMENT_LEN: usize = udp::HEADER_LEN + PACKET_LEN;

/// Where a session's packets come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Sender's Ethernet address.
    pub source_mac: Mac,
    /// Receiver's Ethernet address.
    pub destination_mac: Mac,
    /// Sender.
    pub source: Ipv4Addr,
    /// Receiver.
    pub destination: Ipv4Addr,
}

/// A control packet and the addresses it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Sender.
    pub source: Ipv4Addr,
    /// Receiver.
    pub destination: Ipv4Addr,
    /// The packet.
    pub control: Control,
}

/// The frame as it lies on the wire.
#[derive(IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Encapsulated {
    ethernet: Ethernet,
    ip: Ipv4,
    udp: Udp,
    bfd: Bfd,
}

/// Port that a session sends from: the same for all its packets and, as long as discriminators
/// differ in their lower 14 bits, that of no other session of the system (RFC 5881 §4).
pub fn source_port(discriminator: NonZeroU32) -> u16 {
    SOURCE_PORT_MIN | discriminator.get() as u16
}

/// The frame that carries a control packet.
pub fn encapsulate(ends: &Ends, control: &Control) -> [u8; FRAME_LEN] {
    let mut frame = Encapsulated {
        ethernet: Ethernet {
            destination: ends.destination_mac.0,
            source: ends.source_mac.0,
            ethertype: ethernet::IPV4.into(),
        },
        ip: Ipv4 {
            version_ihl: ipv4::VERSION_IHL,
            traffic_class: TRAFFIC_CLASS,
            total_len: (DATAGRAM_LEN as u16).into(),
            // Never fragmented, so that it needs no identification (RFC 6864 §4.1).
            id: 0.into(),
            fragment: ipv4::DONT_FRAGMENT.into(),
            ttl: TTL,
            protocol: ipv4::UDP,
            checksum: 0.into(),
            source: u32::from(ends.source).into(),
            destination: u32::from(ends.destination).into(),
        },
        udp: Udp {
            source: source_port(control.my_discriminator).into(),
            destination: PORT.into(),
            len: (SEGMENT_LEN as u16).into(),
            checksum: 0.into(),
        },
        bfd: control.emit(),
    };
    frame.ip.checksum = checksum::ipv4_header(frame.ip.as_bytes()).into();
    let segment = &frame.as_bytes()[ethernet::HEADER_LEN + ipv4::HEADER_LEN..];
    let sum = checksum::transport(ends.source, ends.destination, ipv4::UDP, segment);
    frame.udp.checksum = sum.into();
    zerocopy::transmute!(frame)
}

/// Reads a frame. Total over any bytes. The sender's port is not looked at: RFC 5881 §4 binds
/// senders, and kernels choose from a wider range.
///
/// # Errors
/// [`Refused::Foreign`] if it is no datagram to [`PORT`], whose frame may be anybody's; any other
/// reason speaks of a control packet that must not be taken.
pub fn read(frame: &[u8]) -> Result<Received, Refused> {
    let Ok(Parsed::Ipv4(datagram)) = parse(frame) else { return Err(Refused::Foreign) };
    let Transport::Udp { destination: PORT, len, .. } = datagram.transport else {
        return Err(Refused::Foreign);
    };
    if datagram.ttl != TTL {
        return Err(Refused::HopLimit);
    }
    let (header, segment) = frame[ethernet::HEADER_LEN..datagram.end]
        .split_at(datagram.transport_at - ethernet::HEADER_LEN);
    let segment = &segment[..usize::from(len)];
    let (source, destination) = (datagram.source, datagram.destination);
    let pseudo = checksum::pseudo_header(source, destination, ipv4::UDP, len);
    // The checksum may be missing (RFC 768), but not be wrong.
    let is_summed = segment[6..8] != [0, 0];
    if !checksum::verify_ipv4(header)
        || is_summed && checksum::fold(pseudo + checksum::sum(segment)) != 0xffff
    {
        return Err(Refused::Checksum);
    }
    let control = Control::parse(&segment[udp::HEADER_LEN..])?;
    Ok(Received { source, destination, control })
}
