//! A look at each frame: what remains where the device keeps nobody apart.
//!
//! Whoever receives for all cores asks [`Classifier::core_of`] for each frame. It compares the first 34
//! bytes with a few dozen claims in turn; with as many cores as that it is the bottleneck, which is why
//! it comes last.

use super::{Claim, Mechanism};
use crate::frame::HEAD;
use std::net::Ipv4Addr;

/// Most claims: more cores share no device.
pub const CLAIMS_MAX: usize = 256;

/// EtherType of a tagged frame (IEEE 802.1Q) and of IPv4.
const TAGGED: [u8; 2] = [0x81, 0x00];
const IPV4: [u8; 2] = [0x08, 0x00];

/// Claims, those with the longest prefix first.
#[derive(Clone, Debug, Default)]
pub struct Classifier {
    claims: Vec<Claim>,
}

impl Classifier {
    /// The core that a frame is meant for, by the first bytes of it; `None` where no claim holds it.
    #[inline]
    pub fn core_of(&self, head: &[u8; HEAD]) -> Option<u16> {
        let tagged = head[12..14] == TAGGED;
        let vlan = tagged.then(|| u16::from_be_bytes([head[14], head[15]]) & 0xfff);
        let (kind, at) = if tagged { (&head[16..18], 34) } else { (&head[12..14], 30) };
        let address = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let destination = (kind == IPV4).then(|| Ipv4Addr::from(address));
        let holds = |claim: &&Claim| {
            let prefix = |net: ipnet::Ipv4Net| destination.is_some_and(|ip| net.contains(&ip));
            claim.mac.0 == head[..6] && claim.vlan == vlan && claim.prefix.is_none_or(prefix)
        };
        self.claims.iter().find(holds).map(|claim| claim.core)
    }
}

impl Mechanism for Classifier {
    fn name(&self) -> &'static str {
        "software"
    }

    fn create(&mut self, claim: &Claim) -> Result<(), String> {
        if self.claims.len() == CLAIMS_MAX {
            return Err(format!("{CLAIMS_MAX} claims are there already"));
        }
        let bits = |claim: &Claim| claim.prefix.map(|net| net.prefix_len());
        let place = self.claims.partition_point(|there| bits(there) >= bits(claim));
        self.claims.insert(place, *claim);
        Ok(())
    }

    fn clear(&mut self) {
        self.claims.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Mac;
    use etherparse::PacketBuilder;

    fn head(mac: Mac, vlan: Option<u16>, to: [u8; 4]) -> [u8; HEAD] {
        let ethernet = PacketBuilder::ethernet2([2; 6], mac.0);
        let mut frame = Vec::new();
        let written = match vlan.and_then(|id| etherparse::VlanId::try_new(id).ok()) {
            Some(id) => {
                ethernet.single_vlan(id).ipv4([9; 4], to, 64).udp(1, 2).write(&mut frame, &[0; 32])
            }
            None => ethernet.ipv4([9; 4], to, 64).udp(1, 2).write(&mut frame, &[0; 32]),
        };
        written.expect("a vector takes everything");
        frame[..HEAD].try_into().expect("long enough")
    }

    #[test]
    fn frames_are_told_apart_by_address_tag_and_prefix() {
        let (one, two) = (Mac::of(1, 0, 0), Mac::of(1, 0, 1));
        let net = |text: &str| text.parse().ok();
        let mut classifier = Classifier::default();
        for (core, mac, vlan, prefix) in [
            (0, one, None, None),
            (1, one, None, net("10.0.0.0/8")),
            (2, one, None, net("10.1.0.0/16")),
            (3, one, Some(7), None),
            (4, two, None, net("10.0.0.0/8")),
        ] {
            let claim = Claim { core, mac, vlan, prefix };
            assert_eq!(classifier.create(&claim), Ok(()));
        }
        let table = [
            (one, None, [192, 0, 2, 1], Some(0)),
            (one, None, [10, 2, 0, 1], Some(1)),
            (one, None, [10, 1, 0, 1], Some(2)),
            (one, Some(7), [10, 1, 0, 1], Some(3)),
            (one, Some(8), [10, 1, 0, 1], None),
            (two, None, [10, 255, 0, 1], Some(4)),
            (two, None, [11, 0, 0, 1], None),
            (Mac::of(9, 9, 9), None, [10, 0, 0, 1], None),
        ];
        for (mac, vlan, to, core) in table {
            assert_eq!(classifier.core_of(&head(mac, vlan, to)), core, "{mac} {vlan:?} {to:?}");
        }
        // A frame that is no IPv4 has no destination there, whatever its bytes.
        let mut arp = head(two, None, [10, 0, 0, 1]);
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        assert_eq!(classifier.core_of(&arp), None);
    }

    #[test]
    fn room_is_bounded() {
        let mut classifier = Classifier::default();
        let claim = Claim { core: 0, mac: Mac::of(1, 0, 0), vlan: None, prefix: None };
        assert!((0..CLAIMS_MAX).all(|_| classifier.create(&claim).is_ok()));
        assert!(classifier.create(&claim).is_err());
        classifier.clear();
        assert_eq!(classifier.core_of(&head(claim.mac, None, [0; 4])), None);
    }
}
