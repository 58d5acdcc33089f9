//! The packet path: bursts between a core and its lanes, one call into C per burst and lane.

use super::DpdkError;
use super::eal::{Pool, register_thread};
use super::lane::Lane;
use super::mbuf::Mbuf;
use super::steer::Steerable;
use crate::burst::Burst;
use crate::frame::{CAPACITY, Frame};
use crate::port::{Lanes, Port, PortStats};
use std::time::{Duration, Instant};

/// How long a memif client waits for its server to answer before it dials again: a server that has
/// not yet noticed the end of an earlier client turns the new one away.
const REDIAL: Duration = Duration::from_millis(100);

/// One core's port: a lane per neighbour, and a pool.
///
/// Used by one thread at a time, which should hold an [`super::EalThread`]. Dropping it closes its
/// devices; frames it handed out stay valid.
#[derive(Debug)]
pub struct Dpdk {
    // Dropped before the pool, to which their queues give back what they hold.
    lanes: Vec<Lane>,
    pool: Pool,
    /// Lane to be asked first by the next `rx`.
    turn: usize,
    stats: PortStats,
    malformed: u64,
    too_long: u64,
}

impl Dpdk {
    pub(super) fn new(lanes: Vec<Lane>, pool: Pool) -> Self {
        assert!(!lanes.is_empty());
        Self { lanes, pool, turn: 0, stats: PortStats::default(), malformed: 0, too_long: 0 }
    }

    /// Whether the neighbour behind a lane is there. Off the packet path: some devices ask the
    /// kernel.
    pub fn link_up(&self, lane: usize) -> bool {
        self.lanes[lane].link_up()
    }

    /// The device of the first lane, to tell it whose frames go where.
    pub fn steerable(&self) -> Steerable<'_> {
        Steerable::new(self.lanes[0].port())
    }

    /// Waits until every lane's link is up; memif clients that were turned away dial again.
    ///
    /// # Errors
    /// [`DpdkError::NoLink`] with the first lane that is down after `patience`.
    pub fn wait_link(&mut self, patience: Duration) -> Result<(), DpdkError> {
        let begin = Instant::now();
        let mut redial = begin + REDIAL;
        while let Some(down) = self.lanes.iter().position(|lane| !lane.link_up()) {
            if begin.elapsed() >= patience {
                return Err(self.lanes[down].no_link(patience));
            }
            if Instant::now() >= redial {
                for lane in self.lanes.iter_mut().filter(|lane| lane.dials() && !lane.link_up()) {
                    // A server that is away now may be back at the next turn.
                    let _ = lane.restart();
                }
                redial = Instant::now() + REDIAL;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.lanes.iter_mut().filter(|lane| lane.dials()).for_each(Lane::lend_buffers);
        Ok(())
    }

    /// Stops and starts a lane's device: how a memif client finds a server that came back.
    ///
    /// # Errors
    /// [`DpdkError::Device`] if it does not start; it can be tried again.
    pub fn restart(&mut self, lane: usize) -> Result<(), DpdkError> {
        self.lanes[lane].restart()
    }

    /// Frames of the pool that are with its users or in devices' queues. Walks the caches of all
    /// threads: not for the packet path.
    pub fn frames_in_use(&self) -> u32 {
        self.pool.in_use()
    }

    /// Frames received and discarded because they had several segments or more bytes than a
    /// buffer: a peer is set up otherwise than we are.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Frames refused because they exceed the MTU of the interface they were to leave by.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Frames a lane's device dropped because nobody fetched them, where it counts them.
    pub fn missed(&self, lane: usize) -> Option<u64> {
        self.lanes[lane].stats().map(|stats| stats.missed)
    }

    #[inline]
    fn receive(&mut self, lane: usize, into: &mut Burst<Mbuf>) {
        let held = into.len();
        // SAFETY: `Mbuf` is a transparent non-null pointer; the device writes at most as many
        // frames as the burst has room for, owned by nobody else, and returns how many. The port
        // belongs to this value alone, so no other thread is in a burst of it.
        let count = unsafe {
            let free = into.as_mut_ptr().add(held).cast();
            let room = into.remaining_capacity() as u16;
            let count = dpdk_sys::krono_rx_burst(self.lanes[lane].port(), free, room);
            into.set_len(held + usize::from(count));
            count
        };
        self.stats.received += u64::from(count);
        if !into[held..].iter().all(Mbuf::is_plain) {
            self.discard_malformed(into);
        }
    }

    #[cold]
    fn discard_malformed(&mut self, burst: &mut Burst<Mbuf>) {
        let before = burst.len();
        burst.retain(|frame| frame.is_plain());
        self.malformed += (before - burst.len()) as u64;
    }

    #[cold]
    fn refuse_too_long(&mut self, burst: &mut Burst<Mbuf>, longest: usize) {
        let before = burst.len();
        burst.retain(|frame| frame.bytes().len() <= longest);
        let refused = (before - burst.len()) as u64;
        self.too_long += refused;
        self.stats.refused += refused;
    }
}

impl Port for Dpdk {
    type Frame = Mbuf;

    /// Registers the thread with DPDK for the rest of its life.
    fn attach(&mut self) -> Result<(), DpdkError> {
        register_thread().map(std::mem::forget)
    }

    /// Asks each lane once, beginning with another one each time.
    #[inline]
    fn rx(&mut self, into: &mut Burst<Mbuf>) {
        for _ in 0..self.lanes.len() {
            if into.is_full() {
                return;
            }
            let lane = self.turn;
            self.turn = if lane + 1 == self.lanes.len() { 0 } else { lane + 1 };
            self.receive(lane, into);
        }
    }

    /// Sends to the first lane.
    #[inline]
    fn tx(&mut self, burst: &mut Burst<Mbuf>) -> usize {
        self.tx_lane(0, burst)
    }

    fn alloc(&mut self, into: &mut Burst<Mbuf>, count: usize) {
        let mut wanted = count.min(into.remaining_capacity());
        let mut bulk = wanted;
        // A pool gives all or nothing: a nearly empty one is asked for less and less.
        while bulk > 0 {
            let held = into.len();
            // SAFETY: as in `receive`; the pool writes `bulk` frames or none. Fresh frames are of
            // one segment and have the whole data room.
            let result = unsafe {
                let free = into.as_mut_ptr().add(held).cast();
                let pool = self.pool.raw();
                let result = dpdk_sys::krono_mbuf_alloc_bulk(pool, free, bulk as u32);
                into.set_len(held + if result == 0 { bulk } else { 0 });
                result
            };
            if result == 0 {
                wanted -= bulk;
                bulk = bulk.min(wanted);
            } else {
                bulk /= 2;
            }
        }
        self.stats.no_buffer += wanted as u64;
    }

    #[inline]
    fn free(&mut self, burst: &mut Burst<Mbuf>) {
        // SAFETY: the burst owns its frames and forgets them at once.
        unsafe {
            dpdk_sys::krono_mbuf_free_bulk(burst.as_mut_ptr().cast(), burst.len() as u32);
            burst.set_len(0);
        }
    }

    /// Unknown until the device is asked to send.
    fn room(&mut self) -> usize {
        usize::MAX
    }

    fn stats(&self) -> PortStats {
        self.stats
    }
}

impl Lanes for Dpdk {
    fn lanes(&self) -> usize {
        self.lanes.len()
    }

    #[inline]
    fn tx_lane(&mut self, lane: usize, burst: &mut Burst<Mbuf>) -> usize {
        let longest = self.lanes[lane].longest();
        if longest < CAPACITY && burst.iter().any(|frame| frame.bytes().len() > longest) {
            self.refuse_too_long(burst, longest);
        }
        let count = burst.len();
        // SAFETY: the device takes the frames at the front that it counts; the rest is still ours
        // and is freed; the burst forgets them all. The port belongs to this value alone.
        let sent = unsafe {
            let frames = burst.as_mut_ptr().cast();
            let port = self.lanes[lane].port();
            let sent = usize::from(dpdk_sys::krono_tx_burst(port, frames, count as u16));
            if sent < count {
                dpdk_sys::krono_mbuf_free_bulk(frames.add(sent), (count - sent) as u32);
            }
            burst.set_len(0);
            sent
        };
        self.stats.sent += sent as u64;
        self.stats.refused += (count - sent) as u64;
        sent
    }

    fn room_lane(&mut self, _lane: usize) -> usize {
        usize::MAX
    }
}
