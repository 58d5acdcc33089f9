//! TCP (RFC 9293).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header without options.
pub const HEADER_LEN: usize = 20;
/// Data offset field of a header without options.
pub const OFFSET_BARE: u8 = 0x50;
/// Flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// Flag: synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Flag: reset the connection.
pub const RST: u8 = 0x04;
/// Flag: push.
pub const PSH: u8 = 0x08;
/// Flag: the acknowledgement field is significant.
pub const ACK: u8 = 0x10;
/// Flag: the urgent pointer is significant.
pub const URG: u8 = 0x20;
/// Flag: echo of a congestion mark (RFC 3168).
pub const ECE: u8 = 0x40;
/// Flag: congestion window reduced (RFC 3168).
pub const CWR: u8 = 0x80;

/// The header without options, as it lies in a frame.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Tcp {
    /// Sender's port.
    pub source: U16,
    /// Receiver's port.
    pub destination: U16,
    /// Number of the first byte of payload.
    pub sequence: U32,
    /// Number of the byte expected next.
    pub acknowledgement: U32,
    /// Header length in words in the upper half; the lower half is reserved.
    pub offset: u8,
    /// [`SYN`], [`ACK`] and the others.
    pub flags: u8,
    /// Bytes the sender of this segment is ready to receive.
    pub window: U16,
    /// Checksum of pseudo-header and segment.
    pub checksum: U16,
    /// End of urgent data, relative to the sequence number.
    pub urgent: U16,
}

impl Tcp {
    /// Bytes of the header with its options, as the header claims.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.offset >> 4) * 4
    }
}

const _: () = assert!(size_of::<Tcp>() == HEADER_LEN);
