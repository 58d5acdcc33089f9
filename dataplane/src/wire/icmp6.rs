//! ICMP for IPv6 (RFC 4443) and the messages of neighbour discovery (RFC 4861) a router answers.
//!
//! Unlike ICMP for IPv4, the checksum covers a pseudo-header: [`checksum`].

use super::checksum::{fold, sum};
use super::ipv6::ICMPV6;
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the header, the four that depend on the type included.
pub const HEADER_LEN: usize = 8;
/// Type: the datagram quoted in the payload could not be delivered.
pub const DESTINATION_UNREACHABLE: u8 = 1;
/// Type: the datagram quoted in the payload is too long for a link on its way.
pub const PACKET_TOO_BIG: u8 = 2;
/// Type: the datagram quoted in the payload ran out of hops or of reassembly time.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: the datagram quoted in the payload has a bad header.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: the sender asks for an echo.
pub const ECHO_REQUEST: u8 = 128;
/// Type: answer to an echo request.
pub const ECHO_REPLY: u8 = 129;
/// Type: who has the target address? (RFC 4861 §4.3)
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Type: the sender has the target address (RFC 4861 §4.4).
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Type: the sender of the quoted datagram has a better router on its own link (RFC 4861 §4.5).
pub const REDIRECT: u8 = 137;
/// Bytes of a neighbour solicitation or advertisement without options.
pub const NEIGHBOUR_LEN: usize = 24;

/// The header, as it lies in a frame. The last four bytes are named as echo uses them.
#[derive(
    FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug, PartialEq, Eq,
)]
#[repr(C)]
pub struct Icmp6 {
    /// Type, such as [`ECHO_REQUEST`].
    pub kind: u8,
    /// Reason, where the type has several.
    pub code: u8,
    /// Checksum of pseudo-header and message.
    pub checksum: U16,
    /// Identifier: what a port is to UDP, for echo.
    pub id: U16,
    /// Sequence number, for echo.
    pub sequence: U16,
}

/// Whether a message of this type tells of an error: half of all types do (RFC 4443 §2.1).
#[inline]
pub fn tells_of_error(kind: u8) -> bool {
    kind < ECHO_REQUEST
}

const _: () = assert!(size_of::<Icmp6>() == HEADER_LEN);

/// Checksum of a message of up to 65,535 bytes: what belongs into its checksum field where that is
/// zero now, and zero where it is right already.
#[inline]
pub fn checksum(source: &[u8; 16], destination: &[u8; 16], message: &[u8]) -> u16 {
    let pseudo = sum(source) + sum(destination) + u64::from(ICMPV6) + message.len() as u64;
    !fold(pseudo + sum(message))
}
