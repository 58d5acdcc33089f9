//! The Internet checksum: computed once by whoever makes a packet, updated ever after.
//!
//! The checksum is the complement of the ones' complement sum of 16-bit words (RFC 1071). That sum
//! is associative and does not care for byte order (RFC 1071 §2), so words are added eight bytes at
//! a time in the machine's own order and the carries are folded in at the end.
//!
//! A middlebox must not recompute it: it would have to read the payload, and it would put a correct
//! checksum on a packet that arrived damaged. It updates instead, by `HC' = ~(~HC + ~m + m')`
//! (RFC 1624 equation 3). Equation 2 of RFC 1141, which looks simpler, turns a checksum of 0x0000
//! into 0xffff, which no receiver expects. Since IPv4 header and transport checksum cover the same
//! addresses, one [`Delta`] serves both; ports are added for the transport alone.
//!
//! UDP transmits a checksum of zero as 0xffff, because zero says that there is none (RFC 768). A
//! packet without checksum must leave without one: [`Delta::apply_udp`] keeps zero as it is.
//!
//! All sums here are over big-endian words: fields read through `zerocopy` go in as they are.

use super::ipv4::UDP;
use super::{ENDPOINT_BITS, Endpoint};
use std::net::Ipv4Addr;

/// Ones' complement sum of the bytes, not folded. Sums of several pieces add up where each piece
/// but the last has an even length; an odd last byte counts as if followed by zero.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    let mut words = 0_u64;
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        // Two halves of 32 bits: the carries gather in the upper half of the sum.
        let eight = u64::from_ne_bytes(*chunk);
        words += (eight >> 32) + (eight & 0xffff_ffff);
    }
    // The last seven bytes by halves: a copy of unknown length would be a call.
    let (four, rest) = rest.split_at(rest.len() & 4);
    if let Ok(four) = four.try_into() {
        words += u64::from(u32::from_ne_bytes(four));
    }
    let (two, one) = rest.split_at(rest.len() & 2);
    if let Ok(two) = two.try_into() {
        words += u64::from(u16::from_ne_bytes(two));
    }
    if let Some(&last) = one.first() {
        words += u64::from(u16::from_ne_bytes([last, 0]));
    }
    u64::from(u16::from_be(fold(words)))
}

/// Folds the carries of a sum into 16 bits. The checksum is the complement of the result.
#[inline]
pub fn fold(sum: u64) -> u16 {
    // A number plus itself with its halves swapped has in its upper half the sum of the two halves,
    // the carry of that already added from below.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// Whether a sum that includes its checksum says that the bytes are intact: whether it is a multiple
/// of 65,535. It must not be zero, which a sum of bytes that are not all zero never is.
///
/// Multiplication by the inverse modulo 2⁶⁴ takes multiples, and only them, to their quotients
/// (Granlund and Montgomery, 1994). Written as a remainder it is compiled to twice the instructions.
#[inline]
pub fn is_intact(sum: u64) -> bool {
    const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
    const _: () = assert!(INVERSE.wrapping_mul(0xffff) == 1);
    sum.wrapping_mul(INVERSE) <= u64::MAX / 0xffff
}

/// Checksum that belongs into an IPv4 header of 20 to 60 bytes, whatever is in its place now.
///
/// # Panics
/// If the header is shorter than 12 bytes.
#[inline]
pub fn ipv4_header(header: &[u8]) -> u16 {
    !fold(sum(&header[..10]) + sum(&header[12..]))
}

/// Whether an IPv4 header, options included, carries the checksum it should.
#[inline]
pub fn verify_ipv4(header: &[u8]) -> bool {
    let Ok(header) = <&[u8; 20]>::try_from(header) else {
        return fold(sum(header)) == 0xffff;
    };
    // Five words of the machine's own order: nearly every header, at a fifth of the cost.
    let (words, _) = header.as_chunks::<4>();
    let sum: u64 = words.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum();
    fold(sum) == 0xffff
}

/// Sum of the pseudo-header of UDP and TCP; `len` counts transport header and payload.
#[inline]
pub fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> u64 {
    let (source, destination) = (u32::from(source), u32::from(destination));
    u64::from(source) + u64::from(destination) + u64::from(protocol) + u64::from(len)
}

/// Checksum of a UDP or TCP segment of up to 65,535 bytes, whose checksum field must be zero. For
/// UDP the result is never zero.
#[inline]
pub fn transport(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, segment: &[u8]) -> u16 {
    let pseudo = pseudo_header(source, destination, protocol, segment.len() as u16);
    let check = !fold(pseudo + sum(segment));
    if protocol == UDP && check == 0 { 0xffff } else { check }
}

/// What a rewrite of some header fields does to every checksum that covers them. 2³² and 2⁴⁸ leave
/// a remainder of one, as 2¹⁶ does, so that wide fields are added as they are and folded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u64);

impl Delta {
    /// No change.
    #[inline]
    pub const fn new() -> Self {
        Self(0)
    }

    /// A 16-bit field changes. The field must start at an even offset of what the checksum covers.
    #[inline]
    #[must_use]
    pub const fn replace_u16(self, old: u16, new: u16) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// A 32-bit field changes, such as an address. It must start at an even offset too.
    #[inline]
    #[must_use]
    pub const fn replace_u32(self, old: u32, new: u32) -> Self {
        Self(self.0 + !old as u64 + new as u64)
    }

    /// An address and a port change, each at an even offset. They are words in the order of the
    /// wire, so what they are applied to must be: a checksum read in the machine's order.
    #[inline]
    #[must_use]
    pub fn replace_endpoint(self, old: Endpoint, new: Endpoint) -> Self {
        Self(self.0 + (!old.bits() & ENDPOINT_BITS) + new.bits())
    }

    /// The checksum after the change, for IPv4 headers, TCP and ICMP.
    #[inline]
    #[must_use]
    pub fn apply(self, check: u16) -> u16 {
        !fold(self.0 + u64::from(!check))
    }

    /// The checksum after the change, for UDP: zero stays zero, and nothing else becomes zero.
    #[inline]
    #[must_use]
    pub fn apply_udp(self, check: u16) -> u16 {
        let changed = self.apply(check);
        // Either is rare, or known for a whole flow: a branch costs less than selecting.
        match (check, changed) {
            (0, _) => 0,
            (_, 0) => 0xffff,
            _ => changed,
        }
    }

    /// The checksum after the change, of TCP or, if `udp`, of UDP: which of them is not branched on.
    #[inline]
    #[must_use]
    pub fn apply_either(self, check: u16, udp: bool) -> u16 {
        let changed = self.apply(check);
        // All ones where UDP's rules apply.
        let none = u16::from((check == 0) & udp).wrapping_neg();
        let zero = u16::from((changed == 0) & udp).wrapping_neg();
        (changed | zero) & !none
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 1071 §3.
    #[test]
    fn sum_of_the_rfc() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    /// The worked example of RFC 1624 §4: 0x5555 becomes 0x3285, and the result is not 0xffff.
    #[test]
    fn update_of_the_rfc() {
        assert_eq!(Delta::new().replace_u16(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn folding_keeps_every_carry() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0x0002_fffe), 1);
        assert_eq!(fold(0), 0);
    }

    #[test]
    fn udp_keeps_its_two_zeros_apart() {
        let change = Delta::new().replace_u16(0x5555, 0x3285);
        assert_eq!(change.apply_udp(0xdd2f), 0xffff);
        assert_eq!(change.apply_udp(0), 0);
    }
}
