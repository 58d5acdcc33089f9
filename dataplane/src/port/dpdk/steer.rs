//! Steering by a device of DPDK: its rules, and its pools for virtual machines. Nothing here is on the
//! packet path.

use super::Dpdk;
use super::eal::reason;
use crate::identity::Mac;
use crate::steering::PoolDevice;
use crate::steering::flow::{FlowDevice, FlowRule, Item};
use std::ffi::{CStr, c_char};
use std::marker::PhantomData;

/// Bytes of a device's words about a rule that are kept.
const REASON_MAX: usize = 128;

/// The first device of a port, to be steered. What it was told stays when this is dropped, as long as the
/// port does.
#[derive(Debug)]
pub struct Steerable<'a> {
    port: u16,
    open: PhantomData<&'a Dpdk>,
}

impl<'a> Steerable<'a> {
    pub(super) fn new(port: u16) -> Steerable<'a> {
        Steerable { port, open: PhantomData }
    }
}

/// The rule as the shim takes it.
fn flat(rule: &FlowRule) -> dpdk_sys::FlowRule {
    let mut flat = dpdk_sys::FlowRule {
        mac: [0; 6],
        vlan: 0,
        address: 0,
        mask: 0,
        priority: rule.priority,
        queue: rule.queue,
        ipv4: 0,
    };
    for item in rule.items() {
        match item {
            Item::Ethernet { destination } => flat.mac = destination.0,
            Item::Vlan { id } => flat.vlan = id,
            Item::Ipv4 { destination, mask } => {
                (flat.address, flat.mask) = (destination.to_bits().to_be(), mask.to_bits().to_be());
                flat.ipv4 = 1;
            }
        }
    }
    flat
}

impl FlowDevice for Steerable<'_> {
    fn create_flow(&mut self, rule: &FlowRule) -> Result<(), String> {
        let (rule, mut words) = (flat(rule), [0 as c_char; REASON_MAX]);
        // SAFETY: the port is open while the lifetime lasts; the rule and `REASON_MAX` bytes are ours.
        let result = unsafe {
            dpdk_sys::krono_flow_create(self.port, &raw const rule, words.as_mut_ptr(), REASON_MAX)
        };
        if result == 0 {
            return Ok(());
        }
        // SAFETY: the shim has ended its words with a zero within `REASON_MAX` bytes.
        let words = unsafe { CStr::from_ptr(words.as_ptr()) };
        Err(format!("{}: {}", reason(result), words.to_string_lossy()))
    }

    fn flush_flows(&mut self) {
        // SAFETY: the port is open. A device without rules refuses, and has none.
        unsafe { dpdk_sys::krono_flow_flush(self.port) };
    }
}

impl PoolDevice for Steerable<'_> {
    fn add_address(&mut self, mac: Mac, pool: u16) -> Result<(), String> {
        // SAFETY: the port is open, and an address has 6 bytes.
        let result = unsafe { dpdk_sys::krono_pool_address_add(self.port, mac.0.as_ptr(), pool) };
        if result == 0 { Ok(()) } else { Err(reason(result)) }
    }

    fn remove_address(&mut self, mac: Mac) {
        // SAFETY: the port is open, and an address has 6 bytes. It was given, so it can be taken.
        unsafe { dpdk_sys::krono_pool_address_remove(self.port, mac.0.as_ptr()) };
    }
}
