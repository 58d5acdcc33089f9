//! ARP for IPv4 over Ethernet (RFC 826); any other combination is foreign to this crate.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the packet.
pub const PACKET_LEN: usize = 28;
/// Hardware type of Ethernet.
pub const HARDWARE_ETHERNET: u16 = 1;
/// Operation: who has the target address?
pub const REQUEST: u16 = 1;
/// Operation: the sender has the sender address.
pub const REPLY: u16 = 2;

/// The packet, as it follows the Ethernet header.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Arp {
    /// [`HARDWARE_ETHERNET`].
    pub hardware: U16,
    /// [`super::ethernet::IPV4`].
    pub protocol: U16,
    /// Bytes of a hardware address: 6.
    pub hardware_len: u8,
    /// Bytes of a protocol address: 4.
    pub protocol_len: u8,
    /// [`REQUEST`] or [`REPLY`].
    pub operation: U16,
    /// Station that sent the packet.
    pub sender_station: [u8; 6],
    /// Its IPv4 address.
    pub sender: U32,
    /// Station asked for: zero in a request.
    pub target_station: [u8; 6],
    /// IPv4 address asked for.
    pub target: U32,
}

impl Arp {
    /// Whether the packet is about IPv4 addresses on Ethernet.
    #[inline]
    pub fn is_ipv4_over_ethernet(&self) -> bool {
        self.hardware.get() == HARDWARE_ETHERNET
            && self.protocol.get() == super::ethernet::IPV4
            && self.hardware_len == 6
            && self.protocol_len == 4
    }
}

const _: () = assert!(size_of::<Arp>() == PACKET_LEN);
