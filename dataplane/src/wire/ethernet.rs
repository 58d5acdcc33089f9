//! Ethernet II (IEEE 802.3 §3.1.1, with the type interpretation of the length/type field).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header.
pub const HEADER_LEN: usize = 14;
/// Type field of IPv4.
pub const IPV4: u16 = 0x0800;
/// Type field of IPv6.
pub const IPV6: u16 = 0x86dd;
/// Type field of ARP.
pub const ARP: u16 = 0x0806;
/// Lowest value that names a type; anything below is an IEEE 802.3 length.
pub const TYPE_MIN: u16 = 0x0600;
/// Address of every station.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// The header, as it lies in a frame.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Ethernet {
    /// Receiver.
    pub destination: [u8; 6],
    /// Sender.
    pub source: [u8; 6],
    /// What follows, such as [`IPV4`].
    pub ethertype: U16,
}

const _: () = assert!(size_of::<Ethernet>() == HEADER_LEN);
