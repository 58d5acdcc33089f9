//! The shape of nearly every packet, recognised at once.

use super::ipv4::{TCP, UDP};
use super::{checksum, ethernet};
use crate::frame::HEAD;

/// Offset of the transport header behind Ethernet and an IPv4 header without options.
pub const TRANSPORT_AT: usize = ethernet::HEADER_LEN + super::ipv4::HEADER_LEN;

/// A whole UDP datagram or TCP segment in IPv4 without options, its header checksum right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Sender's address.
    pub source: u32,
    /// Receiver's address.
    pub destination: u32,
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
    /// [`UDP`] or [`TCP`].
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// TCP's flags; zero for UDP.
    pub flags: u8,
}

/// Recognises a plain packet from its first 60 bytes. Whatever it accepts, [`super::parse`] and
/// [`checksum::verify_ipv4`] accept with the same fields; whatever it does not, they must judge. It
/// is one comparison of many fields, where they are a decision for each.
#[inline]
pub fn plain(head: &[u8; HEAD], len: usize) -> Option<Plain> {
    let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let u32_at =
        |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let total = usize::from(u16_at(16));
    let (protocol, tcp) = (head[23], head[23] == TCP);
    let payload = total.wrapping_sub(super::ipv4::HEADER_LEN);
    let (least, most) = if tcp {
        let header = usize::from(head[46] >> 4) * 4;
        (header.max(super::tcp::HEADER_LEN), header)
    } else {
        let datagram = usize::from(u16_at(38));
        (super::udp::HEADER_LEN, datagram)
    };
    // A TCP header of at least five words that fits, a UDP length of at least eight bytes that does.
    let fits = most >= least && most <= payload && total + ethernet::HEADER_LEN <= len;
    let kind = u32_at(12) & 0xffff_ff00 == 0x0800_4500 && u16_at(20) & 0x3fff == 0;
    if !(kind & fits & (tcp | (protocol == UDP)))
        || payload > len
        || !checksum::verify_ipv4(&head[14..34])
    {
        return None;
    }
    Some(Plain {
        source: u32_at(26),
        destination: u32_at(30),
        source_port: u16_at(34),
        destination_port: u16_at(36),
        protocol,
        ttl: head[22],
        flags: if tcp { head[47] } else { 0 },
    })
}
