//! The shape of nearly every packet, recognised at once and read without decisions.

use super::checksum::is_intact;
use super::ipv4::{TCP, UDP};
use super::{Endpoint, ethernet};
use crate::frame::HEAD;

/// Offset of the transport header behind Ethernet and an IPv4 header without options.
pub const TRANSPORT_AT: usize = ethernet::HEADER_LEN + super::ipv4::HEADER_LEN;

/// The fields of a plain packet: a whole UDP datagram or TCP segment in IPv4 without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// Sender.
    pub source: Endpoint,
    /// Receiver.
    pub destination: Endpoint,
    /// [`UDP`] or [`TCP`].
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// TCP's flags; zero for UDP.
    pub flags: u8,
}

#[inline]
fn bytes<const N: usize>(head: &[u8; HEAD], at: usize) -> [u8; N] {
    head[at..at + N].try_into().expect("a constant range inside the head")
}

/// Whether the first 60 bytes of a frame of `len` are those of a plain packet whose IPv4 header
/// checksum is right. What this accepts, [`super::parse`] and `checksum::verify_ipv4` accept with
/// the fields that [`Plain::read`] reads; what it does not, they must judge.
#[inline]
pub fn is_plain(head: &[u8; HEAD], len: usize) -> bool {
    flaws(head, len) == 0
}

/// What keeps a frame from being plain, as bits that are zero if nothing does: one comparison of
/// many fields, to which others can be added, where they are a decision for each. Fields that are
/// held against a constant are so in the machine's byte order.
#[inline]
pub fn flaws(head: &[u8; HEAD], len: usize) -> u64 {
    let number = |at: usize| i32::from(u16::from_be_bytes(bytes(head, at)));
    // All ones for TCP: a branch on the protocol would be mispredicted half of the time.
    let is_tcp = -i32::from(head[23] == TCP);
    let (header, datagram) = (i32::from(head[46] >> 4) * 4, number(38));
    let part = datagram ^ (datagram ^ header) & is_tcp;
    let least = UDP_HEADER ^ (UDP_HEADER ^ TCP_HEADER) & is_tcp;
    let protocol = i32::from(UDP) ^ i32::from(UDP ^ TCP) & is_tcp;
    let total = number(16);
    let len = len.min(i32::MAX as usize) as i32;
    // Negative where a TCP header of less than five words or a UDP length of less than eight bytes,
    // or one that is more than there is.
    let misfit = (part - least) | (total - IPV4_HEADER - part) | (len - ETHERNET_HEADER - total);
    let misfit = misfit as u32 >> 31;
    let version = u32::from_ne_bytes(bytes(head, 12)) ^ u32::from_ne_bytes([0x08, 0x00, 0x45, 0]);
    let version = version & u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
    let fragment = u16::from_ne_bytes(bytes(head, 20)) & u16::from_ne_bytes([0x3f, 0xff]);
    let other = i32::from(head[23]) ^ protocol;
    u64::from(misfit | version | u32::from(fragment) | other as u32 | u32::from(!is_summed(head)))
}

const ETHERNET_HEADER: i32 = ethernet::HEADER_LEN as i32;
const IPV4_HEADER: i32 = super::ipv4::HEADER_LEN as i32;
const TCP_HEADER: i32 = super::tcp::HEADER_LEN as i32;
const UDP_HEADER: i32 = super::udp::HEADER_LEN as i32;

/// Whether the IPv4 header, whose length is known here, carries the right checksum. Order of bytes
/// does not matter to the sum (RFC 1071 §2), and neither does how many words are added at once.
#[inline]
fn is_summed(head: &[u8; HEAD]) -> bool {
    let (first, carry) =
        u64::from_ne_bytes(bytes(head, 14)).overflowing_add(u64::from_ne_bytes(bytes(head, 22)));
    let last = u64::from(u32::from_ne_bytes(bytes(head, 30))) + u64::from(carry);
    is_intact((first >> 32) + (first & 0xffff_ffff) + last)
}

impl Plain {
    /// Reads the fields of a head that [`is_plain`] accepted; of any other, what stands in their
    /// place.
    #[inline]
    pub fn read(head: &[u8; HEAD]) -> Plain {
        let protocol = head[23];
        Plain {
            source: Endpoint::of_bytes(bytes(head, 26), bytes(head, 34)),
            destination: Endpoint::of_bytes(bytes(head, 30), bytes(head, 36)),
            protocol,
            ttl: head[22],
            flags: head[47] & u8::from(protocol == TCP).wrapping_neg(),
        }
    }
}
