//! Where frames enter and leave a core.
//!
//! A [`Port`] is chosen at start-up and monomorphised into the worker. `tx` takes ownership: what
//! the port refuses is freed and counted, never retried without bound. A port with several
//! neighbours implements [`Lanes`] as well, and [`crate::switch::Switch`] routes among them.

pub mod dpdk;
pub mod fault;
pub mod link;
pub mod pcap;
pub mod plug;

use self::dpdk::DpdkError;
use crate::burst::Burst;
use crate::clock::Nanos;
use crate::frame::Frame;

/// What a port has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortStats {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Frames the port refused to send: its queue was full, its peer away, or they exceed its MTU.
    pub refused: u64,
    /// Frames wanted while the pool was empty.
    pub no_buffer: u64,
}

/// One core's connection to the network.
pub trait Port {
    /// Handle on a frame of this port.
    type Frame: Frame;

    /// To be called once by the thread that will move the port's frames, before it does.
    ///
    /// # Errors
    /// When the driver cannot serve another thread.
    fn attach(&mut self) -> Result<(), DpdkError> {
        Ok(())
    }

    /// Time for what the port has to do by itself, such as answering for a router behind it. A worker
    /// whose port may have such duties calls it once a step, before it receives.
    #[inline]
    fn tick(&mut self, _now: Nanos) {}

    /// Whether the link is up, as far as the port can tell; one that cannot says that it is.
    #[inline]
    fn has_carrier(&self) -> bool {
        true
    }

    /// Appends what has arrived, up to the burst's capacity.
    fn rx(&mut self, into: &mut Burst<Self::Frame>);

    /// Sends the burst in order and leaves it empty; returns how many frames were accepted: those at
    /// the front, but for frames longer than the port carries. The rest is freed and counted as
    /// refused.
    fn tx(&mut self, burst: &mut Burst<Self::Frame>) -> usize;

    /// Appends up to `count` frames from the pool. Their content is that of their last use.
    fn alloc(&mut self, into: &mut Burst<Self::Frame>, count: usize);

    /// Gives frames back to the pool they came from and leaves the burst empty.
    fn free(&mut self, burst: &mut Burst<Self::Frame>);

    /// How many frames `alloc` is sure to provide and `tx` to accept now, at least up to 128;
    /// `usize::MAX` where the port cannot know.
    fn room(&mut self) -> usize;

    /// What the port has done.
    fn stats(&self) -> PortStats;
}

/// A port with several neighbours, each behind a lane of its own.
pub trait Lanes: Port {
    /// Number of lanes; lanes are counted from 0.
    fn lanes(&self) -> usize;

    /// [`Port::tx`] to one neighbour.
    fn tx_lane(&mut self, lane: usize, burst: &mut Burst<Self::Frame>) -> usize;

    /// [`Port::room`] towards one neighbour.
    fn room_lane(&mut self, lane: usize) -> usize;
}
