//! How a frame comes to the core that owns it, where several cores share a device.
//!
//! A core is a router of its own: what is meant for it bears its address. There are four ways to keep
//! the cores' frames apart, behind one trait: a port for each core ([`PortPerCore`]: a virtual function
//! or a memif), rules in the device ([`flow::FlowRules`], `rte_flow`), its pools for virtual machines
//! ([`Pools`], VMDq), and a look at each frame ([`classifier::Classifier`]). [`choose`] takes the first
//! that takes every claim.
//!
//! Only creation decides. Drivers have been seen to validate rules that they then refuse to create, and
//! a rule that is not there loses its core's frames without a word; so nothing here validates, and a
//! mechanism that refuses one claim gives up all (ADR 14). Called at start-up; the packet path knows
//! nothing of it but [`classifier::Classifier::core_of`].

pub mod classifier;
pub mod flow;

use crate::identity::{Identity, Mac};
use ipnet::Ipv4Net;
use std::fmt;

/// What of a frame says that it is a core's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The core, counted from 0: its port, queue or pool.
    pub core: u16,
    /// Ethernet destination.
    pub mac: Mac,
    /// VLAN, where the network is divided by VLANs.
    pub vlan: Option<u16>,
    /// IPv4 destinations, where cores share an Ethernet address; of several claims that hold a frame, the
    /// one with the longest prefix is meant.
    pub prefix: Option<Ipv4Net>,
}

impl Claim {
    /// What is sent to a core by its own address.
    pub fn of(core: u16, identity: &Identity) -> Claim {
        Claim { core, mac: identity.mac, vlan: identity.vlan, prefix: None }
    }
}

/// A way to keep the cores' frames apart.
pub trait Mechanism {
    /// Its name, in one word.
    fn name(&self) -> &'static str;

    /// Makes a claim good, or says why not.
    ///
    /// # Errors
    /// The reason, in the device's words where it has any.
    fn create(&mut self, claim: &Claim) -> Result<(), String>;

    /// Takes back every claim made good so far.
    fn clear(&mut self);
}

/// A mechanism that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub name: &'static str,
    /// The claim it did not make good.
    pub claim: Claim,
    /// Why.
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refused { name, claim, reason } = self;
        write!(f, "{name}: core {} at {}: {reason}", claim.core, claim.mac)
    }
}

/// No mechanism made every claim good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frames of several cores cannot be told apart here: {}", reasons(.0))]
pub struct NoneLeft(pub Vec<Refused>);

fn reasons(refused: &[Refused]) -> String {
    refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Makes `claims` good by the first of `mechanisms` that can; returns its place among them, and why
/// those before it could not. A mechanism that fails at one claim keeps none.
///
/// # Errors
/// When none can.
pub fn choose(
    mechanisms: &mut [&mut dyn Mechanism],
    claims: &[Claim],
) -> Result<(usize, Vec<Refused>), NoneLeft> {
    let mut refused = Vec::new();
    for (index, mechanism) in mechanisms.iter_mut().enumerate() {
        let failed = claims.iter().find_map(|claim| {
            let reason = mechanism.create(claim).err()?;
            Some(Refused { name: mechanism.name(), claim: *claim, reason })
        });
        match failed {
            None => return Ok((index, refused)),
            Some(failed) => {
                mechanism.clear();
                refused.push(failed);
            }
        }
    }
    Err(NoneLeft(refused))
}

/// A port for each core: the network itself keeps them apart.
#[derive(Clone, Copy, Debug)]
pub struct PortPerCore {
    /// Ports there are.
    pub ports: u16,
}

impl Mechanism for PortPerCore {
    fn name(&self) -> &'static str {
        "port"
    }

    fn create(&mut self, claim: &Claim) -> Result<(), String> {
        match claim.core < self.ports {
            true => Ok(()),
            false => Err(format!("{} ports", self.ports)),
        }
    }

    fn clear(&mut self) {}
}

/// A device with pools for virtual machines: frames go to the pool that has their address.
pub trait PoolDevice {
    /// Gives an address to a pool.
    ///
    /// # Errors
    /// The device's reason.
    fn add_address(&mut self, mac: Mac, pool: u16) -> Result<(), String>;

    /// Takes an address back.
    fn remove_address(&mut self, mac: Mac);
}

/// Pools of a device (VMDq), which know Ethernet addresses and nothing else.
#[derive(Debug)]
pub struct Pools<D> {
    device: D,
    given: Vec<Mac>,
}

impl<D: PoolDevice> Pools<D> {
    /// Of this device.
    pub fn new(device: D) -> Pools<D> {
        Pools { device, given: Vec::new() }
    }
}

impl<D: PoolDevice> Mechanism for Pools<D> {
    fn name(&self) -> &'static str {
        "vmdq"
    }

    fn create(&mut self, claim: &Claim) -> Result<(), String> {
        if claim.vlan.is_some() || claim.prefix.is_some() {
            return Err("pools know Ethernet addresses, and neither VLAN nor prefix".to_owned());
        }
        self.device.add_address(claim.mac, claim.core)?;
        self.given.push(claim.mac);
        Ok(())
    }

    fn clear(&mut self) {
        self.given.drain(..).for_each(|mac| self.device.remove_address(mac));
    }
}

#[cfg(test)]
mod tests {
    use super::classifier::Classifier;
    use super::flow::{FlowDevice, FlowRule, FlowRules};
    use super::*;

    fn claims(count: u16) -> Vec<Claim> {
        (0..count)
            .map(|core| Claim { core, mac: Mac::of(1, 0, core), vlan: None, prefix: None })
            .collect()
    }

    /// A device that takes so many rules or addresses, and says of every rule that it is valid.
    #[derive(Debug, Default)]
    struct Device {
        room: usize,
        rules: Vec<FlowRule>,
        addresses: Vec<(Mac, u16)>,
        flushed: usize,
    }

    impl FlowDevice for &mut Device {
        fn create_flow(&mut self, rule: &FlowRule) -> Result<(), String> {
            if self.rules.len() == self.room {
                return Err("No space left on device".to_owned());
            }
            self.rules.push(*rule);
            Ok(())
        }
        fn flush_flows(&mut self) {
            self.rules.clear();
            self.flushed += 1;
        }
    }

    impl PoolDevice for &mut Device {
        fn add_address(&mut self, mac: Mac, pool: u16) -> Result<(), String> {
            if self.addresses.len() == self.room {
                return Err("Operation not supported".to_owned());
            }
            self.addresses.push((mac, pool));
            Ok(())
        }
        fn remove_address(&mut self, mac: Mac) {
            self.addresses.retain(|&(given, _)| given != mac);
        }
    }

    #[test]
    fn the_first_that_takes_all_is_taken() {
        let mut device = Device { room: 8, ..Device::default() };
        let mut rules = FlowRules::new(&mut device);
        let mut classifier = Classifier::default();
        let chosen =
            choose(&mut [&mut PortPerCore { ports: 2 }, &mut rules, &mut classifier], &claims(3));
        let (index, refused) = chosen.expect("rules take three");
        assert_eq!((index, refused.len()), (1, 1));
        assert_eq!(refused[0].to_string(), "port: core 2 at 02:01:00:00:00:02: 2 ports");
        assert_eq!(device.rules.iter().map(|rule| rule.queue).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_rule_that_is_not_created_takes_all_others_back() {
        let (mut first, mut second) = (Device::default(), Device::default());
        (first.room, second.room) = (3, 2);
        let (mut rules, mut pools) = (FlowRules::new(&mut first), Pools::new(&mut second));
        let mut classifier = Classifier::default();
        let claims = claims(4);
        let chosen = choose(&mut [&mut rules, &mut pools, &mut classifier], &claims);
        let (index, refused) = chosen.expect("software takes all");
        let why: Vec<(&str, u16)> = refused.iter().map(|it| (it.name, it.claim.core)).collect();
        assert_eq!((index, why), (2, vec![("rte_flow", 3), ("vmdq", 2)]));
        assert!(refused[0].reason.contains("No space left"), "{}", refused[0]);
        assert_eq!((first.rules.len(), first.flushed, second.addresses.len()), (0, 1, 0));
        for claim in &claims {
            let mut head = [0; crate::frame::HEAD];
            head[..6].copy_from_slice(&claim.mac.0);
            assert_eq!(classifier.core_of(&head), Some(claim.core));
        }
    }

    #[test]
    fn where_nothing_helps_every_reason_is_told() {
        let mut device = Device::default();
        let mut rules = FlowRules::new(&mut device);
        let error = choose(&mut [&mut PortPerCore { ports: 1 }, &mut rules], &claims(2));
        let error = error.expect_err("one port and no rules").to_string();
        assert!(error.contains("1 ports") && error.contains("No space left"), "{error}");
    }
}
