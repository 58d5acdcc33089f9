//! ICMP for IPv4 (RFC 792).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header, the four that depend on the type included.
pub const HEADER_LEN: usize = 8;
/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 0;
/// Type: the datagram quoted in the payload could not be delivered.
pub const DESTINATION_UNREACHABLE: u8 = 3;
/// Type: the sender of the quoted datagram should slow down; obsolete (RFC 6633).
pub const SOURCE_QUENCH: u8 = 4;
/// Type: the sender of the quoted datagram has a better router on its own network.
pub const REDIRECT: u8 = 5;
/// Type: the sender asks for an echo.
pub const ECHO_REQUEST: u8 = 8;
/// Type: the datagram quoted in the payload ran out of hops or of reassembly time.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: the datagram quoted in the payload has a bad header.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Code of [`DESTINATION_UNREACHABLE`]: fragmentation needed (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;

/// The header, as it lies in a frame. The last four bytes are named as echo uses them.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Icmp {
    /// Type, such as [`ECHO_REQUEST`].
    pub kind: u8,
    /// Reason, where the type has several.
    pub code: u8,
    /// Checksum of the whole message; ICMP for IPv4 has no pseudo-header.
    pub checksum: U16,
    /// Identifier: what a port is to UDP, for echo.
    pub id: U16,
    /// Sequence number, for echo.
    pub sequence: U16,
}

impl Icmp {
    /// Whether the message is an echo request or reply, the only ones with an identifier of use.
    #[inline]
    pub fn is_echo(&self) -> bool {
        self.kind == ECHO_REQUEST || self.kind == ECHO_REPLY
    }

    /// Whether the payload quotes the datagram that caused the message (RFC 1122 §3.2.2) and the
    /// message is for whoever sent that, wherever it is: [`SOURCE_QUENCH`] is obsolete and
    /// [`REDIRECT`] means nothing beyond the network it is sent on.
    #[inline]
    pub fn is_error(&self) -> bool {
        matches!(self.kind, DESTINATION_UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
    }
}

/// Whether a message of this type tells of an error (RFC 1122 §3.2.2), for whomever: [`SOURCE_QUENCH`]
/// and [`REDIRECT`] too.
#[inline]
pub fn tells_of_error(kind: u8) -> bool {
    matches!(
        kind,
        DESTINATION_UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
    )
}

const _: () = assert!(size_of::<Icmp>() == HEADER_LEN);
