//! Addresses that no packet through the firewall may bear.

/// Prefixes that are not for the public Internet, each with its length in bits.
const FORBIDDEN: [(u128, u32); 9] = [
    // Unspecified, loopback and IPv4-compatible (RFC 4291 §2.5; RFC 6092 REC-3).
    (0, 96),
    // IPv4-mapped (REC-3).
    (0xffff_0000_0000, 96),
    // Link-local: a router must not forward them (RFC 4291 §2.5.6).
    (0xfe80 << 112, 10),
    // Site-local, deprecated by RFC 3879 (REC-3).
    (0xfec0 << 112, 10),
    // Unique local (RFC 4193; REC-7).
    (0xfc00 << 112, 7),
    // Documentation (RFC 3849 and RFC 9637; REC-3).
    (0x2001_0db8 << 96, 32),
    (0x3fff << 112, 20),
    // ORCHID, first and second (RFC 4843 and RFC 7343; REC-3).
    (0x2001_0010 << 96, 28),
    (0x2001_0020 << 96, 28),
];

/// Whether the address is a group's (RFC 6092 REC-1 and REC-2).
#[inline]
pub(crate) fn is_multicast(address: u128) -> bool {
    address >> 120 == 0xff
}

/// Whether the address must not appear on the public Internet.
#[inline]
pub(crate) fn is_forbidden(address: u128) -> bool {
    FORBIDDEN.iter().any(|&(prefix, len)| (address ^ prefix) >> (128 - len) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    #[test]
    fn what_is_forbidden() {
        for (text, forbidden) in [
            ("::", true),
            ("::1", true),
            ("::192.0.2.1", true),
            ("::1:0:0", false),
            ("::ffff:192.0.2.1", true),
            ("64:ff9b::192.0.2.1", false),
            ("2001:0:1::1", false),
            ("2001:2::1", false),
            ("2001:10::1", true),
            ("2001:1f:ffff::1", true),
            ("2001:2f:ffff::1", true),
            ("2001:30::1", false),
            ("2001:db7:ffff::1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("3ffe::1", false),
            ("3fff:fff::1", true),
            ("3fff:1000::1", false),
            ("fbff::1", false),
            ("fc00::1", true),
            ("fdff::1", true),
            ("fe80::1", true),
            ("febf::1", true),
            ("fec0::1", true),
            ("feff::1", true),
        ] {
            let address = text.parse::<Ipv6Addr>().unwrap();
            assert_eq!(is_forbidden(address.into()), forbidden, "{text}");
            assert!(!is_multicast(address.into()), "{text}");
        }
        assert!(is_multicast(u128::from("ff02::1".parse::<Ipv6Addr>().unwrap())));
    }
}
