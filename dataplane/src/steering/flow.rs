//! Rules in a device: a pattern of headers, and the queue of what matches (`rte_flow`).
//!
//! A rule is plain data here, from the outermost header inwards, so that what is asked of a device can
//! be read and tested without one. [`FlowDevice`] is who creates it.

use super::{Claim, Mechanism};
use crate::identity::Mac;
use arrayvec::ArrayVec;
use std::net::Ipv4Addr;

/// A header and what is compared in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// Ethernet, by destination.
    Ethernet {
        /// All 48 bits count.
        destination: Mac,
    },
    /// IEEE 802.1Q tag, by VLAN.
    Vlan {
        /// 12 bits count: neither priority nor drop eligibility.
        id: u16,
    },
    /// IPv4, by destination.
    Ipv4 {
        /// Address, zero where the mask is.
        destination: Ipv4Addr,
        /// Bits that count.
        mask: Ipv4Addr,
    },
}

/// Headers of a pattern at most.
pub const ITEMS_MAX: usize = 3;

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRule {
    items: [Option<Item>; ITEMS_MAX],
    /// Queue of what matches.
    pub queue: u16,
    /// Lower numbers are looked at first (`rte_flow`'s order): longer prefixes before shorter ones.
    pub priority: u32,
}

impl FlowRule {
    /// The rule that makes a claim good; its queue is the core's.
    ///
    /// # Errors
    /// A VLAN beyond 12 bits.
    pub fn of(claim: &Claim) -> Result<FlowRule, String> {
        let ethernet = Some(Item::Ethernet { destination: claim.mac });
        let vlan = match claim.vlan {
            Some(id @ 1..=4094) => Some(Item::Vlan { id }),
            Some(other) => return Err(format!("VLAN {other}: expected 1 to 4094")),
            None => None,
        };
        let ipv4 =
            claim.prefix.map(|net| Item::Ipv4 { destination: net.network(), mask: net.netmask() });
        let bits = claim.prefix.map_or(0, |net| u32::from(net.prefix_len()) + 1);
        Ok(FlowRule { items: [ethernet, vlan, ipv4], queue: claim.core, priority: 33 - bits })
    }

    /// The pattern, from the outermost header inwards.
    pub fn items(&self) -> ArrayVec<Item, ITEMS_MAX> {
        self.items.into_iter().flatten().collect()
    }
}

/// Who creates rules. There is no validation: what it says binds nobody.
pub trait FlowDevice {
    /// Creates a rule.
    ///
    /// # Errors
    /// The device's reason.
    fn create_flow(&mut self, rule: &FlowRule) -> Result<(), String>;

    /// Removes all rules.
    fn flush_flows(&mut self);
}

/// Rules of a device.
#[derive(Debug)]
pub struct FlowRules<D> {
    device: D,
}

impl<D: FlowDevice> FlowRules<D> {
    /// Of this device.
    pub fn new(device: D) -> FlowRules<D> {
        FlowRules { device }
    }
}

impl<D: FlowDevice> Mechanism for FlowRules<D> {
    fn name(&self) -> &'static str {
        "rte_flow"
    }

    fn create(&mut self, claim: &Claim) -> Result<(), String> {
        self.device.create_flow(&FlowRule::of(claim)?)
    }

    fn clear(&mut self) {
        self.device.flush_flows();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_go_from_the_outermost_header_inwards() {
        let mac = Mac::of(1, 2, 3);
        let net = "198.18.4.7/22".parse().ok();
        let claim = Claim { core: 5, mac, vlan: Some(100), prefix: net };
        let rule = FlowRule::of(&claim).expect("a rule");
        let ethernet = Item::Ethernet { destination: mac };
        let ipv4 = Item::Ipv4 {
            destination: Ipv4Addr::new(198, 18, 4, 0),
            mask: Ipv4Addr::new(255, 255, 252, 0),
        };
        assert_eq!(rule.items()[..], [ethernet, Item::Vlan { id: 100 }, ipv4]);
        assert_eq!(rule.queue, 5);
        let plain = FlowRule::of(&Claim { vlan: None, prefix: None, ..claim }).expect("a rule");
        assert_eq!(plain.items()[..], [ethernet]);
    }

    #[test]
    fn longer_prefixes_are_looked_at_first() {
        let claim = |prefix: Option<&str>| Claim {
            core: 0,
            mac: Mac::of(1, 0, 0),
            vlan: None,
            prefix: prefix.map(|net| net.parse().expect("a network")),
        };
        let priority = |prefix| FlowRule::of(&claim(prefix)).expect("a rule").priority;
        let order = [Some("10.0.0.1/32"), Some("10.0.0.0/8"), Some("0.0.0.0/0"), None];
        assert!(order.map(priority).is_sorted_by(|a, b| a < b), "{:?}", order.map(priority));
    }

    #[test]
    fn vlans_that_do_not_exist_are_refused() {
        for id in [0, 4095, u16::MAX] {
            let claim = Claim { core: 0, mac: Mac::of(1, 0, 0), vlan: Some(id), prefix: None };
            assert!(FlowRule::of(&claim).is_err_and(|why| why.contains("1 to 4094")), "{id}");
        }
    }
}
