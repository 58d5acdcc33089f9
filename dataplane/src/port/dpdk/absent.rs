//! The same items where DPDK is not built in: values that cannot exist, behind constructors that
//! say so. Callers need no conditional compilation.

use super::{DpdkError, EalConfig, PortKind};
use crate::burst::Burst;
use crate::frame::{Frame, HEAD};
use crate::identity::Mac;
use crate::port::{Lanes, Port, PortStats};
use crate::steering::PoolDevice;
use crate::steering::flow::{FlowDevice, FlowRule};
use std::time::Duration;

/// Always [`DpdkError::Absent`] in this build.
pub fn available() -> Result<&'static str, DpdkError> {
    Err(DpdkError::Absent)
}

/// A started DPDK, which this build cannot have.
#[derive(Clone, Copy, Debug)]
pub enum Eal {}

/// A thread known to DPDK, which this build cannot have.
#[derive(Debug)]
pub enum EalThread {}

/// A port on DPDK, which this build cannot have.
#[derive(Debug)]
pub enum Dpdk {}

/// A packet buffer of DPDK, which this build cannot have.
#[derive(Debug)]
pub enum Mbuf {}

impl Eal {
    /// Always [`DpdkError::Absent`] in this build.
    pub fn init(_config: &EalConfig) -> Result<Self, DpdkError> {
        Err(DpdkError::Absent)
    }

    /// Not reached.
    pub fn register_thread(&self) -> Result<EalThread, DpdkError> {
        match *self {}
    }

    /// Not reached.
    pub fn open(
        &self,
        _kinds: &[PortKind],
        _pool_frames: u32,
        _patience: Duration,
    ) -> Result<Dpdk, DpdkError> {
        match *self {}
    }
}

/// A device to be steered, which this build cannot have.
#[derive(Debug)]
pub struct Steerable<'a>(&'a Dpdk);

impl FlowDevice for Steerable<'_> {
    fn create_flow(&mut self, _rule: &FlowRule) -> Result<(), String> {
        match *self.0 {}
    }

    fn flush_flows(&mut self) {
        match *self.0 {}
    }
}

impl PoolDevice for Steerable<'_> {
    fn add_address(&mut self, _mac: Mac, _pool: u16) -> Result<(), String> {
        match *self.0 {}
    }

    fn remove_address(&mut self, _mac: Mac) {
        match *self.0 {}
    }
}

impl Dpdk {
    /// Not reached.
    pub fn steerable(&self) -> Steerable<'_> {
        Steerable(self)
    }

    /// Not reached.
    pub fn link_up(&self, _lane: usize) -> bool {
        match *self {}
    }

    /// Not reached.
    pub fn wait_link(&mut self, _patience: Duration) -> Result<(), DpdkError> {
        match *self {}
    }

    /// Not reached.
    pub fn restart(&mut self, _lane: usize) -> Result<(), DpdkError> {
        match *self {}
    }

    /// Not reached.
    pub fn frames_in_use(&self) -> u32 {
        match *self {}
    }

    /// Not reached.
    pub fn malformed(&self) -> u64 {
        match *self {}
    }

    /// Not reached.
    pub fn too_long(&self) -> u64 {
        match *self {}
    }

    /// Not reached.
    pub fn missed(&self, _lane: usize) -> Option<u64> {
        match *self {}
    }
}

impl Port for Dpdk {
    type Frame = Mbuf;

    fn rx(&mut self, _into: &mut Burst<Mbuf>) {
        match *self {}
    }

    fn tx(&mut self, _burst: &mut Burst<Mbuf>) -> usize {
        match *self {}
    }

    fn alloc(&mut self, _into: &mut Burst<Mbuf>, _count: usize) {
        match *self {}
    }

    fn free(&mut self, _burst: &mut Burst<Mbuf>) {
        match *self {}
    }

    fn room(&mut self) -> usize {
        match *self {}
    }

    fn stats(&self) -> PortStats {
        match *self {}
    }
}

impl Lanes for Dpdk {
    fn lanes(&self) -> usize {
        match *self {}
    }

    fn tx_lane(&mut self, _lane: usize, _burst: &mut Burst<Mbuf>) -> usize {
        match *self {}
    }

    fn room_lane(&mut self, _lane: usize) -> usize {
        match *self {}
    }
}

impl Frame for Mbuf {
    fn len(&self) -> usize {
        match *self {}
    }

    fn set_len(&mut self, _len: usize) {
        match *self {}
    }

    fn bytes(&self) -> &[u8] {
        match *self {}
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match *self {}
    }

    fn head(&self) -> &[u8; HEAD] {
        match *self {}
    }

    fn head_mut(&mut self) -> &mut [u8; HEAD] {
        match *self {}
    }
}
