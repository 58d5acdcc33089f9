//! Where a packet comes from and goes to: addresses and ports just as they stand in its header.
//!
//! Nothing is calculated with them but checksums, which do not care for byte order (RFC 1071 §2(B)).
//! So a connection's record keeps them in network order, with the sum of the addresses, and a packet
//! costs two stores to write and two comparisons to verify.

use dataplane::frame::HEAD;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Where both addresses begin in an Ethernet frame.
const ADDRESSES: usize = 26;
/// Where both ports begin, behind an IPv4 header without options.
const PORTS: usize = 34;

/// The four fields that a NAT changes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Ends {
    /// Source address, destination address.
    pub(crate) addresses: u64,
    /// Source port, destination port.
    pub(crate) ports: u32,
    /// Sum of the four words of the addresses, which IPv4 and the transport have in common.
    pub(crate) sum: u32,
}

impl Ends {
    /// From one address and port to another, in host order.
    pub fn new(source: (u32, u16), destination: (u32, u16)) -> Ends {
        let addresses = u64::from(source.0) << 32 | u64::from(destination.0);
        let ports = u32::from(source.1) << 16 | u32::from(destination.1);
        Ends::of(addresses.to_be(), ports.to_be())
    }

    /// Of addresses and ports in network order.
    #[inline]
    fn of(addresses: u64, ports: u32) -> Ends {
        let word = |shift: u32| (addresses >> shift) as u32 & 0xffff;
        Ends { addresses, ports, sum: word(0) + word(16) + word(32) + word(48) }
    }

    /// Those of a frame.
    #[inline]
    pub fn read(head: &[u8; HEAD]) -> Ends {
        let addresses = head[ADDRESSES..][..8].try_into().expect("8 bytes");
        let ports = head[PORTS..][..4].try_into().expect("4 bytes");
        Ends::of(u64::from_ne_bytes(addresses), u32::from_ne_bytes(ports))
    }

    /// Writes them into a frame.
    #[inline]
    pub fn write(self, head: &mut [u8; HEAD]) {
        head[ADDRESSES..][..8].copy_from_slice(&self.addresses.to_ne_bytes());
        head[PORTS..][..4].copy_from_slice(&self.ports.to_ne_bytes());
    }

    /// The way back.
    #[inline]
    pub fn reversed(self) -> Ends {
        let (addresses, ports) = (self.addresses.rotate_left(32), self.ports.rotate_left(16));
        Ends { addresses, ports, ..self }
    }

    /// Source address and port, in host order.
    #[inline]
    pub fn source(self) -> (u32, u16) {
        let (addresses, ports) = (u64::from_be(self.addresses), u32::from_be(self.ports));
        ((addresses >> 32) as u32, (ports >> 16) as u16)
    }

    /// Destination address and port, in host order.
    #[inline]
    pub fn destination(self) -> (u32, u16) {
        self.reversed().source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_are_read_as_written(source: (u32, u16), destination: (u32, u16)) {
            let (ends, mut head) = (Ends::new(source, destination), [0xee; HEAD]);
            ends.write(&mut head);
            prop_assert_eq!(&head[26..30], &source.0.to_be_bytes()[..]);
            prop_assert_eq!(&head[30..34], &destination.0.to_be_bytes()[..]);
            prop_assert_eq!(&head[34..36], &source.1.to_be_bytes()[..]);
            prop_assert_eq!(&head[36..38], &destination.1.to_be_bytes()[..]);
            prop_assert_eq!(Ends::read(&head), ends);
            prop_assert_eq!((ends.source(), ends.destination()), (source, destination));
            prop_assert_eq!(ends.reversed(), Ends::new(destination, source));
        }
    }
}
