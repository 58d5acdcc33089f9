//! Which addresses are inside.

use arrayvec::ArrayVec;
use ipnet::Ipv6Net;

/// Most separate prefixes one core serves.
pub const PREFIXES_MAX: usize = 16;

/// The prefixes whose hosts are protected.
#[derive(Clone, Debug)]
pub(super) struct Inside(ArrayVec<Prefix, PREFIXES_MAX>);

#[derive(Clone, Copy, Debug)]
struct Prefix {
    network: u128,
    mask: u128,
}

impl Inside {
    /// These prefixes; those that make up a larger one become it. Gives back how many remain, where
    /// they are more than [`PREFIXES_MAX`].
    pub(super) fn new(nets: &[Ipv6Net]) -> Result<Inside, usize> {
        let nets = Ipv6Net::aggregate(&nets.to_vec());
        if nets.len() > PREFIXES_MAX {
            return Err(nets.len());
        }
        let prefixes = nets.into_iter().map(|net| Prefix {
            network: u128::from(net.network()),
            mask: u128::from(net.netmask()),
        });
        Ok(Inside(prefixes.collect()))
    }

    #[inline]
    pub(super) fn contains(&self, address: u128) -> bool {
        self.0.iter().any(|prefix| address & prefix.mask == prefix.network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn nets(texts: impl IntoIterator<Item = String>) -> Vec<Ipv6Net> {
        texts.into_iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn prefixes_contain_their_addresses_and_no_others() {
        let texts = ["2001:2:0:1::/64", "2001:2:0:2::1/63", "2001:2:1::7/128"];
        let inside = Inside::new(&nets(texts.map(String::from))).unwrap();
        for (text, expected) in [
            ("2001:2::ffff", false),
            ("2001:2:0:1::", true),
            ("2001:2:0:1:ffff:ffff:ffff:ffff", true),
            ("2001:2:0:3::5", true),
            ("2001:2:0:4::", false),
            ("2001:2:1::7", true),
            ("2001:2:1::8", false),
        ] {
            let address: Ipv6Addr = text.parse().unwrap();
            assert_eq!(inside.contains(address.into()), expected, "{text}");
        }
        assert!(!Inside::new(&[]).unwrap().contains(0));
    }

    #[test]
    fn neighbours_count_once_and_the_scattered_are_refused() {
        let of =
            |step: u32, count: u32| nets((0..count).map(|i| format!("2a00:{:x}::/32", step * i)));
        assert!(Inside::new(&of(1, 256)).is_ok());
        assert_eq!(Inside::new(&of(2, 17)).map(|_| ()), Err(17));
    }
}
