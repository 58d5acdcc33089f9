//! IPv4 (RFC 791).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 20;
/// Version 4 and a header of five words: the first byte of nearly every datagram.
pub const VERSION_IHL: u8 = 0x45;
/// Protocol field of ICMP.
pub const ICMP: u8 = 1;
/// Protocol field of TCP.
pub const TCP: u8 = 6;
/// Protocol field of UDP.
pub const UDP: u8 = 17;
/// Flag: routers must not fragment.
pub const DONT_FRAGMENT: u16 = 0x4000;
/// Flag: more fragments follow.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// Bits of the fragment offset, in units of 8 bytes.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// The header without options, as it lies in a frame.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Ipv4 {
    /// Version in the upper half, header length in words in the lower.
    pub version_ihl: u8,
    /// Differentiated services and congestion notification.
    pub traffic_class: u8,
    /// Bytes of header and payload.
    pub total_len: U16,
    /// Identification of the datagram among its fragments.
    pub id: U16,
    /// Flags and fragment offset.
    pub fragment: U16,
    /// Routers the datagram may still pass.
    pub ttl: u8,
    /// What follows, such as [`UDP`].
    pub protocol: u8,
    /// Checksum of the header.
    pub checksum: U16,
    /// Sender.
    pub source: U32,
    /// Receiver.
    pub destination: U32,
}

impl Ipv4 {
    /// Bytes of the header with its options, as the header claims.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f) * 4
    }

    /// Whether the datagram is a fragment, the first one included.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment.get() & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }
}

const _: () = assert!(size_of::<Ipv4>() == HEADER_LEN);
