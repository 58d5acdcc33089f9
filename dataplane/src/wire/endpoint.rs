//! An address and port as they stand in a header.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// An IPv4 address and a port (of ICMP queries: the identifier), kept in the byte order of the wire:
/// reading, comparing, hashing and writing one never swaps bytes, and a whole endpoint is one word.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Endpoint(u64);

/// The bits of [`Endpoint::bits`] that are ever set.
pub const ENDPOINT_BITS: u64 = (1 << 48) - 1;

impl Endpoint {
    /// From numbers.
    #[inline]
    pub const fn new(address: u32, port: u16) -> Endpoint {
        Endpoint::of_bytes(address.to_be_bytes(), port.to_be_bytes())
    }

    /// From the bytes of a header.
    #[inline]
    pub const fn of_bytes(address: [u8; 4], port: [u8; 2]) -> Endpoint {
        Endpoint(u32::from_ne_bytes(address) as u64 | (u16::from_ne_bytes(port) as u64) << 32)
    }

    /// From the lower 48 of some bits, whatever the others are.
    #[inline]
    pub fn of_bits(bits: u64) -> Endpoint {
        Endpoint(bits & ENDPOINT_BITS)
    }

    /// The address as a number.
    #[inline]
    pub fn address(self) -> u32 {
        u32::from_be_bytes(self.address_bytes())
    }

    /// The port as a number.
    #[inline]
    pub fn port(self) -> u16 {
        u16::from_be_bytes(self.port_bytes())
    }

    /// The address as it stands in a header.
    #[inline]
    pub fn address_bytes(self) -> [u8; 4] {
        (self.0 as u32).to_ne_bytes()
    }

    /// The port as it stands in a header.
    #[inline]
    pub fn port_bytes(self) -> [u8; 2] {
        ((self.0 >> 32) as u16).to_ne_bytes()
    }

    /// Address in the lower 32 bits and port in the next 16, each in the byte order of the wire:
    /// equal for equal endpoints, and a sum of checksum words in the machine's order.
    #[inline]
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl From<SocketAddrV4> for Endpoint {
    fn from(end: SocketAddrV4) -> Endpoint {
        Endpoint::new(u32::from(*end.ip()), end.port())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Ipv4Addr::from(self.address()), self.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_what_it_was_made_of() {
        let end = Endpoint::new(0xc633_6401, 443);
        assert_eq!((end.address(), end.port()), (0xc633_6401, 443));
        assert_eq!((end.address_bytes(), end.port_bytes()), ([198, 51, 100, 1], [1, 187]));
        assert_eq!(end, Endpoint::of_bytes([198, 51, 100, 1], [1, 187]));
        assert_eq!(end, Endpoint::of_bits(end.bits() | 7 << 48));
        assert_eq!(format!("{end:?}"), "198.51.100.1:443");
    }
}
